//! Real pods under real traffic: the switch and the way back cost no request.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use bluegreen_api::{Color, Phase};
use bluegreen_cluster::Cluster;
use bluegreen_e2e::{
    Rollout, Seen, Space, merged,
    patience::{pause, stretched},
    shop,
    traffic::{Connections, Counted, Load, operator},
};
use bluegreen_load::Answer;
use bluegreen_witness::Kind;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;

/// Requests a second, of users who keep their connections and again of those who don't.
const RATE: u32 = 200;

/// How often the active Service is led elsewhere under load: thirty times in the night.
const SWITCHES: &str = "BLUEGREEN_SWITCHES";

/// A cycle is three switches: two promotions and a way back.
fn cycles() -> usize {
    let switches = std::env::var(SWITCHES).map_or(3, |switches| switches.parse::<usize>().unwrap());
    assert!(switches > 0 && switches.is_multiple_of(3), "{SWITCHES} is a multiple of 3");
    switches / 3
}

/// kube-proxy collects changes for as long as its `--nftables-min-sync-period`, 1 s if nobody says otherwise, and then
/// writes all rules at once. Should the old addresses leave the EndpointSlices after the new ones came, one such period
/// may lie between them, and on a busy machine the writing takes as long again. Whatever comes later was not kube-proxy's
/// doing.
const KUBE_PROXY: Duration = Duration::from_secs(2);

