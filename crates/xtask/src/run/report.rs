//! What passed, what failed, what could not run and why; and how long it took, beside what it may take.

use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use bluegreen_cluster::binaries::words;

use super::budget;
use super::results::{Outcome, Results};
use crate::interrupt;

/// How many of the slowest tests are shown.
const SLOWEST: usize = 10;

struct Part {
    name: String,
    outcome: Outcome,
    took: Duration,
}

pub(crate) struct Report {
    started: Instant,
    parts: Vec<Part>,
    /// What this run may take in all, in minutes.
    budget: Option<f64>,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), parts: Vec::new(), budget: None }
    }

    /// Of a run whose clock started with the command, while this program had still to be built.
    pub(crate) fn since_the_command(budget: f64) -> Self {
        let now = Instant::now();
        let took = age_of_this_process().unwrap_or_default();
        let itself = Part { name: budget::XTASK.into(), outcome: Outcome::of(true), took };
        Self { started: now.checked_sub(took).unwrap_or(now), parts: vec![itself], budget: Some(budget) }
    }

    /// Does one part. Trouble on the way to its tests is a failure of it, and the next part runs all the same.
    pub(crate) fn part(&mut self, name: &str, run: impl FnOnce() -> Result<Outcome>) -> Result<&Outcome> {
        interrupt::check()?;
        let started = Instant::now();
        eprintln!("\n== {name} [{}]", words(self.started.elapsed()));
        let outcome = run().unwrap_or_else(|error| {
            eprintln!("error: {error:#}");
            Outcome::Ran(Results { failed: 1, whys: vec![format!("{error:#}")], ..Results::default() })
        });
        interrupt::check()?;
        let took = started.elapsed();
        match &outcome {
            Outcome::Ran(Results { failed: 0, .. }) => eprintln!("== {name}: passed in {}", words(took)),
            Outcome::Ran(_) => eprintln!("== {name}: FAILED after {}", words(took)),
            Outcome::CouldNotRun(why) => eprintln!("== {name}: could not run: {why}"),
            Outcome::NotWanted => eprintln!("== {name}: nothing to run"),
        }
        self.parts.push(Part { name: name.to_owned(), outcome, took });
        Ok(&self.parts[self.parts.len() - 1].outcome)
    }

    /// Shows all of it once more, and is good if nothing failed.
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
            let time = beside_budget(*took, self.budget.and_then(|_| budget::of(name)).map(|budget| budget.minutes));
            match outcome {
                Outcome::Ran(Results { passed, failed, names, whys, .. }) => {
                    all_passed += passed;
                    all_failed += failed;
                    let verdict = if *failed == 0 { "ok    " } else { "FAILED" };
                    lines.push(format!("{verdict}  {name:width$}  {time}  {passed} passed, {failed} failed"));
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
        lines.extend(self.slowest());
        lines.extend(self.outgrown());
        let mut good = all_failed == 0;
        if require_all && skipped > 0 {
            good = false;
            lines.push(format!("\n{skipped} of these could not run, and --require-all says that this is a failure."));
        }
        let skipped = if skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
        let all = self.budget.map(|budget| format!(", of {budget} minutes")).unwrap_or_default();
        lines.push(format!("\nIn {}{all}:\n{all_passed} passed, {all_failed} failed{skipped}", words(self.started.elapsed())));
        (lines.join("\n"), good)
    }

    fn slowest(&self) -> Vec<String> {
        let tests = self.parts.iter().filter_map(|part| match &part.outcome {
            Outcome::Ran(results) => Some(results.times.iter().map(|(name, took)| (*took, name, &part.name))),
            _ => None,
        });
        let mut tests: Vec<_> = tests.flatten().collect();
        if tests.len() <= SLOWEST {
            return Vec::new();
        }
        tests.sort_by(|one, other| other.cmp(one));
        let lines = tests.into_iter().take(SLOWEST).map(|(took, name, part)| format!("{:7.1} s  {name} ({part})", took.as_secs_f64()));
        [format!("\nThe {SLOWEST} slowest tests, of which some ran at the same time:")].into_iter().chain(lines).collect()
    }

    /// A remark: whether a part is slow says more about the machine than about the code.
    fn outgrown(&self) -> Vec<String> {
        if self.budget.is_none() {
            return Vec::new();
        }
        let beyond = self.parts.iter().filter_map(|Part { name, took, .. }| {
            let budget = budget::of(name).filter(|budget| budget::minutes(*took) > budget.minutes)?;
            Some(format!("Outgrew its budget: {name}, {:.1} minutes of {} ({})", budget::minutes(*took), budget.minutes, budget.takes))
        });
        let mut lines: Vec<_> = beyond.collect();
        if let Some(first) = lines.first_mut() {
            first.insert(0, '\n');
        }
        lines
    }
}

