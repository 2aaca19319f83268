//! Writes that the API server refuses.

use crate::{
    decided::{next, recorded},
    edits::{blue, refused},
    scene::reason,
    world::{Ask, World},
};
use bluegreen_api::{Color, Phase};
use bluegreen_engine::{
    Decision, Observed, decide,
    decision::{Object, Part, Role},
    observed::Refusal,
    refusal_to_tell, without_a_fence,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

/// And the write is tried again, each time after a pause.
#[test]
fn a_refusal_is_shown_in_the_api_servers_own_words() {
    let mut world = World::live(json!({}));
    world.refuse = Some((
        Object::Deployment(Color::Green),
        500,
        "failed to create typed patch object (/shop-green): .spec.template.spec.foo: field not declared in schema".into(),
    ));
    world.image("shop:2");
    world.run_for(600);
    assert_eq!((world.phase(), reason(&world).as_str()), (Phase::DeployingPreview, "InvalidSpec"), "{}", world.story());
    assert!(world.status.message.contains("field not declared in schema"));
    let tries = world.log.iter().filter(|line| line.contains("refuse")).count();
    assert!((5..=12).contains(&tries), "{tries} tries in ten minutes");
    world.refuse = None;
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:2"));
}

// Found by attack.
#[test]
fn a_refusal_whose_effect_is_not_wanted_any_more_is_forgotten() {
    let mut world = World::live(json!({}));
    // The write had no answer, and had happened.
    world.refusals.push(refused(Object::Service(Role::Active), world.now, world.generation));
    world.settle();
    assert!(world.is("Ready"), "{}", world.status.message);
}

/// `spec` went back after the switch was recorded, and the fence that withdraws it is about to be refused.
fn about_to_refuse_a_fence() -> World {
    let mut world = World::live_unarmed(json!({}));
    world.image("shop:2");
    world.until_about_to_act_in(Phase::Promoting);
    world.refuse = Some((Object::Service(Role::Active), 500, "a webhook gave no answer".into()));
    world.run_for(5);
    world.image("shop:1");
    world
}

// Found by attack.
#[test]
fn a_refused_fence_is_retried_with_a_pause_and_shown() {
    let mut world = about_to_refuse_a_fence();
    world.run_for(60);
    let tries = world.log.iter().filter(|line| line.contains("refuse")).count();
    assert!(tries < 15, "{tries}");
    assert!(world.status.message.contains("no answer"));
    world.refuse = None;
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:1"));
}

// Found by attack.
#[test]
fn a_refused_fence_leaves_status_of_one_generation() {
    let mut world = about_to_refuse_a_fence();
    world.run_for(5);
    let status = &world.status;
    assert!(status.message.contains("no answer") && status.observed_generation < world.generation, "{}", world.story());
    let conditions: Vec<_> = status.conditions.iter().map(|condition| condition.observed_generation).collect();
    assert!(conditions.iter().all(|of| *of == Some(status.observed_generation)), "{conditions:?}, {}", status.observed_generation);
}

/// And the next try is awaited.
#[test]
fn protection_goes_on_while_a_fence_is_refused() {
    let mut world = World::fence_refused();
    let Decision::Wait { until: Some(until), .. } = decide(&world.seen()) else { panic!("{}", world.story()) };
    assert!(until > world.now && until.duration_since(world.now).as_secs() <= 10, "protection is tried again soon");
    world.now = until;
    assert!(matches!(decide(&world.seen()), Decision::Act(_)), "then, and not a moment later");
    world.deployments.remove(&Color::Blue);
    world.now = Timestamp::from_second(until.as_second() - 1).unwrap();
    let Decision::Act(effects) = decide(&world.seen()) else { panic!("{}", world.story()) };
    let blue = Object::Deployment(Color::Blue);
    assert!(effects.iter().all(|effect| effect.object() == blue), "the live side is put right meanwhile: {effects:?}");
}

#[test]
fn a_refusal_does_not_put_off_the_end_of_a_phase() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual", "timeout": "10m"}}));
    world.image("shop:2");
    world.run_until(Phase::AwaitingPromotion);
    let due = world.now.checked_add(SignedDuration::from_mins(10)).unwrap();
    // The preview Service is refused for so long that its next try comes after the timeout.
    world.refuse = Some((Object::Service(Role::Preview), 403, "denied by a webhook".into()));
    let service = world.services.get_mut("preview").unwrap();
    service.selector.clear();
    service.resource_version += 1_000_000;
    while world.now.duration_since(due).as_secs() < -20 {
        world.operator();
        let Decision::Wait { until: Some(until), .. } = decide(&world.seen()) else { panic!("{}", world.story()) };
        assert!(until <= due, "the timeout is awaited: {until}");
        assert!(world.status.message.contains("denied"), "{}", world.status.message);
        world.pass_time(1);
    }
    world.run_for(60);
    assert!(matches!(world.phase(), Phase::Aborting | Phase::Aborted), "{}", world.story());
}

