//! Tests that need a cluster: one of fake nodes, one with a real node. Each is brought up for them and taken down.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use bluegreen_cluster::{Cluster, Kind};

use super::harness::{Harness, Tests};
use super::results::{Outcome, Results};
use super::settings::Settings;
use crate::built::{Built, everything, root};
use crate::interrupt;

/// A storm of minutes, which is a part of its own.
const CHURN: &str = "churn";
/// A part of the night alone: it takes an operator of an earlier commit.
pub(crate) const SCENES: &str = "node_scenes";
/// Another one: it takes the image as it is shipped.
pub(crate) const INSTALL: &str = "node_install";
/// The packages with tests that need a cluster.
const PACKAGES: [&str; 2] = ["tests/e2e", "tests/sim"];

/// The name of a test's file says what it runs on.
fn on_node(target: &str) -> bool {
    target.starts_with("node_")
}

/// How many tests of a program run at once. On fake nodes they wait most of the time; on the real one those of one program are
/// made for each other's company, and what the others measure is traffic. Each test of churn stops and freezes programs.
fn threads(target: &str) -> u32 {
    match target {
        "node_together" => 3,
        target if on_node(target) || target == CHURN => 1,
        _ => 8,
    }
}

pub(crate) fn on_fake_nodes(settings: &Settings, filters: &[String]) -> Result<Outcome> {
    let is = |target: &str| !on_node(target) && target != CHURN;
    run(Kind::Fake, Some("test-fake"), settings, filters, is)
}

/// Each says how many requests there were.
pub(crate) fn on_a_real_node(settings: &Settings, filters: &[String]) -> Result<Outcome> {
    let is = |target: &str| on_node(target) && ![SCENES, INSTALL].contains(&target);
    run(Kind::Node, Some("test-node"), settings, &[&["--show-output".to_owned()], filters].concat(), is)
}

/// The faults between operator and API server, for so long, and for half of that with leadership lost again and again.
pub(crate) fn churn(settings: &Settings, minutes: f64) -> Result<Outcome> {
    let settings = settings.with("BLUEGREEN_CHURN_MINUTES", minutes);
    run(Kind::Fake, None, &settings, &["--nocapture".to_owned()], |target| target == CHURN)
}

/// The tests of one program. Of fake nodes it brings up its own cluster.
pub(crate) fn one(kind: Kind, settings: &Settings, program: &str) -> Result<Outcome> {
    let words = ["--show-output".to_owned()];
    run(kind, (kind == Kind::Node).then_some("test-node"), settings, &words, |target| target == program)
}

/// What the library of clusters promises to those who test with it.
pub(crate) fn themselves(settings: &Settings, filters: &[String]) -> Result<Outcome> {
    if let Some(obstacle) = Cluster::obstacle(Kind::Fake) {
        return Ok(Outcome::CouldNotRun(obstacle));
    }
    let built = everything()?;
    let mut total = None;
    for test in wanted(&built, &["tests/cluster"], filters, |_| true)? {
        add(&mut total, &test, settings.give(&mut Command::new(&test.program.path)))?;
    }
    Ok(Results::outcome(total))
}

/// `name`: of the cluster that they share. `is`: which of the tests' programs, by their names.
fn run(kind: Kind, name: Option<&str>, settings: &Settings, words: &[String], is: impl Fn(&str) -> bool) -> Result<Outcome> {
    if let Some(obstacle) = Cluster::obstacle(kind) {
        return Ok(Outcome::CouldNotRun(obstacle));
    }
    eprintln!("Building the tests and the operator …");
    let built = everything()?;
    let wanted = wanted(&built, &PACKAGES, words, is)?;
    if wanted.is_empty() {
        return Ok(Outcome::NotWanted);
    }
    let program = |name: &str| {
        let found = built.iter().find(|built| !built.is_test && built.target == name);
        found.map(|built| built.path.as_path()).with_context(|| format!("cargo built everything, but no {name}"))
    };
    let (operator, load) = (program("bluegreen-operator")?, program("bluegreen-load")?);
    interrupt::check()?;
    let cluster = match name {
        Some(name) => Some(Borrowed::users_own_or_up(kind, name)?),
        None => None,
    };
    let mut total = None;
    for test in wanted {
        let mut command = match &cluster {
            Some(cluster) => cluster.command(&test.program.path)?,
            None => Command::new(&test.program.path),
        };
        command.arg(format!("--test-threads={}", threads(&test.program.target)));
        settings.give(command.env("BLUEGREEN_OPERATOR", operator).env("BLUEGREEN_LOAD", load));
        add(&mut total, &test, &mut command)?;
    }
    cluster.map_or(Ok(()), Borrowed::down)?;
    Ok(Results::outcome(total))
}

/// The programs of these packages in which there is a test that these words ask for.
fn wanted<'b>(built: &'b [Built], packages: &[&str], words: &[String], is: impl Fn(&str) -> bool) -> Result<Vec<Harness<'b>>> {
    let packages: Vec<_> = packages.iter().map(|package| root().join(package)).collect();
    let programs = built.iter().filter(|built| built.is_test && packages.contains(&built.package) && is(&built.target));
    programs.filter_map(|program| Harness::of(program, Tests::Ignored, words).transpose()).collect()
}

fn add(total: &mut Option<Results>, test: &Harness<'_>, command: &mut Command) -> Result<()> {
    interrupt::check()?;
    let results = test.run(command)?;
    total.get_or_insert_default().add(&test.program.target, results);
    // Operators and loads whose test was killed.
    interrupt::end_children();
    Ok(())
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
    fn users_own_or_up(kind: Kind, name: &str) -> Result<Self> {
        match users_own(kind) {
            Some(cluster) => Ok(Self { cluster: Some(cluster), ours: false }),
            None => Self::up(kind, name),
        }
    }

    fn up(kind: Kind, name: &str) -> Result<Self> {
        // Nobody else uses it: this is what a run left that was killed.
        if let Ok(left) = Cluster::attach(name) {
            eprintln!("Taking down the cluster {name} that an earlier run left …");
            left.down()?;
        }
        eprintln!("Bringing up the cluster {name} …");
        Ok(Self { cluster: Some(Cluster::up(kind, name)?), ours: true })
    }

    /// A program of tests, which finds the cluster by its name.
    fn command(&self, program: &Path) -> Result<Command> {
        let cluster = self.cluster.as_ref().context("the cluster was taken down already")?;
        let mut command = cluster.command(program);
        command.env("BLUEGREEN_CLUSTER", cluster.name());
        Ok(command)
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
