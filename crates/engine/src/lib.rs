//! The decision: what to do about a rollout, as a pure and total function of what was seen.
//!
//! No client, no clock, no randomness, no async. [`decide`] is called by the operator with everything it saw and answers
//! with exactly one of: record this status, carry out these effects, or wait.

mod act;
pub mod asked;
mod bytes;
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
mod takeover;

pub use act::protection::makes_an_armed_switch;
pub use decide::{another_version_to_tell, decide, refusal_to_tell, without_a_fence};
pub use decision::{Decision, Effect, Why};
pub use observed::Observed;
pub use pass::Pass;
