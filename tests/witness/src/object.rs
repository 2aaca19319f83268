//! Objects as an API server shows them: whose they are, and whether they serve.

use crate::{MARK, MARK_DELETED};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

const FIELD_MANAGER: &str = "bluegreen";

pub(crate) fn mark(object: &Value) -> &Value {
    &object["metadata"]["annotations"][MARK]
}

/// Serves: it says so, and isn't on its way out.
pub fn is_ready(pod: &Value) -> bool {
    let mut conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    pod["metadata"]["deletionTimestamp"].is_null()
        && conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// A port of each name that these ports of a Service target, by protocol, is one of a container or of a restartable init container.
pub(crate) fn has_named_ports(pod: &Value, ports: &Value) -> bool {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let protocol = |port: &Value| port["protocol"].as_str().unwrap_or("TCP").to_owned();
    let sidecars = list(&pod["spec"]["initContainers"]).into_iter().filter(|container| container["restartPolicy"] == "Always");
    let containers = list(&pod["spec"]["containers"]).into_iter().chain(sidecars);
    let has: Vec<_> = containers.flat_map(|container| list(&container["ports"])).collect();
    list(ports)
        .iter()
        .filter(|port| port["targetPort"].is_string())
        .all(|wanted| has.iter().any(|port| port["name"] == wanted["targetPort"] && protocol(port) == protocol(wanted)))
}

/// The images of the ready pods that a Service selects, each once.
pub fn reached<'p>(service: &Value, pods: impl IntoIterator<Item = &'p Value>) -> Vec<String> {
    let Some(selector) = service["spec"]["selector"].as_object() else { return vec![] };
    let selected = |pod: &Value| selector.iter().all(|(key, value)| pod["metadata"]["labels"][key] == *value);
    let serving = pods.into_iter().filter(|pod| is_ready(pod) && selected(pod));
    let mut images: Vec<_> = serving.filter_map(|pod| pod["spec"]["containers"][0]["image"].as_str().map(str::to_owned)).collect();
    images.sort();
    images.dedup();
    images
}

pub(crate) fn active_service(rollout: &Value) -> &str {
    rollout["spec"]["service"]["active"]["name"].as_str().or(rollout["metadata"]["name"].as_str()).unwrap_or_default()
}

pub(crate) fn owners(object: &Value) -> &[Value] {
    object["metadata"]["ownerReferences"].as_array().map(Vec::as_slice).unwrap_or_default()
}

pub(crate) fn is_controlled_by(object: &Value, rollout: &Value) -> bool {
    owners(object).iter().any(|owner| owner["uid"] == rollout["metadata"]["uid"])
}

/// The test deleted the object, or the rollout goes.
pub(crate) fn may_be_gone(before: Option<&Value>, rollout: &Value) -> bool {
    let by_test = before.is_some_and(|before| !before["metadata"]["annotations"][MARK_DELETED].is_null());
    by_test || !rollout["metadata"]["deletionTimestamp"].is_null()
}

pub(crate) fn managed(object: &Value) -> impl Iterator<Item = &Value> {
    object["metadata"]["managedFields"].as_array().into_iter().flatten().filter(|entry| entry["manager"] == FIELD_MANAGER)
}

pub(crate) fn manages(object: &Value) -> bool {
    managed(object).next().is_some()
}

pub(crate) fn manages_more_than_status(rollout: &Value) -> bool {
    managed(rollout).any(|entry| entry["subresource"] != "status")
}

pub(crate) fn numbers(ports: &Value) -> Vec<(Value, Value)> {
    let ports = ports.as_array().into_iter().flatten();
    ports.map(|port| (port["port"].clone(), port.get("targetPort").unwrap_or(&port["port"]).clone())).collect()
}

pub(crate) fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

pub(crate) fn drain(spec: &Value) -> SignedDuration {
    duration(&spec["scaleDown"]["drain"]).unwrap_or(SignedDuration::from_secs(10))
}

/// None: a side that was left stays.
pub(crate) fn stands_by(spec: &Value) -> Option<SignedDuration> {
    let after = &spec["scaleDown"]["after"];
    (after != "Never").then(|| duration(after).unwrap_or(SignedDuration::from_secs(30)))
}

fn duration(value: &Value) -> Option<SignedDuration> {
    let duration: bluegreen_api::Duration = value.as_str()?.parse().ok()?;
    SignedDuration::try_from(duration.0).ok()
}
