//! Bad input.

use crate::world::Ask;
use crate::{
    scene::{reason, strip_selector},
    world::World,
};
use bluegreen_api::{Color, Phase};
use bluegreen_engine::decide;
use serde_json::json;
use std::panic::AssertUnwindSafe;

#[test]
fn a_check_of_a_port_that_no_container_names_is_bad_input() {
    for stage in ["verification", "monitoring"] {
        let mut world = World::new(json!({stage: {"checks": [{"name": "home", "http": {"port": "metrics"}}]}}));
        world.settle();
        let why = format!("spec.{stage}.checks home: port \"metrics\" is no port of a container in spec.template (there are http)");
        assert!(world.status.message.starts_with(&format!("spec is invalid: {why}")), "{}", world.status.message);
        assert!(world.is("Stalled") && world.writes == 0, "{}", world.story());
    }
}

#[test]
fn bad_input_touches_nothing_and_the_fix_goes_on() {
    let mut world = World::live(json!({}));
    let writes = world.writes;
    world.change(json!({"image": "shop:2", "container": "web"}));
    world.settle();
    assert_eq!((world.writes, reason(&world).as_str()), (writes, "InvalidSpec"));
    assert!(
        world.status.message.contains("spec.container names web, but the containers in spec.template are: shop"),
        "{}",
        world.status.message
    );
    world.services.get_mut("active").unwrap().selector.clear();
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:1"), "repair goes on");
    world.change(json!({"container": null}));
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:2"));
}

// Found by attack.
#[test]
fn no_template_makes_it_panic() {
    for template in [
        json!(null),
        json!("x"),
        json!([]),
        json!({"spec": []}),
        json!({"spec": {"containers": {}}}),
        json!({"spec": {"containers": [7]}}),
        json!({"spec": {"containers": ["x"]}}),
        json!({"spec": {"containers": [[]]}}),
        json!({"spec": {"containers": [null]}}),
        json!({"spec": {"containers": [{}]}}),
        json!({"metadata": 3, "spec": {"containers": [{"name": 4}]}}),
    ] {
        let world = World::live(json!({}));
        let mut seen = world.seen();
        seen.ask(|spec| spec.template.0 = template.clone());
        assert!(std::panic::catch_unwind(AssertUnwindSafe(|| decide(&seen))).is_ok(), "{template}");
    }
}

// Found by attack.
#[test]
fn no_percentage_makes_it_panic() {
    let mut world = World::live(json!({}));
    world.change(json!({"preview": {"replicas": "9223372036854775807%"}, "image": "shop:2"}));
    assert!(std::panic::catch_unwind(AssertUnwindSafe(|| decide(&world.seen()))).is_ok());
}

/// Of an operator of another version: what it means can only be guessed.
#[test]
fn a_status_with_an_unknown_word_is_held_and_protected() {
    let world = World::in_phase(json!({"monitoring": {"duration": "10m"}}), "shop:2", Phase::Monitoring);
    let status = serde_json::to_value(&world.status).unwrap();
    let words = ["/phase", "/current/phases/0/phase", "/history/0/outcome"];
    for word in words {
        let mut world = world.clone();
        let mut status = status.clone();
        *status.pointer_mut(word).unwrap() = json!("Levitating");
        world.status = serde_json::from_value(status).unwrap();
        let before = (world.records, world.writes);
        world.image("shop:3");
        world.run_for(3000);
        assert_eq!((world.records, world.writes), before, "{word}: {}", world.story());
        strip_selector(&mut world);
        world.deployments.remove(&Color::Blue);
        world.run_for(60);
        assert_eq!((world.serves().as_deref(), world.ready("shop:1")), (Some("shop:2"), 3), "{word}: {}", world.story());
        assert_eq!(world.records, before.0, "{word}: the word stays");
    }
}

/// Parsers that recurse refuse it, and with it all that is around it.
#[test]
fn what_is_nested_too_deep_is_named_and_holds_what_is_new() {
    let deep = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!({"a": [inner]}));
    let mut world = World::live(json!({}));
    world.change(json!({"image": "shop:2", "template": {"spec": {"x": deep(150)}}}));
    world.services.get_mut("active").unwrap().selector.clear();
    world.settle();
    let words = "spec is invalid: spec.template is nested deeper than 40 levels: no field of a pod is";
    assert!(world.status.message.contains(words), "{}", world.status.message);
    assert_eq!(world.serves().as_deref(), Some("shop:1"), "what serves is protected\n{}", world.story());
    world.change(json!({"template": {"spec": {"x": deep(10)}}}));
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:2"), "{}", world.story());
}
