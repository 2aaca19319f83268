//! Takes the steps of the engine's loop around the decision, with real looks and real writes.

use crate::{clock, perform::Performed, queue::Next, requests::Refused};
use bluegreen_api::BlueGreenRolloutStatus;
use bluegreen_engine::{
    Decision, Effect, Observed, Pass,
    decision::{Change, Guard},
    pass::{End, Step},
};
use jiff::Timestamp;
use std::time::Duration;

/// Everything that is decided has its own time or event; this is for what nobody thought of.
const RESYNC: Duration = Duration::from_secs(600);

/// The world as the loop needs it.
pub trait World: Send {
    fn look(&mut self) -> impl Future<Output = Result<Sight, Trouble>> + Send;
    fn record(&mut self, seen: &Observed, status: &BlueGreenRolloutStatus) -> impl Future<Output = Result<(), Trouble>> + Send;
    fn perform(&mut self, seen: &Observed, effect: &Effect) -> impl Future<Output = Result<Performed, Trouble>> + Send;
    /// Makes the running measurements those that are wanted.
    fn measure(&mut self, seen: &Observed);
}

#[derive(Debug)]
pub enum Sight {
    Gone,
    /// Nothing can be decided about it until somebody changes it.
    Unreadable,
    Seen(Box<Observed>),
}

/// Why a reconcile ends without having reached its end.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error("this operator is not the leader")]
    NotLeading,
    /// It was changed while it was looked at.
    #[error("the rollout changed since it was read")]
    Stale,
    #[error("{what}: {refused}")]
    Api { what: &'static str, refused: Refused },
}

pub async fn reconcile(world: &mut impl World, decide: fn(&Observed) -> Decision) -> Result<Next, Trouble> {
    let mut pass = Pass::new(decide);
    let mut step = Step::Look;
    loop {
        step = match (step, pass.seen()) {
            (Step::Look, _) => match world.look().await? {
                Sight::Gone => return Ok(Next::Forget),
                Sight::Unreadable => return Ok(Next::Awaited),
                Sight::Seen(seen) => pass.saw(seen),
            },
            (Step::Record(status), Some(seen)) => match world.record(seen, &status).await {
                Err(Trouble::Stale) => {
                    tracing::debug!(rollout = %seen.name, namespace = %seen.namespace, "not recorded: the rollout changed since it was read");
                    pass.in_vain()
                }
                recorded => {
                    recorded?;
                    pass.done()
                }
            },
            (Step::Perform(effect), Some(seen)) => match world.perform(seen, &effect).await? {
                Performed::Done => pass.done(),
                Performed::Stale | Performed::Refused => pass.in_vain(),
            },
            (Step::End(end), Some(seen)) => return Ok(next(world, seen, &end, pass.last())),
            // Nothing is done before a look.
            (Step::Record(_) | Step::Perform(_) | Step::End(_), None) => Step::Look,
        };
    }
}

/// When to look again.
fn next(world: &mut impl World, seen: &Observed, end: &End, last: Option<&Decision>) -> Next {
    let (rollout, namespace) = (&seen.name, &seen.namespace);
    match end {
        End::Wait { until, why } => {
            tracing::debug!(%rollout, %namespace, ?until, %why, "waiting");
            world.measure(seen);
            Next::In(until.map_or(RESYNC, |until| wait(until, clock::now())))
        }
        End::SameAgain if last.is_some_and(makes_only) => {
            tracing::warn!(%rollout, %namespace, ?last, "an object that was created is gone again: another client deletes it");
            Next::BackOff
        }
        End::SameAgain => {
            tracing::error!(%rollout, %namespace, ?last, "bug: a completed action was decided again");
            Next::BackOff
        }
        End::Unsettled => {
            tracing::warn!(%rollout, %namespace, ?last, "the rollout doesn't settle; retrying in a second");
            Next::In(Duration::from_secs(1))
        }
    }
}

/// Nothing but objects that were not there. A revision is its content: it needs no guard.
fn makes_only(decision: &Decision) -> bool {
    let makes = |effect: &Effect| {
        effect.guard == Guard::Absent || matches!(effect.change, Change::WriteRevision { .. } | Change::RestoreRevision { .. })
    };
    matches!(decision, Decision::Act(effects) if effects.iter().all(makes))
}

/// A time that has passed already is a decision that should have been made: not at full speed.
fn wait(until: Timestamp, now: Timestamp) -> Duration {
    match Duration::try_from(until.duration_since(now)) {
        Ok(left) if !left.is_zero() => left.min(RESYNC),
        _ => Duration::from_millis(100),
    }
}

#[cfg(test)]
mod tests;
