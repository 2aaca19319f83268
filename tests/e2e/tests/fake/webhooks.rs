//! Webhooks: a service of yours is asked whether a revision may go on, until it says yes.

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use bluegreen_api::{Color, Gate, GateState, Phase};
use bluegreen_e2e::{LEASE, Rollout, Seen, Space, merged, shop};
use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::{
    fs,
    sync::{Arc, Mutex},
};

const KEY: &str = "what do ya want for nothing?";

/// The service, on a loopback address: a test decides what it says. It ends with the test's runtime.
struct Desk {
    url: String,
    script: Arc<Mutex<Script>>,
}

struct Script {
    answer: (StatusCode, &'static str),
    asked: Vec<Asked>,
}

/// A question as it came.
#[derive(Clone, Debug)]
struct Asked {
    signature: Option<String>,
    body: String,
}

impl Desk {
    async fn saying(status: StatusCode, words: &'static str) -> Self {
        let script = Arc::new(Mutex::new(Script { answer: (status, words), asked: vec![] }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/may-it-go-on", listener.local_addr().unwrap());
        let routes = Router::new().route("/may-it-go-on", post(reply)).with_state(script.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { url, script }
    }

    /// What is said from now on.
    fn say(&self, status: StatusCode, words: &'static str) {
        self.script.lock().unwrap().answer = (status, words);
    }

    fn asked(&self) -> Vec<Asked> {
        self.script.lock().unwrap().asked.clone()
    }

    /// A rollout that asks, so many times.
    fn asked_by(&self, attempts: i32) -> Value {
        let webhook = json!({"url": self.url, "attempts": attempts, "interval": "1s"});
        merged(shop(), &json!({"verification": {"checks": [{"name": "desk", "webhook": webhook}]}}))
    }
}

async fn reply(State(script): State<Arc<Mutex<Script>>>, headers: HeaderMap, body: String) -> (StatusCode, &'static str) {
    let signature = headers.get("bluegreen-signature").map(|value| value.to_str().unwrap().to_owned());
    let mut script = script.lock().unwrap();
    script.asked.push(Asked { signature, body });
    script.answer
}

/// As docs/analysis.md tells whoever wants to know who asks.
fn signature(body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    format!("sha256={}", HEXLOWER.encode(&mac.finalize().into_bytes()))
}

/// A rollout whose second version is asked about.
async fn second<'s>(space: &'s Space, manifest: &Value) -> Rollout<'s> {
    let rollout = space.rollout(manifest).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    rollout
}

fn gate(seen: &Seen) -> Option<&Gate> {
    seen.status.gates.iter().find(|gate| gate.name == "verification/desk")
}

fn tells(words: &str) -> impl Fn(&Seen) -> bool {
    move |seen: &Seen| gate(seen).is_some_and(|gate| gate.message.contains(words))
}

fn noes(seen: &Seen) -> i32 {
    gate(seen).and_then(|gate| gate.tries.as_ref()).map_or(0, |tries| tries.failed)
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_webhook_is_asked_until_it_says_yes_and_each_time_signed() {
    let space = Space::new("webhook").await;
    let desk = Desk::saying(StatusCode::INTERNAL_SERVER_ERROR, "no database").await;
    let key = space.ground.directory(&space.name).join("webhook-key");
    let _operator = space.operator_with("one", LEASE, &["--webhook-key-file", key.to_str().unwrap()]);
    let rollout = second(&space, &desk.asked_by(1_000)).await;
    rollout.until("is told that there is no key", tells("the webhook was not sent: its key file ")).await;
    assert!(desk.asked().is_empty(), "{:?}", desk.asked());

    // As an editor leaves it: the line break isn't meant.
    fs::write(&key, format!("{KEY}\n")).unwrap();
    let no = format!("{} answered 500, expected 200-299: \"no database\" (try ", desk.url);
    let waits = rollout.until("waits, and says for what", tells(&no)).await;
    assert_eq!((waits.phase(), waits.serves()), (Some(Phase::Verifying), "1.0.0"));
    assert_eq!(gate(&waits).unwrap().state, GateState::Running);

    desk.say(StatusCode::ACCEPTED, "");
    let live = rollout.until_healthy("2.0.0").await;
    let told = &live.status.history[0].gates[0];
    assert_eq!((told.name.as_str(), told.state), ("verification/desk", GateState::Passed));
    let candidate = waits.candidate();
    let question = json!({
        "namespace": space.name, "rollout": "shop", "gate": "verification/desk", "color": "green",
        "revision": candidate.revision, "image": candidate.image, "attempt": 2,
    });
    let asked = desk.asked();
    assert!(asked.len() >= 2, "{asked:?}");
    for Asked { signature: shown, body } in asked {
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), question);
        assert_eq!(shown, Some(signature(&body)), "{body}");
    }
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_webhook_is_asked_on_after_a_restart_of_the_operator() {
    let space = Space::new("webhook-approval").await;
    let mut operator = space.operator();
    let desk = Desk::saying(StatusCode::CONFLICT, "ask Ann").await;
    let rollout = second(&space, &desk.asked_by(10_000)).await;
    let before = rollout.until("waits for Ann", |seen| noes(seen) > 0).await;
    let told = format!("{} answered 409, expected 200-299: \"ask Ann\" (try {} of 10000)", desk.url, noes(&before));
    assert_eq!(gate(&before).unwrap().message, told);

    operator.kill();
    let _operator = space.operator();
    let after = rollout.until("goes on asking", |seen| noes(seen) != noes(&before)).await;
    assert!(noes(&after) > noes(&before), "{} tries were forgotten: {:?}", noes(&before), gate(&after));
    assert_eq!((after.phase(), after.serves()), (Some(Phase::Verifying), "1.0.0"));

    desk.say(StatusCode::OK, "Ann says yes");
    rollout.until_healthy("2.0.0").await;
    let asked = desk.asked();
    assert!(asked.iter().all(|one| one.signature.is_none() && one.body == asked[0].body), "it is the same question: {asked:?}");
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_webhook_that_never_says_yes_aborts_in_its_own_words() {
    let space = Space::new("webhook-no").await;
    let _operator = space.operator();
    let desk = Desk::saying(StatusCode::FORBIDDEN, "frozen until Monday").await;
    let rollout = second(&space, &desk.asked_by(2)).await;
    let live = (rollout.selector(), rollout.pods(Color::Blue));
    let aborted = rollout.until_phase(Phase::Aborted).await;
    let rejected = aborted.status.rejected.as_ref().unwrap();
    let words = format!("verification/desk failed: {} answered 403, expected 200-299: \"frozen until Monday\" (try 2 of 2)", desk.url);
    assert_eq!((rejected.reason.as_str(), &rejected.message), ("CheckFailed", &words));
    assert_eq!(aborted.serves(), "1.0.0");
    assert_eq!((rollout.selector(), rollout.pods(Color::Blue)), live);
    space.end().await;
}
