//! Orders given by annotations.

use crate::{
    scene::{metric, reason},
    world::World,
};
use bluegreen_api::{Phase, names};
use bluegreen_engine::{Decision, Observed, decide, observed::Owner};
use bluegreen_gates::reading::{Outcome, Reading};
use serde_json::json;

/// What is recorded of it when its names are as long as they can be, and so are the words of others.
fn with_longest_names(mut seen: Observed) -> (String, String) {
    let (name, namespace) = ("n".repeat(55), "s".repeat(63));
    (seen.name, seen.namespace) = (name.clone(), namespace.clone());
    let selectors = seen.services.values_mut().filter_map(|service| service.selector.get_mut(names::ROLLOUT_LABEL));
    selectors.for_each(|selected| selected.clone_from(&name));
    let images = [&mut seen.status.active, &mut seen.status.preview, &mut seen.status.standby];
    images.into_iter().flatten().for_each(|side| side.image = format!("registry.example/{}:2", "team/".repeat(40)));
    seen.status.gates.iter_mut().for_each(|gate| gate.message = "no answer came in time ".repeat(10));
    let Decision::Record(status) = decide(&seen) else { panic!("nothing is recorded: {:?}", decide(&seen)) };
    (status.message, format!("kubectl annotate bgr {name} -n {namespace} --overwrite bluegreen.dev/"))
}

#[test]
fn a_command_is_whole_whatever_the_names() {
    let in_phase = |spec, phase| World::in_phase(spec, "shop:2", phase);
    let failing = |stage: &str, phase: Phase| {
        let mut world = World::live(json!({stage: {"onFailure": "Pause", "metrics": [metric(json!({}))]}}));
        world.gauge = |_, _, _| Outcome::reading(Reading::Value(1.0));
        world.image("shop:2");
        world.run_until(phase);
        world.run_for(30);
        world
    };
    let mut aborted = in_phase(json!({"promotion": {"mode": "Manual"}}), Phase::AwaitingPromotion);
    aborted.order("abort");
    aborted.settle();
    let mut rejected = aborted.seen();
    rejected.status.rejected.as_mut().unwrap().message = "x".repeat(256);
    let mut paused = World::live(json!({}));
    paused.order("pause");
    paused.run_for(1);
    let mut unready = in_phase(json!({"monitoring": {"duration": "1h"}, "progressDeadline": "1m"}), Phase::Monitoring);
    unready.pods.iter_mut().filter(|pod| pod.image == "shop:1").take(2).for_each(|pod| {
        (pod.image, pod.ready) = ("shop:1-unready".into(), false);
    });
    unready.controllers();
    unready.gauge = |_, _, _| Outcome::reading(Reading::Value(1.0));
    unready.change(json!({"monitoring": {"metrics": [metric(json!({}))]}}));
    unready.run_for(120);
    for (seen, verb) in [
        (in_phase(json!({"promotion": {"mode": "Manual", "timeout": "1h"}}), Phase::AwaitingPromotion).seen(), "promote"),
        (failing("verification", Phase::Verifying).seen(), "retry"),
        (failing("monitoring", Phase::Monitoring).seen(), "rollback"),
        (rejected, "retry"),
        (paused.seen(), "resume"),
        (unready.seen(), "rollback"),
    ] {
        let (message, command) = with_longest_names(seen);
        let (_, value) = message.split_once(&format!("{command}{verb}=")).unwrap_or_else(|| panic!("{verb}: {message}"));
        let value = value.split(';').next().unwrap();
        assert!(value.len() == 10 && value.bytes().all(|letter| letter.is_ascii_alphanumeric()), "{message}");
        assert!(message.chars().count() <= 256, "{message}");
    }
    let mut foreign = World::live(json!({})).seen();
    for service in foreign.services.values_mut() {
        service.owner = Owner::Foreign { who: "Helm ".repeat(30), adopt: false };
    }
    let (message, _) = with_longest_names(foreign);
    let adopt = format!("annotate service {0} -n {1} bluegreen.dev/adopt={0}", "n".repeat(55), "s".repeat(63));
    assert!(message.contains(&adopt) && message.chars().count() <= 256, "{message}");
}

