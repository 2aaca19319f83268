//! Clocks that are put back: whatever they show, what must last its time does, and all ends where it would have ended.

use bluegreen_sim::{Faults, World, run};
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

async fn serves(world: &World, version: &str) {
    let serves = |world: &World| world.phase("shop") == "Healthy" && world.reached("shop") == [format!("registry.example/shop:{version}")];
    assert!(world.until(300 + world.put_back(), serves).await, "{version} doesn't serve\n{}", world.story());
}

/// A new version is watched and the former side drained, 30 s each: in the middle of this phase the clocks are put back.
async fn put_back_in(world: &mut World, phase: &str, seconds: i64) {
    world.operator("a", Faults::default(), None);
    world.create("shop", &json!({"monitoring": {"duration": "30s"}, "scaleDown": {"drain": "20s", "after": "10s"}}));
    serves(world, "1.0.0").await;
    world.image("shop", "2.0.0");
    assert!(world.until(300, |world| world.phase("shop") == phase).await, "{phase} doesn't come\n{}", world.story());
    let began = Instant::now();
    world.pass(10).await;
    world.jump(-seconds);
    // So that it is looked at by the new time.
    world.spec("shop", &json!({"progressDeadline": "5m"}));
    let ends = world.until(300 + world.put_back(), |world| world.phase("shop") != phase).await;
    assert!(ends, "{phase} doesn't end\n{}", world.story());
    // It may have been noticed a second late that the phase had begun.
    assert!(began.elapsed() >= Duration::from_secs(29), "{phase} is cut short\n{}", world.story());
    serves(world, "2.0.0").await;
    assert!(world.until_quiet(1000).await, "{}", world.story());
    assert_eq!(world.broken(), [""; 0], "{}", world.story());
}

#[test]
fn a_clock_put_back_cuts_neither_monitoring_nor_drain_short() {
    for phase in ["Monitoring", "ScalingDown"] {
        for seconds in [5, 3600] {
            run(1, async |world| put_back_in(world, phase, seconds).await);
        }
    }
}
