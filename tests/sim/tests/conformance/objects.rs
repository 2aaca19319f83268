//! Objects as the operator, users and controllers write them, and changes of them. All of them are valid: the simulation
//! doesn't validate.

use bluegreen_sim::{
    dice::Dice,
    resource::{DEPLOYMENT, EVENT, LEASE, POD, REVISION, ROLLOUT, Resource, SERVICE, SLICE},
};
use serde_json::{Value, json};

pub const ROLLOUT_LABEL: &str = "bluegreen.dev/rollout";
const IMAGES: [&str; 3] = ["registry.example/shop:1.0.0", "registry.example/shop:2.0.0", "registry.example/shop"];

fn maybe(dice: &Dice, into: &mut Value, field: &str, value: Value) {
    if dice.one_in(2) {
        into[field] = value;
    }
}

pub fn owners(dice: &Dice) -> Value {
    let number = dice.roll(2);
    json!([{
        "apiVersion": "bluegreen.dev/v1alpha1", "kind": "BlueGreenRollout", "name": "shop",
        "uid": format!("00000000-0000-4000-ffff-{number:012}"), "controller": true, "blockOwnerDeletion": true,
    }])
}

fn metadata(dice: &Dice, name: &str) -> Value {
    let mut metadata = json!({"name": name});
    if !dice.one_in(4) {
        let mut labels = json!({});
        maybe(dice, &mut labels, ROLLOUT_LABEL, json!(dice.pick(&["shop", "store"])));
        maybe(dice, &mut labels, "tier", json!(dice.pick(&["one", "two"])));
        labels["app"] = json!("shop");
        metadata["labels"] = labels;
    }
    if dice.one_in(3) {
        metadata["annotations"] = json!({"bluegreen.dev/epoch": dice.pick(&["1/1", "1/2"])});
    }
    if dice.one_in(4) {
        metadata["ownerReferences"] = owners(dice);
    }
    if dice.one_in(12) {
        metadata["finalizers"] = json!(["test.bluegreen.dev/hold"]);
    }
    metadata
}

fn container(dice: &Dice, name: &str) -> Value {
    let mut container = json!({"name": name, "image": dice.pick(&IMAGES)});
    let env = [json!({"name": "A", "value": dice.pick(&["1", "2"])}), json!({"name": "B", "value": "1"})];
    maybe(dice, &mut container, "env", json!(env[..1 + usize::from(dice.one_in(2))]));
    maybe(dice, &mut container, "ports", json!([{"name": "http", "containerPort": 8080}]));
    if dice.one_in(4) {
        container["resources"] = json!({"requests": {"cpu": dice.pick(&["1", "2"])}});
    }
    if dice.one_in(4) {
        container["command"] = json!(["shop", dice.pick(&["-v", "-q"])]);
    }
    container
}

pub fn containers(dice: &Dice) -> Value {
    let mut containers = vec![container(dice, "shop")];
    if dice.one_in(4) {
        containers.push(container(dice, "log"));
    }
    json!(containers)
}

fn template(dice: &Dice) -> Value {
    let mut template = json!({"metadata": {"labels": {"app": "shop"}}, "spec": {"containers": containers(dice)}});
    maybe(dice, &mut template["metadata"]["labels"], "bluegreen.dev/revision", json!(dice.pick(&["r1", "r2"])));
    if dice.one_in(4) {
        template["metadata"]["annotations"] = json!({"note": dice.pick(&["x", "y"])});
    }
    if dice.one_in(4) {
        template["spec"]["terminationGracePeriodSeconds"] = json!(dice.pick(&[10, 30]));
    }
    template
}

fn service_ports(dice: &Dice) -> Value {
    let mut ports = vec![json!({"name": "http", "port": 80, "protocol": "TCP", "targetPort": dice.pick(&[json!("http"), json!(8080)])})];
    if dice.one_in(3) {
        ports.push(json!({"name": "metrics", "port": 9090}));
    }
    json!(ports)
}

