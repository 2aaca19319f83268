//! The decision itself: the one page that knows both wings, what is recorded and what is written.

use crate::{
    act::{self, fences, protection, retry},
    decision::{Decision, Effect, Object, Why},
    intent,
    observed::Observed,
    plan::Plan,
    record::{self, news},
};
use bluegreen_api::BlueGreenRolloutStatus;
use jiff::Timestamp;

/// What to do about a rollout: total, and the same for the same input.
///
/// A pass records a decision or carries out what is recorded, never both. What protects the live side comes before a record,
/// unless the record is about to change what protects it.
pub fn decide(seen: &Observed) -> Decision {
    if seen.deleting {
        return Decision::Wait { until: None, why: Why("The rollout is being deleted".into()) };
    }
    let plan = Plan::of(seen);
    let wanted = act::wanted(seen, &plan);
    if seen.cannot_read_a_side() {
        return held_as_it_is(seen, &plan, wanted);
    }
    let (next, stay) = record::work_out(seen, &plan, wanted.iter().map(Effect::object).collect());
    let (ready, retry) = retry::due(seen, wanted);
    let protection: Vec<_> = ready.iter().filter(|effect| protects_still(effect, &seen.status, &next)).cloned().collect();
    if !protection.is_empty() {
        return Decision::Act(protection);
    }
    if let Some(status) = to_record(seen, next) {
        let fences = fences::fences(seen, &status);
        if fences.is_empty() {
            return Decision::Record(Box::new(status));
        }
        let fenced: Vec<_> = fences.iter().map(Effect::object).collect();
        let (due, retry) = retry::due(seen, fences);
        return if due.is_empty() { unfenced(seen, &plan, (ready, fenced), retry) } else { Decision::Act(due) };
    }
    if !ready.is_empty() {
        return Decision::Act(ready);
    }
    let until = [stay.until, retry].into_iter().flatten().filter(|until| *until > seen.now).min();
    Decision::Wait { until, why: Why(stay.message) }
}

/// A fence is refused, and what it guards against must not be recorded without it: what is recorded stands, and says so.
fn unfenced(seen: &Observed, plan: &Plan<'_>, (ready, fenced): (Vec<Effect>, Vec<Object>), retry: Option<Timestamp>) -> Decision {
    let elsewhere = |effect: &Effect| protection::protects(effect, &seen.status) && !fenced.contains(&effect.object());
    let protection: Vec<_> = ready.into_iter().filter(elsewhere).collect();
    if !protection.is_empty() {
        return Decision::Act(protection);
    }
    let (status, stay) = record::waiting_for_a_write(seen, plan, fenced);
    match to_record(seen, status) {
        Some(status) => Decision::Record(Box::new(status)),
        None => Decision::Wait { until: retry, why: Why(stay.message) },
    }
}

/// What a side or its Service has come to isn't known, and must not be taken for gone: what is recorded stands, and says so. What else
/// serves is protected.
fn held_as_it_is(seen: &Observed, plan: &Plan<'_>, wanted: Vec<Effect>) -> Decision {
    let (mut ready, retry) = retry::due(seen, wanted);
    let objects = ready.iter().map(Effect::object).collect();
    ready.retain(|effect| protection::protects(effect, &seen.status) && !protection::gives_way(effect, &seen.status));
    if !ready.is_empty() {
        return Decision::Act(ready);
    }
    let (status, stay) = record::waiting_for_a_reader(seen, plan, objects);
    match news::is_news(&seen.status, &status) {
        true => Decision::Record(Box::new(status)),
        false => Decision::Wait { until: retry, why: Why(stay.message) },
    }
}

/// The effect protects the live side, and what is about to be recorded wants it as what is recorded does.
fn protects_still(effect: &Effect, old: &BlueGreenRolloutStatus, next: &BlueGreenRolloutStatus) -> bool {
    let as_before = match effect.object() {
        Object::Service(_) => intent::place(old) == intent::place(next),
        Object::Deployment(color) => intent::size(old, color) == intent::size(next, color),
        Object::Revision(_) => true,
    };
    protection::protects(effect, old) && !protection::gives_way(effect, old) && as_before && old.phase == next.phase
}

/// The status to write, if it differs in more than what can wait for the next record.
fn to_record(seen: &Observed, mut next: BlueGreenRolloutStatus) -> Option<BlueGreenRolloutStatus> {
    fences::go_on(seen, &mut next);
    if !news::is_news(&seen.status, &next) {
        return None;
    }
    fences::raise(seen, &mut next);
    Some(next)
}
