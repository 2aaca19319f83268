//! No question of an operator leaves the machine: the support of the tests sees to it.

use bluegreen_api::Phase;
use bluegreen_e2e::{Seen, Space, manifest::metric, merged, shop};
use bluegreen_witness::Kind;
use serde_json::json;
use std::net::IpAddr;

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn no_check_of_fake_pods_leaves_the_machine() {
    let space = Space::new("pod-check").await;
    let _operator = space.operator();
    let home = json!({"name": "home", "http": {"attempts": 1}});
    let rollout = space.rollout(&merged(shop(), &json!({"verification": {"checks": [home]}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    // In the kernel's words. That nobody gets through to a pod is no word on the release.
    let unjudged = |seen: &Seen| seen.is(Phase::AwaitingPromotion) && seen.status.message.contains("unreachable");
    rollout.until("tells that the check can't be judged", unjudged).await;
    let pods = space.record.all(Kind::Pod);
    let addresses: Vec<IpAddr> = pods.iter().map(|pod| pod["status"]["podIP"].as_str().unwrap().parse().unwrap()).collect();
    assert!(!addresses.is_empty() && addresses.iter().all(IpAddr::is_multicast), "{addresses:?}");
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
#[should_panic(expected = "an operator would ask other machines: [\"http://prometheus.example:9090\"]")]
async fn a_rollout_that_asks_another_machine_is_not_applied() {
    let space = Space::new("asks-outside").await;
    let outside = metric("errors", "http://prometheus.example:9090", "errors");
    space.rollout(&merged(shop(), &json!({"verification": {"metrics": [outside]}}))).await;
    space.end_unjudged();
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
#[should_panic(expected = "an operator would ask other machines: [\"http://192.0.2.1/\"]")]
async fn a_change_that_asks_another_machine_is_not_applied() {
    let space = Space::new("turns-outside").await;
    let rollout = space.rollout(&shop()).await;
    rollout.spec(&json!({"monitoring": {"duration": "1s", "checks": [{"name": "home", "http": {"url": "http://192.0.2.1/"}}]}})).await;
    space.end_unjudged();
}
