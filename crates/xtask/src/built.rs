//! Programs that cargo builds for a task.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::interrupt::spawn;

/// The cargo that runs us, at the root of the repository.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
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
    use super::*;

    #[test]
    fn only_programs_are_taken_from_what_cargo_says() {
        let test = r#"{"manifest_path":"/w/e2e/Cargo.toml","target":{"name":"node_x"},"profile":{"test":true},"executable":"/t/node_x-1"}"#;
        let program = Built { target: "node_x".into(), path: "/t/node_x-1".into(), package: "/w/e2e".into(), is_test: true };
        assert_eq!(built(test), Some(program));
        assert_eq!(built(r#"{"reason":"compiler-artifact","target":{"name":"serde"},"executable":null}"#), None);
        assert_eq!(built("not JSON"), None);
    }
}
