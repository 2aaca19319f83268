//! Objects that the operator can't read, in the lists and watches that it reads everything else from: promise 14.

#![allow(clippy::unwrap_used, reason = "a test may")]

use bluegreen_sim::{
    Faults, World,
    resource::{REVISION, SERVICE},
    run,
};
use serde_json::{Value, json};

async fn healthy(world: &World, name: &str, version: &str) {
    let serves = |world: &World| world.phase(name) == "Healthy" && world.reached(name) == [bluegreen_sim::world::image(version)];
    assert!(world.until(600, serves).await, "{name} doesn't serve {version}: {}\n{}", world.status(name), world.story());
}

async fn told(world: &World, name: &str, words: &str) {
    let says = |world: &World| world.status(name)["message"].as_str().is_some_and(|message| message.contains(words));
    assert!(world.until(600, says).await, "{name} doesn't tell {words:?}: {}\n{}", world.status(name)["message"], world.story());
}

fn nested(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, _| json!({"a": inner}))
}

#[test]
fn an_object_that_cannot_be_read_holds_its_own_rollout_only() {
    run(1, async |world| {
        world.operator("a", Faults::default(), None);
        for name in ["bad", "odd", "shop", "till"] {
            world.create(name, &json!({}));
        }
        for name in ["bad", "odd", "shop", "till"] {
            healthy(world, name, "1.0.0").await;
        }
        let ports = world.get(&SERVICE, "bad").unwrap()["spec"]["ports"].clone();
        world.edit(&SERVICE, "bad", &json!({"spec": {"ports": [{"port": "many"}]}}));
        let revision = world.all(&REVISION).into_iter().find(|it| it["metadata"]["labels"]["bluegreen.dev/rollout"] == "odd").unwrap();
        let revision = revision["metadata"]["name"].as_str().unwrap();
        world.edit(&REVISION, revision, &json!({"revision": "first"}));
        world.create("deep", &json!({"template": {"spec": {"x": nested(150)}}}));
        for version in ["2.0.0", "3.0.0"] {
            for name in ["bad", "odd", "shop", "till"] {
                world.image(name, version);
            }
            told(world, "bad", "the operator can't read Service bad: ").await;
            told(world, "odd", &format!("the operator can't read ControllerRevision {revision}: ")).await;
            told(world, "deep", "spec.template is nested deeper than 40 levels").await;
            for name in ["shop", "till"] {
                healthy(world, name, version).await;
            }
            world.pass(100).await;
            assert_eq!(world.reached("bad"), [bluegreen_sim::world::image("1.0.0")], "{}", world.story());
            // The next one leads, and has never read them.
            world.seats[0].kill();
        }
        world.edit(&SERVICE, "bad", &json!({"spec": {"ports": ports}}));
        world.edit(&REVISION, revision, &json!({"revision": 1}));
        world.spec("deep", &json!({"template": {"spec": {"x": null}}}));
        healthy(world, "bad", "3.0.0").await;
        healthy(world, "odd", "3.0.0").await;
        healthy(world, "deep", "1.0.0").await;
        assert_eq!(world.broken(), [""; 0], "{}", world.story());
    });
}
