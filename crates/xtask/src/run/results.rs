//! How tests ended.

use std::time::Duration;

/// How one part of a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ran(Results),
    /// It says why, and what to do about it.
    CouldNotRun(String),
    /// Nobody asked for it.
    NotWanted,
}

impl Outcome {
    /// Of something that is one check in itself.
    pub(crate) fn of(passed: bool) -> Self {
        Self::Ran(Results { passed: passed.into(), failed: (!passed).into(), ..Results::default() })
    }
}

/// The results of one or more programs of tests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Results {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// The names of what failed, as far as it has one.
    pub(crate) names: Vec<String>,
    /// The first lines of each panic.
    pub(crate) whys: Vec<String>,
    /// How long each test took, by its name.
    pub(crate) times: Vec<(String, Duration)>,
    /// What tests say that they covered.
    pub(crate) covered: Vec<String>,
    /// What was found and is no failure.
    pub(crate) found: Vec<String>,
}

impl Results {
    /// Adds the results of another program, whose name stands before the names of its tests.
    pub(crate) fn add(&mut self, program: &str, more: Self) {
        let named = |name: String| format!("{program}::{name}");
        self.passed += more.passed;
        self.failed += more.failed;
        self.names.extend(more.names.into_iter().map(named));
        self.whys.extend(more.whys);
        self.times.extend(more.times.into_iter().map(|(name, took)| (named(name), took)));
        self.covered.extend(more.covered);
        self.found.extend(more.found);
    }

    /// `None` if no program was run.
    pub(crate) fn outcome(results: Option<Self>) -> Outcome {
        results.map_or(Outcome::NotWanted, Outcome::Ran)
    }
}
