//! What the world must look like for a record, one edit at a time: what is put right, in which words, and what is left alone.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod world;

use bluegreen_api::{Color, GateState, Phase, Side};
use bluegreen_engine::{
    Decision, Observed, decide,
    decision::{Change, Guard, Object, Target},
    observed::*,
    render,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use world::World;

type Edit = fn(&mut Observed);

/// What is done about what is seen, once everything is recorded that is to be.
fn done(mut seen: Observed) -> Vec<String> {
    for _ in 0..8 {
        match decide(&seen) {
            Decision::Record(status) => seen.status = *status,
            Decision::Act(effects) => return effects.iter().map(|effect| format!("{}: {}", change(effect), effect.why)).collect(),
            Decision::Wait { .. } => return vec![],
        }
    }
    panic!("no end of records");
}

fn change(effect: &bluegreen_engine::Effect) -> String {
    let anew = if effect.guard == Guard::Absent { " anew" } else { "" };
    match &effect.change {
        Change::WriteRevision { number, .. } => format!("write revision {number}"),
        Change::RestoreRevision { number, color, .. } => format!("restore revision {number} from {color}"),
        Change::DeleteRevision { .. } => "delete a revision".into(),
        Change::AdoptRevision { .. } => "adopt the revision".into(),
        Change::ApplyDeployment { color, replicas, .. } => format!("apply {color} ×{replicas}{anew}"),
        Change::Scale { color, replicas } => format!("scale {color} to {replicas}"),
        Change::ApplyService { role, target } if target.revision == Target::NOTHING => {
            format!("{} Service to nothing{anew}", role.as_str())
        }
        Change::ApplyService { role, target } => format!("{} Service to {}{anew}", role.as_str(), target.color),
        Change::Fence { object, .. } => format!("fence {object:?}"),
    }
}

fn is_right(seen: &Observed, table: &[(&str, Edit, &[&str])]) {
    for (edit, make, expected) in table {
        let mut seen = seen.clone();
        make(&mut seen);
        assert_eq!(done(seen), *expected, "{edit}");
    }
}

fn there<T>(object: &mut ObjectSeen<T>) -> &mut T {
    match object {
        ObjectSeen::There(object) => object,
        ObjectSeen::Absent => panic!("it is absent"),
    }
}

fn blue(seen: &mut Observed) -> &mut DeploymentSeen {
    there(&mut seen.blue.deployment)
}

fn green(seen: &mut Observed) -> &mut DeploymentSeen {
    there(&mut seen.green.deployment)
}

fn active(seen: &mut Observed) -> &mut ServiceSeen {
    there(&mut seen.active_service)
}

fn preview(seen: &mut Observed) -> &mut ServiceSeen {
    there(&mut seen.preview_service)
}

fn foreign(adopt: bool) -> Owner {
    Owner::Foreign { who: "somebody".into(), adopt }
}

/// Leaves so many pods of a color ready, and its Deployment tells the same.
fn leave_ready(color: &mut ColorSeen, ready: usize) {
    color.pods.iter_mut().enumerate().for_each(|(index, pod)| pod.ready = index < ready);
    let deployment = there(&mut color.deployment);
    deployment.ready = i32::try_from(ready).unwrap();
    deployment.available = deployment.ready;
}

fn select(service: &mut ServiceSeen, side: &Side) {
    let target = Target { color: side.color, revision: side.revision.clone(), ports: side.ports.clone() };
    service.selector = render::selector("shop", &target);
}

#[test]
fn a_live_deployment_is_put_right_after_any_edit_and_nothing_else_is_touched() {
    const LABELS: &str = "apply blue ×3: labels or owner of the Deployment are not ours";
    const EDITED: &str = "apply blue ×3: somebody else changed the Deployment";
    let seen = World::live(json!({})).seen();
    is_right(
        &seen,
        &[
            ("as it is", |_| {}, &[]),
            ("lost", |seen| seen.blue.deployment = ObjectSeen::Absent, &["apply blue ×3 anew: the Deployment is missing"]),
            (
                "another template",
                |seen| blue(seen).revision = "other".into(),
                &["apply blue ×3: the Deployment is to run another revision"],
            ),
            ("an orphan", |seen| blue(seen).owner = Owner::Orphan, &[LABELS]),
            ("handed over", |seen| blue(seen).owner = foreign(true), &[LABELS]),
            ("labels stripped", |seen| blue(seen).labels_intact = false, &[LABELS]),
            ("minReadySeconds by hand", |seen| blue(seen).min_ready_seconds = 5, &["apply blue ×3: minReadySeconds changed"]),
            ("edited", |seen| blue(seen).generation += 1, &[EDITED]),
            (
                "edited while this process was not there",
                |seen| (blue(seen).applied_generation, blue(seen).generation) = (None, 9),
                &[EDITED],
            ),
            ("scaled down", |seen| blue(seen).replicas = 1, &["scale blue to 3: the size is another"]),
            ("scaled up", |seen| blue(seen).replicas = 7, &["scale blue to 3: the size is another"]),
            ("scaled by hand", |seen| (blue(seen).replicas, blue(seen).generation) = (7, 9), &[EDITED]),
            ("being deleted, and edited", |seen| (blue(seen).deleting, blue(seen).replicas) = (true, 1), &[]),
            ("of somebody else, and edited", |seen| (blue(seen).owner, blue(seen).replicas) = (foreign(false), 1), &[]),
            ("of a rollout that is gone", |seen| (blue(seen).owner, blue(seen).replicas) = (Owner::Former, 1), &[]),
        ],
    );
}

#[test]
fn a_service_is_put_right_after_any_edit_and_what_others_added_stays() {
    const PORTS: &str = "active Service to blue: the ports of the Service are not those of its revision";
    const SELECTOR: &str = "active Service to blue: the Service is to select another side";
    const CHANGED: &str = "active Service to blue: the Service was changed, or is not ours yet";
    let world = World::live(json!({"service": {"ports": [
        {"name": "http", "port": 80, "targetPort": "http", "nodePort": 30080, "appProtocol": "http"},
        {"name": "dns", "port": 80, "targetPort": 53, "protocol": "UDP"},
    ]}}));
    let seen = world.seen();
    is_right(
        &seen,
        &[
            ("as it is", |_| {}, &[]),
            ("lost", |seen| seen.active_service = ObjectSeen::Absent, &["active Service to blue anew: the Service is missing"]),
            ("selector lost", |seen| active(seen).selector.clear(), &[SELECTOR]),
            ("one more key", |seen| drop(active(seen).selector.insert("tier".into(), "web".into())), &[SELECTOR]),
            ("an orphan", |seen| active(seen).owner = Owner::Orphan, &[CHANGED]),
            ("labels stripped", |seen| active(seen).labels_intact = false, &[CHANGED]),
            ("another type", |seen| active(seen).settings_intact = false, &[CHANGED]),
            ("a port gone", |seen| drop(active(seen).ports.pop()), &[PORTS]),
            ("a port by another name", |seen| active(seen).ports[0].name = Some("web".into()), &[PORTS]),
            ("a port that leads elsewhere", |seen| active(seen).ports[1].target_port = None, &[PORTS]),
            ("another protocol", |seen| active(seen).ports[1].protocol = Some(bluegreen_api::Protocol::TCP), &[PORTS]),
            ("another appProtocol", |seen| active(seen).ports[0].app_protocol = None, &[PORTS]),
            ("another node port than asked for", |seen| active(seen).ports[0].node_port = Some(30081), &[PORTS]),
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
                |seen| seen.preview_service = ObjectSeen::Absent,
                &["preview Service to blue anew: the Service is missing"],
            ),
            (
                "the preview's selector lost",
                |seen| preview(seen).selector.clear(),
                &["preview Service to blue: the Service is to select another side"],
            ),
            ("the preview of somebody else", |seen| (preview(seen).owner, preview(seen).labels_intact) = (foreign(false), false), &[]),
        ],
    );
}

