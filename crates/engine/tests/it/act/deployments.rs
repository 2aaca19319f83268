//! Deployments: how they are put right, and when they go.

use crate::world::Ask;
use crate::{
    decided::is_right,
    edits::{active, blue, foreign, green, leave_ready, refused},
    world::World,
};
use bluegreen_api::{Color, Phase};
use bluegreen_engine::{
    Decision, Observed, decide,
    decision::{Object, Part},
    observed::{EndpointSeen, Late, ObjectKind, Owner},
};
use jiff::Timestamp;
use serde_json::json;

// Found by attack.
#[test]
fn a_deployment_is_written_only_after_its_revision() {
    let mut world = World::live(json!({}));
    world.image("shop:2");
    world.until_about_to_act_in(Phase::DeployingPreview);
    let object = Object::Revision(world.status.preview.as_ref().unwrap().revision.clone());
    world.refusals.push(refused(object, world.now, world.generation));
    for _ in 0..5 {
        match decide(&world.seen()) {
            Decision::Record(status) => world.status = *status,
            Decision::Act(effects) => panic!("{effects:?}"),
            Decision::Wait { until, .. } => return assert!(until.is_some()),
        }
    }
    panic!("it doesn't wait\n{}", world.story());
}

#[test]
fn a_deployment_gets_the_metadata_that_is_asked_for_once_nothing_else_is_to_do() {
    const SETTLES: &str = "settle blue: the Deployment has other labels or annotations than spec.deployment";
    let unsettled = |seen: &mut Observed| blue(seen).settings_intact = false;
    is_right(
        &World::live(json!({})).seen(),
        &[
            ("others than asked for", unsettled, &[SETTLES]),
            (
                "another size too",
                |seen| (blue(seen).settings_intact, blue(seen).replicas) = (false, 1),
                &["scale blue to 3: the Deployment has another size than recorded"],
            ),
            ("being deleted", |seen| (blue(seen).settings_intact, blue(seen).deleting) = (false, true), &[]),
            ("of somebody else", |seen| (blue(seen).settings_intact, blue(seen).owner) = (false, foreign(false)), &[]),
        ],
    );
}

/// The second would find another object than was seen.
#[test]
fn a_deployment_is_written_once_at_a_time() {
    let mut world = World::in_phase(json!({}), "shop:2-slow", Phase::DeployingPreview);
    world.run_for(5);
    let unsettled = |seen: &mut Observed| (green(seen).settings_intact, green(seen).replicas) = (false, 1);
    let scale = "scale green to 3: the Deployment has another size than recorded";
    is_right(&world.seen(), &[("of a candidate, and another size too", unsettled, &[scale])]);
}

#[test]
fn refused_metadata_of_a_deployment_holds_back_no_candidate() {
    // An armed switch asks nothing of the Deployment but its pods.
    let mut world = World::live_unarmed(json!({"scaleDown": {"after": "5s"}}));
    world.refuse = Some((Object::Deployment(Color::Green), 422, "metadata.labels: Invalid value".into()));
    world.spare = |effect| effect.part() != Part::Settings;
    world.change(json!({"deployment": {"labels": {"team": "not a label!"}}, "image": "shop:2"}));
    world.run_for(120);
    assert_eq!(world.serves().as_deref(), Some("shop:2"), "{}", world.story());
    assert!(world.status.message.contains("metadata.labels"), "{}", world.status.message);
    world.refuse = None;
    world.run_for(600);
    assert!(world.deployments[&Color::Green].written.contains("team") && world.is("Ready"), "{}", world.story());
}

