//! What is announced after a record.

use crate::world::World;
use bluegreen_api::{Attempt, BlueGreenRolloutStatus, Color, Gate, GateState, Measured, Outcome, Phase, Side};
use bluegreen_engine::events::{Announcement, between};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde_json::json;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn attempt(number: i64) -> Attempt {
    Attempt {
        attempt: number,
        revision: format!("revision-{number}"),
        number,
        image: format!("shop:{number}"),
        from_image: String::new(),
        by: String::new(),
        phases: vec![],
        gates: vec![],
        outcome: None,
        reason: String::new(),
        message: String::new(),
        finished: None,
    }
}

fn ended(number: i64, outcome: Outcome, second: i64) -> Attempt {
    Attempt { outcome: Some(outcome), message: "because".into(), finished: Some(at(second)), ..attempt(number) }
}

fn status(phase: Phase, attempt: i64) -> BlueGreenRolloutStatus {
    BlueGreenRolloutStatus { phase: Some(phase), attempt, observed_generation: 7, ..Default::default() }
}

fn told(events: &[Announcement]) -> Vec<(&str, &str, &str)> {
    events.iter().map(|event| (event.type_, event.reason.as_str(), event.note.as_str())).collect()
}

#[test]
fn a_new_attempt_is_announced_once_with_who_asked_for_it() {
    let before = status(Phase::Healthy, 1);
    let begun =
        |by: &str, phase: Phase| BlueGreenRolloutStatus { current: Some(Attempt { by: by.into(), ..attempt(2) }), ..status(phase, 2) };
    let first = begun("kubectl", Phase::DeployingPreview);
    let events = between(&before, &first);
    assert_eq!(told(&events), [("Normal", "RolloutStarted", "Deploying revision 2 (shop:2), asked for by kubectl")]);
    assert_eq!((events[0].action.as_str(), events[0].key.as_str()), ("Deploy", "2-RolloutStarted"));
    assert_eq!(
        told(&between(&before, &begun("", Phase::DeployingPreview))),
        [("Normal", "RolloutStarted", "Deploying revision 2 (shop:2)")]
    );
    assert_eq!(between(&first, &begun("kubectl", Phase::Verifying)), [], "it goes on");
    assert_eq!(between(&first, &before), [], "a status that was put back is no new attempt");
    assert_eq!(between(&before, &begun("kubectl", Phase::RollingBack)), [], "the way back starts no rollout");
}

#[test]
fn a_promotion_is_announced_once_the_candidate_is_active() {
    let spec = World::new(json!({})).spec;
    let side = |color: Color, revision: &str| Side {
        color,
        revision: revision.into(),
        number: 2,
        image: "shop:2".into(),
        replicas: 3,
        ports: spec.service.ports.clone(),
        generation: None,
        ready_when_left: None,
        starting_since: None,
    };
    let before = |phase: Phase| BlueGreenRolloutStatus { preview: Some(side(Color::Green, "two")), ..status(phase, 2) };
    let after = |phase: Phase, active: Side| BlueGreenRolloutStatus { active: Some(active), ..status(phase, 2) };
    let candidate = || side(Color::Green, "two");
    let events = between(&before(Phase::Promoting), &after(Phase::Monitoring, candidate()));
    assert_eq!(told(&events), [("Normal", "Promoted", "Revision 2 (shop:2) serves all traffic")]);
    assert_eq!((events[0].action.as_str(), events[0].key.as_str()), ("Promote", "2-Promoted"));
    // One record may pass through the switch, and may begin the next attempt besides.
    let mut passed = after(Phase::DeployingPreview, candidate());
    passed.attempt = 3;
    for (from, to) in [(Phase::AwaitingPromotion, after(Phase::Monitoring, candidate())), (Phase::Promoting, passed)] {
        let promoted = between(&before(from), &to).into_iter().find(|event| event.reason == "Promoted");
        assert_eq!(promoted.map(|event| event.key), Some("2-Promoted".to_owned()), "{from}");
    }
    let silent = [
        (Phase::Promoting, Phase::RollingBack, candidate(), "it goes back in the same moment"),
        (Phase::Promoting, Phase::Aborting, side(Color::Blue, "one"), "the former side is active"),
        (Phase::Promoting, Phase::Aborting, side(Color::Blue, "two"), "the same revision, but of the former side"),
        (Phase::Promoting, Phase::Aborting, side(Color::Green, "three"), "another revision took its color"),
    ];
    for (from, to, active, why) in silent {
        assert_eq!(between(&before(from), &after(to, active)), [], "{why}");
    }
}

#[test]
fn the_end_of_each_attempt_is_announced_with_how_it_ended() {
    let words = [
        (Outcome::Promoted, ("Normal", "RolloutFinished", "Revision 2 (shop:2) is live")),
        (Outcome::Aborted, ("Warning", "Aborted", "Revision 2 (shop:2) was aborted: because")),
        (Outcome::RolledBack, ("Warning", "RolledBack", "Revision 2 (shop:2) was rolled back: because")),
        (Outcome::Reverted, ("Normal", "Reverted", "Revision 2 (shop:2) was reverted: because")),
        (Outcome::Superseded, ("Normal", "Superseded", "Revision 2 (shop:2) was superseded: because")),
    ];
    let with = |history: Vec<Attempt>| BlueGreenRolloutStatus { history, ..status(Phase::Healthy, 2) };
    for (outcome, expected) in words {
        let events = between(&with(vec![]), &with(vec![ended(2, outcome, 50)]));
        assert_eq!(told(&events), [expected]);
        assert_eq!((&events[0].key, events[0].action.as_str()), (&format!("2-{}", expected.1), "Finish"));
    }
    let before = with(vec![ended(2, Outcome::Promoted, 50)]);
    assert_eq!(between(&before, &before), [], "it is known");
    let another = with(vec![ended(3, Outcome::Aborted, 50), ended(2, Outcome::Promoted, 50)]);
    assert_eq!(told(&between(&before, &another)), [("Warning", "Aborted", "Revision 3 (shop:3) was aborted: because")]);
    let again = with(vec![ended(2, Outcome::RolledBack, 90)]);
    assert_eq!(told(&between(&before, &again)), [("Warning", "RolledBack", "Revision 2 (shop:2) was rolled back: because")]);
}

