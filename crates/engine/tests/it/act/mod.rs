//! What is done once everything is recorded: the objects as they are written, put right and removed.

mod arrivals;
mod deployments;
mod fences;
mod objects;
mod revisions;
mod services;
