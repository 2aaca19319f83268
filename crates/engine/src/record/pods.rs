//! Waiting for pods: of a candidate, of the first revision, of what serves.

use super::{
    draft::Draft,
    stay::{Stay, Step},
    words,
};
use crate::observed::progress::{self, Trouble};
use bluegreen_api::{Duration, Outcome, Side, reasons};
use bluegreen_gates::text::around;
use jiff::Timestamp;

/// What keeps the pods of a side from getting ready.
pub(crate) fn trouble(draft: &Draft<'_>, side: &Side) -> Option<Trouble> {
    progress::trouble(draft.color_of(side), side)
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
    if progress.is_some_and(|(time, _)| time >= draft.settings().progress_deadline) {
        let ready = || format!("{} of {} pods are ready", draft.ready_pods(candidate), candidate.replicas);
        let why = trouble.map_or_else(ready, |trouble| trouble.sentence);
        let deadline = Duration(draft.settings().progress_deadline);
        draft.abort(
            Outcome::Aborted,
            reasons::PROGRESS_DEADLINE_EXCEEDED,
            &format!("no progress for {deadline} (progressDeadline): {why}"),
        );
        return Step::Again;
    }
    let hopeless_at = progress::hopeless_at(seen, &candidate.revision, draft.now());
    let until = [progress.and_then(|(_, due)| due), hopeless_at].into_iter().flatten().min();
    let stay = match &trouble {
        Some(told) => Stay::working(reasons::POD_TROUBLE, format!("{message}: {told}")).with(trouble.as_ref()),
        None => Stay::working(reason, message),
    };
    stay.until(until).into()
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
    if progress.is_some_and(|(time, _)| time >= draft.settings().progress_deadline) {
        // Not how many are: that would be a record with each that comes or goes.
        let short = || format!("fewer than {} pods are ready", active.replicas);
        let why = trouble.as_ref().map_or_else(short, |trouble| trouble.sentence.clone());
        let deadline = Duration(draft.settings().progress_deadline);
        let made = words::revision("Revision", active, &format!(" made no progress for {deadline} (progressDeadline): "));
        let message = around(&made, &why, ADVICE);
        return Stay::stalled(reasons::PROGRESS_DEADLINE_EXCEEDED, message).with(trouble.as_ref());
    }
    let hopeless_at = progress::hopeless_at(seen, &active.revision, draft.now());
    let until = [progress.and_then(|(_, due)| due), hopeless_at].into_iter().flatten().min();
    let stay = match &trouble {
        Some(told) => {
            let message = format!("Waiting for the pods of revision {}: {told}", active.number);
            Stay::working(reasons::POD_TROUBLE, message).with(trouble.as_ref())
        }
        None => Stay::working(reasons::INITIALIZING, words::revision("Waiting for the pods of revision", active, "")),
    };
    stay.until(until)
}

/// Whether the pods of a side will never serve, or have made no progress for a whole deadline.
pub(crate) fn out_of_hope(draft: &Draft<'_>, side: &Side) -> bool {
    draft.reachable_pods(side) == 0
        && (progress::hopeless(draft.color_of(side), side, draft.now()).is_some() || draft.elapsed() >= draft.settings().progress_deadline)
}

fn short_since(draft: &Draft<'_>, active: &Side) -> Option<Timestamp> {
    draft.color_of(active).progress.as_ref().filter(|progress| progress.revision == active.revision)?.short_since
}

pub(crate) fn short_for_too_long(draft: &Draft<'_>, active: &Side) -> bool {
    let deadline = draft.settings().progress_deadline;
    let Some(since) = short_since(draft, active) else { return false };
    let short = draft.now().as_millisecond() - since.as_millisecond();
    u128::try_from(short).is_ok_and(|short| short >= deadline.as_millis()) && draft.elapsed() >= deadline && !draft.fully_available(active)
}

/// When being short of pods becomes a reason to go back.
pub(crate) fn short_deadline(draft: &Draft<'_>, active: &Side) -> Option<Timestamp> {
    let deadline = draft.settings().progress_deadline;
    let since = short_since(draft, active)?.checked_add(deadline).ok()?;
    draft.due(deadline).map(|due| due.max(since))
}

pub(crate) fn lost(draft: &Draft<'_>, side: &Side, what: &str) -> String {
    format!("{what}{}", told_after(": ", trouble(draft, side).as_ref()))
}

/// The active side has fewer pods than it should.
pub(crate) fn degraded(draft: &Draft<'_>, active: &Side) -> Option<Stay> {
    let size = active.replicas;
    // Those of another revision, that the Deployment still counts, serve nobody.
    let of_revision = draft.ready_pods(active);
    let available = draft.color_of(active).deployment.as_ref().map_or(0, |deployment| deployment.available.min(of_revision));
    // As a Deployment counts itself available: a quarter may be missing.
    (available < size - size / 4).then(|| {
        let trouble = trouble(draft, active);
        let told = told_after(": ", trouble.as_ref());
        // Not how many there are: that would be a record with each that comes or goes.
        let serves = format!(" serves with fewer than {} of {size} pods{told}", size - size / 4);
        let message = words::revision("Revision", active, &serves);
        Stay::working(reasons::DEGRADED, message).with(trouble.as_ref())
    })
}
