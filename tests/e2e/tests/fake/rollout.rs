//! The main job on fake nodes: one version after the other.

use bluegreen_api::{Color, Outcome, Phase};
use bluegreen_e2e::{
    Space, merged,
    patience::{self, long_enough, pause},
    shop,
};
use bluegreen_witness::Kind;
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn the_second_version_takes_over_and_the_first_goes() {
    let space = Space::new("second").await;
    let _operator = space.operator();
    let rollout = space.rollout(&shop()).await;
    let first = rollout.until_healthy("1.0.0").await;
    assert_eq!(first.active().color, Color::Blue);
    assert!(first.is_true("Promoted"));

    rollout.version("2.0.0").await;
    let second = rollout.until_healthy("2.0.0").await;
    assert_eq!((second.active().color, second.active().number), (Color::Green, 2));
    assert!(second.is_true("Promoted") && second.condition("Reconciling").is_none() && second.condition("Stalled").is_none());
    let story = &second.status.history[0];
    assert_eq!((story.outcome, story.image.as_str()), (Some(Outcome::Promoted), "registry.example/shop:2.0.0"));
    assert_eq!((story.from_image.as_str(), story.by.as_str()), ("registry.example/shop:1.0.0", "tester"));
    assert_eq!(rollout.selector()["bluegreen.dev/revision"], json!(second.active().revision));
    rollout.until_size(Color::Blue, 0).await;
    rollout.until_size(Color::Green, 2).await;

    rollout.version("3.0.0").await;
    assert_eq!(rollout.until_healthy("3.0.0").await.active().color, Color::Blue);
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_rollout_costs_few_requests_and_rest_costs_none() {
    let space = Space::new("requests").await;
    let _operator = space.operator();
    let rollout = space.rollout(&shop()).await;
    rollout.until_healthy("1.0.0").await;
    // Its events may still be on their way.
    space.until_quiet().await;

    // Pods that take long to get ready cost more: their events are read, and that they are slow is recorded. Of three rollouts one is
    // to find quick pods.
    let mut all = Vec::new();
    for (version, former) in [("2.0.0", Color::Blue), ("3.0.0", Color::Green), ("4.0.0", Color::Blue)] {
        let mut requests = space.requests();
        rollout.version(version).await;
        rollout.until_healthy(version).await;
        rollout.until_size(former, 0).await;
        space.until_quiet().await;
        let mut counts = BTreeMap::new();
        for request in requests() {
            *counts.entry(format!("{} {} {}", request.verb, request.resource, request.code)).or_insert(0) += 1;
        }
        let total: i32 = counts.values().sum();
        all.push((total, counts));
        if total <= 10 {
            break;
        }
    }
    assert!(all.last().is_some_and(|(total, _)| (1..=10).contains(total)), "requests of each rollout: {all:#?}");

    let mut at_rest = space.requests_at_rest();
    for _ in 0..3 {
        long_enough().await;
    }
    assert_eq!(at_rest(), []);
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn image_and_target_port_change_in_one_write() {
    let space = Space::new("ports").await;
    let _operator = space.operator();
    let rollout = space.rollout(&shop()).await;
    rollout.until_healthy("1.0.0").await;
    let before = space.record.len();
    rollout
        .spec(&json!({"image": "registry.example/shop:2.0.0", "service": {"ports": [{"name": "http", "port": 80, "targetPort": 9090}]}}))
        .await;
    rollout.until_healthy("2.0.0").await;
    let service = space.seen(Kind::Service, "shop").unwrap();
    assert_eq!(service["spec"]["ports"][0]["targetPort"], 9090);
    let writes: Vec<_> =
        space.record.since(before).into_iter().filter(|event| event.kind == Kind::Service && event.name == "shop").collect();
    assert_eq!(writes.len(), 1, "{writes:#?}");
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn back_to_the_active_version_before_the_switch_rejects_nothing() {
    let space = Space::new("revert-before").await;
    let _operator = space.operator();
    let rollout = space.rollout(&merged(shop(), &json!({"promotion": {"mode": "Manual"}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    rollout.until("waits for approval", |seen| seen.works() == "AwaitingApproval").await;
    rollout.version("1.0.0").await;
    let back = rollout.until_healthy("1.0.0").await;
    assert_eq!(back.status.history[0].outcome, Some(Outcome::Reverted));
    assert!(back.status.rejected.is_none());
    rollout.until_size(Color::Green, 0).await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn back_after_the_switch_is_instant_and_rejects_nothing() {
    let space = Space::new("revert-after").await;
    let _operator = space.operator();
    let rollout = space.rollout(&merged(shop(), &json!({"monitoring": {"duration": "1h"}}))).await;
    rollout.until_healthy("1.0.0").await;
    let pods = rollout.pods(Color::Blue);
    rollout.version("2.0.0").await;
    rollout.until_phase(Phase::Monitoring).await;
    rollout.version("1.0.0").await;
    let back = rollout.until_healthy("1.0.0").await;
    assert_eq!((back.active().color, back.status.history[0].outcome), (Color::Blue, Some(Outcome::Reverted)));
    assert!(back.status.rejected.is_none());
    assert_eq!(rollout.pods(Color::Blue), pods, "no pod was restarted");
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_newer_candidate_replaces_one_that_is_not_yet_live() {
    let space = Space::new("superseded").await;
    let _operator = space.operator();
    let rollout = space.rollout(&shop()).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0-slow").await;
    rollout.until_phase(Phase::DeployingPreview).await;
    rollout.version("3.0.0").await;
    let third = rollout.until_healthy("3.0.0").await;
    assert_eq!(third.active().color, Color::Green);
    let outcomes: Vec<_> =
        third.status.history.iter().map(|attempt| (attempt.image.rsplit(':').next().unwrap(), attempt.outcome)).collect();
    assert_eq!(
        outcomes,
        [("3.0.0", Some(Outcome::Promoted)), ("2.0.0-slow", Some(Outcome::Superseded)), ("1.0.0", Some(Outcome::Promoted))]
    );
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_newer_candidate_waits_while_a_live_one_is_watched() {
    let space = Space::new("waits").await;
    let _operator = space.operator();
    let rollout = space.rollout(&merged(shop(), &json!({"monitoring": {"duration": "1h"}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    rollout.until_phase(Phase::Monitoring).await;
    rollout.version("3.0.0").await;
    let watched = rollout.until_phase(Phase::Monitoring).await;
    assert_eq!(watched.serves(), "2.0.0");
    assert!(watched.status.standby.is_some() && watched.status.preview.is_none());
    rollout.spec(&json!({"monitoring": {"duration": "1s"}})).await;
    let third = rollout.until_healthy("3.0.0").await;
    assert_eq!(third.status.history.len(), 3);
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_candidate_that_nobody_approves_in_time_is_aborted() {
    let space = Space::new("unapproved").await;
    let _operator = space.operator();
    let rollout = space.rollout(&merged(shop(), &json!({"promotion": {"mode": "Manual", "timeout": "2s"}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let aborted = rollout.until_phase(Phase::Aborted).await;
    assert_eq!((aborted.serves(), aborted.stalled()), ("1.0.0", "Aborted"));
    assert_eq!(aborted.status.rejected.as_ref().unwrap().reason, "PromotionTimedOut");
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_verified_candidate_waits_for_its_time() {
    let space = Space::new("after").await;
    let _operator = space.operator();
    let rollout = space.rollout(&merged(shop(), &json!({"promotion": {"after": "1h"}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let waits = rollout.until("waits for its time", |seen| seen.works() == "AwaitingPromotion").await;
    assert_eq!(waits.serves(), "1.0.0");
    // Settings are read at each look: an hour that becomes a second is over at once.
    rollout.spec(&json!({"promotion": {"after": "1s"}})).await;
    rollout.until_healthy("2.0.0").await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_paused_rollout_stands_still_until_the_pause_ends() {
    let space = Space::new("paused").await;
    let _operator = space.operator();
    let rollout = space.rollout(&shop()).await;
    rollout.until_healthy("1.0.0").await;
    rollout.spec(&json!({"paused": true, "image": "registry.example/shop:2.0.0"})).await;
    rollout.until("is held by spec.paused", |seen| seen.works() == "Paused").await;
    long_enough().await;
    assert!(rollout.now().is(Phase::Healthy) && rollout.now().status.preview.is_none());
    rollout.spec(&json!({"paused": false})).await;
    rollout.until_healthy("2.0.0").await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_preview_is_small_until_the_switch() {
    let space = Space::new("preview").await;
    let _operator = space.operator();
    let spec = json!({"replicas": 3, "preview": {"replicas": "30%"}, "promotion": {"mode": "Manual"}});
    let rollout = space.rollout(&merged(shop(), &spec)).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let waits = rollout.until("waits for approval", |seen| seen.works() == "AwaitingApproval").await;
    assert_eq!(rollout.deployment(Color::Green)["spec"]["replicas"], 1);
    // The operator may record the wait before it leads the preview there.
    let shown = |preview: &Value| preview["spec"]["selector"]["bluegreen.dev/revision"] == json!(waits.candidate().revision);
    space.until(Kind::Service, "shop-preview", "shows the candidate", shown).await;
    rollout.order("promote", &waits.candidate().revision).await;
    rollout.until_healthy("2.0.0").await;
    rollout.until_size(Color::Green, 3).await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn the_former_side_stays_as_long_as_spec_says() {
    let space = Space::new("never").await;
    let _operator = space.operator();
    let rollout = space.rollout(&merged(shop(), &json!({"scaleDown": {"after": "Never"}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let healthy = rollout.until_healthy("2.0.0").await;
    assert_eq!(healthy.status.standby.as_ref().unwrap().color, Color::Blue);
    long_enough().await;
    assert_eq!(rollout.deployment(Color::Blue)["spec"]["replicas"], 2);
    // The instant way back, though its story is long over.
    rollout.version("1.0.0").await;
    rollout.until_healthy("1.0.0").await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn former_revisions_are_kept_up_to_the_limit() {
    let space = Space::new("history").await;
    let _operator = space.operator();
    let rollout = space.rollout(&merged(shop(), &json!({"revisionHistoryLimit": 2, "scaleDown": {"drain": "0s", "after": "0s"}}))).await;
    for version in ["1.0.0", "2.0.0", "3.0.0", "4.0.0"] {
        rollout.version(version).await;
        rollout.until_healthy(version).await;
    }
    let healthy = rollout.now();
    let kept =
        |space: &Space| space.record.all(Kind::Revision).iter().map(|revision| revision["revision"].as_i64().unwrap()).collect::<Vec<_>>();
    let few = async || Some(kept(&space)).filter(|kept| kept.len() == 2);
    let mut kept = patience::until("two revisions are kept", few).await;
    kept.sort_unstable();
    assert_eq!(kept, [3, 4], "{}", healthy.status.message);
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn one_event_tells_each_step() {
    let space = Space::new("events").await;
    let _operator = space.operator();
    let rollout = space.rollout(&shop()).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    rollout.until_healthy("2.0.0").await;
    let sent = async || {
        let events = space.kubectl(&["get", "events", "--field-selector=involvedObject.kind=BlueGreenRollout", "-o", "json"]).await;
        let events: Value = serde_json::from_str(&events).unwrap();
        let text = |event: &Value| format!("{} {}", event["reason"].as_str().unwrap(), event["message"].as_str().unwrap());
        let mut sent: Vec<_> = events["items"].as_array().unwrap().iter().map(text).collect();
        // On a busy machine a pod may be slow, and an event says so.
        sent.retain(|event| event.contains("2.0.0") && !event.starts_with("PodTrouble "));
        sent.sort();
        sent
    };
    // Nothing waits for an event to be sent.
    patience::until("two events are there", async || (sent().await.len() >= 2).then_some(())).await;
    space.until_quiet().await;
    assert_eq!(
        sent().await,
        [
            "Promoted Revision 2 (registry.example/shop:2.0.0) is live and serves all traffic",
            "RolloutStarted Deploying revision 2 (registry.example/shop:2.0.0), asked for by tester",
        ]
    );
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn of_many_versions_in_a_row_the_last_one_goes_live() {
    let space = Space::new("flips").await;
    let _operator = space.operator();
    let rollout = space.rollout(&merged(shop(), &json!({"revisionHistoryLimit": 3}))).await;
    rollout.until_healthy("1.0.0").await;
    for number in 2..20 {
        rollout.version(&format!("{number}.0.0")).await;
        pause(Duration::from_millis(37 * (number % 5))).await;
    }
    rollout.until_healthy("19.0.0").await;
    // Back and forth between two, faster than any pod.
    for version in ["20.0.0", "19.0.0", "20.0.0", "19.0.0", "20.0.0"] {
        rollout.version(version).await;
    }
    rollout.until_healthy("20.0.0").await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn replicas_may_change_at_any_moment() {
    let space = Space::new("sizes").await;
    let _operator = space.operator();
    let rollout = space.rollout(&merged(shop(), &json!({"monitoring": {"duration": "2s"}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    for replicas in [3, 5, 1, 4, 2, 6, 3] {
        rollout.spec(&json!({"replicas": replicas})).await;
        pause(Duration::from_millis(400)).await;
    }
    rollout.until_healthy("2.0.0").await;
    rollout.until_size(Color::Green, 3).await;
    rollout.until_size(Color::Blue, 0).await;
    space.end().await;
}
