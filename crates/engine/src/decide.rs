//! The decision itself.

use crate::{
    clock, conditions,
    decision::{Change, Decision, Effect, Object, Why},
    draft::{Draft, Stay, StayKind},
    effects,
    observed::{Observed, Refusal},
    orders::Verb,
    phases,
    plan::Plan,
    progress, withdraw,
};
use bluegreen_api::{BlueGreenRolloutStatus, Gate, GateState, Phase};
use jiff::Timestamp;
use std::time::Duration;

/// Readings that turn no verdict are recorded at most this often.
const BATCH: Duration = Duration::from_secs(10);

/// How long a watch may be down before that is told.
const BLIND: Duration = Duration::from_secs(10);

/// The longest pause before a refused write is tried again.
const RETRY: Duration = Duration::from_secs(300);
/// The same for a write that protects the live side.
const PROTECTION_RETRY: Duration = Duration::from_secs(10);

/// What to do about a rollout: total, and the same for the same input.
///
/// A pass records a decision or carries out what is recorded, never both. What protects the live side comes before a record,
/// unless the record is about to change what protects it.
pub fn decide(seen: &Observed) -> Decision {
    if seen.deleting {
        return Decision::Wait { until: None, why: Why("The rollout is being deleted".into()) };
    }
    let plan = Plan::of(seen);
    let wanted = effects::wanted(seen, &plan);
    let pending: Vec<_> = wanted.iter().map(Effect::object).collect();
    let mut draft = Draft::new(seen, &plan, pending.clone());
    let stay = work_out(&mut draft);
    let next = draft.status;
    let (ready, retry) = due_effects(seen, wanted);
    let protection: Vec<_> = ready.iter().filter(|effect| protects_still(effect, &seen.status, &next)).cloned().collect();
    if !protection.is_empty() {
        return Decision::Act(protection);
    }
    if let Some(status) = to_record(seen, next) {
        let fences = withdraw::fences(seen, &status);
        if fences.is_empty() {
            return Decision::Record(Box::new(status));
        }
        let fenced: Vec<_> = fences.iter().map(Effect::object).collect();
        let (due, retry) = due_effects(seen, fences);
        return if due.is_empty() { unfenced(seen, &plan, (ready, fenced), retry) } else { Decision::Act(due) };
    }
    if !ready.is_empty() {
        return Decision::Act(ready);
    }
    let until = [stay.until, retry].into_iter().flatten().filter(|until| *until > seen.now).min();
    Decision::Wait { until, why: Why(stay.message) }
}

/// A fence is refused, and what it guards against must not be recorded without it: what is recorded stands, and says so.
fn unfenced(seen: &Observed, plan: &Plan, (ready, fenced): (Vec<Effect>, Vec<Object>), retry: Option<Timestamp>) -> Decision {
    let elsewhere = |effect: &Effect| effects::protects(effect, &seen.status) && !fenced.contains(&effect.object());
    let protection: Vec<_> = ready.into_iter().filter(elsewhere).collect();
    if !protection.is_empty() {
        return Decision::Act(protection);
    }
    let mut told = Draft::new(seen, plan, fenced);
    let stay = refused(&told).unwrap_or_else(|| Stay::working(bluegreen_api::reasons::REFUSED, "Waiting to write an object again"));
    conditions::tell(&mut told, &stay);
    match to_record(seen, told.status) {
        Some(status) => Decision::Record(Box::new(status)),
        None => Decision::Wait { until: retry, why: Why(stay.message) },
    }
}

/// The effect protects the live side, and what is about to be recorded wants it as what is recorded does.
fn protects_still(effect: &Effect, old: &BlueGreenRolloutStatus, next: &BlueGreenRolloutStatus) -> bool {
    let as_before = match effect.object() {
        Object::Service(_) => withdraw::place(old) == withdraw::place(next),
        Object::Deployment(color) => withdraw::asked(old, color) == withdraw::asked(next, color),
        Object::Revision(_) => true,
    };
    effects::protects(effect, old) && !effects::gives_way(effect, old) && as_before && old.phase == next.phase
}

