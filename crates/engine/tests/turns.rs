//! What turns a phase and what doesn't, one fact at a time.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod world;

use bluegreen_api::{BlueGreenRolloutStatus, Color, GateState, Outcome as Ended, Phase};
use bluegreen_engine::{
    Decision, Observed, decide,
    decision::{Change, Object, Role},
    observed::*,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use world::World;

type Edit = fn(&mut Observed);

/// The status that is recorded next, or that which stands.
fn next(seen: &Observed, edit: Edit) -> BlueGreenRolloutStatus {
    let mut seen = seen.clone();
    edit(&mut seen);
    match decide(&seen) {
        Decision::Record(status) => *status,
        Decision::Act(_) | Decision::Wait { .. } => seen.status,
    }
}

fn phase(seen: &Observed, edit: Edit) -> Phase {
    next(seen, edit).phase.unwrap()
}

fn metric(extra: Value) -> Value {
    let mut metric = json!({"name": "errors", "prometheus": {"query": "e"}, "max": "1%", "interval": "5s", "count": 3});
    world::merge(&mut metric, extra);
    metric
}

fn deployment(color: &mut ColorSeen) -> &mut DeploymentSeen {
    let ObjectSeen::There(deployment) = &mut color.deployment else { panic!() };
    deployment
}

fn refuse(seen: &mut Observed, object: Object, generation: i64) {
    seen.refusals = vec![Refusal { object, code: 403, message: "denied".into(), at: seen.now, times: 1, generation }];
}

fn later(seen: &mut Observed, seconds: i64) {
    seen.now = Timestamp::from_second(seen.now.as_second() + seconds).unwrap();
}

// === the switch is seen ===

#[test]
fn the_switch_is_over_when_endpoints_hold_every_ready_pod_of_the_new_side_and_no_ready_pod_of_another() {
    let mut world = World::live(json!({"monitoring": {"duration": "1h"}}));
    world.slices_follow = false;
    world.image("shop:2");
    world.run_until(Phase::Promoting);
    world.operator();
    let mut seen = world.seen();
    seen.endpoints.pods = seen.green.pods.iter().map(|pod| EndpointSeen { pod: pod.name.clone(), ready: true }).collect();
    fn former(seen: &Observed, ready: bool) -> EndpointSeen {
        EndpointSeen { pod: seen.blue.pods[0].name.clone(), ready }
    }
    let over = |edit: Edit| phase(&seen, edit) == Phase::Monitoring;
    assert!(over(|_| {}));
    assert!(!over(|seen| drop(seen.endpoints.pods.pop())), "one of the new side is not in yet");
    assert!(!over(|seen| seen.endpoints.pods[0].ready = false), "one of them is not ready there");
    assert!(!over(|seen| seen.endpoints.pods.push(former(seen, true))), "one of the former side is in still");
    assert!(over(|seen| seen.endpoints.pods.push(former(seen, false))), "it takes no new connections");
    assert!(!over(|seen| seen.endpoints.pods.clear()), "nobody is in");
    fn on_its_way_out(seen: &mut Observed) {
        seen.green.pods.push(PodSeen { name: "surplus".into(), deleting: true, ..seen.green.pods[0].clone() });
    }
    assert!(over(on_its_way_out), "a pod that goes is waited for no more");
    fn not_ready(seen: &mut Observed) {
        seen.green.pods.push(PodSeen { name: "surplus".into(), ready: false, ..seen.green.pods[0].clone() });
    }
    assert!(over(not_ready), "nor is one that isn't ready");
    fn of_another_revision(seen: &mut Observed) {
        seen.green.pods.push(PodSeen { name: "old".into(), revision: "old".into(), ..seen.green.pods[0].clone() });
        seen.endpoints.pods.push(EndpointSeen { pod: "old".into(), ready: true });
    }
    assert!(!over(of_another_revision), "a pod of an earlier template in the same color");
    assert!(!over(|seen| seen.green.pods.iter_mut().for_each(|pod| pod.revision = "old".into())));
}

// === what withdraws the switch ===

#[test]
fn a_switch_under_way_is_withdrawn_when_the_new_side_is_lost_and_only_then() {
    let mut world = World::live(json!({"progressDeadline": "1m", "monitoring": {"duration": "1h"}}));
    world.slices_follow = false;
    world.image("shop:2");
    world.run_until(Phase::Promoting);
    world.operator();
    let seen = world.seen();
    fn lose(seen: &mut Observed, count: usize) {
        seen.green.pods.iter_mut().take(count).for_each(|pod| pod.ready = false);
        let deployment = deployment(&mut seen.green);
        deployment.available -= i32::try_from(count).unwrap();
        deployment.ready = deployment.available;
        seen.green.progress.as_mut().unwrap().short_since = Some(seen.now);
    }
    let outcome = |edit: Edit| {
        // Past the fence.
        let mut seen = seen.clone();
        edit(&mut seen);
        let ObjectSeen::There(service) = &mut seen.active_service else { panic!() };
        service.epoch = format!("{}.{}", seen.status.epoch + 1, seen.term);
        let status = next(&seen, |_| {});
        (status.phase.unwrap(), status.ending.map(|ending| (ending.outcome, ending.reason)))
    };
    let back = |reason: &str| (Phase::RollingBack, Some((Ended::RolledBack, reason.to_owned())));
    assert_eq!(outcome(|seen| lose(seen, 3)), back("LostReadiness"));
    assert_eq!(outcome(|seen| lose(seen, 2)), (Phase::Promoting, None));
    fn short_for(seen: &mut Observed, seconds: i64) {
        lose(seen, 1);
        later(seen, seconds);
    }
    assert_eq!(outcome(|seen| short_for(seen, 59)), (Phase::Promoting, None));
    assert_eq!(outcome(|seen| short_for(seen, 60)), back("LostReadiness"));
    fn short_of_late(seen: &mut Observed) {
        short_for(seen, 100);
        seen.green.progress.as_mut().unwrap().short_since = Some(Timestamp::from_second(seen.now.as_second() - 30).unwrap());
    }
    assert_eq!(outcome(short_of_late), (Phase::Promoting, None), "the phase is old, and the trouble is not");
    fn of_another_revision(seen: &mut Observed) {
        short_for(seen, 60);
        seen.green.progress.as_mut().unwrap().revision = "other".into();
    }
    assert_eq!(outcome(of_another_revision), (Phase::Promoting, None), "it was another that was short");
    fn back_again(seen: &mut Observed) {
        let there = seen.green.clone();
        short_for(seen, 60);
        (seen.green.pods, seen.green.deployment) = (there.pods, there.deployment);
    }
    assert_eq!(outcome(back_again), (Phase::Promoting, None), "all are there again");
    fn no_pods(seen: &mut Observed) {
        lose(seen, 3);
        seen.spec.replicas = 0;
    }
    assert_eq!(outcome(no_pods), (Phase::Promoting, None), "none are asked for");
    assert_eq!(
        outcome(|seen| seen.spec.image = Some("shop:1".into())),
        (Phase::RollingBack, Some((Ended::Reverted, "Reverted".to_owned())))
    );
    let mut ordered = seen.clone();
    let revision = seen.status.preview.as_ref().unwrap().revision.clone();
    ordered.annotations.insert("bluegreen.dev/abort".into(), revision);
    let ObjectSeen::There(service) = &mut ordered.active_service else { panic!() };
    service.epoch = "1.1".into();
    let status = next(&ordered, |_| {});
    let ending = status.ending.unwrap();
    assert_eq!((ending.outcome, ending.reason.as_str(), ending.ordered), (Ended::RolledBack, "Ordered", true));
}

// === monitoring ===

#[test]
fn a_side_that_is_to_have_no_pods_is_not_given_up_for_having_none() {
    let world = World::in_phase(json!({"monitoring": {"duration": "1h"}}), "shop:2", Phase::Monitoring);
    let seen = world.seen();
    fn gone(seen: &mut Observed) {
        seen.green.pods.iter_mut().for_each(|pod| pod.ready = false);
    }
    assert_eq!(phase(&seen, gone), Phase::RollingBack);
    fn to_zero(seen: &mut Observed) {
        gone(seen);
        seen.spec.replicas = 0;
    }
    assert_eq!(phase(&seen, to_zero), Phase::Monitoring);
    fn from_zero(seen: &mut Observed) {
        gone(seen);
        seen.status.active.as_mut().unwrap().replicas = 0;
        deployment(&mut seen.green).replicas = 0;
    }
    assert_eq!(phase(&seen, from_zero), Phase::Monitoring);
}

#[test]
fn monitoring_ends_when_every_metric_has_covered_its_time_and_every_check_has_passed() {
    let spec = json!({"monitoring": {"duration": "1m", "checks": [{"name": "home", "http": {}}], "metrics": [metric(json!({"initialDelay": "0s"}))]}});
    let mut world = World::live(spec);
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    world.run_for(50);
    assert_eq!(world.phase(), Phase::Monitoring);
    let mut seen = world.seen();
    seen.results.clear();
    later(&mut seen, 10);
    fn gate<'a>(seen: &'a mut Observed, name: &str) -> &'a mut bluegreen_api::Gate {
        seen.status.gates.iter_mut().find(|gate| gate.name == name).unwrap()
    }
    fn covered(seen: &mut Observed, millis: i64) {
        gate(seen, "monitoring/errors").measured.as_mut().unwrap().covered_millis = millis;
    }
    let over = |edit: Edit| phase(&seen, edit) == Phase::ScalingDown;
    assert!(over(|seen| covered(seen, 60_000)));
    assert!(!over(|seen| covered(seen, 59_999)), "it covers less than the time");
    fn nothing_good(seen: &mut Observed) {
        covered(seen, 60_000);
        gate(seen, "monitoring/errors").measured.as_mut().unwrap().good = 0;
    }
    assert!(!over(nothing_good), "nothing good was read");
    fn bad_at_the_end(seen: &mut Observed) {
        covered(seen, 60_000);
        gate(seen, "monitoring/errors").measured.as_mut().unwrap().bad_in_row = 1;
    }
    assert!(!over(bad_at_the_end), "what is bad now may yet be a failure");
    fn unchecked(seen: &mut Observed) {
        covered(seen, 60_000);
        gate(seen, "monitoring/home").state = GateState::Running;
    }
    assert!(!over(unchecked), "a check is not done");
    fn short(seen: &mut Observed) {
        covered(seen, 60_000);
        deployment(&mut seen.green).available -= 1;
    }
    assert!(!over(short), "a pod is missing");
    fn early(seen: &mut Observed) {
        covered(seen, 60_000);
        later(seen, -1);
    }
    assert!(!over(early), "the time is not over");
}

