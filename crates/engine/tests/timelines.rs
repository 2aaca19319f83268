//! Golden timelines: one story each, to be read. `INSTA_UPDATE=always cargo test -p bluegreen-engine` writes them anew.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod world;

use bluegreen_api::Phase;
use bluegreen_engine::observed::{Outcome, Reading};
use insta::assert_snapshot;
use serde_json::json;
use world::World;

fn live(spec: serde_json::Value) -> World {
    let mut world = World::new(spec);
    world.settle();
    assert_eq!(world.phase(), Phase::Healthy, "{}", world.story());
    world
}

fn from_here(world: &mut World) {
    world.log.clear();
}

fn bad_image(gate: &str, image: &str, _: jiff::Timestamp) -> Outcome {
    let bad = image.contains("bad") && !gate.contains("other");
    Outcome::Reading(Reading::Value(if bad { 0.2 } else { 0.001 }))
}

#[test]
fn the_first_revision_serves_as_its_pods_get_ready() {
    assert_snapshot!(live(json!({})).story());
}

#[test]
fn a_new_image_without_gates_is_promoted_and_the_old_side_goes() {
    let mut world = live(json!({}));
    from_here(&mut world);
    let (writes, records) = (world.writes, world.records);
    world.image("shop:2");
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:2"));
    assert_eq!((world.records - records, world.writes - writes), (4, 5), "budget: 4 records, 1 revision, 2 Deployments, 2 Services");
    assert_snapshot!(world.story());
}

fn gated() -> serde_json::Value {
    json!({
        "verification": {
            "checks": [{"name": "home", "http": {"path": "/"}}],
            "metrics": [{"name": "errors", "prometheus": {"query": "e"}, "max": "1%", "interval": "5s", "count": 3}],
        },
        "promotion": {"mode": "Manual"},
        "monitoring": {"duration": "1m", "metrics": [{"name": "errors", "prometheus": {"query": "rate(e[10s])"}, "max": "1%", "interval": "5s"}]},
    })
}

#[test]
fn every_gate_is_passed_then_approved_then_watched() {
    let mut world = live(gated());
    from_here(&mut world);
    world.image("shop:2");
    world.run_for(60);
    assert_eq!(world.phase(), Phase::AwaitingPromotion);
    world.order("promote");
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:2"));
    assert_snapshot!(world.story());
}

#[test]
fn a_bad_metric_aborts_before_the_switch() {
    let mut world = live(gated());
    from_here(&mut world);
    world.gauge = bad_image;
    world.change(json!({"image": "shop:2-bad", "verification": {"checks": null}}));
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Aborted, Some("shop:1")));
    assert_snapshot!(world.story());
}

#[test]
fn a_version_that_goes_bad_after_the_switch_is_rolled_back() {
    let mut world = live(json!({"monitoring": gated()["monitoring"]}));
    from_here(&mut world);
    world.gauge = bad_image;
    world.image("shop:2-bad");
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::RolledBack, Some("shop:1")));
    assert_snapshot!(world.story());
}

#[test]
fn pods_that_all_die_after_the_switch_bring_the_standby_back() {
    let mut world = live(json!({"monitoring": {"duration": "1m"}}));
    from_here(&mut world);
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    world.kill_pods("shop:2");
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::RolledBack, Some("shop:1")));
    assert_snapshot!(world.story());
}

#[test]
fn an_image_that_does_not_exist_is_aborted_with_the_pods_own_words() {
    let mut world = live(json!({}));
    from_here(&mut world);
    world.image("shop:2-missing");
    world.settle();
    assert_eq!(world.phase(), Phase::Aborted);
    assert_snapshot!(world.story());
}

#[test]
fn a_revert_before_the_switch_gives_the_candidate_up_and_rejects_nothing() {
    let mut world = live(json!({"promotion": {"mode": "Manual"}}));
    from_here(&mut world);
    world.image("shop:2");
    world.run_for(20);
    world.image("shop:1");
    world.settle();
    assert_eq!((world.phase(), world.status.rejected.is_none()), (Phase::Healthy, true));
    assert_snapshot!(world.story());
}

#[test]
fn a_revert_after_the_switch_goes_back_at_once() {
    let mut world = live(json!({"monitoring": {"duration": "10m"}}));
    from_here(&mut world);
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    world.image("shop:1");
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Healthy, Some("shop:1")));
    assert!(world.status.rejected.is_none());
    assert_snapshot!(world.story());
}

#[test]
fn rollback_with_the_standby_gone_deploys_the_former_revision_again() {
    let mut world = live(json!({}));
    world.image("shop:2");
    world.settle();
    from_here(&mut world);
    world.order("rollback");
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::RolledBack, Some("shop:1")));
    assert_snapshot!(world.story());
}
