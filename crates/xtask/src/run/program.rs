//! Running a program while its words are passed on, and the results of tests in them counted.

use std::io::{BufRead, BufReader, PipeReader, pipe};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use super::results::{Outcome, Results};
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

/// Runs tests and counts them by the output of Rust's test harness. Output of tests that comes while they run is read as well:
/// it says why they fail, and what they covered.
pub(crate) fn tests(command: &mut Command) -> Result<Results> {
    let (words, end) = pipe().context("cannot make a pipe")?;
    let other_end = end.try_clone().context("cannot share a pipe")?;
    counted(command.stdout(end).stderr(other_end), words)
}

/// The results in what the programs of tests printed.
pub(crate) fn read(output: &str) -> Results {
    let mut count = Count::default();
    output.lines().for_each(|line| count.line(line));
    count.end()
}

fn counted(command: &mut Command, words: PipeReader) -> Result<Results> {
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
    if !status.success() && count.results.failed == 0 {
        count.results.failed = 1;
        count.results.names.push(format!("{} itself: {status}", command.get_program().display()));
    }
    Ok(count.end())
}

/// How much of a panic's message is shown again at the end.
const WHY_LINES: usize = 8;
/// The words with which a test begins a line about what it covered.
const COVERED: &str = "covered: ";

#[derive(Debug, Default)]
struct Count {
    results: Results,
    /// So many lines of the last panic may still come.
    more: usize,
    /// The test whose output comes between its name and its result, as without capture.
    open: Option<String>,
}

impl Count {
    fn end(mut self) -> Results {
        if self.results.failed == 0 {
            self.results.whys.clear();
        }
        self.results
    }

    fn line(&mut self, line: &str) {
        if line.starts_with("thread '") && line.contains(" panicked at ") {
            self.results.whys.push(line.to_owned());
            self.more = WHY_LINES;
        } else if self.more > 0 {
            self.why(line);
        }
        if let Some(result) = line.strip_prefix("test result: ") {
            let number = |what: &str| {
                let (before, _) = result.split_once(what)?;
                before.rsplit([' ', '.', ';']).find(|word| !word.is_empty())?.parse::<u64>().ok()
            };
            self.results.passed += number(" passed").unwrap_or_default();
            self.results.failed += number(" failed").unwrap_or_default();
            return;
        }
        let mut rest = line;
        if let Some((name, after)) = line.strip_prefix("test ").and_then(|line| line.split_once(" ... ")) {
            self.open = Some(name.trim_end_matches(" - should panic").to_owned());
            rest = after;
        }
        if let Some(covered) = rest.strip_prefix(COVERED) {
            self.results.covered.push(covered.to_owned());
        }
        if let (Some(name), Some(end)) = (&self.open, end(rest)) {
            if end.failed {
                self.results.names.push(name.clone());
            }
            self.results.times.extend(end.took.map(|took| (name.clone(), took)));
            self.open = None;
        }
    }

    fn why(&mut self, line: &str) {
        let over = line.is_empty() || line.starts_with("note: ") || line.starts_with("stack backtrace") || line.starts_with("test ");
        self.more = if over { 0 } else { self.more - 1 };
        if let (false, Some(why)) = (over, self.results.whys.last_mut()) {
            why.push('\n');
            why.push_str(line);
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct End {
    failed: bool,
    took: Option<Duration>,
}

/// The result of a test, as the harness prints it behind the name: `ok <0.300s>`, and without the time where nobody asked for it.
fn end(words: &str) -> Option<End> {
    let (verdict, took) = match words.split_once(' ') {
        Some((verdict, time)) => {
            let seconds = time.strip_prefix('<')?.strip_suffix("s>")?.parse().ok()?;
            (verdict, Some(Duration::try_from_secs_f64(seconds).ok()?))
        }
        None => (words, None),
    };
    match verdict {
        "ok" => Some(End { failed: false, took }),
        "FAILED" => Some(End { failed: true, took }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(lines: &[&str]) -> Results {
        read(&lines.join("\n"))
    }

    #[test]
    fn results_are_counted_over_several_harnesses() {
        let results = count(&[
            "running 3 tests",
            "test tests::one ... ok",
            "test tests::two ... FAILED",
            "test tests::three ... ignored, needs a cluster",
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: ok. 40 passed; 0 failed; 7 ignored; 0 measured; 0 filtered out; finished in 12.31s",
        ]);
        assert_eq!((results.passed, results.failed, results.names), (42, 1, vec!["tests::two".to_owned()]));
        assert_eq!(results.times, []);
    }

    #[test]
    fn the_time_of_each_test_is_kept() {
        let results = count(&[
            "test fast ... ok <0.000s>",
            "test by_design - should panic ... ok <1.002s>",
            "test left_out ... ignored, why",
            "test bad ... FAILED <61.250s>",
            "ok <9.000s>",
        ]);
        let times = [("fast", 0), ("by_design", 1_002), ("bad", 61_250)];
        assert_eq!(results.times, times.map(|(name, millis)| (name.to_owned(), Duration::from_millis(millis))));
        assert_eq!(results.names, ["bad"]);
    }

    #[test]
    fn without_capture_the_result_comes_behind_the_output() {
        let results = count(&[
            "test long ... 50 rollouts, 90 s of faults",
            "covered: 7 kills",
            "ok <2.500s>",
            "test bad ... covered: 3 states",
            "FAILED <0.001s>",
            "test quiet ... FAILED",
        ]);
        let times = [("long", 2_500), ("bad", 1)].map(|(name, millis)| (name.to_owned(), Duration::from_millis(millis)));
        assert_eq!((results.times, results.names), (times.to_vec(), vec!["bad".to_owned(), "quiet".to_owned()]));
        assert_eq!(results.covered, ["7 kills", "3 states"]);
    }

    #[test]
    fn the_words_of_a_panic_are_kept_where_a_test_failed() {
        let panic = ["thread 'main' (7) panicked at src/a.rs:1:2:", "left is", "right is", "note: run with", "thread 2 waits"];
        let failed = "test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(count(&[&panic[..], &[failed]].concat()).whys, ["thread 'main' (7) panicked at src/a.rs:1:2:\nleft is\nright is"]);
        assert_eq!(count(&panic).whys, [""; 0], "a panic that a test asks for is no failure");
    }
}
