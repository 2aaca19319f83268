//! What people order by annotations, and when it counts.

use bluegreen_api::{Color, Phase};
use bluegreen_e2e::{Answer, Prometheus, Rollout, Seen, Space, manifest::metric, merged, patience::long_enough, shop};
use serde_json::{Value, json};

fn manual() -> Value {
    merged(shop(), &json!({"promotion": {"mode": "Manual"}}))
}

async fn until_it_waits_for_approval(rollout: &Rollout<'_>) -> Seen {
    rollout.until("waits for approval", |seen| seen.works() == "AwaitingApproval").await
}

async fn nothing_happens(rollout: &Rollout<'_>, before: &Seen) {
    long_enough().await;
    let now = rollout.now();
    assert_eq!((now.phase(), now.serves()), (before.phase(), before.serves()), "{}", now.status.message);
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn an_approval_opens_the_gate_and_does_not_end_the_monitoring() {
    let space = Space::new("approval").await;
    let _operator = space.operator();
    let rollout = space.rollout(&merged(manual(), &json!({"monitoring": {"duration": "1h"}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let waits = until_it_waits_for_approval(&rollout).await;
    let ready = waits.condition("Ready").unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "AwaitingApproval"));
    let revision = waits.candidate().revision.clone();
    assert!(waits.status.message.contains(&format!("bluegreen.dev/promote={revision}")), "{}", waits.status.message);
    let value = rollout.order("promote", &revision).await;
    let monitoring = rollout.until_phase(Phase::Monitoring).await;
    assert_eq!(monitoring.status.orders.get("promote"), Some(&value), "the order is spent");
    nothing_happens(&rollout, &monitoring).await;
    rollout.order("accept", &revision).await;
    rollout.until_healthy("2.0.0").await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn an_approval_approves_nothing_later() {
    let space = Space::new("old-approval").await;
    let _operator = space.operator();
    let rollout = space.rollout(&manual()).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let revision = until_it_waits_for_approval(&rollout).await.candidate().revision.clone();
    // Given for this very revision, spent, and still on the object when the revision comes again.
    rollout.order("promote", &revision).await;
    rollout.until_healthy("2.0.0").await;
    rollout.version("1.0.0").await;
    let first = until_it_waits_for_approval(&rollout).await;
    assert_ne!(first.candidate().revision, revision);
    rollout.order("promote", &first.candidate().revision).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let again = until_it_waits_for_approval(&rollout).await;
    assert_eq!(again.candidate().revision, revision);
    nothing_happens(&rollout, &again).await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn an_approval_before_the_candidate_counts_for_nothing() {
    let space = Space::new("early-approval").await;
    let mut operator = space.operator();
    let rollout = space.rollout(&manual()).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let revision = until_it_waits_for_approval(&rollout).await.candidate().revision.clone();
    rollout.version("1.0.0").await;
    rollout.until_healthy("1.0.0").await;
    operator.kill();
    rollout
        .patch(&json!({"spec": {"image": "registry.example/shop:2.0.0"}, "metadata": {"annotations": {"bluegreen.dev/promote": revision}}}))
        .await;
    let _operator = space.operator();
    let waits = until_it_waits_for_approval(&rollout).await;
    nothing_happens(&rollout, &waits).await;
    rollout.order("promote", &revision).await;
    rollout.until_healthy("2.0.0").await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn of_contradictory_orders_the_safer_wins() {
    let space = Space::new("contradictory").await;
    let _operator = space.operator();
    let rollout = space.rollout(&merged(manual(), &json!({"monitoring": {"duration": "1h"}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let revision = until_it_waits_for_approval(&rollout).await.candidate().revision.clone();
    let both = |one: &str, other: &str, revision: &str| json!({"metadata": {"annotations": {format!("bluegreen.dev/{one}"): format!("{revision}/both"), format!("bluegreen.dev/{other}"): format!("{revision}/both")}}});
    rollout.patch(&both("promote", "abort", &revision)).await;
    let aborted = rollout.until_phase(Phase::Aborted).await;
    assert_eq!(aborted.serves(), "1.0.0");

    rollout.version("3.0.0").await;
    let revision = until_it_waits_for_approval(&rollout).await.candidate().revision.clone();
    rollout.patch(&both("promote", "pause", &revision)).await;
    let paused = rollout.until("is paused", |seen| seen.works() == "Paused").await;
    nothing_happens(&rollout, &paused).await;
    rollout.order("resume", &revision).await;
    rollout.until_phase(Phase::Monitoring).await;
    rollout.patch(&both("accept", "rollback", &revision)).await;
    let back = rollout.until_phase(Phase::RolledBack).await;
    assert_eq!(back.serves(), "1.0.0");
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_rollback_long_after_the_standby_is_gone_works_the_slow_way() {
    let space = Space::new("slow-rollback").await;
    let _operator = space.operator();
    let rollout = space.rollout(&shop()).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let healthy = rollout.until_healthy("2.0.0").await;
    rollout.until_size(Color::Blue, 0).await;
    rollout.order("rollback", &healthy.active().revision).await;
    rollout.until("says that it takes longer", |seen| seen.is(Phase::RollingBack) && seen.status.message.contains("deployed again")).await;
    let back = rollout.until_phase(Phase::RolledBack).await;
    assert_eq!((back.serves(), back.status.rejected.as_ref().unwrap().reason.as_str()), ("1.0.0", "Ordered"));
    rollout.until_size(Color::Green, 0).await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn abort_after_the_switch_and_rollback_before_it_mean_the_same() {
    let space = Space::new("same").await;
    let _operator = space.operator();
    let rollout = space.rollout(&merged(manual(), &json!({"monitoring": {"duration": "1h"}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let revision = until_it_waits_for_approval(&rollout).await.candidate().revision.clone();
    rollout.order("rollback", &revision).await;
    rollout.until_phase(Phase::Aborted).await;
    rollout.order("retry", &revision).await;
    until_it_waits_for_approval(&rollout).await;
    rollout.order("promote", &revision).await;
    rollout.until_phase(Phase::Monitoring).await;
    rollout.order("abort", &revision).await;
    let back = rollout.until_phase(Phase::RolledBack).await;
    assert_eq!(back.serves(), "1.0.0");
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_rejected_revision_is_tried_again_when_someone_says_so() {
    let space = Space::new("retry").await;
    let _operator = space.operator();
    let prometheus = Prometheus::start(Answer::Value(0.5)).await;
    let metric = metric("errors", &prometheus.address, "errors");
    let rollout = space.rollout(&merged(shop(), &json!({"verification": {"metrics": [metric]}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let aborted = rollout.until_phase(Phase::Aborted).await;
    let revision = aborted.status.rejected.as_ref().unwrap().revision.clone();
    assert!(aborted.status.message.contains(&format!("bluegreen.dev/retry={revision}")), "{}", aborted.status.message);
    prometheus.answer(Answer::Value(0.0));
    nothing_happens(&rollout, &aborted).await;
    rollout.order("retry", &revision).await;
    let healthy = rollout.until_healthy("2.0.0").await;
    assert!(healthy.status.rejected.is_none());
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn an_approval_decides_only_an_inconclusive_gate() {
    let space = Space::new("decides").await;
    let _operator = space.operator();
    let prometheus = Prometheus::start(Answer::Value(0.0)).await;
    let mut metric = metric("errors", &prometheus.address, "errors");
    metric["count"] = json!(10_000);
    let rollout = space.rollout(&merged(shop(), &json!({"verification": {"metrics": [metric], "onFailure": "Pause"}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let verifying = rollout.until("has a good reading", |seen| seen.is(Phase::Verifying) && !seen.status.gates.is_empty()).await;
    let revision = verifying.candidate().revision.clone();
    rollout.order("promote", &revision).await;
    nothing_happens(&rollout, &verifying).await;
    prometheus.answer(Answer::Value(0.5));
    let failed = rollout.until("is held with its failure", |seen| seen.stalled() == "MetricFailed").await;
    rollout.order("promote", &revision).await;
    nothing_happens(&rollout, &failed).await;
    prometheus.answer(Answer::NoData);
    rollout.order("retry", &revision).await;
    rollout.until("can't be judged", |seen| seen.works() == "Inconclusive").await;
    rollout.order("promote", &revision).await;
    rollout.until_healthy("2.0.0").await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn an_order_for_another_revision_does_nothing() {
    let space = Space::new("another").await;
    let _operator = space.operator();
    let rollout = space.rollout(&manual()).await;
    let healthy = rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let waits = until_it_waits_for_approval(&rollout).await;
    rollout.order("promote", &healthy.active().revision).await;
    rollout.order("abort", "nonesuch").await;
    rollout.annotate("promote", "").await;
    nothing_happens(&rollout, &waits).await;
    space.end().await;
}
