//! `cargo xtask test`: every test that this machine can run, and what it could not run and why.

use std::fs::{self, File, TryLockError};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use bluegreen_cluster::paths;

use crate::built::{cargo, everything, root};
use crate::run::kubernetes::Building;
use crate::run::{Outcome, Report, Settings, budget, clusters, crates, program};
use crate::{interrupt, prove};

/// Of faults between operator and API server; half as many follow with leadership lost again and again, 2.5 in all.
const MINUTES_OF_CHURN: f64 = 1.7;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only what needs no cluster: generated files, formatting, lints, and the tests of the crates.
    #[arg(long)]
    core: bool,
    /// What could not run on this machine is a failure.
    #[arg(long, conflicts_with = "core")]
    require_all: bool,
    /// Run the tests as on a machine that is so many times slower: their patience and their readings of the clock follow.
    #[arg(long, value_name = "TIMES", value_parser = clap::value_parser!(u32).range(1..=16))]
    slower: Option<u32>,
    /// Run only tests whose names contain one of these, and no lints.
    filters: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let _alone = alone()?;
    interrupt::watch()?;
    let Options { core, filters, .. } = options;
    // The usual search of the model is for who works on the engine, the full and the deep one are parts of the night.
    let settings = Settings::of_day(options.slower).with("MODEL", "quick");
    eprintln!("Tests are given {}", settings.words());
    let everything_is_asked = filters.is_empty() && !core;
    let mut report = if everything_is_asked { Report::since_the_command(budget::ALL) } else { Report::new() };
    let kubernetes = everything_is_asked.then(Building::begin);
    if filters.is_empty() {
        lints(&mut report)?;
    }
    report.part(budget::BUILD, || everything().map(|_| Outcome::of(true)))?;
    if let Some(kubernetes) = kubernetes {
        report.part(budget::KUBERNETES, || kubernetes.end())?;
    }
    report.part(budget::CRATES, || crates::tests(&settings, filters))?;
    report.part(budget::EXAMPLES, || crates::examples(filters))?;
    if !core {
        if filters.is_empty() {
            report.part(budget::FAULTS, || prove::faults::each_by_its_check(&[]))?;
        }
        report.part(budget::CLUSTER, || clusters::themselves(&settings, filters))?;
        report.part(budget::FAKE_NODES, || clusters::on_fake_nodes(&settings, filters))?;
        report.part(budget::REAL_NODE, || clusters::on_a_real_node(&settings, filters))?;
        if filters.is_empty() {
            report.part(budget::CHURN, || clusters::churn(&settings, MINUTES_OF_CHURN))?;
        }
    }
    Ok(report.close(options.require_all))
}

fn lints(report: &mut Report) -> Result<()> {
    report.part(budget::GENERATED, || {
        let ourselves = std::env::current_exe().context("cannot find this program")?;
        program::check(Command::new(ourselves).args(["generate", "--check"]))
    })?;
    report.part(budget::FORMATTING, || {
        if !program::is_there(cargo().args(["fmt", "--version"])) {
            return Ok(Outcome::CouldNotRun("rustfmt is missing: `rustup component add rustfmt`".into()));
        }
        program::check(cargo().args(["fmt", "--all", "--check"]))
    })?;
    report.part(budget::APPLICATION, || {
        if !program::is_there(Command::new("go").arg("version")) {
            return Ok(Outcome::CouldNotRun("Go is missing: install Go 1.26 or later and put it in PATH".into()));
        }
        program::check(Command::new("go").current_dir(root().join("tests/app")).env("GOWORK", "off").args(["test", "./..."]))
    })?;
    report.part(budget::LINTS, || {
        if !program::is_there(cargo().args(["clippy", "--version"])) {
            return Ok(Outcome::CouldNotRun("Clippy is missing: `rustup component add clippy`".into()));
        }
        program::check(cargo().args(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]))
    })?;
    Ok(())
}
/// Two runs in one checkout would take each other's clusters down.
fn alone() -> Result<File> {
    let dir = paths::cluster_root();
    fs::create_dir_all(&dir).with_context(|| format!("cannot make the directory {}", dir.display()))?;
    let file = File::create(dir.join("test.lock")).context("cannot make the lock file of the tests")?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("another `cargo xtask test` runs in this checkout: wait for its end"),
        Err(TryLockError::Error(error)) => Err(error).context("cannot lock the lock file of the tests"),
    }
}
