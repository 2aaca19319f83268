//! What is kept up in every phase: pauses, clocks, and a message that stays as long as its story does.

use super::{
    draft::Draft,
    hold::{self, Hold},
    orders::Verb,
    stay::{Stay, StayKind},
};
use bluegreen_api::{Phase, reasons};

/// Pause and resume hold for the attempt; of both, pause wins.
pub(crate) fn pause_orders(draft: &mut Draft<'_>) {
    let Some(revision) = draft.attempt_revision() else { return };
    let pause = draft.ordered(Verb::Pause, &revision);
    let resume = draft.ordered(Verb::Resume, &revision);
    if pause {
        draft.spend(Verb::Pause);
        draft.paused_by_order(true);
    }
    if resume {
        draft.spend(Verb::Resume);
        draft.paused_by_order(draft.status().paused_by_order && pause);
    }
}

/// Clocks stand still while held, and don't count the time in which nobody looked.
pub(crate) fn keep_time(draft: &mut Draft<'_>) {
    let held = hold::held(draft).filter(|held| hold::for_a_moment(draft, &held.stay).is_none());
    // A pause holds gates, and not the pods of a first revision: they are waited for all the same, and not for ever.
    let first_comes_up = || draft.status().active.as_ref().is_some_and(|active| !draft.fully_available(active));
    let held = held.is_some_and(|held| match draft.phase() {
        Some(Phase::Initializing) if first_comes_up() => held.by != Hold::Paused,
        // A way back goes on, and has its deadline; it asks no gate.
        Some(Phase::Aborting | Phase::RollingBack) => {
            !draft.seen.sees_all() && matches!(held.by, Hold::Watch | Hold::Unread | Hold::Templates)
        }
        // With no pods to wait for, what only takes something down goes on.
        Some(Phase::ScalingDown) => held.by != Hold::NoReplicas,
        _ => true,
    });
    draft.keep_time(held);
}

/// The recorded message, when nothing has come to it but another pod with the same kind of trouble.
pub(crate) fn no_news(draft: &Draft<'_>, stay: &Stay) -> Option<String> {
    let (old, new) = (&draft.seen.status, draft.status());
    // An order that was carried out is news: whether it is paused, and what is advised, follow from it.
    let same_orders = old.orders == new.orders && old.ignored_orders == new.ignored_orders;
    let same_story = same_orders && (old.phase, old.attempt, old.observed_generation) == (new.phase, new.attempt, new.observed_generation);
    let ready = old.conditions.iter().find(|condition| condition.type_ == reasons::READY)?;
    let stalled = old.conditions.iter().any(|condition| condition.type_ == reasons::STALLED);
    // What a person can do about it is news.
    let same_wait = ready.reason == stay.reason && stalled == (stay.kind == StayKind::Stalled);
    (same_story && same_wait && stay.trouble.is_some() && old.trouble == stay.trouble).then(|| old.message.clone())
}
