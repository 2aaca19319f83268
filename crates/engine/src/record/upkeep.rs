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
    let trouble = stay.trouble.as_ref().filter(|trouble| trouble.kind.is_some() && trouble.kind == old.trouble)?;
    (same_story && same_wait && same_around(&trouble.sentence, &stay.message, &old.message)).then(|| old.message.clone())
}

/// Whether a message says the same as the recorded one around this sentence, of which the message may hold no more than the beginning.
fn same_around(sentence: &str, message: &str, recorded: &str) -> bool {
    let begins = sentence.char_indices().nth(12).map_or(sentence, |(end, _)| &sentence[..end]);
    let Some((before, rest)) = message.split_once(begins) else { return false };
    let after = rest.strip_prefix(&sentence[begins.len()..]).or_else(|| Some(rest.split_once('…')?.1)).unwrap_or_default();
    recorded.starts_with(before) && recorded.ends_with(after)
}

#[cfg(test)]
mod tests {
    use super::same_around;

    #[test]
    fn only_what_stands_around_the_trouble_is_compared() {
        let recorded = "Deploying revision 2: pod shop-green-1: Error; rolls back at 08:10:00Z";
        let (one, other) = ("pod shop-green-1: Error", "pod shop-green-22, container é: CrashLoopBackOff");
        let message = |sentence: &str, after: &str| format!("Deploying revision 2: {sentence}{after}");
        assert!(same_around(one, &message(one, "; rolls back at 08:10:00Z"), recorded));
        assert!(same_around(other, &message(other, "; rolls back at 08:10:00Z"), recorded));
        assert!(same_around(other, &message("pod shop-green-22, c…", "; rolls back at 08:10:00Z"), recorded), "cut");
        assert!(!same_around(other, &message(other, "; rolls back at 08:11:00Z"), recorded), "another end");
        assert!(!same_around(other, &message(other, ""), &message(one, "").replace("Deploying", "Aborting")), "another state");
        assert!(!same_around(other, &message("…", ""), recorded), "it has no room");
    }
}