/// It is answered at once, and comes true on nothing later.
#[test]
fn an_order_for_another_revision_is_answered_and_spent() {
    for verb in ["promote", "abort", "rollback", "pause", "resume", "accept", "retry"] {
        let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
        world.image("shop:2");
        world.run_until(Phase::AwaitingPromotion);
        let candidate = world.status.preview.clone().unwrap().revision;
        let live = world.status.active.clone().unwrap().revision;
        world.order_for(verb, "another");
        world.run_for(1);
        assert_eq!(world.phase(), Phase::AwaitingPromotion);
        assert_eq!(world.status.orders.get(verb).map(String::as_str), Some("another"), "{verb}");
        let answer = format!("{verb}=another ignored: revision another is neither the candidate ({candidate}) nor live ({live})");
        assert!(
            world.status.message.starts_with(&answer[..60]) && world.status.message.contains("waits for approval"),
            "{}",
            world.status.message
        );
        assert!(world.story().contains(&format!("event  Warning OrderIgnored: {answer}")), "{}", world.story());
        let records = world.records;
        world.run_for(600);
        assert_eq!(world.records, records, "it is told once");
        world.annotations.clear();
        world.run_for(1);
        assert!(world.status.message.starts_with("Revision 2 (shop:2) is verified"), "{}", world.status.message);
    }
}

/// `-o wide` shows the live one: who takes it for the candidate's must not give up the live one later.
#[test]
fn an_abort_of_the_live_revision_beside_a_candidate_is_no_roll_back() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    world.image("shop:2");
    world.settle();
    world.order("promote");
    world.settle();
    world.image("shop:3");
    world.run_until(Phase::AwaitingPromotion);
    let live = world.status.active.clone().unwrap().revision;
    world.order_for("abort", &live);
    world.run_for(1);
    let candidate = world.status.preview.clone().unwrap().revision;
    let ignored = world.status.ignored_orders[0].clone();
    assert_eq!(
        (ignored.order, ignored.message),
        (format!("abort={live}"), format!("revision {live} is live; the candidate is {candidate}"))
    );
    // The candidate goes; the live revision stays.
    world.change(json!({"image": "shop:2"}));
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Healthy, Some("shop:2")), "{}", world.story());
    // Given once more, where there is no candidate, it is one of the live revision.
    world.order_for("abort", &format!("{live}/2"));
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::RolledBack, Some("shop:1")), "{}", world.story());
}

#[test]
fn an_order_that_has_nothing_to_do_says_so() {
    let mut world = World::live(json!({"monitoring": {"duration": "10m"}}));
    let told = |world: &mut World, verb: &str| {
        world.order(verb);
        world.run_for(1);
        world.status.ignored_orders.last().map(|ignored| ignored.message.clone()).unwrap_or_default()
    };
    let live = world.status.active.clone().unwrap().revision;
    assert_eq!(told(&mut world, "promote"), format!("revision {live} is live already"));
    assert_eq!(told(&mut world, "accept"), format!("revision {live} is not monitored"));
    assert_eq!(told(&mut world, "retry"), format!("revision {live} was not given up"));
    assert!(world.is("Ready") && world.status.message.ends_with("Revision 1 (shop:1) serves"), "{}", world.status.message);
    world.image("shop:2-slow");
    world.run_for(5);
    let candidate = world.status.preview.clone().unwrap().revision;
    assert!(world.status.ignored_orders.is_empty(), "they were of another story");
    assert_eq!(told(&mut world, "accept"), format!("revision {candidate} is not live yet"));
    assert_eq!(told(&mut world, "retry"), format!("no gate of revision {candidate} has failed"));
}

#[test]
fn orders_under_keys_of_their_own_are_carried_out() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    world.image("shop:2");
    world.run_until(Phase::AwaitingPromotion);
    let candidate = world.status.preview.clone().unwrap().revision;
    for number in 0..9 {
        world.order_for(&format!("promote.{number}"), "another/1/ada");
    }
    world.run_for(1);
    assert_eq!((world.phase(), world.status.orders.len(), world.status.ignored_orders.len()), (Phase::AwaitingPromotion, 8, 8));
    world.annotations.remove("bluegreen.dev/promote.0");
    world.order_for("promote.8", &format!("{candidate}/1/ada"));
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Healthy, Some("shop:2")), "{}", world.story());
}

#[test]
fn the_safer_of_contradictory_orders_wins() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    world.image("shop:2");
    world.run_for(20);
    world.order("promote");
    world.order("abort");
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Aborted, Some("shop:1")));

    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    world.image("shop:2");
    world.run_for(20);
    world.order("promote");
    world.order("pause");
    world.settle();
    assert_eq!((world.phase(), reason(&world).as_str()), (Phase::AwaitingPromotion, "Paused"));

    let mut world = World::live(json!({"monitoring": {"duration": "10m"}}));
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    world.order("accept");
    world.order("rollback");
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::RolledBack, Some("shop:1")));
}

// Found by attack.
#[test]
fn a_retry_given_while_the_attempt_runs_starts_no_second_one() {
    let mut world = World::live(json!({"progressDeadline": "1m"}));
    world.image("shop:2-unready");
    world.run_until(Phase::DeployingPreview);
    world.order("retry");
    world.run_for(40);
    let attempt = world.status.attempt;
    world.settle();
    assert_eq!(world.status.attempt, attempt, "{}", world.story());
}
