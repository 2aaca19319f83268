//! Services whose settings or node ports the API server refuses, and what others write in them.

use bluegreen_api::{Color, Phase};
use bluegreen_e2e::{
    Space, merged,
    patience::{self, long_enough},
    shop,
};
use bluegreen_witness::Kind;
use serde_json::{Value, json};

fn leads_to(service: &Value, color: &str) -> bool {
    service["spec"]["selector"]["bluegreen.dev/color"] == color
}

/// Nor a repair of what users need, nor a Service that was deleted.
#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_refused_label_holds_back_no_roll_back() {
    let space = Space::new("refused-label").await;
    let _operator = space.operator();
    let rollout = space.rollout(&merged(shop(), &json!({"monitoring": {"duration": "1h"}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let watched = rollout.until_phase(Phase::Monitoring).await;
    rollout.spec(&json!({"service": {"active": {"labels": {"no label": "x"}, "annotations": {"example.com/zone": "a"}}}})).await;
    let refused = rollout.until("says what is refused", |seen| seen.stalled() == "InvalidSpec").await;
    assert!(refused.status.message.contains("The API server refused Service shop") && refused.status.message.contains("no label"));
    let version = space.tamper(Kind::Service, "shop", &json!({"spec": {"selector": null}})).await;
    space.until_newer(version, Kind::Service, "shop", "leads to green again", |shop| leads_to(shop, "green")).await;
    let version = space.tamper_delete(Kind::Service, "shop").await;
    space.until_newer(version, Kind::Service, "shop", "is there again", |shop| leads_to(shop, "green")).await;
    rollout.order("rollback", &watched.active().revision).await;
    space.until(Kind::Service, "shop", "leads to blue", |shop| leads_to(shop, "blue")).await;
    rollout.until("has rolled back", |seen| seen.is(Phase::RolledBack)).await;
    // Mended, all of it is written.
    rollout.spec(&json!({"service": {"active": {"labels": {"no label": null, "tier": "front"}}}})).await;
    let settled =
        |shop: &Value| shop["metadata"]["labels"]["tier"] == "front" && shop["metadata"]["annotations"]["example.com/zone"] == "a";
    space.until(Kind::Service, "shop", "has its label", settled).await;
    space.end().await;
}

/// The revision that came after it doesn't have the node port, and another Service took it.
#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_taken_node_port_holds_back_no_roll_back() {
    // From the lowest ports, which the API server gives to no Service that names none as long as it has others (KEP-3668): tests that
    // run beside this one get theirs from above.
    const TAKEN: i32 = 30_042;
    let space = Space::new("taken-node-port").await;
    let _operator = space.operator();
    let service = |port: i32, node_port: Option<i32>| json!({"active": {"type": "NodePort"}, "ports": [{"name": "http", "port": port, "targetPort": "http", "nodePort": node_port}]});
    let spec = json!({"service": service(80, Some(TAKEN)), "monitoring": {"duration": "1h"}});
    let rollout = space.rollout(&merged(shop(), &spec)).await;
    rollout.until_healthy("1.0.0").await;
    rollout.spec(&json!({"image": "registry.example/shop:2.0.0", "service": service(81, None)})).await;
    let watched = rollout.until_phase(Phase::Monitoring).await;
    // The name of the port is the same, and so it has kept its node port: somebody gives it another one.
    space
        .patch(
            Kind::Service,
            "shop",
            &json!({"spec": {"ports": [{"name": "http", "port": 81, "targetPort": "http", "nodePort": TAKEN - 1}]}}),
        )
        .await;
    let other = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "other"},
        "spec": {"type": "NodePort", "selector": {"app": "other"}, "ports": [{"port": 80, "nodePort": TAKEN}]},
    });
    space.create(Kind::Service, other).await;
    rollout.order("rollback", &watched.active().revision).await;
    let back = space.until(Kind::Service, "shop", "leads to blue", |shop| leads_to(shop, "blue")).await;
    assert_eq!(back["spec"]["ports"][0]["port"], 80);
    let told = async || {
        let events = space.kubectl(&["get", "events", "-o", "json"]).await;
        (events.contains("The API server refused node ports of Service shop") && events.contains("already allocated")).then_some(())
    };
    patience::until("an event says that the node port is taken", told).await;
    space.delete(Kind::Service, "other").await;
    rollout.until("has rolled back", |seen| seen.is(Phase::RolledBack)).await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn settings_taken_out_of_spec_go_at_once() {
    let space = Space::new("settings-go").await;
    let _operator = space.operator();
    let active = json!({
        "type": "LoadBalancer", "labels": {"tier": "front"}, "annotations": {"example.com/zone": "a"},
        "sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 600}},
        "loadBalancerClass": "example.com/inner", "loadBalancerSourceRanges": ["192.0.2.0/24"], "allocateLoadBalancerNodePorts": false,
        "externalTrafficPolicy": "Local", "internalTrafficPolicy": "Local", "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
        "trafficDistribution": "PreferClose",
    });
    let rollout = space.rollout(&merged(shop(), &json!({"service": {"active": active}}))).await;
    rollout.until_healthy("1.0.0").await;
    let service = space.seen(Kind::Service, "shop").unwrap();
    for (field, value) in active.as_object().unwrap().iter().filter(|(field, _)| !["labels", "annotations"].contains(&field.as_str())) {
        assert_eq!(service["spec"][field], *value, "{field}");
    }
    // What somebody else adds stays, and is no reason to write.
    let theirs =
        json!({"metadata": {"labels": {"of-others": "x"}, "annotations": {"of-others": "x"}}, "spec": {"publishNotReadyAddresses": true}});
    space.patch(Kind::Service, "shop", &theirs).await;
    let mut ports = service["spec"]["ports"].clone();
    ports[0]["appProtocol"] = json!("http");
    space.patch(Kind::Service, "shop", &json!({"spec": {"ports": ports}})).await;
    let mut requests = space.requests();
    long_enough().await;
    assert_eq!(requests().into_iter().filter(|request| request.resource == "services").count(), 0, "it is nobody's drift");

    rollout.patch(&json!({"spec": {"service": {"active": null}}})).await;
    let plain = |shop: &Value| {
        shop["spec"]["type"] == "ClusterIP"
            && shop["spec"]["sessionAffinity"] == "None"
            && shop["spec"]["internalTrafficPolicy"] == "Cluster"
            && ["loadBalancerClass", "loadBalancerSourceRanges", "externalTrafficPolicy", "trafficDistribution"]
                .iter()
                .all(|field| shop["spec"][field].is_null())
            && shop["metadata"]["labels"]["tier"].is_null()
            && shop["metadata"]["annotations"]["example.com/zone"].is_null()
    };
    let plain = space.until(Kind::Service, "shop", "is plain", plain).await;
    assert_eq!(plain["metadata"]["labels"]["of-others"], "x");
    assert_eq!(plain["metadata"]["annotations"]["of-others"], "x");
    assert_eq!(plain["spec"]["ports"][0]["appProtocol"], "http");
    rollout.version("2.0.0").await;
    rollout.until_healthy("2.0.0").await;
    let switched = space.seen(Kind::Service, "shop").unwrap();
    assert_eq!(switched["spec"]["ports"][0]["appProtocol"], "http", "spec leaves it open");
    space.end().await;
}

