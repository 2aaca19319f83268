//! When a write that was refused is tried again.

use super::protection;
use crate::{
    decision::{Change, Effect, Object},
    observed::{Observed, Refusal},
};
use jiff::Timestamp;
use std::{collections::BTreeSet, time::Duration};

/// The longest pause before a refused write is tried again that protects the live side.
const PROTECTION_RETRY: Duration = Duration::from_secs(10);

/// Effects that may be tried now, and when those that were refused may be tried again.
pub(crate) fn due(seen: &Observed, wanted: Vec<Effect>) -> (Vec<Effect>, Option<Timestamp>) {
    let mut retry: Option<Timestamp> = None;
    let mut later = Vec::new();
    let mut ready: Vec<_> = wanted
        .into_iter()
        .filter(|effect| {
            let refusal = seen.refusals.iter().find(|refusal| refusal.is_of(effect) && refusal.generation == seen.generation);
            let longest = if protection::protects(effect, &seen.status) { PROTECTION_RETRY } else { Refusal::LONGEST_PAUSE };
            let again = refusal.and_then(|refusal| try_again(refusal, longest));
            // One that would wait for longer than any does tells of a clock that was put back.
            let latest = seen.now.checked_add(longest.saturating_mul(2)).unwrap_or(Timestamp::MAX);
            let waits = again.filter(|again| *again > seen.now && *again <= latest);
            retry = [retry, waits].into_iter().flatten().min();
            later.extend(waits.map(|_| effect.object()));
            waits.is_none()
        })
        .collect();
    // A Deployment is rendered from its ControllerRevision: without it there is nothing to try.
    ready.retain(|effect| match &effect.change {
        Change::ApplyDeployment { revision, .. } => !later.contains(&Object::Revision(revision.clone())),
        _ => true,
    });
    // Each is guarded by the version that was seen: of two writes of one object the second would come too late.
    let mut written = BTreeSet::new();
    ready.retain(|effect| written.insert(effect.object()));
    (ready, retry)
}

/// 1 s, doubled with each refusal in a row, at most `longest`.
fn try_again(refusal: &Refusal, longest: Duration) -> Option<Timestamp> {
    let pause = Duration::from_secs(1_u64 << refusal.times.saturating_sub(1).min(9)).min(longest);
    refusal.at.checked_add(pause).ok()
}
