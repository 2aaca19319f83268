//! Who owns which fields: sets of paths, as `metadata.managedFields` holds them.

use crate::resource::{ROLLOUT, Resource};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// A step from an object to a part of it, as `fieldsV1` writes it: `f:spec`, `k:{"name":"shop"}`, `v:"x"`.
pub type Path = Vec<String>;
pub type Set = BTreeSet<Path>;

/// How a list or map is owned and merged.
enum Shape {
    /// As a whole.
    Atomic,
    /// Item by item, which these keys name.
    Keyed(&'static [&'static str]),
    /// The same, but each item is a whole.
    Items(&'static [&'static str]),
    /// Value by value.
    Values,
    Map,
}

/// What the API server sets itself, or is told to write: nobody's.
const NOBODYS: [&str; 10] = [
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
];

fn shape(resource: &Resource, path: &[String], value: &Value) -> Shape {
    let steps: Vec<&str> = path.iter().map(|step| step.trim_start_matches("f:")).collect();
    match (steps.as_slice(), value) {
        (["metadata", "ownerReferences"], Value::Array(_)) => Shape::Items(&["uid"]),
        (["metadata", "finalizers"], Value::Array(_)) => Shape::Values,
        (["metadata", ..], Value::Object(_)) => Shape::Map,
        (["metadata", ..], _) => Shape::Atomic,
        (steps, value) if *resource == ROLLOUT => of_rollout(steps, value),
        (steps, value) => built_in(steps, value),
    }
}

/// As `config/crd` says it: lists are wholes where it says nothing.
fn of_rollout(steps: &[&str], value: &Value) -> Shape {
    match (steps, value) {
        (["spec", "verification" | "monitoring", "checks" | "metrics"] | ["status", "gates"], Value::Array(_)) => Shape::Keyed(&["name"]),
        (["status", "conditions"], Value::Array(_)) => Shape::Keyed(&["type"]),
        (_, Value::Object(_)) => Shape::Map,
        _ => Shape::Atomic,
    }
}

fn built_in(steps: &[&str], value: &Value) -> Shape {
    let in_container = steps.iter().any(|step| ["containers", "initContainers"].contains(step));
    match (steps.last().copied().unwrap_or_default(), value) {
        // A label selector, and that of a Service.
        ("selector" | "labelSelector" | "data", _) => Shape::Atomic,
        ("ports", Value::Array(_)) if in_container => Shape::Keyed(&["containerPort", "protocol"]),
        ("ports", Value::Array(_)) => Shape::Keyed(&["port", "protocol"]),
        ("containers" | "initContainers" | "env" | "volumes", Value::Array(_)) => Shape::Keyed(&["name"]),
        ("volumeMounts", Value::Array(_)) => Shape::Keyed(&["mountPath"]),
        ("conditions", Value::Array(_)) => Shape::Keyed(&["type"]),
        (_, Value::Object(_)) => Shape::Map,
        _ => Shape::Atomic,
    }
}

/// The key of an item: what isn't said of it is the default.
fn key(item: &Value, keys: &[&str]) -> String {
    let part = |key: &&str| match (&item[*key], *key) {
        (Value::Null, "protocol") => ((*key).to_owned(), json!("TCP")),
        (value, _) => ((*key).to_owned(), value.clone()),
    };
    let key: Map<String, Value> = keys.iter().map(part).collect();
    format!("k:{}", Value::Object(key))
}

/// The fields that an object sets.
pub fn of(resource: &Resource, object: &Value) -> Set {
    let mut set = Set::new();
    for (name, value) in object.as_object().into_iter().flatten() {
        match name.as_str() {
            "apiVersion" | "kind" => {}
            "metadata" => {
                for (name, value) in value.as_object().into_iter().flatten().filter(|(name, _)| !NOBODYS.contains(&name.as_str())) {
                    collect(resource, value, vec!["f:metadata".to_owned(), format!("f:{name}")], &mut set);
                }
            }
            _ => collect(resource, value, vec![format!("f:{name}")], &mut set),
        }
    }
    set
}

fn collect(resource: &Resource, value: &Value, path: Path, set: &mut Set) {
    match (shape(resource, &path, value), value) {
        (Shape::Map, Value::Object(map)) if !map.is_empty() => {
            for (name, value) in map {
                collect(resource, value, [path.as_slice(), &[format!("f:{name}")]].concat(), set);
            }
        }
        (Shape::Keyed(keys), Value::Array(items)) if !items.is_empty() => {
            for item in items {
                let path = [path.as_slice(), &[key(item, keys)]].concat();
                for (name, value) in item.as_object().into_iter().flatten() {
                    collect(resource, value, [path.as_slice(), &[format!("f:{name}")]].concat(), set);
                }
                set.insert(path);
            }
        }
        (Shape::Items(keys), Value::Array(items)) if !items.is_empty() => {
            set.extend(items.iter().map(|item| [path.as_slice(), &[key(item, keys)]].concat()));
        }
        (Shape::Values, Value::Array(items)) => {
            set.extend(items.iter().map(|item| [path.as_slice(), &[format!("v:{item}")]].concat()));
        }
        _ => {
            set.insert(path);
        }
    }
}

