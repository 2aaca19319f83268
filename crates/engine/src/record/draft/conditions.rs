//! Conditions as kstatus reads them, and the sentences that go with them.

use super::Draft;
use crate::{
    clock::whole_second,
    record::stay::{Stay, StayKind},
};
use bluegreen_api::{Phase, Waiting, reasons};
use bluegreen_gates::text::bounded;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

impl Draft<'_> {
    /// Puts message and conditions into the draft: Ready and Promoted always, Reconciling or Stalled while they hold, never both.
    pub(crate) fn tell(&mut self, stay: &Stay) {
        self.status.message = bounded(&stay.message);
        self.status.trouble = stay.trouble.as_ref().and_then(|trouble| trouble.kind);
        self.status.waiting = waiting(self, stay);
        let (promoted, promoted_reason) = promoted(self, stay);
        let mut wanted = vec![(reasons::READY, stay.kind == StayKind::Ready, stay.reason), (reasons::PROMOTED, promoted, promoted_reason)];
        match stay.kind {
            StayKind::Ready => {}
            StayKind::Working => wanted.push((reasons::RECONCILING, true, stay.reason)),
            StayKind::Stalled => wanted.push((reasons::STALLED, true, stay.reason)),
        }
        let old = std::mem::take(&mut self.status.conditions);
        self.status.conditions = wanted.into_iter().map(|(type_, is, reason)| condition(self, &old, type_, is, reason)).collect();
    }
}

/// Since when it is waited for this, and until when. It changes with the reason, the phase and the clock alone, and is no record of its own.
fn waiting(draft: &Draft<'_>, stay: &Stay) -> Option<Waiting> {
    let (old, new) = (&draft.seen.status, &draft.status);
    let same_story = (old.phase, old.attempt) == (new.phase, new.attempt);
    let same_reason = old.conditions.iter().any(|condition| condition.type_ == reasons::READY && condition.reason == stay.reason);
    let before = old.waiting.as_ref().filter(|_| same_story && same_reason);
    (stay.kind != StayKind::Ready || stay.ends.is_some())
        .then(|| Waiting { since: before.map_or(whole_second(draft.now()), |waiting| waiting.since), until: stay.ends.map(whole_second) })
}

fn promoted(draft: &Draft<'_>, stay: &Stay) -> (bool, &'static str) {
    let live = draft.wants(draft.status.active.as_ref());
    let ended = matches!(draft.phase(), Some(Phase::Healthy | Phase::ScalingDown));
    if live && ended { (true, reasons::PROMOTED) } else { (false, stay.reason) }
}

fn condition(draft: &Draft<'_>, old: &[Condition], type_: &str, is: bool, reason: &str) -> Condition {
    let status = if is { "True" } else { "False" };
    let before = old.iter().find(|condition| condition.type_ == type_ && condition.status == status);
    Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: draft.status.message.clone(),
        observed_generation: Some(draft.status.observed_generation),
        last_transition_time: before.map_or(Time(whole_second(draft.now())), |condition| condition.last_transition_time.clone()),
    }
}
