//! Real versions that go bad, measured by a real Prometheus: before the switch, after it, and with nobody there to look.

use bluegreen_api::{GateState, Outcome, Phase};
use bluegreen_cluster::Cluster;
use bluegreen_e2e::{
    Operator, Rollout, Seen, Space,
    manifest::probed,
    merged,
    patience::pause,
    shop,
    traffic::{self, Connections, Load, crash},
};
use bluegreen_witness::Kind;
use serde_json::{Value, json};
use std::time::Duration;

/// The share of errors among the requests to the side that is judged.
const ERRORS: &str = r#"sum(rate(http_requests_total{namespace="{{ namespace }}",pod=~"{{ pods }}",code=~"5.."}[3s]))
    / sum(rate(http_requests_total{namespace="{{ namespace }}",pod=~"{{ pods }}"}[3s]))"#;

fn manifest() -> Value {
    let cluster = Cluster::attach(&std::env::var("BLUEGREEN_CLUSTER").unwrap()).unwrap();
    // On a busy machine Prometheus asks pods late, and then nothing can be said for a while.
    let metric = json!({
        "name": "errors", "prometheus": {"query": ERRORS}, "max": "5%",
        "interval": "1s", "initialDelay": "3s", "count": 4, "noDataLimit": 1000,
    });
    let spec = json!({
        "replicas": 3,
        "template": probed(),
        "verification": {"metrics": [metric]},
        "monitoring": {"duration": "20s", "metrics": [metric]},
        "scaleDown": {"drain": "2s", "after": "5s", "afterAbort": "1s"},
        "sources": {"prometheus": {"address": cluster.prometheus().unwrap()}},
    });
    merged(shop(), &spec)
}

/// A rollout that serves 1.0.0, with little load on its preview Service all the time, as a test makes it.
async fn begin<'s>(space: &'s Space, manifest: &Value) -> (Rollout<'s>, Load) {
    let rollout = space.rollout(manifest).await;
    rollout.until_healthy("1.0.0").await;
    let test = Load::on(space, "shop-preview", 9, Connections::New).await;
    (rollout, test)
}

/// The colors that the active Service was led to since a mark, each once for as long as it lasted.
fn aims(space: &Space, rollout: &Rollout<'_>, mark: usize) -> Vec<String> {
    let events = space.record.since(mark).into_iter().filter(|event| event.kind == Kind::Service && event.name == rollout.name);
    let mut aims: Vec<String> =
        events.filter_map(|event| Some(event.object["spec"]["selector"]["bluegreen.dev/color"].as_str()?.to_owned())).collect();
    aims.dedup();
    aims
}

fn assert_ended(seen: &Seen, outcome: Outcome, reason: &str) {
    let last = seen.status.history.first().unwrap();
    assert_eq!((last.outcome, last.reason.as_str()), (Some(outcome), reason), "{}", last.message);
    assert_eq!(seen.serves(), "1.0.0");
}

