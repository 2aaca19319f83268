//! Templates of gates on a real API server: what it takes of them, and how rollouts that name one get on.

use bluegreen_api::{ClusterGateTemplate, GateTemplate, Phase};
use bluegreen_e2e::{Answer, Prometheus, Space, manifest::metric, merged, shop};
use kube::{
    Api, Resource,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
    core::ApiResource,
};
use serde_json::{Value, json};

/// One metric, whose limit its rollouts give.
fn slo(prometheus: &str) -> Value {
    let mut errors = metric("errors", prometheus, "errors{{ parameters.label }}");
    errors["max"] = json!("{{ parameters.maxErrors }}");
    json!({"parameters": [{"name": "maxErrors"}, {"name": "label", "default": ""}], "metrics": [errors]})
}

fn naming(kind: &str, name: &str) -> Value {
    let templates = json!([{"kind": kind, "name": name, "parameters": {"maxErrors": "1%"}}]);
    merged(shop(), &json!({"verification": {"templates": templates}}))
}

fn templates<K: Resource<DynamicType = ()>>(space: &Space) -> Api<DynamicObject> {
    let kind = ApiResource::erase::<K>(&());
    if kind.kind.starts_with("Cluster") {
        Api::all_with(space.client.clone(), &kind)
    } else {
        Api::namespaced_with(space.client.clone(), &space.name, &kind)
    }
}

async fn create<K: Resource<DynamicType = ()>>(space: &Space, api: &Api<DynamicObject>, name: &str, spec: &Value) -> Result<(), String> {
    space.assert_asks_nobody_outside(spec);
    let object = DynamicObject::new(name, &ApiResource::erase::<K>(&())).data(json!({"spec": spec}));
    match api.create(&PostParams::default(), &object).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) => Err(status.message.clone()),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_missing_template_is_reported_and_waited_for() {
    let space = Space::new("templates").await;
    let _operator = space.operator();
    let prometheus = Prometheus::start(Answer::Value(0.0)).await;
    let api = templates::<GateTemplate>(&space);
    let rollout = space.rollout(&naming("GateTemplate", "slo")).await;
    let missing = rollout.until("is told", |seen| seen.stalled() == "InvalidSpec").await;
    let expected = format!("spec.verification.templates: GateTemplate {}/slo doesn't exist: create it, or remove it from spec", space.name);
    assert!(missing.status.message.ends_with(&expected), "{}", missing.status.message);
    create::<GateTemplate>(&space, &api, "slo", &slo(&prometheus.address)).await.unwrap();
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let live = rollout.until_healthy("2.0.0").await;
    assert_eq!(live.status.history[0].gates[0].name, "verification/slo/errors");
    // Without another look at the rollout's spec.
    prometheus.answer(Answer::Value(0.005));
    let strict = json!({"spec": {"parameters": [{"name": "label", "default": ""}]}});
    api.patch("slo", &PatchParams::default(), &Patch::Merge(strict)).await.unwrap();
    let told = rollout.until("is told of the change", |seen| seen.stalled() == "InvalidSpec").await;
    assert!(told.status.message.contains("has no parameter maxErrors (it has label)"), "{}", told.status.message);
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_template_deleted_midway_holds_until_it_is_back() {
    let space = Space::new("gone-template").await;
    let _operator = space.operator();
    let prometheus = Prometheus::start(Answer::Value(0.0)).await;
    let api = templates::<GateTemplate>(&space);
    let mut long = slo(&prometheus.address);
    long["metrics"][0]["count"] = json!(10_000);
    create::<GateTemplate>(&space, &api, "slo", &long).await.unwrap();
    let rollout = space.rollout(&naming("GateTemplate", "slo")).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    rollout.until("is measured", |seen| seen.is(Phase::Verifying) && !seen.status.gates.is_empty()).await;
    api.delete("slo", &DeleteParams::default()).await.unwrap();
    let held = rollout.until("is held", |seen| seen.stalled() == "InvalidSpec").await;
    assert!(held.is(Phase::Verifying) && held.serves() == "1.0.0", "{}", held.status.message);
    create::<GateTemplate>(&space, &api, "slo", &slo(&prometheus.address)).await.unwrap();
    rollout.until_healthy("2.0.0").await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn an_operator_of_one_namespace_names_the_missing_role() {
    let space = Space::new("cluster-template").await;
    let _operator = space.operator();
    let prometheus = Prometheus::start(Answer::Value(0.0)).await;
    let api = templates::<ClusterGateTemplate>(&space);
    create::<ClusterGateTemplate>(&space, &api, &space.name, &slo(&prometheus.address)).await.unwrap();
    let rollout = space.rollout(&naming("ClusterGateTemplate", &space.name)).await;
    let held = rollout.until("is told", |seen| seen.works() == "WatchDown").await;
    let message = &held.status.message;
    assert!(message.contains("the operator needs a ClusterRole to list and watch clustergatetemplates"), "{message}");
    let role = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/rbac/namespaced/cluster-templates/cluster-gate-templates.yaml");
    space.ground.run(&["apply", "-f", role]);
    let (binding, role) = (format!("--serviceaccount={}:bluegreen-operator", space.name), "bluegreen-operator-cluster-gate-templates");
    space.ground.run(&["create", "clusterrolebinding", &space.name, &format!("--clusterrole={role}"), &binding]);
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    rollout.until_healthy("2.0.0").await;
    space.ground.run(&["delete", "clusterrolebinding", &space.name]);
    api.delete(&space.name, &DeleteParams::default()).await.unwrap();
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_limit_of_a_template_is_a_number_or_a_parameter() {
    let space = Space::without_operator("limits").await;
    let own = templates::<GateTemplate>(&space);
    let with = |field: &str, value: Value| {
        let mut spec = slo("http://prometheus:9090");
        spec["metrics"][0][field] = value;
        spec
    };
    for (name, spec, expected) in [
        ("fine", slo("http://prometheus:9090"), Ok(())),
        ("a-number", with("max", json!("2%")), Ok(())),
        ("both", with("max", json!("{{ parameters.maxErrors }}%")), Err("should match")),
        ("words", with("max", json!("many")), Err("should match")),
        ("nothing", json!({"parameters": []}), Err("a template without checks and metrics verifies nothing")),
        ("two-kinds", with("comparison", json!({"errors": "e", "requests": "r"})), Err("set exactly one kind of metric")),
        ("parameter", json!({"parameters": [{"name": "a b"}], "metrics": slo("http://p")["metrics"]}), Err("should match")),
    ] {
        let took = create::<GateTemplate>(&space, &own, name, &spec).await;
        match expected {
            Ok(()) => assert_eq!(took, Ok(()), "{name}"),
            Err(words) => assert!(took.as_ref().is_err_and(|message| message.contains(words)), "{name}: {took:?}"),
        }
    }
    let mut errors = metric("errors", "http://prometheus:9090", "errors");
    errors["max"] = json!("{{ parameters.maxErrors }}");
    let refused = space.try_rollout(&merged(shop(), &json!({"verification": {"metrics": [errors]}}))).await.err().unwrap();
    assert!(refused.contains("should match"), "a rollout's own limits are numbers: {refused}");
    let reference = json!({"name": "slo"});
    let refused = space.try_rollout(&merged(shop(), &json!({"verification": {"templates": [reference, reference]}}))).await.err().unwrap();
    assert!(refused.contains("Duplicate value"), "{refused}");
    space.end().await;
}
