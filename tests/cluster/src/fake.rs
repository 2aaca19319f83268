//! A cluster whose nodes are played by kwok: pods have a status, an address and a fate, but nothing runs.

use std::path::Path;

use anyhow::Result;
use serde_json::json;

use crate::binaries::Binaries;
use crate::control_plane::{process, write};
use crate::state::Process;

/// How pods and nodes live. Its head tells how a test chooses a pod's fate.
const STAGES: &str = include_str!("stages.yaml");

const NODES: usize = 4;

pub(crate) fn kwok(dir: &Path, binaries: &Binaries) -> Result<Process> {
    let stages = dir.join("stages.yaml");
    write(&stages, STAGES)?;
    let args = vec![
        format!("--kubeconfig={}", dir.join("kubeconfig").display()),
        format!("--config={}", stages.display()),
        "--manage-all-nodes=true".to_owned(),
        "--node-lease-duration-seconds=40".to_owned(),
        // Not overlapping with Services; no packet is ever sent to these addresses.
        "--cidr=10.128.0.0/9".to_owned(),
        "--node-ip=192.0.2.10".to_owned(),
    ];
    process(dir, binaries, "kwok", args)
}

/// The nodes, as objects for `kubectl create`.
pub(crate) fn nodes() -> String {
    let nodes: Vec<_> = (0..NODES)
        .map(|number| {
            let name = format!("fake-{number}");
            json!({
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {
                    "name": name,
                    "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"},
                },
            })
        })
        .collect();
    json!({"apiVersion": "v1", "kind": "List", "items": nodes}).to_string()
}
