//! A copy of the sources that may be broken.

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
        for name in names.split('\0').filter(|name| !name.is_empty()) {
            copy.restore(Path::new(name))?;
        }
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
