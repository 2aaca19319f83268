//! Bad input.

use crate::world::Ask;
use crate::{scene::reason, world::World};
use bluegreen_engine::decide;
use serde_json::json;
use std::panic::AssertUnwindSafe;

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
