//! `cargo xtask test`: every test that this machine can run, and what it could not run and why.

pub(crate) mod clusters;
pub(crate) mod program;
mod report;

use std::fs::{self, File, TryLockError};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use bluegreen_cluster::paths;

pub(crate) use self::report::{Outcome, Report};
use crate::built::{cargo, root};
use crate::{interrupt, prove};

/// Of faults between operator and API server, and half as many with leadership lost again and again: ten in all.
const MINUTES_OF_CHURN: f64 = 6.7;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only what needs no cluster: generated files, formatting, lints, and the tests of the crates.
    #[arg(long)]
    core: bool,
    /// What could not run on this machine is a failure.
    #[arg(long, conflicts_with = "core")]
    require_all: bool,
    /// Run only tests whose names contain one of these, and no lints.
    filters: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let _alone = alone()?;
    interrupt::watch()?;
    let mut report = Report::new();
    if options.filters.is_empty() {
        lints(&mut report)?;
    }
    report.part("tests of the crates", || {
        program::tests(cargo().args(["test", "--workspace", "--no-fail-fast", "--"]).args(&options.filters))
    })?;
    if !options.core {
        if options.filters.is_empty() {
            report.part("broken on purpose", || prove::faults(&[]))?;
            report.part("mutants of what changed", prove::mutants_of_what_changed)?;
        }
        report.part("the cluster itself", || clusters::themselves(&options.filters))?;
        report.part("on fake nodes", || clusters::on_fake_nodes(&options.filters))?;
        report.part("on a real node", || clusters::on_a_real_node(&options.filters))?;
        if options.filters.is_empty() {
            report.part("churn", || clusters::churn(MINUTES_OF_CHURN))?;
        }
    }
    Ok(report.close(options.require_all))
}

fn lints(report: &mut Report) -> Result<()> {
    report.part("generated files", || {
        let ourselves = std::env::current_exe().context("cannot find this program")?;
        program::check(Command::new(ourselves).args(["generate", "--check"]))
    })?;
    report.part("formatting", || {
        if !program::is_there(cargo().args(["fmt", "--version"])) {
            return Ok(Outcome::CouldNotRun("rustfmt is missing: `rustup component add rustfmt`".into()));
        }
        program::check(cargo().args(["fmt", "--all", "--check"]))
    })?;
    report.part("lints", || {
        if !program::is_there(cargo().args(["clippy", "--version"])) {
            return Ok(Outcome::CouldNotRun("Clippy is missing: `rustup component add clippy`".into()));
        }
        program::check(cargo().args(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]))
    })?;
    report.part("the test application", || {
        if !program::is_there(Command::new("go").arg("version")) {
            return Ok(Outcome::CouldNotRun("Go is missing: install Go 1.26 or later and put it in PATH".into()));
        }
        program::check(Command::new("go").current_dir(root().join("tests/app")).env("GOWORK", "off").args(["test", "./..."]))
    })
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
