//! A webhook is asked one try at a time, with a pause in which nothing is under way: for hours, if it must be.

use crate::world::{START, World};
use bluegreen_api::{Gate, GateState, Phase, Tries};
use bluegreen_engine::measure;
use bluegreen_gates::{
    ask::What,
    reading::{CheckOutcome, Outcome},
};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

fn asking(attempts: u32, interval: &str) -> Value {
    let webhook = json!({
        "url": "https://approvals/{{ namespace }}/{{ rollout }}", "attempts": attempts, "interval": interval,
        "headers": [{"name": "X-Team", "value": "checkout"}],
    });
    json!({"verification": {"timeout": "24h", "checks": [{"name": "approved", "webhook": webhook}]}})
}

fn no(_: &str, _: &str, _: Timestamp) -> Outcome {
    Outcome::Check(CheckOutcome::Failed("https://approvals/web/shop answered 409, expected 200-299: \"ask Anna\"".into()))
}

fn gate(world: &World) -> Gate {
    world.status.gates.iter().find(|gate| gate.name == "verification/approved").unwrap().clone()
}

#[test]
fn a_webhook_is_sent_what_it_is_about() {
    let mut world = World::live(asking(3, "30s"));
    world.gauge = no;
    world.image("shop:2");
    world.run_until(Phase::Verifying);
    let seen = world.seen();
    let What::Webhook { url, headers, body, timeout } = measure::wanted(&seen).remove(0).what else { panic!("no webhook") };
    assert_eq!((url.as_str(), timeout), ("https://approvals/web/shop", Duration::from_secs(10)));
    assert_eq!(headers.get("x-team").unwrap(), "checkout");
    let question = json!({
        "namespace": "web", "rollout": "shop", "gate": "verification/approved", "color": "green",
        "revision": seen.status.preview.unwrap().revision, "image": "shop:2", "attempt": 2,
    });
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), question);
}

/// An operator that starts anew goes on where it was.
#[test]
fn an_approval_from_outside_may_take_hours() {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let mut world = World::live(asking(10_000, "30s"));
    world.gauge = |gate, image, now| {
        ASKED.fetch_add(1, Ordering::Relaxed);
        if now.as_second() < START + 7_200 {
            no(gate, image, now)
        } else {
            Outcome::Check(CheckOutcome::Passed("200 from approvals".into()))
        }
    };
    world.image("shop:2");
    world.run_until(Phase::Verifying);
    world.run_for(3_000);
    let before = gate(&world);
    let tries = before.tries.clone().unwrap();
    assert!((98..=101).contains(&tries.failed), "{before:?}");
    let told = format!("https://approvals/web/shop answered 409, expected 200-299: \"ask Anna\" (try {} of 10000)", tries.failed);
    assert_eq!((before.state, before.message.as_str()), (GateState::Running, told.as_str()), "the latest answer is told");
    world.restart();
    let due = measure::wanted(&world.seen()).remove(0).due;
    assert_eq!(due.as_second() - tries.at.as_second(), 30, "a restart asks nobody early");
    world.run_for(300);
    assert_eq!(gate(&world).tries.unwrap().failed, tries.failed + 10);
    world.run(7_200, |world| world.status.gates.is_empty() && world.phase() != Phase::Verifying);
    assert_eq!(world.serves().as_deref(), Some("shop:2"), "{}", world.story());
    let asked = ASKED.load(Ordering::Relaxed);
    assert!((235..=245).contains(&asked), "asked {asked} times in two hours");
}

#[test]
fn a_restarted_operator_does_not_ask_passed_gates_again() {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let mut spec = asking(3, "1s");
    spec["verification"]["checks"].as_array_mut().unwrap().push(json!({"name": "home", "http": {}}));
    let mut world = World::live(spec);
    world.gauge = |gate, _, _| {
        if gate == "verification/home" {
            return Outcome::Check(CheckOutcome::NotDone("no answer".into()));
        }
        ASKED.fetch_add(1, Ordering::Relaxed);
        Outcome::Check(CheckOutcome::Passed("200 from approvals".into()))
    };
    world.image("shop:2");
    world.run_until(Phase::Verifying);
    world.run_for(30);
    world.restart();
    world.run_for(60);
    assert_eq!((gate(&world).state, ASKED.load(Ordering::Relaxed)), (GateState::Passed, 1), "{}", world.story());
}

/// In its own words.
#[test]
fn a_webhook_that_never_agrees_ends_the_attempt() {
    let mut world = World::live(asking(3, "30s"));
    world.gauge = no;
    world.image("shop:2");
    world.run_until(Phase::Aborted);
    let rejected = world.status.rejected.clone().unwrap();
    assert_eq!(rejected.reason, "CheckFailed");
    let why = "verification/approved failed: https://approvals/web/shop answered 409, expected 200-299: \"ask Anna\" (try 3 of 3)";
    assert_eq!((rejected.message.as_str(), world.serves().as_deref()), (why, Some("shop:1")));
}

#[test]
fn tries_that_were_not_made_are_shown_and_use_nothing_up() {
    let mut world = World::live(asking(3, "1s"));
    world.gauge = |_, _, _| Outcome::Check(CheckOutcome::NotDone("the key file can't be read".into()));
    world.image("shop:2");
    world.run_until(Phase::Verifying);
    world.run_for(1);
    assert_eq!(gate(&world).message, "the key file can't be read");
    world.run_for(10);
    world.records = 0;
    world.run_for(300);
    let gate = gate(&world);
    assert_eq!((gate.state, gate.message.as_str()), (GateState::Inconclusive, "the key file can't be read"));
    assert!(matches!(gate.tries, Some(Tries { failed: 0, .. })), "{gate:?}");
    assert_eq!(world.records, 0, "what is told is not written again: {}", world.story());
}
