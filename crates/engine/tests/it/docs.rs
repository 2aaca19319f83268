//! What docs/analysis.md shows can be written: of fields that there are, and nothing about it is refused.

use crate::world::World;
use bluegreen_api::Phase;
use serde_json::{Value, json};

/// The examples in YAML, with the lines at which they begin.
fn examples(page: &str) -> Vec<(usize, Value)> {
    let mut lines = page.lines().enumerate();
    let mut all = Vec::new();
    while let Some((at, fence)) = lines.next() {
        if fence.trim_start() == "```yaml" {
            let text: Vec<_> = lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```").collect();
            all.push((at + 1, serde_yaml_ng::from_str(&text.join("\n")).unwrap()));
        }
    }
    all
}

/// A rollout that has what is shown; None: it is of something else.
fn rollout(example: Value) -> Option<Value> {
    let mut spec = match example {
        Value::Array(metrics) => json!({"verification": {"metrics": metrics}}),
        Value::Object(fields) if fields.contains_key("verification") => Value::Object(fields),
        Value::Object(fields) if fields.contains_key("metrics") => json!({"verification": fields}),
        _ => return None,
    };
    // The template is shown elsewhere.
    spec["verification"].as_object_mut()?.remove("templates");
    if spec.get("sources").is_none() {
        spec["sources"] = json!({"prometheus": {"address": "http://prometheus:9090"}});
    }
    Some(spec)
}

/// What was written and isn't there when it is read.
fn lost(written: &Value, read: &Value, path: &str, into: &mut Vec<String>) {
    match written {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| match read.get(name) {
            Some(read) => lost(value, read, &format!("{path}.{name}"), into),
            None => into.push(format!("{path}.{name}")),
        }),
        Value::Array(items) => items.iter().enumerate().for_each(|(at, item)| lost(item, &read[at], path, into)),
        _ => {}
    }
}

#[test]
fn every_example_can_be_carried_out() {
    let mut carried_out = 0;
    for (line, example) in examples(include_str!("../../../../docs/analysis.md")) {
        let Some(spec) = rollout(example) else { continue };
        let mut world = World::new(spec.clone());
        let mut unknown = vec![];
        lost(&spec, &serde_json::to_value(&world.spec).unwrap(), "spec", &mut unknown);
        assert!(unknown.is_empty(), "line {line}: there is no {unknown:?}");
        world.settle();
        assert_eq!(world.phase(), Phase::Healthy, "line {line}: {}", world.story());
        carried_out += 1;
    }
    assert!(carried_out >= 12, "only {carried_out} examples are of rollouts");
}