#[test]
fn a_revision_is_kept_for_as_long_as_it_may_be_needed() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    world.image("shop:2");
    world.run_until(Phase::AwaitingPromotion);
    let seen = world.seen();
    assert_eq!(seen.revisions.len(), 2);
    fn forget(seen: &mut Observed, number: i64) {
        seen.revisions.retain(|revision| revision.number != number);
    }
    is_right(
        &seen,
        &[
            ("as it is", |_| {}, &[]),
            ("no owner", |seen| seen.revisions[0].owner = Owner::Orphan, &["adopt the revision: the ControllerRevision has no owner"]),
            ("lost, and it runs", |seen| forget(seen, 1), &["restore revision 1 from blue: the ControllerRevision was lost"]),
            (
                "lost, and its Deployment edited",
                |seen| {
                    forget(seen, 1);
                    blue(seen).labels_intact = false;
                },
                &[
                    "restore revision 1 from blue: the ControllerRevision was lost",
                    "apply blue ×3: labels or owner of the Deployment are not ours",
                ],
            ),
            ("the candidate's lost", |seen| forget(seen, 2), &["restore revision 2 from green: the ControllerRevision was lost"]),
            (
                "lost, and it runs in the other color",
                |seen| {
                    forget(seen, 2);
                    std::mem::swap(&mut seen.blue.deployment, &mut seen.green.deployment);
                    seen.blue.pods.clear();
                    (blue(seen).owner, green(seen).owner) = (foreign(false), foreign(false));
                },
                &["restore revision 2 from blue: the ControllerRevision was lost"],
            ),
            (
                "lost with its Deployment: spec still has it",
                |seen| {
                    forget(seen, 2);
                    (seen.green.deployment, seen.green.pods) = (ObjectSeen::Absent, vec![]);
                },
                &["write revision 2: the revision is not stored yet", "apply green ×3 anew: the Deployment is missing"],
            ),
            (
                "lost with its Deployment, and spec has another: that may be there without its label",
                |seen| {
                    forget(seen, 1);
                    (seen.blue.deployment, seen.blue.pods) = (ObjectSeen::Absent, vec![]);
                },
                &["restore revision 1 from blue: the ControllerRevision was lost, and its Deployment is not seen"],
            ),
            (
                "and isn't there under its name either: nothing can bring it back",
                |seen| {
                    forget(seen, 1);
                    (seen.blue.deployment, seen.blue.pods) = (ObjectSeen::Absent, vec![]);
                    let object = Object::Revision(seen.status.active.as_ref().unwrap().revision.clone());
                    let generation = seen.generation;
                    seen.refusals = vec![Refusal { object, code: 404, message: "gone".into(), at: seen.now, times: 1, generation }];
                },
                &[],
            ),
        ],
    );
}

