//! Every wait says what it waits for and when it looks again: all of them in one place, to be read.
//! `INSTA_UPDATE=always cargo test -p bluegreen-engine --test it` writes them anew.

use crate::world::{self, World};
use bluegreen_api::{Phase, Waiting};
use bluegreen_engine::{
    Decision, Effect, Observed, decide,
    decision::{Change, Object, Role},
    observed::*,
};
use bluegreen_gates::reading::{CheckOutcome, Outcome, Reading};
use insta::assert_snapshot;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::fmt::Write;

/// What is told of what is seen, and when it is looked at again.
fn told(mut seen: Observed) -> String {
    for _ in 0..8 {
        match decide(&seen) {
            Decision::Record(status) => {
                seen.status = *status;
                seen.results.clear();
            }
            Decision::Act(effects) => {
                // What takes back an armed switch is done, and then told.
                if let [Effect { change: Change::Fence { object: Object::Service(role), epoch }, .. }] = effects.as_slice() {
                    seen.services.get_mut(role).unwrap().epoch.clone_from(epoch);
                    continue;
                }
                let effects: Vec<_> = effects.iter().map(|effect| effect.why).collect();
                return format!("{}: writes first, for {}", phase(&seen), effects.join(", and "));
            }
            Decision::Wait { until, why } => {
                let again =
                    until.map_or("nothing but news wakes it".into(), |until| match until.as_millisecond() - seen.now.as_millisecond() {
                        millis if millis % 1000 == 0 => format!("looks again in {} s", millis / 1000),
                        millis => format!("looks again in {millis} ms"),
                    });
                let conditions = seen.status.conditions.iter().filter(|condition| condition.type_ != "Promoted");
                let conditions: Vec<_> =
                    conditions.map(|it| format!("{}{} {}", if it.status == "True" { "" } else { "not " }, it.type_, it.reason)).collect();
                let end = match &seen.status.waiting {
                    None => "nothing is waited for".to_owned(),
                    Some(Waiting { until: None, .. }) => "no fixed end".to_owned(),
                    Some(Waiting { until: Some(until), .. }) => format!("ends at {until}"),
                };
                return format!("{}: {}; {again}; {end}\n    {why}", phase(&seen), conditions.join(", "));
            }
        }
    }
    panic!("no end of records");
}

fn phase(seen: &Observed) -> String {
    seen.status.phase.map_or("nothing is recorded".into(), |phase| phase.to_string())
}

/// So many milliseconds later, with nothing else changed.
fn later(seen: &Observed, millis: i64) -> Observed {
    let now = Timestamp::from_millisecond(seen.now.as_millisecond() + millis).unwrap();
    Observed { now, ..seen.clone() }
}

#[derive(Default)]
struct Waits(String);

impl Waits {
    fn add(&mut self, what: &str, seen: Observed) {
        writeln!(self.0, "{what}\n  {}", told(seen)).unwrap();
    }

    /// In the last moment of a wait, and when it is over.
    fn around(&mut self, what: &str, seen: &Observed, seconds: i64) {
        self.add(&format!("{what}, in the last moment of {seconds} s"), later(seen, seconds * 1000 - 1));
        self.add(&format!("{what}, after {seconds} s"), later(seen, seconds * 1000));
    }
}

fn metric(extra: Value) -> Value {
    let mut metric = json!({"name": "errors", "prometheus": {"query": "e"}, "max": "1%", "interval": "5s", "count": 3});
    world::merge(&mut metric, extra);
    metric
}

fn no_data(_: &str, _: &str, _: Timestamp) -> Outcome {
    Outcome::reading(Reading::NoData)
}

fn bad(_: &str, _: &str, _: Timestamp) -> Outcome {
    Outcome::reading(Reading::Value(1.0))
}

fn silent(_: &str, _: &str, _: Timestamp) -> Outcome {
    Outcome::Check(CheckOutcome::NotDone(String::new()))
}

