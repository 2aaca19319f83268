//! What holds progress, whatever the phase. Repair and the way back go on.

use super::{
    draft::Draft,
    orders::Verb,
    stay::{Stay, Step},
};
use crate::{
    decision::{Object, Part, Role},
    observed::{
        Late, ObjectKind, Observed, Owner, Refusal, ServiceSeen, Unread,
        facts::{in_words, touchable},
        services::service_name,
    },
};
use bluegreen_api::{Color, Duration, Phase, names, reasons};
use bluegreen_gates::text::{Advice, advised, around};
use std::time;

/// How long a watch may be down before that is told.
const MOMENT: time::Duration = time::Duration::from_secs(10);

/// Who or what holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Templates of gates can't be watched.
    Templates,
    /// `spec` can't be carried out.
    Spec,
    /// A person, by `spec.paused` or by an order.
    Paused,
    /// Objects of the rollout can't be watched.
    Watch,
    /// An object of the rollout can't be read.
    Unread,
    /// There are no pods to try anything with.
    NoReplicas,
}

/// Nothing may be tried, started or passed now.
pub(crate) struct Held {
    pub by: Hold,
    pub stay: Stay,
}

impl From<Held> for Step {
    fn from(held: Held) -> Self {
        Self::Stay(held.stay)
    }
}

/// Why nothing may be tried, started or passed now.
pub(crate) fn held(draft: &Draft<'_>) -> Option<Held> {
    first(draft, late(draft.seen))
}

/// The same but for a watch that is late. What may not be tried then is not taken back for it: as a rule it comes back in a moment.
pub(crate) fn held_by_more_than_a_watch(draft: &Draft<'_>) -> Option<Held> {
    first(draft, None)
}

fn first(draft: &Draft<'_>, late: Option<Stay>) -> Option<Held> {
    let of = |by: Hold| move |stay: Stay| Held { by, stay };
    // Told before a gate that can't be worked out for it: that is no fault of the author's.
    let templates = || draft.seen.late_templates().map(watch_down).map(of(Hold::Templates));
    let invalid = |why| Stay::stalled(reasons::INVALID_SPEC, format!("spec is invalid: {why}"));
    // After the switch a gate that can't be asked is one that nobody can judge: `onUnknown` decides, and the others are asked on.
    let wrong = || match draft.phase() {
        Some(Phase::Monitoring) => draft.plan.asked.content.as_ref().err(),
        _ => draft.plan.asked.invalid(),
    };
    let spec = || wrong().map(invalid).map(of(Hold::Spec));
    let none = || {
        let Observed { name, namespace, .. } = draft.seen;
        let scale = format!("kubectl scale bgr {name} -n {namespace} --replicas=1");
        Stay::working(reasons::NO_REPLICAS, format!("Waiting: spec.replicas is 0. Resume: {scale}"))
    };
    templates()
        .or_else(spec)
        .or_else(|| pause(draft).map(of(Hold::Paused)))
        .or_else(|| late.map(of(Hold::Watch)))
        .or_else(|| unread(draft.seen).map(of(Hold::Unread)))
        .or_else(|| (draft.settings().replicas == 0).then(none).map(of(Hold::NoReplicas)))
}

/// A person wants nothing new for now.
pub(crate) fn pause(draft: &Draft<'_>) -> Option<Stay> {
    let Advice { state, command, .. } = resume(draft)?;
    Some(Stay::working(reasons::PAUSED, format!("{state}. {command}")))
}

/// While paused: by which setting, and how that ends.
pub(crate) fn resume(draft: &Draft<'_>) -> Option<Advice> {
    let of = |state: &str, how: &str| Advice { state: state.into(), command: format!("Resume: {how}"), instead: String::new() };
    if draft.settings().paused {
        return Some(of("Paused by spec.paused", "set spec.paused to false"));
    }
    let revision = draft.attempt_revision().unwrap_or_default();
    draft.status().paused_by_order.then(|| of("Paused by annotation", &draft.order(Verb::Resume, &revision)))
}

/// A watch is late, and what is seen may be old.
pub(crate) fn late(seen: &Observed) -> Option<Stay> {
    seen.late().map(watch_down)
}

