//! The manifests that tests apply: short, with times that are over soon.

use crate::patience::text;
use serde_json::{Value, json};
use std::time::Duration;

/// A rollout of two replicas whose waits are seconds.
pub fn shop() -> Value {
    json!({
        "apiVersion": "bluegreen.dev/v1alpha1",
        "kind": "BlueGreenRollout",
        "metadata": {"name": "shop"},
        "spec": {
            "image": "registry.example/shop:1.0.0",
            "replicas": 2,
            "template": {"spec": {"containers": [{"name": "shop", "ports": [{"name": "http", "containerPort": 8080}]}]}},
            "service": {"ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
            "progressDeadline": text(Duration::from_secs(60)),
            "scaleDown": {"drain": "1s", "after": "1s", "afterAbort": "1s"},
        },
    })
}

/// A pod template of the shop whose kubelet asks each second whether it is ready, for a real node.
pub fn probed() -> Value {
    json!({"spec": {"containers": [{
        "name": "shop",
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 1},
    }]}})
}

/// The manifest with a JSON merge patch (RFC 7386) applied to its `spec`.
pub fn merged(mut manifest: Value, spec: &Value) -> Value {
    merge(&mut manifest["spec"], spec);
    manifest
}

/// The manifest under another name.
pub fn named(mut manifest: Value, name: &str) -> Value {
    manifest["metadata"]["name"] = name.into();
    manifest
}

fn merge(into: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            into.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut into[key], value);
        }
    }
}

/// A metric of this name that asks `address` for `query`, and fails above 1 %.
pub fn metric(name: &str, address: &str, query: &str) -> Value {
    json!({
        "name": name,
        "max": "1%",
        "interval": "1s",
        "count": 2,
        "noDataLimit": 2,
        "errorLimit": 2,
        "prometheus": {"address": address, "query": query, "timeout": "10s"},
    })
}
