//! A real Prometheus that goes away while it is asked: no verdict follows from that. It is everybody's, so nothing else runs meanwhile.

use bluegreen_api::{GateState, Phase};
use bluegreen_e2e::{
    Seen, Space,
    beside::{candidate_beside, cluster, compared, gate, manifest, plain},
    merged,
    patience::long_enough,
    traffic,
};
use serde_json::json;

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
async fn a_comparison_goes_on_once_prometheus_is_back() {
    let space = Space::new("away").await;
    let _operator = traffic::operator(&space);
    let (rollout, _, _load) = candidate_beside(&space, &manifest()).await;
    rollout.until("both sides are weighed", |seen| compared(seen).is_some()).await;

    let away = PrometheusAway::begin();
    let held =
        rollout.until("it says that it can't be judged", |seen| gate(seen).is_some_and(|gate| gate.state == GateState::Inconclusive)).await;
    assert_eq!((held.serves(), held.is(Phase::Promoting)), ("1.0.0", false));
    let words = &gate(&held).unwrap().message;
    assert!(words.contains("the source failed: Prometheus at") && words.contains("is unreachable"), "{words}");
    let weighed = compared(&held).cloned().unwrap();
    drop(away);
    rollout.until("it goes on", |seen| gate(seen).is_some_and(|gate| gate.state == GateState::Running)).await;
    let number = |text: &str| -> f64 { text.parse().unwrap() };
    let more = |seen: &Seen| compared(seen).is_some_and(|now| number(&now.candidate.requests) > number(&weighed.candidate.requests));
    rollout.until("what comes now is added to what was weighed before", more).await;
    rollout.until("it goes live", |seen| seen.serves() == "2.0.0").await;
    rollout.until_healthy("2.0.0").await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster with a real node: cargo xtask test"]
async fn on_unknown_decides_while_prometheus_is_away() {
    let space = Space::new("unknown").await;
    let _operator = traffic::operator(&space);
    let metric = json!({"name": "errors", "max": "1%", "interval": "1s", "errorLimit": 3, "prometheus": {"query": "vector(0)"}});
    // Longer than Prometheus takes to be away, also on a busy machine; what is left of it is cut short.
    let monitoring = |choice: &str| json!({"monitoring": {"duration": "5m", "onUnknown": choice, "metrics": [metric]}});
    let rollout = space.rollout(&merged(plain(), &monitoring("RollBack"))).await;
    rollout.until_healthy("1.0.0").await;
    let watched = |seen: &Seen| {
        let gate = seen.status.gates.iter().find(|gate| gate.name == "monitoring/errors");
        seen.is(Phase::Monitoring) && gate.is_some_and(|gate| gate.measured.as_ref().is_some_and(|measured| measured.good > 0))
    };

    let unjudged = |seen: &Seen| {
        let gate = seen.status.gates.iter().find(|gate| gate.name == "monitoring/errors");
        seen.is(Phase::Monitoring) && gate.is_some_and(|gate| gate.state == GateState::Inconclusive)
    };
    let ends = async || {
        let away = PrometheusAway::begin();
        rollout.until("nobody can judge it", unjudged).await;
        rollout.spec(&json!({"monitoring": {"duration": "15s"}})).await;
        away
    };

    rollout.version("2.0.0").await;
    rollout.until("the new version is watched", watched).await;
    let away = ends().await;
    let seen = rollout.until_phase(Phase::RolledBack).await;
    assert_eq!(seen.serves(), "1.0.0");
    let told = &seen.status.history.first().unwrap().message;
    assert!(told.contains("monitoring/errors could not be judged: the source failed: Prometheus at"), "{told}");
    drop(away);

    rollout.spec(&monitoring("Pass")).await;
    rollout.version("3.0.0").await;
    rollout.until("the next one is watched", watched).await;
    let away = ends().await;
    assert_eq!(rollout.until_healthy("3.0.0").await.serves(), "3.0.0");
    drop(away);

    rollout.spec(&monitoring("Hold")).await;
    rollout.version("4.0.0").await;
    rollout.until("the last one is watched", watched).await;
    let away = ends().await;
    let held = rollout.until("it is held when its time is over", |seen| seen.works() == "Inconclusive").await;
    assert!(held.is(Phase::Monitoring) && held.serves() == "4.0.0" && held.status.standby.is_some(), "{:#?}", held.status);
    let (told, revision) = (&held.status.message, &held.active().revision);
    println!("{told}");
    assert!(told.starts_with("monitoring/errors could not be judged: the source failed: Prometheus at"), "{told}");
    let advice = format!("bluegreen.dev/rollback={revision}");
    assert!(told.contains(&advice), "{told}");
    long_enough().await;
    assert!(rollout.now().is(Phase::Monitoring), "it could not be judged, and that is no pass");
    drop(away);
    rollout.until_healthy("4.0.0").await;
    space.end().await;
}
