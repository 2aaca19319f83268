//! Templates of gates: watched when they are needed, and then without delay; and what becomes of a rollout when they can't be.

#![allow(clippy::unwrap_used, reason = "a test may")]

use bluegreen_sim::{
    Faults, World,
    resource::{CLUSTER_GATE_TEMPLATE, GATE_TEMPLATE, SERVICE},
    run,
};
use serde_json::{Value, json};
use tokio::time::Instant;

fn slo() -> Value {
    json!({"parameters": [{"name": "path", "default": "/"}], "checks": [{"name": "home", "http": {"path": "{{ parameters.path }}"}}]})
}

fn naming(kind: &str) -> Value {
    json!({"verification": {"templates": [{"kind": kind, "name": "slo"}]}})
}

async fn healthy(world: &World, name: &str, image: &str) {
    let serves = |world: &World| world.phase(name) == "Healthy" && world.reached(name).iter().all(|reached| reached.ends_with(image));
    assert!(world.until(600, serves).await, "{name} doesn't serve {image}\n{}", world.story());
}

/// Requests for templates since then, watches included.
fn asked(world: &World, since: Instant) -> Vec<String> {
    let made = world.seats.iter().flat_map(bluegreen_sim::process::Seat::made).filter(|made| made.at >= since);
    made.map(|made| made.words).filter(|words| words.contains("gatetemplates")).collect()
}

async fn told(world: &World, name: &str, words: &str) {
    let says = |world: &World| world.status(name)["message"].as_str().is_some_and(|message| message.contains(words));
    assert!(world.until(600, says).await, "{name} doesn't tell {words:?}: {}\n{}", world.status(name)["message"], world.story());
}

#[test]
fn templates_are_asked_for_once_a_rollout_names_one() {
    run(1, async |world| {
        let since = Instant::now();
        world.operator("a", Faults::default(), None);
        world.create("shop", &json!({"verification": {"checks": [{"name": "home", "http": {}}]}}));
        healthy(world, "shop", "1.0.0").await;
        world.image("shop", "2.0.0");
        healthy(world, "shop", "2.0.0").await;
        assert_eq!(asked(world, since), [""; 0]);
        world.template(&CLUSTER_GATE_TEMPLATE, "slo", &slo());
        world.create("named", &naming("ClusterGateTemplate"));
        healthy(world, "named", "1.0.0").await;
        world.image("named", "2.0.0");
        healthy(world, "named", "2.0.0").await;
        let asked = asked(world, since);
        assert!(!asked.is_empty() && asked.iter().all(|words| words.contains("clustergatetemplates")), "{asked:?}");
        assert_eq!(world.status("named")["history"][0]["gates"][0]["name"], "verification/slo/home");
        assert_eq!(world.broken(), [""; 0], "{}", world.story());
    });
}

#[test]
fn a_change_of_a_template_is_a_look_at_who_names_it() {
    run(2, async |world| {
        world.operator("a", Faults::default(), None);
        world.create("shop", &naming("GateTemplate"));
        told(world, "shop", "GateTemplate shop/slo doesn't exist: create it, or remove it from spec").await;
        world.template(&GATE_TEMPLATE, "slo", &slo());
        // Not by the look that comes by itself after ten minutes.
        assert!(world.until(60, |world| world.phase("shop") == "Healthy").await, "{}", world.story());
        let mut broken = slo();
        broken["parameters"] = json!([]);
        world.template(&GATE_TEMPLATE, "slo", &broken);
        told(world, "shop", "{{ parameters.path }} is not declared: add path to the parameters of the template").await;
        world.delete(&GATE_TEMPLATE, "slo");
        told(world, "shop", "doesn't exist").await;
        world.image("shop", "2.0.0");
        world.pass(120).await;
        assert_eq!(world.reached("shop"), [bluegreen_sim::world::image("1.0.0")], "nothing is promoted without its gates");
        world.template(&GATE_TEMPLATE, "slo", &slo());
        assert!(world.until(120, |world| world.reached("shop") == [bluegreen_sim::world::image("2.0.0")]).await, "{}", world.story());
        assert_eq!(world.broken(), [""; 0], "{}", world.story());
    });
}

#[test]
fn unwatched_templates_hold_only_who_names_one() {
    for (code, words) in [
        (404, "the API server doesn't know clustergatetemplates: is its CustomResourceDefinition installed?"),
        (403, "the operator needs a ClusterRole to list and watch clustergatetemplates: made up: code 403"),
    ] {
        run(3, async |world| {
            let refused = Faults { refused: Some(("clustergatetemplates", code)), ..Faults::default() };
            world.operator("a", refused, None);
            world.template(&CLUSTER_GATE_TEMPLATE, "slo", &slo());
            world.create("shop", &json!({}));
            world.create("named", &naming("ClusterGateTemplate"));
            told(world, "named", &format!("can't watch ClusterGateTemplates: {words}")).await;
            healthy(world, "shop", "1.0.0").await;
            world.image("shop", "2.0.0");
            healthy(world, "shop", "2.0.0").await;
            assert_eq!(world.reached("named"), [""; 0]);
            world.set_faults(Faults::default());
            healthy(world, "named", "1.0.0").await;
            assert_eq!(world.reached("named").len(), 1, "{}", world.story());
            assert_eq!(world.broken(), [""; 0], "{}", world.story());
        });
    }
}

#[test]
fn without_a_right_to_read_templates_only_repairs_are_made() {
    run(4, async |world| {
        world.operator("a", Faults::default(), None);
        world.template(&GATE_TEMPLATE, "slo", &slo());
        world.create("shop", &naming("GateTemplate"));
        healthy(world, "shop", "1.0.0").await;
        world.set_faults(Faults { refused: Some(("gatetemplates", 403)), ..Faults::default() });
        world.seats[0].kill();
        world.image("shop", "2.0.0");
        told(world, "shop", "the operator needs a Role to list and watch gatetemplates").await;
        world.edit(&SERVICE, "shop", &json!({"spec": {"selector": {"bluegreen.dev/color": "green"}}}));
        world.pass(60).await;
        assert_eq!(world.reached("shop"), [bluegreen_sim::world::image("1.0.0")], "{}", world.story());
        world.set_faults(Faults::default());
        healthy(world, "shop", "2.0.0").await;
        assert_eq!(world.broken(), [""; 0], "{}", world.story());
    });
}
