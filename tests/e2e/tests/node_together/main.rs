//! The operator with real pods on a real node, three tests at a time: each has a namespace of its own, and little traffic.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod analysis;
mod checks;
mod credentials;
mod laggards;