#[test]
fn the_switch_waits_until_everything_of_the_candidate_is_there() {
    const SWITCH: &[&str] = &["active Service to green: the Service is to select another side"];
    let mut world = World::live(json!({}));
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
            ("a watch is down", |seen| seen.blind = Some(Blind { why: "pods: no answer".into(), since: seen.now }), &[]),
            ("fewer are asked for", |seen| green(seen).replicas = 2, &["scale green to 3: the size is another"]),
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
fn the_way_back_is_taken_as_soon_as_the_former_side_can_carry_what_is_left() {
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

#[test]
fn a_side_that_is_deployed_again_is_trusted_once_its_controller_has_seen_it_as_we_left_it() {
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
fn the_preview_service_shows_the_candidate_once_it_has_a_ready_pod() {
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
    assert_eq!(done(seen), ["preview Service to green: the Service is to select another side"]);
    // During the switch back what serves comes first, unless there is no preview Service at all.
    let mut seen = rolling_back(json!({}));
    leave_ready(&mut seen.blue, 1);
    let ending = seen.status.ending.as_mut().unwrap();
    ending.ordered = false;
    preview(&mut seen).selector.clear();
    assert_eq!(done(seen.clone()), [""; 0]);
    seen.preview_service = ObjectSeen::Absent;
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

#[test]
fn the_first_revision_serves_once_its_gates_as_they_are_defined_now_have_passed() {
    const SERVES: &[&str] = &["active Service to blue: the Service is to select another side"];
    let mut seen = first_verified(json!({}));
    let first = seen.status.active.clone().unwrap();
    select(active(&mut seen), &Side { revision: Target::NOTHING.into(), ..first.clone() });
    is_right(
        &seen,
        &[
            ("passed", |_| {}, SERVES),
            ("not yet", |seen| seen.status.gates[0].state = bluegreen_api::GateState::Running, &[]),
            ("failed", |seen| seen.status.gates[0].state = bluegreen_api::GateState::Failed, &[]),
            ("of another definition", |seen| seen.status.gates[0].definition = "old".into(), &[]),
            ("of another gate", |seen| seen.status.gates[0].name = "verification/other".into(), &[]),
            ("of a definition that can't be read", |seen| seen.spec.verification.as_mut().unwrap().checks[0].http = None, &[]),
        ],
    );
    // What serves is not taken from users for a gate.
    select(active(&mut seen), &first);
    seen.status.gates.clear();
    assert_eq!(done(seen.clone()), [""; 0]);
    active(&mut seen).labels_intact = false;
    assert_eq!(done(seen), ["active Service to blue: the Service was changed, or is not ours yet"]);
}

#[test]
fn the_first_revision_serves_once_its_score_is_reached_whatever_became_of_what_counts_in_it() {
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
            ("reached", |_| {}, &["active Service to blue: the Service is to select another side"]),
            ("not reached", |seen| told(seen, GateState::Running), &[]),
            ("out of reach", |seen| told(seen, GateState::Failed), &[]),
        ],
    );
}

/// The former side's time is over, and nothing is done yet.
fn over() -> Observed {
    let mut world = World::live(json!({"scaleDown": {"drain": "5s", "after": "5s"}}));
    world.image("shop:2");
    world.until_about_to_act_in(Phase::ScalingDown);
    world.seen()
}

#[test]
fn the_former_side_goes_when_its_time_is_over_and_the_new_one_serves() {
    const GOES: &[&str] = &["scale blue to 0: the size is another"];
    fn no_pods(seen: &mut Observed) {
        (seen.spec.replicas, seen.status.active.as_mut().unwrap().replicas) = (0, 0);
    }
    fn earlier(seen: &mut Observed, millis: i64) {
        seen.now = jiff::Timestamp::from_millisecond(seen.now.as_millisecond() - millis).unwrap();
    }
    let seen = over();
    is_right(
        &seen,
        &[
            ("its time is over", |_| {}, GOES),
            ("in the last moment", |seen| earlier(seen, 1), &[]),
            (
                "never",
                |seen| seen.spec.scale_down = serde_json::from_value(json!({"after": "Never"})).unwrap(),
                &["fence Deployment(Blue): an intention recorded for it is withdrawn"],
            ),
            ("the new side has no pod left", |seen| leave_ready(&mut seen.green, 0), &[]),
            ("no pod is asked for", no_pods, &["scale green to 0: the size is another"]),
            (
                "no pod is asked for, and none is left",
                |seen| {
                    no_pods(seen);
                    leave_ready(&mut seen.green, 0);
                    green(seen).replicas = 0;
                },
                GOES,
            ),
            ("paused", |seen| seen.spec.paused = true, &[]),
            ("paused by order", |seen| seen.status.paused_by_order = true, &[]),
            ("bad input", |seen| seen.spec.template.0 = json!({}), &[]),
            ("a watch is down", |seen| seen.blind = Some(Blind { why: "pods: no answer".into(), since: seen.now }), &[]),
            (
                "users still reach a pod of it",
                |seen| seen.endpoints.pods = vec![EndpointSeen { pod: seen.blue.pods[0].name.clone(), ready: true }],
                &[],
            ),
            (
                "an endpoint of it that is not ready",
                |seen| seen.endpoints.pods = vec![EndpointSeen { pod: seen.blue.pods[0].name.clone(), ready: false }],
                GOES,
            ),
            ("edited as well", |seen| blue(seen).labels_intact = false, &["apply blue ×0: labels or owner of the Deployment are not ours"]),
        ],
    );
}

#[test]
fn a_side_that_users_still_reach_is_put_right_and_neither_changed_nor_shrunk() {
    let mut world = World::live(json!({"monitoring": {"duration": "1h"}}));
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    let mut seen = world.seen();
    seen.endpoints.pods.push(EndpointSeen { pod: seen.blue.pods[0].name.clone(), ready: true });
    is_right(
        &seen,
        &[
            ("as it is", |_| {}, &[]),
            ("edited", |seen| blue(seen).labels_intact = false, &["apply blue ×3: labels or owner of the Deployment are not ours"]),
            ("scaled down by hand", |seen| blue(seen).replicas = 1, &["scale blue to 3: the size is another"]),
            ("scaled up by hand", |seen| blue(seen).replicas = 5, &[]),
            ("another template", |seen| blue(seen).revision = "other".into(), &[]),
        ],
    );
}

#[test]
fn a_color_without_a_role_runs_no_pods() {
    const GOES: &[&str] = &["scale green to 0: the color has no role any more"];
    let mut world = World::live(json!({}));
    world.image("shop:2");
    world.settle();
    world.order("rollback");
    world.settle();
    // Somebody scales up what was given up.
    world.deployments.get_mut(&Color::Green).unwrap().replicas = 2;
    world.controllers();
    let seen = world.seen();
    is_right(
        &seen,
        &[
            ("scaled by hand", |_| {}, GOES),
            ("left by an orphaning delete", |seen| green(seen).owner = Owner::Orphan, GOES),
            ("of somebody else", |seen| green(seen).owner = foreign(false), &[]),
            ("handed over", |seen| green(seen).owner = foreign(true), &[]),
            ("being deleted", |seen| green(seen).deleting = true, &[]),
            ("at 0", |seen| green(seen).replicas = 0, &[]),
            ("lost", |seen| seen.green.deployment = ObjectSeen::Absent, &[]),
            (
                "traffic is not where it belongs, and the active Service can't be written",
                |seen| (active(seen).owner, active(seen).selector) = (foreign(false), [].into()),
                &[],
            ),
            (
                "users still reach a pod of it",
                |seen| seen.endpoints.pods.push(EndpointSeen { pod: seen.green.pods[0].name.clone(), ready: true }),
                &[],
            ),
        ],
    );
}

#[test]
fn the_oldest_revisions_beyond_the_limit_go_and_no_way_back_with_them() {
    let mut world = World::live(json!({"revisionHistoryLimit": 10, "scaleDown": {"drain": "0s", "after": "0s"}}));
    for number in 2..6 {
        world.image(&format!("shop:{number}"));
        world.settle();
    }
    let seen = world.seen();
    let goes = |limit: i32, edit: Edit| {
        let mut seen = seen.clone();
        seen.spec.revision_history_limit = Some(limit);
        seen.revisions.sort_by_key(|revision| std::cmp::Reverse(revision.number));
        edit(&mut seen);
        let numbers: Vec<_> = seen.revisions.iter().map(|revision| (revision.hash.clone(), revision.number)).collect();
        let mut gone = vec![];
        loop {
            match decide(&seen) {
                Decision::Record(status) => seen.status = *status,
                Decision::Act(effects) => {
                    for effect in effects {
                        let Change::DeleteRevision { hash } = effect.change else { panic!("{effect:?}") };
                        gone.push(numbers.iter().find(|(it, _)| *it == hash).unwrap().1);
                        seen.revisions.retain(|revision| revision.hash != hash);
                    }
                }
                Decision::Wait { .. } => return gone,
            }
        }
    };
    assert_eq!(goes(5, |_| {}), [0; 0]);
    assert_eq!(goes(4, |_| {}), [1]);
    assert_eq!(goes(3, |_| {}), [1, 2]);
    assert_eq!(goes(1, |_| {}), [1, 2, 3], "the former one is the way back");
    assert_eq!(goes(3, |seen| seen.revisions[4].owner = foreign(false)), [2, 3], "what somebody else owns stays");
    fn rejected(seen: &mut Observed) {
        let side = seen.revisions[3].clone();
        seen.status.phase = Some(Phase::Aborted);
        seen.spec.image = Some(side.image.clone());
        seen.status.rejected = Some(bluegreen_api::Rejected {
            revision: side.hash,
            number: side.number,
            attempt: 2,
            image: side.image,
            reason: "Ordered".into(),
            message: "by order".into(),
            at: seen.now,
        });
    }
    assert_eq!(goes(3, rejected), [1, 3], "what was rejected can be tried again");
    fn in_the_middle(seen: &mut Observed) {
        (seen.status.phase, seen.spec.paused) = (Some(Phase::Monitoring), true);
    }
    assert_eq!(goes(1, in_the_middle), [0; 0], "not in the middle of a story");
}

#[test]
fn the_live_side_is_put_right_and_shrinks_though_users_reach_it() {
    let seen = World::live(json!({})).seen();
    assert!(!seen.endpoints.pods.is_empty());
    is_right(
        &seen,
        &[
            (
                "another template",
                |seen| blue(seen).revision = "other".into(),
                &["apply blue ×3: the Deployment is to run another revision"],
            ),
            ("scaled up by hand", |seen| blue(seen).replicas = 5, &["scale blue to 3: the size is another"]),
        ],
    );
}

#[test]
fn pods_of_another_revision_make_no_side_ready() {
    let mut seen = World::live(json!({})).seen();
    seen.blue.pods.iter_mut().for_each(|pod| pod.revision = "other".into());
    let Decision::Record(status) = decide(&seen) else { panic!("it is not told") };
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "Degraded"));
}
