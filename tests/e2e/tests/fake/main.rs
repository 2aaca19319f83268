//! The operator on real Kubernetes with fake nodes. One program, so that all rooms run side by side: most of the time their tests wait.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod armed;
mod bad_input;
mod chart;
mod crash;
mod crd;
mod credentials;
mod failures;
mod faults;
mod gates;
mod jobs;
mod leaders;
mod lifecycle;
mod orders;
mod outside;
mod repair;
mod rollout;
mod schema;
mod services;
mod templates;
mod templates_differ;
mod unreadable;
mod upgrade;
mod webhooks;
