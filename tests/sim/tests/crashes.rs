//! The operator dies after each of its writes in turn: everything ends as it would have ended without.

#![allow(clippy::unwrap_used, reason = "a test may")]

use bluegreen_sim::{
    Faults, World,
    resource::{DEPLOYMENT, ROLLOUT, SERVICE},
    run,
};
use serde_json::{Value, json};

/// Good and bad versions, an approval, a change in the middle of another, a death after the switch, a revert.
async fn story(world: &mut World, dies_after: Option<u64>) -> Vec<Value> {
    world.operator("a", Faults::default(), dies_after);
    let mut ends = vec![];
    world.create("shop", &json!({"progressDeadline": "1m", "monitoring": {"duration": "20s"}, "scaleDown": {"after": "10s"}}));
    ends.push(end(world).await);
    world.image("shop", "2.0.0");
    ends.push(end(world).await);
    world.image("shop", "3.0.0-invalid");
    ends.push(end(world).await);
    world.image("shop", "4.0.0-slow");
    world.pass(5).await;
    world.image("shop", "5.0.0");
    ends.push(end(world).await);
    world.spec("shop", &json!({"image": "registry.example/shop:6.0.0", "monitoring": {"duration": "1h"}}));
    assert!(world.until(300, |world| world.phase("shop") == "Monitoring").await, "{}", world.story());
    world.readiness("shop", "6.0.0", false);
    ends.push(end(world).await);
    world.spec("shop", &json!({"image": "registry.example/shop:7.0.0", "monitoring": {"duration": "1s"}, "replicas": 3}));
    ends.push(end(world).await);
    assert!(world.until_quiet(1500).await, "{}", world.story());
    assert_eq!(world.broken(), Vec::<String>::new(), "{}", world.story());
    ends
}

/// How things stand when nothing is under way: what is served, from where, at which size, and how each attempt ended.
async fn end(world: &World) -> Value {
    let settled = |world: &World| {
        let observed = world.get(&ROLLOUT, "shop").unwrap()["metadata"]["generation"] == world.status("shop")["observedGeneration"];
        observed && ["Healthy", "Aborted", "RolledBack"].contains(&world.phase("shop").as_str())
    };
    world.pass(1).await;
    assert!(world.until(600, settled).await, "{}", world.story());
    // One that has just begun anew, and pods that end, get this long.
    world.pass(40).await;
    assert!(world.until(60, settled).await, "{}", world.story());
    let status = world.status("shop");
    let outcomes: Vec<Value> =
        status["history"].as_array().unwrap().iter().map(|attempt| json!([attempt["revision"], attempt["outcome"]])).collect();
    let sizes =
        ["shop-blue", "shop-green"].map(|name| world.get(&DEPLOYMENT, name).map(|deployment| deployment["spec"]["replicas"].clone()));
    let selectors = ["shop", "shop-preview"].map(|name| world.get(&SERVICE, name).unwrap()["spec"]["selector"].clone());
    json!({
        "phase": status["phase"], "active": status["active"]["revision"], "rejected": status["rejected"]["revision"], "outcomes": outcomes,
        "reached": world.reached("shop"), "sizes": sizes, "selectors": selectors,
    })
}

#[test]
fn an_operator_that_dies_after_any_write_ends_where_it_would_have_ended() {
    let (ends, writes) = run(1, async |world| (story(world, None).await, world.seats[0].writes()));
    assert!(writes > 40, "only {writes} writes");
    for k in 1..=writes {
        run(1, async |world| {
            let with_a_crash = story(world, Some(k)).await;
            assert!(world.seats[0].lives() == 2, "it didn't die after write {k}");
            assert_eq!(with_a_crash, ends, "after a crash at write {k}\n{}", world.story());
        });
    }
    println!("{writes} crashes, each of which ended alike");
}
