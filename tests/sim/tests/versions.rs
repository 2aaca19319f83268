//! An operator beside a CustomResourceDefinition of another version.

#![allow(clippy::unwrap_used, reason = "a test may")]

use bluegreen_sim::{Faults, World, resource::EVENT, run};
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

/// The status can't say so, since nothing is recorded over it.
#[test]
fn a_status_of_another_version_is_told_once_and_kept() {
    run(2, async |world| {
        world.operator("a", Faults::default(), None);
        world.create("shop", &json!({}));
        assert!(world.until(300, |world| serves(world, "1.0.0")).await, "{}", world.story());
        world.write_status("shop", &json!({"phase": "Levitating"}));
        world.image("shop", "2.0.0");
        assert!(world.until_quiet(1000).await, "{}", world.story());
        assert_eq!(world.phase("shop"), "Levitating");
        let told: Vec<_> = world.all(&EVENT).into_iter().filter(|event| event["reason"] == "OtherVersion").collect();
        let words = "status.phase has a word of another version of the operator: on hold until that version leads again, or is installed";
        assert_eq!(told.iter().map(|event| event["note"].as_str()).collect::<Vec<_>>(), [Some(words)], "{}", world.story());
        world.write_status("shop", &json!({"phase": "Healthy"}));
        assert!(world.until(300, |world| serves(world, "2.0.0")).await, "{}", world.story());
    });
}