fn unready(world: &mut World, image: &str, count: usize) {
    for pod in world.pods.iter_mut().filter(|pod| pod.image == image).take(count) {
        (pod.image, pod.ready) = (format!("{image}-unready"), false);
    }
    world.controllers();
    world.operator();
}

#[test]
fn waits_of_the_first_revision() {
    let mut waits = Waits::default();
    let mut world = World::new(json!({"image": "shop:1-unready"}));
    world.run_for(1);
    waits.add("its pods start", world.seen());
    waits.around("its pods don't get ready", &world.seen(), 599);
    let mut world = World::new(json!({"image": "shop:1-missing"}));
    world.run_for(1);
    waits.add("its image can't be pulled", world.seen());
    waits.around("its image can't be pulled", &world.seen(), 119);
    let mut world = World::new(json!({"replicas": 0, "image": "shop:1"}));
    world.run_for(10);
    waits.add("it is to have no pods", world.seen());
    let mut world = World::new(json!({"paused": true}));
    world.run_for(1);
    waits.add("it is paused before anything is there", world.seen());
    let mut world = World::new(json!({"container": "web"}));
    world.run_for(1);
    waits.add("spec is invalid", world.seen());

    let gated =
        json!({"verification": {"initial": true, "checks": [{"name": "home", "http": {"path": "/"}}], "metrics": [metric(json!({}))]}});
    let mut world = World::new(gated.clone());
    world.run_for(1);
    waits.add("its pods start, and gates come then", world.seen());
    world.gauge = silent;
    world.run_for(8);
    waits.add("its gates run", world.seen());
    let mut short = world.clone();
    unready(&mut short, "shop:1", 1);
    waits.add("a pod is lost while its gates run", short.seen());
    world.change(json!({"paused": true}));
    world.operator();
    waits.add("it is paused while its gates run", world.seen());
    let mut world = World::new(gated.clone());
    world.gauge = bad;
    world.run_for(8);
    waits.add("a gate failed", world.seen());
    let mut short = world.clone();
    unready(&mut short, "shop:1", 1);
    waits.add("a gate failed, and a pod is lost", short.seen());
    world.gauge = silent;
    world.order("retry");
    world.operator();
    waits.add("a gate failed, and runs again by order", world.seen());
    let mut world = World::new(json!({"verification": {"initial": true, "metrics": [metric(json!({}))]}}));
    world.gauge = no_data;
    world.run_for(100);
    waits.add("a gate can't be judged", world.seen());
    let mut world = World::new(json!({}));
    world.run_for(1);
    world.services.get_mut("active").unwrap().owner = Owner::Foreign { who: "Helm".into(), adopt: false };
    world.run_for(10);
    waits.add("the active Service is somebody else's", world.seen());
    let mut world = World::new(json!({}));
    world.run_for(1);
    world.refuse = Some((Object::Service(Role::Active), 500, "no".into()));
    world.services.get_mut("active").unwrap().selector.clear();
    world.run_for(10);
    waits.add("the active Service can't be written", world.seen());
    assert_snapshot!(waits.0);
}

