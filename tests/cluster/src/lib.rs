//! Real Kubernetes on a bare Linux machine, for tests and demonstrations: no container runtime, no image registry
//! and no download but Go modules.
//!
//! Two kinds: a real control plane with fake nodes (seconds, thousands of pods, no root), and one with a real node
//! (kubelet, containerd, kube-proxy and Prometheus in a network namespace of their own). Each cluster lives in a
//! directory of its own below `target/cluster`, several at once, and survives the process that brought it up.
//!
//! ```no_run
//! use bluegreen_cluster::{Cluster, Kind};
//!
//! # fn main() -> anyhow::Result<()> {
//! let cluster = Cluster::up(Kind::Fake, "dev")?;
//! cluster.kubectl(["get", "nodes"]).status()?;
//! cluster.down()?;
//! # Ok(())
//! # }
//! ```

pub mod audit;
pub mod binaries;
mod control_plane;
mod fake;
pub mod image;
mod node;
mod operator;
pub mod paths;
pub mod patience;
mod process;
mod state;
mod up;

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
pub use rustix::process::Signal;

pub use crate::control_plane::free_ports;
use crate::node::Node;
pub use crate::operator::{OPERATOR, SYSTEM_NAMESPACE, await_resource};
pub use crate::state::Kind;
use crate::state::{Process, State};
use bluegreen_image::Image;

/// A running cluster. Dropping this leaves the cluster running: [`Cluster::down`] ends it.
#[derive(Debug)]
pub struct Cluster {
    dir: PathBuf,
    state: State,
}

impl Cluster {
    /// A cluster that another process brought up.
    pub fn attach(name: &str) -> Result<Self> {
        check_name(name)?;
        let dir = paths::cluster_dir(name);
        let state = State::load(&dir)?;
        Ok(Self { dir, state })
    }

    /// The names of all clusters of this checkout, running or not.
    pub fn names() -> Vec<String> {
        let entries = fs::read_dir(paths::cluster_root()).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries
            .filter(|entry| entry.path().join("state.json").is_file())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    /// Ends every program of the cluster at once and removes all that was its own.
    pub fn down(mut self) -> Result<()> {
        // A test may have started a program anew, and noted its new process.
        if let Ok(noted) = State::load(&self.dir) {
            self.state = noted;
        }
        self.end_processes()?;
        fs::remove_dir_all(&self.dir).with_context(|| format!("cannot remove {}", self.dir.display()))
    }

    fn end_processes(&mut self) -> Result<()> {
        // The last started first: nothing then complains about what is already gone.
        for process in self.state.processes.iter_mut().rev() {
            if let Some(running) = process.running.take() {
                process::kill(running).with_context(|| format!("cannot end {}", process.name))?;
            }
        }
        self.state.save(&self.dir)?;
        match self.node() {
            Some(node) => node.remove_remains(),
            None => Ok(()),
        }
    }

    fn node(&self) -> Option<Node> {
        self.state.namespace.as_ref().map(|_| Node::new(&self.state.name, &self.dir))
    }

    pub fn name(&self) -> &str {
        &self.state.name
    }

    pub fn kind(&self) -> Kind {
        self.state.kind
    }

    /// The directory that holds all that is this cluster's own.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The kubeconfig of an administrator (group `system:masters`).
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    /// The API server's audit log: one line a request. [`audit::AuditLog`] reads it.
    pub fn audit_log(&self) -> PathBuf {
        self.dir.join("audit.log")
    }

    /// The URL of the API server, as a program started by [`Cluster::command`] reaches it.
    pub fn server(&self) -> &str {
        &self.state.server
    }

    /// The URL of Prometheus, as pods and programs started by [`Cluster::command`] reach it. Only a real node has one.
    pub fn prometheus(&self) -> Option<String> {
        self.state.namespace.as_ref().map(|_| format!("http://{}:9090", node::ADDRESS))
    }

    /// Gives a real node images, as if they were in a registry.
    pub fn import(&self, images: &[Image]) -> Result<()> {
        self.node().context("fake nodes need no images: any reference does")?.import(images)
    }

    /// The same from a file, as `cargo xtask image` writes it.
    pub fn import_file(&self, path: &Path) -> Result<()> {
        self.node().context("fake nodes need no images: any reference does")?.import_file(path)
    }

    /// Gives a real node one more version of the shop: `tests/app/shop` tells what the environment can say.
    pub fn import_shop(&self, tag: &str, env: &[(&str, &str)]) -> Result<()> {
        let shop = image::shop(&paths::own_programs())?;
        let env = [&[("VERSION", tag)], env].concat();
        self.import(&[shop.variant(&format!("{}:{tag}", image::SHOP), &env)])
    }

    /// A program that will run inside the cluster's network, and find the cluster by `KUBECONFIG`.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = process::command(self.state.namespace.as_deref(), program);
        command.env("KUBECONFIG", self.kubeconfig());
        command
    }

