//! Takes the steps of the engine's loop around the decision, with real looks and real writes.

use crate::{clock, perform::Performed, queue::Next, requests::Refused};
use bluegreen_api::BlueGreenRolloutStatus;
use bluegreen_engine::{
    Decision, Effect, Observed, Pass,
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
    #[error("this operator doesn't lead")]
    NotLeading,
    /// It was changed while it was looked at.
    #[error("the rollout was changed meanwhile")]
    Stale,
    #[error("{what}: {refused}")]
    Api { what: &'static str, refused: Refused },
}

pub async fn reconcile(world: &mut impl World, decide: fn(&Observed) -> Decision) -> Result<Next, Trouble> {
    let mut pass = Pass::new(decide);
    let mut step = Step::Look;
    // Whether all was done that was decided last.
    let mut done = true;
    loop {
        step = match (step, pass.seen()) {
            (Step::Look, _) => match world.look().await? {
                Sight::Gone => return Ok(Next::Forget),
                Sight::Unreadable => return Ok(Next::Awaited),
                Sight::Seen(seen) => match pass.saw(seen) {
                    Step::End(end) => Step::End(end),
                    decided => {
                        done = true;
                        decided
                    }
                },
            },
            (Step::Record(status), Some(seen)) => {
                match world.record(seen, &status).await {
                    Err(Trouble::Stale) => {
                        done = false;
                        tracing::debug!(rollout = %seen.name, namespace = %seen.namespace, "not recorded: the rollout was changed meanwhile")
                    }
                    recorded => recorded?,
                }
                pass.done()
            }
            (Step::Perform(effect), Some(seen)) => {
                done &= world.perform(seen, &effect).await? == Performed::Done;
                pass.done()
            }
            (Step::End(end), Some(seen)) => return Ok(next(world, seen, &end, pass.last(), done)),
            // Nothing is done before a look.
            (Step::Record(_) | Step::Perform(_) | Step::End(_), None) => Step::Look,
        };
    }
}

/// When to look again. `done`: all that was decided last.
fn next(world: &mut impl World, seen: &Observed, end: &End, last: Option<&Decision>, done: bool) -> Next {
    let (rollout, namespace) = (&seen.name, &seen.namespace);
    match end {
        End::Wait { until, why } => {
            tracing::debug!(%rollout, %namespace, ?until, %why, "waiting");
            world.measure(seen);
            Next::In(until.map_or(RESYNC, |until| wait(until, clock::now())))
        }
        End::SameAgain => {
            if done {
                tracing::error!(%rollout, %namespace, ?last, "the same was decided again though it was done");
            } else {
                tracing::debug!(%rollout, %namespace, "what was decided could not be done; it is tried again later");
            }
            Next::BackOff
        }
        End::Unsettled => {
            tracing::warn!(%rollout, %namespace, ?last, "the rollout doesn't settle; it is looked at again in a second");
            Next::In(Duration::from_secs(1))
        }
    }
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
