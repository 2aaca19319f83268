//! What a real node needs of the machine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// Programs, and Debian's packages that hold them.
const NEEDED: &[(&str, &str)] = &[
    ("/usr/bin/containerd", "containerd"),
    ("/usr/bin/ctr", "containerd"),
    ("/usr/sbin/runc", "runc"),
    ("/usr/lib/cni/ptp", "containernetworking-plugins"),
    ("/usr/sbin/iptables", "iptables"),
    ("/usr/sbin/nft", "nftables"),
    ("/usr/sbin/conntrack", "conntrack"),
    ("/usr/bin/prometheus", "prometheus"),
    ("/usr/sbin/ip", "iproute2"),
    ("/usr/bin/nsenter", "util-linux"),
];

/// Why this machine can't carry a real node, as far as that can be seen beforehand.
pub(crate) fn obstacle() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("a real node needs root: it makes a network namespace, mounts and cgroups".to_owned());
    }
    let all_there = NEEDED.iter().all(|(program, _)| Path::new(program).exists());
    let debian = Path::new("/etc/debian_version").exists();
    (!all_there && !debian).then(|| {
        "a real node needs containerd, runc, CNI plugins, iptables and Prometheus where Debian puts them, and this is not Debian".to_owned()
    })
}

/// Installs what is missing. No service of the machine is started by it.
pub(crate) fn install_missing() -> Result<()> {
    if let Some(obstacle) = obstacle() {
        bail!("{obstacle}. Run it as root on Debian, or use --fake");
    }
    let mut missing: Vec<_> = NEEDED.iter().filter(|(program, _)| !Path::new(program).exists()).map(|(_, package)| *package).collect();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("Installing Debian's packages {} (about half a minute; their services are not started) …", missing.join(", "));
    let _quiet = NoServices::new()?;
    let install = || apt(&["install", "--yes", "--no-install-recommends"], &missing);
    // The package lists of a fresh machine may be empty or old.
    let installed = install()? || (apt(&["update"], &[])? && install()?);
    ensure!(installed, "apt-get could not install {}; its output is above", missing.join(" "));
    for (program, package) in NEEDED {
        ensure!(Path::new(program).exists(), "{package} is installed, but there is no {program}: this is written for Debian 12 or later");
    }
    Ok(())
}

fn apt(command: &[&str], packages: &[&str]) -> Result<bool> {
    let status = Command::new("apt-get")
        .args(["--quiet", "--quiet"])
        .args(command)
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        // What apt says on its output is no result of ours.
        .stdout(Stdio::null())
        .status()
        .with_context(|| format!("cannot run apt-get; install {} by the means of this machine", packages.join(" ")))?;
    Ok(status.success())
}

/// Keeps Debian from starting the services of packages for as long as it lives: that is what `policy-rc.d` is for.
struct NoServices {
    ours: bool,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

impl NoServices {
    fn new() -> Result<Self> {
        let ours = !Path::new(POLICY).exists();
        if ours {
            fs::write(POLICY, "#!/bin/sh\nexit 101\n")
                .and_then(|()| fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755)))
                .with_context(|| format!("cannot write {POLICY}, which keeps packages from starting their services"))?;
        }
        Ok(Self { ours })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours {
            // Should this fail, the next installation of a service on this machine tells why it did not start.
            let _ = fs::remove_file(POLICY);
        }
    }
}
