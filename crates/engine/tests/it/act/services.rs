//! Services: where they lead, and how they are put right.

use crate::world::Ask;
use crate::{
    decided::{done, is_right},
    edits::{Edit, active, blue, foreign, green, leave_ready, preview, refused, select},
    scene::reason,
    world::{self, World},
};
use bluegreen_api::{GateState, Phase, Protocol, Side};
use bluegreen_engine::{
    Decision, Observed, decide,
    decision::{Object, Part, Role, Target},
    observed::{Late, ObjectKind, Owner, Refusal},
};
use bluegreen_gates::reading::{CheckOutcome, Outcome, Reading};
use jiff::Timestamp;
use serde_json::{Value, json};

#[test]
fn a_foreign_service_is_left_alone_and_ways_out_are_shown() {
    let mut world = World::new(json!({}));
    let mut made = World::live(json!({}));
    let mut service = made.services.remove("active").unwrap();
    service.selector.clear();
    service.owner = Owner::Foreign { who: "nobody".into(), adopt: false };
    world.services.insert("active", service);
    world.run_for(60);
    assert_eq!((world.writes, reason(&world).as_str()), (0, "NotOurs"));
    assert!(
        world.status.message.contains("bluegreen.dev/adopt=shop") && world.status.message.contains("spec.service.active.name"),
        "{}",
        world.status.message
    );
    world.services.get_mut("active").unwrap().owner = Owner::Foreign { who: "nobody".into(), adopt: true };
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:1"));
}

// Found by attack.
#[test]
fn an_added_port_is_no_drift_that_an_apply_can_mend() {
    let world = World::live(json!({}));
    let mut seen = world.seen();
    if let Some(service) = seen.services.get_mut(&Role::Active) {
        service.ports.push(serde_json::from_value(json!({"name": "debug", "port": 9090, "targetPort": 9090, "protocol": "TCP"})).unwrap());
    }
    assert!(matches!(decide(&seen), Decision::Wait { .. }), "{:?}", decide(&seen));
}

/// And additions of others stay.
#[test]
fn a_service_is_put_right_after_any_edit() {
    const PORTS: &str = "active Service to blue: the Service has other ports than its revision";
    const SELECTOR: &str = "active Service to blue: the Service selects another side than recorded";
    const CHANGED: &str = "settle active Service: the Service was changed, or is being adopted";
    const NODE_PORTS: &str = "active Service to blue, its node ports: the Service has other node ports than its revision";
    let world = World::live(json!({"service": {"ports": [
        {"name": "http", "port": 80, "targetPort": "http", "nodePort": 30080, "appProtocol": "http"},
        {"name": "dns", "port": 80, "targetPort": 53, "protocol": "UDP"},
    ]}}));
    let seen = world.seen();
    is_right(
        &seen,
        &[
            ("as it is", |_| {}, &[]),
            ("lost", |seen| drop(seen.services.remove(&Role::Active)), &["active Service to blue anew: the Service is missing"]),
            ("selector lost", |seen| active(seen).selector.clear(), &[SELECTOR]),
            ("one more key", |seen| drop(active(seen).selector.insert("tier".into(), "web".into())), &[SELECTOR]),
            ("an orphan", |seen| active(seen).owner = Owner::Orphan, &[CHANGED]),
            ("labels stripped", |seen| active(seen).labels_intact = false, &[CHANGED]),
            ("another type", |seen| active(seen).settings_intact = false, &[CHANGED]),
            ("a port gone", |seen| drop(active(seen).ports.pop()), &[PORTS]),
            ("a port by another name", |seen| active(seen).ports[0].name = Some("web".into()), &[PORTS]),
            ("a port that leads elsewhere", |seen| active(seen).ports[1].target_port = None, &[PORTS]),
            ("another protocol", |seen| active(seen).ports[1].protocol = Some(Protocol::TCP), &[PORTS]),
            ("another appProtocol", |seen| active(seen).ports[0].app_protocol = None, &[PORTS]),
            ("an appProtocol that spec leaves open", |seen| active(seen).ports[1].app_protocol = Some("dns".into()), &[]),
            ("another node port than asked for", |seen| active(seen).ports[0].node_port = Some(30081), &[NODE_PORTS]),
            ("a node port that nobody asked for", |seen| active(seen).ports[1].node_port = Some(30081), &[]),
            ("being deleted", |seen| (active(seen).deleting, active(seen).labels_intact) = (true, false), &[]),
            ("of somebody else", |seen| (active(seen).owner, active(seen).labels_intact) = (foreign(false), false), &[]),
            ("of a rollout that is gone", |seen| (active(seen).owner, active(seen).labels_intact) = (Owner::Former, false), &[]),
            ("handed over", |seen| active(seen).owner = foreign(true), &[CHANGED]),
            (
                "handed over, and no pod of ours is ready: it goes on serving what it serves",
                |seen| {
                    active(seen).owner = foreign(true);
                    leave_ready(&mut seen.blue, 0);
                },
                &[],
            ),
            (
                "the preview lost",
                |seen| drop(seen.services.remove(&Role::Preview)),
                &["preview Service to blue anew: the Service is missing"],
            ),
            (
                "the preview's selector lost",
                |seen| preview(seen).selector.clear(),
                &["preview Service to blue: the Service selects another side than recorded"],
            ),
            ("the preview of somebody else", |seen| (preview(seen).owner, preview(seen).labels_intact) = (foreign(false), false), &[]),
        ],
    );
}