#[test]
fn waits_of_a_candidate() {
    let mut waits = Waits::default();
    let seen = World::in_phase(json!({}), "shop:2-unready", Phase::DeployingPreview).seen();
    waits.add("its pods start", seen.clone());
    let mut world = World::in_phase(json!({"progressDeadline": "90s"}), "shop:2-unready", Phase::DeployingPreview);
    world.run_for(1);
    waits.around("its pods don't get ready", &world.seen(), 89);
    let mut world = World::in_phase(json!({}), "shop:2-missing", Phase::DeployingPreview);
    world.run_for(1);
    waits.add("its image can't be pulled", world.seen());
    waits.around("its image can't be pulled", &world.seen(), 119);

    let verified = json!({"verification": {"timeout": "5m", "onFailure": "Pause", "checks": [{"name": "home", "http": {"path": "/"}}]}});
    let mut world = World::live(verified.clone());
    world.gauge = silent;
    world.image("shop:2");
    world.run_until(Phase::Verifying);
    waits.add("its gates run", world.seen());
    waits.around("its gates run and have no result", &world.seen(), 300);
    let mut without = world.clone();
    unready(&mut without, "shop:2", 3);
    waits.add("its gates run, and no pod of it is ready", without.seen());
    world.gauge = |_, _, _| Outcome::Check(CheckOutcome::NotDone("connection refused".into()));
    world.run_for(20);
    waits.around("its gates can't be asked", &world.seen(), 280);
    let mut world = World::live(verified);
    world.gauge = bad;
    world.image("shop:2");
    world.run_for(20);
    waits.add("a check failed, and it is held", world.seen());
    let mut world = World::live(json!({"verification": {"onFailure": "Pause", "metrics": [metric(json!({}))]}}));
    world.gauge = bad;
    world.image("shop:2");
    world.run_for(20);
    waits.add("a metric failed, and it is held", world.seen());
    let mut world = World::live(json!({"verification": {"metrics": [metric(json!({}))]}}));
    world.gauge = no_data;
    world.image("shop:2");
    world.run_for(100);
    waits.add("a metric can't be judged", world.seen());

    let seen = World::in_phase(json!({"promotion": {"mode": "Manual", "timeout": "10m"}}), "shop:2", Phase::AwaitingPromotion).seen();
    waits.add("it waits for approval", seen.clone());
    waits.around("it waits for approval", &seen, 600);
    let seen = World::in_phase(json!({"promotion": {"after": "1m", "timeout": "10m"}}), "shop:2", Phase::AwaitingPromotion).seen();
    waits.add("it waits for its time", seen.clone());
    waits.around("it waits for its time", &seen, 60);
    let mut world = World::in_phase(json!({"promotion": {"mode": "Manual"}}), "shop:2", Phase::AwaitingPromotion);
    world.order("pause");
    world.operator();
    waits.add("it is paused by order", world.seen());
    world.change(json!({"paused": true}));
    world.operator();
    waits.add("it is paused by spec as well", world.seen());
    let mut world =
        World::in_phase(json!({"promotion": {"mode": "Manual"}, "preview": {"replicas": 1}}), "shop:2", Phase::AwaitingPromotion);
    world.pods.iter_mut().for_each(|pod| pod.image = format!("{}-unready", pod.image));
    for deployment in world.deployments.values_mut() {
        deployment.image.push_str("-unready");
    }
    world.order("promote");
    world.run_for(1);
    waits.add("it is brought to full size", world.seen());
    assert_snapshot!(waits.0);
}

#[test]
fn waits_of_the_switch_and_of_what_comes_after_it() {
    let mut waits = Waits::default();
    let mut world = World::live_unarmed(json!({}));
    world.slices_follow = false;
    world.image("shop:2");
    world.run_until(Phase::Promoting);
    world.operator();
    let mut seen = world.seen();
    waits.add("endpoints are to follow", seen.clone());
    waits.around("endpoints don't follow", &seen, 30);
    seen.endpoints.changed = None;
    waits.add("endpoints never followed", later(&seen, 30_000));
    unready(&mut world, "shop:2", 1);
    waits.add("a pod of the new side is lost", world.seen());
    waits.around("a pod of the new side is lost", &world.seen(), 600);

    let mut world = World::in_phase(json!({"monitoring": {"duration": "10m"}, "progressDeadline": "2m"}), "shop:2", Phase::Monitoring);
    waits.add("the new side is watched", world.seen());
    waits.around("the new side is watched", &world.seen(), 600);
    unready(&mut world, "shop:2", 1);
    waits.add("the new side is not fully available", world.seen());
    waits.around("the new side is not fully available", &world.seen(), 120);
    for (on_failure, gauge, what) in
        [("Pause", bad as fn(&str, &str, Timestamp) -> Outcome, "a metric failed"), ("RollBack", no_data, "a metric has no readings")]
    {
        let spec = json!({"monitoring": {"duration": "2m", "onFailure": on_failure, "metrics": [metric(json!({}))]}});
        let mut world = World::live_unarmed(spec);
        world.gauge = gauge;
        world.image("shop:2");
        world.run_until(Phase::Monitoring);
        world.run_for(60);
        waits.add(what, world.seen());
        world.run_for(100);
        waits.add(&format!("{what}, and the time is over"), world.seen());
    }
    let mut world =
        World::live_unarmed(json!({"monitoring": {"duration": "2m", "onFailure": "Pause", "checks": [{"name": "home", "http": {}}]}}));
    world.gauge = bad;
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    world.run_for(10);
    waits.add("a check failed after the switch", world.seen());
    assert_snapshot!(waits.0);
}

