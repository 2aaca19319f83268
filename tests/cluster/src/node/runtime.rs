//! containerd, the network of pods, and the cgroups they run in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;

use super::Node;
use super::network::PODS;
use crate::control_plane::write;
use crate::image::PAUSE;
use crate::state::Process;

impl Node {
    pub(crate) fn containerd(&self) -> Result<Process> {
        let run = self.run_dir();
        let cni = self.dir.join("cni");
        for dir in [&run, &cni] {
            fs::create_dir_all(dir).with_context(|| format!("cannot make the directory {}", dir.display()))?;
        }
        let network = json!({
            "cniVersion": "1.0.0",
            "name": super::namespace(&self.name),
            "plugins": [{
                // A route to each pod instead of a bridge between them: on a bridge the answers of a pod on the same
                // node bypass the rules of kube-proxy, unless the kernel has br_netfilter.
                "type": "ptp",
                "ipMasq": false,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": PODS}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                    "dataDir": self.dir.join("pod-addresses"),
                },
            }],
        });
        write(&cni.join("pods.conflist"), &network.to_string())?;

        // Whatever was not imported is asked for here, and is not there.
        let registry = self.dir.join("registry");
        let default = registry.join("_default");
        fs::create_dir_all(&default).with_context(|| format!("cannot make the directory {}", default.display()))?;
        let nobody = "http://127.0.0.1:9089";
        let hosts = format!("server = \"{nobody}\"\n[host.\"{nobody}\"]\ncapabilities = [\"pull\", \"resolve\"]\n");
        write(&default.join("hosts.toml"), &hosts)?;

        let config = self.dir.join("containerd.toml");
        let text = format!(
            r#"version = 2
root = "{root}"
state = "{state}"
# Storage that this machine may not have, and a directory below /opt that nobody needs.
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.internal.v1.opt",
]

[grpc]
address = "{socket}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
restrict_oom_score_adj = true
stream_server_address = "127.0.0.1"

[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "{registry}"

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{cni}"
"#,
            root = self.dir.join("containerd").display(),
            state = run.join("containerd").display(),
            socket = self.socket().display(),
            cni = cni.display(),
            registry = registry.display(),
        );
        write(&config, &text)?;
        let args = vec![format!("--config={}", config.display()), "--log-level=warn".to_owned()];
        Ok(self.plain_process("containerd", "/usr/bin/containerd".into(), args))
    }

    pub(crate) fn ctr(&self) -> Command {
        let mut ctr = Command::new("/usr/bin/ctr");
        ctr.arg("--address").arg(self.socket()).args(["--namespace", "k8s.io"]);
        ctr
    }

    pub(crate) fn containerd_answers(&self) -> bool {
        self.ctr().arg("version").output().is_ok_and(|output| output.status.success())
    }
}

/// The directories of a cgroup: one in each hierarchy of version 1, a single one in version 2.
pub(super) fn cgroup_dirs(name: &str) -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.controllers").exists() {
        return vec![root.join(name)];
    }
    let hierarchies = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut dirs: Vec<_> = hierarchies
        .filter(|dir| dir.join("cgroup.procs").exists())
        .filter_map(|dir| fs::canonicalize(dir).ok())
        .map(|dir| dir.join(name))
        .collect();
    dirs.sort();
    dirs.dedup();
    dirs
}

/// Makes the cgroup that the kubelet is told to use: it makes those below it, but not this one.
pub(super) fn make_cgroup(name: &str) -> Result<()> {
    for dir in cgroup_dirs(name) {
        fs::create_dir_all(&dir).with_context(|| format!("cannot make the cgroup {}", dir.display()))?;
        // A new cpuset of version 1 has no processors and no memory, and nothing can run in it.
        for file in ["cpuset.mems", "cpuset.cpus"] {
            let (ours, parent) = (dir.join(file), dir.with_file_name(file));
            if let (true, Ok(all)) = (ours.exists(), fs::read_to_string(&parent)) {
                fs::write(&ours, all).with_context(|| format!("cannot write {}", ours.display()))?;
            }
        }
    }
    Ok(())
}
