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

/// The addresses of pods, and of the nodes. Kubernetes takes them as any other, but they are multicast addresses of this machine's
/// own scope (RFC 2365): the kernel refuses a TCP connection to one (ENETUNREACH) before a packet is sent. A question to a fake pod
/// or to a fake kubelet therefore fails at once and doesn't leave the machine. A question to an address such as 10.128.0.5 would go
/// out through the default route.
const PODS: &str = "239.128.0.0/9";
const NODE: &str = "239.0.0.10";

pub(crate) fn kwok(dir: &Path, binaries: &Binaries) -> Result<Process> {
    let stages = dir.join("stages.yaml");
    write(&stages, STAGES)?;
    let args = vec![
        format!("--kubeconfig={}", dir.join("kubeconfig").display()),
        format!("--config={}", stages.display()),
        "--manage-all-nodes=true".to_owned(),
        "--node-lease-duration-seconds=40".to_owned(),
        format!("--cidr={PODS}"),
        format!("--node-ip={NODE}"),
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;
    use std::net::{Ipv4Addr, TcpStream};

    #[test]
    fn no_connection_to_a_fake_pod_or_node_leaves_the_machine() {
        let (first, size) = PODS.split_once('/').unwrap();
        let first: Ipv4Addr = first.parse().unwrap();
        let last = Ipv4Addr::from_bits(first.to_bits() | u32::MAX.checked_shr(size.parse().unwrap()).unwrap());
        for address in [first, last, NODE.parse().unwrap()] {
            // First, so that a range of other addresses isn't tried out.
            assert!(address.is_multicast(), "{address} may be routed somewhere");
            let refused = TcpStream::connect((address, 80)).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::NetworkUnreachable, "{address}: {refused}");
        }
    }
}