/// Earlier versions of the operator wrote Services by server-side apply.
#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn fields_of_earlier_applies_are_released_and_stay() {
    let space = Space::new("applied-services").await;
    let mut old = space.operator();
    let spec = json!({"service": {"active": {"type": "NodePort", "labels": {"tier": "front"}, "annotations": {"example.com/zone": "a"}}}});
    let rollout = space.rollout(&merged(shop(), &spec)).await;
    rollout.until_healthy("1.0.0").await;
    tokio::task::spawn_blocking(move || old.terminate()).await.unwrap();
    let written = space.seen(Kind::Service, "shop").unwrap();
    let mut applied = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop"}, "spec": {"type": "NodePort"}});
    for field in ["labels", "ownerReferences"] {
        applied["metadata"][field] = written["metadata"][field].clone();
    }
    applied["metadata"]["annotations"] = json!({"example.com/zone": "a"});
    applied["spec"]["selector"] = written["spec"]["selector"].clone();
    applied["spec"]["ports"] =
        json!([{"name": "http", "port": 80, "targetPort": written["spec"]["ports"][0]["targetPort"], "protocol": "TCP"}]);
    // As its first writer left it: without our annotation.
    space.patch(Kind::Service, "shop", &json!({"metadata": {"annotations": {"bluegreen.dev/settings": null}}})).await;
    let apply = ["apply", "--server-side", "--force-conflicts", "--field-manager=bluegreen", "-f", "-", "--namespace", &space.name];
    let told = space.ground.told_of(&apply, &applied);
    assert!(told.success, "{}", told.error);
    let is_applied = |shop: &Value| {
        let entries = shop["metadata"]["managedFields"].as_array().unwrap();
        entries.iter().any(|entry| entry["manager"] == "bluegreen" && entry["operation"] == "Apply")
    };
    space.until(Kind::Service, "shop", "was applied", is_applied).await;

    let _new = space.operator();
    let released = space.until(Kind::Service, "shop", "is released", |shop| !is_applied(shop)).await;
    assert_eq!(released["spec"], written["spec"]);
    assert_eq!(released["metadata"]["labels"], written["metadata"]["labels"]);
    assert_eq!(released["metadata"]["annotations"]["example.com/zone"], "a");
    rollout.spec(&json!({"service": {"active": {"labels": null}}})).await;
    space.until(Kind::Service, "shop", "has lost its label", |shop| shop["metadata"]["labels"]["tier"].is_null()).await;
    rollout.version("2.0.0").await;
    rollout.until_healthy("2.0.0").await;
    space.end().await;
}