// === a candidate ===

#[test]
fn a_candidate_whose_own_objects_are_refused_is_not_given_up_for_its_pods() {
    let mut world = World::in_phase(json!({"progressDeadline": "1m"}), "shop:2-unready", Phase::DeployingPreview);
    world.run_for(10);
    let mut seen = world.seen();
    seen.status.preview.as_mut().unwrap().replicas = 4;
    later(&mut seen, 60);
    const GREEN: Object = Object::Deployment(Color::Green);
    assert_eq!(phase(&seen, |_| {}), Phase::Aborting);
    assert_eq!(phase(&seen, |seen| refuse(seen, GREEN, seen.generation)), Phase::DeployingPreview);
    assert_eq!(phase(&seen, |seen| refuse(seen, GREEN, seen.generation - 1)), Phase::Aborting, "that was another spec");
    assert_eq!(
        phase(&seen, |seen| refuse(seen, Object::Deployment(Color::Blue), seen.generation)),
        Phase::Aborting,
        "that is the live one"
    );
    assert_eq!(phase(&seen, |seen| refuse(seen, Object::Service(Role::Preview), seen.generation)), Phase::Aborting);
    fn revision(seen: &mut Observed) {
        let hash = seen.status.preview.as_ref().unwrap().revision.clone();
        seen.revisions.iter_mut().find(|revision| revision.hash == hash).unwrap().owner = Owner::Orphan;
        refuse(seen, Object::Revision(hash), seen.generation);
    }
    assert_eq!(phase(&seen, revision), Phase::DeployingPreview);
    let status = next(&seen, revision);
    assert!(status.message.starts_with("The API server refused ControllerRevision shop-"), "{}", status.message);
}