/// An object is there, and what it holds isn't known: who wrote that has to put it right.
pub(crate) fn unread(seen: &Observed) -> Option<Stay> {
    let Unread { kind, name, why, .. } = seen.unread.iter().min_by_key(|unread| unread.since)?;
    let (verb, way) = match kind {
        // Their controllers make others.
        ObjectKind::Pod | ObjectKind::EndpointSlice => ("delete", "Delete it"),
        _ => ("edit", "Correct it"),
    };
    let (kind, namespace) = (kind.one(), &seen.namespace);
    let advice = Advice { command: format!("{way}: kubectl {verb} {} {name} -n {namespace}", kind.to_lowercase()), ..Advice::default() };
    Some(Stay::stalled(reasons::UNREADABLE, advised(&format!("On hold: the operator can't read {kind} {name}: "), why, &advice)))
}

fn watch_down(late: &Late) -> Stay {
    let message = around("On hold: the operator can't watch ", &late.to_string(), ". Repair and rollback still work");
    Stay::working(reasons::WATCH_DOWN, message)
}

/// A watch that is down comes back in a moment, as a rule: until that is over it is no news, and nothing is recorded for it.
pub(crate) fn for_a_moment(draft: &Draft<'_>, stay: &Stay) -> Option<Stay> {
    let (old, new) = (&draft.seen.status, draft.status());
    // An armed switch that may not come now is withdrawn at once.
    let nothing_else = (old.phase, old.attempt, old.armed) == (new.phase, new.attempt, new.armed) && stay.reason == reasons::WATCH_DOWN;
    let late = draft.seen.late().or_else(|| draft.seen.late_templates());
    let until = late.filter(|_| nothing_else).and_then(|late| late.since.checked_add(MOMENT).ok())?;
    (until > draft.now()).then(|| stay.clone().until(Some(until)))
}

/// A write that is still wanted was refused: whatever the phase, it must be known.
pub(crate) fn refused(draft: &Draft<'_>) -> Option<Stay> {
    // What users need comes first.
    draft
        .refusals()
        .min_by(|one, other| one.part.cmp(&other.part))
        .map(|refusal| of_refusal(refusal, &in_words(draft.seen, &refusal.object)))
}

/// The API server doesn't take objects of this revision as `spec` asks for it now: the author must change `spec`.
pub(crate) fn refused_of(draft: &Draft<'_>, color: Color, revision: &str) -> Option<Stay> {
    let ours = |object: &Object| match object {
        Object::Deployment(it) => *it == color,
        Object::Revision(hash) => hash == revision,
        Object::Service(_) => false,
    };
    let stops = |refusal: &&Refusal| ours(&refusal.object) && refusal.part != Part::Settings;
    let refusal = draft.refusals().filter(stops).find(|refusal| refusal.generation == draft.seen.generation)?;
    Some(of_refusal(refusal, &in_words(draft.seen, &refusal.object)))
}

/// What the API server refused, in its own words.
fn of_refusal(refusal: &Refusal, name: &str) -> Stay {
    // A doubled, unknown or malformed field in a server-side apply is answered with a 500; it is the author's all the same.
    let unread = ["failed to create typed patch object", "failed to convert new object"];
    let authors = matches!(refusal.code, 400 | 422) || unread.iter().any(|words| refusal.message.contains(words));
    let refused = |advice: &str| around(&format!("The API server refused {name}: "), &refusal.message, advice);
    if authors {
        return Stay::stalled(reasons::INVALID_SPEC, refused(". Change spec"));
    }
    let message = refused(&format!(". Retrying at least every {}", Duration(Refusal::LONGEST_PAUSE)));
    if matches!(refusal.code, 401 | 403 | 404) {
        return Stay::stalled(reasons::REFUSED, message);
    }
    Stay::working(reasons::REFUSED, message)
}

/// An object that has one of our names and can't be written: it is somebody else's, or on its way out.
pub(crate) fn blocked(draft: &Draft<'_>) -> Option<Stay> {
    foreign(draft.seen).or_else(|| leaving(draft.seen))
}

