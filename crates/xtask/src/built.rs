//! Programs that cargo builds for a task.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use bluegreen_cluster::paths;
use serde_json::Value;

use crate::interrupt::spawn;

/// The cargo that runs us, at the root of the repository.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    // `cargo run` sets them for us. Build scripts ask for them, and would take the same build by hand for another one:
    // ring, and all that depends on it, would be compiled anew each time in turn.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_of_our_package) {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// Whether a variable says which package is being run.
fn is_of_our_package(name: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|start| name.starts_with(start))
}

pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}

/// Where cargo builds to.
pub(crate) fn target() -> PathBuf {
    let clusters = paths::cluster_root();
    clusters.parent().map_or_else(|| root().join("target"), Path::to_path_buf)
}

/// A program that cargo built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Built {
    pub(crate) target: String,
    pub(crate) path: PathBuf,
    /// The directory of its package.
    pub(crate) package: PathBuf,
    /// Whether it is the harness of tests.
    pub(crate) is_test: bool,
}

/// Builds by cargo with these words; the compiler's progress is shown. Returns the programs that were built.
pub(crate) fn build(words: &[&str]) -> Result<Vec<Built>> {
    build_in(cargo(), words)
}

/// The same by a cargo of the caller's, as in another checkout.
pub(crate) fn build_in(mut cargo: Command, words: &[&str]) -> Result<Vec<Built>> {
    let mut child = spawn(cargo.args(words).arg("--message-format=json-render-diagnostics").stdout(Stdio::piped()))?;
    let mut messages = String::new();
    let mut output = child.0.stdout.take().context("cargo without output")?;
    output.read_to_string(&mut messages).context("cannot read what cargo built")?;
    let status = child.0.wait().context("cannot wait for cargo")?;
    ensure!(status.success(), "`cargo {}` failed ({status}); its errors are above", words.join(" "));
    Ok(messages.lines().filter_map(built).collect())
}

fn built(message: &str) -> Option<Built> {
    let message: Value = serde_json::from_str(message).ok()?;
    Some(Built {
        path: message["executable"].as_str()?.into(),
        target: message["target"]["name"].as_str()?.to_owned(),
        package: Path::new(message["manifest_path"].as_str()?).parent()?.to_path_buf(),
        is_test: message["profile"]["test"].as_bool()?,
    })
}

/// All programs and tests, built at once as for the tests of the crates: asked for one by one, or all but one, their
/// dependencies would be built again, with other features.
pub(crate) fn everything() -> Result<Vec<Built>> {
    build(&["build", "--workspace", "--all-targets"])
}

/// Builds one binary of this workspace.
pub(crate) fn binary(package: &str, release: bool) -> Result<PathBuf> {
    let words: &[&str] = if release { &["build", "--release", "--package", package] } else { &["build", "--package", package] };
    let built = build(words)?.into_iter().find(|built| built.target == package);
    match built {
        Some(built) => Ok(built.path),
        None => bail!("cargo built {package}, but no program of that name came of it"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// All that cargo would compile: packages, targets, features and profiles. Nothing is compiled for it.
    fn units(words: &[&str]) -> BTreeSet<String> {
        let mut cargo = cargo();
        cargo.env("RUSTC_BOOTSTRAP", "1").args(words).args(["-Zunstable-options", "--unit-graph"]);
        let output = cargo.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let graph: Value = serde_json::from_slice(&output.stdout).unwrap();
        let unit = |unit: &Value| {
            let [package, mode, platform, features] = ["pkg_id", "mode", "platform", "features"].map(|key| &unit[key]);
            let (target, level) = (&unit["target"]["name"], &unit["profile"]["opt_level"]);
            format!("{package} {target} {mode} {platform} {level} {features}")
        };
        graph["units"].as_array().unwrap().iter().map(unit).collect()
    }

    #[test]
    fn what_cargo_xtask_is_built_from_is_not_built_again() {
        let alias = std::fs::read_to_string(root().join(".cargo/config.toml")).unwrap();
        assert!(alias.contains("xtask = \"run --bin xtask --\""), "{alias}");
        let (xtask, all) = (units(&["build", "--bin", "xtask"]), units(&["build", "--workspace", "--all-targets"]));
        let twice: Vec<_> = xtask.difference(&all).cloned().collect();
        assert!(twice.is_empty(), "built for xtask, and with other features for the tests:\n{}", twice.join("\n"));
    }

    #[test]
    fn a_build_by_us_has_the_environment_of_one_by_hand() {
        // Cargo has set these for this very test.
        assert!(
            std::env::vars().any(|(name, _)| name == "CARGO_PKG_NAME") && std::env::vars().any(|(name, _)| name == "CARGO_MANIFEST_DIR")
        );
        let cargo = cargo();
        let removed = |wanted: &str| cargo.get_envs().any(|(name, value)| name == wanted && value.is_none());
        assert!(removed("CARGO_PKG_NAME") && removed("CARGO_MANIFEST_DIR"));
        assert!(!removed("CARGO_HOME") && !removed("CARGO_TARGET_DIR") && !removed("CARGO"));
    }

    #[test]
    fn only_programs_are_taken_from_what_cargo_says() {
        let test = r#"{"manifest_path":"/w/e2e/Cargo.toml","target":{"name":"node_x"},"profile":{"test":true},"executable":"/t/node_x-1"}"#;
        let program = Built { target: "node_x".into(), path: "/t/node_x-1".into(), package: "/w/e2e".into(), is_test: true };
        assert_eq!(built(test), Some(program));
        assert_eq!(built(r#"{"reason":"compiler-artifact","target":{"name":"serde"},"executable":null}"#), None);
        assert_eq!(built("not JSON"), None);
    }
}