#[test]
fn results_of_another_time_count_for_nothing() {
    let mut world = World::live(json!({"verification": {"checks": [{"name": "home", "http": {}}]}, "promotion": {"mode": "Manual"}}));
    world.gauge = |_, _, _| Outcome::Check(CheckOutcome::NotDone("no answer".into()));
    world.image("shop:2");
    world.run_until(Phase::Verifying);
    world.run_for(10);
    let mut seen = world.seen();
    let gate = seen.status.gates[0].clone();
    seen.results = vec![Measurement {
        gate: gate.name,
        definition: gate.definition,
        attempt: seen.status.attempt,
        revision: seen.status.preview.as_ref().unwrap().revision.clone(),
        at: gate.since,
        outcome: Outcome::Check(CheckOutcome::Passed("ok".into())),
    }];
    let passed = |edit: Edit| phase(&seen, edit) == Phase::AwaitingPromotion;
    assert!(passed(|_| {}));
    assert!(!passed(|seen| seen.results[0].gate = "verification/other".into()));
    assert!(!passed(|seen| seen.results[0].definition = "old".into()));
    assert!(!passed(|seen| seen.results[0].attempt -= 1));
    assert!(!passed(|seen| seen.results[0].revision = "other".into()));
    assert!(!passed(|seen| seen.results[0].at = Timestamp::from_second(seen.results[0].at.as_second() - 1).unwrap()));
}