/// Settings last, and one write of an object at a time.
#[test]
fn settings_of_a_service_come_after_its_traffic() {
    const SELECTOR: &str = "active Service to blue: the Service selects another side than recorded";
    const SETTLE: &str = "settle active Service: the Service was changed, or is being adopted";
    const RELEASE: &str = "release active Service: an earlier version of the operator owns fields of the Service";
    let seen = World::live(json!({})).seen();
    is_right(
        &seen,
        &[
            (
                "both",
                |seen| {
                    active(seen).selector.clear();
                    active(seen).settings_intact = false;
                },
                &[SELECTOR],
            ),
            ("fields of earlier applies", |seen| active(seen).leftovers = true, &[RELEASE]),
            ("and settings", |seen| (active(seen).leftovers, active(seen).settings_intact) = (true, false), &[SETTLE]),
            (
                "of both Services",
                |seen| {
                    active(seen).settings_intact = false;
                    preview(seen).settings_intact = false;
                },
                &[SETTLE, "settle preview Service: the Service was changed, or is being adopted"],
            ),
        ],
    );
}

fn refusing(seen: &mut Observed, part: Part, code: u16) {
    let refusal = Refusal { part, code, ..refused(Object::Service(Role::Active), seen.now, seen.generation) };
    seen.refusals.push(refusal);
}

/// Promise 16.
#[test]
fn less_of_a_service_is_written_where_more_is_denied() {
    const MISSING: &str = "active Service to blue anew, barely: the Service is missing";
    const BARELY: &str = "active Service to blue, barely: the Service selects another side than recorded";
    const WHOLE: &str = "active Service to blue: the Service selects another side than recorded";
    const MARKS: &str = "settle active Service, its marks: the Service was changed, or is being adopted";
    let seen = World::live(json!({"service": {"ports": [{"port": 80, "targetPort": "http", "nodePort": 30080}]}})).seen();
    fn lost(seen: &mut Observed, part: Part, code: u16) {
        active(seen).selector.clear();
        refusing(seen, part, code);
    }
    is_right(
        &seen,
        &[
            ("node ports, say", |seen| lost(seen, Part::Whole, 422), &[BARELY]),
            ("a policy's", |seen| lost(seen, Part::Whole, 403), &[BARELY]),
            ("no denial", |seen| lost(seen, Part::Whole, 500), &[]),
            ("no answer", |seen| lost(seen, Part::Whole, 0), &[]),
            ("settings alone", |seen| lost(seen, Part::Settings, 422), &[WHOLE]),
            (
                "for another spec",
                |seen| {
                    lost(seen, Part::Whole, 422);
                    seen.refusals[0].generation -= 1;
                },
                &[WHOLE],
            ),
            (
                "both",
                |seen| {
                    lost(seen, Part::Whole, 422);
                    lost(seen, Part::Bare, 422);
                },
                &[],
            ),
            (
                "a label of one that is missing",
                |seen| {
                    lost(seen, Part::Whole, 403);
                    seen.services.remove(&Role::Active);
                },
                &[MISSING],
            ),
            (
                "a label of one that lost ours",
                |seen| {
                    refusing(seen, Part::Settings, 403);
                    active(seen).labels_intact = false;
                },
                &[MARKS],
            ),
            (
                "a label, and ours are there",
                |seen| {
                    refusing(seen, Part::Settings, 403);
                    active(seen).settings_intact = false;
                },
                &[],
            ),
        ],
    );
}

