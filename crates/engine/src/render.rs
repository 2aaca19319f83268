//! The objects as they are written. What a revision is made of is rendered once, into its ControllerRevision;
//! later writes take it from there, so that another version of this code changes no running pod.

use crate::{
    asked::content::image_in,
    decision::{Extent, Manner, Role, Target},
    observed::{
        Observed, Owner, ServiceSeen,
        deployments::{asked_labels, asked_names, deployment_object},
        labels::{Labels, deployment_labels, object_labels, selector},
        services::{Names, fields, own_labels, ports_to_write, service_labels, service_name, service_object, type_name},
    },
    plan::wanted,
    revision,
};
use bluegreen_api::{Color, ServiceObject, ServicePort, names};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

fn owner(seen: &Observed) -> Value {
    json!([{
        "apiVersion": "bluegreen.dev/v1alpha1",
        "kind": "BlueGreenRollout",
        "name": seen.name,
        "uid": seen.uid,
        "controller": true,
        "blockOwnerDeletion": true,
    }])
}

pub(crate) fn metadata(seen: &Observed, name: String, labels: Labels) -> Value {
    json!({"name": name, "namespace": seen.namespace, "labels": labels, "ownerReferences": owner(seen)})
}

/// The ControllerRevision of the revision that `spec` asks for, to be created.
pub fn controller_revision(seen: &Observed, hash: &str, number: i64) -> Value {
    // A revision is written only while `spec` asks for it and can be carried out: an empty one would be refused.
    let wanted = seen.asked.content.as_ref().ok();
    let content = Content {
        digest: wanted.map_or("", |content| &content.digest),
        image: wanted.map_or("", |content| &content.image),
        ports: wanted.map_or(&[], |content| &content.ports),
        template: pod_template(
            seen,
            hash,
            wanted.map_or(Value::Null, |content| content.template.clone()),
            wanted.map(|it| it.image.as_str()),
        ),
    };
    revision_object(seen, hash, number, &content)
}

struct Content<'a> {
    digest: &'a str,
    image: &'a str,
    ports: &'a [ServicePort],
    template: Value,
}

fn revision_object(seen: &Observed, hash: &str, number: i64, content: &Content<'_>) -> Value {
    let mut labels = object_labels(&seen.name);
    labels.insert(names::REVISION_LABEL.into(), hash.into());
    let mut metadata = metadata(seen, names::revision(&seen.name, hash), labels);
    metadata["annotations"] = json!({
        names::DIGEST_ANNOTATION: content.digest,
        names::IMAGE_ANNOTATION: content.image,
        names::PORTS_ANNOTATION: serde_json::to_string(content.ports).unwrap_or_default(),
    });
    json!({
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": metadata,
        "revision": number,
        "data": {
            "spec": {
                "revisionHistoryLimit": 1,
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
                "template": content.template,
            },
        },
    })
}

/// The user's template with the labels that Services select by. The color is put in when it is applied.
fn pod_template(seen: &Observed, hash: &str, mut template: Value, image: Option<&str>) -> Value {
    if let Some(labels) = map_at(&mut template, &["metadata", "labels"]) {
        // So that logs and metrics can be told by version. A user's own says it better.
        if let Some(version) = image.and_then(version) {
            labels.entry(names::VERSION_LABEL).or_insert_with(|| json!(version));
        }
        labels.insert(names::ROLLOUT_LABEL.into(), json!(seen.name));
        labels.insert(names::REVISION_LABEL.into(), json!(hash));
        #[cfg(feature = "another-rendering")]
        labels.insert("bluegreen.dev/rendered-by".into(), json!("another-version"));
    }
    template
}

/// The tag of an image, if it has one that a label can hold.
fn version(image: &str) -> Option<&str> {
    let name = image.split('@').next()?;
    let (_, tag) = name.rsplit_once('/').map_or(name, |(_, last)| last).split_once(':')?;
    let ends = |character: Option<char>| character.is_some_and(|character| character.is_ascii_alphanumeric());
    let inner = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.');
    (tag.len() <= 63 && ends(tag.chars().next()) && ends(tag.chars().last()) && tag.chars().all(inner)).then_some(tag)
}

/// The map under a path of keys, made where it isn't there.
pub(crate) fn map_at<'a>(value: &'a mut Value, path: &[&str]) -> Option<&'a mut Map<String, Value>> {
    let mut value = value;
    for key in path {
        if !value.is_object() {
            *value = json!({});
        }
        value = value.as_object_mut()?.entry(*key).or_insert_with(|| json!({}));
    }
    if !value.is_object() {
        *value = json!({});
    }
    value.as_object_mut()
}

