//! A candidate beside the active side, with the same load on both: their errors compared by what a real Prometheus has counted.

use bluegreen_api::{Counted, GateState, Phase, ReadyMetric, ReadySource};
use bluegreen_e2e::{
    Seen, Space,
    beside::{RATE, candidate_beside, compared, fail, gate, manifest, plain, tell},
    merged,
    patience::{pause, stretched},
    traffic::{self, Connections, Load},
};
use serde_json::{Value, json};
use std::time::Duration;

/// How long both sides are in trouble together: three hundred requests a side, of which half fail. That trouble of both speaks for
/// neither is arithmetic, and tested as such with the comparison; here it is seen with what Prometheus counts.
const INCIDENT: Duration = Duration::from_secs(15);

#[tokio::test]
#[ignore = "needs a cluster with a real node: cargo xtask test"]
async fn five_times_the_errors_are_found_within_a_minute() {
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
    assert!(words.contains("tolerated: 1 times the active rate"), "{words}");
    assert_eq!(rollout.until_phase(Phase::Aborted).await.serves(), "1.0.0");
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster with a real node: cargo xtask test"]
async fn an_incident_that_hits_both_sides_condemns_neither() {
    let space = Space::new("incident").await;
    let _operator = traffic::operator(&space);
    // It passes after the incident.
    let mut longer = manifest();
    longer["spec"]["verification"]["metrics"][0]["count"] = json!(stretched(4 * INCIDENT).as_secs());
    let (rollout, seen, _load) = candidate_beside(&space, &longer).await;
    let revisions = [seen.active().revision.clone(), seen.candidate().revision.clone()];
    for revision in &revisions {
        fail(&space, revision, "0.5").await;
    }
    pause(INCIDENT).await;
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
    let seen = rollout.until_healthy("2.0.0").await;
    assert_eq!(seen.status.history.first().unwrap().outcome, Some(bluegreen_api::Outcome::Promoted));
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
async fn ready_made_metrics_tell_a_good_version_from_a_bad_one() {
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
    let condemned =
        rejected.message.starts_with("verification/errors failed: 0.") && rejected.message.ends_with(" is above the limit of 0.05");
    assert!(condemned, "{}", rejected.message);
    assert_eq!((rejected.reason.as_str(), bad.serves()), ("MetricFailed", "2.0.0"));
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster with a real node: cargo xtask test"]
async fn a_slower_candidate_is_found_by_the_buckets_of_both_sides() {
    let space = Space::new("slower").await;
    let _operator = traffic::operator(&space);
    let buckets = r#"sum by (le) (http_request_duration_seconds_bucket{namespace="{{ namespace }}",pod=~"{{ pods }}"})"#;
    let latency = json!({"name": "errors", "latency": {"buckets": buckets, "falseAlarms": "0.1%"}, "interval": "1s", "count": 40, "noDataLimit": 1000});
    let (rollout, seen, _load) = candidate_beside(&space, &merged(manifest(), &json!({"verification": {"metrics": [latency]}}))).await;
    tell(&space, &seen.candidate().revision, "latency=200ms").await;
    let seen = rollout.until("it is condemned", |seen| gate(seen).is_some_and(|gate| gate.state == GateState::Failed)).await;
    let words = &gate(&seen).unwrap().message;
    println!("{words}");
    assert!(words.starts_with("candidate slower in ") && words.contains(" of request pairs (limit 56 %)"), "{words}");
    assert_eq!(rollout.until_phase(Phase::Aborted).await.serves(), "1.0.0");
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster with a real node: cargo xtask test"]
async fn slower_than_before_the_switch_waits_for_a_person() {
    let space = Space::new("before").await;
    let _operator = traffic::operator(&space);
    let of = |what: &str| {
        format!(r#"sum(rate(http_request_duration_seconds_{what}{{namespace="{{{{ namespace }}}}",pod=~"{{{{ pods }}}}"}}[5s]))"#)
    };
    let query = format!("{} / {}", of("sum"), of("count"));
    // Until the first slow answers have come there is nothing to divide.
    let metric = json!({
        "name": "latency", "maxFactor": "3", "factorOf": "BeforeSwitch", "interval": "1s", "noDataLimit": 1000, "prometheus": {"query": query},
    });
    let more = json!({"promotion": {"mode": "Manual"}, "monitoring": {"duration": "30s", "metrics": [metric]}});
    let rollout = space.rollout(&merged(plain(), &more)).await;
    rollout.until_healthy("1.0.0").await;
    let _users = Load::on(&space, "shop", RATE, Connections::New).await;
    pause(Duration::from_secs(7)).await;
    rollout.version("2.0.0").await;
    let waits = rollout.until("waits for approval", |seen| seen.works() == "AwaitingApproval").await;
    let candidate = waits.candidate().revision.clone();
    // More than three times what a busy machine took before.
    tell(&space, &candidate, "latency=2s").await;
    rollout.order("promote", &candidate).await;
    let held = rollout.until("waits for a person", |seen| seen.works() == "Inconclusive").await;
    assert!(held.is(Phase::Monitoring) && held.serves() == "2.0.0");
    let gate = held.status.gates.iter().find(|gate| gate.name == "monitoring/latency").unwrap();
    println!("{}", gate.message);
    assert!(gate.message.contains("before the switch (the version may not be the cause)"), "{}", gate.message);
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
async fn a_job_that_counts_errors_tells_good_from_bad() {
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
            // One that a busy machine answers late is taken too.
            "prometheus": {"ready": asked, "minRequests": counted, "timeout": "60s"},
        })
    };
    all.filter(|(source, metric)| source.is_none() == alone(*metric)).map(metric).collect()
}

#[tokio::test]
#[ignore = "needs a cluster with a real node: cargo xtask test"]
async fn a_real_prometheus_takes_every_ready_made_query() {
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