/// What somebody would send who wants this object.
pub fn object(dice: &Dice, resource: &Resource, name: &str) -> Value {
    let mut object = json!({"apiVersion": resource.api_version(), "kind": resource.kind, "metadata": metadata(dice, name)});
    if *resource == ROLLOUT {
        object["spec"] = json!({
            "image": dice.pick(&IMAGES),
            "template": {"spec": {"containers": [{"name": "shop", "ports": [{"name": "http", "containerPort": 8080}]}]}},
            "service": {"ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
        });
        maybe(dice, &mut object["spec"], "replicas", json!(dice.roll(3)));
        maybe(dice, &mut object["spec"], "progressDeadline", json!(dice.pick(&["10s", "20s"])));
    } else if *resource == DEPLOYMENT {
        object["spec"] = json!({"selector": {"matchLabels": {"app": "shop"}}, "template": template(dice)});
        maybe(dice, &mut object["spec"], "replicas", json!(dice.roll(3)));
        maybe(dice, &mut object["spec"], "minReadySeconds", json!(dice.pick(&[0, 5])));
        maybe(dice, &mut object["spec"], "revisionHistoryLimit", json!(1));
        maybe(
            dice,
            &mut object["spec"],
            "strategy",
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": dice.pick(&["25%", "50%"])}}),
        );
    } else if *resource == SERVICE {
        object["spec"] = json!({"ports": service_ports(dice)});
        maybe(dice, &mut object["spec"], "type", json!("ClusterIP"));
        object["spec"]["selector"] = selector(dice);
    } else if *resource == REVISION {
        // What is in it can't be changed.
        object["data"] = json!({"spec": {"template": {"spec": {"containers": [{"name": "shop", "image": "shop:1"}]}}}});
        object["revision"] = json!(1 + dice.roll(2));
    } else if *resource == POD {
        object["spec"] = json!({"nodeName": "fake-0", "containers": [{"name": "shop", "image": dice.pick(&IMAGES)}]});
    } else if *resource == SLICE {
        object["addressType"] = json!("IPv4");
        object["endpoints"] = endpoints(dice);
    } else if *resource == LEASE {
        object["spec"] = lease(dice);
    } else if *resource == EVENT {
        object["eventTime"] = json!("2026-01-01T00:00:00.000000Z");
        object["type"] = json!("Normal");
        object["reason"] = json!("Promoted");
        object["action"] = json!("Promote");
        object["note"] = json!("It is promoted.");
        object["reportingController"] = json!("bluegreen.dev/operator");
        object["reportingInstance"] = json!("one");
        object["regarding"] =
            json!({"apiVersion": "bluegreen.dev/v1alpha1", "kind": "BlueGreenRollout", "namespace": "@namespace", "name": "shop"});
    }
    object
}

fn selector(dice: &Dice) -> Value {
    let mut selector = json!({"app": "shop"});
    maybe(dice, &mut selector, "bluegreen.dev/color", json!(dice.pick(&["blue", "green"])));
    selector
}

fn endpoints(dice: &Dice) -> Value {
    let conditions = json!({"ready": dice.one_in(2), "serving": true, "terminating": false});
    json!([{"addresses": ["10.0.0.1"], "conditions": conditions, "targetRef": {"kind": "Pod", "name": "a", "namespace": "@namespace"}}])
}

fn lease(dice: &Dice) -> Value {
    let time = format!("2026-01-01T00:00:{:02}.000000Z", dice.roll(60));
    json!({
        "holderIdentity": dice.pick(&["one", "two", ""]), "leaseDurationSeconds": 15, "acquireTime": time, "renewTime": time,
        "leaseTransitions": 1 + dice.roll(3),
    })
}

/// A status that its controller would write.
pub fn status(dice: &Dice, resource: &Resource) -> Value {
    let truth = dice.pick(&["True", "False"]);
    if *resource == ROLLOUT {
        let mut status = json!({
            "observedGeneration": 1 + dice.roll(2),
            "phase": dice.pick(&["Healthy", "DeployingPreview"]),
            "conditions": [{"type": "Ready", "status": truth, "reason": "Healthy", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        });
        maybe(dice, &mut status, "message", json!(dice.pick(&["It serves.", "It waits."])));
        status
    } else if *resource == DEPLOYMENT {
        // Counts of zero are left out.
        let count = 1 + dice.roll(2);
        json!({"observedGeneration": 1, "replicas": count, "updatedReplicas": count, "readyReplicas": count, "availableReplicas": count})
    } else {
        json!({
            "phase": "Running",
            "podIP": "10.0.0.1",
            "podIPs": [{"ip": "10.0.0.1"}],
            "conditions": [{"type": "Ready", "status": truth, "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        })
    }
}

/// A merge patch by anybody.
pub fn change(dice: &Dice, resource: &Resource) -> Value {
    let of_metadata = [
        json!({"labels": {ROLLOUT_LABEL: dice.pick(&[Value::Null, json!("shop"), json!("store")])}}),
        json!({"labels": {"tier": dice.pick(&[Value::Null, json!("one"), json!("two")])}}),
        json!({"annotations": {"bluegreen.dev/epoch": dice.pick(&[Value::Null, json!("1/1"), json!("1/2")])}}),
        json!({"finalizers": dice.pick(&[Value::Null, Value::Null, json!(["test.bluegreen.dev/hold"])])}),
        json!({"ownerReferences": dice.pick(&[Value::Null, owners(dice)])}),
        json!({"labels": null}),
        json!({}),
    ];
    if dice.one_in(2) {
        return json!({"metadata": dice.pick(&of_metadata)});
    }
    if *resource == ROLLOUT {
        dice.pick(&[
            json!({"spec": {"image": dice.pick(&IMAGES)}}),
            json!({"spec": {"replicas": dice.pick(&[Value::Null, json!(1), json!(2)])}}),
            json!({"spec": {"progressDeadline": dice.pick(&[Value::Null, json!("10s")])}}),
        ])
    } else if *resource == DEPLOYMENT {
        dice.pick(&[
            json!({"spec": {"replicas": dice.pick(&[json!(0), json!(1), json!(2)])}}),
            json!({"spec": {"replicas": dice.pick(&[json!(0), json!(1), json!(2)])}}),
            json!({"spec": {"minReadySeconds": dice.pick(&[Value::Null, json!(0), json!(5)])}}),
            json!({"spec": {"template": {"spec": {"containers": containers(dice)}}}}),
            json!({"spec": {"template": {"metadata": {"labels": {"bluegreen.dev/revision": dice.pick(&[Value::Null, json!("r1")])}}}}}),
        ])
    } else if *resource == SERVICE {
        dice.pick(&[
            json!({"spec": {"selector": {"bluegreen.dev/color": dice.pick(&[Value::Null, json!("blue"), json!("green")])}}}),
            json!({"spec": {"ports": service_ports(dice)}}),
            // As the operator leads a Service, and gives it its settings.
            json!({
                "metadata": {"annotations": {"bluegreen.dev/former-revision": dice.pick(&[Value::Null, json!("abc")])}},
                "spec": {"selector": {"bluegreen.dev/color": "blue", "app": null}, "ports": service_ports(dice)},
            }),
            json!({
                "metadata": {"labels": {"tier": dice.pick(&[Value::Null, json!("two")])}, "ownerReferences": owners(dice)},
                "spec": {"type": "ClusterIP", "sessionAffinity": null},
            }),
        ])
    } else if *resource == REVISION {
        json!({"revision": 1 + dice.roll(2)})
    } else if *resource == POD {
        json!({"metadata": {"annotations": {"test.bluegreen.dev/ready": dice.pick(&["true", "false"])}}})
    } else if *resource == SLICE {
        json!({"endpoints": endpoints(dice)})
    } else {
        json!({"spec": lease(dice)})
    }
}