#[test]
fn the_pause_after_a_refusal_doubles_up_to_a_limit() {
    let seen = World::live(json!({})).seen();
    let pause = |role: Role, times: u32, generation: i64| {
        let mut seen = seen.clone();
        seen.services.get_mut(&role).unwrap().selector.clear();
        seen.refusals = vec![Refusal { code: 500, times, ..refused(Object::Service(role), seen.now, generation) }];
        seen.status = recorded(seen.clone());
        match decide(&seen) {
            Decision::Wait { until, .. } => {
                let until = until.unwrap();
                let tried = Observed { now: until, ..seen.clone() };
                assert!(matches!(decide(&tried), Decision::Act(_)), "then it is tried");
                let not_yet = Timestamp::from_millisecond(until.as_millisecond() - 1).unwrap();
                assert!(matches!(decide(&Observed { now: not_yet, ..seen.clone() }), Decision::Wait { .. }), "and not before");
                until.duration_since(seen.now)
            }
            _ => SignedDuration::ZERO,
        }
    };
    let now = seen.generation;
    for (times, seconds) in [(0, 1), (1, 1), (2, 2), (4, 8), (9, 256), (10, 300), (40, 300)] {
        assert_eq!(pause(Role::Preview, times, now), SignedDuration::from_secs(seconds), "refused {times} times");
        assert_eq!(
            pause(Role::Active, times, now),
            SignedDuration::from_secs(seconds.min(10)),
            "it protects, and was refused {times} times"
        );
    }
    assert_eq!(pause(Role::Preview, 9, now - 1), SignedDuration::ZERO, "spec is another now");
}

#[test]
fn a_refused_repair_does_not_wait_for_a_clock_put_back() {
    let mut seen = World::live(json!({})).seen();
    let Some(active) = seen.services.get_mut(&Role::Active) else { panic!() };
    active.selector.clear();
    let (object, generation) = (Object::Service(Role::Active), seen.generation);
    seen.refusals = vec![Refusal { code: 500, times: 9, ..refused(object, seen.now, generation) }];
    seen.status = recorded(seen.clone());
    let put_back = |seconds: i64| Observed { now: seen.now - SignedDuration::from_secs(seconds), ..seen.clone() };
    assert!(matches!(decide(&put_back(5)), Decision::Wait { .. }));
    assert!(matches!(decide(&put_back(3600)), Decision::Act(_)));
}

#[test]
fn while_a_fence_is_refused_nothing_but_protection_is_written() {
    let world = World::fence_refused();
    let mut seen = world.seen();
    let Some(preview) = seen.services.get_mut(&Role::Preview) else { panic!() };
    preview.selector.clear();
    assert!(matches!(decide(&seen), Decision::Wait { .. }), "{:?}", decide(&seen));
    blue(&mut seen).labels_intact = false;
    let Decision::Act(effects) = decide(&seen) else { panic!() };
    assert_eq!(effects.iter().map(|effect| effect.object()).collect::<Vec<_>>(), [Object::Deployment(Color::Blue)]);
}

/// Promise 16. A former leader that sleeps is denied by the same rule.
#[test]
fn a_fence_that_stays_denied_holds_back_no_roll_back() {
    let mut world = World::live(json!({}));
    world.image("shop:2");
    world.until_about_to_act_in(Phase::ScalingDown);
    // Whatever is to be written to the standby's Deployment.
    world.refuse = Some((Object::Deployment(Color::Blue), 403, "denied by a policy".into()));
    world.order("rollback");
    world.run_for(9);
    assert_eq!(world.phase(), Phase::ScalingDown, "a request may still be under way\n{}", world.story());
    world.run_for(30);
    assert_eq!(world.serves().as_deref(), Some("shop:1"), "{}", world.story());
}

