//! A cluster with one real node: pods run, Services carry traffic, Prometheus measures.

mod network;
mod packages;
mod remains;
mod runtime;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bluegreen_image::Image;
pub(crate) use network::{ADDRESS, namespace};
pub(crate) use packages::{install_missing, obstacle};
use serde_json::json;

use crate::binaries::{self, Binaries};
use crate::control_plane::{process, write};
use crate::paths;
use crate::state::Process;

pub(crate) const NODE: &str = "node-0";

/// Where one node keeps what it runs.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    name: String,
    dir: PathBuf,
}

impl Node {
    pub(crate) fn new(name: &str, dir: &Path) -> Self {
        Self { name: name.to_owned(), dir: dir.to_path_buf() }
    }

    pub(crate) fn make_network(&self) -> Result<()> {
        network::make(&namespace(&self.name))
    }

    /// Sockets and mounts of running containers: a short path, since a socket's may have 107 bytes only.
    fn run_dir(&self) -> PathBuf {
        Path::new("/run/bluegreen").join(&self.name)
    }

    fn socket(&self) -> PathBuf {
        self.run_dir().join("containerd.sock")
    }

    /// Pods of one node have a cgroup of their own, so that two nodes don't sweep each other's pods away.
    fn cgroup(&self) -> String {
        format!("bluegreen-{}", self.name)
    }

    pub(crate) fn kubelet(&self, binaries: &Binaries) -> Result<Process> {
        runtime::make_cgroup(&self.cgroup())?;
        let config = json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {"anonymous": {"enabled": true}, "webhook": {"enabled": false}},
            "authorization": {"mode": "AlwaysAllow"},
            "containerRuntimeEndpoint": format!("unix://{}", self.socket().display()),
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": format!("/{}", self.cgroup()),
            "failCgroupV1": false,
            "failSwapOn": false,
            "enforceNodeAllocatable": [],
            "localStorageCapacityIsolation": false,
            // A disk that is nearly full is no reason to evict pods or to remove images that no registry has.
            "evictionHard": {"memory.available": "100Mi"},
            "imageGCHighThresholdPercent": 100,
            "maxPods": 250,
            // There is no DNS. The node refuses such a query at once, so that nothing waits for an answer.
            "clusterDNS": [ADDRESS],
            "clusterDomain": "cluster.local",
            "resolvConf": "",
            "serializeImagePulls": false,
            "registryPullQPS": 0,
            "eventRecordQPS": 0,
            "kubeAPIQPS": 200,
            "kubeAPIBurst": 400,
        });
        let path = self.dir.join("kubelet.json");
        write(&path, &config.to_string())?;
        let args = vec![
            format!("--config={}", path.display()),
            format!("--kubeconfig={}", self.dir.join("kubeconfig").display()),
            format!("--root-dir={}", self.dir.join("kubelet").display()),
            format!("--cert-dir={}", self.dir.join("kubelet/pki").display()),
            format!("--hostname-override={NODE}"),
            format!("--node-ip={ADDRESS}"),
        ];
        process(&self.dir, binaries, "kubelet", args)
    }

    pub(crate) fn kube_proxy(&self, binaries: &Binaries) -> Result<Process> {
        let args = vec![
            format!("--kubeconfig={}", self.dir.join("kubeconfig").display()),
            format!("--hostname-override={NODE}"),
            // Not iptables: there, kube-proxy removes the chains of old addresses together with the last rule that leads
            // to them, and a connection that is opened at that very instant is led nowhere (3 of 33,000 at 200 a second
            // over 30 switches). With nftables it leaves them for a second.
            "--proxy-mode=nftables".to_owned(),
            // Limits of the whole machine are not the cluster's to change.
            "--conntrack-max-per-core=0".to_owned(),
            "--conntrack-tcp-timeout-established=0s".to_owned(),
            "--conntrack-tcp-timeout-close-wait=0s".to_owned(),
        ];
        process(&self.dir, binaries, "kube-proxy", args)
    }

    /// What tells Prometheus which pods there are: Debian builds it without the discovery of Kubernetes.
    pub(crate) fn discovery(&self, programs: &Path) -> Result<Process> {
        let program = programs.join("discovery");
        binaries::build_static(&paths::source().join("discovery"), ".", &program)?;
        let args = vec![format!("--kubeconfig={}", self.dir.join("kubeconfig").display())];
        Ok(self.plain_process("discovery", program, args))
    }

    pub(crate) fn prometheus(&self) -> Result<Process> {
        // JSON is YAML too.
        let config = json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "900ms", "evaluation_interval": "1s"},
            "scrape_configs": [{
                "job_name": "pods",
                "http_sd_configs": [{"url": "http://127.0.0.1:9089/targets", "refresh_interval": "1s"}],
            }],
        });
        let path = self.dir.join("prometheus.yaml");
        write(&path, &config.to_string())?;
        let args = vec![
            format!("--config.file={}", path.display()),
            format!("--storage.tsdb.path={}", self.dir.join("prometheus").display()),
            "--web.listen-address=0.0.0.0:9090".to_owned(),
            "--log.level=warn".to_owned(),
        ];
        Ok(self.plain_process("prometheus", "/usr/bin/prometheus".into(), args))
    }

    fn plain_process(&self, name: &str, program: PathBuf, args: Vec<String>) -> Process {
        let log = self.dir.join("logs").join(format!("{name}.log"));
        Process { name: name.to_owned(), program, args, env: BTreeMap::new(), log, running: None }
    }

    /// Gives the node images, as a pull would.
    pub(crate) fn import(&self, images: &[Image]) -> Result<()> {
        let path = self.dir.join(format!("images-{}.tar", std::process::id()));
        fs::write(&path, bluegreen_image::layout(images)?).with_context(|| format!("cannot write {}", path.display()))?;
        let outcome = self.import_file(&path);
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        outcome
    }

    /// The same from a layout that somebody has written.
    pub(crate) fn import_file(&self, path: &Path) -> Result<()> {
        network::run(self.ctr().args(["images", "import"]).arg(path))
    }
}