#[test]
fn trouble_is_announced_at_its_start_and_change_of_kind() {
    let with = |type_: &str, is: &str, reason: &str| BlueGreenRolloutStatus {
        message: "in a sentence".into(),
        conditions: vec![Condition {
            type_: type_.into(),
            status: is.into(),
            reason: reason.into(),
            message: String::new(),
            observed_generation: None,
            last_transition_time: Time(at(0)),
        }],
        ..status(Phase::DeployingPreview, 2)
    };
    let calm = with("Reconciling", "True", "DeployingPreview");
    let trouble = with("Reconciling", "True", "PodTrouble");
    let events = between(&calm, &trouble);
    assert_eq!(told(&events), [("Warning", "PodTrouble", "in a sentence")]);
    assert_eq!((events[0].action.as_str(), events[0].key.as_str()), ("Wait", "2-7-PodTrouble"));
    let is_told = |old: &BlueGreenRolloutStatus, type_: &str, is: &str, reason: &str| !between(old, &with(type_, is, reason)).is_empty();
    for reason in ["PodTrouble", "EndpointsStale", "Refused", "Inconclusive", "RollingBack"] {
        assert!(is_told(&calm, "Reconciling", "True", reason), "{reason}");
    }
    assert!(is_told(&calm, "Stalled", "True", "InvalidSpec"), "whatever stalls it");
    assert!(is_told(&trouble, "Stalled", "True", "Hopeless"), "another kind");
    assert!(!is_told(&trouble, "Stalled", "True", "PodTrouble"), "the same");
    assert!(!is_told(&trouble, "Reconciling", "True", "Verifying"), "it is over");
    assert!(!is_told(&calm, "Reconciling", "True", "Verifying"), "work goes on");
    assert!(!is_told(&calm, "Ready", "False", "PodTrouble"), "what is wrong has a condition of its own");
    for type_ in ["Stalled", "Reconciling"] {
        assert!(!is_told(&calm, type_, "False", "Refused"), "{type_} does not hold");
    }
    for reason in ["Aborted", "RolledBack"] {
        assert!(!is_told(&calm, "Stalled", "True", reason), "the end of an attempt has its own event");
    }
}

#[test]
fn a_verdict_that_is_shown_nowhere_else_is_announced() {
    let with = |name: &str, state: GateState, weight: Option<i32>, message: &str| {
        let gate = Gate {
            name: name.into(),
            state,
            weight,
            definition: "d".into(),
            message: message.into(),
            since: at(0),
            measured: None,
            tries: None,
        };
        BlueGreenRolloutStatus { gates: vec![gate], ..status(Phase::Verifying, 2) }
    };
    let turned = |name: &str, state: GateState, weight: Option<i32>, message: &str| {
        let (before, after) = (with(name, GateState::Running, weight, ""), with(name, state, weight, message));
        assert_eq!(between(&after, &after), [], "it has been told");
        between(&before, &after)
    };
    let failed = turned("verification/p95", GateState::Failed, Some(2), "0.9 is above the limit of 0.5");
    assert_eq!(told(&failed), [("Warning", "GateFailed", "verification/p95: 0.9 is above the limit of 0.5")]);
    assert_eq!((failed[0].action.as_str(), failed[0].key.as_str()), ("Judge", "2-verification/p95-GateFailed"));
    let unknown = [("Warning", "GateInconclusive", "monitoring/errors: no data")];
    assert_eq!(told(&turned("monitoring/errors", GateState::Inconclusive, None, "no data")), unknown);
    assert_eq!(turned("verification/p95", GateState::Inconclusive, Some(2), "no data").len(), 1);
    let rehearsed = |dry_run: Option<GateState>| {
        let mut after = with("verification/p95", GateState::Passed, None, "0.9 is above the limit of 0.5");
        after.gates[0].measured = Some(Measured { dry_run, ..Measured::default() });
        between(&with("verification/p95", GateState::Running, None, ""), &after)
    };
    assert_eq!(rehearsed(Some(GateState::Failed))[0].reason, "DryRunNotPassed");
    assert_eq!(rehearsed(None), [], "it has passed indeed");
    for (name, state, weight) in [
        ("verification/errors", GateState::Failed, None),
        ("verification/errors", GateState::Inconclusive, None),
        ("verification/p95", GateState::Passed, Some(2)),
        ("verification/p95", GateState::Running, Some(2)),
        ("monitoring/errors", GateState::Failed, None),
    ] {
        assert_eq!(turned(name, state, weight, "0 is within the limit"), [], "{name} {state:?}: its end or a condition tells of it");
    }
}
