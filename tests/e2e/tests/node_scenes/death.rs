//! All live pods die while the former side stands by in full.

use crate::{
    manifest, pods,
    tally::{Tally, covered},
    until_monitored, until_rolled_back,
};
use bluegreen_api::{Color, Phase};
use bluegreen_e2e::{
    Space,
    patience::pause,
    traffic::{crash, operator},
};
use bluegreen_witness::Kind;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;

/// When the active Service was led back, as its watch showed it.
fn written(space: &Space, mark: usize) -> Timestamp {
    let leads_back = |service: &Value| service["spec"]["selector"]["bluegreen.dev/color"] == Color::Blue.as_str();
    let events = space.record.since(mark);
    events.iter().find(|event| event.kind == Kind::Service && event.name == "shop" && leads_back(&event.object)).unwrap().seen
}

#[tokio::test]
#[ignore = "needs a cluster with a real node: cargo xtask prove night --part scenes"]
async fn pods_that_all_die_in_scaling_down_are_rolled_back() {
    let space = Space::new("death").await;
    let _operator = operator(&space);
    let (rollout, watched, users) = until_monitored(&space, &manifest(&json!({"replicas": 3}))).await;
    rollout.order("accept", &watched.active().revision).await;
    rollout.until_phase(Phase::ScalingDown).await;
    // Longer than the drain: from then on the standby is there only because its time isn't over.
    pause(Duration::from_secs(4)).await;
    let (standby, live) = (pods(&space, Color::Blue), pods(&space, Color::Green));
    assert_eq!((standby.len(), live.len()), (3, 3));

    let mark = rollout.mark();
    let killed = Timestamp::now();
    crash(&space, &rollout, Color::Green).await;
    let back = until_rolled_back(&space, &rollout, &users, &standby).await;
    let ended = back.status.history.first().unwrap();
    assert_eq!(ended.reason, "LostReadiness", "{}", ended.message);
    let counted = users.end().await;
    // Each of the pods that users could reach was killed.
    let died = |uid: &str| {
        let events = space.record.since(mark);
        events.iter().any(|event| {
            let container = &event.object["status"]["containerStatuses"][0];
            let of_it = event.kind == Kind::Pod && event.object["metadata"]["uid"] == uid;
            of_it && (container["restartCount"].as_i64().unwrap_or_default() > 0 || !container["state"]["terminated"].is_null())
        })
    };
    assert!(live.iter().all(|(_, uid, _)| died(uid)), "not all of {live:?} died");
    let in_hand = Tally::of(&counted, killed, "1.0.0").assert_no_other_failed(&counted, written(&space, mark));
    println!("{in_hand:?}; by kind: {:?}", counted.summary.failures);
    covered("all pods of the live side killed in ScalingDown", &counted, in_hand.before_the_write + in_hand.after_it);
    space.end().await;
}
