//! The `BlueGreenRollout` resource and the templates that it names: types, schema, condition types and reasons.
//!
//! This crate knows no client and no runtime, so that anything may depend on it.

mod checks;
mod crd;
pub mod depth;
mod duration;
mod gate_template;
mod json_path;
mod latency;
pub mod names;
mod range;
mod ready;
pub mod reasons;
mod spec;
mod status;
mod template;
mod web;

pub use checks::*;
pub use crd::crd;
pub use duration::{Duration, Lifetime};
pub use gate_template::*;
pub use latency::*;
pub use range::*;
pub use ready::*;
pub use spec::*;
pub use status::*;
pub use template::{JobTemplate, PodTemplate};
pub use web::*;
