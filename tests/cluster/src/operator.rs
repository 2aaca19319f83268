//! What is tried out on a cluster: the resource, the operator's account and rights, and programs that end with the cluster.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::state::Process;
use crate::{Cluster, Kind, binaries, control_plane, node, paths, patience};

/// Where the operator is installed: the name of the namespace, and of its account in it.
pub const SYSTEM_NAMESPACE: &str = "bluegreen-system";
pub const OPERATOR: &str = "bluegreen-operator";

impl Cluster {
    /// Why this machine can't bring up such a cluster, in a sentence that says what to do; None if it can.
    pub fn obstacle(kind: Kind) -> Option<String> {
        if !binaries::can_prepare() {
            return Some("Go is missing, by which Kubernetes is built: install Go 1.26 or later and put it in PATH".to_owned());
        }
        match kind {
            Kind::Fake => None,
            Kind::Node => node::obstacle(),
        }
    }

    /// About how long two cores build the programs of Kubernetes that such a cluster still lacks; zero if they are all there.
    pub fn time_to_build(kind: Kind) -> Duration {
        let nodes = match kind {
            Kind::Fake => binaries::FAKE_NODE,
            Kind::Node => binaries::REAL_NODE,
        };
        binaries::time_to_build(&[binaries::CONTROL_PLANE, nodes].concat())
    }

    /// Installs what `config/default` holds: the resource, and the operator's account with no more rights than it
    /// needs. Returns a kubeconfig of that account.
    pub fn install(&self) -> Result<PathBuf> {
        self.install_from(&paths::repository().join("config/default"))
    }

    /// The same from another `config/default`, as an earlier commit had it.
    pub fn install_from(&self, config: &Path) -> Result<PathBuf> {
        let mut apply = self.kubectl(["apply", "--server-side", "--force-conflicts", "--kustomize"]);
        succeed(apply.arg(config), "install config/default")?;
        self.await_resource()?;
        let mut create = self.kubectl(["create", "token", OPERATOR, "--duration=720h", "--namespace", SYSTEM_NAMESPACE]);
        let token = succeed(&mut create, "make a token for the operator")?;
        let file = "kubeconfig-operator";
        control_plane::write_kubeconfig(&self.dir, file, &self.state.name, &self.state.server, token.trim())?;
        Ok(self.dir.join(file))
    }

    /// Waits until clients can discover the resource.
    pub fn await_resource(&self) -> Result<()> {
        await_resource(&mut self.kubectl(["explain", "bgr"]))
    }

    /// Starts a program in the cluster's network that outlives this process and ends with the cluster. It is then one
    /// of the cluster's programs, and can be killed, frozen and started again by its name.
    pub fn start_program(&mut self, name: &str, program: &Path, args: Vec<String>, env: BTreeMap<String, String>) -> Result<()> {
        ensure!(self.state.processes.iter().all(|process| process.name != name), "this cluster has a program called {name} already");
        let log = self.dir.join("logs").join(format!("{name}.log"));
        self.launch(Process { name: name.to_owned(), program: program.to_path_buf(), args, env, log, running: None })
    }
}

/// Waits until `kubectl explain` succeeds: clients discover a resource a moment after its definition was taken.
pub fn await_resource(explain: &mut std::process::Command) -> Result<()> {
    let served = patience::until(|| succeed(explain, "see the resource served").ok());
    served.map(drop).or_else(|_| succeed(explain, "see the resource served").map(drop))
}

fn succeed(command: &mut std::process::Command, what: &str) -> Result<String> {
    let output = command.stdin(std::process::Stdio::null()).output().context("cannot start kubectl")?;
    ensure!(output.status.success(), "cannot {what}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
