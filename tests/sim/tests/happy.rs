//! What happens when nothing goes wrong.

#![allow(clippy::unwrap_used, reason = "a test may")]

use bluegreen_sim::{Faults, World, run};
use serde_json::json;

async fn healthy(world: &World, version: &str) {
    let serves = |world: &World| world.phase("shop") == "Healthy" && world.reached("shop") == [format!("registry.example/shop:{version}")];
    assert!(world.until(300, serves).await, "{version} doesn't serve\n{}", world.story());
}

#[test]
fn a_new_image_is_promoted_and_then_nobody_asks_for_anything() {
    run(1, async |world| {
        world.operator("a", Faults::default(), None);
        world.create("shop", &json!({}));
        healthy(world, "1.0.0").await;
        world.image("shop", "2.0.0");
        healthy(world, "2.0.0").await;
        assert!(world.until_quiet(1000).await, "{}", world.story());
        assert_eq!(world.broken(), Vec::<String>::new(), "{}", world.story());
        if std::env::var("TELL").is_ok() {
            println!("{}", world.story());
        }
    });
}