    /// `kubectl` on this cluster.
    pub fn kubectl<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.command(&self.state.kubectl);
        command.env("KUBECACHEDIR", self.dir.join("kubectl-cache")).args(args);
        command
    }

    /// Creates objects given as YAML or JSON.
    pub fn create(&self, objects: &str) -> Result<()> {
        self.feed(["create", "--filename=-"], objects)
    }

    /// Applies objects given as YAML or JSON, from the server's side.
    pub fn apply(&self, objects: &str) -> Result<()> {
        self.feed(["apply", "--server-side", "--filename=-"], objects)
    }

    fn feed<const N: usize>(&self, args: [&str; N], objects: &str) -> Result<()> {
        let mut child = self
            .kubectl(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start kubectl")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(objects.as_bytes()).context("kubectl did not read what it was to create")?;
        }
        let output = child.wait_with_output().context("cannot wait for kubectl")?;
        ensure!(output.status.success(), "kubectl {} failed: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        Ok(())
    }

    fn quietly<const N: usize>(&self, args: [&str; N]) -> bool {
        let outcome = self.kubectl(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        outcome.is_ok_and(|status| status.success())
    }

    /// The programs of the cluster, and whether each one runs.
    pub fn programs(&self) -> Vec<Program> {
        self.state
            .processes
            .iter()
            .map(|process| Program {
                name: process.name.clone(),
                pid: process.running.map(|running| running.pid),
                running: process.running.is_some_and(process::alive),
                log: process.log.clone(),
            })
            .collect()
    }

    /// Kills one program, as a crash would: `etcd`, `kube-apiserver`, `kube-controller-manager`, `kwok`, …
    pub fn stop_process(&mut self, name: &str) -> Result<()> {
        let process = self.process_mut(name)?;
        if let Some(running) = process.running.take() {
            process::kill(running)?;
        }
        self.state.save(&self.dir)
    }

    /// Starts a program again that was stopped or has died. Its data is as it was.
    pub fn start_process(&mut self, name: &str) -> Result<()> {
        let namespace = self.state.namespace.clone();
        let process = self.process_mut(name)?;
        ensure!(!process.running.is_some_and(process::alive), "{name} runs already");
        process::start(process, namespace.as_deref())?;
        self.state.save(&self.dir)?;
        if name == "kube-apiserver" { self.await_server() } else { Ok(()) }
    }

    /// Sends a signal to one program: `Signal::STOP` freezes it, `Signal::CONT` wakes it.
    pub fn signal_process(&self, name: &str, signal: Signal) -> Result<()> {
        let process = self.state.processes.iter().find(|process| process.name == name);
        match process.and_then(|process| process.running) {
            Some(running) => process::signal(running, signal),
            None => bail!("{name} is no running program of cluster {}", self.state.name),
        }
    }

    fn process_mut(&mut self, name: &str) -> Result<&mut Process> {
        let names: Vec<_> = self.state.processes.iter().map(|process| process.name.clone()).collect();
        self.state
            .processes
            .iter_mut()
            .find(|process| process.name == name)
            .with_context(|| format!("{name} is no program of this cluster; it has {}", names.join(", ")))
    }

    /// Starts a program and notes it at once, so that it is never lost.
    fn launch(&mut self, mut process: Process) -> Result<()> {
        process::start(&mut process, self.state.namespace.as_deref())?;
        self.state.processes.push(process);
        self.state.save(&self.dir)
    }

    /// Waits until the API server answers.
    pub fn await_server(&self) -> Result<()> {
        self.await_that("kube-apiserver", "answer", |cluster| cluster.quietly(["get", "--raw=/readyz"]))
    }

    /// Waits for a sign of one program; its own last words tell why when it doesn't come.
    fn await_that(&self, name: &str, what: &str, happened: impl Fn(&Self) -> bool) -> Result<()> {
        let fate = patience::until(|| {
            let process = self.state.processes.iter().find(|process| process.name == name);
            let dead = process.is_some_and(|process| !process.running.is_some_and(process::alive));
            if happened(self) { Some(None) } else { dead.then(|| Some("ended by itself".to_owned())) }
        });
        let fate = match fate {
            Ok(None) => return Ok(()),
            Ok(Some(fate)) => fate,
            Err(waited) => format!("took over {} s", waited.as_secs()),
        };
        let process = self.state.processes.iter().find(|process| process.name == name);
        let log = process.map(|process| process::tail(&process.log, 15)).unwrap_or_default();
        bail!("{name} was to {what}, but {fate}; the end of its log:\n{log}")
    }
}

/// One program of a cluster, for a status display.
#[derive(Debug, Clone)]
pub struct Program {
    pub name: String,
    pub pid: Option<i32>,
    pub running: bool,
    pub log: PathBuf,
}

/// A name that can be a directory and a network namespace.
fn check_name(name: &str) -> Result<()> {
    let fits = (1..=40).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && name != "bin";
    ensure!(fits, "{name:?} is no name for a cluster: use 1 to 40 small letters, digits and dashes (and not \"bin\")");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_the_directory_of_clusters() {
        assert!(check_name("dev-fake").is_ok());
        for name in ["", "..", "a/b", "Dev", "bin", &"x".repeat(41)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
