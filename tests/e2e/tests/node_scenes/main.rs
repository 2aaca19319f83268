//! Scenes of operations on a real node, with users who open a new connection for each request: room that runs out, pods that all die, a
//! label that is denied, an upgrade. `cargo xtask prove night --part scenes` runs them, one after the other.
//!
//! A request may fail only if a pod that was killed had it in hand. [`Tally`] says how that is known.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod death;
mod denied;
mod room;
mod tally;
mod upgrade;

use bluegreen_api::{Color, Phase};
use bluegreen_cluster::Cluster;
use bluegreen_e2e::{
    Rollout, Seen, Space,
    manifest::probed,
    merged,
    patience::{pause, text},
    shop,
    traffic::{Connections, Load},
};
use bluegreen_witness::Kind;
use serde_json::{Value, json};
use std::time::Duration;

/// Requests a second.
const RATE: u32 = 200;

/// A rollout whose former side stays until a person decides.
fn manifest(spec: &Value) -> Value {
    let common = json!({
        "template": probed(),
        "monitoring": {"duration": "1h"},
        "scaleDown": {"drain": text(Duration::from_secs(3)), "after": "1h", "afterAbort": "1s"},
    });
    merged(merged(shop(), &common), spec)
}

fn cluster() -> Cluster {
    Cluster::attach(&std::env::var("BLUEGREEN_CLUSTER").unwrap()).unwrap()
}

/// Users come to 1.0.0, and then 2.0.0 serves them and is monitored, beside a full standby.
async fn until_monitored<'s>(space: &'s Space, manifest: &Value) -> (Rollout<'s>, Seen, Load) {
    let rollout = space.rollout(manifest).await;
    rollout.until_healthy("1.0.0").await;
    let users = Load::on(space, "shop", RATE, Connections::New).await;
    moment().await;
    rollout.version("2.0.0").await;
    let watched = rollout.until("2.0.0 is monitored", |seen| seen.is(Phase::Monitoring) && seen.serves() == "2.0.0").await;
    assert_eq!(space.pods(&of(Color::Blue)).len(), usize::try_from(watched.active().replicas).unwrap(), "the standby is full");
    let _ = users.until_served_by("2.0.0").await;
    (rollout, watched, users)
}

/// Traffic is back on the pods that stood by, none of which was restarted, and users reach them.
async fn until_rolled_back(space: &Space, rollout: &Rollout<'_>, users: &Load, standby: &[Pod]) -> Seen {
    let back = rollout.until_phase(Phase::RolledBack).await;
    assert_eq!((back.serves(), back.active().color), ("1.0.0", Color::Blue));
    let _ = users.until_served_by("1.0.0").await;
    moment().await;
    let now = pods(space, Color::Blue);
    let gone: Vec<_> = standby.iter().filter(|pod| !now.contains(pod)).collect();
    assert!(gone.is_empty(), "pods of the standby are gone or were restarted: {gone:?}, of {now:?}");
    back
}

/// In which some hundred requests are sent.
async fn moment() {
    pause(Duration::from_secs(2)).await;
}

const fn of(color: Color) -> [(&'static str, &'static str); 1] {
    [("bluegreen.dev/color", color.as_str())]
}

/// A pod's name and uid, with the restarts of its container.
type Pod = (String, String, i64);

fn pods(space: &Space, color: Color) -> Vec<Pod> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let restarts = |pod: &Value| pod["status"]["containerStatuses"][0]["restartCount"].as_i64().unwrap_or_default();
    let pod = |pod: &Value| (text(&pod["metadata"]["name"]), text(&pod["metadata"]["uid"]), restarts(pod));
    space.pods(&of(color)).iter().map(pod).collect()
}

/// Waits until the active Service selects a color.
async fn until_led_to(space: &Space, color: Color) -> Value {
    let what = format!("leads to {color}");
    space.until(Kind::Service, "shop", &what, |shop| shop["spec"]["selector"]["bluegreen.dev/color"] == color.as_str()).await
}
