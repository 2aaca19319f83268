//! Small changes to the code that decides, by cargo-mutants, each of which some test must notice.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use bluegreen_cluster::paths;
use serde_json::Value;

use crate::built::{cargo, root};
use crate::interrupt::{self, spawn};
use crate::run::settings::commit;
use crate::run::{Outcome, Results};

const VERSION: &str = "27.1.0";
/// The crates whose mutants are tried, as far as they are there. The tests of all of them are tried on each mutant, those that
/// `.cargo/mutants.toml` names.
const CRATES: [(&str, &str); 2] = [("crates/engine", "bluegreen-engine"), ("crates/gates", "bluegreen-gates")];
/// How many of all mutants a commit's sample has, for all parts of it together.
pub(super) const SAMPLE: usize = 300;
/// Of a hundred mutants at least so many are noticed.
const NOTICED: u64 = 95;

pub(crate) fn run(since: Option<&str>, part: Option<&str>) -> Result<Outcome> {
    let diff = since.map(changes).transpose()?;
    let mut words: Vec<String> = Vec::new();
    words.extend(diff.iter().flat_map(|diff| ["--in-diff".to_owned(), diff.display().to_string()]));
    words.extend(part.into_iter().flat_map(shard));
    try_those(&words).map(Outcome::Ran)
}

/// One part of the sample of this commit, which begins with 1: the same part of the same commit tries the same mutants. A few may be missed.
pub(crate) fn of_commit(part: usize, parts: usize) -> Result<Outcome> {
    let commit = commit().context("this is no checkout by git: its commit is to draw the sample")?;
    let listed = tool()?.args(["--list", "--colors=never"]).stderr(Stdio::null()).output().context("cannot list the mutants")?;
    ensure!(listed.status.success(), "cargo-mutants can't list the mutants ({})", listed.status);
    let listed = String::from_utf8(listed.stdout).context("the list of mutants is no text")?;
    let chosen = drawn(&commit, listed.lines());
    eprintln!("{} of {} mutants, part {part} of {parts} of the sample of {commit}", chosen.len(), listed.lines().count());
    // Shared out by cargo-mutants: those that leave out a field pass its filters, drawn or not, and are to be tried in one part only.
    let mut words = shard(&format!("{}/{parts}", part - 1)).to_vec();
    words.extend(chosen.iter().flat_map(|name| ["--re".to_owned(), exactly(name)]));
    Ok(judged(try_those(&words)?))
}

/// The sample of a commit. Each place in the order depends on commit and name alone.
fn drawn<'m>(commit: &str, mutants: impl Iterator<Item = &'m str>) -> Vec<&'m str> {
    let mut all: Vec<_> = mutants.map(|name| (hash(&[commit, name]), name)).collect();
    all.sort_unstable();
    all.into_iter().take(SAMPLE).map(|(_, name)| name).collect()
}

fn shard(shard: &str) -> [String; 3] {
    ["--sharding=round-robin", "--shard", shard].map(str::to_owned)
}

