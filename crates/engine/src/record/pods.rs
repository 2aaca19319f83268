//! Waiting for pods: of a candidate, of the first revision, of what serves.

use super::{
    draft::Draft,
    stay::{Stay, Step},
    words,
};
use crate::{
    clock,
    observed::{
        Progress, facts, laggards, progress,
        short::{Short, short, three_quarters},
        trouble::Trouble,
    },
};
use bluegreen_api::{Outcome, Side, reasons};
use bluegreen_gates::text::around;
use jiff::Timestamp;
use std::time::Duration;

/// What keeps the pods of a side from getting ready.
pub(crate) fn trouble(draft: &Draft<'_>, side: &Side) -> Option<Trouble> {
    progress::trouble(draft.color_of(side), side, draft.now())
}

/// The trouble at the end of a sentence, after these letters; nothing where there is none.
pub(crate) fn told_after(joint: &str, trouble: Option<&Trouble>) -> String {
    trouble.map(|trouble| format!("{joint}{trouble}")).unwrap_or_default()
}

/// Waits for pods, gives up when they never will or make no progress in time.
pub(crate) fn pods_coming(draft: &mut Draft<'_>, candidate: &Side, reason: &'static str, message: String) -> Step {
    let seen = draft.color_of(candidate);
    if let Some(why) = progress::hopeless(seen, candidate, draft.now()) {
        draft.abort(Outcome::Aborted, reasons::HOPELESS, &why.sentence);
        return Step::Again;
    }
    let trouble = trouble(draft, candidate);
    let progress = draft.without_progress(candidate);
    if progress.is_some_and(|(late, _)| late) {
        let ready = || format!("{} of {} pods are ready", draft.ready_pods(candidate), candidate.replicas);
        let why = trouble.or_else(|| laggards::laggard(seen, candidate)).map_or_else(ready, |trouble| trouble.sentence);
        let deadline = bluegreen_api::Duration(draft.settings().progress_deadline);
        draft.abort(
            Outcome::Aborted,
            reasons::PROGRESS_DEADLINE_EXCEEDED,
            &format!("no progress for {deadline} (progressDeadline): {why}"),
        );
        return Step::Again;
    }
    let stay = match &trouble {
        Some(told) => {
            let reason = if told.is_a_wait() { reason } else { reasons::POD_TROUBLE };
            Stay::working(reason, format!("{message}: {told}")).with(trouble.as_ref())
        }
        None => Stay::working(reason, message),
    };
    stay.until(progress.and_then(|(_, due)| due)).until(more_of(draft, candidate)).into()
}

/// When there is more to say of the pods of a side, though nothing happens.
fn more_of(draft: &Draft<'_>, side: &Side) -> Option<Timestamp> {
    let (seen, revision, now) = (draft.color_of(side), &side.revision, draft.now());
    [progress::hopeless_at(seen, revision, now), laggards::due(seen, revision, now)].into_iter().flatten().min()
}

/// There is no other revision that could serve, and time alone doesn't help.
const ADVICE: &str = ". Change spec";

pub(crate) fn coming_up(draft: &Draft<'_>, active: &Side) -> Stay {
    let seen = draft.color_of(active);
    if seen.deployment.is_some()
        && let Some(why) = progress::hopeless(seen, active, draft.now())
    {
        return Stay::stalled(reasons::HOPELESS, around(&words::revision("Revision", active, " can't start: "), &why.sentence, ADVICE))
            .with(Some(&why));
    }
    let trouble = trouble(draft, active);
    let progress = draft.without_progress(active);
    if progress.is_some_and(|(late, _)| late) {
        let trouble = trouble.or_else(|| laggards::laggard(seen, active));
        // Not how many are: that would be a record with each that comes or goes.
        let short = || format!("fewer than {} pods are ready", active.replicas);
        let why = trouble.as_ref().map_or_else(short, |trouble| trouble.sentence.clone());
        let deadline = bluegreen_api::Duration(draft.settings().progress_deadline);
        let made = words::revision("Revision", active, &format!(" made no progress for {deadline} (progressDeadline): "));
        let message = around(&made, &why, ADVICE);
        return Stay::stalled(reasons::PROGRESS_DEADLINE_EXCEEDED, message).with(trouble.as_ref());
    }
    let stay = match &trouble {
        Some(told) => {
            let reason = if told.is_a_wait() { reasons::INITIALIZING } else { reasons::POD_TROUBLE };
            let message = format!("Waiting for the pods of revision {}: {told}", active.number);
            Stay::working(reason, message).with(trouble.as_ref())
        }
        None => Stay::working(reasons::INITIALIZING, words::revision("Waiting for the pods of revision", active, "")),
    };
    stay.until(progress.and_then(|(_, due)| due)).until(more_of(draft, active))
}

/// Whether the pods of a side will never serve, or have made no progress for a whole deadline.
pub(crate) fn out_of_hope(draft: &Draft<'_>, side: &Side) -> bool {
    draft.reachable_pods(side) == 0
        && (progress::hopeless(draft.color_of(side), side, draft.now()).is_some() || draft.elapsed() >= draft.settings().progress_deadline)
}

