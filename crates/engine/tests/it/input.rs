//! Bad input.

use crate::world::Ask;
use crate::{scene::reason, world::World};
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