/// A policy that lets nobody set the mark of a fence.
fn no_epoch(namespace: &str) -> [Value; 2] {
    let name = format!("no-epoch-{namespace}");
    let rule = json!({"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["deployments"]});
    let expression = "!has(object.metadata.annotations) || !('bluegreen.dev/epoch' in object.metadata.annotations)";
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": expression, "message": "no marks here"}],
        },
    });
    let here = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}});
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"], "matchResources": here},
    });
    [policy, binding]
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_fence_that_stays_denied_holds_back_no_roll_back() {
    let space = Space::new("denied-fence").await;
    let _operator = space.operator();
    let rollout = space.rollout(&merged(shop(), &json!({"scaleDown": {"after": "1h"}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let watched = rollout.until_phase(Phase::ScalingDown).await;
    let [policy, binding] = no_epoch(&space.name);
    for object in [&policy, &binding] {
        let told = space.ground.told_of(&["apply", "-f", "-"], object);
        assert!(told.success, "{}", told.error);
    }
    let denied = async || {
        let told = space
            .kubectl_told(&["annotate", "deployment", "shop-blue", "bluegreen.dev/epoch=0.0", "--overwrite", "--dry-run=server"])
            .await;
        told.error.contains("no marks here").then_some(())
    };
    patience::until("the policy denies", denied).await;
    rollout.order("rollback", &watched.active().revision).await;
    space.until(Kind::Service, "shop", "leads to blue", |shop| leads_to(shop, "blue")).await;
    let warned = async || {
        let events = space.kubectl(&["get", "events", "-o", "json"]).await;
        events.contains("Went on without a fence at Deployment shop-blue").then_some(())
    };
    patience::until("a warning is sent", warned).await;
    for object in [&binding, &policy] {
        let kind = object["kind"].as_str().unwrap().to_lowercase();
        space.ground.run(&["delete", &kind, object["metadata"]["name"].as_str().unwrap()]);
    }
    rollout.until_phase(Phase::RolledBack).await;
    rollout.until_size(Color::Green, 0).await;
    space.end().await;
}
