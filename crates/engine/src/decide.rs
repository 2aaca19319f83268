//! The decision itself: the one page that knows both wings, what is recorded and what is written.

use crate::{
    act::{self, fences, protection, retry},
    decision::{Decision, Effect, Object, Part, Why},
    events::Announcement,
    intent,
    observed::{Observed, Refusal, facts::in_words},
    plan::Plan,
    record::{self, fit, news},
};
use bluegreen_api::{BlueGreenRolloutStatus, names};
use bluegreen_gates::text::around;
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
    if seen.cannot_read_a_side() {
        return held_as_it_is(seen, &plan, wanted);
    }
    let (next, stay) = record::work_out(seen, &plan, wanted.iter().map(Effect::place).collect());
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
        let fenced: Vec<_> = fences.iter().map(Effect::place).collect();
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
    Decision::Wait { until: retry, why: Why(words_of_another_version(field)) }
}

fn words_of_another_version(field: &str) -> String {
    format!("status.{field} has a word of another version of the operator: on hold until that version leads again, or is installed")
}

/// An event about a status that another version wrote: nothing is recorded over it, so that the status can't say so.
pub fn another_version_to_tell(seen: &Observed) -> Option<Announcement> {
    let field = seen.status.unknown_word()?;
    Some(Announcement {
        type_: "Warning",
        reason: "OtherVersion".into(),
        action: "Read".into(),
        note: words_of_another_version(field),
        key: format!("{}-{field}-OtherVersion", seen.term),
    })
}

/// A fence is refused, and what it guards against must not be recorded without it: what is recorded stands, and says so.
fn unfenced(seen: &Observed, plan: &Plan<'_>, (ready, fenced): (Vec<Effect>, Vec<(Object, Part)>), retry: Option<Timestamp>) -> Decision {
    let elsewhere =
        |effect: &Effect| protection::protects(effect, &seen.status) && !fenced.iter().any(|(object, _)| *object == effect.object());
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
    let pending = ready.iter().map(Effect::place).collect();
    ready.retain(|effect| protection::protects(effect, &seen.status) && !protection::gives_way(effect, &seen.status));
    if !ready.is_empty() {
        return Decision::Act(ready);
    }
    let (status, stay) = record::waiting_for_a_reader(seen, plan, pending);
    match news::is_news(&seen.status, &status) {
        true => Decision::Record(Box::new(status)),
        false => Decision::Wait { until: retry, why: Why(stay.message) },
    }
}

/// The fences that a record does without, each of which is a warning: the API server denies them.
pub fn without_a_fence(seen: &Observed, recorded: &BlueGreenRolloutStatus) -> Vec<Announcement> {
    let warning = |refusal: &Refusal| {
        let name = in_words(seen, &refusal.object);
        let advice = format!(". Allow the operator to set the annotation {}", names::EPOCH_ANNOTATION);
        Announcement {
            type_: "Warning",
            reason: "NotFenced".into(),
            action: "Fence".into(),
            note: around(&format!("Went on without a fence at {name}, which the API server denies: "), &refusal.message, &advice),
            key: format!("{}-{}-{name}-NotFenced", seen.status.attempt, seen.status.epoch),
        }
    };
    fences::denied(seen, recorded).map(warning).collect()
}

/// An event about a denial that the status may have no room for: the rollout goes on without what was denied.
pub fn refusal_to_tell(seen: &Observed, refusal: &Refusal) -> Option<Announcement> {
    let what = match refusal.part {
        Part::Settings => "settings",
        Part::NodePorts => "node ports",
        _ => return None,
    };
    let name = in_words(seen, &refusal.object);
    let event = || Announcement {
        type_: "Warning",
        reason: "SettingsRefused".into(),
        action: "Write".into(),
        note: around(&format!("The API server refused {what} of {name}: "), &refusal.message, ""),
        key: format!("{}-{name}-{what}-refused", seen.generation),
    };
    (refusal.times == 1 && Refusal::denies(refusal.code)).then(event)
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
    fit::fit(&mut next, seen.asked.bytes);
    // What had to be shortened before is no news when it is worked out again.
    if !news::is_news(&seen.status, &next) {
        return None;
    }
    fences::raise(seen, &mut next);
    Some(next)
}