/// FNV-1a, which is the same on every machine and with every compiler; its low bits are mixed once more, for they follow the text.
fn hash(texts: &[&str]) -> u64 {
    let bytes = texts.iter().flat_map(|text| text.bytes().chain([0]));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The regular expression of this name and no other.
fn exactly(name: &str) -> String {
    let escaped = |char: char| match char {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | ' ' => char.to_string(),
        other => format!("\\x{{{:x}}}", u32::from(other)),
    };
    format!("^{}$", name.chars().map(escaped).collect::<String>())
}

/// Now and then one is drawn that changes nothing, or nearly: those are findings and no failure, as long as they stay rare.
fn judged(mut results: Results) -> Outcome {
    let all = results.passed + results.failed;
    // None at all: not one could be built.
    if all == 0 {
        return Outcome::of(false);
    }
    if 100 * results.passed >= NOTICED * all {
        results.found.append(&mut results.names);
        results.failed = 0;
    }
    Outcome::Ran(results)
}

fn try_those(words: &[String]) -> Result<Results> {
    interrupt::check()?;
    let output = directory()?;
    let mut command = tool()?;
    // Seeds and cases are many elsewhere; here each mutant has to get through them.
    command.env("SEEDS", "20").env("PROPTEST_CASES", "64").args(["--shuffle", "--no-times", "--colors=never", "--output"]).arg(&output);
    let status = spawn(command.args(words))?.0.wait().context("cannot wait for cargo-mutants")?;
    // 2 and 3: some were missed, or took too long. Others are trouble of its own.
    ensure!(matches!(status.code(), Some(0 | 2 | 3)), "cargo-mutants failed ({status}); its errors are above");
    let path = output.join("mutants.out/outcomes.json");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let results = outcomes(&text)?;
    results.covered.iter().for_each(|line| eprintln!("{line}"));
    results.names.iter().for_each(|name| eprintln!("missed: {name}"));
    Ok(results)
}

/// Counts what cargo-mutants wrote down. The names are of those that were missed.
fn outcomes(text: &str) -> Result<Results> {
    let all: Value = serde_json::from_str(text).context("the outcomes of cargo-mutants are no JSON")?;
    let (mut results, mut unviable) = (Results::default(), 0);
    for outcome in all["outcomes"].as_array().into_iter().flatten() {
        match outcome["summary"].as_str() {
            // One that never ends was noticed as well.
            Some("CaughtMutant" | "Timeout") => results.passed += 1,
            Some("MissedMutant") => results.names.push(outcome["scenario"]["Mutant"]["name"].as_str().unwrap_or("?").to_owned()),
            Some("Unviable") => unviable += 1,
            _ => {}
        }
    }
    results.failed = results.names.len() as u64;
    let all = results.passed + results.failed;
    let percent = (1000 * results.passed).checked_div(all).unwrap_or_default();
    let not_built = if unviable > 0 { format!("; {unviable} more don't compile") } else { String::new() };
    results.covered.push(format!("{} of {all} mutants noticed ({}.{} %){not_built}", results.passed, percent / 10, percent % 10));
    Ok(results)
}

/// What was changed in these crates since a commit, as a file.
fn changes(since: &str) -> Result<PathBuf> {
    let path = directory()?.join("changes.diff");
    let mut diff = Command::new("git");
    diff.current_dir(root()).args(["diff", since, "--"]).args(crates().map(|(path, _)| format!("{path}/src")));
    let status = diff.stdout(File::create(&path).context("cannot write the changes")?).status().context("cannot start git")?;
    ensure!(status.success(), "git knows no commit {since}");
    Ok(path)
}

fn crates() -> impl Iterator<Item = (&'static str, &'static str)> {
    CRATES.into_iter().filter(|(path, _)| Path::new(root()).join(path).is_dir())
}

/// cargo-mutants for these crates, installed below `target` when it isn't there.
fn tool() -> Result<Command> {
    let tools = paths::cluster_root().with_file_name("tools");
    let program = tools.join("bin/cargo-mutants");
    if !program.exists() {
        eprintln!("Installing cargo-mutants {VERSION} (about two minutes, once) …");
        let words = ["install", "--quiet", "--locked", "--version", VERSION, "cargo-mutants", "--root"];
        let status = spawn(cargo().args(words).arg(&tools))?.0.wait().context("cannot wait for cargo")?;
        ensure!(status.success(), "cargo-mutants can't be installed ({status}); cargo's errors are above");
    }
    let mut command = Command::new(program);
    command.current_dir(root()).arg("mutants");
    command.args(crates().flat_map(|(_, package)| ["--package", package, "--test-package", package]));
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
    fn a_sample_passes_with_one_missed_in_twenty() {
        let judged = |passed: u64, missed: u64| {
            let names = vec!["replace + with -".to_owned(); usize::try_from(missed).unwrap_or_default()];
            match judged(Results { passed, failed: missed, names, ..Results::default() }) {
                Outcome::Ran(Results { failed, found, names, .. }) => (failed, found.len(), names.len()),
                _ => (u64::MAX, 0, 0),
            }
        };
        assert_eq!([judged(100, 0), judged(95, 5), judged(94, 6)], [(0, 0, 0), (0, 5, 0), (6, 0, 6)]);
        assert_eq!([judged(19, 1), judged(18, 1), judged(0, 0)], [(0, 1, 0), (1, 0, 1), (1, 0, 0)]);
    }

    #[test]
    fn a_commit_always_draws_the_same_sample() {
        let mutants: Vec<_> = (0..5_000).map(|number| format!("src/a.rs:{number}:1: replace a with b")).collect();
        let sample = |commit| drawn(commit, mutants.iter().map(String::as_str));
        assert_eq!(sample("one"), sample("one"));
        assert_eq!(sample("one").len(), SAMPLE);
        assert_ne!(sample("one"), sample("two"));
        // Fewer than a sample: all of them.
        assert_eq!(drawn("one", ["a", "b", "c", "d"].into_iter()).len(), 4);
    }

    #[test]
    fn a_draw_prefers_no_file() {
        let mutants: Vec<_> = (0..4).flat_map(|file| (0..500).map(move |line| format!("src/{file}.rs:{line}:1: replace a"))).collect();
        let chosen = drawn("3ce269e", mutants.iter().map(String::as_str));
        for file in 0..4 {
            let of_it = chosen.iter().filter(|name| name.starts_with(&format!("src/{file}.rs"))).count();
            assert!((45..=105).contains(&of_it), "{of_it} of 300 of one of four files");
        }
    }

    #[test]
    fn the_tests_that_mutants_are_tried_with_exist() {
        let config = fs::read_to_string(root().join(".cargo/mutants.toml")).unwrap();
        let named: Vec<_> = config.split("\"--test=").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(!named.is_empty(), "{config}");
        for test in named {
            let there = |path: String| root().join(path).is_file();
            let exists =
                crates().any(|(path, _)| there(format!("{path}/tests/{test}.rs")) || there(format!("{path}/tests/{test}/main.rs")));
            assert!(exists, ".cargo/mutants.toml names the tests {test}, which are not there");
        }
    }

    #[test]
    fn a_name_is_asked_for_with_all_its_signs() {
        assert_eq!(
            exactly("a.rs:1: replace f -> X<'_> with ()"),
            r"^a\x{2e}rs\x{3a}1\x{3a} replace f \x{2d}\x{3e} X\x{3c}\x{27}_\x{3e} with \x{28}\x{29}$"
        );
    }

    #[test]
    fn only_mutants_that_compile_are_counted() {
        let text = r#"{"outcomes": [{"summary": "Success", "scenario": "Baseline"}, {"summary": "CaughtMutant"}, {"summary": "Timeout"},
            {"summary": "Unviable"}, {"summary": "MissedMutant", "scenario": {"Mutant": {"name": "replace"}}}]}"#;
        let results = outcomes(text).unwrap();
        assert_eq!((results.passed, results.failed, results.names), (2, 1, vec!["replace".to_owned()]));
        assert_eq!(results.covered, ["2 of 3 mutants noticed (66.6 %); 1 more don't compile"]);
    }
}
