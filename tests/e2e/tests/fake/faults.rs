//! Faults of the cluster itself. Each test has a cluster of its own, since it harms it.

use bluegreen_api::{Color, Phase};
use bluegreen_e2e::{
    LEASE, OwnGround, SHORT_LEASE, Seen, Space, merged,
    patience::{self, long_enough, pause, stretched, text},
    shop,
};
use bluegreen_witness::Kind;
use serde_json::json;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: cargo xtask test"]
async fn an_api_server_that_is_away_delays_and_breaks_nothing() {
    let own = OwnGround::up("e2e-api-server");
    let space = Space::on(own.ground, "away").await;
    let mut operator = space.operator_named("one", 2 * LEASE);
    let rollout = space.rollout(&merged(shop(), &json!({"progressDeadline": "10m", "monitoring": {"duration": "3s"}}))).await;
    rollout.until_healthy("1.0.0").await;
    for (version, at) in [("2.0.0-slow", Phase::DeployingPreview), ("3.0.0", Phase::Monitoring), ("4.0.0", Phase::ScalingDown)] {
        rollout.version(version).await;
        rollout.until_phase(at).await;
        tokio::task::block_in_place(|| {
            own.stop("kube-apiserver");
            std::thread::sleep(stretched(Duration::from_secs(3)));
            own.start("kube-apiserver");
            // What it was about to tell of a pod got lost with the connection, and it doesn't try again, as a kubelet does.
            own.stop("kwok");
            own.start("kwok");
        });
        rollout.until_healthy(version).await;
    }
    assert!(operator.runs(), "with the lease kept there is no reason to end:\n{}", operator.log());
    space.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: cargo xtask test"]
async fn an_operator_that_loses_its_lease_ends_and_the_next_goes_on() {
    let own = OwnGround::up("e2e-lease");
    let space = Space::on(own.ground, "lost").await;
    let mut operator = space.operator_named("one", SHORT_LEASE);
    let timeout = Duration::from_secs(40);
    let rollout = space.rollout(&merged(shop(), &json!({"promotion": {"mode": "Manual", "timeout": text(timeout)}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let waits = rollout.until("waits for approval", |seen| seen.works() == "AwaitingApproval").await;
    tokio::task::block_in_place(|| own.stop("kube-apiserver"));
    patience::until("a leader whose lease has run out ends", async || (!operator.runs()).then_some(())).await;
    // For longer than the timeout no operator looks: such time doesn't count.
    pause(timeout).await;
    tokio::task::block_in_place(|| own.start("kube-apiserver"));
    let _operator = space.operator_named("one", SHORT_LEASE);
    rollout.order("promote", &waits.candidate().revision).await;
    rollout.until_healthy("2.0.0").await;
    space.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_switch_that_endpoint_slices_do_not_show_holds_and_says_so() {
    let own = OwnGround::up("e2e-slices");
    let space = Space::on(own.ground, "slices").await;
    let _operator = space.operator();
    let rollout = space.rollout(&merged(shop(), &json!({"promotion": {"mode": "Manual"}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let waits = rollout.until("waits for approval", |seen| seen.works() == "AwaitingApproval").await;
    own.freeze("kube-controller-manager");
    rollout.order("promote", &waits.candidate().revision).await;
    let held = rollout.until("says that the slices are old", |seen| seen.works() == "EndpointsStale").await;
    assert!(held.is(Phase::Promoting) && held.status.rejected.is_none(), "a slow control plane is not a bad release");
    assert!(held.status.message.contains("EndpointSlices have not been updated since"), "{}", held.status.message);
    assert_eq!(rollout.deployment(Color::Blue)["spec"]["replicas"], 2);
    // In the middle of the switch the Service is put right to where the switch leads.
    let there = rollout.selector();
    for edit in [json!({"spec": {"selector": null}}), json!({"spec": {"selector": {"bluegreen.dev/color": "blue"}}})] {
        let version = space.tamper(Kind::Service, "shop", &edit).await;
        space.until_newer(version, Kind::Service, "shop", "is repaired", |service| service["spec"]["selector"] == there).await;
    }
    own.wake("kube-controller-manager");
    rollout.until_healthy("2.0.0").await;
    space.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: cargo xtask test"]
async fn config_default_installs_one_operator_for_all_namespaces() {
    let own = OwnGround::up("e2e-install");
    let (one, two) = (Space::on(own.ground, "one").await, Space::on(own.ground, "two").await);
    let kubeconfig = tokio::task::block_in_place(|| own.install_operator());
    let _operator = one.operator_for_all(&kubeconfig, LEASE);
    let rollouts = [one.rollout(&shop()).await, two.rollout(&shop()).await];
    for rollout in &rollouts {
        rollout.until_healthy("1.0.0").await;
        rollout.version("2.0.0").await;
    }
    for rollout in &rollouts {
        rollout.until_healthy("2.0.0").await;
    }
    let foreign = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "till"}, "spec": {"selector": {"app": "theirs"}, "ports": [{"port": 80}]}});
    two.create(Kind::Service, foreign).await;
    long_enough().await;
    assert_eq!(two.seen(Kind::Service, "till").unwrap()["spec"]["selector"], json!({"app": "theirs"}));
    one.end().await;
    two.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: cargo xtask test"]
async fn without_a_watch_of_pods_nothing_new_is_tried() {
    let own = OwnGround::up("e2e-blind");
    let space = Space::on(own.ground, "blind").await;
    let kubeconfig = tokio::task::block_in_place(|| own.install_operator());
    let _operator = space.operator_for_all(&kubeconfig, 2 * LEASE);
    let rollout = space.rollout(&merged(shop(), &json!({"progressDeadline": "10m", "monitoring": {"duration": "1h"}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let watched = rollout.until_phase(Phase::Monitoring).await;

    let role = space.kubectl(&["get", "clusterrole", "bluegreen-operator", "-o", "json"]).await;
    let mut blind: serde_json::Value = serde_json::from_str(&role).unwrap();
    blind["rules"].as_array_mut().unwrap().retain(|rule| rule["resources"] != json!(["pods"]));
    let blind = json!({"rules": blind["rules"]}).to_string();
    space.kubectl(&["patch", "clusterrole", "bluegreen-operator", "--type=merge", "-p", &blind]).await;
    tokio::task::block_in_place(|| {
        own.stop("kube-apiserver");
        own.start("kube-apiserver");
    });
    rollout.spec(&json!({"monitoring": null})).await;
    let why = "can't watch pods: pods is forbidden";
    let told = |seen: &Seen| seen.works() == "WatchDown" && seen.status.message.contains(why);
    let held = rollout.until("says that it can't watch pods", told).await;
    assert!(held.is(Phase::Monitoring), "nothing is passed: {}", held.status.message);
    // What protects goes on, and the way back works.
    let there = rollout.selector();
    let version = space.tamper(Kind::Service, "shop", &json!({"spec": {"selector": null}})).await;
    space.until_newer(version, Kind::Service, "shop", "is repaired", |service| service["spec"]["selector"] == there).await;
    rollout.order("rollback", &watched.active().revision).await;
    rollout.until("is rolled back", |seen| seen.is(Phase::RolledBack) && seen.serves() == "1.0.0").await;

    rollout.version("3.0.0").await;
    rollout.until("holds the next one", |seen| seen.works() == "WatchDown").await;
    tokio::task::block_in_place(|| own.install_operator());
    rollout.until_healthy("3.0.0").await;
    space.end().await;
}