/// An object that is being deleted, ours or that of a former rollout of the same name.
fn leaving(seen: &Observed) -> Option<Stay> {
    let gone = |owner: &Owner, deleting: bool| deleting || *owner == Owner::Former;
    let service = |role: &Role| seen.service(*role).is_some_and(|it| gone(&it.owner, it.deleting));
    let color = |color: &Color| seen.color(*color).deployment.as_ref().is_some_and(|it| gone(&it.owner, it.deleting));
    let services = Role::ALL.into_iter().filter(service).map(Object::Service);
    let object = services.chain([Color::Blue, Color::Green].into_iter().filter(color).map(Object::Deployment)).next()?;
    let name = in_words(seen, &object);
    Some(Stay::working(reasons::BEING_DELETED, format!("{name} is being deleted; it will be recreated")))
}

/// It is left alone until its owner hands it over.
fn not_ours(seen: &Observed, kind: &str, name: &str, who: &str, otherwise: &str) -> Stay {
    let annotate = format!("kubectl annotate {} {name} -n {}", kind.to_lowercase(), seen.namespace);
    let advice = Advice {
        command: format!("Hand it over: {annotate} {}={}", names::ADOPT_ANNOTATION, seen.name),
        instead: format!("; or {otherwise}"),
        ..Advice::default()
    };
    Stay::stalled(reasons::NOT_OURS, advised(&format!("{kind} {name} belongs to "), who, &advice))
}

/// The write of the active Service is refused, or the Service is not the operator's to write.
pub(crate) fn switch_stopped(draft: &Draft<'_>) -> bool {
    let refused = draft.refusals().any(|refusal| refusal.object == Object::Service(Role::Active));
    let untouchable = |service: &ServiceSeen| service.deleting || !touchable(&service.owner);
    refused || draft.seen.service(Role::Active).is_some_and(untouchable)
}

fn foreign(seen: &Observed) -> Option<Stay> {
    for role in Role::ALL {
        if let Some(service) = seen.service(role)
            && let Owner::Foreign { who, adopt: false } = &service.owner
        {
            let name = service_name(seen, role);
            return Some(not_ours(seen, "Service", &name, who, &format!("set another spec.service.{}.name", role.as_str())));
        }
    }
    for color in [Color::Blue, Color::Green] {
        if let Some(deployment) = &seen.color(color).deployment
            && let Owner::Foreign { who, adopt: false } = &deployment.owner
        {
            let name = names::deployment(&seen.name, color);
            return Some(not_ours(seen, "Deployment", &name, who, "use another rollout name"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::stay::StayKind;
    use jiff::Timestamp;

    #[test]
    fn a_refusal_is_the_authors_the_clusters_or_a_passing_one() {
        let typed = "failed to create typed patch object (web/shop-green): .spec.foo: field not declared in schema";
        let converted = "failed to convert new object (web/shop-green) to proper version";
        let cases = [
            (422, "spec.ports: Invalid value", StayKind::Stalled, reasons::INVALID_SPEC, "Change spec"),
            (400, "unknown field", StayKind::Stalled, reasons::INVALID_SPEC, "Change spec"),
            (500, typed, StayKind::Stalled, reasons::INVALID_SPEC, "Change spec"),
            (500, converted, StayKind::Stalled, reasons::INVALID_SPEC, "Change spec"),
            (403, "exceeded quota", StayKind::Stalled, reasons::REFUSED, "Retrying at least every 5m"),
            (500, "etcdserver: request timed out", StayKind::Working, reasons::REFUSED, "Retrying at least every 5m"),
            (0, "connection refused", StayKind::Working, reasons::REFUSED, "Retrying at least every 5m"),
        ];
        for (code, message, kind, reason, advice) in cases {
            let at = Timestamp::UNIX_EPOCH;
            let refused = Refusal {
                object: Object::Service(Role::Active),
                part: Part::Whole,
                code,
                message: message.into(),
                at,
                times: 1,
                denied_since: None,
                generation: 1,
            };
            let stay = of_refusal(&refused, "Service shop");
            assert!(stay.kind == kind && stay.reason == reason, "{code} {message}: {}", stay.reason);
            assert_eq!(stay.message, format!("The API server refused Service shop: {message}. {advice}"));
        }
    }
}