/// Brings the draft to the next point where something must be done or awaited.
fn work_out(draft: &mut Draft<'_>) -> Stay {
    pause_orders(draft);
    keep_time(draft);
    remember_generations(draft);
    learn_images(draft);
    let mut stay = phases::run(draft);
    if let Some(moment) = blind_for_a_moment(draft, &stay) {
        draft.status = draft.seen.status.clone();
        return moment;
    }
    follow_replicas(draft);
    keep_time(draft);
    let trouble = phases::rest::blocked(draft).or_else(|| refused(draft));
    if let Some(trouble) = trouble.filter(|_| stay.kind != StayKind::Stalled) {
        stay = Stay { until: stay.until, ..trouble };
    }
    draft.status.observed_generation = draft.seen.generation;
    count_pods(draft);
    stay.message = no_news(draft, &stay).unwrap_or(stay.message);
    conditions::tell(draft, &stay);
    stay
}

/// A watch that is down comes back in a moment, as a rule: until that is over it is no news, and nothing is recorded for it.
fn blind_for_a_moment(draft: &Draft<'_>, stay: &Stay) -> Option<Stay> {
    let (old, new) = (&draft.seen.status, &draft.status);
    let nothing_else = (old.phase, old.attempt) == (new.phase, new.attempt) && stay.reason == bluegreen_api::reasons::WATCH_DOWN;
    let until = draft.seen.down().filter(|_| nothing_else).and_then(|blind| blind.since.checked_add(BLIND).ok())?;
    (until > draft.now()).then(|| stay.clone().until(Some(until)))
}

/// The recorded message, when nothing has come to it but another pod with the same kind of trouble.
fn no_news(draft: &Draft<'_>, stay: &Stay) -> Option<String> {
    let (old, new) = (&draft.seen.status, &draft.status);
    // An order that was carried out is news: whether it is paused, and what is advised, follow from it.
    let same_story =
        (old.phase, old.attempt, old.observed_generation, &old.orders) == (new.phase, new.attempt, new.observed_generation, &new.orders);
    let ready = old.conditions.iter().find(|condition| condition.type_ == bluegreen_api::reasons::READY)?;
    let stalled = old.conditions.iter().any(|condition| condition.type_ == bluegreen_api::reasons::STALLED);
    // What a person can do about it is news.
    let same_wait = ready.reason == stay.reason && stalled == (stay.kind == StayKind::Stalled);
    let kind = progress::kind_of_trouble(&stay.message)?;
    (same_story && same_wait && progress::kind_of_trouble(&old.message) == Some(kind)).then(|| old.message.clone())
}

/// A side that was rebuilt while its revision was missing learns its image once that is restored.
fn learn_images(draft: &mut Draft<'_>) {
    let status = &mut draft.status;
    for side in [&mut status.active, &mut status.standby, &mut status.preview].into_iter().flatten().filter(|side| side.image.is_empty()) {
        let revision = draft.seen.revisions.iter().find(|revision| revision.hash == side.revision);
        side.image = revision.map(|revision| revision.image.clone()).unwrap_or_default();
    }
}

/// Pause and resume hold for the attempt; of both, pause wins.
fn pause_orders(draft: &mut Draft<'_>) {
    let Some(revision) = draft.attempt_revision() else { return };
    let pause = draft.ordered(Verb::Pause, &revision);
    let resume = draft.ordered(Verb::Resume, &revision);
    if pause {
        draft.spend(Verb::Pause);
        draft.status.paused_by_order = true;
    }
    if resume {
        draft.spend(Verb::Resume);
        draft.status.paused_by_order = draft.status.paused_by_order && pause;
    }
}

