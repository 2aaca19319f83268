//! The engine broken on purpose: for each promise a small change, and the one check that must notice it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::copy::Copy;
use crate::built::{Built, build_in, cargo, root};
use crate::interrupt;
use crate::run::{Outcome, Results, program};

/// The package whose tests are to notice.
const TESTED: &str = "crates/engine";
/// The programs of tests that are to notice.
const PROGRAMS: [&str; 2] = [PROPERTIES, MODEL];
const PROPERTIES: &str = "properties";
/// One test of many searches: a check in it is a search, by its name.
const MODEL: &str = "model";
/// For one check the time from the patch to the program counts, more than how fast the program is.
const FAST_BUILD: [&str; 4] = [
    "--config=profile.dev.debug=false",
    "--config=profile.dev.package.bluegreen-engine.opt-level=0",
    "--config=profile.dev.package.bluegreen-gates.opt-level=0",
    "--config=profile.dev.package.bluegreen-api.opt-level=1",
];
/// The worlds of properties are the same each time: nothing is noticed, or not noticed, by chance.
const SEED: (&str, &str) = ("PROPTEST_SEED", "1");
/// How many worlds a single property is shown. One that is broken is noticed after a few of them.
const WORLDS: &str = "4000";
/// How much of a counterexample is shown.
const SHOWN: usize = 40;

/// A patch: `Promise: N`, `Noticed-by: program::check`, a sentence, and a diff of the engine.
struct Fault {
    name: String,
    path: PathBuf,
    promise: String,
    noticed_by: Check,
    sentence: String,
    /// The files that it changes.
    files: Vec<PathBuf>,
}

/// A test of a program, or a search of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Check {
    program: String,
    name: String,
}

/// Breaks the engine by each patch and runs only the check that the patch names.
pub(crate) fn each_by_its_check(filters: &[String]) -> Result<Outcome> {
    each(filters, |copy, fault| {
        let Check { program, name } = &fault.noticed_by;
        let built = copy.build(&FAST_BUILD, &[program])?;
        ran(&built, program, Some(name))
    })
}

/// The same with all checks, whatever the patch names: shows every check that notices.
pub(crate) fn each_by_all(filters: &[String]) -> Result<Outcome> {
    each(filters, |copy, _| {
        let built = copy.build(&[], &PROGRAMS)?;
        let mut all = Ran::default();
        for program in PROGRAMS {
            interrupt::check()?;
            let more = ran(&built, program, None)?;
            all.results.add(program, more.results);
            all.output.push_str(&more.output);
        }
        Ok(all)
    })
}

fn each(filters: &[String], check: impl Fn(&Copy, &Fault) -> Result<Ran>) -> Result<Outcome> {
    let faults = read(filters)?;
    ensure!(!faults.is_empty(), "no patch in crates/engine/faults has such a name");
    let copy = Copy::fresh()?;
    let mut results = Results::default();
    for fault in faults {
        interrupt::check()?;
        println!("\n{} breaks promise {}: {}", fault.name, fault.promise, fault.sentence);
        let noticed = apply(&copy, &fault).and_then(|()| check(&copy, &fault));
        for file in &fault.files {
            copy.restore(file)?;
        }
        match noticed {
            Ok(ran) if ran.results.failed > 0 => {
                results.passed += 1;
                println!("  noticed by {}:\n{}", ran.results.names.join(", "), story(&ran.output));
            }
            Ok(_) => {
                println!("  NOT noticed, though the patch says that {}::{} does", fault.noticed_by.program, fault.noticed_by.name);
                results.names.push(format!("{}: not noticed", fault.name));
            }
            Err(error) => {
                println!("  error: {error:#}");
                results.names.push(format!("{}: {error:#}", fault.name));
            }
        }
    }
    results.failed = results.names.len() as u64;
    results.covered.push(format!("{} patches, {} noticed", results.passed + results.failed, results.passed));
    Ok(Outcome::Ran(results))
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
    let check = lines.next().and_then(|line| line.strip_prefix("Noticed-by: ")).and_then(|check| check.split_once("::"));
    let sentence = lines.find(|line| !line.is_empty()).filter(|line| !line.starts_with("diff ") && !line.starts_with("--- "));
    let files = text.lines().filter_map(|line| line.strip_prefix("+++ b/")).map(PathBuf::from).collect();
    let (program, name) = check.with_context(|| format!("{} has no second line `Noticed-by: program::check`", path.display()))?;
    Ok(Fault {
        name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        path: path.to_owned(),
        promise: promise.with_context(|| format!("{} doesn't begin with `Promise: `", path.display()))?,
        noticed_by: Check { program: program.to_owned(), name: name.to_owned() },
        sentence: sentence.with_context(|| format!("{} doesn't say what it breaks", path.display()))?.to_owned(),
        files,
    })
}

