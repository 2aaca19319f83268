//! Conditions as kstatus reads them, and the sentences that go with them.

use crate::{
    draft::{Draft, Stay, StayKind},
    gates::bounded,
    observed::Refusal,
};
use bluegreen_api::{Phase, reasons};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Puts message and conditions into the draft: Ready and Promoted always, Reconciling or Stalled while they hold, never both.
pub(crate) fn tell(draft: &mut Draft<'_>, stay: &Stay) {
    draft.status.message = bounded(&stay.message);
    let (promoted, promoted_reason) = promoted(draft, stay);
    let mut wanted = vec![(reasons::READY, stay.kind == StayKind::Ready, stay.reason), (reasons::PROMOTED, promoted, promoted_reason)];
    match stay.kind {
        StayKind::Ready => {}
        StayKind::Working => wanted.push((reasons::RECONCILING, true, stay.reason)),
        StayKind::Stalled => wanted.push((reasons::STALLED, true, stay.reason)),
    }
    let old = std::mem::take(&mut draft.status.conditions);
    draft.status.conditions = wanted.into_iter().map(|(type_, is, reason)| condition(draft, &old, type_, is, reason)).collect();
}

fn promoted(draft: &Draft<'_>, stay: &Stay) -> (bool, &'static str) {
    let live = draft.wants(draft.status.active.as_ref());
    let ended = matches!(draft.phase(), Some(Phase::Healthy | Phase::ScalingDown));
    if live && ended { (true, reasons::PROMOTED) } else { (false, stay.reason) }
}

fn condition(draft: &Draft<'_>, old: &[Condition], type_: &str, is: bool, reason: &str) -> Condition {
    let status = if is { "True" } else { "False" };
    let before = old.iter().find(|condition| condition.type_ == type_ && condition.status == status);
    Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: draft.status.message.clone(),
        observed_generation: Some(draft.status.observed_generation),
        last_transition_time: before.map_or(Time(whole_second(draft.now())), |condition| condition.last_transition_time.clone()),
    }
}

/// A time to the second, as conditions and people have it.
pub(crate) fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// What the API server refused, in its own words.
pub(crate) fn refusal(refusal: &Refusal, name: &str) -> Stay {
    // A doubled, unknown or malformed field in a server-side apply is answered with a 500; it is the author's all the same.
    let unread = ["failed to create typed patch object", "failed to convert new object"];
    let authors = matches!(refusal.code, 400 | 422) || unread.iter().any(|words| refusal.message.contains(words));
    let message = format!("The API server refused {name}: {}", refusal.message);
    if authors {
        return Stay::stalled(reasons::INVALID_SPEC, message);
    }
    if matches!(refusal.code, 401 | 403 | 404) {
        return Stay::stalled(reasons::REFUSED, message);
    }
    Stay::working(reasons::REFUSED, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::{Object, Role};

    #[test]
    fn a_refusal_is_told_as_the_authors_the_clusters_or_one_that_passes() {
        let typed = "failed to create typed patch object (web/shop-green): .spec.foo: field not declared in schema";
        let converted = "failed to convert new object (web/shop-green) to proper version";
        let cases = [
            (422, "spec.ports: Invalid value", StayKind::Stalled, reasons::INVALID_SPEC),
            (400, "unknown field", StayKind::Stalled, reasons::INVALID_SPEC),
            (500, typed, StayKind::Stalled, reasons::INVALID_SPEC),
            (500, converted, StayKind::Stalled, reasons::INVALID_SPEC),
            (403, "exceeded quota", StayKind::Stalled, reasons::REFUSED),
            (500, "etcdserver: request timed out", StayKind::Working, reasons::REFUSED),
            (0, "connection refused", StayKind::Working, reasons::REFUSED),
        ];
        for (code, message, kind, reason) in cases {
            let at = Timestamp::UNIX_EPOCH;
            let refused = Refusal { object: Object::Service(Role::Active), code, message: message.into(), at, times: 1, generation: 1 };
            let stay = refusal(&refused, "Service shop");
            assert!(stay.kind == kind && stay.reason == reason, "{code} {message}: {}", stay.reason);
            assert_eq!(stay.message, format!("The API server refused Service shop: {message}"));
        }
    }
}
