//! What the tests that need a cluster stand on. Each test has a namespace of its own, in it an operator that has no more
//! rights than it is given, and a [`Record`] of every change, which the witness holds against the promises of the design.
//!
//! They run by `cargo xtask test`, or by `cargo test -p bluegreen-e2e -- --ignored`, which brings a cluster up and leaves it.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

pub mod beside;
pub mod dice;
mod ground;
pub mod helm;
pub mod manifest;
mod operator;
pub mod outside;
pub mod patience;
mod prometheus;
pub mod proxy;
mod record;
mod rollout;
mod space;
pub mod traffic;

pub use ground::{Ground, OwnGround};
pub use manifest::{merged, shop};
pub use operator::{LEASE, Operator, SHORT_LEASE};
pub use prometheus::{Answer, Prometheus};
pub use record::Record;
pub use rollout::{Rollout, Seen};
pub use space::Space;
