//! Bringing a cluster up, step by step.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::binaries::{self, Binaries};
use crate::control_plane::Addresses;
use crate::node::Node;
use crate::state::State;
use crate::{Cluster, Kind, check_name, control_plane, fake, image, node, paths};

impl Cluster {
    /// Brings a cluster up and waits until pods can be made on it. Builds and installs what is missing first.
    pub fn up(kind: Kind, name: &str) -> Result<Self> {
        check_name(name)?;
        let dir = paths::cluster_dir(name);
        if let Ok(cluster) = Self::attach(name) {
            if cluster.programs().iter().any(|program| program.running) {
                bail!("cluster {name} is up already: use it, or end it with `cargo xtask cluster down --name {name}`");
            }
            // What a failed start or a restart of the machine left behind.
            cluster.down()?;
        }
        let (wanted, addresses, namespace) = match kind {
            Kind::Fake => (binaries::FAKE_NODE, Addresses::on_loopback()?, None),
            Kind::Node => {
                node::install_missing()?;
                (binaries::REAL_NODE, Addresses::on_node(node::ADDRESS), Some(node::namespace(name)))
            }
        };
        let binaries = Binaries::prepare(&[binaries::CONTROL_PLANE, wanted].concat())?;
        fs::create_dir_all(dir.join("logs")).with_context(|| format!("cannot make the directory {}", dir.display()))?;
        let state = State {
            name: name.to_owned(),
            kind,
            server: addresses.server(),
            namespace,
            kubectl: binaries.path("kubectl")?.to_path_buf(),
            processes: Vec::new(),
        };
        let mut cluster = Self { dir, state };
        match cluster.bring_up(&binaries, &addresses) {
            Ok(()) => Ok(cluster),
            Err(error) => {
                // The logs stay, to tell why.
                cluster.end_processes().with_context(|| format!("and that after the cluster failed to start: {error:#}"))?;
                Err(error.context(format!("cluster {name} did not come up; its logs are in {}", cluster.dir.join("logs").display())))
            }
        }
    }

    fn bring_up(&mut self, binaries: &Binaries, addresses: &Addresses) -> Result<()> {
        self.state.save(&self.dir)?;
        if let Some(node) = self.node() {
            node.make_network()?;
        }
        self.start_control_plane(binaries, addresses)?;
        match self.node() {
            None => self.start_fake_nodes(binaries)?,
            Some(node) => self.start_node(&node, binaries)?,
        }
        self.await_that("kube-controller-manager", "make the default service account", |cluster| {
            cluster.quietly(["get", "serviceaccount", "default", "--namespace=default"])
        })
    }

    fn start_control_plane(&mut self, binaries: &Binaries, addresses: &Addresses) -> Result<()> {
        let dir = self.dir.clone();
        let token = control_plane::write_files(&dir, self.state.kind)?;
        self.launch(control_plane::etcd(&dir, binaries, addresses)?)?;
        self.launch(control_plane::apiserver(&dir, binaries, addresses)?)?;
        let key = dir.join("apiserver/apiserver.key");
        self.await_that("kube-apiserver", "write its certificate", |_| key.is_file())?;
        control_plane::write_kubeconfig(&dir, "kubeconfig", &self.state.name, &self.state.server, &token)?;
        self.await_server()?;
        self.launch(control_plane::controller_manager(&dir, binaries)?)?;
        self.launch(control_plane::scheduler(&dir, binaries)?)
    }

    fn start_fake_nodes(&mut self, binaries: &Binaries) -> Result<()> {
        self.launch(fake::kwok(&self.dir, binaries)?)?;
        self.create(&fake::nodes())?;
        self.await_that("kwok", "get all nodes ready", |cluster| {
            cluster.quietly(["wait", "--for=condition=Ready", "node", "--all", "--timeout=10s"])
        })
    }

    fn start_node(&mut self, node: &Node, binaries: &Binaries) -> Result<()> {
        self.launch(node.containerd()?)?;
        self.launch(node.kube_proxy(binaries)?)?;
        let programs = paths::own_programs();
        self.launch(node.discovery(&programs)?)?;
        self.launch(node.prometheus()?)?;
        self.await_that("containerd", "answer", |_| node.containerd_answers())?;
        node.import(&image::standard(&programs)?)?;
        self.launch(node.kubelet(binaries)?)?;
        self.await_that("kubelet", "get its node ready", |cluster| {
            cluster.quietly(["wait", "--for=condition=Ready", "node", "--all", "--timeout=10s"])
        })
    }
}
