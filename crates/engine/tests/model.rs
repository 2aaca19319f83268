//! A model checker for the real engine: every interleaving of the operator's steps, the cluster's controllers, pods, people and
//! faults, to a stated depth. Each write is held against the promises, and from each state the schedule without faults must come
//! to rest.
//!
//! `MODEL=deep cargo test -p bluegreen-engine --test model` goes further; `MODEL=quick` ends the longest of the
//! usual searches early, for who runs them again and again; `MODEL=approval` runs the searches of that name.

#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "model/facts.rs"]
mod facts;
#[path = "model/print.rs"]
mod print;
#[path = "model/promises.rs"]
mod promises;
#[path = "model/rest.rs"]
mod rest;
#[path = "model/search.rs"]
mod search;
#[path = "model/setup.rs"]
mod setup;
#[path = "model/world/mod.rs"]
mod world;

use bluegreen_api::Phase;
use search::{Covered, search};
use serde_json::{Value, json};
use setup::{Budget, Setup};
use std::{
    io::Write,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

/// Distinct states of two revisions with one crash, one stale read and one order, from the first of a story on.
const A_MILLION: usize = 1_000_000;

/// Two revisions, one crash, one stale read and one order, in the settings that lead through different phases; small ones with two
/// leaders, edits by hand and a deletion. `plain`: how far the first of them goes, which takes as long as all others together.
fn standard(plain: usize) -> Vec<Setup> {
    let faults = Budget { images: 1, orders: 1, crashes: 1, stales: 1, ..Budget::default() };
    let metric = json!({"name": "errors", "prometheus": {"query": "e"}, "max": "1%", "count": 1, "interval": "30s", "noDataLimit": 1, "errorLimit": 1});
    let verified = json!({"verification": {"checks": [{"name": "home", "http": {"interval": "30s"}}], "timeout": "2m"}});
    let also_measured = json!({"verification": {"checks": [{"name": "home", "http": {"path": "/ready", "interval": "30s"}}], "metrics": [metric.clone()], "timeout": "2m"}});
    let watched = json!({"monitoring": {"duration": "30s", "metrics": [metric]}});
    let manual = json!({"promotion": {"mode": "Manual"}});
    // With a time to wait for, the switch is recorded in a phase of its own, when the pods are there. Without, it is armed before.
    let timed = json!({"promotion": {"after": "1s"}});
    let none = Budget::default();
    vec![
        Setup::new("plain", &[json!({})], faults).verbs(&["abort", "rollback"]).up_to(plain),
        Setup::new("no faults", &[json!({})], Budget { images: 2, ..none }).up_to(130_000),
        Setup::new("verification", &[verified.clone(), also_measured.clone()], Budget { readings: 1, settings: 1, stales: 0, ..faults })
            .verbs(&["promote", "abort"])
            .up_to(90_000),
        Setup::new(
            "verified",
            &[both(&verified, &manual), both(&also_measured, &manual)],
            Budget { readings: 1, settings: 2, images: 1, crashes: 1, orders: 1, ..none },
        )
        .verbs(&["promote"])
        .starting_in(Phase::Verifying)
        .up_to(90_000),
        Setup::new("approval", std::slice::from_ref(&manual), Budget { orders: 3, images: 1, ..none })
            .verbs(&["promote", "abort", "retry"])
            .up_to(90_000),
        Setup::new("approved", std::slice::from_ref(&manual), Budget { orders: 3, images: 1, crashes: 1, ..none })
            .verbs(&["promote", "abort", "retry"])
            .starting_in(Phase::AwaitingPromotion)
            .up_to(90_000),
        Setup::new("switch", std::slice::from_ref(&timed), Budget { falls: 1, ..faults })
            .verbs(&["abort", "rollback"])
            .starting_in(Phase::Promoting)
            .up_to(130_000),
        Setup::new("switch and frozen leader", std::slice::from_ref(&timed), Budget { images: 1, orders: 1, falls: 1, freezes: 1, ..none })
            .verbs(&["rollback"])
            .starting_in(Phase::Promoting)
            .up_to(130_000),
        Setup::new("two leaders", &[json!({})], Budget { images: 1, orders: 1, falls: 1, freezes: 1, ..none })
            .verbs(&["rollback"])
            .rival_goes_on()
            .starting_in(Phase::DeployingPreview)
            .with_its_pods_there()
            .up_to(90_000),
        Setup::new("armed", &[json!({}), manual], Budget { pauses: 1, settings: 1, falls: 1, ..faults })
            .verbs(&["abort", "pause"])
            .starting_in(Phase::DeployingPreview)
            .with_its_pods_there()
            .up_to(90_000),
        Setup::new("armed and edited", &[json!({})], Budget { sizes: 2, edits: 1, falls: 1, crashes: 1, ..none })
            .starting_in(Phase::DeployingPreview)
            .up_to(60_000),
        Setup::new("disarmed", &[json!({}), timed.clone()], Budget { images: 1, orders: 1, pauses: 1, settings: 1, freezes: 1, ..none })
            .verbs(&["abort", "pause"])
            .starting_in(Phase::DeployingPreview)
            .with_its_pods_there()
            .up_to(90_000),
        Setup::new("switch withdrawn", std::slice::from_ref(&timed), Budget { falls: 1, freezes: 1, ..none })
            .starting_in(Phase::Promoting)
            .up_to(150_000),
        Setup::new("monitoring", std::slice::from_ref(&watched), Budget { readings: 1, stales: 0, ..faults })
            .verbs(&["rollback", "accept", "abort"])
            .up_to(90_000),
        Setup::new("monitored", &[watched], Budget { readings: 1, breaks: 1, falls: 1, stales: 0, ..faults })
            .verbs(&["rollback", "accept"])
            .starting_in(Phase::Monitoring)
            .up_to(130_000),
        Setup::new("scaling down", &[json!({})], Budget { freezes: 1, pauses: 1, ..faults })
            .verbs(&["rollback", "pause"])
            .starting_in(Phase::ScalingDown)
            .up_to(130_000),
        Setup::new("replicas 0", &[json!({})], Budget { sizes: 2, orders: 0, ..faults }).up_to(90_000),
        Setup::new("paused", &[json!({})], Budget { pauses: 2, orders: 1, stales: 0, ..faults }).verbs(&["pause", "resume"]).up_to(90_000),
        Setup::new("bad release", &[json!({})], Budget { breaks: 1, images: 2, crashes: 1, ..none }).up_to(90_000),
        Setup::new("bad after the switch", std::slice::from_ref(&timed), Budget { breaks: 2, images: 1, falls: 1, crashes: 1, ..none })
            .starting_in(Phase::Promoting)
            .up_to(90_000),
        Setup::new("lost and edited", &[json!({})], Budget { images: 1, deletes: 1, strips: 1, empties: 1, ..none }).up_to(90_000),
        Setup::new(
            "lost in the switch",
            std::slice::from_ref(&timed),
            Budget { images: 1, deletes: 1, strips: 1, empties: 1, crashes: 1, ..none },
        )
        .starting_in(Phase::Promoting)
        .up_to(90_000),
        Setup::new("edited by hand", &[json!({})], Budget { images: 1, edits: 2, ..none }).up_to(45_000),
        Setup::new("edited in the switch", std::slice::from_ref(&timed), Budget { orders: 1, edits: 1, crashes: 1, ..none })
            .verbs(&["rollback"])
            .starting_in(Phase::Promoting)
            .up_to(45_000),
        Setup::new("deleted", std::slice::from_ref(&timed), Budget { deletions: 1, crashes: 1, stales: 1, freezes: 1, ..none })
            .starting_in(Phase::Promoting)
            .up_to(40_000),
        Setup::new("from nothing", &[json!({})], Budget { images: 1, crashes: 1, stales: 1, ..none }).starting_with_nothing().up_to(50_000),
    ]
}

/// Sections of both.
fn both(one: &Value, other: &Value) -> Value {
    let sections = [one, other].into_iter().filter_map(Value::as_object).flatten();
    sections.map(|(key, value)| (key.clone(), value.clone())).collect::<serde_json::Map<_, _>>().into()
}

/// Three revisions, two faults of each kind, leaders that freeze and leaders that don't know that they lead no more.
fn deep() -> Vec<Setup> {
    const ALL: &[&str] = &["shop:1", "shop:2", "shop:3"];
    let faults = Budget { images: 2, orders: 1, crashes: 1, stales: 1, freezes: 1, falls: 1, ..Budget::default() };
    let metric = json!({"name": "errors", "prometheus": {"query": "e"}, "max": "1%", "count": 2, "interval": "30s", "noDataLimit": 1, "errorLimit": 1});
    let verified =
        json!({"verification": {"checks": [{"name": "home", "http": {"interval": "30s"}}], "metrics": [metric.clone()], "timeout": "2m"}});
    let watched = json!({"monitoring": {"duration": "30s", "metrics": [metric]}});
    let manual = json!({"promotion": {"mode": "Manual"}});
    let never = json!({"scaleDown": {"after": "Never"}});
    let up_to = 700_000;
    vec![
        Setup::new("deep plain", &[json!({})], Budget { crashes: 2, stales: 2, ..faults })
            .images(ALL)
            .verbs(&["abort", "rollback"])
            .up_to(up_to),
        Setup::new("deep two leaders", &[json!({})], faults)
            .images(ALL)
            .verbs(&["abort", "rollback"])
            .rival_goes_on()
            .starting_in(Phase::DeployingPreview)
            .with_its_pods_there()
            .up_to(up_to),
        Setup::new("deep verification", &[verified, manual.clone()], Budget { readings: 2, settings: 1, ..faults })
            .images(ALL)
            .verbs(&["promote", "abort", "retry"])
            .up_to(up_to),
        Setup::new("deep approval", &[manual], Budget { orders: 3, pauses: 2, ..faults })
            .images(ALL)
            .verbs(&["promote", "abort", "retry", "pause", "resume"])
            .up_to(up_to),
        Setup::new("deep monitoring", &[watched], Budget { readings: 2, breaks: 1, ..faults })
            .images(ALL)
            .verbs(&["rollback", "accept"])
            .starting_in(Phase::Monitoring)
            .up_to(up_to),
        Setup::new("deep repair", &[never], Budget { deletes: 1, strips: 1, empties: 1, sizes: 2, ..faults })
            .images(ALL)
            .verbs(&["rollback"])
            .up_to(up_to),
    ]
}

/// Told at once, and also by a test that passes.
fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// One search on each core, the next when one is done.
fn run(setups: &'static [Setup]) -> Vec<Covered> {
    let (next, enough) = (AtomicUsize::new(0), AtomicBool::new(false));
    let done = Mutex::new(vec![]);
    let broken = Mutex::new(vec![]);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(setup) = setups.get(next.fetch_add(1, Ordering::Relaxed)).filter(|_| !enough.load(Ordering::Relaxed)) {
                    match search(setup, &enough) {
                        Ok(covered) => {
                            tell(&covered.to_string());
                            done.lock().unwrap().push(covered);
                        }
                        Err(story) => {
                            enough.store(true, Ordering::Relaxed);
                            broken.lock().unwrap().push(story.0);
                        }
                    }
                }
            });
        }
    });
    let broken = broken.into_inner().unwrap();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    done.into_inner().unwrap()
}

#[test]
fn no_order_of_events_breaks_a_promise_and_all_comes_to_rest() {
    let asked = std::env::var("MODEL").unwrap_or_default();
    let plain = if asked == "quick" { 130_000 } else { A_MILLION };
    let setups = if asked == "deep" { deep() } else { standard(plain).into_iter().chain(deep()).collect() };
    let chosen = |setup: &Setup| match asked.as_str() {
        "" | "quick" => !setup.name.starts_with("deep"),
        "deep" => true,
        name => setup.name == name || setup.name.contains(&format!("{name} ")),
    };
    let setups: Vec<_> = setups.into_iter().filter(chosen).collect();
    let covered = run(Box::leak(setups.into_boxed_slice()));
    let sum = |of: fn(&Covered) -> usize| covered.iter().map(of).sum::<usize>();
    tell(&format!(
        "covered: {} states, {} transitions, {} schedules",
        sum(|it| it.states),
        sum(|it| it.transitions),
        sum(|it| it.schedules)
    ));
    if asked.is_empty() {
        let states = covered.iter().find(|it| it.name == "plain").map_or(0, |it| it.states);
        assert!(states >= A_MILLION, "two revisions, a crash, a stale read and an order were to make a million states: {states}");
    }
}
