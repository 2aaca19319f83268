//! The resource on a real API server: how it is stored and shown, and who may do what with it. Needs no operator.

use bluegreen_e2e::{Ground, Space, merged, patience, shop};
use bluegreen_witness::Kind;
use serde_json::{Value, json};

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_null_is_an_absent_field() {
    let space = Space::without_operator("null").await;
    let mut manifest = merged(shop(), &json!({"template": {"spec": {"containers": [{"name": "shop", "image": "shop:1"}]}}}));
    manifest["spec"]["image"] = Value::Null;
    manifest["spec"]["promotion"] = Value::Null;
    space.rollout(&manifest).await;
    let stored = space.until(Kind::Rollout, "shop", "is stored", |rollout| !rollout.is_null()).await;
    assert!(stored["spec"].get("image").is_none() && stored["spec"].get("promotion").is_none(), "{stored:#}");
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn the_template_is_stored_as_it_was_written() {
    let space = Space::without_operator("template").await;
    let template = json!({
        "metadata": {"labels": {"team": "checkout"}, "annotations": {"a": "b"}},
        "spec": {
            "newField": {"deep": [1, {"deeper": "2"}]},
            "volumes": [{"name": "v", "configMap": {"name": "c", "newField": 1, "items": [{"key": "k", "path": "p", "newField": true}]}}],
            "affinity": {"podAffinity": {"newField": 1}},
            "containers": [{
                "name": "shop",
                "ports": [{"containerPort": 8080, "newField": 1}],
                "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name", "newField": 1}}}],
                "readinessProbe": {"httpGet": {"path": "/", "port": "http", "httpHeaders": [{"name": "a", "value": "b", "newField": 1}], "newField": 1}},
                "resources": {"limits": {"cpu": 1, "memory": "1Gi"}, "newField": 1},
                "lifecycle": {"preStop": {"sleep": {"seconds": 5}, "newField": 1}, "newField": 1},
            }],
        },
    });
    space.rollout(&merged(shop(), &json!({"template": template}))).await;
    let stored = space.until(Kind::Rollout, "shop", "is stored", |rollout| !rollout.is_null()).await;
    assert_eq!(stored["spec"]["template"], template, "no field is lost, and no default is added");
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn the_names_of_the_services_are_set_once() {
    let space = Space::without_operator("names").await;
    let rollout = space.rollout(&merged(shop(), &json!({"service": {"active": {"name": "till"}}}))).await;
    let active = "spec.service: Forbidden: active.name is set once: users reach the rollout by it. Create another rollout to change it";
    let preview = "spec.service: Forbidden: preview.name is set once. Create another rollout to change it";
    for (service, message) in
        [(json!({"active": {"name": "shop"}}), active), (json!({"active": null}), active), (json!({"preview": {"name": "other"}}), preview)]
    {
        let told = rollout.try_patch(&json!({"spec": {"service": service}})).await.unwrap_err();
        assert!(told.contains(message), "{service}: {told}");
    }
    rollout.spec(&json!({"service": {"active": {"type": "NodePort"}, "preview": {"labels": {"a": "b"}}}})).await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_fresh_rollout_has_a_status_that_answers_no_generation() {
    let space = Space::without_operator("fresh").await;
    space.rollout(&shop()).await;
    let stored = space.until(Kind::Rollout, "shop", "is stored", |rollout| !rollout.is_null()).await;
    assert_eq!(stored["status"], json!({"observedGeneration": -1}));
    assert_eq!(stored["metadata"]["generation"], 1);
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn the_status_is_written_apart_and_is_no_new_generation() {
    let space = Space::without_operator("status").await;
    let rollout = space.rollout(&shop()).await;
    rollout.patch(&json!({"status": {"message": "by the wrong door"}})).await;
    let patch =
        kube::api::Patch::Merge(json!({"spec": {"replicas": 9}, "status": {"observedGeneration": 1, "message": "by the right one"}}));
    space.api(Kind::Rollout).patch_status("shop", &kube::api::PatchParams::default(), &patch).await.unwrap();
    let stored = space.until(Kind::Rollout, "shop", "has a message", |rollout| !rollout["status"]["message"].is_null()).await;
    assert_eq!(stored["status"]["message"], "by the right one");
    assert_eq!((&stored["spec"]["replicas"], &stored["metadata"]["generation"]), (&json!(2), &json!(1)));
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn kubectl_scales_it() {
    let space = Space::without_operator("scale").await;
    let rollout = space.rollout(&shop()).await;
    let status = json!({"status": {"observedGeneration": 1, "replicas": 2, "selector": "bluegreen.dev/rollout=shop"}});
    space.api(Kind::Rollout).patch_status("shop", &kube::api::PatchParams::default(), &kube::api::Patch::Merge(status)).await.unwrap();
    space.kubectl(&["scale", "bgr", "shop", "--replicas=5"]).await;
    assert_eq!(space.kubectl(&["get", "bgr", "shop", "-o", "jsonpath={.spec.replicas}"]).await, "5");
    let scale = space
        .kubectl(&["get", "--raw", &format!("/apis/bluegreen.dev/v1alpha1/namespaces/{}/bluegreenrollouts/shop/scale", space.name)])
        .await;
    let scale: Value = serde_json::from_str(&scale).unwrap();
    assert_eq!(scale["spec"]["replicas"], 5);
    assert_eq!(scale["status"], json!({"replicas": 2, "selector": "bluegreen.dev/rollout=shop"}));
    drop(rollout);
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn kubectl_shows_where_it_stands() {
    let space = Space::without_operator("columns").await;
    space.rollout(&shop()).await;
    let side =
        |color: &str, image: &str| json!({"color": color, "revision": "abc", "number": 1, "image": image, "replicas": 2, "ports": []});
    let status = json!({"status": {
        "observedGeneration": 1, "phase": "Verifying", "message": "It is looked at", "attempt": 2, "revisions": 2, "replicas": 2,
        "active": side("blue", "shop:1"), "preview": side("green", "shop:2"),
        "conditions": [{"type": "Ready", "status": "False", "reason": "Verifying", "message": "", "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z"}],
    }});
    space.api(Kind::Rollout).patch_status("shop", &kube::api::PatchParams::default(), &kube::api::Patch::Merge(status)).await.unwrap();
    let table = space.kubectl(&["get", "bgr", "shop"]).await;
    let lines: Vec<Vec<_>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["NAME", "PHASE", "ACTIVE", "IMAGE", "CANDIDATE", "READY", "AGE"]);
    assert_eq!(lines[1][..6], ["shop", "Verifying", "blue", "shop:1", "shop:2", "False"]);
    let wide = space.kubectl(&["get", "bluegreenrollouts", "shop", "-o", "wide"]).await;
    assert!(wide.lines().next().unwrap().ends_with("REVISION   MESSAGE"), "{wide}");
    assert!(wide.ends_with("It is looked at"), "{wide}");
    let all = space.kubectl(&["get", "all"]).await;
    assert!(all.contains("bluegreenrollout.bluegreen.dev/shop"), "{all}");
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn kubectl_explains_it() {
    let ground = Ground::get();
    let explain = |field: &str| {
        let text = ground.run(&["explain", field]);
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    for (field, words) in [
        (
            "bgr",
            "A BlueGreenRollout deploys each change of its image or template beside the live version, verifies the new version, switches all traffic",
        ),
        ("bgr.spec.promotion", "Mode and time of the switch. Default: the switch follows verification at once."),
        (
            "bgr.spec.promotion",
            "mode <string> enum: Automatic, Manual, Never Automatic (default): the switch follows verification. Manual: a person approves",
        ),
        ("bgr.spec.scaleDown.after", "0s: no standby. Never: standby until the next rollout."),
        ("bgr.spec.verification.metrics.prometheus.query", "PromQL that returns one number"),
        ("bgr.spec.verification.metrics.prometheus.ready", "Source of the metric. HTTP: the program"),
        ("bgr.spec.template.spec.affinity", "If specified, the pod's scheduling constraints"),
        (
            "bgr.status.rejected",
            "It is not tried again until `spec` asks for another revision, or a person annotates the rollout with `retry`.",
        ),
    ] {
        let text = explain(field);
        assert!(text.contains(words), "{field}: {text}");
    }
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn plain_kubectl_apply_and_the_samples_are_taken() {
    let space = Space::without_operator("samples").await;
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/");
    // What `kubectl apply` keeps of the CRD in an annotation has to fit there: the second time it would fail.
    for _ in 0..2 {
        space.ground.run(&["apply", "-k", &format!("{config}crd")]);
    }
    for sample in ["smallest", "manual-approval", "prometheus", "complete", "slo"] {
        space.kubectl(&["apply", "--dry-run=server", "--validate=strict", "-f", &format!("{config}samples/{sample}.yaml")]).await;
    }
    for directory in ["crd", "rbac", "rbac/namespaced", "rbac/namespaced/cluster-templates", "default", "samples"] {
        let told = space.ground.told(&["apply", "--dry-run=client", "--validate=strict", "-k", &format!("{config}{directory}")]);
        assert!(told.success, "{directory}: {}", told.error);
    }
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn roles_allow_what_is_needed_and_no_more() {
    let space = Space::without_operator("rights").await;
    for role in ["view", "edit", "admin"] {
        space.kubectl(&["create", "serviceaccount", role]).await;
        space
            .kubectl(&["create", "rolebinding", role, &format!("--clusterrole={role}"), &format!("--serviceaccount={}:{role}", space.name)])
            .await;
    }
    let may = async |who: &str, verb: &str, what: &str| {
        let account = format!("--as=system:serviceaccount:{}:{who}", space.name);
        let (what, part) = what.split_once('/').unwrap_or((what, ""));
        let told = space.kubectl_told(&["auth", "can-i", verb, what, &format!("--subresource={part}"), &account]).await;
        told.output == "yes"
    };
    // The cluster's controller gathers aggregated roles in its own time.
    let gathered = async || may("admin", "create", "bluegreenrollouts").await.then_some(());
    patience::until("admins may create rollouts", gathered).await;
    for (who, verb, what, expected) in [
        ("view", "get", "bluegreenrollouts", true),
        ("view", "watch", "bluegreenrollouts", true),
        ("view", "get", "bluegreenrollouts/scale", true),
        ("view", "patch", "bluegreenrollouts", false),
        ("view", "update", "bluegreenrollouts/scale", false),
        ("edit", "create", "bluegreenrollouts", true),
        ("edit", "patch", "bluegreenrollouts", true),
        ("edit", "delete", "bluegreenrollouts", true),
        ("edit", "update", "bluegreenrollouts/scale", true),
        ("edit", "patch", "bluegreenrollouts/status", false),
        ("admin", "patch", "bluegreenrollouts", true),
        ("view", "get", "gatetemplates", true),
        ("view", "patch", "gatetemplates", false),
        ("edit", "patch", "gatetemplates", true),
        ("admin", "delete", "gatetemplates", true),
        ("bluegreen-operator", "watch", "gatetemplates", true),
        ("bluegreen-operator", "patch", "gatetemplates", false),
        ("bluegreen-operator", "watch", "bluegreenrollouts", true),
        ("bluegreen-operator", "patch", "bluegreenrollouts", false),
        ("bluegreen-operator", "update", "bluegreenrollouts", false),
        ("bluegreen-operator", "update", "bluegreenrollouts/status", false),
        ("bluegreen-operator", "patch", "bluegreenrollouts/status", true),
        ("bluegreen-operator", "patch", "services", true),
        ("bluegreen-operator", "delete", "services", false),
        ("bluegreen-operator", "patch", "deployments.apps", true),
        ("bluegreen-operator", "delete", "deployments.apps", false),
        ("bluegreen-operator", "delete", "pods", false),
        ("bluegreen-operator", "create", "pods", false),
        ("bluegreen-operator", "get", "pods", false),
        ("bluegreen-operator", "get", "secrets", false),
        ("bluegreen-operator", "get", "configmaps", false),
        ("bluegreen-operator", "create", "events.events.k8s.io", true),
        ("bluegreen-operator", "update", "leases.coordination.k8s.io", true),
        ("bluegreen-operator", "list", "nodes", false),
    ] {
        assert_eq!(may(who, verb, what).await, expected, "{who} {verb} {what}");
    }
    space.end().await;
}
