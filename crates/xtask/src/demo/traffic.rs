//! Users, played by two load generators: one keeps its connections, the other opens one for each request.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Stdio};

use anyhow::{Context, Result};
use bluegreen_cluster::Cluster;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use crate::interrupt::{self, Ended, spawn};

/// Requests a second of each of the two.
pub(super) const RATE: u32 = 100;

pub(super) struct Traffic {
    loads: Vec<Ended>,
}

/// Outcome of all requests.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) sent: u64,
    pub(super) failed: u64,
    pub(super) versions: BTreeMap<String, Version>,
    pub(super) failures: BTreeMap<String, u64>,
}

#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) answers: u64,
    pub(super) failed: u64,
}

impl Traffic {
    /// Users of the Service at this address, once it carries traffic: kube-proxy learns of a Service a moment later than
    /// the operator.
    pub(super) fn of_users(cluster: &Cluster, load: &Path, address: &str) -> Result<Self> {
        let probe = || {
            let target = format!("http://{address}/");
            let mut command = cluster.command(load);
            command.args([&target, "--rate=20", "--duration=200ms"]).stdin(Stdio::null()).stdout(Stdio::null()).status()
        };
        for _ in 0..50 {
            interrupt::check()?;
            if probe().context("cannot start the load generator")?.success() {
                break;
            }
        }
        let start = |way: &str| {
            let target = format!("http://{address}/");
            spawn(cluster.command(load).args([&target, &format!("--rate={RATE}"), way]).stdout(Stdio::piped()))
        };
        Ok(Self { loads: vec![start("--keep-alive")?, start("--no-keep-alive")?] })
    }

    /// Ends it; requests under way are waited for.
    pub(super) fn end(self) -> Result<Counted> {
        let mut all = Counted::default();
        for mut load in self.loads {
            let output = end(&mut load.0)?;
            all.add(serde_json::from_str(&output).context("the load generator printed no summary")?);
        }
        Ok(all)
    }
}

fn end(load: &mut Child) -> Result<String> {
    let pid = i32::try_from(load.id()).ok().and_then(Pid::from_raw).context("a process id that is none")?;
    // One that has ended by itself has said why.
    let _ = kill_process(pid, Signal::TERM);
    let output = load.stdout.take().context("a load generator without output")?;
    let output = std::io::read_to_string(output).context("cannot read what the load generator counted")?;
    load.wait().context("cannot wait for the load generator")?;
    Ok(output)
}

impl Counted {
    fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.failed += other.failed;
        for (name, version) in other.versions {
            let sum = self.versions.entry(name).or_default();
            sum.answers += version.answers;
            sum.failed += version.failed;
        }
        for (kind, count) in other.failures {
            *self.failures.entry(kind).or_default() += count;
        }
    }

    pub(super) fn text(&self) -> String {
        let versions = self.versions.iter().map(|(name, version)| {
            let failed = if version.failed > 0 { format!(", {} of them with an error", version.failed) } else { String::new() };
            format!("{name} answered {}{failed}", version.answers)
        });
        let versions: Vec<_> = versions.collect();
        format!("{} of {} requests failed ({}).", self.failed, self.sent, versions.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_users_are_added_up() {
        let one = r#"{"sent": 10, "failed": 1, "failures": {"status 500": 1}, "versions": {"1.0.0": {"answers": 10, "failed": 1, "first": "x"}}}"#;
        let mut all: Counted = serde_json::from_str(one).unwrap();
        all.add(serde_json::from_str(one).unwrap());
        assert_eq!(all.text(), "2 of 20 requests failed (1.0.0 answered 20, 2 of them with an error).");
        assert_eq!(all.failures["status 500"], 2);
    }
}
