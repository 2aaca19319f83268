//! An operator process: started, killed, frozen and woken by a test.

use crate::{
    ground::{Ground, repository},
    patience::stretched,
};
use bluegreen_cluster::patience;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// The lease of an operator that is to keep it: one that a busy machine keeps from renewing its lease for a third of it ends, and
/// nobody starts it again.
pub const LEASE: Duration = Duration::from_secs(60);
/// One that runs out in a test: long enough for a busy machine, and short enough to be waited for. The operator that is to take over
/// ends as well if it can't renew the lease for two thirds of it.
pub const SHORT_LEASE: Duration = Duration::from_secs(20);

/// A running operator, or one that has ended. It is killed when the test lets go of it.
#[derive(Debug)]
pub struct Operator {
    child: Child,
    name: String,
    log: PathBuf,
}

/// The operator of this build; `BLUEGREEN_OPERATOR` names another.
pub fn program() -> PathBuf {
    std::env::var_os("BLUEGREEN_OPERATOR").map_or_else(|| repository().join("target/debug/bluegreen-operator"), PathBuf::from)
}

impl Operator {
    /// `name` is its identity: one that is started again under the same name leads at once.
    pub(crate) fn start(
        program: &Path,
        directory: &Path,
        kubeconfig: &Path,
        namespace: Option<&str>,
        name: &str,
        lease: Duration,
        args: &[&str],
    ) -> Self {
        assert!(program.exists(), "{} is missing: run `cargo build -p bluegreen-operator`, or `cargo xtask test`", program.display());
        let log = directory.join(format!("operator-{name}.log"));
        let file = OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let child = Command::new(program)
            .env("KUBECONFIG", kubeconfig)
            .env("NO_COLOR", "1")
            .args(namespace.into_iter().flat_map(|namespace| ["--namespace", namespace]))
            .args(["--identity", name, "--listen", "127.0.0.1:0"])
            // Builds of before know only the second.
            .env("BLUEGREEN_ALLOW_ANY_SOURCE", "true")
            .env("BLUEGREEN_ALLOW_LOOPBACK_TARGETS", "true")
            .arg(format!("--lease-duration={}", stretched(lease).as_secs()))
            .args(["--log", "info,bluegreen_operator=debug"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { child, name: name.to_owned(), log }
    }

    /// Dies without a word.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Is told to end, and ends.
    pub fn terminate(&mut self) {
        self.signal(Signal::TERM);
        let ended = patience::until(|| self.child.try_wait().unwrap());
        assert!(
            ended.is_ok_and(|status| status.success()),
            "operator {} ended with {ended:?} after SIGTERM; the end of its log:\n{}",
            self.name,
            self.tail()
        );
    }

    /// Stands still, with all that it was about to do.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub fn wake(&self) {
        self.signal(Signal::CONT);
    }

    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// In KiB, while it runs.
    pub fn resident_memory(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    }

    /// All that it and its former lives logged.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn tail(&self) -> String {
        tail(&self.log)
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // A frozen one dies as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The last lines of a log.
pub(crate) fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

/// Gives the operator its identity: a kubeconfig with the token of its ServiceAccount.
pub(crate) fn write_kubeconfig(ground: &Ground, directory: &Path, token: &str, namespace: &str) {
    let file = File::create(directory.join("kubeconfig")).unwrap();
    serde_json::to_writer(file, &ground.kubeconfig(token, namespace)).unwrap();
}
