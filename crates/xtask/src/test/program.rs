//! Running a program while its words are passed on, and the results of tests in them counted.

use std::io::{BufRead, BufReader, PipeReader, pipe};
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
    let (words, end) = pipe().context("cannot make a pipe")?;
    counted(command.stdout(end), words)
}

/// The same where tests tell of themselves while they run, and also why they fail.
pub(crate) fn telling_tests(command: &mut Command) -> Result<Outcome> {
    let (words, end) = pipe().context("cannot make a pipe")?;
    let other_end = end.try_clone().context("cannot share a pipe")?;
    counted(command.stdout(end).stderr(other_end), words)
}

fn counted(command: &mut Command, words: PipeReader) -> Result<Outcome> {
    let mut child = spawn(command)?;
    // The command holds the ends of the pipe as well, and would keep it from ending.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut count = Count::default();
    for line in BufReader::new(words).split(b'\n') {
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
    Ok(count.outcome())
}

/// How much of a panic's message is told again at the end.
const WHY_LINES: usize = 8;

#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    passed: u64,
    failed: u64,
    names: Vec<String>,
    /// What was said where tests panicked.
    whys: Vec<String>,
    /// So many lines of the last of them may still come.
    more: usize,
}

impl Count {
    fn outcome(self) -> Outcome {
        let whys = if self.failed > 0 { self.whys } else { Vec::new() };
        Outcome::Ran { passed: self.passed, failed: self.failed, names: self.names, whys }
    }

    fn line(&mut self, line: &str) {
        if line.starts_with("thread '") && line.contains(" panicked at ") {
            self.whys.push(line.to_owned());
            self.more = WHY_LINES;
        } else if self.more > 0 {
            self.why(line);
        }
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

    fn why(&mut self, line: &str) {
        let over = line.is_empty() || line.starts_with("note: ") || line.starts_with("stack backtrace") || line.starts_with("test ");
        self.more = if over { 0 } else { self.more - 1 };
        if let (false, Some(why)) = (over, self.whys.last_mut()) {
            why.push('\n');
            why.push_str(line);
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
        assert_eq!((count.passed, count.failed, count.names), (42, 1, vec!["tests::two".to_owned()]));
    }

    #[test]
    fn the_words_of_a_panic_are_kept() {
        let mut count = Count::default();
        for line in
            ["thread 'main' (7) panicked at src/a.rs:1:2:", "left is", "right is", "note: run with", "thread 2 waits", "test a ... FAILED"]
        {
            count.line(line);
        }
        assert_eq!(count.whys, ["thread 'main' (7) panicked at src/a.rs:1:2:\nleft is\nright is"]);
    }
}
