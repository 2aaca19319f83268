//! Whether two objects say the same.

use crate::pairs::{Pairs, Side, What};
use bluegreen_sim::{
    fields,
    resource::{EVENT, POD, Resource, SLICE},
};
use serde_json::{Map, Value, json};

/// What the real server fills in and the simulated one doesn't: nobody in the simulation reads it.
fn extras(resource: &Resource) -> &'static [&'static str] {
    match resource.plural {
        "services" => &["spec/clusterIP", "spec/clusterIPs", "spec/ipFamilies", "spec/ipFamilyPolicy", "status/loadBalancer", "status"],
        "deployments" => &["status"],
        "events" => &["deprecatedSource"],
        "pods" => &[
            "spec/containers/*/imagePullPolicy",
            "spec/containers/*/resources",
            "spec/containers/*/terminationMessagePath",
            "spec/containers/*/terminationMessagePolicy",
            "spec/containers/*/volumeMounts",
            "spec/dnsPolicy",
            "spec/enableServiceLinks",
            "spec/preemptionPolicy",
            "spec/priority",
            "spec/restartPolicy",
            "spec/schedulerName",
            "spec/securityContext",
            "spec/serviceAccount",
            "spec/serviceAccountName",
            "spec/terminationGracePeriodSeconds",
            "spec/tolerations",
            "spec/volumes",
            "status/phase",
            "status/qosClass",
            "status",
        ],
        _ => &[],
    }
}

/// Takes out what is at a path of which the other side says nothing, or which is empty.
fn drop_extra(object: &mut Value, other: &Value, path: &[&str]) {
    match path {
        [] => {}
        [last] => {
            let empty = object[*last].as_object().is_some_and(Map::is_empty);
            if other[*last].is_null()
                && (*last != "status" || empty)
                && let Some(map) = object.as_object_mut()
            {
                map.remove(*last);
            }
        }
        ["*", rest @ ..] => {
            for (place, item) in object.as_array_mut().into_iter().flatten().enumerate() {
                drop_extra(item, &other[place], rest);
            }
        }
        [first, rest @ ..] => {
            if let Some(below) = object.get_mut(*first) {
                drop_extra(below, &other[*first], rest);
            }
        }
    }
}

/// The simulation keeps no account of who wrote what in these.
fn untracked(resource: &'static Resource) -> bool {
    [&POD, &SLICE, &EVENT].contains(&resource)
}

/// In words that both sides have in common.
pub fn normal(pairs: &Pairs, side: Side, resource: &'static Resource, value: &Value) -> Value {
    match value {
        Value::Object(map) if value["kind"] == "Status" && value["status"] == "Failure" => {
            // Of the words only what the operator looks for.
            let of_uid = map.get("message").and_then(Value::as_str).is_some_and(|message| message.contains("metadata.uid"));
            json!({"code": value["code"], "reason": value["reason"].as_str().unwrap_or_default(), "tells of the uid": of_uid})
        }
        Value::Object(map) => {
            let told =
                map.iter().filter(|(key, value)| !value.is_null() && *value != "" && !(*key == "managedFields" && untracked(resource)));
            let one = |(key, value): (&String, &Value)| {
                let text = value.as_str().filter(|text| !text.is_empty());
                let value = match (key.as_str(), text) {
                    ("resourceVersion", Some(version)) => json!(pairs.mark(What::Version, side, version)),
                    ("metadata", _) if map.contains_key("items") => normal(pairs, side, resource, &of_list(value)),
                    // Others' uids are made up.
                    ("uid", Some(uid)) if !uid.contains("-ffff-") => json!(pairs.mark(What::Uid, side, uid)),
                    ("creationTimestamp" | "deletionTimestamp", Some(_)) => json!("a time"),
                    ("managedFields", _) => managers(value),
                    ("continue", _) => json!(text.is_some()),
                    ("items", _) => {
                        value.as_array().into_iter().flatten().map(|item| normal(pairs, side, resource, &untyped(item))).collect()
                    }
                    _ => normal(pairs, side, resource, value),
                };
                (key.clone(), value)
            };
            Value::Object(told.map(one).collect())
        }
        Value::Array(items) => items.iter().map(|item| normal(pairs, side, resource, item)).collect(),
        other => other.clone(),
    }
}

/// Maps and lists that may be left when others own what was in them.
const EMPTIED: [&str; 6] = ["f:annotations", "f:labels", "f:limits", "f:ownerReferences", "f:requests", "f:resources"];

/// Who owns which fields. That somebody owns a map beside what is in it makes no difference.
fn managers(entries: &Value) -> Value {
    let mut managers = Map::new();
    for entry in entries.as_array().into_iter().flatten() {
        let word = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
        let set = fields::read(&without_maps(&entry["fieldsV1"]));
        let empty = |path: &fields::Path| path.last().is_some_and(|last| EMPTIED.contains(&last.as_str()));
        let paths: Map<String, Value> = set.iter().filter(|path| !empty(path)).map(|path| (path.join(" "), json!("owned"))).collect();
        if paths.is_empty() {
            continue;
        }
        managers.insert(format!("{} {} {} {}", word("manager"), word("operation"), word("subresource"), word("apiVersion")), json!(paths));
    }
    Value::Object(managers)
}

/// The version of a list is not compared: on the real server it moves on with what is written elsewhere.
fn of_list(metadata: &Value) -> Value {
    let mut told = metadata.clone();
    told["resourceVersion"] = Value::Null;
    told
}

/// The real server tells neither of the items of a built-in kind.
fn untyped(item: &Value) -> Value {
    let told = item.as_object().into_iter().flatten().filter(|(field, _)| !["apiVersion", "kind"].contains(&field.as_str()));
    Value::Object(told.map(|(field, value)| (field.clone(), value.clone())).collect())
}

/// Owned fields without the maps that hold them.
fn without_maps(fields: &Value) -> Value {
    let mut kept = Map::new();
    for (step, below) in fields.as_object().into_iter().flatten() {
        let mut inner = without_maps(below);
        if let (true, Some(map)) = (step.starts_with("f:"), inner.as_object_mut()) {
            map.remove(".");
            if map.is_empty() && !below["."].is_null() {
                continue;
            }
        }
        kept.insert(step.clone(), inner);
    }
    Value::Object(kept)
}

/// Where two objects differ, a line for each place.
pub fn differences(resource: &Resource, simulated: &Value, real: &Value) -> Vec<String> {
    let mut real = real.clone();
    for path in extras(resource) {
        let path: Vec<&str> = path.split('/').collect();
        drop_extra(&mut real, simulated, &path);
        drop_extra(&mut real, simulated, &[&["items", "*"], path.as_slice()].concat());
    }
    let mut told = vec![];
    compare(simulated, &real, "", &mut told);
    told
}

fn compare(simulated: &Value, real: &Value, path: &str, told: &mut Vec<String>) {
    match (simulated, real) {
        (Value::Object(one), Value::Object(other)) => {
            let keys: std::collections::BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            for key in keys {
                compare(&simulated[key], &real[key], &format!("{path}/{key}"), told);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (place, (one, other)) in one.iter().zip(other).enumerate() {
                compare(one, other, &format!("{path}/{place}"), told);
            }
        }
        (one, other) if one == other => {}
        _ => told.push(format!("{path}: simulated {simulated}, real {real}")),
    }
}