/// A path and the fields that lead to it.
fn with_parents(path: &Path) -> impl Iterator<Item = &[String]> {
    (1..=path.len()).map(|length| &path[..length]).filter(move |part| part.len() == path.len() || part[part.len() - 1].starts_with("f:"))
}

/// What stands at a path.
pub fn at<'a>(resource: &Resource, object: &'a Value, path: &[String]) -> Option<&'a Value> {
    let mut value = object;
    for (depth, step) in path.iter().enumerate() {
        value = match step.split_at(2) {
            ("f:", name) => value.get(name)?,
            ("v:", _) => value.as_array()?.iter().find(|item| format!("v:{item}") == *step)?,
            _ => {
                let (Shape::Keyed(keys) | Shape::Items(keys)) = shape(resource, &path[..depth], value) else { return None };
                value.as_array()?.iter().find(|item| key(item, keys) == *step)?
            }
        };
    }
    Some(value)
}

/// Takes out what stands at a path.
pub fn remove(resource: &Resource, object: &mut Value, path: &[String]) {
    let Some((last, before)) = path.split_last() else { return };
    let mut value = object;
    for (depth, step) in before.iter().enumerate() {
        let found = match step.split_at(2) {
            ("f:", name) => value.get_mut(name),
            _ => match shape(resource, &before[..depth], value) {
                Shape::Keyed(keys) => value.as_array_mut().and_then(|items| items.iter_mut().find(|item| key(item, keys) == *step)),
                _ => None,
            },
        };
        let Some(found) = found else { return };
        value = found;
    }
    let shape = shape(resource, before, value);
    match value {
        Value::Object(map) => {
            map.remove(last.trim_start_matches("f:"));
        }
        Value::Array(items) => items.retain(|item| match shape {
            Shape::Keyed(keys) | Shape::Items(keys) => key(item, keys) != *last,
            _ => format!("v:{item}") != *last,
        }),
        _ => {}
    }
}

/// Puts what an applier sets into an object.
pub fn merge(resource: &Resource, live: &mut Value, applied: &Value) {
    merge_at(resource, live, applied, &[]);
}

fn merge_at(resource: &Resource, live: &mut Value, applied: &Value, path: &[String]) {
    match (shape(resource, path, applied), applied) {
        (Shape::Map, Value::Object(map)) => {
            if !live.is_object() {
                *live = json!({});
            }
            for (name, value) in map {
                let path = [path, &[format!("f:{name}")]].concat();
                if value.is_null() {
                    continue;
                }
                merge_at(resource, &mut live[name.as_str()], value, &path);
            }
        }
        (shape @ (Shape::Keyed(keys) | Shape::Items(keys)), Value::Array(items)) => {
            if !live.is_array() {
                *live = json!([]);
            }
            for item in items {
                let wanted = key(item, keys);
                let there = live.as_array_mut().into_iter().flatten().find(|item| key(item, keys) == wanted);
                match there {
                    Some(there) if matches!(shape, Shape::Items(_)) => *there = item.clone(),
                    Some(there) => merge_at(resource, there, item, &[path, &[wanted]].concat()),
                    None => {
                        if let Some(list) = live.as_array_mut() {
                            list.push(item.clone());
                        }
                    }
                }
            }
        }
        (Shape::Values, Value::Array(items)) => {
            if !live.is_array() {
                *live = json!([]);
            }
            if let Some(list) = live.as_array_mut() {
                for item in items {
                    if !list.contains(item) {
                        list.push(item.clone());
                    }
                }
            }
        }
        _ => *live = applied.clone(),
    }
}

/// As `fieldsV1`.
pub fn write(set: &Set) -> Value {
    let mut fields = json!({});
    for path in set {
        let mut place = &mut fields;
        for step in path {
            if !place[step].is_object() {
                place[step] = json!({});
            }
            place = &mut place[step];
        }
        if path.last().is_some_and(|step| step.starts_with("k:")) {
            place["."] = json!({});
        }
    }
    fields
}

pub fn read(fields: &Value) -> Set {
    fn walk(fields: &Value, path: &Path, set: &mut Set) {
        let Some(map) = fields.as_object() else { return };
        if map.is_empty() || map.contains_key(".") {
            set.insert(path.clone());
        }
        for (step, below) in map.iter().filter(|(step, _)| *step != ".") {
            walk(below, &[path.as_slice(), std::slice::from_ref(step)].concat(), set);
        }
    }
    let mut set = Set::new();
    for (step, below) in fields.as_object().into_iter().flatten() {
        walk(below, &vec![step.clone()], &mut set);
    }
    set
}

