//! The four chapters.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bluegreen_api::{BlueGreenRolloutStatus, Outcome};
use bluegreen_cluster::{Cluster, Kind};
use serde_json::{Value, json};

use super::timeline::{Timeline, version};
use super::traffic::{RATE, Traffic};
use crate::interrupt;

const MANIFEST: &str = include_str!("shop.yaml");

/// How long users come before something is changed.
const BEFORE: Duration = Duration::from_secs(2);

struct Story<'a> {
    cluster: &'a mut Cluster,
    load: &'a Path,
    timeline: Timeline,
    attempt: i64,
}

pub(super) fn tell(cluster: &mut Cluster, load: &Path) -> Result<()> {
    let real = cluster.kind() == Kind::Node;
    heading("Version 1.0.0: one manifest");
    let manifest = cluster.dir().join("shop.yaml");
    std::fs::write(&manifest, text(real)?).with_context(|| format!("cannot write {}", manifest.display()))?;
    run(cluster, &["create", "namespace", "demo"])?;
    let manifest = manifest.display().to_string();
    println!("  $ kubectl apply -f {manifest}");
    run(cluster, &["apply", "-f", &manifest])?;
    let timeline = Timeline::of(|words| cluster.kubectl(words))?;
    let mut story = Story { cluster, load, timeline, attempt: 0 };
    story.follow()?;
    if real { story.on_a_real_node() } else { story.on_fake_nodes() }
}

impl Story<'_> {
    fn on_a_real_node(&mut self) -> Result<()> {
        // As long as the cluster is there: what Prometheus measures before a switch must come from somewhere. It is so
        // little that nobody would take it for users.
        let target = format!("http://{}/", self.address("shop-preview")?);
        let words = [&target, "--rate=9", "--no-keep-alive"].map(str::to_owned).to_vec();
        self.cluster.start_program("test-traffic", self.load, words, BTreeMap::new())?;
        let rate = 2 * RATE;

        heading(&format!("Version 2.0.0 is deployed beside it, tested, and switched to, while {rate} requests a second come in"));
        let users = self.users()?;
        self.patch("2.0.0")?;
        let status = self.follow()?;
        let counted = users.end()?;
        println!("\n  {}", counted.told());
        ended(&status, Outcome::Promoted)?;
        ensure!(counted.failed == 0, "no request should have failed, but there were {:?}", counted.failures);

        heading("Version 3.0.0-errors answers every fifth request with an error: Prometheus sees it on the preview");
        let users = self.users()?;
        self.patch("3.0.0-errors")?;
        let status = self.follow()?;
        let counted = users.end()?;
        println!("\n  Users never reached it: {}", counted.told());
        ended(&status, Outcome::Aborted)?;
        ensure!(counted.failed == 0, "no request should have failed, but there were {:?}", counted.failures);

        heading("Version 4.0.0-errors-under-load is good until users come: it passes the tests, and goes bad after the switch");
        let users = self.users()?;
        self.patch("4.0.0-errors-under-load")?;
        let status = self.follow()?;
        let counted = users.end()?;
        println!("\n  {}", counted.told());
        println!("  Those are the price of a version that is bad only with users: it served {}.", served(&status));
        ended(&status, Outcome::RolledBack)
    }

    fn on_fake_nodes(&mut self) -> Result<()> {
        heading("Version 2.0.0 is deployed beside it and switched to");
        self.patch("2.0.0")?;
        ended(&self.follow()?, Outcome::Promoted)?;

        heading("Version 3.0.0-crash ends with an error again and again");
        self.patch("3.0.0-crash")?;
        ended(&self.follow()?, Outcome::Aborted)?;

        heading("Version 4.0.0 is good until users come: all its pods lose their readiness after the switch");
        self.patch("4.0.0")?;
        let cluster = &*self.cluster;
        let mut spoiled = false;
        self.attempt += 1;
        let status = self.timeline.until_the_end_of(self.attempt, || {
            if std::mem::replace(&mut spoiled, true) {
                return Ok(());
            }
            let active = run(cluster, &["get", "service/shop", "-n", "demo", "-o", "jsonpath={.spec.selector.bluegreen\\.dev/color}"])?;
            let selector = format!("bluegreen.dev/color={}", active.trim());
            run(cluster, &["annotate", "pods", "-n", "demo", "-l", &selector, "test.bluegreen.dev/ready=false"]).map(drop)
        })?;
        println!("\n  It served {}.", served(&status));
        ended(&status, Outcome::RolledBack)
    }

    fn users(&self) -> Result<Traffic> {
        let users = Traffic::of_users(self.cluster, self.load, &self.address("shop")?)?;
        interrupt::sleep(BEFORE)?;
        Ok(users)
    }

    fn patch(&mut self, version: &str) -> Result<()> {
        let patch = json!({"spec": {"image": format!("registry.example/shop:{version}")}}).to_string();
        println!("  $ kubectl patch bgr shop --type merge -p '{patch}'");
        self.timeline.begin();
        run(self.cluster, &["patch", "bgr/shop", "-n", "demo", "--type=merge", "-p", &patch]).map(drop)
    }

    /// Tells what becomes of the latest change.
    fn follow(&mut self) -> Result<BlueGreenRolloutStatus> {
        self.attempt += 1;
        self.timeline.until_the_end_of(self.attempt, || Ok(()))
    }

    fn address(&self, service: &str) -> Result<String> {
        run(self.cluster, &["get", "service", service, "-n", "demo", "-o", "jsonpath={.spec.clusterIP}"])
    }
}

fn heading(words: &str) {
    println!("\n{words}\n");
}

/// The manifest; without metrics where there is nothing to measure.
fn text(real: bool) -> Result<String> {
    if real {
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
        _ => "for a time that its history doesn't tell".to_owned(),
    }
}

fn run(cluster: &Cluster, words: &[&str]) -> Result<String> {
    let output = cluster.kubectl(words).stdin(Stdio::null()).output().context("cannot start kubectl")?;
    ensure!(output.status.success(), "`kubectl {}` failed: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
