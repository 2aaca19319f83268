//! What is asked in a story, as its seed has it.

use crate::{
    asked::{APPLY, Asked, JSON, MERGE, PATCH},
    objects::{self, ROLLOUT_LABEL},
    pairs::What,
    sides::{Answer, Sides, Watches},
};
use bluegreen_sim::{
    dice::Dice,
    resource::{DEPLOYMENT, EVENT, LEASE, POD, REVISION, ROLLOUT, Resource, SERVICE, SLICE},
};
use kube::Client;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const STEPS: usize = 45;
/// The last object of each kind: when it is told, all that was before it has been told.
const END: &str = "zz-end";
const OPERATOR: &str = "bluegreen";
/// What the operator sends when there must be no object yet.
const NONE: &str = "1";

/// Which objects there are, as far as answers have told.
#[derive(Default)]
struct Known {
    versions: BTreeMap<(&'static str, String), Vec<String>>,
    uids: BTreeMap<(&'static str, String), Vec<String>>,
    /// The next page of a list that goes on.
    page: Option<Asked>,
}

impl Known {
    fn heard(&mut self, asked: &Asked, answer: &Answer) {
        let metadata = &answer.body["metadata"];
        let (Some(name), Some(version), Some(uid)) =
            (metadata["name"].as_str(), metadata["resourceVersion"].as_str(), metadata["uid"].as_str())
        else {
            return;
        };
        let key = (asked.resource.plural, name.to_owned());
        for (all, told) in [(&mut self.versions, version), (&mut self.uids, uid)] {
            let all = all.entry(key.clone()).or_default();
            if all.last().is_none_or(|last| last != told) {
                all.push(told.to_owned());
            }
        }
    }
}

/// Plays a story, and answers how many requests and events were compared.
pub async fn tell(seed: u64, client: Client, namespace: &str) -> Result<(usize, usize), String> {
    let dice = Dice::new(seed);
    let mut sides = Sides::new(client, namespace.to_owned());
    let mut told = vec![];
    let failed = |told: &[String], differences: Vec<String>| {
        let last = if std::env::var("SEED").is_ok() { 0 } else { told.len().saturating_sub(12) };
        format!("seed {seed}:\n{}\n  differs:\n    {}", told[last..].join("\n"), differences.join("\n    "))
    };
    let all = [&ROLLOUT, &ROLLOUT, &DEPLOYMENT, &DEPLOYMENT, &SERVICE, &SERVICE, &REVISION, &POD, &SLICE, &LEASE, &EVENT];
    let resources = [dice.pick(&all), dice.pick(&all)];
    let watches = watch_all(&mut sides, &resources).await.map_err(|differences| failed(&told, differences))?;
    let mut known = Known::default();
    for step in 0..STEPS {
        let asked = in_namespace(next(&dice, &known, dice.pick(&resources)), namespace);
        told.push(format!("  {step}: {}", asked.words()));
        let answer = sides.ask(&asked).await.map_err(|differences| failed(&told, differences))?;
        if let Some(told) = told.last_mut() {
            told.push_str(&format!("\n      -> {} {}", answer.code, answer.body["reason"].as_str().unwrap_or_default()));
        }
        known.heard(&asked, &answer);
        // Now and then the same page is asked for again.
        if !answer.body["items"].is_null() && !dice.one_in(4) {
            let token = What::Token.mark(sides.pairs.count(What::Token).saturating_sub(1));
            known.page = (answer.body["metadata"]["continue"] == true).then(|| asked.next_page(token));
        }
    }
    let mut requests = told.len();
    for resource in watched(&resources) {
        let mut end = in_namespace(created(&dice, resource, END), namespace);
        end.body["metadata"]["labels"] = json!({ROLLOUT_LABEL: "end", "tier": "one"});
        told.push(end.words());
        sides.ask(&end).await.map_err(|differences| failed(&told, differences))?;
        requests += 1;
    }
    let mut events = 0;
    for watch in watches {
        let is_end = |event: &Value| event["object"]["metadata"]["name"] == END;
        events += watch.until(&mut sides.pairs, is_end).await.map_err(|differences| failed(&told, differences))?;
    }
    Ok((requests, events))
}

/// A watch from a version that nobody remembers tells so on both sides.
pub async fn expire(client: Client, namespace: &str) -> Result<(), String> {
    let mut sides = Sides::new(client, namespace.to_owned());
    let end = Asked::new("POST", &ROLLOUT, None).body(JSON, objects::object(&Dice::new(0), &ROLLOUT, END));
    sides.ask(&end).await.map_err(|differences| differences.join("\n"))?;
    sides.simulated.forget();
    let watch = sides.watch(&ROLLOUT, None, NONE).await;
    let events = watch.until(&mut sides.pairs, |event| event["object"]["reason"] == "Expired" && event["object"]["code"] == 410).await;
    events.map(drop).map_err(|differences| differences.join("\n"))
}

fn in_namespace(mut asked: Asked, namespace: &str) -> Asked {
    fn put(value: &mut Value, namespace: &str) {
        match value {
            Value::String(text) if text == "@namespace" => namespace.clone_into(text),
            Value::Array(items) => items.iter_mut().for_each(|item| put(item, namespace)),
            Value::Object(map) => map.values_mut().for_each(|value| put(value, namespace)),
            _ => {}
        }
    }
    put(&mut asked.body, namespace);
    asked
}

/// Nobody watches leases.
fn watched(resources: &[&'static Resource; 2]) -> Vec<&'static Resource> {
    let mut watched: Vec<_> = resources.iter().copied().filter(|resource| !resource.is_lease()).collect();
    watched.dedup();
    watched
}

async fn watch_all(sides: &mut Sides, resources: &[&'static Resource; 2]) -> Result<Vec<Watches>, Vec<String>> {
    let mut watches = vec![];
    for resource in watched(resources) {
        sides.ask(&Asked::new("GET", resource, None)).await?;
        let from = What::List.mark(sides.pairs.count(What::List) - 1);
        for selector in [None, Some(ROLLOUT_LABEL), Some("tier=one")] {
            watches.push(sides.watch(resource, selector, &from).await);
        }
    }
    Ok(watches)
}

fn created(dice: &Dice, resource: &'static Resource, name: &str) -> Asked {
    Asked::new("POST", resource, None)
        .with("fieldManager", dice.pick(&[OPERATOR, "kubectl"]))
        .body(JSON, objects::object(dice, resource, name))
}

fn next(dice: &Dice, known: &Known, resource: &'static Resource) -> Asked {
    let name = dice.pick(&["a", "a", "a", "b"]);
    let key = (resource.plural, name.to_owned());
    let none = vec![];
    let versions = known.versions.get(&key).unwrap_or(&none);
    let uids = known.uids.get(&key).unwrap_or(&none);
    let current = versions.last().cloned();
    let any_version = || if versions.is_empty() { NONE.to_owned() } else { dice.pick(versions) };
    let any_uid = || if uids.is_empty() { "00000000-0000-4000-ffff-000000000009".to_owned() } else { dice.pick(uids) };
    let manager = || dice.pick(&[OPERATOR, OPERATOR, "kubectl", "tester"]);
    let get = || Asked::new("GET", resource, Some(name));
    let is = |all: &[&Resource]| all.contains(&resource);
    let has_status = is(&[&ROLLOUT, &DEPLOYMENT, &POD]);
    if let Some(page) = known.page.clone().filter(|_| dice.one_in(3)) {
        return page;
    }
    if *resource == EVENT {
        return if dice.one_in(4) { get() } else { created(dice, resource, name) };
    }
    // Nobody applies these.
    let applied = !is(&[&LEASE, &POD, &SLICE]);
    let there_is_none = current.is_none() && dice.one_in(2);
    match if there_is_none { dice.roll(40) } else { dice.roll(100) } {
        0..10 => created_anyhow(dice, resource, name, &any_version),
        10..40 if applied => {
            let mut object = objects::object(dice, resource, name);
            let metadata = &mut object["metadata"];
            if *resource == ROLLOUT {
                // A map that is emptied by an apply stays in a custom resource, unseen, until the next write takes it out and makes
                // a new version: too odd to be simulated. So none is emptied.
                metadata["labels"]["app"] = json!("shop");
                metadata["annotations"]["note"] = json!("applied");
            }
            match dice.roll(10) {
                0..4 => {}
                4..7 => {
                    if let (Some(version), Some(uid)) = (&current, uids.last()) {
                        metadata["resourceVersion"] = json!(version);
                        metadata["uid"] = json!(uid);
                    }
                }
                7 => metadata["resourceVersion"] = json!(any_version()),
                8 => metadata["resourceVersion"] = json!(NONE),
                _ => metadata["uid"] = json!(any_uid()),
            }
            let asked = Asked::new("PATCH", resource, Some(name)).with("fieldManager", manager()).body(APPLY, object);
            if dice.one_in(4) { asked } else { asked.with("force", "true").with("fieldValidation", "Strict") }
        }
        40..60 => {
            let mut patch = objects::change(dice, resource);
            match dice.roll(6) {
                0 => patch["metadata"]["resourceVersion"] = json!(any_version()),
                1 if current.is_some() => patch["metadata"]["resourceVersion"] = json!(current),
                2 if dice.one_in(3) => patch["metadata"]["uid"] = json!(any_uid()),
                _ => {}
            }
            Asked::new("PATCH", resource, Some(name)).with("fieldManager", manager()).body(MERGE, patch)
        }
        60..75 if has_status => of_status(dice, resource, name, &any_version, current.as_ref()),
        75..80 => {
            let patch = json_patch(dice, &any_version());
            Asked::new("PATCH", resource, Some(name)).with("fieldManager", manager()).body(PATCH, patch)
        }
        80..87 => {
            let mut patch = objects::change(dice, resource);
            if has_status && dice.one_in(3) {
                patch["status"] = objects::status(dice, resource);
            }
            if dice.one_in(3) {
                patch["metadata"]["resourceVersion"] = Value::Null;
                patch["metadata"]["managedFields"] = Value::Null;
            }
            let body = if current.is_some() { Asked::latest(patch) } else { objects::object(dice, resource, name) };
            Asked::new("PUT", resource, Some(name)).with("fieldManager", manager()).body(JSON, body)
        }
        87..92 => {
            let mut options = json!({"kind": "DeleteOptions", "apiVersion": "v1"});
            match dice.roll(5) {
                0 => options["preconditions"] = json!({"uid": any_uid()}),
                1 => options["preconditions"] = json!({"resourceVersion": any_version()}),
                2 => options["propagationPolicy"] = json!("Background"),
                _ => {}
            }
            Asked::new("DELETE", resource, Some(name)).body(JSON, options)
        }
        92..95 => {
            let asked = Asked::new("GET", resource, None);
            match dice.roll(4) {
                0 => asked.with("limit", "1"),
                1 => asked.with("labelSelector", ROLLOUT_LABEL).with("limit", "1"),
                2 => asked.with("labelSelector", "tier=one,app=shop"),
                _ => asked.with("fieldSelector", format!("metadata.name={name}")),
            }
        }
        _ => get(),
    }
}

fn created_anyhow(dice: &Dice, resource: &'static Resource, name: &str, version: &dyn Fn() -> String) -> Asked {
    let mut asked = created(dice, resource, name);
    match dice.roll(8) {
        0 if [&ROLLOUT, &DEPLOYMENT].contains(&resource) => asked.body["status"] = objects::status(dice, resource),
        1 => asked.body["metadata"]["resourceVersion"] = json!(version()),
        2 => asked.body["metadata"]["uid"] = json!("00000000-0000-4000-ffff-000000000009"),
        3 if resource.generation => asked.body["metadata"]["generation"] = json!(7),
        _ => {}
    }
    asked
}

fn of_status(dice: &Dice, resource: &'static Resource, name: &str, version: &dyn Fn() -> String, current: Option<&String>) -> Asked {
    let status = objects::status(dice, resource);
    let asked = Asked::new("PATCH", resource, Some(name)).of_status(true);
    match dice.roll(5) {
        0 => asked.with("fieldManager", "tester").body(MERGE, json!({"status": status})),
        1 if *resource == ROLLOUT => {
            let object = json!({"apiVersion": resource.api_version(), "kind": resource.kind, "metadata": {"name": name}, "status": status});
            let asked = asked.with("fieldManager", dice.pick(&["tester", OPERATOR])).body(APPLY, object);
            if dice.one_in(3) { asked } else { asked.with("force", "true") }
        }
        2 if current.is_some() => {
            let put = Asked::new("PUT", resource, Some(name)).of_status(true).with("fieldManager", "kube-controller-manager");
            put.body(JSON, Asked::latest(json!({"status": status})))
        }
        _ => {
            let version = if dice.one_in(4) { version() } else { current.cloned().unwrap_or_else(version) };
            let word = dice.pick(&["replace", "replace", "test"]);
            let patch = json!([
                {"op": word, "path": "/metadata/resourceVersion", "value": version},
                {"op": "add", "path": "/status", "value": status},
            ]);
            asked.with("fieldManager", OPERATOR).body(PATCH, patch)
        }
    }
}

fn json_patch(dice: &Dice, version: &str) -> Value {
    dice.pick(&[
        json!([{"op": "add", "path": "/metadata/annotations", "value": {"bluegreen.dev/epoch": "1/3"}}]),
        json!([{"op": "remove", "path": "/metadata/labels/tier"}]),
        json!([{"op": "replace", "path": "/metadata/labels/bluegreen.dev~1rollout", "value": "store"}]),
        json!([{"op": "test", "path": "/metadata/resourceVersion", "value": version}, {"op": "add", "path": "/metadata/labels", "value": {"app": "shop"}}]),
        json!([{"op": "test", "path": "/metadata/labels/app", "value": "shop"}, {"op": "remove", "path": "/metadata/labels/app"}]),
    ])
}