#[tokio::test]
#[ignore = "needs a cluster with a real node: cargo xtask test"]
async fn errors_on_the_preview_are_aborted_before_users_see_them() {
    let space = Space::new("abort").await;
    let _operator = traffic::operator(&space);
    let (rollout, test) = begin(&space, &manifest()).await;
    let users = Load::on(&space, "shop", 100, Connections::New).await;
    let mark = rollout.mark();
    rollout.version("2.0.0-errors").await;
    let seen = rollout.until_phase(Phase::Aborted).await;
    assert_ended(&seen, Outcome::Aborted, "MetricFailed");
    let color = seen.active().color.as_str();
    assert!(aims(&space, &rollout, mark).iter().all(|aim| aim == color), "the active Service was led elsewhere");
    let users = users.end().await;
    users.assert_none_failed();
    assert_eq!(users.summary.versions.keys().collect::<Vec<_>>(), ["1.0.0"]);
    assert!(test.end().await.summary.versions["2.0.0-errors"].failed > 0, "the test's own load saw the errors");
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster with a real node: cargo xtask test"]
async fn the_first_bad_reading_after_the_switch_rolls_back() {
    let space = Space::new("rollback").await;
    let _operator = traffic::operator(&space);
    let (rollout, _test) = begin(&space, &manifest()).await;
    let users = Load::on(&space, "shop", 200, Connections::New).await;
    pause(Duration::from_secs(2)).await;
    let mark = rollout.mark();
    rollout.version("2.0.0-errors-under-load").await;
    rollout.until("it passed the tests and users came", |seen| seen.is(Phase::Monitoring)).await;
    let failed =
        |seen: &Seen| seen.status.gates.iter().find(|gate| gate.name == "monitoring/errors" && gate.state == GateState::Failed).cloned();
    let seen = rollout.until_after(mark, "the metric condemned it", |seen| failed(seen).is_some()).await;
    let measured = failed(&seen).unwrap().measured.unwrap();
    assert_eq!(measured.bad_in_row, 1, "a second bad reading was waited for: {measured:?}");
    assert!(seen.is(Phase::RollingBack), "the verdict and its consequence are one decision, but the phase is {:?}", seen.phase());

    let seen = rollout.until_phase(Phase::RolledBack).await;
    assert_ended(&seen, Outcome::RolledBack, "MetricFailed");
    assert_eq!(aims(&space, &rollout, mark), ["green", "blue"]);
    pause(Duration::from_secs(2)).await;
    let users = users.end().await.summary;
    let (bad, good) = (&users.versions["2.0.0-errors-under-load"], &users.versions["1.0.0"]);
    println!("{} of {} requests failed, all of them answered by the bad version, which answered {}", users.failed, users.sent, bad.answers);
    assert_eq!((good.failed, bad.failed), (0, users.failed), "{:?}", users.failures);
    space.end().await;
}

/// Promotes 2.0.0, lets all its pods die, and waits for the way back.
async fn all_pods_die(space: &Space, operator: &mut Operator, away: Option<Duration>) {
    let quiet = merged(manifest(), &json!({"verification": null, "monitoring": {"duration": "30s", "metrics": null}}));
    let rollout = space.rollout(&quiet).await;
    rollout.until_healthy("1.0.0").await;
    let users = Load::on(space, "shop", 200, Connections::New).await;
    let mark = rollout.mark();
    rollout.version("2.0.0").await;
    let seen = rollout.until("users reach the new version", |seen| seen.is(Phase::Monitoring)).await;
    let color = seen.active().color;
    pause(Duration::from_secs(1)).await;
    if away.is_some() {
        operator.kill();
    }
    let come_back = async {
        if let Some(away) = away {
            pause(away).await;
            *operator = traffic::operator(space);
        }
    };
    tokio::join!(crash(space, &rollout, color), come_back);
    let seen = rollout.until_phase(Phase::RolledBack).await;
    assert_ended(&seen, Outcome::RolledBack, "LostReadiness");
    assert_eq!(aims(space, &rollout, mark), ["green", "blue"]);

    // Whoever comes once kube-proxy has followed is served.
    let followed = users.until_served_by("1.0.0").await;
    pause(Duration::from_secs(1)).await;
    let users = users.end().await;
    println!("{} of {} requests failed while the pods of the new version died", users.summary.failed, users.summary.sent);
    let since: Vec<_> = users.answers.iter().filter(|answer| answer.at >= followed).collect();
    assert!(!since.is_empty(), "there was no load any more");
    let failed = since.iter().find(|answer| answer.failure.is_some());
    assert!(failed.is_none(), "traffic went back, but not all of it is served: {failed:?}");
}

#[tokio::test]
#[ignore = "needs a cluster with a real node: cargo xtask test"]
async fn pods_that_all_die_after_the_switch_are_rolled_back() {
    let space = Space::new("die").await;
    let mut operator = traffic::operator(&space);
    all_pods_die(&space, &mut operator, None).await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster with a real node: cargo xtask test"]
async fn pods_that_die_with_the_operator_are_rolled_back_later() {
    let space = Space::new("die-twice").await;
    let mut operator = traffic::operator(&space);
    all_pods_die(&space, &mut operator, Some(Duration::from_secs(3))).await;
    space.end().await;
}