/// Clocks stand still while held, and don't count the time in which nobody looked.
fn keep_time(draft: &mut Draft<'_>) {
    let now = draft.now();
    let phase = draft.phase();
    let held = draft.held().filter(|stay| blind_for_a_moment(draft, stay).is_none());
    // A pause holds gates, and not the pods of a first revision: they are waited for all the same, and not for ever.
    let coming_up = phase == Some(Phase::Initializing) && draft.status.active.as_ref().is_some_and(|active| !draft.fully_available(active));
    let held = held.is_some_and(|stay| match phase {
        Some(Phase::Initializing) if coming_up => stay.reason != bluegreen_api::reasons::PAUSED,
        // A way back goes on, and has its deadline; it asks no gate.
        Some(Phase::Aborting | Phase::RollingBack) => stay.reason == bluegreen_api::reasons::WATCH_DOWN && draft.seen.blind.is_some(),
        // With no pods to wait for, what only takes something down goes on.
        Some(Phase::ScalingDown) => stay.reason != bluegreen_api::reasons::NO_REPLICAS,
        _ => true,
    });
    let Some(clock) = draft.status.clock.as_mut() else { return };
    if let Some(absence) = draft.seen.absence {
        clock::account(clock, absence);
    }
    clock::hold(clock, held, now);
}

/// What the latest write to each Deployment returned, for the next operator process.
fn remember_generations(draft: &mut Draft<'_>) {
    let seen = draft.seen;
    for side in [&mut draft.status.active, &mut draft.status.standby, &mut draft.status.preview].into_iter().flatten() {
        let deployment = seen.color(side.color).deployment.as_ref().filter(|deployment| deployment.revision == side.revision);
        side.generation = deployment.and_then(|deployment| deployment.applied_generation).or(side.generation);
    }
}

/// The active side follows `replicas`, in every phase; the standby only upwards; the candidate as its phase asks.
fn follow_replicas(draft: &mut Draft<'_>) {
    let settings = draft.settings();
    let replicas = settings.replicas;
    let phase = draft.status.phase;
    let candidate = draft.status.preview.is_some();
    draft.status.waiting_replicas = draft.status.waiting_replicas.filter(|waiting| candidate && *waiting == replicas);
    let waits = draft.status.waiting_replicas.is_some();
    let switching = phase == Some(Phase::Promoting) || (phase == Some(Phase::RollingBack) && draft.status.standby.is_some());
    if let Some(active) = draft.status.active.as_mut() {
        active.replicas = if waits || switching { active.replicas.max(replicas) } else { replicas };
    }
    let active = draft.status.active.as_ref().map_or(0, |active| active.replicas);
    if let Some(standby) = draft.status.standby.as_mut() {
        standby.replicas = standby.replicas.max(replicas);
    }
    if let Some(preview) = draft.status.preview.as_mut() {
        preview.replicas = match phase {
            Some(Phase::Promoting) => preview.replicas.max(settings.full_size(active)),
            _ if replicas == 0 => 0,
            Some(Phase::ScalingUp) => settings.full_size(active),
            _ => settings.preview_size(active),
        };
    }
}

/// The scale subresource shows the pods of the active side; they are told when they have settled, not for their own sake.
fn count_pods(draft: &mut Draft<'_>) {
    let Some(active) = draft.status.active.clone() else { return };
    draft.status.selector =
        format!("{}={},{}={}", bluegreen_api::names::ROLLOUT_LABEL, draft.seen.name, bluegreen_api::names::COLOR_LABEL, active.color);
    if draft.fully_available(&active)
        && let Some(deployment) = draft.color_of(&active).deployment.as_ref()
    {
        draft.status.replicas = deployment.total;
    }
}