#[test]
fn a_fence_denied_only_now_and_then_is_tried_on() {
    let seen = about_to_withdraw();
    let epoch = format!("{}.{}", seen.status.epoch + 1, seen.term);
    let goes_on = |part: Part, code: u16, since: Option<i64>, at: i64| {
        let ago = |seconds: i64| seen.now - SignedDuration::from_secs(seconds);
        let refusal = Refusal { part, code, times: 9, denied_since: since.map(ago), ..refused(BLUE, ago(at), seen.generation) };
        let seen = Observed { refusals: vec![refusal], ..seen.clone() };
        matches!(decide(&seen), Decision::Record(status) if status.phase == Some(Phase::RollingBack))
    };
    let fence = || Part::Fence(epoch.clone());
    assert!(goes_on(fence(), 403, Some(11), 0));
    assert!(goes_on(fence(), 422, Some(71), 60));
    assert!(!goes_on(fence(), 403, Some(10), 0), "a request of before may still be under way");
    assert!(!goes_on(fence(), 403, Some(0), 0), "once");
    assert!(!goes_on(fence(), 500, None, 0), "no denial");
    assert!(!goes_on(fence(), 403, Some(99), 61), "long ago");
    assert!(!goes_on(Part::Fence("0.1".into()), 403, Some(11), 0), "of an earlier withdrawal");
    assert!(!goes_on(Part::Whole, 403, Some(11), 0), "another write of it");
}

const BLUE: Object = Object::Deployment(Color::Blue);

/// Somebody orders a roll back while the standby is about to go.
fn about_to_withdraw() -> Observed {
    let mut world = World::live(json!({}));
    world.image("shop:2");
    world.until_about_to_act_in(Phase::ScalingDown);
    world.order("rollback");
    world.seen()
}

#[test]
fn a_record_without_its_fence_is_a_warning() {
    let mut seen = about_to_withdraw();
    let Decision::Act(fences) = decide(&seen) else { panic!() };
    let (object, part) = fences[0].place();
    let denied_since = Some(seen.now - SignedDuration::from_secs(20));
    let message = "denied by a policy".into();
    seen.refusals = vec![Refusal { part, code: 403, message, denied_since, ..refused(object, seen.now, seen.generation) }];
    let Decision::Record(status) = decide(&seen) else { panic!() };
    let warnings = without_a_fence(&seen, &status);
    assert_eq!(
        warnings.iter().map(|warning| (warning.type_, warning.note.as_str())).collect::<Vec<_>>(),
        [(
            "Warning",
            "Went on without a fence at Deployment shop-blue, which the API server denies: denied by a policy. \
             Allow the operator to set the annotation bluegreen.dev/epoch"
        )]
    );
    seen.refusals.clear();
    assert_eq!(without_a_fence(&seen, &status), []);
}

/// As a `targetPort` that the Service doesn't take.
#[test]
fn a_switch_that_is_refused_gives_way_to_a_fix() {
    let mut world = World::live_unarmed(json!({}));
    world.image("shop:2");
    world.refuse = Some((Object::Service(Role::Active), 422, "spec.ports[0].targetPort: Invalid value".into()));
    world.run_until(Phase::Promoting);
    world.run_for(5);
    assert!(world.status.message.contains("targetPort"), "{}", world.status.message);
    let attempt = world.status.attempt;
    world.image("shop:3");
    world.refuse = None;
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:3"), "{}", world.story());
    assert_eq!(world.status.attempt, attempt + 1);
    assert!(!world.log.iter().any(|line| line.contains("active Service → green shop:2")), "{}", world.story());
}

