//! Arrivals: a color that gets a role takes its template whole; one that has its role is put right beside what others added.

use crate::{
    decided::is_right,
    edits::blue,
    world::{Ask, World},
};
use bluegreen_api::{Color, Phase};
use bluegreen_engine::{
    Effect, Observed,
    decision::{Change, Manner, Object, Part},
    observed::Refusal,
    render,
};
use jiff::Timestamp;
use serde_json::{Value, json};

fn manner(effects: &[Effect]) -> Option<(Color, Manner)> {
    effects.iter().find_map(|effect| match &effect.change {
        Change::WriteDeployment { color, manner, .. } => Some((*color, manner.clone())),
        _ => None,
    })
}

fn arrives(color: Color) -> impl Fn(&World, &[Effect]) -> bool {
    move |_, effects| matches!(manner(effects), Some((is, Manner::Arrival(_))) if is == color)
}

#[test]
fn a_candidate_takes_its_template_whole() {
    let mut world = World::live(json!({}));
    world.image("shop:2");
    world.until_about_to(arrives(Color::Green));
    world.run_until(Phase::Healthy);
    world.image("shop:3");
    world.until_about_to(arrives(Color::Blue));
}

/// Its pods run, and were never touched: they are no candidate before the template was written for the new attempt.
#[test]
fn a_retry_takes_its_template_anew_before_it_counts() {
    let mut world = World::live(json!({"scaleDown": {"afterAbort": "1h"}, "promotion": {"mode": "Manual"}}));
    world.image("shop:2");
    world.run_until(Phase::AwaitingPromotion);
    world.order("abort");
    world.run_until(Phase::Aborted);
    assert_eq!(world.ready("shop:2"), 3, "{}", world.story());
    let rejected = world.status.rejected.as_ref().unwrap().revision.clone();
    world.order_for("retry", &rejected);
    let (seen, effects) = world.until_about_to(arrives(Color::Green));
    assert_eq!(seen.status.phase, Some(Phase::DeployingPreview));
    assert_eq!(manner(&effects), Some((Color::Green, Manner::Arrival(seen.status.attempt.to_string()))));
    world.run_until(Phase::AwaitingPromotion);
    world.order("promote");
    world.run_until(Phase::Healthy);
}

#[test]
fn the_slow_way_back_takes_its_template_whole() {
    let mut world = World::live(json!({}));
    world.image("shop:2");
    world.run_until(Phase::Healthy);
    world.order("rollback");
    let (seen, effects) = world.until_about_to(arrives(Color::Blue));
    assert_eq!(manner(&effects), Some((Color::Blue, Manner::Arrival(format!("{}-back", seen.status.attempt)))));
    world.run_until(Phase::RolledBack);
    assert_eq!(world.serves().as_deref(), Some("shop:1"));
}

/// Of an operator that left no marker: what it recorded of its write counts.
#[test]
fn an_upgrade_writes_no_candidate_anew() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    world.image("shop:2");
    world.run_until(Phase::AwaitingPromotion);
    let deployment = world.deployments.get_mut(&Color::Green).unwrap();
    deployment.arrival.clear();
    world.settle();
    assert!(world.deployments[&Color::Green].arrival.is_empty(), "{}", world.story());
}

fn refused(seen: &mut Observed, message: &str) {
    let at = Timestamp::from_second(seen.now.as_second() - 60).unwrap();
    let (object, message) = (Object::Deployment(Color::Blue), message.into());
    seen.refusals =
        vec![Refusal { object, part: Part::Whole, code: 422, message, at, times: 1, denied_since: None, generation: seen.generation }];
    blue(seen).generation += 1;
}

#[test]
fn a_refused_template_does_not_stop_the_size() {
    is_right(
        &World::live(json!({})).seen(),
        &[
            (
                "as large as it should be",
                |seen| refused(seen, "spec.template: Invalid value"),
                &["apply blue ×3: another client changed the Deployment"],
            ),
            (
                "smaller",
                |seen| {
                    refused(seen, "spec.template: Invalid value");
                    blue(seen).replicas = 1;
                },
                &["scale blue to 3: the Deployment has another size than recorded"],
            ),
            (
                "a list with a key twice",
                |seen| refused(seen, "failed to create typed patch object (a/shop-blue; apps/v1, Kind=Deployment): duplicate entries"),
                &["write blue ×3: another client changed the Deployment"],
            ),
        ],
    );
}

#[test]
fn a_whole_write_names_every_field_that_is_ours() {
    let world = World::live(json!({}));
    let mut seen = world.seen();
    seen.ask(|spec| spec.min_ready_seconds = Some(700));
    let revision = render::controller_revision(&seen, &seen.status.active.as_ref().unwrap().revision, 1);
    let body = render::deployment(&seen, (Color::Blue, 3, &Manner::Arrival("4".into())), &revision["data"]);
    assert_eq!(body["spec"]["progressDeadlineSeconds"], 1300);
    let steps = render::whole(&body, "7", &["annotations"], true);
    let steps: Vec<_> =
        steps.as_array().unwrap().iter().map(|step| (step["op"].as_str().unwrap(), step["path"].as_str().unwrap())).collect();
    assert_eq!(steps[..2], [("replace", "/metadata/resourceVersion"), ("add", "/metadata/annotations")]);
    for path in ["/spec/template", "/spec/replicas", "/spec/paused", "/metadata/annotations/bluegreen.dev~1arrival"] {
        assert!(steps.contains(&("add", path)), "{path}: {steps:?}");
    }
    let owner = |owned: bool| {
        render::whole(&body, "7", &[], owned).as_array().unwrap().iter().any(|step| step["path"] == "/metadata/ownerReferences")
    };
    assert_eq!((owner(true), owner(false)), (false, true));
    assert_eq!(body["spec"]["paused"], Value::Bool(false));
}
