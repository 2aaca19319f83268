//! Tests that need a cluster: one of fake nodes, one with a real node. Each is brought up for them and taken down.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use bluegreen_cluster::{Cluster, Kind};

use super::program;
use super::report::Outcome;
use crate::built::{Built, build, root};
use crate::interrupt;

/// How many tests run at once on fake nodes: they wait most of the time.
const THREADS: &str = "--test-threads=8";

pub(super) fn on_fake_nodes(filters: &[String]) -> Result<Outcome> {
    run(Kind::Fake, "test-fake", &[&[THREADS.to_owned()], filters].concat())
}

/// One after the other: what they measure is traffic, and there is one node. Each says how many requests there were.
pub(super) fn on_a_real_node(filters: &[String]) -> Result<Outcome> {
    run(Kind::Node, "test-node", &[&["--test-threads=1", "--show-output"].map(str::to_owned), filters].concat())
}

fn run(kind: Kind, name: &str, words: &[String]) -> Result<Outcome> {
    if let Some(obstacle) = Cluster::obstacle(kind) {
        return Ok(Outcome::CouldNotRun(obstacle));
    }
    eprintln!("Building the tests and the operator …");
    // All at once, as for the tests of the crates: asked for one by one, their dependencies would be built again, with
    // other features. But not this program, which runs.
    let built = build(&["build", "--workspace", "--exclude=xtask", "--all-targets"])?;
    let here = root().join("tests/e2e");
    // The name of a test's file says what it runs on.
    let tests = built.iter().filter(|built| built.is_test && built.package == here);
    let tests: Vec<_> = tests.filter(|test| test.target.starts_with("node_") == (kind == Kind::Node)).collect();
    let mut wanted = Vec::new();
    for test in tests {
        if any(test, words)? {
            wanted.push(test);
        }
    }
    if wanted.is_empty() {
        return Ok(Outcome::NotWanted);
    }
    let program = |name: &str| {
        let found = built.iter().find(|built| !built.is_test && built.target == name);
        found.map(|built| built.path.as_path()).with_context(|| format!("cargo built everything, but no {name}"))
    };
    let (operator, load) = (program("bluegreen-operator")?, program("bluegreen-load")?);
    interrupt::check()?;
    let cluster = match users_own(kind) {
        Some(cluster) => Borrowed { cluster: Some(cluster), ours: false },
        None => Borrowed::up(kind, name)?,
    };
    let mut total = (0, 0, Vec::new());
    for test in wanted {
        interrupt::check()?;
        let mut command = cluster.get()?.command(&test.path);
        dress(&mut command, cluster.get()?, operator, load);
        if let Outcome::Ran { passed, failed, names } = program::tests(command.arg("--ignored").args(words))? {
            total.0 += passed;
            total.1 += failed;
            total.2.extend(names.into_iter().map(|name| format!("{}::{name}", test.target)));
        }
        // Operators and loads whose test was killed.
        interrupt::end_children();
    }
    cluster.down()?;
    Ok(Outcome::Ran { passed: total.0, failed: total.1, names: total.2 })
}

/// What cargo would tell a test, and where the test finds what it needs.
fn dress(command: &mut Command, cluster: &Cluster, operator: &Path, load: &Path) {
    let here = root().join("tests/e2e");
    command
        .current_dir(&here)
        .env("CARGO_MANIFEST_DIR", &here)
        .env("BLUEGREEN_CLUSTER", cluster.name())
        .env("BLUEGREEN_KUBECONFIG", cluster.kubeconfig())
        .env("BLUEGREEN_OPERATOR", operator)
        .env("BLUEGREEN_LOAD", load);
}

/// Whether there is a test in it that these words ask for.
fn any(test: &Built, words: &[String]) -> Result<bool> {
    let list = Command::new(&test.path).args(["--ignored", "--list", "--format=terse"]).args(words).output();
    let list = list.with_context(|| format!("cannot ask {} for its tests", test.path.display()))?;
    Ok(list.stdout.split(|byte| *byte == b'\n').any(|line| line.ends_with(b": test")))
}

/// The running cluster of fake nodes that `KUBECONFIG` names, if it is one of this checkout: the tests choose the fate of
/// pods, kill programs of the cluster and read its audit log, and can't do so on any other.
fn users_own(kind: Kind) -> Option<Cluster> {
    let named = std::env::var_os("KUBECONFIG").filter(|_| kind == Kind::Fake)?;
    let mut ours = Cluster::names().into_iter().filter_map(|name| Cluster::attach(&name).ok());
    let found = ours.find(|cluster| {
        cluster.kind() == kind && cluster.kubeconfig() == Path::new(&named) && cluster.programs().iter().all(|program| program.running)
    });
    match &found {
        Some(cluster) => eprintln!("KUBECONFIG names the cluster {}: it is used, and stays.", cluster.name()),
        None => eprintln!(
            "KUBECONFIG names no running cluster of fake nodes that `cargo xtask cluster up` made: these tests bring up their own."
        ),
    }
    found
}

/// A cluster that is taken down whatever happens, if we brought it up.
struct Borrowed {
    cluster: Option<Cluster>,
    ours: bool,
}

impl Borrowed {
    fn up(kind: Kind, name: &str) -> Result<Self> {
        // Nobody else uses it: this is what a run left that was killed.
        if let Ok(left) = Cluster::attach(name) {
            eprintln!("Taking down the cluster {name} that an earlier run left …");
            left.down()?;
        }
        eprintln!("Bringing up the cluster {name} …");
        Ok(Self { cluster: Some(Cluster::up(kind, name)?), ours: true })
    }

    fn get(&self) -> Result<&Cluster> {
        self.cluster.as_ref().context("the cluster was taken down already")
    }

    fn down(mut self) -> Result<()> {
        match self.cluster.take().filter(|_| self.ours) {
            Some(cluster) => cluster.down(),
            None => Ok(()),
        }
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if let Some(cluster) = self.cluster.take().filter(|_| self.ours) {
            let name = cluster.name().to_owned();
            if let Err(error) = cluster.down() {
                eprintln!("error: the cluster {name} could not be taken down: {error:#}; try `cargo xtask cluster down --name {name}`");
            }
        }
    }
}