fn progress_of<'a>(draft: &Draft<'a>, side: &Side) -> Option<&'a Progress> {
    draft.color_of(side).progress.as_ref().filter(|progress| progress.revision == side.revision)
}

/// A whole deadline has passed since then, and since the phase began.
fn for_a_deadline(draft: &Draft<'_>, since: Option<Timestamp>) -> bool {
    let deadline = draft.settings().progress_deadline;
    let Some(since) = since else { return false };
    let lasts = draft.now().as_millisecond() - since.as_millisecond();
    u128::try_from(lasts).is_ok_and(|lasts| lasts >= deadline.as_millis()) && draft.elapsed() >= deadline
}

fn deadline_since(draft: &Draft<'_>, since: Option<Timestamp>) -> Option<Timestamp> {
    let deadline = draft.settings().progress_deadline;
    let since = since?.checked_add(deadline).ok()?;
    draft.due(deadline).map(|due| due.max(since))
}

/// A pod is missing, and has been for a whole deadline.
pub(crate) fn incomplete_for_too_long(draft: &Draft<'_>, side: &Side) -> bool {
    for_a_deadline(draft, progress_of(draft, side).and_then(|progress| progress.short_since)) && !draft.fully_available(side)
}

/// When that becomes a reason to take back a switch.
pub(crate) fn incomplete_deadline(draft: &Draft<'_>, side: &Side) -> Option<Timestamp> {
    deadline_since(draft, progress_of(draft, side)?.short_since)
}

/// Whether a side is short of pods, and whose doing that is.
pub(crate) fn short_of(draft: &Draft<'_>, side: &Side) -> Option<Short> {
    short(draft.color_of(side), &side.revision, side.replicas)
}

/// Short for its own doing, for a whole deadline.
pub(crate) fn failing_for_too_long(draft: &Draft<'_>, side: &Side) -> bool {
    for_a_deadline(draft, progress_of(draft, side).and_then(|progress| progress.failing_since))
        && short_of(draft, side) == Some(Short::OwnDoing)
}

/// When that becomes a reason to go back.
pub(crate) fn failing_deadline(draft: &Draft<'_>, side: &Side) -> Option<Timestamp> {
    deadline_since(draft, progress_of(draft, side)?.failing_since)
}

/// So long no pod may be ready for a cause that both sides may share.
const BLIP: Duration = Duration::from_secs(5);

/// No pod of the live side is ready, and that is more than a blip: what both sides need may be away for a moment, and then the other side
/// isn't there in full either.
pub(crate) fn serves_nobody(draft: &Draft<'_>, live: &Side, other: Option<&Side>) -> bool {
    // One that would last longer than any tells of a clock that was put back.
    let latest = draft.now().checked_add(BLIP).unwrap_or(Timestamp::MAX);
    let lasting = || blip_over(draft, live).is_none_or(|at| at <= draft.now() || at > latest);
    let other_is_there = || other.is_some_and(|other| all_ready(draft, other));
    draft.ready_pods(live) == 0 && starting_until(draft, live).is_none() && (other_is_there() || lasting())
}

/// Every pod of a side that is asked for is ready. Not by its Deployment's generation: a write of ours, a fence perhaps, would take it back
/// for a moment, and with it what was decided.
pub(crate) fn all_ready(draft: &Draft<'_>, side: &Side) -> bool {
    facts::surely_ready(draft.seen, side) >= side.replicas.max(1)
}

fn blip_over(draft: &Draft<'_>, live: &Side) -> Option<Timestamp> {
    progress_of(draft, live)?.none_since?.checked_add(BLIP).ok()
}

/// Until when pods that were just asked for, where none was, are waited for.
fn starting_until(draft: &Draft<'_>, live: &Side) -> Option<Timestamp> {
    let deadline = draft.settings().progress_deadline;
    let due = clock::due(&draft.clock_since(live.starting_since?), deadline)?;
    (due > draft.now()).then_some(due)
}

/// When time alone condemns the pods of the live side.
pub(crate) fn verdict_at(draft: &Draft<'_>, live: &Side) -> Option<Timestamp> {
    let times = [blip_over(draft, live), starting_until(draft, live), failing_deadline(draft, live)];
    times.into_iter().flatten().filter(|at| *at > draft.now()).min()
}

pub(crate) fn lost(draft: &Draft<'_>, side: &Side, what: &str) -> String {
    format!("{what}{}", told_after(": ", trouble(draft, side).as_ref()))
}

/// The active side has fewer pods than it should.
pub(crate) fn degraded(draft: &Draft<'_>, active: &Side) -> Option<Stay> {
    short_of(draft, active).map(|_| {
        let trouble = trouble(draft, active);
        let told = told_after(": ", trouble.as_ref());
        let message = around(&words::revision("Revision", active, " serves with "), &format!("{}{told}", too_few(active.replicas)), "");
        Stay::working(reasons::DEGRADED, message).with(trouble.as_ref())
    })
}

/// Not how many there are: that would be a record with each that comes or goes.
pub(crate) fn too_few(size: i32) -> String {
    format!("fewer than {} of {size} pods", three_quarters(size))
}
