//! Small changes to the engine by cargo-mutants, each of which some test must notice.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use bluegreen_cluster::paths;
use serde_json::Value;

use crate::built::{cargo, root};
use crate::interrupt::{self, spawn};
use crate::test::Outcome;

const VERSION: &str = "27.1.0";
/// How many of the changed lines' mutants are tried: a fresh sample each time.
const SAMPLE: u64 = 30;
/// Of a hundred mutants of the engine at least ninety-five are noticed; so are those of a sample, in whole mutants.
const NOTICED: u64 = 95;
/// The tree without any file, which git knows under this name.
const NOTHING: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

pub(crate) fn run(since: Option<&str>, shard: Option<&str>) -> Result<Outcome> {
    let diff = since.map(changes).transpose()?;
    try_all(diff.as_deref(), shard)
}

/// A sample of those in lines that were changed in the last day; a second one beside it where the first is not good enough, for
/// among thirty chance alone finds two of an engine that keeps its mark.
pub(crate) fn of_what_changed() -> Result<Outcome> {
    let before = git(&["rev-list", "-1", "--before=1 day ago", "HEAD"])?;
    let diff = changes(if before.is_empty() { NOTHING } else { &before })?;
    let listed = tool()?.args(["--list", "--in-diff"]).arg(&diff).stderr(Stdio::null()).output().context("cannot list the mutants")?;
    ensure!(listed.status.success(), "cargo-mutants can't list the mutants of {} ({})", diff.display(), listed.status);
    let count = String::from_utf8_lossy(&listed.stdout).lines().count() as u64;
    if count == 0 {
        return Ok(Outcome::NotWanted);
    }
    let parts = count.div_ceil(SAMPLE);
    let first = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs()) % parts;
    let sample = |part: u64| {
        eprintln!("Of {count} mutants in lines that were changed in the last day, part {part} of {parts}.");
        try_all(Some(&diff), Some(&format!("{part}/{parts}")))
    };
    let one = sample(first)?;
    if parts == 1 || is_enough(&one) {
        return Ok(judged(one));
    }
    Ok(judged(both(one, sample((first + 1) % parts)?)))
}

fn both(one: Outcome, other: Outcome) -> Outcome {
    match (one, other) {
        (
            Outcome::Ran { passed, failed, names, whys },
            Outcome::Ran { passed: more_passed, failed: more_failed, names: more_names, whys: more_whys },
        ) => Outcome::Ran {
            passed: passed + more_passed,
            failed: failed + more_failed,
            names: [names, more_names].concat(),
            whys: [whys, more_whys].concat(),
        },
        (one, _) => one,
    }
}

fn is_enough(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Ran { passed, failed, .. } if *passed > 0 && 100 * passed >= NOTICED * (passed + failed))
}

/// Now and then chance picks one that changes nothing, or nearly: that is told and no failure, as long as it stays rare.
fn judged(outcome: Outcome) -> Outcome {
    let enough = is_enough(&outcome);
    match outcome {
        // None at all: not one could be built.
        Outcome::Ran { passed: 0, failed: 0, .. } => Outcome::of(false),
        Outcome::Ran { passed, names, .. } if enough => {
            names.iter().for_each(|name| eprintln!("Not noticed, and within what is allowed: {name}"));
            Outcome::Ran { passed, failed: 0, names: Vec::new(), whys: Vec::new() }
        }
        outcome => outcome,
    }
}

fn try_all(diff: Option<&Path>, shard: Option<&str>) -> Result<Outcome> {
    interrupt::check()?;
    let output = directory()?;
    let mut command = tool()?;
    // Seeds and cases are many elsewhere; here each mutant has to get through them.
    command
        .env("SEEDS", "20")
        .env("PROPTEST_CASES", "64")
        .args(["--shuffle", "--sharding", "round-robin", "--no-times", "--colors=never", "--output"])
        .arg(&output);
    command.args(diff.iter().flat_map(|diff| ["--in-diff".as_ref(), diff.as_os_str()]));
    command.args(shard.iter().flat_map(|shard| ["--shard", shard]));
    let status = spawn(&mut command)?.0.wait().context("cannot wait for cargo-mutants")?;
    // 2 and 3: some were missed, or took too long. Others are trouble of its own.
    ensure!(matches!(status.code(), Some(0 | 2 | 3)), "cargo-mutants failed ({status}); what it said is above");
    outcome(&output.join("mutants.out/outcomes.json"))
}

