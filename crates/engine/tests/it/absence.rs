//! Time in which no operator was there.

use crate::{scene::metric, world::World};
use bluegreen_api::Phase;
use bluegreen_engine::observed::Absence;
use serde_json::json;

/// Nothing is passed or failed for being late before it was looked at.
#[test]
fn an_absence_decides_nothing_before_a_look() {
    let mut world = World::live(
        json!({"progressDeadline": "5m", "monitoring": {"duration": "10m"}, "verification": {"timeout": "10m", "metrics": [metric(json!({"interval": "1m", "count": 4}))]}}),
    );
    let away = |world: &mut World| {
        let from = world.now;
        world.pass_time(7200);
        world.absence = Some(Absence { from: Some(from), to: world.now });
        world.restart();
        world.operator();
    };
    world.image("shop:2-slow");
    world.run_for(20);
    assert_eq!(world.phase(), Phase::DeployingPreview);
    away(&mut world);
    assert!(world.phase() > Phase::DeployingPreview && world.phase() <= Phase::Verifying, "{}", world.story());
    world.run_for(61);
    away(&mut world);
    assert_eq!(world.phase(), Phase::Verifying, "the verification timeout was not looked at: {}", world.story());
    world.run_until(Phase::Monitoring);
    away(&mut world);
    assert_eq!(world.phase(), Phase::Monitoring, "nobody watched: no bake time");
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Healthy, Some("shop:2-slow")));
}

// Found by attack.
#[test]
fn time_is_never_taken_out_twice() {
    let mut world = World::live(json!({"monitoring": {"duration": "1m"}}));
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    world.change(json!({"paused": true}));
    world.run_for(100_000);
    world.change(json!({"paused": false}));
    world.run_for(5);
    // The Lease was lost: nobody knows since when nobody looked.
    world.absence = Some(Absence { from: None, to: world.now });
    world.restart();
    world.run_for(3600);
    assert_ne!(world.phase(), Phase::Monitoring, "{}", world.story());
}
