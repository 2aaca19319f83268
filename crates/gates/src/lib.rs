//! Gates: what must be passed before the switch and after it, what is asked for that, and how answers add up to a verdict.
//!
//! Pure: no client, no clock, no async. It knows nothing of the state machine, whose phases ask it.

pub mod approval;
pub mod ask;
pub mod check;
pub mod gate;
pub mod gates;
pub mod hash;
pub mod invalid;
pub mod metric;
pub mod reading;
pub mod stage;
pub mod templates;
pub mod text;
pub mod trial;
pub mod weigh;
