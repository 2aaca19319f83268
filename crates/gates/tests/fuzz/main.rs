//! All that users write and the gates read, in arbitrary texts: reading never panics and ends, and walking never exceeds its fuel.
//! `PROPTEST_CASES=100000` looks longer, as the night does.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod expressions;
mod gates;
mod json_path;

use proptest::{prelude::ProptestConfig, test_runner::RngSeed};
use std::time::{SystemTime, UNIX_EPOCH};

fn config() -> ProptestConfig {
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let fresh = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.subsec_nanos().into());
    let (seed, cases) = (number("PROPTEST_SEED").unwrap_or_else(fresh), number("PROPTEST_CASES").unwrap_or(400));
    eprintln!("replay with: PROPTEST_SEED={seed} PROPTEST_CASES={cases}");
    let cases = cases.try_into().unwrap_or(u32::MAX);
    ProptestConfig { cases, failure_persistence: None, rng_seed: RngSeed::Fixed(seed), ..ProptestConfig::default() }
}
