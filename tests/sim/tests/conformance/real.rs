//! The real API server, with nobody beside it who writes. It ends with the test.

use bluegreen_cluster::{Cluster, Kind};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

const NAME: &str = "conformance";

pub struct Real;

impl Real {
    pub fn up() -> Self {
        // One that a run left that was killed.
        if let Ok(left) = Cluster::attach(NAME) {
            left.down().unwrap();
        }
        let mut cluster = Cluster::up(Kind::Fake, NAME).unwrap();
        let real = Self;
        cluster.install().unwrap();
        // They would write into the objects that are compared.
        for program in ["kube-controller-manager", "kube-scheduler", "kwok"] {
            cluster.stop_process(program).unwrap();
        }
        real
    }

    /// A client of an administrator.
    pub async fn client(&self) -> Client {
        let kubeconfig = Kubeconfig::read_from(Cluster::attach(NAME).unwrap().kubeconfig()).unwrap();
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        config.read_timeout = None;
        Client::try_from(config).unwrap()
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        if let Err(error) = Cluster::attach(NAME).and_then(Cluster::down) {
            eprintln!("the cluster {NAME} could not be taken down: {error:#}");
        }
    }
}