#[test]
fn waits_of_the_former_side() {
    let mut waits = Waits::default();
    let mut world = World::in_phase(json!({"scaleDown": {"drain": "20s", "after": "40s"}}), "shop:2", Phase::ScalingDown);
    waits.add("it is drained and stands by", world.seen());
    waits.around("it stands by", &world.seen(), 60);
    let mut seen = world.seen();
    seen.endpoints.pods.push(EndpointSeen { pod: seen.blue.pods[0].name.clone(), ready: true });
    waits.around("users still reach it", &seen, 60);
    world.change(json!({"paused": true}));
    world.operator();
    waits.add("it stands by while paused", world.seen());
    let mut world = World::in_phase(json!({"scaleDown": {"drain": "20s", "after": "40s"}}), "shop:2", Phase::ScalingDown);
    world.image("shop:3");
    world.operator();
    waits.add("the next revision is here", world.seen());
    waits.around("the next revision is here", &world.seen(), 20);
    let mut world = World::in_phase(json!({"scaleDown": {"drain": "20s", "after": "Never"}}), "shop:2", Phase::ScalingDown);
    waits.add("it stays", world.seen());
    waits.around("it stays", &world.seen(), 20);
    unready(&mut world, "shop:2", 1);
    waits.add("it stays, and the new side has lost a pod", world.seen());
    let mut world = World::in_phase(json!({"scaleDown": {"drain": "20s", "after": "40s"}}), "shop:2", Phase::ScalingDown);
    unready(&mut world, "shop:2", 1);
    world.run_for(30);
    waits.add("the new side is short of pods", world.seen());
    waits.around("the new side is short of pods", &world.seen(), 570);
    world.image("shop:3");
    world.operator();
    waits.add("the new side is short of pods, and the next revision is here", world.seen());
    let mut world = World::in_phase(json!({"scaleDown": {"after": "Never"}}), "shop:2", Phase::Healthy);
    unready(&mut world, "shop:2", 3);
    waits.add("it stays for good, and the new side has no pod left", world.seen());
    assert_snapshot!(waits.0);
}

