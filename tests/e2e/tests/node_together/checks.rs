//! What real pods answer: before the switch each of them is asked, after it the active Service, as users are led.

use bluegreen_api::{Color, Gate, GateState, Phase};
use bluegreen_e2e::{Rollout, Seen, Space, merged, shop, traffic};
use bluegreen_witness::Kind;
use serde_json::{Value, json};

/// Nothing is wrong with it.
const GOOD: (&str, &str) = ("ERROR_RATE", "0");

/// A version with this in its environment. Each of its pods has to say that it is the one.
fn version(tag: &str, (name, value): (&str, &str)) -> Value {
    let home = json!({"expectedBody": {"jsonPath": "$.version", "equals": tag}, "attempts": 2, "interval": "1s"});
    json!({
        "image": format!("registry.example/shop:{tag}"),
        "template": {"spec": {"containers": [{
            "name": "shop",
            "env": [{"name": name, "value": value}],
            "ports": [{"name": "http", "containerPort": 8080}],
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 1},
        }]}},
        "verification": {"checks": [{"name": "home", "http": home}]},
    })
}

/// A good version that is asked once more when users reach it.
fn watched(tag: &str, outside: &Value) -> Value {
    let mut spec = version(tag, GOOD);
    spec["monitoring"] = json!({"duration": "1s", "checks": [{"name": "outside", "http": outside}]});
    spec
}

/// Where users come from inside the cluster: it has no DNS.
fn address(space: &Space) -> String {
    let service = space.seen(Kind::Service, "shop").unwrap();
    format!("http://{}/", service["spec"]["clusterIP"].as_str().unwrap())
}

fn passed<'s>(seen: &'s Seen, name: &str) -> Option<&'s Gate> {
    seen.status.gates.iter().find(|gate| gate.name == name && gate.state == GateState::Passed)
}

/// Waits until a version is given up, and returns why.
async fn until_rejected(rollout: &Rollout<'_>, tag: &str, phase: Phase, serves: &str) -> String {
    let of_tag = |seen: &Seen| seen.status.rejected.as_ref().is_some_and(|rejected| rejected.image.ends_with(tag));
    let seen = rollout.until(&format!("{tag} is given up"), |seen| seen.is(phase) && of_tag(seen)).await;
    let rejected = seen.status.rejected.as_ref().unwrap();
    println!("{}", rejected.message);
    assert_eq!((rejected.reason.as_str(), seen.serves()), ("CheckFailed", serves));
    rejected.message.clone()
}

#[tokio::test]
#[ignore = "needs a cluster with a real node: cargo xtask test"]
async fn pod_answers_decide_before_the_switch() {
    let space = Space::new("checks").await;
    let _operator = traffic::operator(&space);
    let rollout = space.rollout(&merged(shop(), &version("1.0.0", GOOD))).await;
    rollout.until_healthy("1.0.0").await;

    let live = (rollout.selector(), rollout.pods(Color::Blue));
    let broken = r#" answered 500 on /, expected 200-299: "this version fails on request""#;
    let another = r#" answered 200 on /, but $.version is "2.9.9" in its body, expected "3.0.0""#;
    for (tag, setting, words) in [("2.0.0", ("ERROR_RATE", "1"), broken), ("3.0.0", ("VERSION", "2.9.9"), another)] {
        rollout.spec(&version(tag, setting)).await;
        let why = until_rejected(&rollout, tag, Phase::Aborted, "1.0.0").await;
        assert!(why.starts_with("verification/home failed: shop-green-") && why.ends_with(words), "{why}");
        assert_eq!((rollout.selector(), rollout.pods(Color::Blue)), live, "the live side was touched");
    }

    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster with a real node: cargo xtask test"]
async fn answers_of_the_active_service_decide_after_the_switch() {
    let space = Space::new("checks-after").await;
    let _operator = traffic::operator(&space);
    let rollout = space.rollout(&merged(shop(), &version("1.0.0", GOOD))).await;
    rollout.until_healthy("1.0.0").await;

    // kube-proxy may lead to the former pods for a moment: it is asked until the version answers.
    let url = address(&space);
    let it_serves = json!({"url": url, "expectedBody": {"jsonPath": "$.version", "equals": "4.0.0"}, "attempts": 20, "interval": "1s"});
    rollout.spec(&watched("4.0.0", &it_serves)).await;
    let seen = rollout.until("has passed from outside too", |seen| passed(seen, "monitoring/outside").is_some()).await;
    assert_eq!(passed(&seen, "verification/home").unwrap().message, "200 from 2 pods on /");
    assert_eq!(passed(&seen, "monitoring/outside").unwrap().message, format!("200 from {url}"));
    assert_eq!(rollout.until_healthy("4.0.0").await.status.history[0].gates.len(), 2);

    // Whichever pods it leads to, none answers so.
    let impossible = json!({"url": url, "expectedStatuses": [418], "attempts": 2, "interval": "1s"});
    rollout.spec(&watched("5.0.0", &impossible)).await;
    let why = until_rejected(&rollout, "5.0.0", Phase::RolledBack, "4.0.0").await;
    assert!(why.starts_with(&format!("monitoring/outside failed: {url} answered 200, expected 418: ")), "{why}");
    space.end().await;
}
