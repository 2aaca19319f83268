//! How many minutes each part of the tests of the day may take, on two cores on which nothing was built before.
//!
//! CONTRIBUTING.md shows the same table. To outgrow a budget is a remark and never a failure: it depends on the machine.

use std::time::Duration;

/// A part of `cargo xtask test` and its budget.
#[derive(Debug)]
pub(crate) struct Budget {
    pub(crate) part: &'static str,
    pub(crate) minutes: f64,
    /// The reason for the time.
    pub(crate) takes: &'static str,
}

pub(crate) const XTASK: &str = "cargo xtask itself";
pub(crate) const GENERATED: &str = "generated files";
pub(crate) const FORMATTING: &str = "formatting";
pub(crate) const APPLICATION: &str = "the test application";
pub(crate) const LINTS: &str = "lints";
pub(crate) const BUILD: &str = "build";
pub(crate) const KUBERNETES: &str = "Kubernetes";
pub(crate) const CRATES: &str = "tests of the crates";
pub(crate) const EXAMPLES: &str = "examples in comments";
pub(crate) const FAULTS: &str = "broken on purpose";
pub(crate) const CLUSTER: &str = "the cluster itself";
pub(crate) const FAKE_NODES: &str = "on fake nodes";
pub(crate) const REAL_NODE: &str = "on a real node";
pub(crate) const CHURN: &str = "churn";

const fn budget(part: &'static str, minutes: f64, takes: &'static str) -> Budget {
    Budget { part, minutes, takes }
}

/// In the order in which they run.
pub(crate) const BUDGETS: &[Budget] = &[
    budget(XTASK, 4.5, "download and build of what the operator is built from too; from here on Go builds Kubernetes beside"),
    budget(GENERATED, 0.1, "`cargo xtask generate --check`"),
    budget(FORMATTING, 0.1, "`cargo fmt --check`"),
    budget(APPLICATION, 0.8, "`go test` of `tests/app`"),
    budget(LINTS, 3.0, "Clippy, which checks everything once without building it"),
    budget(BUILD, 5.0, "all programs and tests"),
    budget(KUBERNETES, 4.0, "the rest of its build, which takes eight minutes by itself"),
    budget(CRATES, 4.0, "all tests that need no cluster; of the model the quick search"),
    budget(EXAMPLES, 0.5, "tests in doc comments"),
    budget(FAULTS, 6.5, "patches of the engine: each builds it and runs the one check that it names"),
    budget(CLUSTER, 1.0, "three clusters, up and down"),
    budget(FAKE_NODES, 8.0, "eight tests at once"),
    budget(REAL_NODE, 7.5, "packages of Debian, then pods and traffic, most tests one after the other"),
    budget(CHURN, 5.0, "2.5 minutes of faults on two clusters, and the way to rest"),
];

/// What `.ci/run` may take in all.
pub(crate) const ALL: f64 = 50.0;

pub(crate) fn of(part: &str) -> Option<&'static Budget> {
    BUDGETS.iter().find(|budget| budget.part == part)
}

pub(crate) fn minutes(took: Duration) -> f64 {
    took.as_secs_f64() / 60.0
}

/// The table as CONTRIBUTING.md has it.
#[cfg(test)]
fn table() -> String {
    let mut rows = vec!["| part | minutes | what takes them |".to_owned(), "|---|---|---|".to_owned()];
    rows.extend(BUDGETS.iter().map(|Budget { part, minutes, takes }| format!("| {part} | {minutes} | {takes} |")));
    let sum: f64 = BUDGETS.iter().map(|budget| budget.minutes).sum();
    rows.push(format!("| all | {sum:.0} of {ALL} | |"));
    rows.join("\n")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::built::root;

    #[test]
    fn contributing_shows_the_budgets_of_the_code() {
        let page = fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
        assert!(page.contains(&table()), "CONTRIBUTING.md is to have this table:\n{}", table());
    }

    #[test]
    fn all_budgets_together_keep_to_the_whole() {
        let sum: f64 = BUDGETS.iter().map(|budget| budget.minutes).sum();
        assert!(sum <= ALL, "{sum} minutes of {ALL}");
    }
}
