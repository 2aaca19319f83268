//! The decision: what to do about a rollout, as a pure and total function of what was seen.
//!
//! No client, no clock, no randomness, no async. [`decide`] is called by the operator with everything it saw and answers
//! with exactly one of: record this status, carry out these effects, or wait.

mod act;
pub mod asked;
mod clock;
mod decide;
pub mod decision;
pub mod events;
mod intent;
pub mod measure;
pub mod observed;
pub mod pass;
mod plan;
mod record;
pub mod render;
mod revision;

pub use decide::{decide, refusal_to_tell, without_a_fence};
pub use decision::{Decision, Effect, Why};
pub use observed::Observed;
pub use pass::Pass;
