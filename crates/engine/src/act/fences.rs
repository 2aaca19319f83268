//! Fences: who withdraws a recorded intention first writes the object that it would have written, so that a former leader
//! who still holds it and wakes up late is refused by the object's resourceVersion.

use crate::{
    decision::{Change, Effect, Guard, Object, Role},
    intent::{place, revision, size, switches_to},
    observed::{
        Observed, Refusal,
        facts::{fenced, touchable},
    },
};
use bluegreen_api::{BlueGreenRolloutStatus, Color, Phase};
use jiff::Timestamp;
use std::time::Duration;

/// A denial counts while it is fresh: after that the fence is tried again.
const FRESH: Duration = Duration::from_secs(60);

/// The writes that must come before `next` may be recorded over `seen.status`. Empty when nothing is withdrawn or all is fenced.
pub(crate) fn fences(seen: &Observed, next: &BlueGreenRolloutStatus) -> Vec<Effect> {
    all(seen, next).filter(|fence| denial(seen, fence).is_none()).collect()
}

/// The fences that `next` does without, since the API server has denied them for longer than a request may be under way. Who may be
/// asleep with such a write in hand is denied too: the rule that denies ours came before it wakes, and stays.
pub(crate) fn denied<'a>(seen: &'a Observed, next: &BlueGreenRolloutStatus) -> impl Iterator<Item = &'a Refusal> {
    all(seen, next).filter_map(|fence| denial(seen, &fence))
}

fn all<'a>(seen: &'a Observed, next: &BlueGreenRolloutStatus) -> impl Iterator<Item = Effect> + 'a {
    let epoch = value(seen);
    withdrawn(seen, next).into_iter().filter_map(move |object| fence(seen, object, &epoch))
}

fn denial<'a>(seen: &'a Observed, fence: &Effect) -> Option<&'a Refusal> {
    let refusal = seen.refusals.iter().find(|refusal| refusal.is_of(fence))?;
    let longer_than =
        |from: Timestamp, to: Timestamp, time: Duration| Duration::try_from(to.duration_since(from)).is_ok_and(|is| is > time);
    let for_long = longer_than(refusal.denied_since?, refusal.at, Refusal::REQUEST_TIMEOUT);
    (for_long && !longer_than(refusal.at, seen.now, FRESH)).then_some(refusal)
}

/// Raises the epoch in `next` when it withdraws something.
pub(crate) fn raise(seen: &Observed, next: &mut BlueGreenRolloutStatus) {
    if !withdrawn(seen, next).is_empty() {
        next.epoch = seen.status.epoch.saturating_add(1);
    }
}

/// Somebody has fenced an object to withdraw what is recorded, and the record that was to follow isn't there: it may be on its way
/// still. Who goes on instead records that first, so that the other one comes too late.
pub(crate) fn go_on(seen: &Observed, next: &mut BlueGreenRolloutStatus) {
    if seen.status.phase.is_some() {
        next.epoch = next.epoch.max(fenced(seen));
    }
}

/// Of this withdrawal by this leader: one of an earlier leader doesn't count, for its writer may be the sleeper.
fn value(seen: &Observed) -> String {
    format!("{}.{}", seen.status.epoch.saturating_add(1), seen.term)
}

fn withdrawn(seen: &Observed, next: &BlueGreenRolloutStatus) -> Vec<Object> {
    if seen.status.phase.is_none() {
        return rebuilt(seen, next);
    }
    let mut objects = Vec::new();
    if switch_withdrawn(&seen.status, next) {
        objects.push(Object::Service(Role::Active));
    }
    for color in [Color::Blue, Color::Green] {
        if shrink_withdrawn(seen, next, color) || template_withdrawn(seen, next, color) {
            objects.push(Object::Deployment(color));
        }
    }
    objects
}

/// Nobody knows what a lost status had asked for: all of it is withdrawn. It also shows whether what it is rebuilt from is as it was seen.
fn rebuilt(seen: &Observed, next: &BlueGreenRolloutStatus) -> Vec<Object> {
    if next.phase.is_none() || seen.status.epoch == 0 {
        return vec![];
    }
    vec![Object::Service(Role::Active), Object::Deployment(Color::Blue), Object::Deployment(Color::Green)]
}

/// A switch was recorded, and now the Service is to point elsewhere.
fn switch_withdrawn(old: &BlueGreenRolloutStatus, next: &BlueGreenRolloutStatus) -> bool {
    let switching = switches_to(old).is_some() || (old.phase == Some(Phase::RollingBack) && old.standby.is_some());
    switching && place(old) != place(next)
}

/// A color was to shrink, hasn't yet, and now is to keep or gain pods.
fn shrink_withdrawn(seen: &Observed, next: &BlueGreenRolloutStatus, color: Color) -> bool {
    let Some(deployment) = &seen.color(color).deployment else { return false };
    let (Some(was), Some(is)) = (size(&seen.status, color), size(next, color)) else { return false };
    deployment.replicas > was && is > was
}

/// A color was to run another revision, doesn't yet, and now is not to.
fn template_withdrawn(seen: &Observed, next: &BlueGreenRolloutStatus, color: Color) -> bool {
    let Some(deployment) = &seen.color(color).deployment else { return false };
    let was = revision(&seen.status, color);
    was.is_some_and(|was| was != deployment.revision) && was != revision(next, color)
}

fn fence(seen: &Observed, object: Object, epoch: &str) -> Option<Effect> {
    // What isn't ours, or is on its way out, is not written: neither by us nor by the sleeper.
    let (is, resource_version) = match &object {
        Object::Service(role) => {
            let service = seen.service(*role).filter(|service| !service.deleting && touchable(&service.owner))?;
            (service.epoch.clone(), service.resource_version.clone())
        }
        Object::Deployment(color) => {
            let deployment = seen.color(*color).deployment.as_ref();
            let deployment = deployment.filter(|deployment| !deployment.deleting && touchable(&deployment.owner))?;
            (deployment.epoch.clone(), deployment.resource_version.clone())
        }
        Object::Revision(_) => return None,
    };
    let guard = Guard::ResourceVersion(resource_version);
    let change = Change::Fence { object, epoch: epoch.to_owned() };
    (is != epoch).then_some(Effect { change, guard, why: "a recorded intention was withdrawn" })
}
