//! The operator with real pods on a real node, one test after the other: they measure what users notice, or take from the cluster what
//! all tests need. The name of a program begins with `node_` where its tests need a real node.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod prometheus;
mod verdicts;