/// Who writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    pub manager: String,
    pub apply: bool,
    pub status: bool,
}

/// `metadata.managedFields`, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Managers(Vec<Entry>);

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    writer: Writer,
    time: Value,
    set: Set,
}

impl Managers {
    pub fn of(object: &Value) -> Self {
        let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
        Self(
            entries
                .map(|entry| Entry {
                    writer: Writer {
                        manager: entry["manager"].as_str().unwrap_or_default().to_owned(),
                        apply: entry["operation"] == "Apply",
                        status: entry["subresource"] == "status",
                    },
                    time: entry["time"].clone(),
                    set: read(&entry["fieldsV1"]),
                })
                .collect(),
        )
    }

    pub fn write(&self, api_version: &str) -> Value {
        let entries = self.0.iter().filter(|entry| !entry.set.is_empty()).map(|entry| {
            let mut written = json!({
                "manager": entry.writer.manager,
                "operation": if entry.writer.apply { "Apply" } else { "Update" },
                "apiVersion": api_version,
                "time": entry.time,
                "fieldsType": "FieldsV1",
                "fieldsV1": write(&entry.set),
            });
            if entry.writer.status {
                written["subresource"] = json!("status");
            }
            written
        });
        Value::Array(entries.collect())
    }

    pub fn set(&self, writer: &Writer) -> Set {
        self.0.iter().find(|entry| entry.writer == *writer).map(|entry| entry.set.clone()).unwrap_or_default()
    }

    /// Others than this writer who own a field.
    pub fn others<'a>(&'a self, writer: &'a Writer, path: &'a Path) -> impl Iterator<Item = &'a Writer> {
        self.0.iter().filter(move |entry| entry.writer != *writer && entry.set.contains(path)).map(|entry| &entry.writer)
    }

    /// Nobody but this writer owns these any more.
    pub fn take(&mut self, writer: &Writer, taken: &Set) {
        for entry in self.0.iter_mut().filter(|entry| entry.writer != *writer) {
            entry.set.retain(|path| !taken.contains(path));
        }
    }

    pub fn own(&mut self, writer: &Writer, set: Set, time: &Value) {
        match self.0.iter_mut().find(|entry| entry.writer == *writer) {
            Some(entry) if entry.set == set => {}
            Some(entry) => (entry.set, entry.time) = (set, time.clone()),
            None => self.0.push(Entry { writer: writer.clone(), time: time.clone(), set }),
        }
    }

    /// Takes out of an object what an applier has set before and doesn't set any more, unless somebody else owns it.
    pub fn give_up(&self, resource: &Resource, writer: &Writer, set: &Set, object: &mut Value) {
        let others = self.0.iter().filter(|entry| entry.writer != *writer).flat_map(|entry| &entry.set);
        let owned: BTreeSet<&[String]> = others.chain(set).flat_map(with_parents).collect();
        let before = self.set(writer);
        let mut given_up: Vec<&[String]> = before.iter().flat_map(with_parents).filter(|path| !owned.contains(path)).collect();
        // A whole before its parts: an item without its key can't be found.
        given_up.sort_by_key(|path| path.len());
        for path in given_up.into_iter().filter(|path| path.len() > 1) {
            remove(resource, object, path);
        }
    }

    /// Nobody owns what isn't there any more.
    pub fn gone(&mut self, resource: &Resource, writer: &Writer, old: &Value, new: &Value) {
        let after = of(resource, new);
        let gone: Set = of(resource, old).into_iter().filter(|path| !after.contains(path)).collect();
        for entry in self.0.iter_mut().filter(|entry| entry.writer != *writer) {
            entry.set.retain(|path| !gone.contains(path));
        }
    }

    /// What an update has changed is its writer's.
    pub fn updated(&mut self, resource: &Resource, writer: &Writer, old: &Value, new: &Value, time: &Value) {
        let (before, after) = (of(resource, old), of(resource, new));
        let changed: Set = after.iter().filter(|path| !before.contains(*path) || differs(resource, old, new, path)).cloned().collect();
        let gone: Set = before.difference(&after).cloned().collect();
        self.take(writer, &changed);
        for entry in &mut self.0 {
            entry.set.retain(|path| !gone.contains(path));
        }
        if !changed.is_empty() {
            let set = self.set(writer).union(&changed).cloned().collect();
            self.own(writer, set, time);
        }
    }
}

/// Whether what is at a path differs. Items whose fields are told one by one are there or not.
pub fn differs(resource: &Resource, old: &Value, new: &Value, path: &Path) -> bool {
    let (was, is) = (at(resource, old, path), at(resource, new, path));
    let by_field = || is.is_some_and(|is| matches!(shape(resource, &path[..path.len() - 1], &json!([is])), Shape::Keyed(_)));
    was != is && !(path.last().is_some_and(|step| step.starts_with("k:")) && by_field())
}
