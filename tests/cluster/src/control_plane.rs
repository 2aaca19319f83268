//! etcd, kube-apiserver, kube-controller-manager and kube-scheduler: the same for both kinds of cluster.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use data_encoding::{BASE64, HEXLOWER};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::json;

use crate::binaries::Binaries;
use crate::state::{Kind, Process};

/// Addresses of one control plane.
#[derive(Debug, Clone)]
pub(crate) struct Addresses {
    pub(crate) etcd_client: u16,
    pub(crate) etcd_peer: u16,
    /// Where the API server listens, and where its clients find it.
    pub(crate) bind: &'static str,
    pub(crate) server_host: &'static str,
    pub(crate) server_port: u16,
    /// What the `kubernetes` Service points at, if pods are to reach the API server.
    pub(crate) advertised: Option<&'static str>,
}

impl Addresses {
    /// On the loopback device of this machine, on ports that nobody has.
    pub(crate) fn on_loopback() -> Result<Self> {
        let [etcd_client, etcd_peer, server_port] = free_ports()?;
        let host = "127.0.0.1";
        Ok(Self { etcd_client, etcd_peer, bind: host, server_host: host, server_port, advertised: None })
    }

    /// In a network namespace of the cluster's own, where every port is free.
    pub(crate) fn on_node(address: &'static str) -> Self {
        Self { etcd_client: 2379, etcd_peer: 2380, bind: "0.0.0.0", server_host: address, server_port: 6443, advertised: Some(address) }
    }

    pub(crate) fn server(&self) -> String {
        format!("https://{}:{}", self.server_host, self.server_port)
    }
}

/// Finds ports below those that the kernel gives to outgoing connections: none of these can take one before we do.
pub fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let moment = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos();
    let start = u64::from(moment / 1000) + u64::from(std::process::id()) * 37;
    let mut held = Vec::new();
    let mut ports = [0; N];
    for offset in 0..12_000 {
        if held.len() == N {
            return Ok(ports);
        }
        let port = u16::try_from(20_000 + (start + offset) % 12_000).context("a port beyond the last port")?;
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            ports[held.len()] = port;
            held.push(listener);
        }
    }
    anyhow::bail!("no {N} free ports between 20000 and 32000 on the loopback device; end what holds them")
}

/// Writes the files that the control plane reads at its start: a token, the key of service accounts, the audit policy.
pub(crate) fn write_files(dir: &Path, kind: Kind) -> Result<String> {
    let random = SystemRandom::new();
    let mut token = [0; 16];
    random.fill(&mut token).ok().context("the machine gave no random numbers for a token")?;
    let token = HEXLOWER.encode(&token);
    let who = match kind {
        Kind::Fake => "fake-cluster-admin",
        Kind::Node => "node-cluster-admin",
    };
    write(&dir.join("tokens.csv"), &format!("{token},{who},{who},\"system:masters\"\n"))?;

    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random)
        .ok()
        .context("cannot generate the key that signs service account tokens")?;
    write(&dir.join("service-accounts.key"), &pem("PRIVATE KEY", key.as_ref()))?;
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key.as_ref(), &random)
        .ok()
        .context("the key that was just generated for service accounts is no key")?;
    let public = [P256_PUBLIC_KEY, pair.public_key().as_ref()].concat();
    write(&dir.join("service-accounts.pub"), &pem("PUBLIC KEY", &public))?;

    // One line for every request when it was answered: enough to count who asked for what.
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "None", "nonResourceURLs": ["/readyz*", "/livez*", "/healthz*"]},
            {"level": "Metadata"},
        ],
    });
    write(&dir.join("audit-policy.json"), &policy.to_string())?;
    Ok(token)
}

/// What stands before the point of a P-256 public key to make it a `SubjectPublicKeyInfo`: the API server reads the
/// public half of an elliptic key in no other form.
const P256_PUBLIC_KEY: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";

fn pem(label: &str, der: &[u8]) -> String {
    let encoded = BASE64.encode(der);
    let lines: Vec<_> = encoded.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// A kubeconfig of whoever has this token. The API server must have made its certificate already.
pub(crate) fn write_kubeconfig(dir: &Path, file: &str, name: &str, server: &str, token: &str) -> Result<()> {
    let path = dir.join("apiserver/apiserver.crt");
    let certificate = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let name = format!("bluegreen-{name}");
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority-data": BASE64.encode(&certificate)}}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": "default"}}],
        "current-context": name,
    });
    write(&dir.join(file), &serde_json::to_string_pretty(&config)?)
}

/// A program of the cluster, not yet started.
pub(crate) fn process(dir: &Path, binaries: &Binaries, name: &str, args: Vec<String>) -> Result<Process> {
    Ok(Process {
        name: name.to_owned(),
        program: binaries.path(name)?.to_path_buf(),
        args,
        env: BTreeMap::new(),
        log: dir.join("logs").join(format!("{name}.log")),
        running: None,
    })
}

