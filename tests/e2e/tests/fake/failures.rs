//! Versions that never serve, and versions that stop to: what is told, and what is done.

use bluegreen_api::{Color, Phase};
use bluegreen_e2e::{
    Rollout, Seen, Space, merged,
    patience::{self, long_enough},
    shop,
};
use bluegreen_witness::Kind;
use serde_json::{Value, json};

fn quick() -> Value {
    merged(shop(), &json!({"progressDeadline": "4s"}))
}

/// Deploys a candidate that is to be aborted, and returns how that is told.
async fn aborted(space: &Space, rollout: &Rollout<'_>, version: &str) -> Seen {
    aborted_once(space, rollout, version, None).await
}

/// The same by a deadline that is short only once the status has these words: a busy machine may take longer until the operator sees
/// what they say.
async fn aborted_once(space: &Space, rollout: &Rollout<'_>, version: &str, words: Option<&str>) -> Seen {
    rollout.until_healthy("1.0.0").await;
    let pods = rollout.pods(Color::Blue);
    rollout.version(version).await;
    if let Some(words) = words {
        rollout.until(&format!("says {words:?}"), |seen| seen.status.message.contains(words)).await;
        rollout.spec(&json!({"progressDeadline": "4s"})).await;
    }
    let aborted = rollout.until_phase(Phase::Aborted).await;
    assert_eq!((aborted.serves(), aborted.stalled()), ("1.0.0", "Aborted"));
    assert!(!aborted.is_true("Ready") && !aborted.is_true("Promoted"));
    assert_eq!(rollout.pods(Color::Blue), pods, "the live side was never touched");
    rollout.until_size(Color::Green, 0).await;
    let wide = space.kubectl(&["get", "bgr", "shop", "-o", "wide"]).await;
    assert!(wide.contains(&aborted.status.message), "{wide}");
    aborted
}

fn rejected(seen: &Seen) -> (&str, &str) {
    let rejected = seen.status.rejected.as_ref().unwrap();
    (&rejected.reason, &rejected.message)
}

