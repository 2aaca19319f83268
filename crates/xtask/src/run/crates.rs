//! The tests that need no cluster.

use std::process::Command;

use anyhow::Result;

use super::harness::{Harness, Tests};
use super::program;
use super::results::{Outcome, Results};
use super::settings::Settings;
use crate::built::{cargo, everything};
use crate::interrupt;

/// The tests of every program, as `cargo test` runs them.
pub(crate) fn tests(settings: &Settings, filters: &[String]) -> Result<Outcome> {
    let built = everything()?;
    let mut total = None;
    for program in built.iter().filter(|built| built.is_test) {
        interrupt::check()?;
        let Some(harness) = Harness::of(program, Tests::Usual, filters)? else { continue };
        println!("\n{} of {}", program.target, program.package.display());
        let results = harness.run(settings.give(&mut Command::new(&program.path)))?;
        total.get_or_insert_with(Results::default).add(&program.target, results);
    }
    Ok(Results::outcome(total))
}

/// Those in doc comments, which cargo alone can build.
pub(crate) fn examples(filters: &[String]) -> Result<Outcome> {
    let results = program::tests(cargo().args(["test", "--quiet", "--workspace", "--doc", "--"]).args(filters))?;
    Ok(Outcome::Ran(results))
}