/// A write that is still wanted was refused: whatever the phase, it must be known.
fn refused(draft: &Draft<'_>) -> Option<Stay> {
    let refusal = draft.refusals().next()?;
    let name = match &refusal.object {
        Object::Service(role) => format!("Service {}", crate::render::service_name(draft.seen, *role)),
        Object::Deployment(color) => format!("Deployment {}", bluegreen_api::names::deployment(&draft.seen.name, *color)),
        Object::Revision(hash) => format!("ControllerRevision {}", bluegreen_api::names::revision(&draft.seen.name, hash)),
    };
    Some(conditions::refusal(refusal, &name))
}

/// The status to write, if it differs in more than what can wait for the next record.
fn to_record(seen: &Observed, mut next: BlueGreenRolloutStatus) -> Option<BlueGreenRolloutStatus> {
    let old = &seen.status;
    withdraw::go_on(seen, &mut next);
    let mut quiet = next.clone();
    for (new, old) in [(&mut quiet.active, &old.active), (&mut quiet.standby, &old.standby), (&mut quiet.preview, &old.preview)] {
        if let (Some(new), Some(old)) = (new.as_mut(), old.as_ref())
            && (new.color, &new.revision) == (old.color, &old.revision)
        {
            new.generation = old.generation;
        }
    }
    let stands_still = next.clock.as_ref().is_some_and(|clock| clock.stopped.is_some());
    for gate in &mut quiet.gates {
        if let Some(old) = old.gates.iter().find(|old| old.name == gate.name)
            && can_wait(old, gate, stands_still)
        {
            *gate = old.clone();
        }
    }
    if quiet == *old {
        return None;
    }
    withdraw::raise(seen, &mut next);
    Some(next)
}

/// Readings without a turn of the verdict are recorded in batches; while all stands still for a person, not at all.
fn can_wait(old: &Gate, new: &Gate, stands_still: bool) -> bool {
    if old.state == GateState::Inconclusive && new.state == GateState::Inconclusive && old.definition == new.definition {
        // It waits for readings or for a person; one more without a value is no news.
        return true;
    }
    let unasked = new.tries.as_ref().zip(old.tries.as_ref()).is_some_and(|(new, old)| new.failed == old.failed);
    if unasked && (old.state, &old.definition, &old.message) == (new.state, &new.definition, &new.message) {
        // Nobody could be asked once more, for the same reason.
        return true;
    }
    let reading = |gate: &Gate| gate.measured.as_ref().and_then(|measured| measured.readings.first().map(|reading| reading.at));
    let latest = |gate: &Gate| reading(gate).or(gate.tries.as_ref().map(|tries| tries.at));
    let nothing_counted = new.measured.is_none() && new.tries.as_ref().is_none_or(|tries| tries.failed == 0);
    if nothing_counted && old.tries.is_none() && old.message != new.message {
        // A check that could not be done, for a reason that nobody was told yet.
        return false;
    }
    let recorded = latest(old).unwrap_or(old.since);
    let age = latest(new).map_or(0, |latest| latest.as_millisecond() - recorded.as_millisecond());
    let soon = u128::try_from(age).is_ok_and(|age| age < BATCH.as_millis());
    old.state == new.state && old.definition == new.definition && (soon || stands_still)
}

/// Effects that may be tried now, and when those that were refused may be tried again.
fn due_effects(seen: &Observed, wanted: Vec<Effect>) -> (Vec<Effect>, Option<Timestamp>) {
    let mut retry: Option<Timestamp> = None;
    let mut later = Vec::new();
    let mut ready: Vec<_> = wanted
        .into_iter()
        .filter(|effect| {
            let refusal = seen.refusals.iter().find(|refusal| refusal.object == effect.object() && refusal.generation == seen.generation);
            let longest = if effects::protects(effect, &seen.status) { PROTECTION_RETRY } else { RETRY };
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
    (ready, retry)
}

/// 1 s, doubled with each refusal in a row, at most `longest`.
fn try_again(refusal: &Refusal, longest: Duration) -> Option<Timestamp> {
    let pause = Duration::from_secs(1_u64 << refusal.times.saturating_sub(1).min(9)).min(longest);
    refusal.at.checked_add(pause).ok()
}
