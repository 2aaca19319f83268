//! What EndpointSlices of the active Service show.

use super::{draft::Draft, stay::Stay};
use crate::{
    decision::Role,
    observed::{facts::reached, progress::serving_pods, services::service_name},
};
use bluegreen_api::{Side, reasons};
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

/// The time of a side is over, and it would go if the active Service, which leads elsewhere, had no endpoints there.
pub(crate) fn still_reached(draft: &Draft<'_>, side: &Side, due: Option<Timestamp>, message: &str) -> Option<Stay> {
    let over = due.is_some_and(|due| due <= draft.now());
    (over && reached(draft.seen, side.color)).then(|| {
        let service = service_name(draft.seen, Role::Active);
        let kept = format!("revision {} is kept: EndpointSlices of Service {service} still list its pods", side.number);
        Stay::working(reasons::ENDPOINTS_STALE, around("", message, &format!("; {kept}: is the endpoint slice controller at work?")))
    })
}
