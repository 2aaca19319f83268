//! What real pods wait for, told by name: by their status, and where that doesn't know by their events.

use bluegreen_api::Phase;
use bluegreen_e2e::{Rollout, Space, merged, shop, traffic};
use serde_json::{Value, json};

/// A version that is ready or never is, with this beside its container.
fn version(tag: &str, ready: bool, beside: &Value) -> Value {
    let container = json!({
        "name": "shop",
        "env": [{"name": "READY", "value": ready.to_string()}],
        "ports": [{"name": "http", "containerPort": 8080}],
        "volumeMounts": beside["volumeMounts"],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 1},
    });
    let pod = json!({"containers": [container], "initContainers": beside["initContainers"], "volumes": beside["volumes"]});
    json!({"image": format!("registry.example/shop:{tag}"), "replicas": 1, "progressDeadline": "5m", "template": {"spec": pod}})
}

/// Waits until these words are told, and returns why it isn't Ready.
async fn until_told(rollout: &Rollout<'_>, words: &[&str]) -> String {
    let told = |message: &str| words.iter().all(|word| message.contains(word));
    let seen = rollout.until(&format!("{words:?} are told"), |seen| seen.is(Phase::Initializing) && told(&seen.status.message)).await;
    println!("{}", seen.status.message);
    seen.condition("Ready").unwrap().reason.clone()
}

#[tokio::test]
#[ignore = "needs a cluster with a real node: cargo xtask test"]
async fn what_pods_wait_for_is_told_by_name() {
    let space = Space::new("laggards").await;
    let _operator = traffic::operator(&space);
    let secret = json!({
        "volumes": [{"name": "settings", "secret": {"secretName": "shop-settings"}}],
        "volumeMounts": [{"name": "settings", "mountPath": "/settings"}],
    });
    let rollout = space.rollout(&merged(shop(), &version("1.0.0", true, &secret))).await;
    let mounts = ["container shop has not started: FailedMount: ", "secret \"shop-settings\" not found"];
    assert_eq!(until_told(&rollout, &mounts).await, "PodTrouble");

    let init = json!({"initContainers": [{"name": "warm", "image": "registry.example/shop:1.0.0"}]});
    rollout.spec(&version("2.0.0", true, &init)).await;
    assert_eq!(until_told(&rollout, &["init container warm has not ended"]).await, "Initializing");

    rollout.spec(&version("3.0.0", false, &json!({}))).await;
    let probe = ["container shop is not ready: Unhealthy: Readiness probe failed: HTTP probe failed with statuscode: 503"];
    assert_eq!(until_told(&rollout, &probe).await, "Initializing");

    rollout.spec(&version("4.0.0", true, &json!({}))).await;
    rollout.until_healthy("4.0.0").await;
    space.end().await;
}