#[test]
fn the_switch_waits_until_everything_of_the_candidate_is_there() {
    const SWITCH: &[&str] = &["active Service to green: the Service selects another side than recorded"];
    let mut world = World::live_unarmed(json!({}));
    world.image("shop:2");
    world.until_about_to_act_in(Phase::Promoting);
    let mut seen = world.seen();
    let candidate = seen.status.preview.clone().unwrap();
    select(preview(&mut seen), &candidate);
    is_right(
        &seen,
        &[
            ("all is there", |_| {}, SWITCH),
            ("with one more than asked for", |seen| (green(seen).total, green(seen).updated) = (4, 4), SWITCH),
            ("a change is not taken up", |seen| green(seen).observed_generation -= 1, &[]),
            ("the Deployment is being deleted", |seen| green(seen).deleting = true, &[]),
            ("pods of another template are still there", |seen| green(seen).total = 4, &[]),
            ("not all pods are of its template", |seen| (green(seen).total, green(seen).updated) = (2, 2), &[]),
            ("not all pods are available", |seen| green(seen).available = 2, &[]),
            ("no ready pod is seen", |seen| seen.green.pods.iter_mut().for_each(|pod| pod.ready = false), &[]),
            ("no pod is ready, as its Deployment tells", |seen| green(seen).ready = 0, &[]),
            ("a watch is down", |seen| seen.late = vec![Late { kind: ObjectKind::Pod, why: "no answer".into(), since: seen.now }], &[]),
            ("fewer are asked for", |seen| green(seen).replicas = 2, &["scale green to 3: the Deployment has another size than recorded"]),
        ],
    );
    // Once made, it stands for as long as a pod of the candidate is ready.
    select(active(&mut seen), &candidate);
    leave_ready(&mut seen.green, 1);
    assert_eq!(done(seen), [""; 0]);
}

/// Rolling back from green to blue, as it was recorded: nothing is done yet.
fn rolling_back(spec: Value) -> Observed {
    let mut world = World::live(json!({"monitoring": {"duration": "1h"}}));
    world.change(spec);
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    world.order("rollback");
    world.until_about_to_act_in(Phase::RollingBack);
    world.seen()
}

#[test]
fn the_way_back_is_taken_once_the_former_side_can_carry_it() {
    // By order; deployed again; ready pods of the side that is left, of the one that takes over; whether it does.
    for (ordered, slow, left, ready, takes_over) in [
        (false, false, 3, 3, true),
        (false, false, 3, 2, false),
        (false, false, 2, 2, true),
        (false, false, 1, 1, true),
        (false, false, 0, 1, true),
        (false, false, 0, 0, false),
        (true, false, 3, 1, true),
        (true, false, 3, 0, false),
        (true, false, 0, 0, false),
        (false, true, 1, 2, false),
        (false, true, 1, 3, true),
        (false, true, 0, 1, true),
        (false, true, 0, 0, false),
        (true, true, 1, 2, false),
    ] {
        let mut seen = rolling_back(json!({}));
        let ending = seen.status.ending.as_mut().unwrap();
        (ending.ordered, ending.slow) = (ordered, slow);
        leave_ready(&mut seen.green, left);
        leave_ready(&mut seen.blue, ready);
        let switched = done(seen).iter().any(|effect| effect.starts_with("active Service to blue"));
        assert_eq!(switched, takes_over, "ordered: {ordered}, slow: {slow}, left: {left}, ready: {ready}");
    }
}

/// By its controller.
#[test]
fn a_side_deployed_again_is_trusted_once_seen_as_written() {
    let deployed_again = |edit: Edit| {
        let mut seen = rolling_back(json!({}));
        let ending = seen.status.ending.as_mut().unwrap();
        (ending.ordered, ending.slow) = (false, true);
        edit(&mut seen);
        done(seen).iter().any(|effect| effect.starts_with("active Service to blue"))
    };
    assert!(deployed_again(|_| {}));
    assert!(!deployed_again(|seen| blue(seen).observed_generation -= 1), "its controller has not taken it up");
    assert!(!deployed_again(|seen| blue(seen).revision = "other".into()), "it runs something else");
    assert!(!deployed_again(|seen| (blue(seen).generation, blue(seen).observed_generation) = (9, 9)), "somebody changed it");
    assert!(deployed_again(|seen| blue(seen).observed_generation += 1), "a watch that lags");
}

#[test]
fn once_taken_the_way_back_is_left_only_for_a_side_that_serves() {
    // Ready pods of the side that was left, of the one that took over; where users are led.
    for (left, ready, stays) in [(3, 1, true), (0, 0, true), (3, 0, false), (1, 0, false)] {
        let mut seen = rolling_back(json!({}));
        let standby = seen.status.standby.clone().unwrap();
        seen.status.ending.as_mut().unwrap().ordered = false;
        select(active(&mut seen), &standby);
        seen.endpoints.pods.clear();
        leave_ready(&mut seen.green, left);
        leave_ready(&mut seen.blue, ready);
        let back = done(seen).iter().any(|effect| effect.starts_with("active Service to green"));
        assert_eq!(back, !stays, "left: {left}, ready: {ready}");
    }
}

