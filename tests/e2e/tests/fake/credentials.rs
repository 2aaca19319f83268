//! What a source of numbers is shown: a Secret, which the operator reads only where a team lets it.

use axum::{
    Router,
    http::{HeaderMap, StatusCode},
    routing::get,
};
use bluegreen_api::GateState;
use bluegreen_e2e::{Seen, Space, manifest::metric, merged, shop};
use serde_json::{Value, json};

/// Tells its number to those who show the token and say for which team they ask.
async fn source() -> String {
    let answer = |headers: HeaderMap| async move {
        let shown = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        if (shown("authorization").as_deref(), shown("x-team").as_deref()) == (Some("Bearer right"), Some("checkout")) {
            (StatusCode::OK, json!({"value": "0.001"}).to_string())
        } else {
            (StatusCode::UNAUTHORIZED, "who are you".to_owned())
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/errors", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/errors", get(answer))).await });
    address
}

fn asking(source: &str) -> Value {
    let mut errors = metric("errors", "", "");
    errors.as_object_mut().unwrap().remove("prometheus");
    errors["web"] = json!({
        "url": source, "jsonPath": "$.value", "timeout": "1s",
        "headers": [{"name": "X-Team", "secretKey": "team"}], "credentials": {"secretName": "numbers"},
    });
    merged(shop(), &json!({"verification": {"metrics": [errors]}}))
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_source_gets_what_a_secret_holds_once_it_may_be_read() {
    let space = Space::new("credentials").await;
    let _operator = space.operator();
    let rollout = space.rollout(&asking(&source().await)).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let told = |words: String| move |seen: &Seen| seen.status.gates.iter().any(|gate| gate.message.contains(&words));
    let secret = format!("Secret {}/numbers", space.name);

    let may_not = format!("the operator may not read {secret}: bind the ClusterRole bluegreen-operator-secrets to it");
    rollout.until("is told what to grant", told(may_not)).await;
    space.ground.run(&["apply", "-f", concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/rbac/secrets.yaml")]);
    let operator = format!("--serviceaccount={}:bluegreen-operator", space.name);
    let binding = ["create", "rolebinding", "bluegreen-operator-secrets", "--clusterrole=bluegreen-operator-secrets", &operator];
    space.kubectl(&binding).await;

    rollout.until("is told what to create", told(format!("{secret} doesn't exist: create it"))).await;
    space.kubectl(&["create", "secret", "generic", "numbers", "--from-literal=token=right", "--from-literal=team=checkout"]).await;
    let live = rollout.until_healthy("2.0.0").await;
    let gate = &live.status.history[0].gates[0];
    assert_eq!((gate.name.as_str(), gate.state), ("verification/errors", GateState::Passed));
    space.end().await;
}
