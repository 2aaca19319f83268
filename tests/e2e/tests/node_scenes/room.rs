//! An autoscaler doubles the live side on a node that has no room for so many pods, and then there is a reason to go back.

use crate::{cluster, manifest, moment, pods, tally::assert_none_failed, until_led_to, until_monitored, until_rolled_back};
use bluegreen_api::{Color, Phase};
use bluegreen_e2e::{
    Rollout, Seen, Space, merged,
    traffic::{addresses, control, operator},
};
use bluegreen_witness::Kind;
use futures::future::join_all;
use serde_json::{Value, json};

/// Each side has so many pods, until the autoscaler doubles the live one.
const SIZE: i32 = 4;
const DOUBLED: i32 = 2 * SIZE;
/// The node has room for both sides, and for one pod more: fewer than three quarters of the doubled size.
const ROOM: i64 = 9;

/// How much CPU a pod asks for, so that [`ROOM`] of them fill the node.
fn cpu(space: &Space) -> String {
    let allocatable = space.ground.run(&["get", "nodes", "-o", "jsonpath={.items[0].status.allocatable.cpu}"]);
    let millis: i64 = match allocatable.strip_suffix('m') {
        Some(millis) => millis.parse().unwrap(),
        None => allocatable.parse::<i64>().unwrap() * 1000,
    };
    let each = millis / ROOM;
    assert!(millis / each == ROOM, "a node of {millis} m can't be filled by {ROOM} pods");
    format!("{each}m")
}

fn full_node(space: &Space) -> Value {
    let mut manifest = manifest(&json!({"replicas": SIZE}));
    manifest["spec"]["template"]["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": cpu(space)}});
    manifest
}

/// A HorizontalPodAutoscaler that never wants fewer pods: it needs no metrics for that. Waits until the live side is short of them.
async fn double(space: &Space, rollout: &Rollout<'_>) -> Seen {
    let [least, most] = [format!("--min={DOUBLED}"), format!("--max={DOUBLED}")];
    space.kubectl(&["autoscale", "bgr", "shop", &least, &most, "--cpu=80%"]).await;
    let short = |seen: &Seen| {
        let message = &seen.status.message;
        message.starts_with("Monitoring revision 2 (registry.example/shop:2.0.0) ")
            && message.contains("; fewer than 6 of 8 pods are available: pod shop-green-")
            && message.contains(": Unschedulable: ")
    };
    let seen = rollout.until("the live side is short for want of room", short).await;
    assert_eq!((seen.phase(), seen.serves(), seen.active().replicas), (Some(Phase::Monitoring), "2.0.0", DOUBLED));
    let object = space.seen(Kind::Rollout, "shop").unwrap();
    let scaled = |entry: &Value| entry["subresource"] == "scale" && entry["manager"] == "kube-controller-manager";
    assert!(object["metadata"]["managedFields"].as_array().unwrap().iter().any(scaled), "the autoscaler writes the scale");
    moment().await;
    seen
}

/// Traffic went back to the pods that stood by: their side was made larger only afterwards.
async fn until_back(space: &Space, rollout: &Rollout<'_>, mark: usize) {
    let blue = |object: &Value| object["spec"]["selector"]["bluegreen.dev/color"] == Color::Blue.as_str();
    until_led_to(space, Color::Blue).await;
    let name = rollout.deployment_name(Color::Blue);
    for event in space.record.since(mark) {
        match event.kind {
            Kind::Service if event.name == "shop" && blue(&event.object) => return,
            Kind::Deployment if event.name == name => {
                assert_eq!(event.object["spec"]["replicas"], SIZE, "the standby takes room that the live side lacks");
            }
            _ => {}
        }
    }
}

#[tokio::test]
#[ignore = "needs a cluster with a real node: cargo xtask prove night --part scenes"]
async fn a_doubled_size_without_room_holds_back_no_order() {
    let space = Space::new("room-order").await;
    let _operator = operator(&space);
    let (rollout, watched, users) = until_monitored(&space, &full_node(&space)).await;
    let (mark, standby) = (rollout.mark(), pods(&space, Color::Blue));
    double(&space, &rollout).await;
    rollout.order("rollback", &watched.active().revision).await;
    until_back(&space, &rollout, mark).await;
    until_rolled_back(&space, &rollout, &users, &standby).await;
    rollout.until("has all pods, now that there is room", |seen| seen.status.replicas == DOUBLED).await;
    assert_none_failed("an autoscaler without room, and an order", &users.end().await);
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster with a real node: cargo xtask prove night --part scenes"]
async fn a_doubled_size_without_room_holds_back_no_verdict() {
    let space = Space::new("room-metric").await;
    let _operator = operator(&space);
    let of = |what: &str| {
        format!(r#"sum(rate(http_request_duration_seconds_{what}{{namespace="{{{{ namespace }}}}",pod=~"{{{{ pods }}}}"}}[3s]))"#)
    };
    let query = format!("{} / {}", of("sum"), of("count"));
    let metric = json!({"name": "latency", "max": "0.1", "interval": "1s", "failureLimit": 3, "prometheus": {"query": query}});
    let more = json!({
        "monitoring": {"metrics": [metric]},
        "sources": {"prometheus": {"address": cluster().prometheus().unwrap()}},
    });
    let (rollout, watched, users) = until_monitored(&space, &merged(full_node(&space), &more)).await;
    let (mark, standby) = (rollout.mark(), pods(&space, Color::Blue));
    double(&space, &rollout).await;
    // Users wait longer, and are served.
    assert_eq!(watched.active().color, Color::Green);
    join_all(addresses(&space, Color::Green).iter().map(|address| control(address, "latency=200ms"))).await;
    until_back(&space, &rollout, mark).await;
    let back = until_rolled_back(&space, &rollout, &users, &standby).await;
    let ended = back.status.history.first().unwrap();
    assert_eq!(ended.reason, "MetricFailed", "{}", ended.message);
    rollout.until("has all pods, now that there is room", |seen| seen.status.replicas == DOUBLED).await;
    assert_none_failed("an autoscaler without room, and a bad metric", &users.end().await);
    space.end().await;
}
