//! Programs of tests as cargo built them, run one by one as cargo would run them.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::program;
use super::results::Results;
use crate::built::Built;

/// Which tests of a program are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tests {
    /// Those that run everywhere.
    Usual,
    /// Those that say that they need a cluster.
    Ignored,
}

/// Rust's harness prints times only for who asks for what is not promised to stay: a harness that refuses this runs without.
const TIMES: [&str; 2] = ["-Zunstable-options", "--report-time"];
/// Only the harness gets to see it. A compiler that sees it takes itself for another one, and builds everything anew.
const ALLOWED: (&str, &str) = ("RUSTC_BOOTSTRAP", "1");

/// A program in which there is a test that was asked for.
pub(crate) struct Harness<'b> {
    pub(crate) program: &'b Built,
    words: Vec<String>,
    timed: bool,
}

impl<'b> Harness<'b> {
    /// `None` if no test of the program has such a name.
    pub(crate) fn of(program: &'b Built, tests: Tests, words: &[String]) -> Result<Option<Self>> {
        let ignored = (tests == Tests::Ignored).then(|| "--ignored".to_owned());
        let words: Vec<_> = ignored.into_iter().chain(words.iter().cloned()).collect();
        let mut listed = list(program, &words, true)?;
        let timed = listed.is_some();
        if !timed {
            listed = list(program, &words, false)?;
        }
        let listed = listed.with_context(|| format!("{} doesn't list its tests", program.path.display()))?;
        let any = listed.split(|byte| *byte == b'\n').any(|line| line.ends_with(b": test"));
        Ok(any.then_some(Self { program, words, timed }))
    }

    /// `command`: of this program, with the environment that its tests need.
    pub(crate) fn run(&self, command: &mut Command) -> Result<Results> {
        program::tests(as_cargo_would(command, &self.program.package, self.timed).args(&self.words))
    }
}

fn list(program: &Built, words: &[String], timed: bool) -> Result<Option<Vec<u8>>> {
    let mut command = Command::new(&program.path);
    as_cargo_would(&mut command, &program.package, timed).args(["--list", "--format=terse"]).args(words);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot ask {} for its tests", program.path.display()))?;
    Ok(output.status.success().then_some(output.stdout))
}

fn as_cargo_would<'c>(command: &'c mut Command, package: &Path, timed: bool) -> &'c mut Command {
    command.current_dir(package).env("CARGO_MANIFEST_DIR", package);
    if timed {
        command.env(ALLOWED.0, ALLOWED.1).args(TIMES);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ourselves() -> Built {
        Built { target: "xtask".into(), path: std::env::current_exe().unwrap(), package: env!("CARGO_MANIFEST_DIR").into(), is_test: true }
    }

    #[test]
    fn the_harness_of_this_rust_says_how_long_a_test_took() {
        let (ourselves, name) = (ourselves(), ["durations_are_parsed_by_nobody".to_owned()]);
        assert!(Harness::of(&ourselves, Tests::Usual, &name).unwrap().is_none());
        let words = ["run::harness::tests::a_test_to_be_run_by_another".to_owned(), "--exact".to_owned()];
        let harness = Harness::of(&ourselves, Tests::Usual, &words).unwrap().unwrap();
        let results = harness.run(&mut Command::new(&ourselves.path)).unwrap();
        assert_eq!((results.passed, results.failed, results.times.len()), (1, 0, 1), "{results:?}");
        assert!(Harness::of(&ourselves, Tests::Ignored, &words).unwrap().is_none());
    }

    #[test]
    fn a_test_to_be_run_by_another() {}
}
