//! The engine broken on purpose: for each promise a small change that the properties or the model must notice.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::copy::Copy;
use crate::built::{cargo, root};
use crate::interrupt;
use crate::test::Outcome;

/// The tests that are to notice, the quicker one first.
const NOTICE: [&str; 2] = ["properties", "model"];
/// How much of a counterexample is shown.
const SHOWN: usize = 40;

/// A patch: `Promise: N`, a sentence, and a diff of the engine.
struct Fault {
    name: String,
    path: PathBuf,
    promise: String,
    sentence: String,
    /// The files that it changes.
    files: Vec<PathBuf>,
}

pub(crate) fn all(filters: &[String]) -> Result<Outcome> {
    let faults = read(filters)?;
    ensure!(!faults.is_empty(), "no patch in crates/engine/faults has such a name");
    let copy = Copy::fresh()?;
    let (mut passed, mut names) = (0, Vec::new());
    for fault in faults {
        interrupt::check()?;
        println!("\n{} breaks promise {}: {}", fault.name, fault.promise, fault.sentence);
        let noticed = broken(&copy, &fault);
        for file in &fault.files {
            copy.restore(file)?;
        }
        match noticed {
            Ok(Some(story)) => {
                passed += 1;
                println!("{story}");
            }
            Ok(None) => {
                println!("  NOBODY noticed.");
                names.push(fault.name);
            }
            Err(error) => {
                println!("  error: {error:#}");
                names.push(fault.name);
            }
        }
    }
    Ok(Outcome::Ran { passed, failed: names.len() as u64, names, whys: Vec::new() })
}

fn read(filters: &[String]) -> Result<Vec<Fault>> {
    let directory = root().join("crates/engine/faults");
    let entries = fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut paths: Vec<_> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|is| is == "patch")).collect();
    paths.sort();
    let faults = paths.iter().map(|path| parse(path)).collect::<Result<Vec<_>>>()?;
    Ok(faults.into_iter().filter(|fault| filters.is_empty() || filters.iter().any(|filter| fault.name.contains(filter))).collect())
}

fn parse(path: &Path) -> Result<Fault> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut lines = text.lines();
    let promise = lines.next().and_then(|line| line.strip_prefix("Promise: ")).map(str::to_owned);
    let sentence = lines.by_ref().find(|line| !line.is_empty()).filter(|line| !line.starts_with("diff ") && !line.starts_with("--- "));
    let files = text.lines().filter_map(|line| line.strip_prefix("+++ b/")).map(PathBuf::from).collect();
    Ok(Fault {
        name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        path: path.to_owned(),
        promise: promise.with_context(|| format!("{} doesn't begin with `Promise: `", path.display()))?,
        sentence: sentence.with_context(|| format!("{} doesn't say what it breaks", path.display()))?.to_owned(),
        files,
    })
}

/// The counterexample, if the broken engine is noticed.
fn broken(copy: &Copy, fault: &Fault) -> Result<Option<String>> {
    let mut apply = Command::new("git");
    // Below the checkout, git would take the paths for those of the checkout.
    apply.current_dir(&copy.root).env("GIT_CEILING_DIRECTORIES", copy.root.parent().unwrap_or(&copy.root)).arg("apply").arg(&fault.path);
    let applied = apply.output().context("cannot start git")?;
    ensure!(applied.status.success(), "{} doesn't apply any more: {}", fault.name, String::from_utf8_lossy(&applied.stderr).trim());
    let tests = |tests: &[&str]| {
        let mut cargo = cargo();
        cargo
            .current_dir(&copy.root)
            .env("CARGO_TARGET_DIR", &copy.target)
            .env("RUST_BACKTRACE", "0")
            .env("MODEL", "quick")
            .stdin(Stdio::null());
        cargo.args(["test", "--quiet", "--package", "bluegreen-engine"]).args(tests.iter().flat_map(|test| ["--test", test]));
        cargo
    };
    let built = tests(&NOTICE).arg("--no-run").output().context("cannot start cargo")?;
    if !built.status.success() {
        bail!("{} doesn't compile:\n{}", fault.name, String::from_utf8_lossy(&built.stderr));
    }
    for test in NOTICE {
        interrupt::check()?;
        let ran = tests(&[test]).output().context("cannot start cargo")?;
        if !ran.status.success() {
            let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
            return Ok(Some(story(test, &format!("{out}{err}"))));
        }
    }
    Ok(None)
}

/// What the first panic says, as far as it fits on a page: the harness' own words would look like a failure of this run.
fn story(test: &str, output: &str) -> String {
    let from = output.lines().skip_while(|line| !line.contains(" panicked at ")).skip(1);
    let mut lines: Vec<_> = from.take_while(|line| !line.starts_with("note: run with ")).map(|line| format!("    {line}")).collect();
    let more = lines.len().saturating_sub(SHOWN);
    lines.truncate(SHOWN);
    lines.extend((more > 0).then(|| format!("    … and {more} lines more")));
    format!("  noticed by {test}:\n{}", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counterexample_is_what_the_panic_says() {
        let output = "plain 7 states\nthread 'a' (1) panicked at b:1:1:\npromise 1 is broken\n  1. one\nnote: run with `RUST_BACKTRACE=1`\nfailures:";
        assert_eq!(story("model", output), "  noticed by model:\n    promise 1 is broken\n      1. one");
    }

    #[test]
    fn every_fault_says_what_it_breaks_applies_and_changes_the_engine_alone() {
        for fault in read(&[]).unwrap() {
            assert!(!fault.files.is_empty(), "{} changes nothing", fault.name);
            assert!(fault.files.iter().all(|file| file.starts_with("crates/engine/src")), "{}: {:?}", fault.name, fault.files);
            assert!(fault.sentence.ends_with('.'), "{}: {}", fault.name, fault.sentence);
            let applies = Command::new("git").current_dir(root()).args(["apply", "--check"]).arg(&fault.path).output().unwrap();
            assert!(applies.status.success(), "{}: {}", fault.name, String::from_utf8_lossy(&applies.stderr));
        }
    }
}
