//! The objects, and every change of them.

use crate::{
    fields::{self, Managers, Writer},
    resource::{DEPLOYMENT, LEASE, POD, ROLLOUT, Resource, SERVICE, SLICE},
};
use bluegreen_operator::clock;
use bluegreen_witness::KnownUpTo;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio::time::Instant;

/// Where an object is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub plural: &'static str,
    pub namespace: String,
    pub name: String,
}

impl Place {
    pub fn new(resource: &Resource, namespace: &str, name: &str) -> Self {
        Self { plural: resource.plural, namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

/// One change of one object.
#[derive(Clone, Debug)]
pub struct Change {
    pub place: Place,
    pub version: u64,
    /// None: it was created.
    pub before: Option<Arc<Value>>,
    pub deleted: bool,
    /// The object as it was when it was deleted, with the version of the deletion.
    pub object: Arc<Value>,
    /// By the clock, which may be put back.
    pub at: jiff::Timestamp,
    pub moment: Instant,
    /// What the operator that wrote it knew.
    pub known: Option<KnownUpTo>,
}

/// How the API server says no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub code: u16,
    pub reason: &'static str,
    pub message: String,
}

pub fn refusal(code: u16, message: impl Into<String>) -> Refusal {
    let reason = match code {
        400 => "BadRequest",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        _ => "InternalError",
    };
    Refusal { code, reason, message: message.into() }
}

fn absent(resource: &Resource, name: &str) -> Refusal {
    refusal(404, format!("{} {name:?} not found", resource.qualified()))
}

fn modified(resource: &Resource, name: &str) -> Refusal {
    let what = resource.qualified();
    refusal(
        409,
        format!(
            "Operation cannot be fulfilled on {what} {name:?}: the object has been modified; please apply your changes to the latest version and try again"
        ),
    )
}

/// The object as it is after a request, and whether it was created by it.
#[derive(Clone, Debug)]
pub struct Written {
    pub object: Arc<Value>,
    pub created: bool,
}

pub type Answer = Result<Written, Refusal>;

#[derive(Debug, Default)]
pub struct Store {
    pub version: u64,
    /// Grows with whatever the cluster's controllers have to look at: leases are not among it.
    pub news: u64,
    uids: u64,
    objects: BTreeMap<Place, Arc<Value>>,
    /// In the order of their versions. Leases are nobody's to watch, and would be most of it.
    pub history: Vec<Change>,
    /// Rollouts that were not written since they were created: the default of their status is told, but not kept yet, so that
    /// even a write that changes nothing makes a new version.
    unsettled: BTreeSet<Place>,
    /// Changes up to this version can't be watched any more.
    pub forgotten: u64,
    /// Of the request that is being carried out: see [`Change::known`].
    pub known: Option<KnownUpTo>,
    /// Fields of a rollout's status that the CustomResourceDefinition doesn't know: they are dropped from what is written.
    pub drops: Vec<&'static str>,
}

impl Store {
    pub fn new() -> Self {
        // No object has a version as low as those that stand for something else.
        Self { version: 100, ..Self::default() }
    }

    pub fn get(&self, resource: &Resource, namespace: &str, name: &str) -> Option<&Arc<Value>> {
        self.objects.get(&Place::new(resource, namespace, name))
    }

    pub fn all(&self, resource: &'static Resource) -> impl Iterator<Item = &Arc<Value>> {
        let from = Place::new(resource, "", "");
        self.objects.range(from..).take_while(|(place, _)| place.plural == resource.plural).map(|(_, object)| object)
    }

    fn uids(&self) -> BTreeSet<&str> {
        self.objects.values().filter_map(|object| object["metadata"]["uid"].as_str()).collect()
    }

    /// What belongs only to owners that are gone.
    pub fn garbage(&self) -> Vec<Place> {
        let uids = self.uids();
        let orphaned = |object: &Value| {
            let owners = object["metadata"]["ownerReferences"].as_array().map(Vec::as_slice).unwrap_or_default();
            !owners.is_empty() && owners.iter().all(|owner| !uids.contains(owner["uid"].as_str().unwrap_or_default()))
        };
        let places = self.objects.iter().filter(|(_, object)| orphaned(object) && object["metadata"]["deletionTimestamp"].is_null());
        places.map(|(place, _)| place.clone()).collect()
    }

    /// The changes of a kind after a version, in their order.
    pub fn since<'a>(&'a self, resource: &'a Resource, version: u64) -> impl Iterator<Item = &'a Change> {
        let from = self.history.partition_point(|change| change.version <= version);
        self.history[from..].iter().filter(|change| change.place.plural == resource.plural)
    }

    // === writes ===

    pub fn create(&mut self, resource: &'static Resource, namespace: &str, mut object: Value, writer: &Writer) -> Answer {
        let Some(name) = object["metadata"]["name"].as_str().map(str::to_owned) else {
            return Err(refusal(
                422,
                format!("{} \"\" is invalid: metadata.name: Required value: name or generateName is required", resource.kind),
            ));
        };
        if object["metadata"]["namespace"].as_str().is_some_and(|told| told != namespace) {
            return Err(refusal(400, "the namespace of the provided object does not match the namespace sent on the request"));
        }
        if object["metadata"]["resourceVersion"].as_str().is_some_and(|version| !version.is_empty()) {
            return Err(Refusal { reason: "", ..refusal(500, "resourceVersion should not be set on objects to be created") });
        }
        if self.get(resource, namespace, &name).is_some() {
            let message = format!("{} {name:?} already exists", resource.qualified());
            return Err(Refusal { reason: "AlreadyExists", ..refusal(409, message) });
        }
        valid(resource, &name, &object)?;
        self.begin(resource, namespace, &mut object);
        if !writer.apply {
            // Whoever creates an object owns its defaults too.
            let fields = fields::of(resource, &without_status(resource, &object));
            let mut managers = Managers::of(&json!({}));
            managers.own(writer, fields, &second());
            object["metadata"]["managedFields"] = managers.write(&resource.api_version());
        }
        let object = self.put(resource, object);
        if *resource == ROLLOUT {
            self.unsettled.insert(place(resource, &object));
        }
        Ok(Written { object, created: true })
    }

    fn begin(&mut self, resource: &Resource, namespace: &str, object: &mut Value) {
        self.uids += 1;
        object["apiVersion"] = json!(resource.api_version());
        object["kind"] = json!(resource.kind);
        let uids = self.uids;
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.insert("namespace".into(), json!(namespace));
            metadata.insert("uid".into(), json!(format!("00000000-0000-4000-8000-{uids:012}")));
            metadata.insert("creationTimestamp".into(), second());
            metadata.remove("generation");
            metadata.remove("deletionTimestamp");
            if resource.generation {
                metadata.insert("generation".into(), json!(1));
            }
        }
        if resource.status
            && let Some(object) = object.as_object_mut()
        {
            object.remove("status");
        }
        default(resource, object);
        if *resource == ROLLOUT {
            object["status"] = json!({"observedGeneration": -1});
        }
    }

    /// Replaces an object, or its status only; what the API server keeps for itself stays. `managers`: who owns what from now
    /// on, if that is known already.
    fn replace(
        &mut self,
        resource: &'static Resource,
        former: &Arc<Value>,
        mut object: Value,
        writer: &Writer,
        managers: Option<Managers>,
    ) -> Answer {
        let name = former["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let told = object["metadata"]["resourceVersion"].as_str().filter(|told| !told.is_empty());
        if told.is_some_and(|told| former["metadata"]["resourceVersion"] != told) {
            return Err(modified(resource, &name));
        }
        let uid = object["metadata"]["uid"].as_str().filter(|uid| !uid.is_empty());
        if uid.is_some_and(|uid| former["metadata"]["uid"] != uid) {
            let uid = uid.unwrap_or_default();
            return Err(invalid(resource, &name, format!("metadata.uid: Invalid value: {uid:?}: field is immutable")));
        }
        if writer.status {
            let mut status = object["status"].take();
            if let Some(fields) = status.as_object_mut() {
                fields.retain(|field, _| !self.drops.contains(&field.as_str()));
            }
            object = Value::clone(former);
            put_or_remove(&mut object, "status", status);
        } else if resource.status {
            put_or_remove(&mut object, "status", former["status"].clone());
        }
        for field in [
            "name",
            "namespace",
            "uid",
            "creationTimestamp",
            "generation",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "resourceVersion",
            "managedFields",
        ] {
            put_or_remove(&mut object["metadata"], field, former["metadata"][field].clone());
        }
        for field in ["labels", "annotations", "ownerReferences", "finalizers"] {
            if is_empty(&object["metadata"][field]) {
                put_or_remove(&mut object["metadata"], field, Value::Null);
            }
        }
        let finalizers = |object: &Value| object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
        if !former["metadata"]["deletionTimestamp"].is_null() {
            let former = finalizers(former);
            if let Some(new) = finalizers(&object).iter().find(|finalizer| !former.contains(finalizer)) {
                let why = "no new finalizers can be added if the object is being deleted, found new finalizers";
                return Err(invalid(resource, &name, format!("metadata.finalizers: Forbidden: {why} {new}")));
            }
        }
        valid(resource, &name, &object)?;
        default(resource, &mut object);
        if resource.generation && !writer.status && asked(resource, &object) != asked(resource, former) {
            let generation = former["metadata"]["generation"].as_i64().unwrap_or_default();
            object["metadata"]["generation"] = json!(generation + 1);
        }
        let managers = managers.unwrap_or_else(|| {
            let mut managers = Managers::of(former);
            if writer.status {
                let status = |object: &Value| json!({"status": object["status"]});
                managers.updated(resource, writer, &status(former), &status(&object), &second());
            } else if tracked(resource) {
                managers.updated(resource, writer, &without_status(resource, former), &without_status(resource, &object), &second());
            }
            managers
        });
        put_or_remove(&mut object["metadata"], "managedFields", managers.write(&resource.api_version()));
        if !self.unsettled.remove(&place(resource, former)) && object == **former {
            return Ok(Written { object: former.clone(), created: false });
        }
        let last_finalizer = !object["metadata"]["deletionTimestamp"].is_null() && is_empty(&object["metadata"]["finalizers"]);
        if last_finalizer && *resource != POD {
            self.take(resource, &object);
            // The answer doesn't tell of the version of the deletion.
            return Ok(Written { object: Arc::new(object), created: false });
        }
        let object = self.put(resource, object);
        Ok(Written { object, created: false })
    }

    pub fn update(&mut self, resource: &'static Resource, namespace: &str, name: &str, object: Value, writer: &Writer) -> Answer {
        let Some(former) = self.get(resource, namespace, name).cloned() else {
            if resource.put_creates {
                if object["metadata"]["uid"].as_str().is_some_and(|uid| !uid.is_empty()) {
                    return Err(modified(resource, name));
                }
                let mut object = object;
                put_or_remove(&mut object["metadata"], "resourceVersion", Value::Null);
                return self.create(resource, namespace, object, writer);
            }
            return Err(absent(resource, name));
        };
        if !resource.unconditional && object["metadata"]["resourceVersion"].as_str().is_none_or(str::is_empty) {
            return Err(invalid(resource, name, "metadata.resourceVersion: Invalid value: 0: must be specified for an update"));
        }
        self.replace(resource, &former, object, writer, None)
    }

    /// RFC 7386.
    pub fn merge(&mut self, resource: &'static Resource, namespace: &str, name: &str, patch: &Value, writer: &Writer) -> Answer {
        let former = self.get(resource, namespace, name).cloned().ok_or_else(|| absent(resource, name))?;
        let mut object = Value::clone(&former);
        // Without a version in the patch the latest is meant.
        merge(&mut object, patch);
        self.replace(resource, &former, object, writer, None)
    }

    /// RFC 6902, as far as `add`, `replace`, `remove` and `test` of members of objects go.
    pub fn patch(&mut self, resource: &'static Resource, namespace: &str, name: &str, operations: &Value, writer: &Writer) -> Answer {
        let former = self.get(resource, namespace, name).cloned().ok_or_else(|| absent(resource, name))?;
        let mut object = Value::clone(&former);
        for operation in operations.as_array().into_iter().flatten() {
            step(&mut object, operation).map_err(|why| refusal(422, why))?;
        }
        self.replace(resource, &former, object, writer, None)
    }

    /// Server-side apply.
    pub fn apply(
        &mut self,
        resource: &'static Resource,
        namespace: &str,
        name: &str,
        applied: &Value,
        writer: &Writer,
        force: bool,
    ) -> Answer {
        let set = fields::of(resource, applied);
        let Some(former) = self.get(resource, namespace, name).cloned() else {
            if writer.status {
                return Err(absent(resource, name));
            }
            if let Some(uid) = applied["metadata"]["uid"].as_str().filter(|uid| !uid.is_empty()) {
                let what = resource.qualified();
                let message = format!(
                    "Operation cannot be fulfilled on {what} {name:?}: uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                );
                return Err(refusal(409, message));
            }
            let mut object = applied.clone();
            put_or_remove(&mut object["metadata"], "resourceVersion", Value::Null);
            object["metadata"]["name"] = json!(name);
            let mut managers = Managers::of(&json!({}));
            managers.own(writer, set, &second());
            object["metadata"]["managedFields"] = managers.write(&resource.api_version());
            return self.create(resource, namespace, object, writer);
        };
        let mut managers = Managers::of(&former);
        let mut object = Value::clone(&former);
        fields::merge(resource, &mut object, applied);
        managers.give_up(resource, writer, &set, &mut object);
        let changed: fields::Set = set.iter().filter(|path| fields::differs(resource, &former, &object, path)).cloned().collect();
        let conflicts = changed.iter().filter(|path| managers.others(writer, path).next().is_some()).count();
        if conflicts > 0 && !force {
            let noun = if conflicts == 1 { "conflict" } else { "conflicts" };
            return Err(refusal(409, format!("Apply failed with {conflicts} {noun}")));
        }
        managers.take(writer, &changed);
        managers.gone(resource, writer, &former, &object);
        managers.own(writer, set, &second());
        self.replace(resource, &former, object, writer, Some(managers))
    }

    /// Pods are given time to end; who has finalizers is kept until they are gone.
    pub fn delete(&mut self, resource: &'static Resource, namespace: &str, name: &str, preconditions: &Value) -> Answer {
        let former = self.get(resource, namespace, name).cloned().ok_or_else(|| absent(resource, name))?;
        let metadata = &former["metadata"];
        for (told, field, what) in [("uid", "uid", "UID"), ("resourceVersion", "resourceVersion", "ResourceVersion")] {
            let told = preconditions[told].as_str().filter(|told| metadata[field] != *told);
            if let Some(told) = told {
                let (what_is, is) = (resource.qualified(), metadata[field].as_str().unwrap_or_default());
                let message = format!(
                    "Operation cannot be fulfilled on {what_is} {name:?}: the {what} in the precondition ({told}) does not match the {what} in record ({is}). The object might have been deleted and then recreated"
                );
                return Err(refusal(409, message));
            }
        }
        if *resource != POD && is_empty(&metadata["finalizers"]) {
            let object = self.take(resource, &former);
            return Ok(Written { object, created: false });
        }
        if !metadata["deletionTimestamp"].is_null() {
            return Ok(Written { object: former, created: false });
        }
        let mut object = Value::clone(&former);
        object["metadata"]["deletionTimestamp"] = second();
        object["metadata"]["deletionGracePeriodSeconds"] = json!(if *resource == POD { 30 } else { 0 });
        if let Some(generation) = object["metadata"]["generation"].as_i64() {
            object["metadata"]["generation"] = json!(generation + 1);
        }
        let object = self.put(resource, object);
        Ok(Written { object, created: false })
    }

    /// Removes an object whatever it waits for.
    pub fn remove(&mut self, resource: &'static Resource, namespace: &str, name: &str) {
        if let Some(former) = self.get(resource, namespace, name).cloned() {
            self.take(resource, &former);
        }
    }

    fn put(&mut self, resource: &'static Resource, mut object: Value) -> Arc<Value> {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let object = Arc::new(object);
        let place = place(resource, &object);
        let before = self.objects.insert(place.clone(), object.clone());
        self.tell(resource, place, before, false, object.clone());
        object
    }

    fn take(&mut self, resource: &'static Resource, object: &Value) -> Arc<Value> {
        self.version += 1;
        let place = place(resource, object);
        let before = self.objects.remove(&place);
        let mut gone = object.clone();
        gone["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let gone = Arc::new(gone);
        self.tell(resource, place, before, true, gone.clone());
        gone
    }

    fn tell(&mut self, resource: &Resource, place: Place, before: Option<Arc<Value>>, deleted: bool, object: Arc<Value>) {
        if !resource.is_lease() {
            self.news += 1;
            let (at, moment) = (clock::now(), Instant::now());
            self.history.push(Change { place, version: self.version, before, deleted, object, at, moment, known: self.known });
        }
    }
}

fn place(resource: &Resource, object: &Value) -> Place {
    let metadata = &object["metadata"];
    Place::new(resource, metadata["namespace"].as_str().unwrap_or_default(), metadata["name"].as_str().unwrap_or_default())
}

/// Of pods and slices nobody asks who wrote which field.
fn tracked(resource: &Resource) -> bool {
    [&ROLLOUT, &DEPLOYMENT, &SERVICE, &LEASE].contains(&resource) || resource.plural == "controllerrevisions"
}

fn kind(resource: &Resource) -> String {
    if resource.group.is_empty() { resource.kind.to_owned() } else { format!("{}.{}", resource.kind, resource.group) }
}

fn invalid(resource: &Resource, name: &str, why: impl std::fmt::Display) -> Refusal {
    refusal(422, format!("{} {name:?} is invalid: {why}", kind(resource)))
}

/// What can go wrong when several write one object; all else that is written is taken for valid.
fn valid(resource: &Resource, name: &str, object: &Value) -> Result<(), Refusal> {
    let owners = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    let controllers: Vec<&Value> = owners.filter(|owner| owner["controller"] == true).collect();
    if let [one, other, ..] = controllers.as_slice() {
        let [one, other] = [one, other].map(|owner| format!("{}/{}", text(&owner["kind"]), text(&owner["name"])));
        let why = "Only one reference can have Controller set to true. Found \"true\" in references for";
        return Err(invalid(resource, name, format!("metadata.ownerReferences: Invalid value: {why} {one} and {other}")));
    }
    let containers = object.pointer("/spec/template/spec/containers").filter(|_| *resource == DEPLOYMENT);
    match containers.and_then(Value::as_array).and_then(|containers| containers.iter().position(|container| container["image"].is_null())) {
        Some(place) => Err(invalid(resource, name, format!("spec.template.spec.containers[{place}].image: Required value"))),
        None => Ok(()),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn without_status(resource: &Resource, object: &Value) -> Value {
    let mut object = object.clone();
    if resource.status {
        put_or_remove(&mut object, "status", Value::Null);
    }
    object
}

/// Whatever makes a new generation when it changes.
fn asked<'o>(resource: &Resource, object: &'o Value) -> Vec<(&'o str, &'o Value)> {
    let of_metadata = match () {
        () if *resource == DEPLOYMENT => Some("annotations"),
        () if *resource == SLICE => Some("labels"),
        () => None,
    };
    let fields = object.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value));
    let fields = fields.filter(|(name, _)| !["metadata", "status"].contains(name));
    fields.chain(of_metadata.map(|name| (name, &object["metadata"][name]))).collect()
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

fn put_or_remove(into: &mut Value, field: &str, value: Value) {
    if let Some(map) = into.as_object_mut() {
        if is_empty(&value) && (value.is_null() || field == "managedFields") {
            map.remove(field);
        } else {
            map.insert(field.to_owned(), value);
        }
    }
}

/// Kubernetes' times have no fractions.
pub fn second() -> Value {
    json!(format!("{:.0}", clock::now()))
}

pub fn merge(into: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            if let Some(map) = into.as_object_mut() {
                map.remove(key);
            }
        } else {
            merge(&mut into[key.as_str()], value);
        }
    }
}

fn step(object: &mut Value, operation: &Value) -> Result<(), String> {
    let path = operation["path"].as_str().unwrap_or_default();
    let (parent, last) = path.rsplit_once('/').ok_or("a path begins with a slash")?;
    let last = last.replace("~1", "/").replace("~0", "~");
    let missing = || format!("the server rejected our request due to an error in our request: no {path}");
    let parent = object.pointer_mut(parent).and_then(Value::as_object_mut).ok_or_else(missing)?;
    match operation["op"].as_str().unwrap_or_default() {
        // What isn't there can be replaced too.
        "add" | "replace" => {
            parent.insert(last, operation["value"].clone());
        }
        "remove" => {
            parent.remove(&last).ok_or_else(missing)?;
        }
        "test" if parent.get(&last) == Some(&operation["value"]) => {}
        "test" => return Err(format!("the server rejected our request due to an error in our request: testing value {path} failed")),
        other => return Err(format!("operation {other} isn't known")),
    }
    Ok(())
}

/// What the API server puts in where nothing is said.
fn default(resource: &Resource, object: &mut Value) {
    fn or(map: &mut Value, field: &str, value: Value) {
        if map[field].is_null() {
            map[field] = value;
        }
    }
    if ![&ROLLOUT, &SERVICE, &DEPLOYMENT].contains(&resource) {
        return;
    }
    let spec = &mut object["spec"];
    if *resource == ROLLOUT {
        or(spec, "replicas", json!(1));
    } else if *resource == SERVICE {
        // An empty one is stored as none.
        if is_empty(&spec["selector"]) {
            spec.as_object_mut().map(|spec| spec.remove("selector"));
        }
        or(spec, "type", json!("ClusterIP"));
        or(spec, "sessionAffinity", json!("None"));
        or(spec, "internalTrafficPolicy", json!("Cluster"));
        for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
            or(port, "protocol", json!("TCP"));
            let number = port["port"].clone();
            or(port, "targetPort", number);
        }
    } else if *resource == DEPLOYMENT {
        or(spec, "replicas", json!(1));
        or(spec, "progressDeadlineSeconds", json!(600));
        or(spec, "revisionHistoryLimit", json!(10));
        or(&mut spec["strategy"], "type", json!("RollingUpdate"));
        if spec["strategy"]["type"] == "RollingUpdate" {
            or(&mut spec["strategy"]["rollingUpdate"], "maxSurge", json!("25%"));
            or(&mut spec["strategy"]["rollingUpdate"], "maxUnavailable", json!("25%"));
        }
        if spec["minReadySeconds"] == 0 {
            put_or_remove(spec, "minReadySeconds", Value::Null);
        }
        let pod = &mut spec["template"]["spec"];
        or(pod, "dnsPolicy", json!("ClusterFirst"));
        or(pod, "restartPolicy", json!("Always"));
        or(pod, "schedulerName", json!("default-scheduler"));
        or(pod, "securityContext", json!({}));
        or(pod, "terminationGracePeriodSeconds", json!(30));
        for container in pod.get_mut("containers").and_then(Value::as_array_mut).into_iter().flatten() {
            let image = container["image"].as_str().unwrap_or_default();
            let latest = image.ends_with(":latest") || !image.rsplit('/').next().unwrap_or_default().contains(':');
            or(container, "imagePullPolicy", json!(if latest { "Always" } else { "IfNotPresent" }));
            or(container, "resources", json!({}));
            or(container, "terminationMessagePath", json!("/dev/termination-log"));
            or(container, "terminationMessagePolicy", json!("File"));
            for port in container.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
                or(port, "protocol", json!("TCP"));
            }
        }
    }
}