/// Those that nobody noticed, by their names.
fn outcome(path: &Path) -> Result<Outcome> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let all: Value = serde_json::from_str(&text).context("the outcomes of cargo-mutants are no JSON")?;
    let (mut passed, mut names) = (0, Vec::new());
    for outcome in all["outcomes"].as_array().into_iter().flatten() {
        match outcome["summary"].as_str() {
            // One that never ends was noticed as well.
            Some("CaughtMutant" | "Timeout") => passed += 1,
            Some("MissedMutant") => names.push(outcome["scenario"]["Mutant"]["name"].as_str().unwrap_or("?").to_owned()),
            _ => {}
        }
    }
    let all = passed + names.len() as u64;
    if let Some(percent) = (1000 * passed).checked_div(all) {
        eprintln!("{passed} of {all} mutants were noticed: {}.{} %.", percent / 10, percent % 10);
    }
    Ok(Outcome::Ran { passed, failed: names.len() as u64, names, whys: Vec::new() })
}

/// What was changed in the engine since a commit, as a file.
fn changes(since: &str) -> Result<PathBuf> {
    let path = directory()?.join("changes.diff");
    let mut diff = Command::new("git");
    diff.current_dir(root()).args(["diff", since, "--", "crates/engine/src"]);
    let status = diff.stdout(File::create(&path).context("cannot write the changes")?).status().context("cannot start git")?;
    ensure!(status.success(), "git knows no commit {since}");
    Ok(path)
}

fn git(words: &[&str]) -> Result<String> {
    let output = Command::new("git").current_dir(root()).args(words).output().context("cannot start git")?;
    ensure!(output.status.success(), "`git {}` failed: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// cargo-mutants for the engine, installed below `target` when it isn't there.
fn tool() -> Result<Command> {
    let tools = paths::cluster_root().with_file_name("tools");
    let program = tools.join("bin/cargo-mutants");
    if !program.exists() {
        eprintln!("Installing cargo-mutants {VERSION} (about two minutes, once) …");
        let words = ["install", "--quiet", "--locked", "--version", VERSION, "cargo-mutants", "--root"];
        let status = spawn(cargo().args(words).arg(&tools))?.0.wait().context("cannot wait for cargo")?;
        ensure!(status.success(), "cargo-mutants can't be installed ({status}); what cargo said is above");
    }
    let mut command = Command::new(program);
    command.current_dir(root()).args(["mutants", "--package", "bluegreen-engine"]);
    Ok(command)
}

fn directory() -> Result<PathBuf> {
    let directory = paths::cluster_root().with_file_name("prove");
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_passes_with_one_in_twenty_that_nobody_noticed_and_not_with_more() {
        let sample = |passed: u64, missed: u64| {
            let names = vec!["replace + with -".to_owned(); usize::try_from(missed).unwrap_or_default()];
            Outcome::Ran { passed, failed: missed, names, whys: Vec::new() }
        };
        let failed = |outcome: Outcome| match judged(outcome) {
            Outcome::Ran { failed, .. } => failed,
            _ => u64::MAX,
        };
        let of = |passed: u64, missed: u64| failed(sample(passed, missed));
        assert_eq!([of(40, 0), of(38, 2), of(37, 3), of(19, 1), of(18, 1), of(0, 1), of(0, 0)], [0, 0, 3, 0, 1, 1, 1]);
        let two = |missed: u64| failed(both(sample(37, 3), sample(40 - missed, missed)));
        assert_eq!([two(0), two(1), two(2), two(3)], [0, 0, 5, 6]);
    }
}
