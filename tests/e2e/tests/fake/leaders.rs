//! Two operators for one namespace: one leads, the other takes over.

use bluegreen_api::{Color, Phase};
use bluegreen_e2e::{
    LEASE, Operator, SHORT_LEASE, Space, merged,
    patience::{self, long_enough, pause, text},
    shop,
};
use serde_json::{Value, json};
use std::time::Duration;

/// The identity of the leader; empty before the first operator has made the lease.
async fn holder(space: &Space) -> String {
    space.kubectl_told(&["get", "lease", "bluegreen-operator", "-o", "jsonpath={.spec.holderIdentity}"]).await.output
}

async fn until_leads(space: &Space, name: &str) {
    patience::until(&format!("operator {name} leads"), async || (holder(space).await == name).then_some(())).await;
}

/// Two operators, the first of which leads.
async fn two(space: &Space, lease: Duration) -> (Operator, Operator) {
    let leader = space.operator_named("one", lease);
    until_leads(space, "one").await;
    (leader, space.operator_named("two", lease))
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn one_of_two_acts() {
    let space = Space::new("two").await;
    // No lease runs out here.
    let (_leader, standby) = two(&space, LEASE).await;
    let rollout = space.rollout(&shop()).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    rollout.until_healthy("2.0.0").await;
    assert!(!standby.log().contains("rollout="), "the one that stands by decides nothing:\n{}", standby.log());
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn the_other_leads_when_the_leader_is_killed() {
    let space = Space::new("killed").await;
    let (mut leader, _standby) = two(&space, SHORT_LEASE).await;
    let rollout = space.rollout(&merged(shop(), &json!({"monitoring": {"duration": "20s"}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    rollout.until_phase(Phase::Monitoring).await;
    leader.kill();
    rollout.until_healthy("2.0.0").await;
    assert_eq!(holder(&space).await, "two");
    space.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: cargo xtask test"]
async fn after_sigterm_the_lease_is_free_and_the_other_leads() {
    let space = Space::new("sigterm").await;
    // With an hour's lease nothing but a release lets the other lead in this test.
    let (hour, renewed) = (Duration::from_secs(3600), ["--lease-renew-deadline", "1000"]);
    let mut leader = space.operator_with("one", hour, &renewed);
    until_leads(&space, "one").await;
    let _standby = space.operator_with("two", hour, &renewed);
    let rollout = space.rollout(&shop()).await;
    rollout.until_healthy("1.0.0").await;
    tokio::task::block_in_place(|| leader.terminate());
    assert!(leader.log().contains("lease released"), "{}", leader.log());
    rollout.version("2.0.0").await;
    rollout.until_healthy("2.0.0").await;
    assert_eq!(holder(&space).await, "two");
    space.end().await;
}

/// A leader that is frozen, outlives its lease and is woken, changes nothing that the next one decided.
async fn frozen(name: &str, (at, promotion): (Phase, Value), undo: impl AsyncFn(&bluegreen_e2e::Rollout<'_>), ends: (Phase, &str)) {
    let space = Space::new(name).await;
    let (mut leader, _standby) = two(&space, SHORT_LEASE).await;
    let rollout = space
        .rollout(&merged(shop(), &json!({"monitoring": {"duration": "1h"}, "scaleDown": {"drain": "3s"}, "promotion": promotion})))
        .await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    rollout.until_phase(at).await;
    leader.freeze();
    until_leads(&space, "two").await;
    undo(&rollout).await;
    let end = rollout.until(&format!("ends in {}", ends.0), |seen| seen.is(ends.0) && seen.serves() == ends.1).await;
    leader.wake();
    long_enough().await;
    let now = rollout.now();
    assert_eq!((now.phase(), now.serves()), (end.phase(), end.serves()));
    assert_eq!(rollout.selector()["bluegreen.dev/revision"], json!(end.active().revision));
    patience::until("a leader that has lost its lease ends", async || (!leader.runs()).then_some(())).await;
    space.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_leader_frozen_while_deploying_undoes_nothing() {
    let revert = async |rollout: &bluegreen_e2e::Rollout<'_>| rollout.version("1.0.0").await;
    frozen("frozen-deploying", (Phase::DeployingPreview, json!({})), revert, (Phase::Healthy, "1.0.0")).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_leader_frozen_in_the_switch_undoes_nothing() {
    let rollback = async |rollout: &bluegreen_e2e::Rollout<'_>| rollout.version("1.0.0").await;
    // With a time to wait for, the switch is a phase of its own.
    frozen("frozen-promoting", (Phase::Promoting, json!({"after": "1s"})), rollback, (Phase::Healthy, "1.0.0")).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_leader_frozen_while_monitoring_undoes_no_roll_back() {
    let rollback = async |rollout: &bluegreen_e2e::Rollout<'_>| {
        let revision = rollout.now().active().revision.clone();
        rollout.order("rollback", &revision).await;
    };
    frozen("frozen-monitoring", (Phase::Monitoring, json!({})), rollback, (Phase::RolledBack, "1.0.0")).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_leader_frozen_before_the_scale_down_keeps_the_way_back() {
    let space = Space::new("frozen-down").await;
    let (leader, _standby) = two(&space, LEASE).await;
    let rollout = space.rollout(&merged(shop(), &json!({"scaleDown": {"drain": "1s", "after": "1m"}}))).await;
    rollout.until_healthy("1.0.0").await;
    let pods = rollout.pods(Color::Blue);
    rollout.version("2.0.0").await;
    rollout.until_phase(Phase::ScalingDown).await;
    leader.freeze();
    rollout.version("1.0.0").await;
    leader.wake();
    rollout.until_healthy("1.0.0").await;
    assert_eq!(rollout.pods(Color::Blue), pods);
    space.end().await;
}

/// That such time is no bake time either, simulations say: `tests/sim/tests/clocks.rs`.
#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn time_without_an_operator_fails_nothing() {
    let space = Space::new("away").await;
    let mut operator = space.operator_named("one", SHORT_LEASE);
    // Long enough for pods to get ready, and for a person, on a busy machine.
    let deadline = Duration::from_secs(60);
    let spec = json!({"progressDeadline": text(deadline), "promotion": {"mode": "Manual", "timeout": text(deadline)}});
    let rollout = space.rollout(&merged(shop(), &spec)).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let waits = rollout.until("waits for approval", |seen| seen.works() == "AwaitingApproval").await;
    operator.kill();
    // Longer than the deadline, and than the lease: a gap that a lease covers counts as watched.
    pause(deadline + Duration::from_secs(5)).await;
    let mark = rollout.mark();
    rollout.order("promote", &waits.candidate().revision).await;
    let _operator = space.operator_named("one", SHORT_LEASE);
    let promoted = rollout.until_after(mark, "is promoted, not aborted for being late", |seen| !seen.is(Phase::AwaitingPromotion)).await;
    assert!(!matches!(promoted.phase(), Some(Phase::Aborting | Phase::Aborted)), "{}", promoted.status.message);
    rollout.until_healthy("2.0.0").await;
    space.end().await;
}
