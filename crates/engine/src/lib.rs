//! The decision: what to do about a rollout, as a pure and total function of what was seen.
//!
//! No client, no clock, no randomness, no async. [`decide`] is called by the operator with everything it saw and answers
//! with exactly one of: record this status, carry out these effects, or wait.

pub mod checks;
mod clock;
pub mod comparison;
mod conditions;
mod decide;
pub mod decision;
mod draft;
mod effects;
pub mod events;
mod expression;
mod gates;
pub mod job;
pub mod latency;
pub mod measure;
mod metric;
pub mod observed;
mod orders;
pub mod pass;
mod phases;
mod plan;
pub mod progress;
mod query;
pub mod question;
pub mod ready;
pub mod render;
mod revision;
mod score;
mod templates;
pub mod trial;
mod withdraw;

pub use decide::decide;
pub use decision::{Decision, Effect, Why};
pub use observed::Observed;
pub use pass::Pass;