/// And nothing else is touched.
#[test]
fn a_live_deployment_is_put_right_after_any_edit() {
    const LABELS: &str = "apply blue ×3: the Deployment has lost its labels or its owner";
    const EDITED: &str = "apply blue ×3: another client changed the Deployment";
    let seen = World::live(json!({})).seen();
    is_right(
        &seen,
        &[
            ("as it is", |_| {}, &[]),
            ("lost", |seen| seen.blue.deployment = None, &["write blue ×3 anew: the Deployment is missing"]),
            (
                "another template",
                |seen| blue(seen).revision = "other".into(),
                &["write blue ×3: the Deployment has another revision than recorded"],
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
            ("scaled down", |seen| blue(seen).replicas = 1, &["scale blue to 3: the Deployment has another size than recorded"]),
            ("scaled up", |seen| blue(seen).replicas = 7, &["scale blue to 3: the Deployment has another size than recorded"]),
            ("scaled by hand", |seen| (blue(seen).replicas, blue(seen).generation) = (7, 9), &[EDITED]),
            ("being deleted, and edited", |seen| (blue(seen).deleting, blue(seen).replicas) = (true, 1), &[]),
            ("of somebody else, and edited", |seen| (blue(seen).owner, blue(seen).replicas) = (foreign(false), 1), &[]),
            ("of a rollout that is gone", |seen| (blue(seen).owner, blue(seen).replicas) = (Owner::Former, 1), &[]),
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
fn the_former_side_goes_after_its_time_if_the_new_serves() {
    const GOES: &[&str] = &["scale blue to 0: the Deployment has another size than recorded"];
    fn no_pods(seen: &mut Observed) {
        seen.ask(|spec| spec.replicas = 0);
        seen.status.active.as_mut().unwrap().replicas = 0;
    }
    fn earlier(seen: &mut Observed, millis: i64) {
        seen.now = Timestamp::from_millisecond(seen.now.as_millisecond() - millis).unwrap();
    }
    let seen = over();
    is_right(
        &seen,
        &[
            ("its time is over", |_| {}, GOES),
            ("in the last moment", |seen| earlier(seen, 1), &[]),
            (
                "never",
                |seen| seen.ask(|spec| spec.scale_down = serde_json::from_value(json!({"after": "Never"})).unwrap()),
                &["fence Deployment(Blue): a recorded intention was withdrawn"],
            ),
            (
                "the new side has no pod left, and is rolled back",
                |seen| leave_ready(&mut seen.green, 0),
                &["fence Deployment(Blue): a recorded intention was withdrawn"],
            ),
            ("the new side is short of pods", |seen| leave_ready(&mut seen.green, 2), &[]),
            ("no pod is asked for", no_pods, &["scale green to 0: the Deployment has another size than recorded"]),
            (
                "no pod is asked for, and none is left",
                |seen| {
                    no_pods(seen);
                    leave_ready(&mut seen.green, 0);
                    green(seen).replicas = 0;
                },
                GOES,
            ),
            ("paused", |seen| seen.ask(|spec| spec.paused = true), &[]),
            ("paused by order", |seen| seen.status.paused_by_order = true, &[]),
            ("bad input", |seen| seen.ask(|spec| spec.template.0 = json!({})), &[]),
            ("a watch is down", |seen| seen.late = vec![Late { kind: ObjectKind::Pod, why: "no answer".into(), since: seen.now }], &[]),
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
            (
                "edited as well",
                |seen| blue(seen).labels_intact = false,
                &["apply blue ×0: the Deployment has lost its labels or its owner"],
            ),
        ],
    );
}

/// It is put right otherwise.
#[test]
fn a_side_that_users_reach_is_neither_changed_nor_shrunk() {
    let mut world = World::live(json!({"monitoring": {"duration": "1h"}}));
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    let mut seen = world.seen();
    seen.endpoints.pods.push(EndpointSeen { pod: seen.blue.pods[0].name.clone(), ready: true });
    is_right(
        &seen,
        &[
            ("as it is", |_| {}, &[]),
            ("edited", |seen| blue(seen).labels_intact = false, &["apply blue ×3: the Deployment has lost its labels or its owner"]),
            ("scaled down by hand", |seen| blue(seen).replicas = 1, &["scale blue to 3: the Deployment has another size than recorded"]),
            ("scaled up by hand", |seen| blue(seen).replicas = 5, &[]),
            ("another template", |seen| blue(seen).revision = "other".into(), &[]),
        ],
    );
}

#[test]
fn a_color_without_a_role_runs_no_pods() {
    const GOES: &[&str] = &["scale green to 0: the color is no longer in use"];
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
            ("lost", |seen| seen.green.deployment = None, &[]),
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
fn the_live_side_is_put_right_and_shrinks_though_users_reach_it() {
    let seen = World::live(json!({})).seen();
    assert!(!seen.endpoints.pods.is_empty());
    is_right(
        &seen,
        &[
            (
                "another template",
                |seen| blue(seen).revision = "other".into(),
                &["write blue ×3: the Deployment has another revision than recorded"],
            ),
            ("scaled up by hand", |seen| blue(seen).replicas = 5, &["scale blue to 3: the Deployment has another size than recorded"]),
        ],
    );
}
