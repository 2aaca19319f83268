//! The cluster that all tests share.

use bluegreen_cluster::{Cluster, Kind, Signal, paths, patience};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::Value;
use std::{
    fs::{self, File},
    io::Write,
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

/// The cluster that is brought up when none is named.
const NAME: &str = "e2e";

/// A cluster of fake nodes with the CRD installed.
#[derive(Debug)]
pub struct Ground {
    cluster: Cluster,
}

impl Ground {
    /// The cluster that `BLUEGREEN_CLUSTER` names, else one that stays up for the next run.
    pub fn get() -> &'static Self {
        static GROUND: OnceLock<Ground> = OnceLock::new();
        GROUND.get_or_init(|| {
            patience::slow_down();
            let ground = Self { cluster: cluster() };
            ground.install();
            ground
        })
    }

    fn install(&self) {
        self.run(&["apply", "-k", &config("crd")]);
        self.run(&["apply", "-f", &config("rbac/aggregated.yaml"), "-f", &config("rbac/jobs.yaml")]);
        self.cluster.await_resource().unwrap();
        if self.is_fake() {
            let nodes = self.run(&["get", "nodes", "-o", r#"jsonpath={.items[*].status.addresses[?(@.type=="InternalIP")].address}"#]);
            let unreachable = |address: &str| address.parse().is_ok_and(|address: IpAddr| address.is_multicast());
            assert!(
                nodes.split_whitespace().all(unreachable),
                "nodes at {nodes}: pods of this cluster may have addresses of other machines. Take it down and bring another one up"
            );
        }
    }

    pub fn is_fake(&self) -> bool {
        self.cluster.kind() == Kind::Fake
    }

    /// A client of an administrator. Each test has a runtime of its own, and so needs a client of its own.
    pub async fn client(&self) -> Client {
        let kubeconfig = Kubeconfig::read_from(self.cluster.kubeconfig()).unwrap();
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        config.read_timeout = None;
        Client::try_from(config).unwrap()
    }

    pub fn audit_log(&self) -> PathBuf {
        self.cluster.audit_log()
    }

    /// A program of an administrator, in the cluster's network.
    pub fn command(&self, program: &Path) -> Command {
        self.cluster.command(program)
    }

    /// Gives a real node an image, from a file of `cargo xtask image`.
    pub fn import(&self, image: &Path) {
        self.cluster.import_file(image).unwrap();
    }

    /// A kubeconfig for this cluster with another token, which speaks of `namespace` if no other is named.
    pub fn kubeconfig(&self, token: &str, namespace: &str) -> Value {
        let text = fs::read(self.cluster.kubeconfig()).unwrap();
        let mut kubeconfig: Value = serde_json::from_slice(&text).unwrap();
        kubeconfig["users"][0]["user"] = serde_json::json!({"token": token});
        kubeconfig["contexts"][0]["context"]["namespace"] = namespace.into();
        kubeconfig
    }

    pub fn kubectl(&self, args: &[&str]) -> Command {
        self.cluster.kubectl(args)
    }

    /// What kubectl says, whether it succeeds or not.
    pub fn told(&self, args: &[&str]) -> Output {
        let output = self.kubectl(args).stdin(Stdio::null()).output().unwrap();
        Output::of(&output)
    }

    /// What kubectl says to a manifest.
    pub fn told_of(&self, args: &[&str], manifest: &Value) -> Output {
        let mut child = self.kubectl(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(manifest.to_string().as_bytes()).unwrap();
        Output::of(&child.wait_with_output().unwrap())
    }

    /// What kubectl says; it has to succeed.
    pub fn run(&self, args: &[&str]) -> String {
        let told = self.told(args);
        assert!(told.success, "kubectl {} failed: {}", args.join(" "), told.error);
        told.output
    }

    /// A directory for what a test writes down.
    pub fn directory(&self, name: &str) -> PathBuf {
        let directory = self.cluster.dir().join("tests").join(name);
        fs::create_dir_all(&directory).unwrap();
        directory
    }
}

/// A cluster of one test's own, whose programs it may kill and freeze. It ends with the test.
#[derive(Debug)]
pub struct OwnGround {
    pub ground: &'static Ground,
    name: String,
}

impl OwnGround {
    pub fn up(name: &str) -> Self {
        patience::slow_down();
        // What a run left that was killed.
        if let Ok(left) = Cluster::attach(name) {
            left.down().unwrap();
        }
        // It lives as long as the test program: spaces and their tasks hold on to it.
        let ground: &'static Ground = Box::leak(Box::new(Ground { cluster: Cluster::up(Kind::Fake, name).unwrap() }));
        let own = Self { ground, name: name.to_owned() };
        ground.install();
        own
    }

    fn cluster(&self) -> Cluster {
        Cluster::attach(&self.name).unwrap()
    }

    /// A kubeconfig of the operator that `config/default` installs.
    pub fn install_operator(&self) -> PathBuf {
        self.cluster().install().unwrap()
    }

    pub fn stop(&self, program: &str) {
        self.cluster().stop_process(program).unwrap();
    }

    pub fn start(&self, program: &str) {
        self.cluster().start_process(program).unwrap();
    }

    pub fn freeze(&self, program: &str) {
        self.cluster().signal_process(program, Signal::STOP).unwrap();
    }

    pub fn wake(&self, program: &str) {
        self.cluster().signal_process(program, Signal::CONT).unwrap();
    }
}

impl Drop for OwnGround {
    fn drop(&mut self) {
        if let Err(error) = Cluster::attach(&self.name).and_then(Cluster::down) {
            eprintln!("the cluster {} could not be taken down: {error:#}", self.name);
        }
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Output {
    pub success: bool,
    pub output: String,
    pub error: String,
}

impl Output {
    pub(crate) fn of(output: &std::process::Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        Self { success: output.status.success(), output: text(&output.stdout), error: text(&output.stderr) }
    }
}

fn cluster() -> Cluster {
    if let Ok(name) = std::env::var("BLUEGREEN_CLUSTER") {
        return Cluster::attach(&name).unwrap();
    }
    // Of several test programs that start at once, one brings it up.
    fs::create_dir_all(paths::cluster_root()).unwrap();
    let lock = File::create(paths::cluster_root().join("e2e.lock")).unwrap();
    lock.lock().unwrap();
    match Cluster::attach(NAME) {
        Ok(cluster) if cluster.programs().iter().all(|program| program.running) => cluster,
        left => {
            if let Ok(left) = left {
                left.down().unwrap();
            }
            eprintln!("Bringing up the cluster {NAME}. It stays; `cargo xtask cluster down --name {NAME}` ends it.");
            Cluster::up(Kind::Fake, NAME).unwrap()
        }
    }
}

/// The root of the repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

/// A file below `config`.
pub(crate) fn config(path: &str) -> String {
    repository().join("config").join(path).to_str().unwrap().to_owned()
}

/// The message of a refusal.
pub fn refusal(error: kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message,
        other => panic!("the API server was to refuse, but: {other}"),
    }
}
