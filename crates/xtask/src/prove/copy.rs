//! A copy of the sources that may be broken.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use bluegreen_cluster::paths;

use crate::built::root;

/// The tracked files as they are here, below `target`. What has not changed is left alone, so that little is built anew.
pub(super) struct Copy {
    pub(super) root: PathBuf,
    /// Where cargo builds it: where it builds the checkout.
    pub(super) target: PathBuf,
}

impl Copy {
    pub(super) fn fresh() -> Result<Self> {
        let below = paths::cluster_root().with_file_name("prove");
        let copy = Self { root: below.join("sources"), target: paths::cluster_root().parent().unwrap_or(&below).to_owned() };
        let list = Command::new("git").current_dir(root()).args(["ls-files", "-z"]).output().context("cannot ask git for the sources")?;
        ensure!(list.status.success(), "this is no checkout by git, whose files could be listed");
        let names = String::from_utf8(list.stdout).context("a file's name is no text")?;
        let names: BTreeSet<_> = names.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect();
        for name in &names {
            copy.restore(name)?;
        }
        // An earlier copy may have files that have moved since.
        remove_others(&copy.root, &copy.root, &names)?;
        Ok(copy)
    }

    /// Makes one file what it is in the checkout.
    pub(super) fn restore(&self, name: &Path) -> Result<()> {
        let (from, to) = (root().join(name), self.root.join(name));
        let Ok(content) = fs::read(&from) else {
            // Removed, and not committed yet.
            let _ = fs::remove_file(&to);
            return Ok(());
        };
        if fs::read(&to).is_ok_and(|is| is == content) {
            return Ok(());
        }
        if let Some(directory) = to.parent() {
            fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        }
        fs::write(&to, content).with_context(|| format!("cannot write {}", to.display()))
    }
}

/// Removes every file below the root that has none of these names.
fn remove_others(root: &Path, below: &Path, names: &BTreeSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(below).with_context(|| format!("cannot read {}", below.display()))?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            remove_others(root, &path, names)?;
        } else if path.strip_prefix(root).is_ok_and(|name| !names.contains(name)) {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_has_moved_is_gone_from_the_copy() {
        let root = std::env::temp_dir().join(format!("xtask-copy-{}", std::process::id()));
        fs::create_dir_all(root.join("src/measure")).unwrap();
        for name in ["src/measure.rs", "src/measure/mod.rs", "Cargo.toml"] {
            fs::write(root.join(name), "").unwrap();
        }
        let names = ["src/measure/mod.rs", "Cargo.toml"].map(PathBuf::from).into();
        remove_others(&root, &root, &names).unwrap();
        let left = ["src/measure.rs", "src/measure/mod.rs", "Cargo.toml"].map(|name| root.join(name).exists());
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(left, [false, true, true]);
    }
}