#[test]
fn waits_of_the_ways_back() {
    let mut waits = Waits::default();
    let manual = json!({"promotion": {"mode": "Manual"}});
    let mut world = World::in_phase(manual.clone(), "shop:2", Phase::AwaitingPromotion);
    world.order("abort");
    world.operator();
    waits.add("a candidate is aborted", world.seen());
    waits.around("a candidate is aborted", &world.seen(), 30);
    world.image("shop:3");
    world.operator();
    waits.add("a candidate is aborted, and the next is here", world.seen());
    let mut world = World::in_phase(manual, "shop:2", Phase::AwaitingPromotion);
    world.order("abort");
    world.settle();
    waits.add("it was aborted", world.seen());

    let monitored = json!({"monitoring": {"duration": "1h"}, "progressDeadline": "2m"});
    let mut world = World::in_phase(monitored.clone(), "shop:2", Phase::Monitoring);
    unready(&mut world, "shop:1", 2);
    let ready = world.clone();
    let rolling_back = |world: &World| {
        let mut world = world.clone();
        world.gauge = bad;
        world.change(json!({"monitoring": {"metrics": [metric(json!({}))]}}));
        world.run_until(Phase::RollingBack);
        world.operator();
        world
    };
    let mut world = rolling_back(&ready);
    waits.add("the former side is short of pods", world.seen());
    waits.around("the former side is short of pods", &world.seen(), 120);
    unready(&mut world, "shop:1", 1);
    waits.add("the former side has no pod left", world.seen());
    let mut hopeless = world.seen();
    hopeless.blue.progress.as_mut().unwrap().high_water = 0;
    hopeless.blue.pods.iter_mut().for_each(|pod| pod.restarts = 5);
    waits.add("the former side crashes again and again", hopeless);
    unready(&mut world, "shop:2", 3);
    waits.add("both sides have no pod left", world.seen());
    waits.around("both sides have no pod left", &world.seen(), 120);
    let mut world = World::in_phase(monitored.clone(), "shop:2", Phase::Monitoring);
    world.slices_follow = false;
    let mut world = rolling_back(&world);
    waits.add("endpoints are to follow", world.seen());
    waits.around("endpoints don't follow", &world.seen(), 30);
    world.slices_follow = true;
    world.controllers();
    world.operator();
    waits.add("the side that was left is drained", world.seen());
    waits.around("the side that was left is drained", &world.seen(), 10);
    world.settle();
    waits.add("it was rolled back", world.seen());
    let mut world = World::live(json!({}));
    world.image("shop:2");
    world.settle();
    world.order("rollback");
    world.operator();
    waits.add("the former side is deployed again", world.seen());
    assert_snapshot!(waits.0);
}

#[test]
fn waits_at_rest() {
    let mut waits = Waits::default();
    let mut world = World::live(json!({"replicas": 8}));
    waits.add("all is well", world.seen());
    for lost in 1..4 {
        unready(&mut world, "shop:1", 1);
        waits.add(&format!("{lost} of 8 pods are lost"), world.seen());
    }
    let mut world = World::live(json!({}));
    world.order("rollback");
    world.operator();
    waits.add("a rollback that leads nowhere", world.seen());
    let mut world = World::live(json!({}));
    world.change(json!({"image": "shop:2", "paused": true}));
    world.operator();
    waits.add("a new image while paused", world.seen());
    let mut world = World::live(json!({}));
    world.change(json!({"image": "shop:2", "replicas": 0}));
    world.operator();
    waits.add("a new image, and no pods", world.seen());
    let seen = World::live(json!({})).seen();
    let edited = |edit: fn(&mut Observed)| {
        let mut seen = seen.clone();
        edit(&mut seen);
        seen
    };
    fn service(seen: &mut Observed, role: Role) -> &mut ServiceSeen {
        seen.services.get_mut(&role).unwrap()
    }
    fn deployment(seen: &mut ColorSeen) -> &mut DeploymentSeen {
        let Some(deployment) = &mut seen.deployment else { panic!() };
        deployment
    }
    waits.add("the active Service is being deleted", edited(|seen| service(seen, Role::Active).deleting = true));
    waits.add("the active Service is of a rollout that is gone", edited(|seen| service(seen, Role::Active).owner = Owner::Former));
    waits.add("the preview Service is being deleted", edited(|seen| service(seen, Role::Preview).deleting = true));
    waits.add("the Deployment is being deleted", edited(|seen| deployment(&mut seen.blue).deleting = true));
    waits.add("the Deployment is of a rollout that is gone", edited(|seen| deployment(&mut seen.blue).owner = Owner::Former));
    waits.add(
        "the preview Service is somebody else's",
        edited(|seen| service(seen, Role::Preview).owner = Owner::Foreign { who: "Helm".into(), adopt: false }),
    );
    waits.add(
        "the Deployment is somebody else's",
        edited(|seen| deployment(&mut seen.blue).owner = Owner::Foreign { who: "Helm".into(), adopt: false }),
    );
    assert_snapshot!(waits.0);
}
