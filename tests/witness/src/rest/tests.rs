use super::*;
use serde_json::{Value, json};

const ASKED: Asked<'_> = Asked { generation: 3, paused: false, replicas: 2, image: Some("shop:2") };
const ADVICE: &str = "Approve: bluegreen.dev/promote=q2";

fn side(image: &str) -> Value {
    json!({"color": "blue", "revision": "q2", "number": 2, "image": image, "replicas": 2, "ports": []})
}

/// In a phase, with a condition that is True beside Ready, if there is one.
fn status(phase: &str, ready: bool, reason: &str, more: &Value) -> BlueGreenRolloutStatus {
    let condition = |type_: &str, is: bool| {
        json!({
            "type": type_, "status": if is { "True" } else { "False" }, "reason": reason, "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    };
    let mut status = json!({
        "observedGeneration": 3, "phase": phase, "active": side("shop:2"), "attempt": 2, "revisions": 2, "replicas": 2,
        "conditions": [condition("Ready", ready), condition("Promoted", ready)],
    });
    if !ready && reason == "Stalls" {
        status["conditions"].as_array_mut().unwrap().push(condition("Stalled", true));
    }
    for (key, value) in more.as_object().unwrap() {
        status[key] = value.clone();
    }
    serde_json::from_value(status).unwrap()
}

fn rejected() -> Value {
    json!({"revision": "q3", "number": 3, "attempt": 3, "image": "shop:3", "reason": "CheckFailed", "message": "", "at": "2026-01-01T00:00:00Z"})
}

fn rest(asked: Asked<'_>, status: &BlueGreenRolloutStatus) -> Result<(), Why> {
    at_rest(&asked, status, &["shop:2".to_owned()])
}

#[test]
fn it_may_rest_where_an_attempt_ends() {
    assert_eq!(rest(ASKED, &status("Healthy", true, "Available", &json!({}))), Ok(()));
    for phase in ["Aborted", "RolledBack"] {
        let ended = json!({"rejected": rejected(), "message": "Change spec, or try again"});
        assert_eq!(rest(ASKED, &status(phase, false, "Stalls", &ended)), Ok(()));
    }
    assert_eq!(rest(Asked { image: None, ..ASKED }, &status("Healthy", true, "Available", &json!({"active": side("shop:2")}))), Ok(()));
}

#[test]
fn it_may_rest_where_it_waits_for_a_person() {
    let advice = json!({"message": ADVICE});
    for (asked, phase, reason) in [
        (ASKED, "AwaitingPromotion", "AwaitingApproval"),
        (ASKED, "Monitoring", "Inconclusive"),
        (ASKED, "Initializing", "Stalls"),
        (Asked { paused: true, ..ASKED }, "Verifying", "Paused"),
        (Asked { replicas: 0, ..ASKED }, "DeployingPreview", "NoReplicas"),
    ] {
        assert_eq!(rest(asked, &status(phase, false, reason, &advice)), Ok(()), "{phase} {reason}");
    }
    let by_order = json!({"message": "Paused by annotation. Resume: kubectl annotate bgr shop -n web --overwrite bluegreen.dev/resume=q2", "pausedByOrder": true});
    assert_eq!(rest(ASKED, &status("Verifying", false, "Paused", &by_order)), Ok(()));
}

#[test]
fn it_may_not_rest_in_the_middle() {
    let middle = |asked: Asked<'_>, reason: &str, phase: &str| rest(asked, &status(phase, false, reason, &json!({"message": ADVICE})));
    for phase in Phase::ALL.iter().filter(|phase| !matches!(phase, Phase::Healthy | Phase::Aborted | Phase::RolledBack)) {
        assert!(matches!(middle(ASKED, "Verifying", phase.as_str()), Err(Why::UnderWay { .. })), "{phase}");
    }
    assert!(matches!(middle(ASKED, "Paused", "Verifying"), Err(Why::UnderWay { .. })), "it isn't paused");
    assert!(matches!(middle(ASKED, "NoReplicas", "Verifying"), Err(Why::UnderWay { .. })), "replicas are asked for");
    let ready = status("Monitoring", true, "AwaitingApproval", &json!({"message": ADVICE}));
    assert!(matches!(rest(ASKED, &ready), Err(Why::UnderWay { .. })), "it is Ready, so it waits for no person");
}

#[test]
fn an_earlier_spec_is_no_rest() {
    let healthy = status("Healthy", true, "Available", &json!({"observedGeneration": 2}));
    assert_eq!(rest(ASKED, &healthy), Err(Why::Unobserved { generation: 3, observed: 2 }));
}

#[test]
fn a_wait_for_a_person_says_what_to_do() {
    let waits = |message: &str| rest(ASKED, &status("AwaitingPromotion", false, "AwaitingApproval", &json!({"message": message})));
    assert_eq!(waits("Change spec.image"), Ok(()));
    assert!(matches!(waits("Waiting"), Err(Why::NoAdvice { .. })));
    let stalled = status("Healthy", false, "Stalls", &json!({"message": "Service shop belongs to Helm"}));
    assert!(matches!(rest(ASKED, &stalled), Err(Why::NoAdvice { .. })));
}

#[test]
fn a_revision_is_given_up_with_a_reason() {
    let mut nothing = rejected();
    nothing["reason"] = json!("");
    for more in [json!({"message": ADVICE}), json!({"message": ADVICE, "rejected": nothing}), json!({"rejected": rejected()})] {
        let ended = status("RolledBack", false, "RolledBack", &more);
        assert_eq!(rest(ASKED, &ended), Err(Why::NoReason { phase: Phase::RolledBack }), "{more}");
    }
}

#[test]
fn ready_means_that_users_reach_the_active_side() {
    let healthy = status("Healthy", true, "Available", &json!({}));
    for images in [&["shop:1"][..], &["shop:1", "shop:2"], &[]] {
        let reached: Vec<_> = images.iter().map(ToString::to_string).collect();
        assert_eq!(at_rest(&ASKED, &healthy, &reached), Err(Why::Reached { active: "shop:2".into(), reached }));
    }
    let degraded = status("Healthy", false, "Degraded", &json!({}));
    assert_eq!(at_rest(&ASKED, &degraded, &[]), Ok(()));
}

#[test]
fn healthy_means_that_spec_is_carried_out() {
    let healthy = status("Healthy", true, "Available", &json!({}));
    let another = Asked { image: Some("shop:3"), ..ASKED };
    assert_eq!(rest(another, &healthy), Err(Why::Another { active: "shop:2".into(), asked: "shop:3".into() }));
    let mut unpromoted = healthy;
    unpromoted.conditions.retain(|condition| condition.type_ != reasons::PROMOTED);
    assert!(matches!(rest(ASKED, &unpromoted), Err(Why::NotPromoted { .. })));
    let stalled = status("Healthy", false, "Stalls", &json!({"message": "spec is invalid"}));
    assert_eq!(rest(another, &stalled), Ok(()), "spec is invalid, and it says so");
}
