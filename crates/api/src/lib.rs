//! The `BlueGreenRollout` resource: its types, its schema and the words that its conditions use.
//!
//! This crate knows no client and no runtime, so that anything may depend on it.

mod checks;
mod crd;
mod duration;
pub mod names;
pub mod reasons;
mod spec;
mod status;
mod template;
mod web;

pub use checks::*;
pub use crd::crd;
pub use duration::{Duration, Lifetime};
pub use spec::*;
pub use status::*;
pub use template::PodTemplate;
pub use web::*;
