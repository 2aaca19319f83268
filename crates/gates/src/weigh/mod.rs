//! How answers add up to a verdict.

pub mod errors;
pub mod evidence;
pub mod expression;
pub mod latencies;
pub mod score;
pub mod values;
pub(crate) mod weighed;
