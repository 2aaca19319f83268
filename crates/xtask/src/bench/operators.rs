//! The operators that are measured: of this checkout, and of an earlier commit.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use bluegreen_cluster::OPERATOR;

use crate::built::{Built, binary, build_in, cargo, root, target};
use crate::interrupt;

/// A program, and the CRD and RBAC that belong to it.
pub(crate) struct Operator {
    /// The head of its column.
    pub(super) label: String,
    /// Where its sources come from.
    pub(super) origin: String,
    pub(crate) program: PathBuf,
    /// Its `config/default`.
    pub(crate) config: PathBuf,
}

/// That of the earlier commit first, if one is given.
pub(super) fn of(earlier: Option<&str>) -> Result<Vec<Operator>> {
    let mut operators = Vec::new();
    if let Some(commit) = earlier {
        operators.push(of_commit(commit)?);
        interrupt::check()?;
    }
    operators.push(of_this()?);
    Ok(operators)
}

fn of_this() -> Result<Operator> {
    eprintln!(
        "Building the operator as it is shipped, in release mode: about 8 minutes on two cores the first time, seconds if nothing changed."
    );
    Ok(this(kept(&binary(OPERATOR, true)?, &directory("this"))?))
}

/// Built as it is shipped, but with names and frame pointers, by which a profiler knows the functions.
pub(super) fn for_profile() -> Result<Operator> {
    eprintln!("Building the operator in release mode with names for the profiler: about 8 minutes on two cores the first time.");
    let mut cargo = cargo();
    cargo.env("RUSTFLAGS", "-C force-frame-pointers=yes");
    let words = ["build", "--profile", "profiling", "--package", OPERATOR];
    Ok(this(kept(&program(build_in(cargo, &words)?)?, &directory("profiling"))?))
}

fn this(program: PathBuf) -> Operator {
    let commit = git(&["describe", "--always", "--abbrev=9", "--dirty=, with changes that are not committed"]);
    let origin = commit.map_or_else(|_| "this checkout".to_owned(), |commit| format!("this checkout, at {}", commit.trim()));
    Operator { label: "this".into(), origin, program, config: root().join("config/default") }
}

/// Builds a commit's operator in a checkout of its own, once.
///
/// Cargo's target directory is not ours: cargo knows a package by its path inside the workspace, and files by their times.
/// It would take what was built from one checkout for that of the other. All earlier commits share one, in which files of
/// a later checkout are always newer than what was built before.
pub(crate) fn of_commit(commit: &str) -> Result<Operator> {
    let hash = git(&["rev-parse", "--verify", "--end-of-options", &format!("{commit}^{{commit}}")])?.trim().to_owned();
    let directory = directory(&hash);
    let (source, kept_program) = (directory.join("source"), directory.join(OPERATOR));
    let label: String = hash.chars().take(9).collect();
    if !kept_program.is_file() {
        eprintln!("Building the operator of {label} in release mode, in {}: about 8 minutes on two cores, once.", source.display());
        check_out(&hash, &source)?;
        let mut cargo = cargo();
        cargo.current_dir(&source).env("CARGO_TARGET_DIR", target().join("bench/target"));
        let built = program(build_in(cargo, &["build", "--release", "--package", OPERATOR])?)?;
        kept(&built, &directory)?;
    }
    let subject = git(&["show", "--no-patch", "--format=%cs, %s", &hash])?;
    Ok(Operator { label, origin: subject.trim().to_owned(), program: kept_program, config: source.join("config/default") })
}

fn program(built: Vec<Built>) -> Result<PathBuf> {
    match built.into_iter().find(|built| built.target == OPERATOR) {
        Some(built) => Ok(built.path),
        None => bail!("cargo built no program named {OPERATOR}"),
    }
}

/// The files of a commit, as git has them.
fn check_out(hash: &str, into: &Path) -> Result<()> {
    if into.is_dir() {
        // An interrupted run may have left half of them.
        fs::remove_dir_all(into).with_context(|| format!("cannot remove {}", into.display()))?;
    }
    fs::create_dir_all(into).with_context(|| format!("cannot make the directory {}", into.display()))?;
    let archive = into.with_extension("tar");
    git(&["archive", "--format=tar", "--output", &archive.display().to_string(), hash])?;
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--touch", "--file"]).arg(&archive).arg("--directory").arg(into);
    output(&mut tar, "unpack the commit's files")?;
    fs::remove_file(&archive).with_context(|| format!("cannot remove {}", archive.display()))
}

/// A copy that no later build replaces: the operator is started several times.
fn kept(built: &Path, directory: &Path) -> Result<PathBuf> {
    fs::create_dir_all(directory).with_context(|| format!("cannot make the directory {}", directory.display()))?;
    let (to, unfinished) = (directory.join(OPERATOR), directory.join("unfinished"));
    fs::copy(built, &unfinished)
        .and_then(|_| fs::rename(&unfinished, &to))
        .with_context(|| format!("cannot copy {} to {}", built.display(), to.display()))?;
    Ok(to)
}

fn directory(name: &str) -> PathBuf {
    target().join("bench").join(name)
}

fn git(words: &[&str]) -> Result<String> {
    output(Command::new("git").current_dir(root()).args(words), &format!("run `git {}`", words.join(" ")))
}

fn output(command: &mut Command, what: &str) -> Result<String> {
    let program = command.get_program().display().to_string();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {program}"))?;
    ensure!(output.status.success(), "cannot {what}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