pub(crate) fn etcd(dir: &Path, binaries: &Binaries, addresses: &Addresses) -> Result<Process> {
    let client = format!("http://127.0.0.1:{}", addresses.etcd_client);
    let peer = format!("http://127.0.0.1:{}", addresses.etcd_peer);
    let args = vec![
        format!("--data-dir={}", dir.join("etcd").display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        // A killed etcd loses nothing by this, only a killed machine does; and writes don't wait for the disk.
        "--unsafe-no-fsync".to_owned(),
        // The API server compacts only if it runs for ten minutes, and its restarts are part of what is tested.
        "--auto-compaction-mode=periodic".to_owned(),
        "--auto-compaction-retention=5m".to_owned(),
        "--quota-backend-bytes=8589934592".to_owned(),
        "--log-level=warn".to_owned(),
    ];
    process(dir, binaries, "etcd", args)
}

pub(crate) fn apiserver(dir: &Path, binaries: &Binaries, addresses: &Addresses) -> Result<Process> {
    let key = dir.join("service-accounts.key");
    let mut args = vec![
        format!("--etcd-servers=http://127.0.0.1:{}", addresses.etcd_client),
        format!("--bind-address={}", addresses.bind),
        format!("--secure-port={}", addresses.server_port),
        format!("--cert-dir={}", dir.join("apiserver").display()),
        format!("--token-auth-file={}", dir.join("tokens.csv").display()),
        "--authorization-mode=RBAC".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
        format!("--service-account-key-file={}", dir.join("service-accounts.pub").display()),
        format!("--service-account-signing-key-file={}", key.display()),
        // A rollout has two Services: a /24 would hold 125 rollouts.
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        "--allow-privileged=true".to_owned(),
        format!("--audit-policy-file={}", dir.join("audit-policy.json").display()),
        format!("--audit-log-path={}", dir.join("audit.log").display()),
        // In megabytes. A log that is rotated in the middle of a measurement would spoil the count.
        "--audit-log-maxsize=4000".to_owned(),
        // What is measured on this cluster is its clients, not its patience with them.
        "--max-requests-inflight=2000".to_owned(),
        "--max-mutating-requests-inflight=1000".to_owned(),
        "--profiling=false".to_owned(),
        // The names of nodes mean nothing to the machine's resolver.
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
    ];
    match addresses.advertised {
        Some(address) => args.push(format!("--advertise-address={address}")),
        // No pod runs, so nobody needs the `kubernetes` Service; and loopback addresses are refused in it.
        None => args.extend(["--advertise-address=192.0.2.1".to_owned(), "--endpoint-reconciler-type=none".to_owned()]),
    }
    process(dir, binaries, "kube-apiserver", args)
}

/// The controllers, with limits so high that they aren't what is measured.
pub(crate) fn controller_manager(dir: &Path, binaries: &Binaries) -> Result<Process> {
    let mut args = clients_of(dir);
    args.extend([
        format!("--service-account-private-key-file={}", dir.join("service-accounts.key").display()),
        format!("--root-ca-file={}", dir.join("apiserver/apiserver.crt").display()),
        "--concurrent-deployment-syncs=20".to_owned(),
        "--concurrent-replicaset-syncs=20".to_owned(),
        "--concurrent-service-endpoint-syncs=20".to_owned(),
        "--concurrent-serviceaccount-token-syncs=10".to_owned(),
        "--concurrent-namespace-syncs=20".to_owned(),
        "--concurrent-job-syncs=20".to_owned(),
        "--horizontal-pod-autoscaler-sync-period=2s".to_owned(),
        // A node whose heartbeats are late, for etcd was frozen or the machine is busy, has all its pods marked unready. A kubelet puts
        // that right with its next word; a fake node has said all it had to say, and they would stay so.
        "--node-monitor-grace-period=1h".to_owned(),
    ]);
    process(dir, binaries, "kube-controller-manager", args)
}

pub(crate) fn scheduler(dir: &Path, binaries: &Binaries) -> Result<Process> {
    process(dir, binaries, "kube-scheduler", clients_of(dir))
}

/// What both clients of the API server are told.
fn clients_of(dir: &Path) -> Vec<String> {
    vec![
        format!("--kubeconfig={}", dir.join("kubeconfig").display()),
        "--leader-elect=false".to_owned(),
        "--kube-api-qps=1000".to_owned(),
        "--kube-api-burst=2000".to_owned(),
        // Nobody asks them for their health or metrics, and a port would have to be found for each.
        "--secure-port=0".to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_found_and_differ() {
        let ports: [u16; 3] = free_ports().unwrap();
        assert!(ports.iter().all(|port| (20_000..32_000).contains(port)), "{ports:?}");
        assert!(ports[0] != ports[1] && ports[1] != ports[2]);
    }
}
