//! The story: what happens to a rollout, chapter by chapter.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bluegreen_api::{BlueGreenRolloutStatus, Outcome};
use bluegreen_cluster::Cluster;
use serde_json::{Value, json};

use super::timeline::{Timeline, version};
use super::traffic::{Counted, RATE, Traffic};
use crate::interrupt;

const MANIFEST: &str = include_str!("shop.yaml");

/// How long users come before something is changed.
const BEFORE: Duration = Duration::from_secs(2);

type Kubectl<'a> = &'a dyn Fn(&[&str]) -> Command;

/// A rollout, watched, and what was done to it so far.
pub(super) struct Story<'a> {
    kubectl: Kubectl<'a>,
    timeline: Timeline,
    attempt: i64,
}

impl<'a> Story<'a> {
    /// Applies the manifest and shows what happens until it serves.
    pub(super) fn begin(kubectl: Kubectl<'a>, dir: &Path, measured: bool) -> Result<Self> {
        heading("Version 1.0.0: one manifest");
        let manifest = dir.join("shop.yaml");
        std::fs::write(&manifest, text(measured)?).with_context(|| format!("cannot write {}", manifest.display()))?;
        output(kubectl(&["create", "namespace", "demo"]), "make the namespace demo; an earlier demo may have left it")?;
        let manifest = manifest.display().to_string();
        println!("  $ kubectl apply -f {manifest}");
        output(kubectl(&["apply", "-f", &manifest]), "apply the manifest")?;
        let mut story = Story { kubectl, timeline: Timeline::of(kubectl)?, attempt: 0 };
        story.follow()?;
        Ok(story)
    }

    pub(super) fn with_traffic(mut self, cluster: &Cluster, load: &Path) -> Result<()> {
        // As long as the cluster is there: a measurement before the switch needs requests. They are so few that they are
        // not taken for users.
        let target = format!("http://{}/", self.address("shop-preview")?);
        let words = [&target, "--rate=9", "--no-keep-alive"].map(str::to_owned).to_vec();
        Cluster::attach(cluster.name())?.start_program("test-traffic", load, words, BTreeMap::new())?;
        let rate = 2 * RATE;

        heading(&format!("Version 2.0.0 is deployed beside it, tested, and switched to, while {rate} requests a second come in"));
        let (status, counted) = self.under_load(cluster, load, "2.0.0")?;
        println!("\n  {}", counted.text());
        ended(&status, Outcome::Promoted)?;
        ensure!(counted.failed == 0, "no request should have failed, but there were {:?}", counted.failures);

        heading("Version 3.0.0-errors answers every fifth request with an error: Prometheus sees it on the preview");
        let (status, counted) = self.under_load(cluster, load, "3.0.0-errors")?;
        println!("\n  Users never reached it: {}", counted.text());
        ended(&status, Outcome::Aborted)?;
        ensure!(counted.failed == 0, "no request should have failed, but there were {:?}", counted.failures);

        heading("Version 4.0.0-errors-under-load is good until users come: it passes the tests, and goes bad after the switch");
        let (status, counted) = self.under_load(cluster, load, "4.0.0-errors-under-load")?;
        println!("\n  {}", counted.text());
        println!("  Those are the price of a version that is bad only with users: it served {}.", served(&status));
        ended(&status, Outcome::RolledBack)
    }

    /// `spoil` takes the readiness from all pods of a color.
    pub(super) fn without_traffic(mut self, spoil: impl Fn(&str) -> Result<()>) -> Result<()> {
        heading("Version 2.0.0 is deployed beside it and switched to");
        self.patch("2.0.0")?;
        ended(&self.follow()?, Outcome::Promoted)?;

        heading("Version 3.0.0-crash ends with an error again and again");
        self.patch("3.0.0-crash")?;
        ended(&self.follow()?, Outcome::Aborted)?;

        heading("Version 4.0.0 is good until users come: all its pods lose their readiness after the switch");
        self.patch("4.0.0")?;
        let kubectl = self.kubectl;
        let mut spoiled = false;
        self.attempt += 1;
        let status = self.timeline.until_the_end_of(self.attempt, || {
            if std::mem::replace(&mut spoiled, true) {
                return Ok(());
            }
            let words = ["get", "service/shop", "-n", "demo", "-o", "jsonpath={.spec.selector.bluegreen\\.dev/color}"];
            spoil(output(kubectl(&words), "find the active color")?.trim())
        })?;
        println!("\n  It served {}.", served(&status));
        ended(&status, Outcome::RolledBack)
    }

