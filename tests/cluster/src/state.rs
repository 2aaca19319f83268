//! What is known of a cluster between two processes: which programs run it, and how to start each again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// What a cluster's pods run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A real control plane, and nodes played by kwok: no pod runs, thousands fit. Needs no root.
    Fake,
    /// A real control plane and a real node, in a network namespace of its own. Needs root.
    Node,
}

/// Everything that `down` must know, written before each step that it would have to undo.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// The address of the API server, as clients inside the cluster's network reach it.
    pub(crate) server: String,
    /// The network namespace, of a cluster with a real node.
    pub(crate) namespace: Option<String>,
    /// kubectl, for [`crate::Cluster::kubectl`].
    pub(crate) kubectl: PathBuf,
    /// The programs of this cluster, in the order in which they were started.
    pub(crate) processes: Vec<Process>,
}

/// One program of a cluster.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) log: PathBuf,
    /// None while it was stopped on purpose.
    pub(crate) running: Option<Running>,
}

/// Which process it is: a pid alone may have been given to another one since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Running {
    pub(crate) pid: i32,
    /// When it started, in clock ticks since boot, from `/proc/<pid>/stat`.
    pub(crate) started: u64,
}

impl State {
    fn path(dir: &Path) -> PathBuf {
        dir.join("state.json")
    }

    pub(crate) fn load(dir: &Path) -> Result<Self> {
        let path = Self::path(dir);
        let bytes = fs::read(&path)
            .with_context(|| format!("there is no cluster in {}: bring one up with `cargo xtask cluster up`", dir.display()))?;
        serde_json::from_slice(&bytes)
            .with_context(|| format!("{} is not a cluster's state: remove the directory once none of its programs runs", path.display()))
    }

    /// Replaces the file in one step: a reader in another process never sees half of it.
    pub(crate) fn save(&self, dir: &Path) -> Result<()> {
        let path = Self::path(dir);
        let unfinished = path.with_extension(format!("{}.unfinished", std::process::id()));
        fs::write(&unfinished, serde_json::to_vec_pretty(self)?)
            .and_then(|()| fs::rename(&unfinished, &path))
            .with_context(|| format!("cannot write the cluster's state to {}", path.display()))
    }
}
