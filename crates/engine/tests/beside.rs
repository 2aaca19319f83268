//! What the shell asks of the engine beside the decision: the objects to be written, what to measure, how pods get on, what to announce.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod world;

#[path = "beside/announcements.rs"]
mod announcements;
#[path = "beside/measurements.rs"]
mod measurements;
#[path = "beside/objects.rs"]
mod objects;
#[path = "beside/pods.rs"]
mod pods;
#[path = "beside/webhooks.rs"]
mod webhooks;