    /// Patches in a version while users come, and waits for what becomes of it.
    fn under_load(&mut self, cluster: &Cluster, load: &Path, version: &str) -> Result<(BlueGreenRolloutStatus, Counted)> {
        let users = Traffic::of_users(cluster, load, &self.address("shop")?)?;
        interrupt::sleep(BEFORE)?;
        self.patch(version)?;
        let status = self.follow()?;
        Ok((status, users.end()?))
    }

    fn patch(&mut self, version: &str) -> Result<()> {
        let patch = json!({"spec": {"image": format!("registry.example/shop:{version}")}}).to_string();
        println!("  $ kubectl patch bgr shop --type merge -p '{patch}'");
        self.timeline.begin();
        output((self.kubectl)(&["patch", "bgr/shop", "-n", "demo", "--type=merge", "-p", &patch]), "patch the rollout").map(drop)
    }

    /// Shows what becomes of the latest change.
    fn follow(&mut self) -> Result<BlueGreenRolloutStatus> {
        self.attempt += 1;
        self.timeline.until_the_end_of(self.attempt, || Ok(()))
    }

    fn address(&self, service: &str) -> Result<String> {
        let words = ["get", "service", service, "-n", "demo", "-o", "jsonpath={.spec.clusterIP}"];
        output((self.kubectl)(&words), "find the address of a Service")
    }
}

/// Takes the readiness from pods of fake nodes.
pub(super) fn unready_by_annotation(kubectl: Kubectl<'_>, color: &str) -> Result<()> {
    let selector = format!("bluegreen.dev/color={color}");
    let words = ["annotate", "pods", "-n", "demo", "-l", &selector, "test.bluegreen.dev/ready=false"];
    output(kubectl(&words), "take the readiness from the pods of the new version").map(drop)
}

fn heading(words: &str) {
    println!("\n{words}\n");
}

/// The manifest; without metrics where there is nothing to measure.
fn text(measured: bool) -> Result<String> {
    if measured {
        return Ok(MANIFEST.to_owned());
    }
    let mut manifest: Value = serde_yaml_ng::from_str(MANIFEST).context("the manifest of the demo is no YAML")?;
    if let Some(spec) = manifest["spec"].as_object_mut() {
        spec.remove("verification");
        spec.insert("monitoring".into(), json!({"duration": "10s"}));
    }
    serde_yaml_ng::to_string(&manifest).context("cannot write the manifest of the demo")
}

fn ended(status: &BlueGreenRolloutStatus, wanted: Outcome) -> Result<()> {
    let last = status.history.first().context("the rollout has no history of finished attempts")?;
    let outcome = last.outcome.map_or("nothing".to_owned(), |outcome| format!("{outcome:?}"));
    ensure!(
        last.outcome == Some(wanted),
        "{} should have ended as {wanted:?}, but ended as {outcome}: {}",
        version(&last.image),
        last.message
    );
    Ok(())
}

/// From the switch to the switch back, as the history has it.
fn served(status: &BlueGreenRolloutStatus) -> String {
    use bluegreen_api::Phase::{Promoting, RollingBack};
    let phases = status.history.first().map(|attempt| attempt.phases.as_slice()).unwrap_or_default();
    let at = |wanted| phases.iter().find(|entered| entered.phase == wanted).map(|entered| entered.at);
    match (at(Promoting), at(RollingBack)) {
        (Some(switched), Some(back)) => format!("for {:.1} s", back.duration_since(switched).as_secs_f64()),
        _ => "for a time that its history doesn't show".to_owned(),
    }
}

/// Output of a kubectl, which has to succeed.
pub(super) fn output(mut kubectl: Command, what: &str) -> Result<String> {
    let output = kubectl.stdin(Stdio::null()).output().context("cannot start kubectl; put it in PATH")?;
    ensure!(output.status.success(), "cannot {what}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
