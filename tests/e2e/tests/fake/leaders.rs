//! Two operators for one namespace: one leads, the other takes over.

use bluegreen_api::{Color, Phase};
use bluegreen_e2e::{LONG_ENOUGH, Operator, SHORT_LEASE, Space, merged, shop, witness::Kind};
use serde_json::json;
use std::time::{Duration, Instant};

async fn holder(space: &Space) -> String {
    space.kubectl(&["get", "lease", "bluegreen-operator", "-o", "jsonpath={.spec.holderIdentity}"]).await
}

/// Two operators, the first of which leads.
async fn two(space: &Space) -> (Operator, Operator) {
    let leader = space.operator_named("one", &SHORT_LEASE);
    while space.kubectl_told(&["get", "lease", "bluegreen-operator", "-o", "jsonpath={.spec.holderIdentity}"]).await.output != "one" {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    (leader, space.operator_named("two", &SHORT_LEASE))
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn one_of_two_acts() {
    let space = Space::new("two").await;
    let (_leader, standby) = two(&space).await;
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
    let (mut leader, _standby) = two(&space).await;
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
    let mut leader = space.operator_named("one", &["--lease-renew-deadline", "1000", "--lease-duration", "3600"]);
    while space.kubectl_told(&["get", "lease", "bluegreen-operator", "-o", "jsonpath={.spec.holderIdentity}"]).await.output != "one" {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let _standby = space.operator_named("two", &["--lease-renew-deadline", "1000", "--lease-duration", "3600"]);
    let rollout = space.rollout(&shop()).await;
    rollout.until_healthy("1.0.0").await;
    tokio::task::block_in_place(|| leader.terminate());
    assert!(leader.log().contains("the lease is released"), "{}", leader.log());
    rollout.version("2.0.0").await;
    rollout.until_healthy("2.0.0").await;
    assert_eq!(holder(&space).await, "two");
    space.end().await;
}

/// A leader that is frozen, outlives its lease and is woken, changes nothing that the next one decided.
async fn frozen(name: &str, at: Phase, undo: impl AsyncFn(&bluegreen_e2e::Rollout<'_>), ends: (Phase, &str)) {
    let space = Space::new(name).await;
    let (mut leader, _standby) = two(&space).await;
    let rollout = space.rollout(&merged(shop(), &json!({"monitoring": {"duration": "1h"}, "scaleDown": {"drain": "3s"}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    rollout.until_phase(at).await;
    leader.freeze();
    while holder(&space).await != "two" {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    undo(&rollout).await;
    let end = rollout.until(&format!("ends in {}", ends.0), |seen| seen.is(ends.0) && seen.serves() == ends.1).await;
    leader.wake();
    tokio::time::sleep(LONG_ENOUGH).await;
    let now = rollout.now();
    assert_eq!((now.phase(), now.serves()), (end.phase(), end.serves()));
    assert_eq!(rollout.selector()["bluegreen.dev/revision"], json!(end.active().revision));
    let until = Instant::now() + Duration::from_secs(60);
    while leader.runs() {
        assert!(Instant::now() < until, "a leader that has lost its lease ends:\n{}", leader.log());
        tokio::time::sleep(LONG_ENOUGH).await;
    }
    space.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_leader_frozen_while_a_candidate_comes_up_undoes_nothing_when_it_wakes() {
    let revert = async |rollout: &bluegreen_e2e::Rollout<'_>| rollout.version("1.0.0").await;
    frozen("frozen-deploying", Phase::DeployingPreview, revert, (Phase::Healthy, "1.0.0")).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_leader_frozen_in_the_switch_undoes_nothing_when_it_wakes() {
    let rollback = async |rollout: &bluegreen_e2e::Rollout<'_>| rollout.version("1.0.0").await;
    frozen("frozen-promoting", Phase::Promoting, rollback, (Phase::Healthy, "1.0.0")).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_leader_frozen_while_it_watches_undoes_no_roll_back_when_it_wakes() {
    let rollback = async |rollout: &bluegreen_e2e::Rollout<'_>| {
        let revision = rollout.now().active().revision.clone();
        rollout.order("rollback", &revision).await;
    };
    frozen("frozen-monitoring", Phase::Monitoring, rollback, (Phase::RolledBack, "1.0.0")).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_leader_frozen_before_the_scale_down_does_not_take_the_way_back_when_it_wakes() {
    let space = Space::new("frozen-down").await;
    let (leader, _standby) = two(&space).await;
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

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn time_without_an_operator_neither_passes_nor_fails_anything() {
    let space = Space::new("away").await;
    let mut operator = space.operator_named("one", &SHORT_LEASE);
    let spec = json!({"progressDeadline": "15s", "monitoring": {"duration": "15s"}, "promotion": {"mode": "Manual", "timeout": "15s"}});
    let rollout = space.rollout(&merged(shop(), &spec)).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let waits = rollout.until("waits for approval", |seen| seen.works() == "AwaitingApproval").await;
    operator.kill();
    // Longer than every deadline and the lease.
    tokio::time::sleep(Duration::from_secs(20)).await;
    let mark = rollout.mark();
    rollout.order("promote", &waits.candidate().revision).await;
    let mut operator = space.operator_named("one", &SHORT_LEASE);
    let monitoring = rollout.until_after(mark, "is promoted, not aborted for being late", |seen| !seen.is(Phase::AwaitingPromotion)).await;
    assert!(!matches!(monitoring.phase(), Some(Phase::Aborting | Phase::Aborted)), "{}", monitoring.status.message);
    rollout.until_phase(Phase::Monitoring).await;
    operator.kill();
    tokio::time::sleep(Duration::from_secs(20)).await;
    let mark = rollout.mark();
    let _operator = space.operator_named("one", &SHORT_LEASE);
    let down = rollout.until_after(mark, "has been watched", |seen| seen.is(Phase::ScalingDown)).await;
    let clock = down.status.current.as_ref().unwrap();
    let at = |phase: Phase| clock.phases.iter().find(|time| time.phase == phase).unwrap().at;
    let watched = at(Phase::ScalingDown).duration_since(at(Phase::Monitoring));
    assert!(watched.as_secs() >= 33, "twenty seconds without an operator are no bake time: it was watched for {watched:#}");
    space.until(Kind::Deployment, "shop-blue", "is scaled down", |blue| blue["spec"]["replicas"] == 0).await;
    space.end().await;
}