/// A container that listens on one port only.
fn template(port: u16) -> Value {
    json!({"spec": {"containers": [{
        "name": "shop",
        "env": [{"name": "PORT", "value": port.to_string()}],
        "ports": [{"name": "http", "containerPort": port}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": port}, "periodSeconds": 1},
    }]}})
}

fn ports(port: u16) -> Value {
    json!({"ports": [{"name": "http", "port": 80, "targetPort": port}]})
}

/// Name and uid of each pod of a color, with the restarts of its container.
fn pods(space: &Space, color: Color) -> Vec<(String, String, i64)> {
    let pods = space.pods(&[("bluegreen.dev/color", color.as_str())]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let restarts = |pod: &Value| pod["status"]["containerStatuses"][0]["restartCount"].as_i64().unwrap_or_default();
    pods.iter().map(|pod| (text(&pod["metadata"]["name"]), text(&pod["metadata"]["uid"]), restarts(pod))).collect()
}

/// Moments at which the active Service was led elsewhere, with the version that users get from then on.
type Switches = Vec<(Timestamp, String)>;

/// Asks for a version and waits until users reach it. Notes in `asked` when that was.
async fn promote(rollout: &Rollout<'_>, version: &str, port: u16, asked: &mut Vec<Timestamp>) -> Seen {
    asked.push(Timestamp::now());
    let spec = json!({"image": format!("registry.example/shop:{version}"), "template": template(port), "service": ports(port)});
    rollout.spec(&spec).await;
    let promoted = rollout.until("the new version is watched", |seen| seen.is(Phase::Monitoring) && seen.serves() == version).await;
    // Users must have come before they can leave.
    pause(Duration::from_secs(2)).await;
    promoted
}

/// One version goes live for good, and the pods of the former end with the connections they have. Another goes live and
/// is rolled back. Notes in `asked` when each of the three was asked for.
async fn cycle(space: &Space, rollout: &Rollout<'_>, number: usize, asked: &mut Vec<Timestamp>) {
    // Image and port change together: the old pods don't listen on the new port, nor the new ones on the old.
    let port = if number.is_multiple_of(4) { 8081 } else { 8080 };
    let good = format!("{}.0.0", number + 2);
    let promoted = promote(rollout, &good, port, asked).await;
    rollout.order("accept", &promoted.active().revision).await;
    rollout.until_healthy(&good).await;

    let promoted = promote(rollout, &format!("{}.5.0", number + 2), 8080, asked).await;
    if number % 2 == 1 {
        // The way back is open after the monitoring too, as long as the standby is there.
        rollout.order("accept", &promoted.active().revision).await;
        rollout.until_phase(Phase::ScalingDown).await;
    }
    let standby = promoted.status.standby.as_ref().unwrap().color;
    let before = pods(space, standby);
    assert_eq!(before.len(), 3, "the standby is at full size: {before:?}");
    asked.push(Timestamp::now());
    rollout.order("rollback", &promoted.active().revision).await;
    let back = rollout.until_phase(Phase::RolledBack).await;
    assert_eq!((back.active().color, back.serves()), (standby, good.as_str()));
    assert_eq!(pods(space, standby), before, "pods of the standby, after it went live again");
    assert!(before.iter().all(|(_, _, restarts)| *restarts == 0), "{before:?}");
}

/// What the active Service selected, from one change to the next.
fn switches(space: &Space, rollout: &Rollout<'_>, mark: usize) -> Switches {
    let mut switches: Switches = Vec::new();
    let mut last = Value::Null;
    for event in space.record.since(mark).into_iter().filter(|event| event.kind == Kind::Service && event.name == rollout.name) {
        let revision = event.object["spec"]["selector"]["bluegreen.dev/revision"].clone();
        if revision != last {
            let made_from = space.seen(Kind::Revision, &format!("{}-{}", rollout.name, revision.as_str().unwrap())).unwrap();
            let image = made_from["metadata"]["annotations"]["bluegreen.dev/image"].as_str().unwrap();
            switches.push((event.seen, image.rsplit(':').next().unwrap().to_owned()));
            last = revision;
        }
    }
    switches
}

/// A switch, and when and to which version the next one was asked for.
struct Window<'s> {
    switch: &'s (Timestamp, String),
    until: Timestamp,
    next: Option<(Timestamp, &'s String)>,
}

/// How long after the first answer of the version that a switch led to another version still answered somebody new.
fn overlap(answers: &[Answer], window: &Window<'_>) -> Duration {
    let Window { switch: (at, to), until, next } = window;
    // A watch tells of a switch a little later than kube-proxy may have heard of it.
    let from = *at - Duration::from_millis(500);
    // On a busy machine it tells of the next one much later: once that is asked for, answers of its version are no stragglers.
    let is_next = |answer: &Answer| next.is_some_and(|(asked, next)| answer.at >= asked && answer.version.as_ref() == Some(next));
    let of_window = |answer: &&Answer| answer.new_connection && (from..*until).contains(&answer.at) && !is_next(answer);
    let among: Vec<_> = answers.iter().filter(of_window).collect();
    let is_new = |answer: &&&Answer| answer.version.as_ref() == Some(to);
    let first = among.iter().find(is_new).unwrap_or_else(|| panic!("after the switch at {at} nobody new was answered by {to}"));
    let last_other = among.iter().rev().find(|answer| !is_new(answer));
    last_other.map_or(Duration::ZERO, |last| Duration::try_from(last.at.duration_since(first.at)).unwrap_or_default())
}

/// `asked`: when each of the switches was asked for.
fn assert_follows(counted: &Counted, switches: &Switches, asked: &[Timestamp]) -> Duration {
    let mut longest = Duration::ZERO;
    for (index, switch) in switches.iter().enumerate() {
        let following = switches.get(index + 1);
        let until = following.map_or(counted.summary.ended, |next| next.0 - Duration::from_millis(500));
        let next = following.map(|next| (asked[index + 1], &next.1));
        let overlap = overlap(&counted.answers, &Window { switch, until, next });
        assert!(
            overlap <= stretched(KUBE_PROXY),
            "{overlap:?} after the first answer of {} somebody new was still led elsewhere",
            switch.1
        );
        longest = longest.max(overlap);
    }
    longest
}

#[tokio::test]
#[ignore = "needs a cluster with a real node: cargo xtask test"]
async fn promotions_and_rollbacks_under_load_fail_no_request() {
    let cycles = cycles();
    let cluster = Cluster::attach(&std::env::var("BLUEGREEN_CLUSTER").unwrap()).unwrap();
    for number in 2..cycles + 2 {
        cluster.import_shop(&format!("{number}.5.0"), &[]).unwrap();
    }
    for number in 10..cycles + 2 {
        cluster.import_shop(&format!("{number}.0.0"), &[]).unwrap();
    }
    let space = Space::new("traffic").await;
    let _operator = operator(&space);
    let spec = json!({
        "replicas": 3,
        "template": template(8080),
        "service": ports(8080),
        "monitoring": {"duration": "20s"},
        "revisionHistoryLimit": 100,
        "scaleDown": {"drain": "3s", "after": "2s", "afterAbort": "1s"},
    });
    let rollout = space.rollout(&merged(shop(), &spec)).await;
    rollout.until_healthy("1.0.0").await;
    let kept = Load::on(&space, "shop", RATE, Connections::Kept).await;
    let new = Load::on(&space, "shop", RATE, Connections::New).await;
    pause(Duration::from_secs(2)).await;
    let mark = rollout.mark();
    let mut asked = Vec::new();
    for number in 0..cycles {
        cycle(&space, &rollout, number, &mut asked).await;
    }

    // The last rollback has clients with connections to pods that are going: they, too, are to be served.
    pause(Duration::from_secs(8)).await;
    let (kept, new) = (kept.end().await, new.end().await);
    for (users, counted) in [("kept connections", &kept), ("new connections", &new)] {
        let summary = &counted.summary;
        println!(
            "{users}: {} of {} requests failed; {} connections; latency p50 {} ms, p99 {} ms, at most {} ms",
            summary.failed, summary.sent, summary.connections_opened, summary.latency.p50, summary.latency.p99, summary.latency.max
        );
    }
    kept.assert_none_failed();
    new.assert_none_failed();
    assert!(kept.summary.connections_opened > 64 * cycles as u64, "connections were to end with the pods that they led to");
    let switches = switches(&space, &rollout, mark);
    assert_eq!((switches.len(), asked.len()), (3 * cycles, 3 * cycles), "{switches:?}");
    let requests = kept.summary.sent + new.summary.sent;
    println!("covered: {} switches, {requests} requests, none of which failed", switches.len());
    println!(
        "After {} switches, somebody new was led elsewhere for at most {:?}.",
        switches.len(),
        assert_follows(&new, &switches, &asked)
    );
    space.end().await;
}

/// A port by its name, which the containers of a version give it.
fn named_port(name: &str) -> Value {
    let mut template = template(8080);
    template["spec"]["containers"][0]["ports"][0]["name"] = name.into();
    template
}

/// Its pods are ready, and no Service could lead to them.
#[tokio::test]
#[ignore = "needs a cluster with a real node: cargo xtask test"]
async fn a_renamed_port_under_load_fails_no_request() {
    let space = Space::new("renamed").await;
    let _operator = operator(&space);
    let service = json!({"ports": [{"name": "http", "port": 80, "targetPort": "http"}]});
    let spec = json!({"replicas": 2, "template": named_port("http"), "service": service, "scaleDown": {"drain": "3s", "afterAbort": "1s"}});
    let rollout = space.rollout(&merged(shop(), &spec)).await;
    rollout.until_healthy("1.0.0").await;
    let users = Load::on(&space, "shop", RATE, Connections::New).await;
    pause(Duration::from_secs(2)).await;
    rollout.spec(&json!({"image": "registry.example/shop:2.0.0", "template": named_port("web")})).await;
    let aborted = rollout.until_phase(Phase::Aborted).await;
    assert!(aborted.status.message.contains(" has no container port named http"), "{}", aborted.status.message);
    rollout.spec(&json!({"image": "registry.example/shop:3.0.0", "template": named_port("http")})).await;
    rollout.until("the mended version serves", |seen| seen.serves() == "3.0.0").await;
    pause(Duration::from_secs(2)).await;
    let counted = users.end().await;
    println!("covered: a renamed port under load, {} requests, none of which failed", counted.summary.sent);
    counted.assert_none_failed();
    space.end().await;
}