fn beside_budget(took: Duration, budget: Option<f64>) -> String {
    match budget {
        Some(budget) => format!("{:5.1} min of {budget:3.1}", budget::minutes(took)),
        None => format!("{:5.1} min", budget::minutes(took)),
    }
}

/// Since when this process is there. Cargo puts a program that it runs in its own place: what it built before counts.
fn age_of_this_process() -> Option<Duration> {
    age(&fs::read_to_string("/proc/self/stat").ok()?, &fs::read_to_string("/proc/uptime").ok()?, rustix::param::clock_ticks_per_second())
}

fn age(stat: &str, uptime: &str, ticks_per_second: u64) -> Option<Duration> {
    // The program's name stands in brackets and may hold anything; the start is the twentieth field after it.
    let (_, fields) = stat.rsplit_once(") ")?;
    let started: f64 = fields.split(' ').nth(19)?.parse().ok()?;
    let up: f64 = uptime.split(' ').next()?.parse().ok()?;
    #[expect(clippy::cast_precision_loss, reason = "there are a hundred or a thousand")]
    Duration::try_from_secs_f64(up - started / ticks_per_second as f64).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(outcomes: Vec<Outcome>) -> Report {
        let parts = outcomes.into_iter().map(|outcome| Part { name: "part".into(), outcome, took: Duration::ZERO });
        Report { started: Instant::now(), parts: parts.collect(), budget: None }
    }

    fn ran(passed: u64, failed: u64) -> Outcome {
        Outcome::Ran(Results {
            passed,
            failed,
            names: vec!["some_test".into(); usize::from(failed > 0)],
            whys: vec!["thread 'a' panicked at b:\nc".into(); usize::from(failed > 0)],
            ..Results::default()
        })
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

    #[test]
    fn a_part_that_outgrew_its_budget_is_a_remark_and_no_failure() {
        let part = |name: &str, seconds| Part { name: name.into(), outcome: ran(1, 0), took: Duration::from_secs(seconds) };
        let parts = || vec![part(budget::CHURN, 6 * 60), part(budget::FAULTS, 60), part("other", 9_000)];
        let report = |budget| Report { started: Instant::now(), parts: parts(), budget };
        let (text, good) = report(Some(45.0)).summary(true);
        assert!(good && text.contains("churn                6.0 min of 5.0  1 passed"), "{text}");
        assert_eq!(text.matches("Outgrew its budget").count(), 1, "{text}");
        assert!(text.contains("\nOutgrew its budget: churn, 6.0 minutes of 5 (2.5 minutes of faults"), "{text}");
        assert!(!report(None).summary(true).0.contains("budget"));
    }

    #[test]
    fn the_ten_slowest_tests_of_all_parts_are_shown() {
        let part = |name: &str, from: u64| {
            let times = (from..from + 8).map(|seconds| (format!("test_of_{seconds}_s"), Duration::from_secs(seconds))).collect();
            Part { name: name.into(), outcome: Outcome::Ran(Results { times, ..Results::default() }), took: Duration::ZERO }
        };
        let (text, _) = Report { started: Instant::now(), parts: vec![part("one", 1), part("two", 100)], budget: None }.summary(true);
        let slowest: Vec<_> = text.lines().filter(|line| line.contains("test_of")).collect();
        assert_eq!((slowest.len(), slowest[0], slowest[9]), (10, "  107.0 s  test_of_107_s (two)", "    7.0 s  test_of_7_s (one)"));
    }

    #[test]
    fn the_age_of_a_process_is_read_whatever_its_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 6000 9 10";
        assert_eq!(age(stat, "100.50 20.00\n", 100), Some(Duration::from_millis(40_500)));
        assert!(age_of_this_process().is_some());
    }
}