// === the ways back ===

/// Revision 2 serves, and revision 1 was scaled down long ago.
fn promoted(spec: Value) -> World {
    let mut world = World::live(spec);
    world.image("shop:2");
    world.settle();
    world
}

#[test]
fn a_former_revision_is_deployed_again_where_nobody_is_served_and_at_the_size_of_today() {
    let mut world = promoted(json!({"replicas": 5}));
    world.change(json!({"replicas": 2}));
    world.settle();
    world.order("rollback");
    let seen = world.seen();
    let standby = |edit: Edit| next(&seen, edit).standby.map(|side| (side.color, side.replicas, side.number));
    assert_eq!(standby(|_| {}), Some((Color::Blue, 2, 1)));
    assert_eq!(standby(|seen| seen.status.previous.as_mut().unwrap().color = Color::Green), Some((Color::Blue, 2, 1)));
    fn forgotten(seen: &mut Observed) {
        seen.revisions.retain(|revision| revision.number != 1);
    }
    assert_eq!(standby(forgotten), Some((Color::Blue, 2, 1)), "its Deployment is still there");
    fn gone(seen: &mut Observed) {
        forgotten(seen);
        deployment(&mut seen.blue).revision = "other".into();
    }
    assert_eq!(standby(gone), None, "nobody knows what it was");
    assert_eq!(standby(|seen| seen.status.previous = seen.status.active.clone()), None, "it is the live one");
    assert_eq!(standby(|seen| seen.status.previous = None), None);
}

