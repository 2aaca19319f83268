//! What is told in another order than it happened.

#![allow(clippy::unwrap_used, reason = "a test may")]

use bluegreen_sim::{Faults, World, resource::DEPLOYMENT, run};
use serde_json::json;

async fn healthy(world: &World) {
    let serves = |world: &World| world.phase("shop") == "Healthy" && !world.reached("shop").is_empty();
    assert!(world.until(300, serves).await, "{}", world.story());
}

/// The owners go before the operator hears that the rollout does: taken back, everything would be deleted with it.
#[test]
fn what_outlives_its_rollout_stays_though_the_operator_hears_of_the_deletion_last() {
    run(7, async |world| {
        world.operator("a", Faults { slow: Some("bluegreenrollouts"), ..Faults::default() }, None);
        world.create("shop", &json!({}));
        healthy(world).await;
        let before = world.get(&DEPLOYMENT, "shop-blue").unwrap()["metadata"]["uid"].clone();
        world.orphan("shop").await;
        world.pass(60).await;
        let after = world.get(&DEPLOYMENT, "shop-blue").map(|deployment| deployment["metadata"]["uid"].clone());
        assert_eq!(after, Some(before), "{}", world.story());
        assert_eq!(world.broken(), Vec::<String>::new(), "{}", world.story());
    });
}