fn apply(copy: &Copy, fault: &Fault) -> Result<()> {
    let mut apply = Command::new("git");
    // Below the checkout, git would take the paths for those of the checkout.
    apply.current_dir(&copy.root).env("GIT_CEILING_DIRECTORIES", copy.root.parent().unwrap_or(&copy.root)).arg("apply").arg(&fault.path);
    let applied = apply.output().context("cannot start git")?;
    ensure!(applied.status.success(), "{} doesn't apply any more: {}", fault.name, String::from_utf8_lossy(&applied.stderr).trim());
    Ok(())
}

impl Copy {
    /// Programs of tests, built where the checkout's own are: what both have in common is there already. Without a package, for
    /// then dependencies have the features that they have there.
    fn build(&self, how: &[&str], programs: &[impl AsRef<str>]) -> Result<Vec<Built>> {
        let mut cargo = cargo();
        cargo.current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target);
        let tests = programs.iter().flat_map(|program| ["--test", program.as_ref()]);
        let words: Vec<_> = ["test", "--quiet", "--no-run"].into_iter().chain(how.iter().copied()).chain(tests).collect();
        let package = self.root.join(TESTED);
        Ok(build_in(cargo, &words)?.into_iter().filter(|built| built.is_test && built.package == package).collect())
    }
}

/// What a program printed, and what that comes to.
#[derive(Default)]
struct Ran {
    results: Results,
    output: String,
}

/// Runs a program of tests, or one check of it.
fn ran(built: &[Built], program: &str, check: Option<&str>) -> Result<Ran> {
    let built = built.iter().find(|built| built.target == program).with_context(|| format!("cargo built no tests named {program}"))?;
    let mut command = Command::new(&built.path);
    command.current_dir(&built.package).env("CARGO_MANIFEST_DIR", &built.package).env("RUST_BACKTRACE", "0").env(SEED.0, SEED.1);
    match check {
        Some(search) if program == MODEL => command.env(MODEL.to_uppercase(), search),
        Some(test) => command.env("PROPTEST_CASES", WORLDS).args(["--exact", test]),
        None => command.env(MODEL.to_uppercase(), "quick"),
    };
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {}", built.path.display()))?;
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let mut results = program::read(&text);
    if results.passed + results.failed == 0 {
        bail!("{program} has no test named {}", check.unwrap_or("anything"));
    }
    if let (MODEL, Some(search)) = (program, check) {
        results.names = results.names.into_iter().map(|_| search.to_owned()).collect();
    }
    Ok(Ran { results, output: text })
}

/// What the first panic says, as far as it fits on a page: the harness' own words would look like a failure of this run.
fn story(output: &str) -> String {
    let from = output.lines().skip_while(|line| !line.contains(" panicked at ")).skip(1);
    let mut lines: Vec<_> = from.take_while(|line| !line.starts_with("note: run with ")).map(|line| format!("    {line}")).collect();
    let more = lines.len().saturating_sub(SHOWN);
    lines.truncate(SHOWN);
    lines.extend((more > 0).then(|| format!("    … and {more} lines more")));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The crates that a patch may change.
    const CRATES: [&str; 2] = ["crates/engine", "crates/gates"];

    #[test]
    fn a_counterexample_is_what_the_panic_says() {
        let output = "plain 7 states\nthread 'a' (1) panicked at b:1:1:\npromise 1 is broken\n  1. one\nnote: run with `RUST_BACKTRACE=1`\nfailures:";
        assert_eq!(story(output), "    promise 1 is broken\n      1. one");
    }

    #[test]
    fn each_fault_says_what_it_breaks_and_applies() {
        for fault in read(&[]).unwrap() {
            assert!(!fault.files.is_empty(), "{} changes nothing", fault.name);
            let of_a_crate = |file: &PathBuf| CRATES.iter().any(|name| file.starts_with(format!("{name}/src")));
            assert!(fault.files.iter().all(of_a_crate), "{}: {:?}", fault.name, fault.files);
            assert!(fault.sentence.ends_with('.'), "{}: {}", fault.name, fault.sentence);
            let applies = Command::new("git").current_dir(root()).args(["apply", "--check"]).arg(&fault.path).output().unwrap();
            assert!(applies.status.success(), "{}: {}", fault.name, String::from_utf8_lossy(&applies.stderr));
        }
    }

    /// A file of tests and all that is below the directory of its name.
    fn source(program: &str) -> String {
        fn all(path: &Path, text: &mut String) {
            text.push_str(&fs::read_to_string(path).unwrap_or_default());
            for entry in fs::read_dir(path).into_iter().flatten().flatten() {
                all(&entry.path(), text);
            }
        }
        let mut text = String::new();
        for path in [format!("{program}.rs"), program.to_owned()] {
            all(&root().join(TESTED).join("tests").join(path), &mut text);
        }
        text
    }

    #[test]
    fn each_fault_names_a_check_that_there_is() {
        for Fault { name: fault, noticed_by: Check { program, name }, .. } in read(&[]).unwrap() {
            let wanted = match program.as_str() {
                MODEL => format!("\"{name}\""),
                _ => format!("fn {}(", name.rsplit("::").next().unwrap_or_default()),
            };
            assert!(source(&program).contains(&wanted), "{fault} is to be noticed by {program}::{name}, which is not there");
        }
    }
}