#[test]
fn a_candidate_that_somebody_edited_is_switched_to_only_after_it_was_written_again() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    world.image("shop:2");
    world.run_until(Phase::AwaitingPromotion);
    world.run_for(5);
    world.order("promote");
    let seen = world.seen();
    assert_eq!(next(&seen, |_| {}).phase, Some(Phase::Promoting));
    // Its pods are there in full, of a template that passed nothing.
    let edited = |seen: &mut Observed| {
        let green = deployment(&mut seen.green);
        (green.generation, green.observed_generation) = (green.generation + 1, green.observed_generation + 1);
    };
    let waits = next(&seen, edited);
    assert_eq!(waits.phase, Some(Phase::ScalingUp));
    // That is no fault of its pods, however long it lasts.
    let mut much_later = Observed { status: waits, ..seen.clone() };
    edited(&mut much_later);
    later(&mut much_later, 3600);
    much_later.status.clock.as_mut().unwrap().accounted_until = Some(much_later.now);
    assert_eq!(next(&much_later, |_| {}).phase, Some(Phase::ScalingUp));
    // Nor is it where the edit comes after the decision.
    let mut promoting = seen.clone();
    promoting.status = next(&seen, |_| {});
    let switches = |seen: &Observed| match decide(seen) {
        Decision::Act(effects) => effects.iter().any(|effect| effect.object() == Object::Service(Role::Active)),
        _ => false,
    };
    assert!(switches(&promoting));
    edited(&mut promoting);
    assert!(!switches(&promoting));
    let told = next(&promoting, |seen| seen.refusals.clear()).message;
    assert!(told.ends_with("waiting until its Deployment is written as recorded"), "{told}");
    let green = deployment(&mut promoting.green);
    green.applied_generation = Some(green.generation);
    assert!(switches(&promoting));
}

#[test]
fn the_story_of_an_attempt_tells_what_became_of_each_gate() {
    let spec = json!({"verification": {"onFailure": "Abort", "checks": [{"name": "home", "http": {}}], "metrics": [metric(json!({}))]}});
    let mut world = World::live(spec);
    world.gauge = |gate, _, _| Outcome::reading(Reading::Value(if gate.contains("errors") { 1.0 } else { 0.0 }));
    world.image("shop:2");
    world.settle();
    let story = &world.status.history[0];
    let gates: Vec<_> = story.gates.iter().map(|gate| (gate.name.as_str(), gate.state, gate.message.as_str())).collect();
    assert_eq!(
        gates,
        [("verification/home", GateState::Passed, ""), ("verification/errors", GateState::Failed, "1 is above the limit of 0.01"),]
    );
    assert_eq!((story.outcome, story.by.as_str(), story.from_image.as_str()), (Some(Ended::Aborted), "kubectl", "shop:1"));
}

#[test]
fn the_story_of_a_late_roll_back_tells_what_served_before_and_serves_again() {
    for scale_down in [json!({}), json!({"after": "Never"})] {
        let mut world = World::live(json!({"scaleDown": scale_down}));
        world.image("shop:2");
        world.settle();
        // One that was withdrawn since is another story.
        world.image("shop:3-slow");
        world.run_for(5);
        world.image("shop:2");
        world.settle();
        world.order("rollback");
        world.settle();
        let story = &world.status.history[0];
        let rejected = world.status.rejected.as_ref().unwrap();
        assert_eq!((rejected.image.as_str(), rejected.attempt), ("shop:2", story.attempt));
        assert_eq!((story.image.as_str(), story.from_image.as_str()), ("shop:2", "shop:1"));
        assert_eq!(world.serves().as_deref(), Some("shop:1"));
    }
}

#[test]
fn ten_stories_are_kept_the_latest_first() {
    let mut world = World::live(json!({"scaleDown": {"drain": "0s", "after": "0s"}}));
    for number in 2..14 {
        world.image(&format!("shop:{number}"));
        world.settle();
    }
    let attempts: Vec<_> = world.status.history.iter().map(|attempt| attempt.attempt).collect();
    assert_eq!(attempts, (4..14).rev().collect::<Vec<_>>());
}

// === what protects comes first ===

