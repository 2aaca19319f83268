//! Seeing what happens to rollouts and their objects, and when.
//!
//! Four watches, each by a kubectl of its own, whose lines are given the time at which they arrive. A span between
//! two of them is then as late at its beginning as at its end.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bluegreen_api::names::{COLOR_LABEL, REVISION_LABEL, ROLLOUT_LABEL};
use bluegreen_cluster::{Cluster, SYSTEM_NAMESPACE};
use serde_json::Value;

use crate::interrupt::{self, Ended, spawn};

/// Longer than anything takes with no rollouts, and the time more for each.
const PATIENCE: Duration = Duration::from_secs(300);
const PATIENCE_EACH: Duration = Duration::from_secs(2);

struct Line {
    at: Instant,
    text: String,
}

/// State of one rollout.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// The image that users reach, once nothing is under way.
    pub(super) settled: Option<String>,
    /// The latest generation of `spec` that `status` speaks of, and since when.
    pub(super) recorded: Option<(i64, Instant)>,
    /// By color: since when its Deployment has been available at full size.
    available: BTreeMap<String, Instant>,
    /// Revision that the active Service selects.
    revision: Option<String>,
    /// From the candidate's availability to the switch, for each switch but the first, since they were forgotten.
    pub(super) switches: Vec<Duration>,
    pub(super) switched: Option<Instant>,
}

/// All that the watches have shown.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) rollouts: BTreeMap<String, Watched>,
    /// Holders of the operator's lease, one after the other; empty while it is free.
    pub(super) holders: Vec<(String, Instant)>,
}

pub(super) struct Observer {
    lines: Receiver<Line>,
    _watches: Vec<Ended>,
    patience: Duration,
    pub(super) seen: Seen,
}

impl Observer {
    pub(super) fn of(cluster: &Cluster, namespace: &str, rollouts: usize) -> Result<Self> {
        let (sender, lines) = channel();
        let paths = [
            format!("apis/bluegreen.dev/v1alpha1/namespaces/{namespace}/bluegreenrollouts"),
            format!("apis/apps/v1/namespaces/{namespace}/deployments"),
            format!("api/v1/namespaces/{namespace}/services"),
            format!("apis/coordination.k8s.io/v1/namespaces/{SYSTEM_NAMESPACE}/leases"),
        ];
        let watches = paths.into_iter().map(|path| {
            let path = format!("/{path}?watch=true&timeoutSeconds=36000");
            watch(cluster.kubectl(["get", "--raw", &path]), sender.clone())
        });
        let patience = PATIENCE + PATIENCE_EACH * u32::try_from(rollouts).unwrap_or(u32::MAX);
        Ok(Self { _watches: watches.collect::<Result<_>>()?, lines, patience, seen: Seen::default() })
    }

    /// Looks until it is so.
    pub(super) fn until(&mut self, what: &str, is: impl Fn(&Seen) -> bool) -> Result<()> {
        let until = Instant::now() + self.patience;
        while !is(&self.seen) {
            interrupt::check()?;
            match self.lines.recv_timeout(Duration::from_millis(200)) {
                Ok(line) => {
                    self.seen.see(&line)?;
                    self.catch_up()?;
                }
                Err(RecvTimeoutError::Timeout) => (),
                Err(RecvTimeoutError::Disconnected) => bail!("kubectl has stopped watching: the cluster is gone"),
            }
            ensure!(Instant::now() < until, "not within {} s: {what}", self.patience.as_secs());
        }
        Ok(())
    }

    /// Looks at all that has arrived.
    pub(super) fn catch_up(&mut self) -> Result<()> {
        while let Ok(line) = self.lines.try_recv() {
            self.seen.see(&line)?;
        }
        Ok(())
    }

    pub(super) fn forget_switches(&mut self) {
        self.seen.rollouts.values_mut().for_each(|watched| watched.switches.clear());
    }
}

