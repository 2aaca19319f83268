//! What passed, what failed, and what could not run and why.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use bluegreen_cluster::binaries::words;

use crate::interrupt;

/// How one part of the run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ran {
        passed: u64,
        failed: u64,
        /// What failed, as far as it has a name.
        names: Vec<String>,
        /// What was said about it.
        whys: Vec<String>,
    },
    /// It says why, and what to do about it.
    CouldNotRun(String),
    /// Nobody asked for it.
    NotWanted,
}

impl Outcome {
    /// Of something that is one check in itself.
    pub(crate) fn of(passed: bool) -> Self {
        Self::Ran { passed: passed.into(), failed: (!passed).into(), names: Vec::new(), whys: Vec::new() }
    }
}

struct Part {
    name: &'static str,
    outcome: Outcome,
    took: Duration,
}

pub(crate) struct Report {
    started: Instant,
    parts: Vec<Part>,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), parts: Vec::new() }
    }

    /// Does one part. Trouble on the way to its tests is a failure of it, and the next part runs all the same.
    pub(crate) fn part(&mut self, name: &'static str, run: impl FnOnce() -> Result<Outcome>) -> Result<()> {
        interrupt::check()?;
        let started = Instant::now();
        eprintln!("\n== {name} [{}]", words(self.started.elapsed()));
        let outcome = run().unwrap_or_else(|error| {
            eprintln!("error: {error:#}");
            Outcome::of(false)
        });
        interrupt::check()?;
        let took = started.elapsed();
        match &outcome {
            Outcome::Ran { failed: 0, .. } => eprintln!("== {name}: passed in {}", words(took)),
            Outcome::Ran { .. } => eprintln!("== {name}: FAILED after {}", words(took)),
            Outcome::CouldNotRun(why) => eprintln!("== {name}: could not run: {why}"),
            Outcome::NotWanted => eprintln!("== {name}: nothing to run"),
        }
        self.parts.push(Part { name, outcome, took });
        Ok(())
    }

    /// Tells all of it once more, and is good if nothing failed.
    pub(crate) fn close(self, require_all: bool) -> ExitCode {
        let (text, good) = self.summary(require_all);
        println!("\n{text}");
        if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn summary(&self, require_all: bool) -> (String, bool) {
        let (mut all_passed, mut all_failed, mut skipped) = (0, 0, 0);
        let mut lines = Vec::new();
        let width = self.parts.iter().map(|part| part.name.len()).max().unwrap_or_default();
        for Part { name, outcome, took } in &self.parts {
            let words = words(*took);
            match outcome {
                Outcome::Ran { passed, failed, names, whys } => {
                    all_passed += passed;
                    all_failed += failed;
                    let verdict = if *failed == 0 { "ok    " } else { "FAILED" };
                    lines.push(format!("{verdict}  {name:width$}  {passed} passed, {failed} failed in {words}"));
                    lines.extend(names.iter().map(|name| format!("          failed: {name}")));
                    lines.extend(whys.iter().map(|why| format!("          why: {}", why.replace('\n', "\n               "))));
                }
                Outcome::CouldNotRun(why) => {
                    skipped += 1;
                    lines.push(format!("NOT RUN {name:width$}  {why}"));
                }
                Outcome::NotWanted => (),
            }
        }
        let mut good = all_failed == 0;
        if require_all && skipped > 0 {
            good = false;
            lines.push(format!("\n{skipped} of these could not run, and --require-all says that this is a failure."));
        }
        let skipped = if skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
        lines.push(format!("\nIn {}:\n{all_passed} passed, {all_failed} failed{skipped}", words(self.started.elapsed())));
        (lines.join("\n"), good)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(outcomes: Vec<Outcome>) -> Report {
        let parts = outcomes.into_iter().map(|outcome| Part { name: "part", outcome, took: Duration::ZERO });
        Report { started: Instant::now(), parts: parts.collect() }
    }

    fn ran(passed: u64, failed: u64) -> Outcome {
        Outcome::Ran {
            passed,
            failed,
            names: vec!["some_test".into(); usize::from(failed > 0)],
            whys: vec!["thread 'a' panicked at b:\nc".into(); usize::from(failed > 0)],
        }
    }

    #[test]
    fn the_last_line_counts_everything() {
        let (text, good) = report(vec![ran(3, 0), Outcome::NotWanted, ran(4, 1)]).summary(false);
        assert!(text.ends_with("\n7 passed, 1 failed") && text.contains("failed: some_test"), "{text}");
        assert!(text.contains("why: thread 'a' panicked at b:\n               c\n"), "{text}");
        assert!(!good);
        let (text, good) = report(vec![ran(3, 0)]).summary(true);
        assert!(text.ends_with("\n3 passed, 0 failed") && good, "{text}");
    }

    #[test]
    fn what_could_not_run_fails_only_where_all_is_required() {
        let could_not = || report(vec![ran(1, 0), Outcome::CouldNotRun("it needs root".into())]);
        let (text, good) = could_not().summary(false);
        assert!(text.contains("it needs root") && text.ends_with("\n1 passed, 0 failed, 1 skipped") && good, "{text}");
        assert!(!could_not().summary(true).1);
    }
}