async fn until_event(space: &Space, reason: &str, words: &str) {
    let event = async || {
        let events = space.kubectl(&["get", "events", "--field-selector=involvedObject.kind=BlueGreenRollout", "-o", "json"]).await;
        let events: Value = serde_json::from_str(&events).unwrap();
        let mut events = events["items"].as_array().unwrap().iter();
        events.any(|event| event["reason"] == reason && event["message"].as_str().unwrap().contains(words)).then_some(())
    };
    patience::until(&format!("there is an event {reason} with {words:?}"), event).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_missing_image_is_aborted_with_the_pods_own_reason() {
    let space = Space::new("missing").await;
    let _operator = space.operator();
    // Longer than a busy machine takes until the pod says so, and shorter than the two minutes after which such a pod is hopeless.
    let rollout = space.rollout(&merged(shop(), &json!({"progressDeadline": "1m"}))).await;
    let seen = aborted(&space, &rollout, "2.0.0-missing").await;
    let (reason, message) = rejected(&seen);
    assert_eq!(reason, "ProgressDeadlineExceeded");
    assert!(message.contains("no progress for 1m (progressDeadline): pod shop-green-") && message.contains("container shop"), "{message}");
    assert!(message.contains("ImagePullBackOff: Back-off pulling image \"registry.example/shop:2.0.0-missing\""), "{message}");
    until_event(&space, "Aborted", "ImagePullBackOff").await;
    until_event(&space, "PodTrouble", "registry.example/shop:2.0.0-missing").await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn an_image_name_that_can_never_be_pulled_is_aborted_at_once() {
    let space = Space::new("invalid").await;
    let _operator = space.operator();
    let rollout = space.rollout(&merged(shop(), &json!({"progressDeadline": "1h"}))).await;
    let seen = aborted(&space, &rollout, "2.0.0-invalid").await;
    let (reason, message) = rejected(&seen);
    assert_eq!(reason, "Hopeless");
    assert!(message.contains("InvalidImageName: Failed to apply default image tag"), "{message}");
    until_event(&space, "Aborted", "InvalidImageName").await;
    space.end().await;
}

/// Its pods are ready, and the Service would lead to none of their ports.
#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_renamed_port_is_aborted_and_named() {
    let space = Space::new("renamed").await;
    let _operator = space.operator();
    let rollout = space.rollout(&merged(shop(), &json!({"progressDeadline": "1h"}))).await;
    rollout.until_healthy("1.0.0").await;
    let mark = rollout.mark();
    let containers = json!([{"name": "shop", "ports": [{"name": "web", "containerPort": 8080}]}]);
    rollout.spec(&json!({"image": "registry.example/shop:2.0.0", "template": {"spec": {"containers": containers}}})).await;
    let seen = rollout.until_phase(Phase::Aborted).await;
    let (reason, message) = rejected(&seen);
    assert_eq!((seen.serves(), reason), ("1.0.0", "Hopeless"));
    assert!(message.starts_with("pod shop-green-"), "{message}");
    assert!(message.ends_with(" has no container port named http, which spec.service.ports names as targetPort"), "{message}");
    until_event(&space, "Aborted", "has no container port named http").await;
    let led = space.record.since(mark).into_iter().filter(|event| event.kind == Kind::Service && event.name == "shop");
    for event in led {
        assert_eq!(event.object["spec"]["selector"]["bluegreen.dev/color"], "blue", "the active Service was led elsewhere");
    }
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_crash_loop_is_aborted_before_the_deadline() {
    let space = Space::new("crash").await;
    let _operator = space.operator();
    let rollout = space.rollout(&merged(shop(), &json!({"progressDeadline": "1h"}))).await;
    let seen = aborted(&space, &rollout, "2.0.0-crash").await;
    let (reason, message) = rejected(&seen);
    assert_eq!(reason, "Hopeless");
    assert!(message.contains("CrashLoopBackOff"), "{message}");
    until_event(&space, "Aborted", "CrashLoopBackOff").await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn an_unready_pod_is_aborted_at_the_deadline_once() {
    let space = Space::new("unready").await;
    let _operator = space.operator();
    let rollout = space.rollout(&quick()).await;
    let seen = aborted(&space, &rollout, "2.0.0-unready").await;
    let (reason, message) = rejected(&seen);
    assert_eq!(reason, "ProgressDeadlineExceeded");
    assert!(message.contains("no progress for 4s"), "{message}");
    // The same revision once more is no new try; another one is.
    rollout.spec(&json!({"replicas": 3})).await;
    rollout.until("has three replicas and still rejects", |seen| seen.is(Phase::Aborted) && seen.status.replicas == 3).await;
    assert_eq!(rollout.now().status.attempt, 2);
    rollout.spec(&json!({"image": "registry.example/shop:3.0.0", "progressDeadline": "10m"})).await;
    rollout.until_healthy("3.0.0").await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_slow_candidate_that_makes_progress_is_not_aborted() {
    let space = Space::new("slow").await;
    let _operator = space.operator();
    let rollout = space.rollout(&merged(shop(), &json!({"progressDeadline": "30s"}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0-slow").await;
    rollout.until_healthy("2.0.0-slow").await;
    space.end().await;
}

fn quota(pods: i32) -> Value {
    json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"pods": pods.to_string()}}})
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_quota_in_the_way_is_told_in_the_api_servers_words() {
    let space = Space::new("quota").await;
    let _operator = space.operator();
    let applied = space.ground.told_of(&["apply", "-f", "-", "--namespace", &space.name], &quota(3));
    assert!(applied.success, "{}", applied.error);
    let rollout = space.rollout(&merged(shop(), &json!({"progressDeadline": "1h"}))).await;
    let seen = aborted_once(&space, &rollout, "2.0.0", Some("exceeded quota")).await;
    let (reason, message) = rejected(&seen);
    assert_eq!(reason, "ProgressDeadlineExceeded");
    assert!(message.contains("exceeded quota: few, requested: pods=1"), "{message}");
    // Retried by order, with the quota out of the way.
    let applied = space.ground.told_of(&["apply", "-f", "-", "--namespace", &space.name], &quota(10));
    assert!(applied.success, "{}", applied.error);
    let revision = seen.status.rejected.as_ref().unwrap().revision.clone();
    rollout.spec(&json!({"progressDeadline": "10m"})).await;
    rollout.order("retry", &revision).await;
    rollout.until_healthy("2.0.0").await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_first_version_that_cannot_start_gives_way_to_a_new_spec() {
    let space = Space::new("first").await;
    let _operator = space.operator();
    let rollout = space.rollout(&merged(quick(), &json!({"image": "registry.example/shop:1.0.0-invalid"}))).await;
    let stalled = rollout.until("says that it can't start", |seen| seen.stalled() == "Hopeless").await;
    assert!(stalled.is(Phase::Initializing) && stalled.status.rejected.is_none());
    assert!(stalled.status.message.contains(" can't start: pod shop-blue-"), "{}", stalled.status.message);
    assert!(stalled.status.message.contains("InvalidImageName"), "{}", stalled.status.message);

    rollout.version("1.0.0-unready").await;
    let stalled = rollout.until("made no progress", |seen| seen.stalled() == "ProgressDeadlineExceeded").await;
    assert!(stalled.is(Phase::Initializing), "{stalled:#?}");
    until_event(&space, "ProgressDeadlineExceeded", "made no progress").await;

    rollout.version("1.0.0").await;
    let healthy = rollout.until_healthy("1.0.0").await;
    assert_eq!(healthy.active().color, Color::Blue);
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_first_version_in_trouble_recovers_by_itself() {
    let space = Space::new("recovers").await;
    let _operator = space.operator();
    let rollout = space.rollout(&merged(quick(), &json!({"image": "registry.example/shop:1.0.0-unready"}))).await;
    rollout.until("made no progress", |seen| seen.stalled() == "ProgressDeadlineExceeded").await;
    turn_pods(&space, "1.0.0-unready", true).await;
    rollout.until_healthy("1.0.0-unready").await;
    space.end().await;
}

/// Makes all pods of a version ready, or unready.
pub async fn turn_pods(space: &Space, version: &str, ready: bool) {
    let pods = space.pods(&[]);
    let image = json!(format!("registry.example/shop:{version}"));
    for pod in pods.iter().filter(|pod| pod["spec"]["containers"][0]["image"] == image) {
        let annotation = json!({"metadata": {"annotations": {"test.bluegreen.dev/ready": ready.to_string()}}});
        space.patch(Kind::Pod, pod["metadata"]["name"].as_str().unwrap(), &annotation).await;
    }
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_version_that_dies_is_rolled_back_onto_the_same_pods() {
    let space = Space::new("dies").await;
    let _operator = space.operator();
    let rollout = space.rollout(&merged(shop(), &json!({"monitoring": {"duration": "1h"}}))).await;
    rollout.until_healthy("1.0.0").await;
    let pods = rollout.pods(Color::Blue);
    rollout.version("2.0.0").await;
    rollout.until_phase(Phase::Monitoring).await;
    turn_pods(&space, "2.0.0", false).await;
    let back = rollout.until_phase(Phase::RolledBack).await;
    assert_eq!((back.serves(), back.stalled()), ("1.0.0", "RolledBack"));
    assert_eq!(rejected(&back).0, "LostReadiness");
    assert_eq!(rollout.pods(Color::Blue), pods, "the standby's pods serve again, none was restarted");
    rollout.until_size(Color::Green, 0).await;
    until_event(&space, "RolledBack", " pods are ready").await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_version_that_dies_after_its_monitoring_is_rolled_back() {
    let space = Space::new("dies-late").await;
    let _operator = space.operator();
    let rollout = space.rollout(&merged(shop(), &json!({"scaleDown": {"after": "1h"}}))).await;
    rollout.until_healthy("1.0.0").await;
    let pods = rollout.pods(Color::Blue);
    rollout.version("2.0.0").await;
    let left = rollout.until_phase(Phase::ScalingDown).await;
    let ready = left.status.standby.as_ref().unwrap().ready_when_left;
    assert_eq!(ready, Some(i32::try_from(pods.len()).unwrap()), "all of them were ready when it was left");
    turn_pods(&space, "2.0.0", false).await;
    let back = rollout.until_phase(Phase::RolledBack).await;
    assert_eq!((back.serves(), rejected(&back).0), ("1.0.0", "LostReadiness"));
    assert_eq!(rollout.pods(Color::Blue), pods, "the standby's pods serve again, none was restarted");
    let given_up: Vec<_> = back.status.rejections.iter().map(|rejection| rejection.number).collect();
    assert_eq!(given_up, [2]);
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_deadline_without_full_availability_is_rolled_back() {
    let space = Space::new("half").await;
    let _operator = space.operator();
    let rollout = space.rollout(&merged(shop(), &json!({"monitoring": {"duration": "1h"}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    rollout.until_phase(Phase::Monitoring).await;
    rollout.spec(&json!({"progressDeadline": "4s"})).await;
    let pods = space.pods(&[("bluegreen.dev/color", "green")]);
    let unready = json!({"metadata": {"annotations": {"test.bluegreen.dev/ready": "false"}}});
    space.patch(Kind::Pod, pods[0]["metadata"]["name"].as_str().unwrap(), &unready).await;
    let back = rollout.until_phase(Phase::RolledBack).await;
    assert_eq!((back.serves(), rejected(&back).0), ("1.0.0", "LostReadiness"));
    assert!(rejected(&back).1.contains("pods were available for"), "{}", rejected(&back).1);
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn with_both_sides_broken_the_first_that_recovers_serves() {
    let space = Space::new("both").await;
    let _operator = space.operator();
    let rollout = space.rollout(&merged(shop(), &json!({"monitoring": {"duration": "1h"}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let monitoring = rollout.until_phase(Phase::Monitoring).await;
    turn_pods(&space, "1.0.0", false).await;
    space.until(Kind::Deployment, "shop-blue", "has no ready pod", |blue| blue["status"]["readyReplicas"].is_null()).await;
    turn_pods(&space, "2.0.0", false).await;
    let held = rollout.until("says that both are broken", |seen| seen.stalled() == "BothSidesBroken").await;
    assert!(held.status.message.contains("change spec.image to a fix"), "{}", held.status.message);
    long_enough().await;
    assert_eq!(
        rollout.selector()["bluegreen.dev/revision"],
        json!(monitoring.active().revision),
        "traffic isn't led to where nobody answers"
    );
    turn_pods(&space, "1.0.0", true).await;
    let back = rollout.until_phase(Phase::RolledBack).await;
    assert_eq!(back.serves(), "1.0.0");
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_broken_live_version_never_blocks_shipping_the_fix() {
    let space = Space::new("fix").await;
    let _operator = space.operator();
    let rollout = space.rollout(&shop()).await;
    rollout.until_healthy("1.0.0").await;
    turn_pods(&space, "1.0.0", false).await;
    rollout.until("is degraded", |seen| seen.works() == "Degraded").await;
    rollout.version("1.0.1").await;
    rollout.until_healthy("1.0.1").await;
    space.end().await;
}
