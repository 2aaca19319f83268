//! Taking away all that a node leaves when its programs are killed: containers, mounts, cgroups, namespaces.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use super::runtime::cgroup_dirs;
use super::{Node, network};
use crate::process;
use crate::state::Running;

impl Node {
    /// Removes everything of the node but its directory. The programs of the cluster must have ended already.
    ///
    /// Can be called again after it failed half-way, and on a node that never came up.
    pub(crate) fn remove_remains(&self) -> Result<()> {
        let containers = self.containers();
        self.end_containers()?;
        self.unmount()?;
        let namespaces: BTreeSet<_> = containers.iter().filter_map(|(_, namespace)| namespace.as_ref()).collect();
        for namespace in namespaces {
            // The namespace of a pod that had ended already is gone.
            if network::remove(namespace).is_err() {
                eprintln!("the network namespace {namespace} of a pod is still there: `ip netns delete {namespace}`");
            }
        }
        network::remove(&super::namespace(&self.name))?;
        self.remove_cgroup()?;
        let run = self.run_dir();
        if run.exists() {
            fs::remove_dir_all(&run).with_context(|| format!("cannot remove {}", run.display()))?;
        }
        self.remove_network_cache(&containers);
        Ok(())
    }

    /// The containers there were, with the network namespace that each was given.
    fn containers(&self) -> Vec<(String, Option<String>)> {
        let bundles = self.run_dir().join("containerd/io.containerd.runtime.v2.task/k8s.io");
        let bundles = fs::read_dir(bundles).into_iter().flatten().flatten();
        let with_namespace = |bundle: fs::DirEntry| {
            let config = fs::read(bundle.path().join("config.json")).unwrap_or_default();
            let config: Value = serde_json::from_slice(&config).unwrap_or_default();
            let mut namespaces = config["linux"]["namespaces"].as_array().into_iter().flatten();
            let network = namespaces.find(|namespace| namespace["type"] == "network");
            let name = network.and_then(|network| Path::new(network["path"].as_str()?).file_name()?.to_str());
            let name = name.filter(|name| name.starts_with("cni-")).map(str::to_owned);
            (bundle.file_name().to_string_lossy().into_owned(), name)
        };
        bundles.map(with_namespace).collect()
    }

    /// Ends the processes of containers, and the shims that watch over them.
    fn end_containers(&self) -> Result<()> {
        // Shims first: one that sees its container end calls runc once more.
        let shims = self.shims();
        let contained = cgroup_dirs(&self.cgroup()).iter().flat_map(|dir| processes_below(dir)).collect::<BTreeSet<_>>();
        for pid in shims.into_iter().chain(contained) {
            if let Some(running) = Running::of(pid) {
                process::kill(running).context("cannot end a container")?;
            }
        }
        Ok(())
    }

    /// The shims of this node's containers: they are told the socket of its containerd.
    fn shims(&self) -> Vec<i32> {
        let socket = self.socket();
        let socket = socket.as_os_str().as_encoded_bytes();
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| {
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut words = command.split(|byte| *byte == 0);
            words.next().is_some_and(|program| program.ends_with(b"containerd-shim-runc-v2")) && words.any(|word| word == socket)
        })
        .collect()
    }

    /// Unmounts what containerd and the kubelet mounted below the directories of the node, the innermost first.
    fn unmount(&self) -> Result<()> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").context("cannot read what is mounted")?;
        let ours = [self.dir.clone(), self.run_dir()];
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
        let mut points: Vec<_> = points.filter(|point| ours.iter().any(|dir| point.starts_with(dir))).collect();
        points.reverse();
        for point in points {
            // Lazily: a process that is being torn down may hold it for another moment.
            rustix::mount::unmount(&point, rustix::mount::UnmountFlags::DETACH)
                .with_context(|| format!("cannot unmount {}", point.display()))?;
        }
        Ok(())
    }

    fn remove_cgroup(&self) -> Result<()> {
        for dir in cgroup_dirs(&self.cgroup()) {
            let mut dirs = below(&dir);
            dirs.reverse();
            for dir in dirs {
                // The kernel keeps a cgroup busy for a moment after its last process.
                let mut tries = 0;
                while let Err(error) = fs::remove_dir(&dir) {
                    tries += 1;
                    if tries > 200 {
                        return Err(error).with_context(|| format!("cannot remove the cgroup {}", dir.display()));
                    }
                    std::thread::sleep(std::time::Duration::from_millis(10));
                }
            }
        }
        Ok(())
    }

    /// The network plugins remember what they did in a place that can't be chosen.
    fn remove_network_cache(&self, containers: &[(String, Option<String>)]) {
        let network = format!("{}-", super::namespace(&self.name));
        let entries = fs::read_dir("/var/lib/cni/results").into_iter().flatten().flatten();
        for entry in entries {
            let file = entry.file_name().to_string_lossy().into_owned();
            if file.starts_with(&network) || containers.iter().any(|(id, _)| file.contains(id.as_str())) {
                // A few bytes; nothing fails for them.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// A directory and all below it, each before what is in it.
fn below(dir: &Path) -> Vec<PathBuf> {
    if !dir.is_dir() {
        return Vec::new();
    }
    let mut dirs = vec![dir.to_path_buf()];
    let mut next = 0;
    while next < dirs.len() {
        let entries = fs::read_dir(&dirs[next]).into_iter().flatten().flatten();
        dirs.extend(entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()));
        next += 1;
    }
    dirs
}

fn processes_below(cgroup: &Path) -> Vec<i32> {
    let lists = below(cgroup).into_iter().filter_map(|dir| fs::read_to_string(dir.join("cgroup.procs")).ok());
    lists.flat_map(|list| list.lines().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}