impl Seen {
    fn see(&mut self, line: &Line) -> Result<()> {
        let event: Value = serde_json::from_str(&line.text).context("a watch printed something that isn't JSON")?;
        let object = &event["object"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let label = |name: &str| text(&object["metadata"]["labels"][name]);
        match object["kind"].as_str() {
            Some("BlueGreenRollout") => {
                let status = &object["status"];
                let settled = status["phase"] == "Healthy" && status["observedGeneration"] == object["metadata"]["generation"];
                let watched = self.rollouts.entry(text(&object["metadata"]["name"])).or_default();
                watched.settled = settled.then(|| text(&status["active"]["image"]));
                watched.records(status["observedGeneration"].as_i64(), line.at);
            }
            Some("Deployment") => {
                let watched = self.rollouts.entry(label(ROLLOUT_LABEL)).or_default();
                if is_available(object) {
                    watched.available.entry(label(COLOR_LABEL)).or_insert(line.at);
                } else {
                    watched.available.remove(&label(COLOR_LABEL));
                }
            }
            Some("Service") => {
                let (name, selector) = (text(&object["metadata"]["name"]), &object["spec"]["selector"]);
                if name == text(&selector[ROLLOUT_LABEL]) {
                    let watched = self.rollouts.entry(name).or_default();
                    watched.selects(&text(&selector[COLOR_LABEL]), text(&selector[REVISION_LABEL]), line.at);
                }
            }
            Some("Lease") => {
                let holder = text(&object["spec"]["holderIdentity"]);
                if self.holders.last().is_none_or(|(last, _)| *last != holder) {
                    self.holders.push((holder, line.at));
                }
            }
            _ => (),
        }
        Ok(())
    }
}

impl Watched {
    fn records(&mut self, generation: Option<i64>, at: Instant) {
        let Some(generation) = generation else { return };
        if self.recorded.is_none_or(|(former, _)| former < generation) {
            self.recorded = Some((generation, at));
        }
    }

    fn selects(&mut self, color: &str, revision: String, at: Instant) {
        if self.revision.as_ref() == Some(&revision) {
            return;
        }
        if self.revision.replace(revision).is_some() {
            // Two watches, two pipes: an effect may be seen before its cause, and then it was at once.
            let available = self.available.get(color).copied().unwrap_or(at);
            self.switches.push(at.saturating_duration_since(available));
            self.switched = Some(at);
        }
    }
}

/// As the operator has it: observed, and all pods there are new and available.
fn is_available(deployment: &Value) -> bool {
    let (spec, status) = (&deployment["spec"], &deployment["status"]);
    let count = |name: &str| status[name].as_i64().unwrap_or_default();
    let wanted = spec["replicas"].as_i64().unwrap_or_default();
    let observed = status["observedGeneration"] == deployment["metadata"]["generation"];
    observed && wanted > 0 && ["replicas", "updatedReplicas", "availableReplicas"].iter().all(|name| count(name) == wanted)
}

fn watch(mut kubectl: Command, to: Sender<Line>) -> Result<Ended> {
    let mut child = spawn(kubectl.stdout(Stdio::piped()).stderr(Stdio::null()))?;
    let output = child.0.stdout.take().context("kubectl without output")?;
    std::thread::spawn(move || {
        for text in BufReader::new(output).lines() {
            let at = Instant::now();
            let Ok(text) = text else { break };
            // At the end there is no receiver.
            if to.send(Line { at, text }).is_err() {
                break;
            }
        }
    });
    Ok(child)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_measured_from_when_its_color_is_available() {
        let start = Instant::now();
        let mut watched = Watched::default();
        watched.available.insert("blue".into(), start);
        watched.selects("blue", "one".into(), start + Duration::from_millis(1));
        watched.available.insert("green".into(), start + Duration::from_millis(100));
        watched.selects("green", "two".into(), start + Duration::from_millis(107));
        watched.selects("green", "two".into(), start + Duration::from_millis(300));
        assert_eq!(watched.switches, [Duration::from_millis(7)]);
    }

    #[test]
    fn a_generation_is_recorded_when_it_is_first_seen_in_status() {
        let start = Instant::now();
        let mut watched = Watched::default();
        for (generation, after) in [(None, 0), (Some(1), 1), (Some(1), 2), (Some(2), 3), (Some(2), 4)] {
            watched.records(generation, start + Duration::from_secs(after));
        }
        assert_eq!(watched.recorded, Some((2, start + Duration::from_secs(3))));
    }

    #[test]
    fn holders_of_the_lease_are_kept_one_after_the_other() {
        let mut seen = Seen::default();
        for holder in ["one", "one", "", "two"] {
            let lease = serde_json::json!({"object": {"kind": "Lease", "spec": {"holderIdentity": holder}}});
            seen.see(&Line { at: Instant::now(), text: lease.to_string() }).unwrap();
        }
        let holders: Vec<_> = seen.holders.iter().map(|(holder, _)| holder.as_str()).collect();
        assert_eq!(holders, ["one", "", "two"]);
    }

    #[test]
    fn a_deployment_that_still_has_old_pods_is_not_available() {
        let deployment = |replicas: i64| {
            serde_json::json!({
                "metadata": {"generation": 3},
                "spec": {"replicas": 2},
                "status": {"observedGeneration": 3, "replicas": replicas, "updatedReplicas": 2, "availableReplicas": 2},
            })
        };
        assert!(is_available(&deployment(2)));
        assert!(!is_available(&deployment(3)));
    }
}