/// A lost ControllerRevision, from the Deployment that runs it.
pub fn restored_revision(seen: &Observed, hash: &str, number: i64, live: &Value) -> Value {
    let side = [&seen.status.active, &seen.status.standby, &seen.status.preview].into_iter().flatten().find(|side| side.revision == hash);
    let ports = side.map(|side| side.ports.clone()).unwrap_or_default();
    // A side that was rebuilt without its revision knows no image.
    let runs = || live.pointer("/spec/template").and_then(|template| image_in(template, &seen.asked.spec, &seen.name));
    let image = side.map(|side| side.image.clone()).filter(|image| !image.is_empty()).or_else(runs).unwrap_or_default();
    // The content it was made from can't be told from a live object with its defaults, unless `spec` still asks for it.
    let digest =
        wanted(seen).filter(|wanted| wanted.hash == hash).map_or_else(|| revision::restored(hash), |wanted| wanted.content.digest.clone());
    let mut template = live.pointer("/spec/template").cloned().unwrap_or(Value::Null);
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(names::COLOR_LABEL);
    }
    revision_object(seen, hash, number, &Content { digest: &digest, image: &image, ports: &ports, template })
}

/// Seconds without progress after which the Deployment controller reports that there is none. Nothing depends on it here; the API
/// server refuses one that isn't longer than minReadySeconds.
const DEPLOYMENT_PROGRESS_DEADLINE: i32 = 600;

/// The Deployment of a color as its revision's ControllerRevision holds it.
pub fn deployment(seen: &Observed, (color, replicas, manner): (Color, i32, &Manner), revision_data: &Value) -> Value {
    let mut spec = revision_data.get("spec").filter(|spec| spec.is_object()).cloned().unwrap_or_else(|| json!({}));
    let revision = spec.pointer("/template/metadata/labels").and_then(|labels| labels.get(names::REVISION_LABEL)).cloned();
    spec["replicas"] = json!(replicas);
    let min_ready_seconds = seen.asked.spec.min_ready_seconds.unwrap_or(0);
    spec["minReadySeconds"] = json!(min_ready_seconds);
    spec["progressDeadlineSeconds"] = json!(min_ready_seconds.saturating_add(DEPLOYMENT_PROGRESS_DEADLINE));
    spec["paused"] = json!(false);
    spec["selector"] = json!({"matchLabels": {names::ROLLOUT_LABEL: seen.name, names::COLOR_LABEL: color}});
    if let Some(labels) = map_at(&mut spec, &["template", "metadata", "labels"]) {
        labels.insert(names::COLOR_LABEL.into(), json!(color));
    }
    let labels = deployment_labels(&seen.name, color, revision.as_ref().and_then(Value::as_str).unwrap_or_default());
    let mut metadata = metadata(seen, names::deployment(&seen.name, color), labels);
    if let Manner::Arrival(marker) = manner {
        metadata["annotations"] = json!({names::ARRIVAL_ANNOTATION: marker});
    }
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})
}

/// JSON patch: a Deployment that is there becomes the rendered one, and keeps nothing of its template. In the metadata stays what
/// others have put there. `bare`: maps of its metadata that it doesn't have yet.
pub fn whole(deployment: &Value, version: &str, bare: &[&str], owned: bool) -> Value {
    let add = |path: String, value: &Value| json!({"op": "add", "path": path, "value": value});
    // A replaced version makes a conflict of a change that wasn't seen; a test of it would be a bad request.
    let mut steps = vec![json!({"op": "replace", "path": "/metadata/resourceVersion", "value": version})];
    steps.extend(bare.iter().map(|map| add(format!("/metadata/{map}"), &json!({}))));
    if !owned {
        steps.push(add("/metadata/ownerReferences".into(), &deployment["metadata"]["ownerReferences"]));
    }
    for map in ["labels", "annotations"] {
        let entries = deployment["metadata"][map].as_object().into_iter().flatten();
        steps.extend(entries.map(|(key, value)| add(format!("/metadata/{map}/{}", escaped(key)), value)));
    }
    let fields = deployment["spec"].as_object().into_iter().flatten();
    steps.extend(fields.map(|(key, value)| add(format!("/spec/{}", escaped(key)), value)));
    Value::Array(steps)
}

/// Merge patch: the labels and annotations that are asked of a Deployment; those that were written for an earlier `spec` go.
pub fn settle_deployment(seen: &Observed, written: &str) -> Value {
    let object = deployment_object(seen);
    let asked = asked_names(&object);
    let gone = Names::read(written).without(&asked);
    let [labels, annotations] = settled((asked_labels(seen), object.annotations.unwrap_or_default()), &asked, &gone);
    json!({"metadata": {"labels": labels, "annotations": annotations}})
}

/// Labels and annotations of a merge patch: those that are asked for, and those that are gone.
fn settled((labels, annotations): (Labels, Labels), asked: &Names, gone: &Names) -> [Map<String, Value>; 2] {
    let text = |map: Labels| map.into_iter().map(|(key, value)| (key, json!(value)));
    let labels = absent(&gone.labels).chain(text(labels)).collect();
    let written = (names::SETTINGS_ANNOTATION.to_owned(), json!(asked.written()));
    [labels, absent(&gone.annotations).chain(text(annotations)).chain([written]).collect()]
}

