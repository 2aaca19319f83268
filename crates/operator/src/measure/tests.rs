use super::{
    stage::{local, provide_tls, serve},
    *,
};
use axum::{Router, routing::post};
use serde_json::json;
use std::{future::pending, net::SocketAddr};

/// The most gates that a rollout has at a stage.
const GATES: usize = 64;

#[tokio::test]
async fn a_rollout_all_of_whose_sources_are_slow_delays_no_other() {
    provide_tls();
    let value = json!({"status": "success", "data": {"resultType": "scalar", "result": [0, "1"]}}).to_string();
    let quick = serve(Router::new().route("/api/v1/query", post(move || async move { value }))).await;
    let slow = serve(Router::new().route("/api/v1/query", post(pending::<String>))).await;
    let nowhere = kube::Client::try_from(kube::Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap();
    let sources = Sources::new(local(), Signer(None), None, nowhere).unwrap();
    let asked = |address: SocketAddr| What::Metric {
        questions: vec![Question::Prometheus { address: format!("http://{address}"), query: "up".into(), at: None }],
        credentials: Whose::Nobody,
        timeout: Duration::from_secs(60),
    };
    let waiting: Vec<_> = (0..GATES).map(|_| (sources.clone(), asked(slow))).collect();
    let tasks: Vec<_> = waiting.into_iter().map(|(sources, what)| tokio::spawn(async move { sources.ask(&what).await })).collect();
    // All of them have begun to wait before anything else is asked.
    while sources.slots.available_permits() + GATES > AT_ONCE {
        tokio::task::yield_now().await;
    }
    let answer = tokio::time::timeout(Duration::from_secs(20), sources.ask(&asked(quick))).await.unwrap();
    assert_eq!(answer, Outcome::reading(Reading::Value(1.0)));
    assert!(tasks.iter().all(|task| !task.is_finished()), "they wait still");
}
