//! What all programs of tests of one run are given: the seed of their dice, and how slow the machine is to be.

use std::process::Command;

use crate::built::root;

/// The variables in which tests find it.
const SEED: &str = "BLUEGREEN_SEED";
const SLOWER: &str = "BLUEGREEN_SLOWER";

const SEED_OF_DAY: u64 = 20_261_130;

#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    variables: Vec<(&'static str, String)>,
}

impl Settings {
    /// Dice fall as in every other run: one commit is as red as the next, and what is new is found at night. A seed that the environment
    /// names goes before.
    pub(crate) fn of_day(slower: Option<u32>) -> Self {
        Self::of_seed(SEED_OF_DAY, slower)
    }

    /// Dice fall as the commit says: a run can be repeated, and the next commit sees other stories. A seed that the environment
    /// names goes before.
    pub(crate) fn of_commit() -> Self {
        Self::of_seed(seed(&commit().unwrap_or_default()), None)
    }

    fn of_seed(seed: u64, slower: Option<u32>) -> Self {
        let seed = std::env::var(SEED).unwrap_or_else(|_| seed.to_string());
        // Proptest reads the last one by itself, for properties with a configuration that isn't ours.
        let mut variables = vec![(SEED, seed.clone()), ("PROPTEST_SEED", seed.clone()), ("PROPTEST_RNG_SEED", seed)];
        variables.extend(slower.map(|times| (SLOWER, times.to_string())));
        Self { variables }
    }

    /// The same with one more variable.
    pub(crate) fn with(&self, name: &'static str, value: impl ToString) -> Self {
        let mut more = self.clone();
        more.variables.push((name, value.to_string()));
        more
    }

    pub(crate) fn give<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.envs(self.variables.iter().cloned())
    }

    pub(crate) fn words(&self) -> String {
        let words: Vec<_> = self.variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        words.join(" ")
    }
}

/// The commit that is checked out, in full; `None` where this is no checkout by git.
pub(crate) fn commit() -> Option<String> {
    let output = Command::new("git").current_dir(root()).args(["rev-parse", "HEAD"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Far below the seeds of stories that are fixed or drawn by the clock.
fn seed(commit: &str) -> u64 {
    commit.get(..7).and_then(|start| u64::from_str_radix(start, 16).ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_has_one_seed_and_another_commit_another() {
        assert_eq!(seed("3ce269e9aa"), 0x3ce_269e);
        assert_ne!(seed("3ce269e9aa"), seed("707cf25000"));
        assert_eq!(seed(""), 1);
    }

    #[test]
    fn a_slower_machine_is_passed_on() {
        let settings = Settings { variables: vec![] }.with(SLOWER, 4);
        let mut command = Command::new("true");
        settings.give(&mut command);
        assert!(command.get_envs().any(|(name, value)| name == SLOWER && value.is_some_and(|value| value == "4")));
        assert_eq!(settings.words(), "BLUEGREEN_SLOWER=4");
    }
}
