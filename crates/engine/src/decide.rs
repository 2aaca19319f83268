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
    if let Some(field) = seen.status.unknown_word() {
        return of_another_version(seen, &plan, field);
    }
    let wanted = act::wanted(seen, &plan);
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

/// Another version of the operator wrote the status: nothing is recorded over it, and who is served stays served.
fn of_another_version(seen: &Observed, plan: &Plan<'_>, field: &str) -> Decision {
    let (ready, retry) = retry::due(seen, act::least(seen, plan));
    if !ready.is_empty() {
        return Decision::Act(ready);
    }
    let why =
        format!("status.{field} has a word of another version of the operator: on hold until that version leads again, or is installed");
    Decision::Wait { until: retry, why: Why(why) }
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
