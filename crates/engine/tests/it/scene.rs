//! Settings, gauges and turns of a story that several rooms begin from.

use crate::world::{self, World};
use bluegreen_api::Phase;
use bluegreen_engine::decision::{Object, Role};
use bluegreen_gates::reading::{Outcome, Reading};
use serde_json::{Value, json};

pub fn value(value: f64) -> Outcome {
    Outcome::reading(Reading::Value(value))
}

pub fn metric(extra: Value) -> Value {
    let mut metric = json!({"name": "errors", "prometheus": {"query": "e"}, "max": "1%", "interval": "5s", "count": 3});
    world::merge(&mut metric, extra);
    metric
}

pub fn reason(world: &World) -> String {
    world.condition("Ready").unwrap().1
}

pub fn is_rolled_back_when_its_bake_time_ends_badly(spec: Value) {
    let mut world = World::in_phase(spec, "shop:2", Phase::Monitoring);
    world.run_for(100);
    world.gauge = |_, image, _| value(if image == "shop:2" { 0.5 } else { 0.0 });
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::RolledBack, Some("shop:1")), "{}", world.story());
}

pub fn unready(world: &mut World, image: &str, count: usize) {
    let now = world.now;
    for pod in world.pods.iter_mut().filter(|pod| pod.image == image).take(count) {
        pod.image = format!("{image}-unready");
        pod.ready = false;
        pod.ready_changed = Some(now);
    }
}

pub fn strip_selector(world: &mut World) {
    let service = world.services.get_mut("active").unwrap();
    service.selector.clear();
    service.resource_version += 1_000_000;
}

pub fn a_new_image_ends_a_switch_that_is_refused(mut world: World) {
    world.image("shop:2");
    world.refuse = Some((Object::Service(Role::Active), 422, "spec.ports[0].nodePort: provided port is already allocated".into()));
    world.run_until(Phase::Promoting);
    world.run_for(5);
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Promoting, Some("shop:1")), "{}", world.story());
    world.refuse = None;
    world.image("shop:3");
    world.run_for(1);
    assert_eq!(world.status.preview.as_ref().map(|side| side.image.as_str()), Some("shop:3"), "{}", world.story());
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:3"));
    assert!(!world.log.iter().any(|line| line.contains("users reach shop:2")), "{}", world.story());
}
