//! The simulated API server beside a real one: whatever stories are told with it, its answers are those of Kubernetes. Both get
//! the same random requests, and their answers and the events of their watches are compared.
//!
//! `SEED=17 cargo test -p bluegreen-sim --test conformance -- --ignored` plays one story again, `SEEDS=100` as many fresh ones beside the fixed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may")]

mod alike;
mod asked;
mod objects;
mod pairs;
mod real;
mod sides;
mod story;

use futures::{StreamExt, stream};
use http::Request;
use kube::Client;
use real::Real;
use serde_json::{Value, json};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

const FIXED: u64 = 20;
const FRESH: u64 = 0;
/// Stories that are told at once.
const AT_ONCE: usize = 4;

/// A namespace for a story.
async fn make(client: &Client, namespace: &str) {
    let post = |path: String, name: &str| Request::post(path).body(json!({"metadata": {"name": name}}).to_string().into_bytes()).unwrap();
    // Without controllers nobody makes the account, and no pod is taken without.
    for (path, name) in
        [("/api/v1/namespaces".to_owned(), namespace), (format!("/api/v1/namespaces/{namespace}/serviceaccounts"), "default")]
    {
        client.request::<Value>(post(path, name)).await.unwrap();
    }
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn the_simulated_api_server_answers_as_a_real_one_does() {
    let real = Real::up();
    let client = real.client().await;
    // A run of all tests draws them by its commit, and is the same each time; else the clock does.
    let drawn = std::env::var("BLUEGREEN_SEED").ok().and_then(|seed| seed.parse().ok());
    let fresh = drawn.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()) * 10_000;
    let seeds: Vec<u64> = match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => {
            let more: u64 = std::env::var("SEEDS").map_or(FRESH, |seeds| seeds.parse().unwrap());
            (0..FIXED).chain(fresh..fresh + more).collect()
        }
    };
    let began = Instant::now();
    make(&client, "expired").await;
    story::expire(client.clone(), "expired").await.unwrap();
    let stories = stream::iter(&seeds).map(|seed| {
        let client = client.clone();
        async move {
            let namespace = format!("story-{seed}");
            make(&client, &namespace).await;
            story::tell(*seed, client, &namespace).await
        }
    });
    let told: Vec<_> = stories.buffer_unordered(AT_ONCE).collect().await;
    let (good, bad): (Vec<_>, Vec<_>) = told.into_iter().partition(Result::is_ok);
    let (requests, events) = good.into_iter().flatten().fold((0, 0), |(requests, events), (more, also)| (requests + more, events + also));
    println!("covered: {} stories: {requests} requests and {events} events alike, in {:.1?}", seeds.len(), began.elapsed());
    let bad: Vec<String> = bad.into_iter().filter_map(Result::err).collect();
    assert!(
        bad.is_empty(),
        "{} stories are told differently; replay one with SEED=… cargo test -p bluegreen-sim --test conformance -- --ignored\n\n{}",
        bad.len(),
        bad.join("\n\n")
    );
}