#[test]
fn the_preview_leads_to_a_candidate_with_a_ready_pod() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    world.image("shop:2");
    world.run_until(Phase::AwaitingPromotion);
    let live = world.status.active.clone().unwrap();
    let mut seen = world.seen();
    leave_ready(&mut seen.green, 0);
    assert_eq!(done(seen.clone()), [""; 0], "shown once, it stays shown");
    select(preview(&mut seen), &live);
    assert_eq!(done(seen.clone()), [""; 0], "no pod is ready");
    leave_ready(&mut seen.green, 1);
    assert_eq!(done(seen), ["preview Service to green: the Service selects another side than recorded"]);
    // During the switch back what serves comes first, unless there is no preview Service at all.
    let mut seen = rolling_back(json!({}));
    leave_ready(&mut seen.blue, 1);
    let ending = seen.status.ending.as_mut().unwrap();
    ending.ordered = false;
    preview(&mut seen).selector.clear();
    assert_eq!(done(seen.clone()), [""; 0]);
    seen.services.remove(&Role::Preview);
    assert_eq!(done(seen), ["preview Service to green anew: the Service is missing"]);
}

/// The first revision, with a gate before it serves; a preview Service of somebody else is in the way.
fn first_verified(spec: Value) -> Observed {
    first_verified_by(json!({"initial": true, "checks": [{"name": "home", "http": {"path": "/"}}]}), world::pass, spec)
}

fn first_verified_by(verification: Value, gauge: fn(&str, &str, Timestamp) -> Outcome, spec: Value) -> Observed {
    let mut world = World::new(json!({"verification": verification}));
    world.gauge = |_, _, _| Outcome::Check(CheckOutcome::NotDone("no answer".into()));
    world.run_for(8);
    assert_eq!(world.phase(), Phase::Initializing);
    world.gauge = gauge;
    world.services.get_mut("preview").unwrap().owner = foreign(false);
    world.run_for(8);
    assert_eq!(world.phase(), Phase::Initializing, "{}", world.story());
    world.change(spec);
    world.seen()
}

/// As they are defined now.
#[test]
fn the_first_revision_serves_once_its_gates_have_passed() {
    const SERVES: &[&str] = &["active Service to blue: the Service selects another side than recorded"];
    let mut seen = first_verified(json!({}));
    let first = seen.status.active.clone().unwrap();
    select(active(&mut seen), &Side { revision: Target::NOTHING.into(), ..first.clone() });
    is_right(
        &seen,
        &[
            ("passed", |_| {}, SERVES),
            ("not yet", |seen| seen.status.gates[0].state = GateState::Running, &[]),
            ("failed", |seen| seen.status.gates[0].state = GateState::Failed, &[]),
            ("of another definition", |seen| seen.status.gates[0].definition = "old".into(), &[]),
            ("of another gate", |seen| seen.status.gates[0].name = "verification/other".into(), &[]),
            ("of a definition that can't be read", |seen| seen.ask(|spec| spec.verification.as_mut().unwrap().checks[0].http = None), &[]),
        ],
    );
    // What serves is not taken from users for a gate.
    select(active(&mut seen), &first);
    seen.status.gates.clear();
    assert_eq!(done(seen.clone()), [""; 0]);
    active(&mut seen).labels_intact = false;
    assert_eq!(done(seen), ["settle active Service: the Service was changed, or is being adopted"]);
}

/// Whatever became of the metrics that count in it.
#[test]
fn the_first_revision_serves_once_its_score_is_reached() {
    let soft = |name: &str, weight: i32| json!({"name": name, "weight": weight, "max": "0", "count": 1, "interval": "1s", "prometheus": {"query": "q"}});
    let verification = json!({"initial": true, "score": {"min": "60%"}, "metrics": [soft("errors", 3), soft("latency", 2)]});
    let slow = |gate: &str, _: &str, _: Timestamp| Outcome::reading(Reading::Value(if gate.ends_with("/latency") { 1.0 } else { 0.0 }));
    /// Of the errors, and so of the score.
    fn told(seen: &mut Observed, state: GateState) {
        (seen.status.gates[0].state, seen.status.gates[2].state) = (state, state);
    }
    let mut seen = first_verified_by(verification, slow, json!({}));
    let first = seen.status.active.clone().unwrap();
    select(active(&mut seen), &Side { revision: Target::NOTHING.into(), ..first });
    is_right(
        &seen,
        &[
            ("reached", |_| {}, &["active Service to blue: the Service selects another side than recorded"]),
            ("not reached", |seen| told(seen, GateState::Running), &[]),
            ("out of reach", |seen| told(seen, GateState::Failed), &[]),
        ],
    );
}