#[test]
fn the_standby_is_put_right_before_a_record_also_while_its_time_runs_out() {
    let mut world = World::in_phase(json!({}), "shop:2", Phase::ScalingDown);
    world.change(json!({"progressDeadline": "5m"}));
    let mut seen = world.seen();
    assert!(matches!(decide(&seen), Decision::Record(_)), "the generation is to be recorded");
    deployment(&mut seen.blue).labels_intact = false;
    let Decision::Act(effects) = decide(&seen) else { panic!() };
    assert!(
        matches!(effects[..], [ref effect] if matches!(effect.change, Change::ApplyDeployment { color: Color::Blue, replicas: 3, .. }))
    );
    // What protects nobody comes after it.
    let mut seen = world.seen();
    let ObjectSeen::There(preview) = &mut seen.preview_service else { panic!() };
    preview.labels_intact = false;
    assert!(matches!(decide(&seen), Decision::Record(_)));
}

#[test]
fn on_its_way_to_full_size_a_candidate_goes_back_to_wait_when_any_gate_shuts() {
    let spec = json!({
        "verification": {"checks": [{"name": "home", "http": {}}]}, "promotion": {"mode": "Manual"}, "preview": {"replicas": 1}
    });
    let mut world = World::in_phase(spec, "shop:2", Phase::AwaitingPromotion);
    world.order("promote");
    // Its other pods take their time.
    world.deployments.get_mut(&Color::Green).unwrap().image = "shop:2-slow".into();
    world.run_until(Phase::ScalingUp);
    world.run_for(5);
    let seen = world.seen();
    fn verified(seen: &mut Observed) -> &mut bluegreen_api::Gate {
        seen.status.gates.iter_mut().find(|gate| gate.name == "verification/home").unwrap()
    }
    let stays = |edit: Edit| phase(&seen, edit) == Phase::ScalingUp;
    assert!(stays(|_| {}));
    assert!(!stays(|seen| seen.spec.paused = true));
    assert!(!stays(|seen| seen.status.paused_by_order = true));
    assert!(!stays(|seen| seen.spec.replicas = 0));
    assert!(!stays(|seen| verified(seen).definition = "old".into()), "it runs anew");
    assert!(!stays(|seen| verified(seen).state = GateState::Running));
    assert!(!stays(|seen| verified(seen).state = GateState::Failed));
    assert!(!stays(|seen| verified(seen).state = GateState::Inconclusive), "nobody decided that one");
    assert!(!stays(|seen| seen.status.gates.retain(|gate| gate.name != "approval")), "nobody approved");
    assert!(!stays(|seen| seen.status.gates.iter_mut().for_each(|gate| gate.state = GateState::Running)), "nobody approved yet");
    fn automatic(seen: &mut Observed) {
        seen.status.gates.retain(|gate| gate.name != "approval");
        seen.spec.promotion = None;
    }
    assert!(stays(automatic), "nobody has to");
    fn full(seen: &mut Observed) {
        let target = seen.status.preview.as_ref().unwrap().replicas;
        let deployment = deployment(&mut seen.green);
        (deployment.available, deployment.ready, deployment.updated, deployment.total) = (target, target, target, target);
    }
    assert_eq!(phase(&seen, full), Phase::Promoting);
    fn nobody_seen(seen: &mut Observed) {
        full(seen);
        seen.green.pods.iter_mut().for_each(|pod| pod.ready = false);
    }
    assert!(stays(nobody_seen), "no ready pod of it is seen");
}

#[test]
fn the_end_of_the_former_side_is_not_put_off_when_no_pods_are_asked_for() {
    let mut world = World::in_phase(json!({"scaleDown": {"drain": "1s", "after": "1s"}}), "shop:2", Phase::ScalingDown);
    world.kill_pods("shop:2");
    world.run_for(10);
    let seen = world.seen();
    let stalled = |edit: Edit| next(&seen, edit).conditions.iter().any(|condition| condition.type_ == "Stalled");
    assert!(stalled(|_| {}), "it is kept for want of another that serves");
    assert!(!stalled(|seen| (seen.spec.replicas, seen.generation) = (0, seen.generation + 1)));
}

