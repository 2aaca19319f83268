//! An operator beside a CustomResourceDefinition of another version.

#![allow(clippy::unwrap_used, reason = "a test may")]

use bluegreen_sim::{Faults, World, run};
use serde_json::json;

fn serves(world: &World, version: &str) -> bool {
    world.phase("shop") == "Healthy" && world.reached("shop") == [format!("registry.example/shop:{version}")]
}

/// What was sent is believed, and not sent again and again.
#[test]
fn a_field_that_an_older_definition_drops_is_not_sent_for_ever() {
    run(1, async |world| {
        // One that is worked out at every look, and one that is not.
        world.drop_from_status(&["selector", "previous"]);
        world.operator("a", Faults::default(), None);
        world.create("shop", &json!({}));
        for version in ["1.0.0", "2.0.0", "3.0.0"] {
            world.image("shop", version);
            assert!(world.until(300, |world| serves(world, version)).await, "{version} doesn't serve\n{}", world.story());
            assert!(world.until_quiet(1000).await, "{}", world.story());
        }
        assert_eq!(world.broken(), Vec::<String>::new(), "{}", world.story());
    });
}
