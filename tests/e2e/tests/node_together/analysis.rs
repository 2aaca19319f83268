//! A candidate beside the active side, with the same load on both: their errors compared by what a real Prometheus has counted.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use bluegreen_api::{Compared, Counted, Gate, GateState, Phase, ReadyMetric, ReadySource};
use bluegreen_cluster::Cluster;
use bluegreen_e2e::{
    LONG_ENOUGH, Rollout, Seen, Space, merged, shop,
    traffic::{self, Connections, Load, control},
};
use serde_json::{Value, json};
use std::time::Duration;

/// Requests a second to each side.
const RATE: u32 = 20;

/// How long both sides are in trouble together.
const INCIDENT: Duration = Duration::from_secs(60);

fn cluster() -> Cluster {
    Cluster::attach(&std::env::var("BLUEGREEN_CLUSTER").unwrap()).unwrap()
}

/// One pod a side; forty readings that don't condemn it make a pass. Not one in a thousand healthy versions is condemned, so that the
/// tests don't fail by chance.
fn manifest() -> Value {
    let counter = |code: &str| format!(r#"sum(http_requests_total{{namespace="{{{{ namespace }}}}",pod=~"{{{{ pods }}}}"{code}}})"#);
    let comparison = json!({"errors": counter(r#",code=~"5..""#), "requests": counter(""), "falseAlarms": "0.1%"});
    let spec = json!({
        "replicas": 1,
        "template": {"spec": {"containers": [{
            "name": "shop",
            "ports": [{"name": "http", "containerPort": 8080}],
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 1},
        }]}},
        "verification": {"metrics": [
            {"name": "errors", "comparison": comparison, "interval": "1s", "count": 40, "errorLimit": 3, "noDataLimit": 1000},
        ]},
        "scaleDown": {"drain": "1s", "after": "1s", "afterAbort": "1s"},
        "sources": {"prometheus": {"address": cluster().prometheus().unwrap()}},
    });
    merged(shop(), &spec)
}

fn gate(seen: &Seen) -> Option<&Gate> {
    seen.status.gates.iter().find(|gate| gate.name == "verification/errors")
}

fn compared(seen: &Seen) -> Option<&Compared> {
    gate(seen)?.measured.as_ref()?.compared.as_ref()
}

/// Tells the pods of a revision what share of their requests is to fail.
async fn fail(space: &Space, revision: &str, share: &str) {
    tell(space, revision, &format!("error_rate={share}")).await;
}

async fn tell(space: &Space, revision: &str, settings: &str) {
    let pods = space.pods(&[("bluegreen.dev/revision", revision)]);
    assert!(!pods.is_empty(), "revision {revision} has no pods");
    for pod in pods {
        control(&format!("{}:8080", pod["status"]["podIP"].as_str().unwrap()), settings).await;
    }
}

/// 1.0.0 serves, and one request in fifty fails; then 2.0.0 is there, with as much load.
async fn candidate_beside<'s>(space: &'s Space, manifest: &Value) -> (Rollout<'s>, Seen, [Load; 2]) {
    let rollout = space.rollout(manifest).await;
    let seen = rollout.until_healthy("1.0.0").await;
    fail(space, &seen.active().revision, "0.02").await;
    let users = Load::on(space, "shop", RATE, Connections::New).await;
    rollout.version("2.0.0").await;
    let seen = rollout.until("the candidate is compared", |seen| seen.is(Phase::Verifying) && gate(seen).is_some()).await;
    let test = Load::on(space, "shop-preview", RATE, Connections::New).await;
    (rollout, seen, [users, test])
}

/// The same rollout without what it compares.
fn plain() -> Value {
    let mut plain = manifest();
    plain["spec"].as_object_mut().unwrap().remove("verification");
    plain
}

/// Whatever becomes of the test, it comes back: others need it.
struct PrometheusAway;

impl PrometheusAway {
    fn begin() -> Self {
        cluster().stop_process("prometheus").unwrap();
        Self
    }
}

impl Drop for PrometheusAway {
    fn drop(&mut self) {
        cluster().start_process("prometheus").unwrap();
    }
}

#[tokio::test]
#[ignore = "needs a cluster with a real node: cargo xtask test"]
async fn five_times_the_errors_of_the_active_side_are_found_within_a_minutes_requests() {
    let space = Space::new("five-times").await;
    let _operator = traffic::operator(&space);
    let (rollout, seen, _load) = candidate_beside(&space, &manifest()).await;
    fail(&space, &seen.candidate().revision, "0.1").await;
    let failed = |seen: &Seen| gate(seen).is_some_and(|gate| gate.state == GateState::Failed);
    let seen = rollout.until("the comparison condemned it", failed).await;
    let requests: f64 = compared(&seen).unwrap().candidate.requests.parse().unwrap();
    assert!(requests <= f64::from(60 * RATE), "it took {requests} requests");
    let words = &gate(&seen).unwrap().message;
    println!("{words}");
    assert!(words.contains("more than 1 times as often"), "{words}");
    assert_eq!(rollout.until_phase(Phase::Aborted).await.serves(), "1.0.0");
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster with a real node: cargo xtask test"]
async fn an_incident_that_hits_both_sides_condemns_neither_and_a_prometheus_that_is_away_holds() {
    let space = Space::new("incident").await;
    let _operator = traffic::operator(&space);
    // It passes after the incident, and not before Prometheus is away.
    let mut longer = manifest();
    longer["spec"]["verification"]["metrics"][0]["count"] = json!(95);
    let (rollout, seen, _load) = candidate_beside(&space, &longer).await;
    let revisions = [seen.active().revision.clone(), seen.candidate().revision.clone()];
    for revision in &revisions {
        fail(&space, revision, "0.5").await;
    }
    tokio::time::sleep(INCIDENT).await;
    for revision in &revisions {
        fail(&space, revision, "0.02").await;
    }
    let errors = |of: &Counted| -> f64 { of.errors.parse().unwrap() };
    // Half of what came failed, and the latest readings may not be recorded yet.
    let least = f64::from(RATE) * INCIDENT.as_secs_f64() * 0.25;
    let hit = |seen: &Seen| compared(seen).is_some_and(|it| errors(&it.candidate) > least && errors(&it.active) > least);
    let seen = rollout.until("the incident was counted on both sides", hit).await;
    println!("{}", gate(&seen).unwrap().message);
    assert!(seen.is(Phase::Verifying), "{}: {}", seen.status.message, gate(&seen).unwrap().message);

    let away = PrometheusAway::begin();
    let held =
        rollout.until("it says that nobody can judge", |seen| gate(seen).is_some_and(|gate| gate.state == GateState::Inconclusive)).await;
    assert_eq!((held.serves(), held.is(Phase::Promoting)), ("1.0.0", false));
    let words = &gate(&held).unwrap().message;
    assert!(words.contains("the source failed: Prometheus at") && words.contains("can't be reached"), "{words}");
    let weighed = compared(&held).cloned().unwrap();
    drop(away);
    rollout.until("it goes on", |seen| gate(seen).is_some_and(|gate| gate.state == GateState::Running)).await;
    let more = |seen: &Seen| compared(seen).is_some_and(|now| now.candidate.requests != weighed.candidate.requests);
    let seen = rollout.until("what comes now is added to what was weighed before", more).await;
    assert!(errors(&compared(&seen).unwrap().candidate) >= errors(&weighed.candidate));
    // Each wait has its own patience.
    let most = |seen: &Seen| gate(seen).is_none_or(|gate| gate.measured.as_ref().is_some_and(|measured| measured.good >= 82));
    rollout.until("most readings are there", most).await;
    rollout.until("it goes live", |seen| seen.serves() == "2.0.0").await;
    let seen = rollout.until_healthy("2.0.0").await;
    assert_eq!(seen.status.history.first().unwrap().outcome, Some(bluegreen_api::Outcome::Promoted));
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster with a real node: cargo xtask test"]
async fn a_prometheus_that_is_away_while_a_new_version_is_watched_is_no_verdict_and_on_unknown_decides() {
    let space = Space::new("unknown").await;
    let _operator = traffic::operator(&space);
    let metric = json!({"name": "errors", "max": "1%", "interval": "1s", "errorLimit": 3, "prometheus": {"query": "vector(0)"}});
    let monitoring = |choice: &str| json!({"monitoring": {"duration": "15s", "onUnknown": choice, "metrics": [metric]}});
    let rollout = space.rollout(&merged(plain(), &monitoring("RollBack"))).await;
    rollout.until_healthy("1.0.0").await;
    let watched = |seen: &Seen| {
        let gate = seen.status.gates.iter().find(|gate| gate.name == "monitoring/errors");
        seen.is(Phase::Monitoring) && gate.is_some_and(|gate| gate.measured.as_ref().is_some_and(|measured| measured.good > 0))
    };

    rollout.version("2.0.0").await;
    rollout.until("the new version is watched", watched).await;
    let away = PrometheusAway::begin();
    let seen = rollout.until_phase(Phase::RolledBack).await;
    assert_eq!(seen.serves(), "1.0.0");
    let told = &seen.status.history.first().unwrap().message;
    assert!(told.contains("monitoring/errors could not be judged: the source failed: Prometheus at"), "{told}");
    drop(away);

    rollout.spec(&monitoring("Pass")).await;
    rollout.version("3.0.0").await;
    rollout.until("the next one is watched", watched).await;
    let away = PrometheusAway::begin();
    assert_eq!(rollout.until_healthy("3.0.0").await.serves(), "3.0.0");
    drop(away);

    rollout.spec(&monitoring("Hold")).await;
    rollout.version("4.0.0").await;
    rollout.until("the last one is watched", watched).await;
    let away = PrometheusAway::begin();
    let held = rollout.until("it is held when its time is over", |seen| seen.works() == "Inconclusive").await;
    assert!(held.is(Phase::Monitoring) && held.serves() == "4.0.0" && held.status.standby.is_some(), "{:#?}", held.status);
    let (told, revision) = (&held.status.message, &held.active().revision);
    println!("{told}");
    assert!(told.starts_with("monitoring/errors could not be judged: the source failed: Prometheus at"), "{told}");
    let advice = format!(". Waiting for readings; or decide with bluegreen.dev/rollback={revision} or bluegreen.dev/accept={revision}");
    assert!(told.ends_with(&advice), "{told}");
    tokio::time::sleep(LONG_ENOUGH).await;
    assert!(rollout.now().is(Phase::Monitoring), "nobody could judge it, and that is no pass");
    drop(away);
    rollout.until_healthy("4.0.0").await;
    space.end().await;
}

/// What nobody has to write, and a query that somebody wrote, over a stretch of time. Errors condemn at once, the others wait until
/// requests come.
fn ready_made() -> Value {
    let metric = |name: &str, (limit, value): (&str, &str), bad: i32, asked: &Value| {
        json!({
            "name": name, limit: value, "failureLimit": bad, "prometheus": asked,
            "interval": "1s", "initialDelay": "5s", "count": 3, "noDataLimit": 1000,
        })
    };
    let ready = |what: &str| json!({"ready": {"metric": what, "source": "HTTP", "window": "10s"}});
    let rate = r#"sum(rate(http_requests_total{namespace="{{ namespace }}",pod=~"{{ pods }}"}[5s]))"#;
    let over_time = |take: &str| json!({"query": rate, "range": {"window": "10s", "step": "1s", "take": take}});
    json!({"verification": {"metrics": [
        // Between two bursts nothing is said for it.
        metric("errors", ("max", "5%"), 1, &merged(ready("ErrorRate"), &json!({"minRequests": 50}))),
        metric("successes", ("min", "50%"), 30, &ready("SuccessRate")),
        metric("p95", ("max", "0.5"), 30, &ready("LatencyP95")),
        metric("requests", ("min", "1"), 30, &ready("RequestRate")),
        metric("peak", ("min", "1"), 30, &over_time("Max")),
        metric("average", ("min", "1"), 30, &over_time("Average")),
    ]}})
}

#[tokio::test]
#[ignore = "needs a cluster with a real node: cargo xtask test"]
async fn ready_made_metrics_and_ranges_measure_a_good_version_and_errors_condemn_a_bad_one() {
    let space = Space::new("ready-made").await;
    let _operator = traffic::operator(&space);
    let rollout = space.rollout(&merged(plain(), &ready_made())).await;
    rollout.until_healthy("1.0.0").await;
    let _test = Load::on(&space, "shop-preview", RATE, Connections::New).await;

    rollout.version("2.0.0").await;
    let all_passed = |seen: &Seen| {
        let gates = &seen.status.gates;
        gates.len() == 6 && gates.iter().all(|gate| gate.state == GateState::Passed)
    };
    let seen = rollout.until("all of them have passed", all_passed).await;
    // On a busy machine it comes in bursts.
    let sent = f64::from(RATE) / 20.0..=f64::from(RATE) * 10.0;
    let plausible = [
        ("errors", 0.0..=0.05),
        ("successes", 0.95..=1.0),
        ("p95", 0.0001..=0.5),
        ("requests", sent.clone()),
        ("peak", sent.clone()),
        ("average", sent),
    ];
    for (name, range) in plausible {
        let gate = seen.status.gates.iter().find(|gate| gate.name == format!("verification/{name}")).unwrap();
        let measured = gate.measured.as_ref().unwrap();
        println!("{name}: {} by {}", measured.readings[0].value, measured.asked[0]);
        // The one that made it pass.
        let latest: f64 = measured.readings[0].value.parse().unwrap();
        assert!(measured.good == 3 && range.contains(&latest), "{name}: {measured:#?}");
        let function = match name {
            "peak" => "max_over_time((",
            "average" => "avg_over_time((",
            _ => "",
        };
        assert!(measured.asked[0].starts_with(function) && measured.asked[0].contains(&space.name), "{}", measured.asked[0]);
    }
    rollout.until_healthy("2.0.0").await;

    rollout.version("3.0.0-errors").await;
    let bad = rollout.until_phase(Phase::Aborted).await;
    let rejected = bad.status.rejected.as_ref().unwrap();
    println!("{}", rejected.message);
    let condemned = rejected.message.starts_with("verification/errors: 0.") && rejected.message.ends_with(" is above the limit of 0.05");
    assert!(condemned, "{}", rejected.message);
    assert_eq!((rejected.reason.as_str(), bad.serves()), ("MetricFailed", "2.0.0"));
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster with a real node: cargo xtask test"]
async fn a_candidate_that_is_slower_in_general_is_found_by_the_buckets_of_both_sides() {
    let space = Space::new("slower").await;
    let _operator = traffic::operator(&space);
    let buckets = r#"sum by (le) (http_request_duration_seconds_bucket{namespace="{{ namespace }}",pod=~"{{ pods }}"})"#;
    let latency = json!({"name": "errors", "latency": {"buckets": buckets, "falseAlarms": "0.1%"}, "interval": "1s", "count": 40, "noDataLimit": 1000});
    let (rollout, seen, _load) = candidate_beside(&space, &merged(manifest(), &json!({"verification": {"metrics": [latency]}}))).await;
    tell(&space, &seen.candidate().revision, "latency=200ms").await;
    let seen = rollout.until("it is condemned", |seen| gate(seen).is_some_and(|gate| gate.state == GateState::Failed)).await;
    let words = &gate(&seen).unwrap().message;
    println!("{words}");
    assert!(words.starts_with("slower in ") && words.contains(" of pairs, 56 % are tolerated"), "{words}");
    assert_eq!(rollout.until_phase(Phase::Aborted).await.serves(), "1.0.0");
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster with a real node: cargo xtask test"]
async fn slower_than_before_the_switch_is_told_as_what_it_is_and_waits_for_a_person() {
    let space = Space::new("before").await;
    let _operator = traffic::operator(&space);
    let of = |what: &str| {
        format!(r#"sum(rate(http_request_duration_seconds_{what}{{namespace="{{{{ namespace }}}}",pod=~"{{{{ pods }}}}"}}[5s]))"#)
    };
    let query = format!("{} / {}", of("sum"), of("count"));
    let metric = json!({"name": "latency", "maxFactor": "3", "factorOf": "BeforeSwitch", "interval": "1s", "prometheus": {"query": query}});
    let more = json!({"promotion": {"mode": "Manual"}, "monitoring": {"duration": "12s", "metrics": [metric]}});
    let rollout = space.rollout(&merged(plain(), &more)).await;
    rollout.until_healthy("1.0.0").await;
    let _users = Load::on(&space, "shop", RATE, Connections::New).await;
    tokio::time::sleep(Duration::from_secs(7)).await;
    rollout.version("2.0.0").await;
    let waits = rollout.until("waits for approval", |seen| seen.works() == "AwaitingApproval").await;
    let candidate = waits.candidate().revision.clone();
    tell(&space, &candidate, "latency=200ms").await;
    rollout.order("promote", &candidate).await;
    let held = rollout.until("waits for a person", |seen| seen.works() == "Inconclusive").await;
    assert!(held.is(Phase::Monitoring) && held.serves() == "2.0.0");
    let gate = held.status.gates.iter().find(|gate| gate.name == "monitoring/latency").unwrap();
    println!("{}", gate.message);
    assert!(gate.message.contains("before the switch, which may have other causes than the version"), "{}", gate.message);
    let asked = &gate.measured.as_ref().unwrap().asked;
    assert!(asked.len() == 2 && asked[1].contains(" # at 20"), "{asked:?}");
    rollout.order("accept", &candidate).await;
    rollout.until_healthy("2.0.0").await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster with a real node: cargo xtask test"]
async fn a_job_that_fails_is_told_with_its_last_words() {
    let space = Space::new("job").await;
    let _operator = traffic::operator(&space);
    let nonsense = json!([{"name": "tests", "image": "registry.example/shop:1.0.0", "env": [{"name": "ERROR_RATE", "value": "a lot"}]}]);
    let job = json!({"template": {"spec": {"template": {"spec": {"containers": nonsense}}}}});
    let rollout = space.rollout(&merged(plain(), &json!({"verification": {"checks": [{"name": "settings", "job": job}]}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let aborted = rollout.until_phase(Phase::Aborted).await;
    let message = &aborted.status.history.first().unwrap().message;
    println!("{message}");
    assert!(message.contains(" failed with exit code 1: ") && message.contains("a lot"), "{message}");
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster with a real node: cargo xtask test"]
async fn a_job_that_counts_errors_lets_a_good_version_pass_and_condemns_a_bad_one_by_its_number() {
    let space = Space::new("job-number").await;
    let _operator = traffic::operator(&space);
    let address = json!({"name": "SAMPLE", "value": "$(SHOP_PREVIEW_SERVICE_HOST):$(SHOP_PREVIEW_SERVICE_PORT)"});
    let sample = json!([{"name": "sample", "image": "registry.example/shop:1.0.0", "env": [address]}]);
    let job = json!({"template": {"spec": {"template": {"spec": {"containers": sample}}}}});
    let metric = json!({"name": "errors", "max": "5%", "interval": "1s", "count": 2, "errorLimit": 100, "job": job});
    let rollout = space.rollout(&merged(plain(), &json!({"verification": {"metrics": [metric]}}))).await;
    rollout.until_healthy("1.0.0").await;
    let told = |seen: &Seen| {
        let gates = &seen.status.history.first().unwrap().gates;
        let gate = gates.iter().find(|gate| gate.name == "verification/errors").unwrap();
        (gate.state, gate.message.clone())
    };
    rollout.version("2.0.0").await;
    let good = rollout.until_healthy("2.0.0").await;
    assert_eq!(told(&good).0, GateState::Passed);

    rollout.version("3.0.0-errors").await;
    let bad = rollout.until_phase(Phase::Aborted).await;
    let (state, message) = told(&bad);
    assert!(state == GateState::Failed && message.starts_with("0.") && message.ends_with(" is above the limit of 0.05"), "{message}");
    assert_eq!(bad.serves(), "2.0.0");
    space.end().await;
}

/// Every ready-made metric of every source, each a rehearsal.
fn every_ready_made_metric() -> Vec<Value> {
    let sources = ReadySource::ALL.into_iter().map(Some).chain([None]);
    let all = sources.flat_map(|source| ReadyMetric::ALL.into_iter().map(move |metric| (source, metric)));
    let alone = |metric: ReadyMetric| matches!(metric, ReadyMetric::CPU | ReadyMetric::Memory | ReadyMetric::Restarts);
    let metric = |(source, metric): (Option<ReadySource>, ReadyMetric)| {
        let name = source.map_or_else(|| metric.to_string(), |source| format!("{metric}-{source}")).to_lowercase();
        let asked = json!({"metric": metric, "source": source});
        let counted = source.map(|_| 1);
        json!({
            "name": name, "max": "1000000", "dryRun": true, "interval": "1s", "initialDelay": "1s", "count": 1, "noDataLimit": 1, "errorLimit": 1,
            "prometheus": {"ready": asked, "minRequests": counted},
        })
    };
    all.filter(|(source, metric)| source.is_none() == alone(*metric)).map(metric).collect()
}

#[tokio::test]
#[ignore = "needs a cluster with a real node: cargo xtask test"]
async fn a_real_prometheus_takes_every_ready_made_query_and_every_count_of_requests() {
    let space = Space::new("every-query").await;
    let _operator = traffic::operator(&space);
    let all = every_ready_made_metric();
    assert_eq!(all.len(), 27);
    // Of one stage there are sixteen at most.
    let (before, after) = all.split_at(14);
    let spec =
        json!({"verification": {"metrics": before}, "monitoring": {"metrics": after, "duration": "1h"}, "promotion": {"mode": "Manual"}});
    let rollout = space.rollout(&merged(plain(), &spec)).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let stages = [(Phase::AwaitingPromotion, "verification/", before.len()), (Phase::Monitoring, "monitoring/", after.len())];
    for (phase, stage, count) in stages {
        let measured = |seen: &Seen| {
            let gates = seen.status.gates.iter().filter(|gate| gate.name.starts_with(stage));
            seen.is(phase) && gates.filter_map(|gate| gate.measured.as_ref()?.readings.first()).count() == count
        };
        let seen = rollout.until(&format!("each was measured in {phase}"), measured).await;
        for gate in seen.status.gates.iter().filter(|gate| gate.measured.is_some()) {
            let measured = gate.measured.as_ref().unwrap();
            assert_ne!(measured.readings[0].value, "Failed", "{}: {} {:?}", gate.name, gate.message, measured.asked);
            println!("{}: {}", gate.name, gate.message);
        }
        if phase == Phase::AwaitingPromotion {
            rollout.order("promote", &seen.candidate().revision).await;
        }
    }
    space.end().await;
}