#[test]
fn a_first_revision_is_replaced_in_its_place_unless_somebody_is_served() {
    let mut world = World::new(json!({"image": "shop:1-slow"}));
    world.run_for(5);
    let mut seen = world.seen();
    seen.spec.image = Some("shop:2".into());
    let goes_to = |edit: Edit| {
        let status = next(&seen, edit);
        status.preview.or(status.active).map(|side| (side.number, side.color))
    };
    assert_eq!(goes_to(|_| {}), Some((2, Color::Blue)));
    assert_eq!(goes_to(|seen| seen.blue.pods[0].ready = true), Some((2, Color::Green)));
    fn going(seen: &mut Observed) {
        (seen.blue.pods[0].ready, seen.blue.pods[0].deleting) = (true, true);
    }
    assert_eq!(goes_to(going), Some((2, Color::Blue)), "it serves nobody for long");
    assert_eq!(goes_to(|seen| seen.spec.paused = true), Some((1, Color::Blue)));
    assert_eq!(goes_to(|seen| seen.spec.replicas = 0), Some((2, Color::Blue)), "no gate waits for pods yet");
}

#[test]
fn a_candidate_that_is_given_up_goes_also_while_paused() {
    let mut world = World::in_phase(json!({"promotion": {"mode": "Manual"}}), "shop:2", Phase::AwaitingPromotion);
    world.change(json!({"paused": true}));
    world.run_for(5);
    world.order("abort");
    world.settle();
    assert_eq!((world.phase(), world.ready("shop:2")), (Phase::Aborted, 0), "{}", world.story());
}

#[test]
fn a_verification_that_ran_out_of_time_tells_what_was_heard_last() {
    for (heard, told) in [("", "no result yet"), ("connection refused", "connection refused")] {
        let spec = json!({"verification": {"timeout": "1m", "checks": [{"name": "home", "http": {}}]}});
        let mut world = World::live(spec);
        world.gauge = match heard {
            "" => |_, _, _| Outcome::Check(CheckOutcome::NotDone(String::new())),
            _ => |_, _, _| Outcome::Check(CheckOutcome::NotDone("connection refused".into())),
        };
        world.image("shop:2");
        world.settle();
        let rejected = world.status.rejected.unwrap();
        assert_eq!(rejected.message, format!("verification/home was not finished within 1m: {told}"));
    }
}

#[test]
fn what_was_rolled_back_is_no_way_back_and_what_was_reverted_is() {
    let mut world = World::in_phase(json!({"monitoring": {"duration": "1h"}}), "shop:2", Phase::Monitoring);
    let mut reverted = world.clone();
    world.order("rollback");
    world.settle();
    assert_eq!((world.phase(), &world.status.previous), (Phase::RolledBack, &None));
    reverted.image("shop:1");
    reverted.settle();
    assert_eq!((reverted.phase(), reverted.status.previous.map(|side| side.image)), (Phase::Healthy, Some("shop:2".into())));
}

#[test]
fn readings_that_are_back_are_recorded_at_once() {
    let spec = json!({"monitoring": {"duration": "1m", "metrics": [metric(json!({})), metric(json!({"name": "other"}))]}});
    let mut world = World::live(spec);
    world.gauge = |_, _, _| Outcome::reading(Reading::NoData);
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    world.run_for(120);
    let mut seen = world.seen();
    let gate = seen.status.gates.iter().find(|gate| gate.name == "monitoring/other").unwrap().clone();
    assert_eq!(gate.state, GateState::Inconclusive);
    let read = |reading: Reading| Measurement {
        gate: gate.name.clone(),
        definition: gate.definition.clone(),
        attempt: seen.status.attempt,
        revision: seen.status.active.as_ref().unwrap().revision.clone(),
        at: seen.now,
        outcome: Outcome::reading(reading),
    };
    let (nothing, good) = (read(Reading::NoData), read(Reading::Value(0.0)));
    later(&mut seen, 1);
    seen.results = vec![nothing];
    assert!(matches!(decide(&seen), Decision::Wait { .. }), "one more without a value is no news");
    seen.results = vec![good];
    assert!(matches!(decide(&seen), Decision::Record(_)));
}
