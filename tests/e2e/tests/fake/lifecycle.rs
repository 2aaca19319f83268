//! What people do with any workload: wait for it, scale it, delete it, create it again.

use bluegreen_api::{Color, Phase};
use bluegreen_e2e::{
    Space, merged,
    patience::{self, long_enough},
    shop,
};
use bluegreen_witness::Kind;
use serde_json::{Value, json};

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn kubectl_waits_for_ready_and_for_promoted() {
    let space = Space::new("wait").await;
    let _operator = space.operator();
    let rollout = space.rollout(&shop()).await;
    space.kubectl(&["wait", "--for=condition=Ready", "--timeout=120s", "bgr/shop"]).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    // As CI would, right after the patch: kubectl looks at observedGeneration of the condition.
    space.kubectl(&["wait", "--for=condition=Promoted", "--timeout=120s", "bgr/shop"]).await;
    assert_eq!(space.kubectl(&["get", "bgr", "shop", "-o", "jsonpath={.status.active.image}"]).await, "registry.example/shop:2.0.0");
    space.kubectl(&["wait", "--for=condition=Ready", "--timeout=120s", "bgr/shop"]).await;
    rollout.version("3.0.0-invalid").await;
    space.kubectl(&["wait", "--for=condition=Stalled", "--timeout=120s", "bgr/shop"]).await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn kubectl_scale_and_an_autoscaler_reach_the_active_side() {
    let space = Space::new("scales").await;
    let _operator = space.operator();
    let rollout = space.rollout(&shop()).await;
    rollout.until_healthy("1.0.0").await;
    for size in [4, 1, 2] {
        space.kubectl(&["scale", "bgr", "shop", &format!("--replicas={size}")]).await;
        rollout.until_size(Color::Blue, size).await;
        rollout.until("shows its pods", |seen| i64::from(seen.status.replicas) == size).await;
    }
    let selector = rollout.now().status.selector.clone();
    let pods = space.kubectl(&["get", "pods", "-l", &selector, "-o", "name"]).await;
    assert!(pods.lines().count() >= 2, "the selector {selector} selects {pods}");
    // Without metrics it can't decide, but it finds and reads what it would scale.
    space.kubectl(&["autoscale", "bgr", "shop", "--min=1", "--max=5", "--cpu=80%"]).await;
    space.kubectl(&["wait", "--for=condition=AbleToScale", "--timeout=120s", "hpa/shop"]).await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn an_hpas_size_goes_over_to_the_next_version() {
    let space = Space::new("hpa").await;
    let _operator = space.operator();
    let rollout = space.rollout(&merged(shop(), &json!({"promotion": {"mode": "Manual"}, "preview": {"replicas": 1}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let waits = rollout.until("waits for approval", |seen| seen.works() == "AwaitingApproval").await;
    space.kubectl(&["scale", "bgr", "shop", "--replicas=4"]).await;
    rollout.until_size(Color::Blue, 4).await;
    rollout.order("promote", &waits.candidate().revision).await;
    rollout.until_healthy("2.0.0").await;
    assert_eq!(rollout.deployment(Color::Green)["spec"]["replicas"], 4);
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_smaller_size_with_a_new_version_waits_for_the_switch() {
    let space = Space::new("half-time").await;
    let _operator = space.operator();
    let rollout = space.rollout(&merged(shop(), &json!({"replicas": 4, "promotion": {"mode": "Manual"}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.spec(&json!({"image": "registry.example/shop:2.0.0", "replicas": 2})).await;
    let waits = rollout.until("waits for approval", |seen| seen.works() == "AwaitingApproval").await;
    long_enough().await;
    assert_eq!(rollout.deployment(Color::Blue)["spec"]["replicas"], 4);
    rollout.order("promote", &waits.candidate().revision).await;
    rollout.until_healthy("2.0.0").await;
    rollout.until_size(Color::Green, 2).await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn zero_replicas_are_obeyed_at_once_and_left_again() {
    let space = Space::new("zero").await;
    let _operator = space.operator();
    let rollout = space.rollout(&shop()).await;
    rollout.until_healthy("1.0.0").await;
    space.kubectl(&["scale", "bgr", "shop", "--replicas=0"]).await;
    rollout.until_size(Color::Blue, 0).await;
    rollout.version("2.0.0").await;
    let waits = rollout.until("waits for replicas", |seen| seen.works() == "NoReplicas").await;
    assert!(waits.status.message.contains("spec.replicas is 0"), "{}", waits.status.message);
    space.kubectl(&["scale", "bgr", "shop", "--replicas=2"]).await;
    rollout.until_healthy("2.0.0").await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn zero_replicas_in_the_middle_of_a_rollout_hold_it() {
    let space = Space::new("zero-midway").await;
    let _operator = space.operator();
    let rollout = space.rollout(&merged(shop(), &json!({"promotion": {"mode": "Manual"}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let waits = rollout.until("waits for approval", |seen| seen.works() == "AwaitingApproval").await;
    space.kubectl(&["scale", "bgr", "shop", "--replicas=0"]).await;
    rollout.until_size(Color::Blue, 0).await;
    rollout.order("promote", &waits.candidate().revision).await;
    long_enough().await;
    assert_eq!(rollout.now().serves(), "1.0.0");
    space.kubectl(&["scale", "bgr", "shop", "--replicas=2"]).await;
    rollout.until_healthy("2.0.0").await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn deleting_it_removes_what_it_owns() {
    for cascade in ["background", "foreground"] {
        let space = Space::new("delete").await;
        space.until_garbage_is_collected().await;
        let _operator = space.operator();
        let rollout = space.rollout(&shop()).await;
        rollout.until_healthy("1.0.0").await;
        rollout.version("2.0.0").await;
        rollout.until_healthy("2.0.0").await;
        space.kubectl(&["delete", "bgr", "shop", &format!("--cascade={cascade}")]).await;
        for (kind, name) in
            [(Kind::Deployment, "shop-blue"), (Kind::Deployment, "shop-green"), (Kind::Service, "shop"), (Kind::Service, "shop-preview")]
        {
            space.until(kind, name, "is gone", Value::is_null).await;
        }
        let nothing = async || [Kind::Revision, Kind::Pod].iter().all(|kind| space.record.all(*kind).is_empty()).then_some(());
        patience::until("revisions and pods are gone", nothing).await;
        long_enough().await;
        assert!(space.record.all(Kind::Deployment).is_empty(), "nothing comes back");
        space.end().await;
    }
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn orphans_serve_on_and_are_taken_up_again() {
    let space = Space::new("orphan").await;
    let _operator = space.operator();
    let rollout = space.rollout(&shop()).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    rollout.until_healthy("2.0.0").await;
    let (pods, selector) = (rollout.pods(Color::Green), rollout.selector());
    space.kubectl(&["delete", "bgr", "shop", "--cascade=orphan"]).await;
    space.until(Kind::Deployment, "shop-green", "is an orphan", |green| green["metadata"]["ownerReferences"].is_null()).await;
    space.until(Kind::Service, "shop", "is an orphan", |service| service["metadata"]["ownerReferences"].is_null()).await;
    long_enough().await;
    assert_eq!((rollout.pods(Color::Green), rollout.selector()), (pods.clone(), selector.clone()), "everything serves");

    let rollout = space.rollout(&merged(shop(), &json!({"image": "registry.example/shop:2.0.0"}))).await;
    let healthy = rollout.until_healthy("2.0.0").await;
    assert_eq!(
        (healthy.active().color, rollout.pods(Color::Green), rollout.selector()),
        (Color::Green, pods, selector),
        "nothing was restarted"
    );
    for (kind, name) in [(Kind::Deployment, "shop-green"), (Kind::Service, "shop"), (Kind::Service, "shop-preview")] {
        space.until(kind, name, "is owned again", |object| object["metadata"]["ownerReferences"][0]["controller"] == true).await;
    }
    rollout.version("3.0.0").await;
    rollout.until_healthy("3.0.0").await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn orphans_are_taken_up_with_a_new_version_in_the_same_breath() {
    let space = Space::new("orphan-new").await;
    let _operator = space.operator();
    let rollout = space.rollout(&shop()).await;
    rollout.until_healthy("1.0.0").await;
    space.kubectl(&["delete", "bgr", "shop", "--cascade=orphan"]).await;
    space.until(Kind::Service, "shop", "is an orphan", |service| service["metadata"]["ownerReferences"].is_null()).await;
    let rollout = space.rollout(&merged(shop(), &json!({"image": "registry.example/shop:2.0.0", "promotion": {"mode": "Manual"}}))).await;
    let waits = rollout.until("waits for approval", |seen| seen.works() == "AwaitingApproval").await;
    assert_eq!((waits.serves(), waits.candidate().color), ("1.0.0", Color::Green));
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn one_created_again_waits_until_the_former_is_gone() {
    let space = Space::new("again").await;
    space.until_garbage_is_collected().await;
    let _operator = space.operator();
    let rollout = space.rollout(&shop()).await;
    let first = rollout.until_healthy("1.0.0").await;
    space.kubectl(&["delete", "bgr", "shop"]).await;
    let rollout = space.rollout(&merged(shop(), &json!({"image": "registry.example/shop:2.0.0"}))).await;
    let again = rollout.until_healthy("2.0.0").await;
    assert_ne!(again.rollout.metadata.uid, first.rollout.metadata.uid);
    assert_eq!((again.status.attempt, again.active().number), (1, 1), "it is another one's story");
    let ours = json!(again.rollout.metadata.uid);
    assert_eq!(rollout.deployment(again.active().color)["metadata"]["ownerReferences"][0]["uid"], ours);
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn deleting_it_in_the_middle_of_a_rollout_leaves_nothing() {
    let space = Space::new("delete-midway").await;
    space.until_garbage_is_collected().await;
    let _operator = space.operator();
    let rollout = space.rollout(&merged(shop(), &json!({"monitoring": {"duration": "1h"}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    rollout.until_phase(Phase::Monitoring).await;
    space.kubectl(&["delete", "bgr", "shop"]).await;
    for (kind, name) in
        [(Kind::Deployment, "shop-blue"), (Kind::Deployment, "shop-green"), (Kind::Service, "shop"), (Kind::Service, "shop-preview")]
    {
        space.until(kind, name, "is gone", Value::is_null).await;
    }
    long_enough().await;
    assert!(space.record.all(Kind::Deployment).is_empty() && space.record.all(Kind::Service).is_empty());
    space.end().await;
}

/// No pod is replaced for it, and no rollout begins.
#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn metadata_of_deployments_follows_spec_and_additions_stay() {
    let space = Space::new("metadata").await;
    let _operator = space.operator();
    let rollout = space.rollout(&merged(shop(), &json!({"deployment": {"labels": {"team": "a"}, "annotations": {"page": "x"}}}))).await;
    let seen = rollout.until_healthy("1.0.0").await;
    let (attempt, name) = (seen.status.attempt, rollout.deployment_name(seen.active().color));
    let has = |team: &str, page: Value| {
        let team = team.to_owned();
        move |object: &Value| object["metadata"]["labels"]["team"] == *team && object["metadata"]["annotations"]["page"] == page
    };
    space.until(Kind::Deployment, &name, "has what is asked for", has("a", json!("x"))).await;
    let pods = rollout.pods(seen.active().color);
    space.kubectl(&["label", "deployment", &name, "theirs=stays"]).await;
    rollout.spec(&json!({"deployment": {"labels": {"team": "b"}, "annotations": {"page": null}}})).await;
    let object = space.until(Kind::Deployment, &name, "has what is asked for now", has("b", Value::Null)).await;
    assert_eq!(object["metadata"]["labels"]["theirs"], "stays");
    assert_eq!(rollout.pods(seen.active().color), pods);
    rollout.version("2.0.0").await;
    let seen = rollout.until_healthy("2.0.0").await;
    assert_eq!(seen.status.attempt, attempt + 1);
    space.until(Kind::Deployment, &rollout.deployment_name(seen.active().color), "the other has it too", has("b", Value::Null)).await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn settings_of_services_follow_spec_and_additions_stay() {
    let space = Space::new("settings").await;
    let _operator = space.operator();
    let rollout = space
        .rollout(&merged(shop(), &json!({"service": {"active": {"type": "NodePort", "labels": {"team": "a"}, "annotations": {"x": "1"}}}})))
        .await;
    rollout.until_healthy("1.0.0").await;
    let node_port = space.seen(Kind::Service, "shop").unwrap()["spec"]["ports"][0]["nodePort"].clone();
    assert!(node_port.is_number());
    space.kubectl(&["annotate", "service", "shop", "theirs=stays"]).await;
    rollout.spec(&json!({"service": {"active": {"labels": {"team": "b"}, "annotations": {"x": null}}}})).await;
    let settled = |service: &Value| service["metadata"]["labels"]["team"] == "b" && service["metadata"]["annotations"]["x"].is_null();
    let service = space.until(Kind::Service, "shop", "has its new settings", settled).await;
    assert_eq!(service["metadata"]["annotations"]["theirs"], "stays");
    rollout.version("2.0.0").await;
    rollout.until_healthy("2.0.0").await;
    let service = space.seen(Kind::Service, "shop").unwrap();
    assert_eq!((&service["spec"]["ports"][0]["nodePort"], &service["metadata"]["annotations"]["theirs"]), (&node_port, &json!("stays")));
    space.end().await;
}
