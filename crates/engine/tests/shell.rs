//! What the shell asks of the engine beside the decision: the objects to be written, what to measure, how pods get on, what to announce.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod world;

#[path = "shell/announcements.rs"]
mod announcements;
#[path = "shell/measurements.rs"]
mod measurements;
#[path = "shell/objects.rs"]
mod objects;
#[path = "shell/pods.rs"]
mod pods;
