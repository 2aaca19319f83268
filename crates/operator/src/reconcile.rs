//! The loop around the decision: look, decide, record or act, and look again, until there is nothing to do but wait.

use crate::{perform::Performed, queue::Next, requests::Refused};
use bluegreen_api::BlueGreenRolloutStatus;
use bluegreen_engine::{Decision, Effect, Observed};
use jiff::Timestamp;
use std::time::Duration;

/// More than the longest way through the state machine that needs nobody else; a loop that takes more turns in circles.
const TURNS: usize = 16;
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
    let mut last = None;
    for _ in 0..TURNS {
        let seen = match world.look().await? {
            Sight::Gone => return Ok(Next::Forget),
            Sight::Unreadable => return Ok(Next::Awaited),
            Sight::Seen(seen) => seen,
        };
        let decision = decide(&seen);
        if last.as_ref() == Some(&decision) {
            tracing::error!(rollout = %seen.name, namespace = %seen.namespace, ?decision, "the same was decided again though it was done");
            return Ok(Next::BackOff);
        }
        match &decision {
            Decision::Record(status) => match world.record(&seen, status).await {
                Err(Trouble::Stale) => {
                    tracing::debug!(rollout = %seen.name, namespace = %seen.namespace, "not recorded: the rollout was changed meanwhile")
                }
                recorded => recorded?,
            },
            Decision::Act(effects) => {
                for effect in effects {
                    world.perform(&seen, effect).await?;
                }
            }
            Decision::Wait { until, why } => {
                tracing::debug!(rollout = %seen.name, namespace = %seen.namespace, ?until, %why, "waiting");
                world.measure(&seen);
                return Ok(Next::In(until.map_or(RESYNC, |until| wait(until, Timestamp::now()))));
            }
        }
        last = Some(decision);
    }
    tracing::warn!(turns = TURNS, ?last, "the rollout doesn't settle; it is looked at again in a second");
    Ok(Next::In(Duration::from_secs(1)))
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