/// The write may be under way: what is asked for next waits until the way back is known.
#[test]
fn a_switch_under_way_waits_for_its_end() {
    let mut world = World::live_unarmed(json!({}));
    world.image("shop:2");
    world.until_about_to_act_in(Phase::Promoting);
    world.image("shop:3");
    let mut seen = world.seen();
    assert_eq!(next(&seen, |_| {}).phase, Some(Phase::Promoting), "nothing of it was refused");
    seen.ask(|spec| spec.paused = true);
    seen.refusals = vec![Refusal { code: 422, ..refused(Object::Service(Role::Active), seen.now, seen.generation) }];
    assert_eq!(next(&seen, |_| {}).phase, Some(Phase::Promoting), "paused");
}

/// Promise 16. Whether a label, an annotation or the type is what the API server refuses.
#[test]
fn refused_settings_hold_back_no_roll_back() {
    let mut world = World::live(json!({"monitoring": {"duration": "1h"}}));
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    world.refuse = Some((Object::Service(Role::Active), 422, "metadata.labels: Invalid value".into()));
    world.spare = |effect| effect.part() != Part::Settings;
    world.services.get_mut("active").unwrap().settled = false;
    world.run_for(5);
    assert!(world.status.message.contains("metadata.labels"), "{}", world.status.message);
    world.order("rollback");
    world.operator();
    world.controllers();
    assert_eq!(world.serves().as_deref(), Some("shop:1"), "{}", world.story());
    world.refuse = None;
    world.run_for(600);
    assert!(world.services["active"].settled, "it is tried again\n{}", world.story());
}

#[test]
fn a_missing_service_with_a_refused_label_leads_first() {
    let mut world = World::live(json!({}));
    world.refuse = Some((Object::Service(Role::Active), 403, "denied by a policy".into()));
    world.spare = |effect| matches!(effect.part(), Part::Bare);
    world.services.remove("active");
    world.operator();
    world.controllers();
    assert_eq!(world.serves().as_deref(), Some("shop:1"), "{}", world.story());
    world.run_for(60);
    assert!(world.status.message.contains("denied by a policy"), "{}", world.status.message);
    world.refuse = None;
    world.run_for(600);
    assert!(world.services["active"].settled && world.is("Ready"), "{}", world.story());
}

/// Revision 2 doesn't have the node port any more, and another Service took it.
#[test]
fn a_taken_node_port_holds_back_no_roll_back() {
    let ports =
        |node_port: Option<i32>, port: i32| json!({"service": {"ports": [{"port": port, "targetPort": "http", "nodePort": node_port}]}});
    let mut world = World::live(ports(Some(30080), 80));
    world.change(ports(None, 81));
    world.image("shop:2");
    world.run_until(Phase::ScalingDown);
    world.refuse = Some((Object::Service(Role::Active), 422, "spec.ports[0].nodePort: provided port is already allocated".into()));
    world.spare = |effect| effect.part() == Part::Bare;
    world.order("rollback");
    world.run_for(20);
    assert_eq!(world.serves().as_deref(), Some("shop:1"), "{}", world.story());
    let told = |line: &String| line.contains("The API server refused Service shop") && line.contains("already allocated");
    assert!(world.log.iter().any(told), "{}", world.story());
    let ports: Vec<_> = world.services["active"].ports.iter().map(|port| (port.port, port.node_port)).collect();
    assert_eq!(ports, [(80, None)]);
}

/// Once, whatever else the status says then.
#[test]
fn refused_settings_are_an_event_of_their_own() {
    let seen = World::live(json!({})).seen();
    let told = |part: Part, code: u16, times: u32| {
        let message = "metadata.labels: Invalid value".into();
        let refusal = Refusal { part, code, times, message, ..refused(Object::Service(Role::Active), seen.now, seen.generation) };
        refusal_to_tell(&seen, &refusal).map(|event| event.note)
    };
    assert_eq!(told(Part::Settings, 422, 1).unwrap(), "The API server refused settings of Service shop: metadata.labels: Invalid value");
    assert_eq!(told(Part::NodePorts, 403, 1).unwrap(), "The API server refused node ports of Service shop: metadata.labels: Invalid value");
    assert_eq!(told(Part::Settings, 422, 2), None, "told already");
    assert_eq!(told(Part::Settings, 500, 1), None, "it may pass");
    assert_eq!(told(Part::Whole, 422, 1), None, "the status says it");
}
