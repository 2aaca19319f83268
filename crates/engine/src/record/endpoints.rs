//! What EndpointSlices of the active Service show.

use super::{draft::Draft, stay::Stay};
use crate::{
    decision::Role,
    intent::armed,
    observed::{facts::reached, progress::serving_pods, services::service_name},
};
use bluegreen_api::{Phase, Side, reasons};
use bluegreen_gates::text::around;
use jiff::Timestamp;
use std::{collections::BTreeSet, time::Duration};

/// How long EndpointSlices may lag before it is told.
const SLICES_LATE: Duration = Duration::from_secs(30);

/// The endpoints of the active Service hold every ready pod of the side, and no ready one of another.
pub(crate) fn endpoints_show(draft: &Draft<'_>, side: &Side) -> bool {
    let pods = || draft.color_of(side).pods.iter().filter(|pod| pod.revision == side.revision);
    let own: BTreeSet<_> = pods().map(|pod| pod.name.as_str()).collect();
    let ready: BTreeSet<_> = pods().filter(|pod| pod.ready && !pod.deleting).map(|pod| pod.name.as_str()).collect();
    let serving = shown(draft);
    !serving.is_empty() && serving.is_subset(&own) && ready.is_subset(&serving)
}

/// The pods that EndpointSlices show as ready.
fn shown<'d>(draft: &Draft<'d>) -> BTreeSet<&'d str> {
    draft.seen.endpoints.pods.iter().filter(|pod| pod.ready).map(|pod| pod.pod.as_str()).collect()
}

/// Whether the EndpointSlices are late to show a side that the active Service leads to, and when they would be: none could show a
/// pod before it was ready. A pod that got ready in times to come tells of another clock.
pub(crate) fn slices_late(draft: &Draft<'_>, side: &Side) -> (bool, Option<Timestamp>) {
    let shown = shown(draft);
    let pods = serving_pods(draft.color_of(side), &side.revision);
    let ready = pods
        .filter(|pod| !shown.contains(pod.name.as_str()))
        .filter_map(|pod| pod.ready_changed)
        .filter(|ready| *ready <= draft.now())
        .max();
    let since_ready = ready.and_then(|ready| ready.checked_add(SLICES_LATE).ok());
    let late = draft.elapsed() >= SLICES_LATE && since_ready.is_none_or(|due| due <= draft.now());
    (late, draft.due(SLICES_LATE).max(since_ready))
}

/// Endpoints follow the Service within a moment, as a rule.
const MOMENT: Duration = Duration::from_secs(10);

/// An armed switch is made, and endpoints follow in a moment: one record tells of both. So long after the latest pod became available,
/// for the time of the write is known to nobody who hasn't made it.
pub(crate) fn follow_in_a_moment(draft: &Draft<'_>, stay: &Stay) -> Option<Stay> {
    let (old, new) = (&draft.seen.status, draft.status());
    let candidate = new
        .preview
        .as_ref()
        .filter(|_| armed(old).is_some() && new.phase == Some(Phase::Promoting) && stay.reason == reasons::PROMOTING)?;
    let answered = (old.attempt, &old.orders, old.observed_generation) == (new.attempt, &new.orders, draft.seen.generation);
    let available = serving_pods(draft.color_of(candidate), &candidate.revision).filter_map(|pod| pod.ready_changed).max()?;
    let stays = u64::try_from(draft.settings().min_ready_seconds).unwrap_or(0);
    let until = available.checked_add(MOMENT.saturating_add(Duration::from_secs(stays))).ok()?;
    let soon = available <= draft.now() && draft.now() < until;
    (answered && soon && draft.fully_available(candidate)).then(|| stay.clone().until(Some(until)))
}

/// The time of a side is over, and it would go if the active Service, which leads elsewhere, had no endpoints there.
pub(crate) fn still_reached(draft: &Draft<'_>, side: &Side, due: Option<Timestamp>, message: &str) -> Option<Stay> {
    let over = due.is_some_and(|due| due <= draft.now());
    (over && reached(draft.seen, side.color)).then(|| {
        let service = service_name(draft.seen, Role::Active);
        let kept = format!("revision {} is kept: EndpointSlices of Service {service} still list its pods", side.number);
        Stay::working(reasons::ENDPOINTS_STALE, around("", message, &format!("; {kept}: is the endpoint slice controller at work?")))
    })
}
