//! Input that only the operator, Prometheus or the API server can know to be bad. What the schema refuses is in `schema.rs`.
//!
//! Nothing is touched while it is bad, the live side stays protected, the sentence helps, and the fix is noticed by itself.

use bluegreen_api::{Color, Phase};
use bluegreen_e2e::{
    Answer, Ground, Prometheus, Rollout, Seen, Space,
    manifest::metric,
    merged,
    patience::{self, long_enough},
    shop,
};
use bluegreen_witness::Kind;
use serde_json::{Value, json};

/// What exists of the operator's objects besides the live side.
fn candidates(space: &Space) -> Vec<String> {
    let deployments = space.record.all(Kind::Deployment).into_iter();
    deployments
        .map(|deployment| deployment["metadata"]["name"].as_str().unwrap().to_owned())
        .filter(|name| name.ends_with("green"))
        .collect()
}

/// The live side is repaired also while input is bad.
async fn live_side_is_protected(space: &Space, rollout: &Rollout<'_>) {
    let scaled = space.tamper(Kind::Deployment, &rollout.deployment_name(Color::Blue), &json!({"spec": {"replicas": 0}})).await;
    space.until_newer(scaled, Kind::Deployment, "shop-blue", "is scaled back", |blue| blue["spec"]["replicas"] == 2).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn an_unknown_query_variable_is_named_with_the_known_ones() {
    let space = Space::new("variable").await;
    let _operator = space.operator();
    let rollout = space.rollout(&shop()).await;
    rollout.until_healthy("1.0.0").await;
    let bad = metric("errors", "http://127.0.0.1:9", "up{pod=~\"{{ podz }}\"}");
    rollout.spec(&json!({"image": "registry.example/shop:2.0.0", "verification": {"metrics": [bad]}})).await;
    let stalled = rollout.until("says what is wrong", |seen| seen.stalled() == "InvalidSpec").await;
    let message = &stalled.status.message;
    assert!(message.contains("podz") && message.contains("pods") && message.contains("namespace"), "{message}");
    live_side_is_protected(&space, &rollout).await;
    assert!(candidates(&space).is_empty());
    rollout.spec(&json!({"verification": null})).await;
    rollout.until_healthy("2.0.0").await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_metric_without_a_prometheus_says_where_to_name_one() {
    let space = Space::new("nowhere").await;
    let _operator = space.operator();
    let rollout = space.rollout(&shop()).await;
    rollout.until_healthy("1.0.0").await;
    let nowhere = json!({"name": "errors", "max": "1", "prometheus": {"query": "up"}});
    rollout.spec(&json!({"image": "registry.example/shop:2.0.0", "verification": {"metrics": [nowhere]}})).await;
    let stalled = rollout.until("says what is missing", |seen| seen.stalled() == "InvalidSpec").await;
    let ways = ["spec.sources.prometheus.address", "--prometheus-address"];
    assert!(ways.iter().all(|way| stalled.status.message.contains(way)), "{}", stalled.status.message);
    let prometheus = Prometheus::start(Answer::Value(0.0)).await;
    rollout.spec(&json!({"sources": {"prometheus": {"address": prometheus.address}}})).await;
    rollout.until("is verified", |seen| seen.is(Phase::Verifying)).await;
    space.end().await;
}

/// A candidate whose metric can't be judged is held for a person, who is told why; then the source recovers.
async fn held(name: &str, answer: Answer, words: &[&str]) {
    let space = Space::new(name).await;
    let _operator = space.operator();
    let prometheus = Prometheus::start(answer).await;
    let metric = metric("errors", &prometheus.address, "sum(errors{revision=\"{{ revision }}\",pod=~\"{{ pods }}\"})");
    let rollout = space.rollout(&merged(shop(), &json!({"verification": {"metrics": [metric]}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let held = rollout.until("can't be judged", |seen| seen.works() == "Inconclusive").await;
    let message = &held.status.message;
    assert!(message.contains("verification/errors could not be judged"), "{message}");
    for word in words {
        assert!(message.contains(word), "{message}");
    }
    assert_eq!(held.serves(), "1.0.0");
    assert!(held.status.rejected.is_none(), "trouble of the source is no word on the release");
    let revision = &held.candidate().revision;
    assert!(message.contains(&format!("bluegreen.dev/promote={revision}")), "{message}");
    assert!(prometheus.queries().iter().all(|query| query.contains(revision) && !query.contains("{{")), "{:?}", prometheus.queries());
    live_side_is_protected(&space, &rollout).await;
    prometheus.answer(Answer::Value(0.0));
    rollout.until_healthy("2.0.0").await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_query_that_prometheus_refuses_is_held_with_its_words() {
    held(
        "refused-query",
        Answer::BadQuery("1:5: parse error: unexpected end of input"),
        &["refused the query: bad_data: 1:5: parse error: "],
    )
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_query_without_data_is_held() {
    held("no-data", Answer::NoData, &["no data"]).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_query_that_gives_nan_is_held() {
    held("nan", Answer::NotANumber, &["NaN"]).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_query_that_gives_several_series_is_held() {
    held("series", Answer::Series(3), &["3 series"]).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_prometheus_that_never_answers_is_held() {
    held("never-answers", Answer::Never, &["10s"]).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_prometheus_that_is_away_is_held() {
    held("unavailable", Answer::Unavailable, &["503"]).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn an_address_where_nothing_listens_is_told_and_held() {
    let space = Space::new("no-address").await;
    let _operator = space.operator();
    // Port 1 of the loopback range is nobody's.
    let metric = metric("errors", "http://127.0.0.1:1", "up");
    let rollout = space.rollout(&merged(shop(), &json!({"verification": {"metrics": [metric]}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let held = rollout.until("can't be judged", |seen| seen.works() == "Inconclusive").await;
    assert!(held.status.message.contains("127.0.0.1:1"), "{}", held.status.message);
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_bad_reading_aborts_and_good_ones_promote() {
    let space = Space::new("verdicts").await;
    let _operator = space.operator();
    let prometheus = Prometheus::start(Answer::Value(0.2)).await;
    let metric = metric("errors", &prometheus.address, "errors");
    let rollout = space.rollout(&merged(shop(), &json!({"verification": {"metrics": [metric]}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let aborted = rollout.until_phase(Phase::Aborted).await;
    let rejected = aborted.status.rejected.as_ref().unwrap();
    assert_eq!(
        (rejected.reason.as_str(), rejected.message.as_str()),
        ("MetricFailed", "verification/errors failed: 0.2 is above the limit of 0.01")
    );
    prometheus.answer(Answer::Value(0.0));
    rollout.version("3.0.0").await;
    rollout.until_healthy("3.0.0").await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_version_that_goes_bad_after_the_switch_is_rolled_back() {
    let space = Space::new("goes-bad").await;
    let _operator = space.operator();
    let prometheus = Prometheus::start(Answer::Value(0.0)).await;
    let metric = metric("errors", &prometheus.address, "errors");
    let rollout = space.rollout(&merged(shop(), &json!({"monitoring": {"duration": "1h", "metrics": [metric]}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    rollout
        .until("has a good reading", |seen| {
            seen.is(Phase::Monitoring) && seen.status.gates.iter().any(|gate| gate.name == "monitoring/errors")
        })
        .await;
    prometheus.answer(Answer::Value(0.5));
    let back = rollout.until_phase(Phase::RolledBack).await;
    let rejected = back.status.rejected.as_ref().unwrap();
    assert_eq!((back.serves(), rejected.reason.as_str()), ("1.0.0", "MetricFailed"));
    space.end().await;
}

// === what the API server refuses ===

/// A change of the template that the API server refuses is told in its words and touches nothing; the fix is noticed.
async fn refused(name: &str, container: Value, fixed: Value, words: &[&str]) {
    let space = Space::new(name).await;
    let _operator = space.operator();
    let rollout = space.rollout(&shop()).await;
    rollout.until_healthy("1.0.0").await;
    let template = |mut container: Value| {
        let ports = json!([{"name": "http", "containerPort": 8080}]);
        container.as_object_mut().unwrap().entry("ports").or_insert(ports);
        json!({"template": {"spec": {"containers": [container]}}})
    };
    rollout.spec(&template(container)).await;
    let stalled = rollout.until("tells the refusal", |seen| seen.stalled() == "InvalidSpec").await;
    let message = &stalled.status.message;
    assert!(message.contains("The API server refused"), "{message}");
    for word in words {
        assert!(message.contains(word), "{message}");
    }
    assert!(candidates(&space).is_empty());
    live_side_is_protected(&space, &rollout).await;
    rollout.spec(&template(fixed)).await;
    let healthy = rollout.until_healthy("1.0.0").await;
    assert_eq!(healthy.active().color, Color::Green);
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn an_unknown_field_is_refused_in_the_api_servers_words() {
    refused(
        "unknown-field",
        json!({"name": "shop", "imagePulPolicy": "Always"}),
        json!({"name": "shop", "imagePullPolicy": "Always"}),
        &["imagePulPolicy"],
    )
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_doubled_env_name_is_taken_as_in_a_deployment() {
    let space = Space::new("doubled-env").await;
    let _operator = space.operator();
    let rollout = space.rollout(&shop()).await;
    rollout.until_healthy("1.0.0").await;
    let env = json!([{"name": "MODE", "value": "x"}, {"name": "MODE", "value": "y"}]);
    let container = json!({"name": "shop", "ports": [{"name": "http", "containerPort": 8080}], "env": env});
    rollout.spec(&json!({"template": {"spec": {"containers": [container]}}})).await;
    let green = |seen: &Seen| seen.is(Phase::Healthy) && seen.active().color == Color::Green;
    rollout.until("is Healthy on the other side", green).await;
    let runs = space.seen(Kind::Deployment, "shop-green").unwrap();
    assert_eq!(runs["spec"]["template"]["spec"]["containers"][0]["env"], env);
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn an_invalid_value_is_refused_in_the_api_servers_words() {
    let ports = |port: i32| json!({"name": "shop", "ports": [{"name": "http", "containerPort": port}]});
    refused("invalid-value", ports(70_000), ports(8081), &["containerPort", "must be between 1 and 65535"]).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn what_admission_denies_is_told_in_its_words() {
    let space = Space::new("denied").await;
    let _operator = space.operator();
    deny_images_with(&space, "forbidden").await;
    let rollout = space.rollout(&shop()).await;
    rollout.until_healthy("1.0.0").await;
    // Policies take effect in their own time.
    let probe = ["create", "deployment", "probe", "--image=forbidden", "--dry-run=server"];
    let denies = async || (!space.kubectl_told(&probe).await.success).then_some(());
    patience::until("the policy takes effect", denies).await;
    rollout.version("2.0.0-forbidden").await;
    let told = rollout.until("tells the denial", |seen| seen.status.message.contains("only images that were scanned")).await;
    assert!(told.stalled() == "InvalidSpec" || told.stalled() == "Refused", "{told:#?}");
    assert_eq!(told.serves(), "1.0.0");
    live_side_is_protected(&space, &rollout).await;
    rollout.version("2.0.0").await;
    rollout.until_healthy("2.0.0").await;
    Ground::get().run(&["delete", "validatingadmissionpolicy,validatingadmissionpolicybinding", &space.name]);
    space.end().await;
}

async fn deny_images_with(space: &Space, word: &str) {
    let name = &space.name;
    let policy = json!({"apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
            "spec": {
                "matchConstraints": {
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}},
                    "resourceRules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["deployments"]}],
                },
                "validations": [{
                    "expression": format!("object.spec.template.spec.containers.all(c, !c.image.contains('{word}'))"),
                    "message": "only images that were scanned may run here",
                }],
            },
        },
        {
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        },
    ]});
    let applied = space.ground.told_of(&["apply", "-f", "-"], &policy);
    assert!(applied.success, "{}", applied.error);
}

// === what belongs to others ===

fn service_of_others() -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop"}, "spec": {"selector": {"app": "theirs"}, "ports": [{"port": 80, "targetPort": 8080}]}})
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_foreign_service_is_left_alone_until_it_is_handed_over() {
    let space = Space::new("foreign").await;
    let _operator = space.operator();
    let theirs = space.create(Kind::Service, service_of_others()).await;
    let rollout = space.rollout(&shop()).await;
    let stalled = rollout.until("says whose it is", |seen| seen.stalled() == "NotOurs").await;
    let message = &stalled.status.message;
    assert!(
        message.contains("Service shop belongs to")
            && message.contains("bluegreen.dev/adopt=shop")
            && message.contains("spec.service.active.name"),
        "{message}"
    );
    long_enough().await;
    let now = space.seen(Kind::Service, "shop").unwrap();
    assert_eq!(now["metadata"]["resourceVersion"], json!(theirs.metadata.resource_version), "untouched");
    assert!(space.record.all(Kind::Deployment).is_empty());
    space.kubectl(&["annotate", "service", "shop", "bluegreen.dev/adopt=shop"]).await;
    let healthy = rollout.until_healthy("1.0.0").await;
    assert_eq!(rollout.selector()["bluegreen.dev/revision"], json!(healthy.active().revision));
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn another_service_name_leaves_a_foreign_service_alone() {
    let space = Space::new("other-name").await;
    let _operator = space.operator();
    space.create(Kind::Service, service_of_others()).await;
    let rollout = space.rollout(&merged(shop(), &json!({"service": {"active": {"name": "till"}}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    rollout.until_healthy("2.0.0").await;
    assert_eq!(space.seen(Kind::Service, "shop").unwrap()["spec"]["selector"], json!({"app": "theirs"}));
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_deployment_of_somebody_else_is_left_alone() {
    let space = Space::new("foreign-deploy").await;
    let _operator = space.operator();
    let labels = json!({"app": "theirs"});
    let theirs = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shop-blue"},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "theirs:1"}]}}},
    });
    space.create(Kind::Deployment, theirs).await;
    let rollout = space.rollout(&shop()).await;
    let stalled = rollout.until("says whose it is", |seen| seen.stalled() == "NotOurs").await;
    assert!(stalled.status.message.contains("Deployment shop-blue belongs to"), "{}", stalled.status.message);
    space.delete(Kind::Deployment, "shop-blue").await;
    rollout.until_healthy("1.0.0").await;
    space.end().await;
}
