//! Running a program while its words are passed on, and the results of tests in them counted.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::report::Outcome;
use crate::interrupt::spawn;

/// Runs a program that is one check in itself.
pub(crate) fn check(command: &mut Command) -> Result<Outcome> {
    let mut child = spawn(command)?;
    let status = child.0.wait().context("cannot wait for a program")?;
    Ok(Outcome::of(status.success()))
}

/// Whether a program is there and works, seen from its answer to `--version` or the like.
pub(crate) fn is_there(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Runs tests and counts them by what Rust's test harness prints.
pub(crate) fn tests(command: &mut Command) -> Result<Outcome> {
    let mut child = spawn(command.stdout(Stdio::piped()))?;
    let mut count = Count::default();
    for line in BufReader::new(child.0.stdout.take().context("a program without output")?).split(b'\n') {
        let line = line.context("cannot read what the tests print")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        count.line(&line);
    }
    let status = child.0.wait().context("cannot wait for the tests")?;
    // Tests that don't compile, or a harness that crashes, have no line of results.
    if !status.success() && count.failed == 0 {
        count.failed = 1;
        count.names.push(format!("{} itself: {status}", command.get_program().display()));
    }
    Ok(Outcome::Ran { passed: count.passed, failed: count.failed, names: count.names })
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    passed: u64,
    failed: u64,
    names: Vec<String>,
}

impl Count {
    fn line(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            let number = |what: &str| {
                let (before, _) = result.split_once(what)?;
                before.rsplit([' ', '.', ';']).find(|word| !word.is_empty())?.parse::<u64>().ok()
            };
            self.passed += number(" passed").unwrap_or_default();
            self.failed += number(" failed").unwrap_or_default();
        } else if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            self.names.push(name.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_counted_over_several_harnesses() {
        let mut count = Count::default();
        for line in [
            "running 3 tests",
            "test tests::one ... ok",
            "test tests::two ... FAILED",
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: ok. 40 passed; 0 failed; 7 ignored; 0 measured; 0 filtered out; finished in 12.31s",
        ] {
            count.line(line);
        }
        assert_eq!(count, Count { passed: 42, failed: 1, names: vec!["tests::two".into()] });
    }
}
