//! Gates: what opens them, what keeps them shut, and what happens when nobody can tell.

use bluegreen_api::{Color, GateState, Phase};
use bluegreen_e2e::{
    Answer, Prometheus, Rollout, Seen, Space,
    manifest::metric,
    merged,
    patience::{self, long_enough},
    shop,
};
use bluegreen_witness::Kind;
use serde_json::{Value, json};

fn rejected(seen: &Seen) -> &str {
    &seen.status.rejected.as_ref().unwrap().reason
}

/// A metric that takes for ever to pass.
fn endless(prometheus: &Prometheus) -> Value {
    let mut metric = metric("errors", &prometheus.address, "errors");
    metric["count"] = json!(10_000);
    metric
}

/// More often than so many times.
async fn asked_again(prometheus: &Prometheus, times: usize) {
    patience::until("Prometheus is asked again", async || (prometheus.queries().len() > times).then_some(())).await;
}

async fn until_a_reading(rollout: &Rollout<'_>, phase: Phase) -> Seen {
    rollout.until("is measured", |seen| seen.is(phase) && !seen.status.gates.is_empty()).await
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_verification_out_of_time_says_what_was_open() {
    let space = Space::new("too-long").await;
    let _operator = space.operator();
    let prometheus = Prometheus::start(Answer::Value(0.0)).await;
    let rollout = space.rollout(&merged(shop(), &json!({"verification": {"timeout": "3s", "metrics": [endless(&prometheus)]}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let aborted = rollout.until_phase(Phase::Aborted).await;
    assert_eq!(rejected(&aborted), "VerificationTimedOut");
    assert!(
        aborted.status.message.contains("verification/errors did not finish within 3s (verification.timeout)"),
        "{}",
        aborted.status.message
    );
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_gate_that_is_defined_otherwise_runs_again() {
    let space = Space::new("defined-otherwise").await;
    let _operator = space.operator();
    let prometheus = Prometheus::start(Answer::Value(0.0)).await;
    let quick = metric("errors", &prometheus.address, "errors");
    let rollout = space.rollout(&merged(shop(), &json!({"promotion": {"mode": "Manual"}, "verification": {"metrics": [quick]}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let waits = rollout.until("waits for approval", |seen| seen.works() == "AwaitingApproval").await;
    // A stricter limit than the one that was passed: the old result counts for nothing.
    prometheus.answer(Answer::Value(0.005));
    let mut strict = metric("errors", &prometheus.address, "errors");
    strict["max"] = json!("0.1%");
    rollout.spec(&json!({"verification": {"metrics": [strict]}})).await;
    rollout.order("promote", &waits.candidate().revision).await;
    let aborted = rollout.until_phase(Phase::Aborted).await;
    assert_eq!((aborted.serves(), rejected(&aborted)), ("1.0.0", "MetricFailed"));
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_failed_verification_may_be_kept_to_be_looked_at() {
    let space = Space::new("kept").await;
    let _operator = space.operator();
    let prometheus = Prometheus::start(Answer::Value(0.5)).await;
    let metric = metric("errors", &prometheus.address, "errors");
    let rollout = space.rollout(&merged(shop(), &json!({"verification": {"onFailure": "Pause", "metrics": [metric]}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let held = rollout.until("is held", |seen| seen.stalled() == "MetricFailed").await;
    assert!(held.is(Phase::Verifying) && held.status.message.contains("bluegreen.dev/retry="), "{}", held.status.message);
    long_enough().await;
    assert_eq!(rollout.deployment(Color::Green)["spec"]["replicas"], 2);
    rollout.order("abort", &held.candidate().revision).await;
    rollout.until_phase(Phase::Aborted).await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn the_first_version_may_have_to_pass_before_it_serves() {
    let space = Space::new("initial").await;
    let _operator = space.operator();
    let prometheus = Prometheus::start(Answer::Value(0.0)).await;
    let spec = json!({"verification": {"initial": true, "metrics": [endless(&prometheus)]}});
    let rollout = space.rollout(&merged(shop(), &spec)).await;
    until_a_reading(&rollout, Phase::Initializing).await;
    assert_eq!(rollout.selector()["bluegreen.dev/revision"], "none", "it serves nobody yet");
    rollout.spec(&json!({"verification": {"metrics": [metric("errors", &prometheus.address, "errors")]}})).await;
    let healthy = rollout.until_healthy("1.0.0").await;
    let revision = json!(healthy.active().revision);
    space.until(Kind::Service, "shop", "serves", |service| service["spec"]["selector"]["bluegreen.dev/revision"] == revision).await;
    space.end().await;
}

/// A live version whose metric gives no data, watched for two seconds.
async fn unknown<'s>(space: &'s Space, prometheus: &Prometheus, on_unknown: &str) -> Rollout<'s> {
    let metric = metric("errors", &prometheus.address, "errors");
    let monitoring = json!({"duration": "2s", "onUnknown": on_unknown, "metrics": [metric]});
    let rollout = space.rollout(&merged(shop(), &json!({"monitoring": monitoring}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    rollout
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn without_data_after_the_switch_it_holds_until_there_is_some() {
    let space = Space::new("unknown-hold").await;
    let _operator = space.operator();
    let prometheus = Prometheus::start(Answer::NoData).await;
    let rollout = unknown(&space, &prometheus, "Hold").await;
    let held = rollout.until("is held", |seen| seen.works() == "Inconclusive").await;
    assert!(held.is(Phase::Monitoring) && held.status.standby.is_some());
    long_enough().await;
    assert!(rollout.now().is(Phase::Monitoring), "no data is not a pass");
    prometheus.answer(Answer::Value(0.0));
    rollout.until_healthy("2.0.0").await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn without_data_after_the_switch_it_may_roll_back() {
    let space = Space::new("unknown-back").await;
    let _operator = space.operator();
    let prometheus = Prometheus::start(Answer::NoData).await;
    let rollout = unknown(&space, &prometheus, "RollBack").await;
    let back = rollout.until_phase(Phase::RolledBack).await;
    assert_eq!((back.serves(), rejected(&back)), ("1.0.0", "Inconclusive"));
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn without_data_after_the_switch_it_may_pass() {
    let space = Space::new("unknown-pass").await;
    let _operator = space.operator();
    let prometheus = Prometheus::start(Answer::NoData).await;
    let rollout = unknown(&space, &prometheus, "Pass").await;
    rollout.until_healthy("2.0.0").await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_failure_after_the_switch_may_be_a_persons_to_decide() {
    let space = Space::new("monitoring-pause").await;
    let _operator = space.operator();
    let prometheus = Prometheus::start(Answer::Value(0.5)).await;
    let metric = metric("errors", &prometheus.address, "errors");
    let monitoring = json!({"duration": "1s", "onFailure": "Pause", "metrics": [metric]});
    let rollout = space.rollout(&merged(shop(), &json!({"monitoring": monitoring}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let held = rollout.until("is held", |seen| seen.stalled() == "MetricFailed").await;
    assert_eq!(held.serves(), "2.0.0");
    long_enough().await;
    assert!(rollout.now().is(Phase::Monitoring) && rollout.now().status.standby.is_some(), "the way back stays open");
    rollout.order("accept", &held.active().revision).await;
    rollout.until_healthy("2.0.0").await;
    rollout.version("3.0.0").await;
    let held = rollout.until("is held", |seen| seen.stalled() == "MetricFailed" && seen.serves() == "3.0.0").await;
    rollout.order("rollback", &held.active().revision).await;
    assert_eq!(rollout.until_phase(Phase::RolledBack).await.serves(), "2.0.0");
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn only_bad_readings_in_a_row_add_up_to_a_failure() {
    let space = Space::new("in-a-row").await;
    let _operator = space.operator();
    let prometheus = Prometheus::start(Answer::Value(0.0)).await;
    let mut metric = metric("errors", &prometheus.address, "errors");
    metric["failureLimit"] = json!(3);
    metric["count"] = json!(10_000);
    let rollout = space.rollout(&merged(shop(), &json!({"verification": {"metrics": [metric]}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    until_a_reading(&rollout, Phase::Verifying).await;
    // One bad reading, then good ones again: each has to be asked for, so that it is one.
    for _ in 0..2 {
        let asked = prometheus.queries().len();
        prometheus.answer(Answer::Value(0.5));
        asked_again(&prometheus, asked).await;
        prometheus.answer(Answer::Value(0.0));
        asked_again(&prometheus, prometheus.queries().len()).await;
    }
    let now = rollout.now();
    assert!(now.is(Phase::Verifying) && now.status.gates.iter().all(|gate| gate.state == GateState::Running), "{}", now.status.message);
    prometheus.answer(Answer::Value(0.5));
    let aborted = rollout.until_phase(Phase::Aborted).await;
    assert!(aborted.status.message.contains("3 of 3 in a row (failureLimit)"), "{}", aborted.status.message);
    space.end().await;
}
