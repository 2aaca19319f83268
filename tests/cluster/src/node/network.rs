//! A network namespace of the cluster's own: nothing that happens in it is seen on the machine's network.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The node's address, from a range that is reserved for documentation and reaches nobody.
pub(crate) const ADDRESS: &str = "192.0.2.2";
/// Pods of the node.
pub(crate) const PODS: &str = "10.244.0.0/22";

pub(crate) fn namespace(name: &str) -> String {
    format!("bluegreen-{name}")
}

/// Makes the namespace. The node's interface is one end of a pair whose other end leads nowhere.
pub(crate) fn make(namespace: &str) -> Result<()> {
    ip(&["netns", "add", namespace])?;
    let inside = |words: &[&str]| ip(&[&["-n", namespace], words].concat());
    inside(&["link", "add", "node", "type", "veth", "peer", "name", "nowhere"])?;
    for device in ["lo", "node", "nowhere"] {
        inside(&["link", "set", device, "up"])?;
    }
    inside(&["address", "add", &format!("{ADDRESS}/24"), "dev", "node"])?;
    // Services have addresses that no device has: without a route the kernel gives up before it looks at the rules.
    inside(&["route", "add", "default", "via", "192.0.2.1", "dev", "node"])?;
    run(Command::new("nsenter").args([
        format!("--net=/run/netns/{namespace}").as_str(),
        "--",
        "sh",
        "-c",
        "echo 1 > /proc/sys/net/ipv4/ip_forward",
    ]))
}

/// Takes the namespace away, if it is there.
pub(crate) fn remove(namespace: &str) -> Result<()> {
    if std::path::Path::new("/run/netns").join(namespace).exists() {
        ip(&["netns", "delete", namespace])?;
    }
    Ok(())
}

fn ip(words: &[&str]) -> Result<()> {
    run(Command::new("ip").args(words))
}

pub(crate) fn run(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