fn absent(names: &BTreeSet<String>) -> impl Iterator<Item = (String, Value)> {
    names.iter().map(|name| (name.clone(), Value::Null))
}

/// A key as a step of a JSON pointer.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// A Service that is created: as `spec` asks for it, or with nothing but what leads users where they belong.
pub fn service(seen: &Observed, role: Role, target: &Target, extent: Extent) -> Value {
    let bare = extent == Extent::Bare;
    let object = if bare { ServiceObject::default() } else { service_object(seen, role) };
    let labels = if bare { own_labels(seen, role) } else { service_labels(seen, role) };
    let mut metadata = metadata(seen, service_name(seen, role), labels);
    let mut annotations = object.annotations.clone().unwrap_or_default();
    annotations.extend(Names::of(&object).written().map(|names| (names::SETTINGS_ANNOTATION.to_owned(), names)));
    annotations.extend(former(seen, role, target).map(|former| (names::FORMER_ANNOTATION.to_owned(), former)));
    if !annotations.is_empty() {
        metadata["annotations"] = json!(annotations);
    }
    let mut spec = fields(&object);
    spec.insert("type".into(), json!(type_name(object.type_)));
    spec.insert("selector".into(), json!(selector(&seen.name, target)));
    spec.insert("ports".into(), json!(ports_to_write(seen, role, None, target, extent)));
    json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
}

/// Merge patch: selector and ports of a Service, which are switched together.
pub fn lead(seen: &Observed, role: Role, service: &ServiceSeen, target: &Target, extent: Extent) -> Value {
    let wanted = selector(&seen.name, target);
    let others = service.selector.keys().filter(|key| !wanted.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let selector: Map<String, Value> = wanted.iter().map(|(key, value)| (key.clone(), json!(value))).chain(others).collect();
    let ports = ports_to_write(seen, role, Some(service), target, extent);
    let mut patch = json!({"spec": {"selector": selector, "ports": ports}});
    if role == Role::Active {
        patch["metadata"] = json!({"annotations": {names::FORMER_ANNOTATION: former(seen, role, target)}});
    }
    patch
}

/// Merge patch: what else is asked of a Service; what was written for an earlier `spec` goes.
pub fn settle(seen: &Observed, role: Role, service: &ServiceSeen, marks_only: bool) -> Value {
    let mut metadata = json!({"labels": own_labels(seen, role)});
    if service.owner != Owner::Us {
        let ours = owner(seen);
        let owners = ours.as_array().into_iter().flatten().chain(&service.other_owners);
        metadata["ownerReferences"] = owners.cloned().collect();
    }
    if marks_only {
        return json!({"metadata": metadata});
    }
    let object = service_object(seen, role);
    let asked = Names::of(&object);
    let gone = Names::read(&service.written).without(&asked);
    let [labels, annotations] = settled((service_labels(seen, role), object.annotations.clone().unwrap_or_default()), &asked, &gone);
    let mut spec: Map<String, Value> = absent(&gone.fields).chain(fields(&object)).collect();
    spec.insert("type".into(), json!(type_name(object.type_)));
    (metadata["labels"], metadata["annotations"]) = (json!(labels), json!(annotations));
    json!({"metadata": metadata, "spec": spec})
}

/// The revision that is left when the active Service reaches the target.
fn former(seen: &Observed, role: Role, target: &Target) -> Option<String> {
    if role != Role::Active {
        return None;
    }
    let status = &seen.status;
    let promoted = status.preview.as_ref().is_some_and(|preview| preview.color == target.color && preview.revision == target.revision);
    let left = if promoted { status.active.as_ref() } else { status.previous.as_ref() };
    left.map(|side| side.revision.clone()).filter(|revision| *revision != target.revision)
}

/// Merge patch: only the size.
pub fn scale(replicas: i32) -> Value {
    json!({"spec": {"replicas": replicas}})
}

/// Merge patch: only the epoch.
pub fn fence(epoch: &str) -> Value {
    json!({"metadata": {"annotations": {names::EPOCH_ANNOTATION: epoch}}})
}

/// Merge patch: become the owner.
pub fn adopt_revision(seen: &Observed) -> Value {
    json!({"metadata": {"ownerReferences": owner(seen)}})
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn the_version_of_an_image_is_its_tag_or_nothing() {
        for (image, expected) in [
            ("shop:2.0.0", Some("2.0.0")),
            ("registry.example:5000/web/shop:v1_b-3", Some("v1_b-3")),
            ("registry.example:5000/web/shop", None),
            ("shop:2@sha256:0123456789abcdef", Some("2")),
            ("shop@sha256:0123456789abcdef", None),
            ("shop", None),
            ("shop:", None),
            ("shop:_internal", None),
            ("shop:1.", None),
            ("shop:ä", None),
        ] {
            assert_eq!(version(image), expected, "{image}");
        }
        let long = |length: usize| format!("shop:{}", "1".repeat(length));
        assert_eq!((version(&long(63)).is_some(), version(&long(64))), (true, None));
    }
}
