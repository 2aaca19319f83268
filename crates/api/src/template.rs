//! Templates of pods and Jobs: kept exactly as the API server stores them, with a schema for their common fields.

use crate::depth;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// A PodTemplateSpec, kept as JSON so that no field of a newer cluster is lost and no default is added. What is nested too deep is
/// left out, see [`depth`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PodTemplate(#[serde(deserialize_with = "depth::shallow")] pub Value);

impl JsonSchema for PodTemplate {
    fn schema_name() -> Cow<'static, str> {
        "PodTemplate".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let root = SchemaSettings::openapi3().into_generator().into_root_schema_for::<PodTemplateSpec>();
        let root = Value::from(root);
        let mut template = open(&root, &root, 0);
        template["description"] = json!("Pods to run, as in a Deployment. A change starts a rollout.");
        template["required"] = json!(["spec"]);
        template["properties"]["metadata"] = metadata("pods");
        let lists = &mut template["properties"]["spec"]["properties"];
        for list in LOOKED_AT {
            // A bound that CEL rules need to be allowed to walk the list; the kubelet gives up long before it.
            lists[list]["maxItems"] = json!(64);
            // What rules of ours look at.
            lists[list]["items"]["required"] = json!(["name"]);
            lists[list]["items"]["properties"] = json!({"name": {"type": "string", "maxLength": 63}, "image": {"type": "string"}});
        }
        lists["containers"]["minItems"] = json!(1);
        Schema::try_from(template).unwrap_or_default()
    }
}

/// A template for Jobs, kept as JSON like a pod template.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobTemplate(#[serde(deserialize_with = "depth::shallow")] pub Value);

impl JsonSchema for JobTemplate {
    fn schema_name() -> Cow<'static, str> {
        "JobTemplate".into()
    }

    fn inline_schema() -> bool {
        true
    }

    /// The fields for which this project has a default. The API server checks all other fields when the Job is created.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "description": "Job to run, as in a CronJob.",
            "type": "object",
            "required": ["spec"],
            "properties": {
                "metadata": metadata("Job"),
                "spec": {
                    "description": "A JobSpec.",
                    "type": "object",
                    "required": ["template"],
                    "x-kubernetes-preserve-unknown-fields": true,
                    "properties": {
                        "backoffLimit": {"description": "Number of retries. Default 0.", "type": "integer", "format": "int32", "minimum": 0},
                        "ttlSecondsAfterFinished": {
                            "description": "Seconds that a finished Job is kept. Default 600, for a metric 120.",
                            "type": "integer", "format": "int32", "minimum": 0,
                        },
                        "template": {
                            "description": "Pods of the Job. restartPolicy defaults to Never.",
                            "type": "object",
                            "required": ["spec"],
                            "x-kubernetes-preserve-unknown-fields": true,
                            "properties": {"spec": {"type": "object", "required": ["containers"], "x-kubernetes-preserve-unknown-fields": true}},
                        },
                    },
                },
            },
        })
    }
}

/// Lists of a pod that rules of ours walk.
const LOOKED_AT: [&str; 2] = ["containers", "initContainers"];

/// Fields nested deeper than those of a PodSpec have no type here, so that what a Deployment takes is taken (a quantity that is written as
/// a number, a key without a value): the API server checks them when the Deployment is written. `kubectl explain deployment` has them.
const DEPTH: usize = 2;

/// A copy of `schema` with references resolved, in which every object keeps fields it doesn't know,
/// and nothing has a default: one added later would change the hash of every revision.
fn open(schema: &Value, root: &Value, depth: usize) -> Value {
    let Some(schema) = schema.as_object() else { return json!({}) };
    // A field with a description of its own refers to its type by an `allOf` of one.
    let reference = schema.get("$ref").or_else(|| schema.get("allOf")?.get(0)?.get("$ref"));
    if let Some(name) = reference.and_then(Value::as_str) {
        let target = name.trim_start_matches('#');
        let mut resolved = root.pointer(target).map_or(json!({}), |found| open(found, root, depth));
        if let Some(text) = schema.get("description").and_then(Value::as_str) {
            resolved["description"] = json!(first_sentence(text));
        }
        return resolved;
    }
    let mut out = Map::new();
    for (key, value) in schema {
        let value = match key.as_str() {
            "$schema" | "components" | "definitions" | "title" | "default" | "nullable" => continue,
            "description" => json!(first_sentence(value.as_str().unwrap_or_default())),
            "properties" if depth < DEPTH => {
                let properties = value.as_object().into_iter().flatten();
                let of_pod = depth == DEPTH - 1;
                let opened = |name: &String, inner: &Value| {
                    let mut field = open(inner, root, depth + 1);
                    // A key without a value is none: server-side apply refuses it otherwise.
                    if of_pod && !LOOKED_AT.contains(&name.as_str()) {
                        field["nullable"] = json!(true);
                    }
                    field
                };
                Value::Object(properties.map(|(name, inner)| (name.clone(), opened(name, inner))).collect())
            }
            "properties" | "required" if depth >= DEPTH => continue,
            "additionalProperties" if depth >= DEPTH => continue,
            "items" | "additionalProperties" => open(value, root, depth),
            _ => value.clone(),
        };
        out.insert(key.clone(), value);
    }
    let is_map = out.contains_key("additionalProperties");
    if out.get("type") == Some(&json!("object")) && !is_map {
        out.insert("x-kubernetes-preserve-unknown-fields".into(), json!(true));
    }
    Value::Object(out)
}

/// `whose`: the object that carries these labels and annotations.
fn metadata(whose: &str) -> Value {
    let map = |what: &str| json!({"description": what, "type": "object", "nullable": true, "maxProperties": 256, "additionalProperties": {"type": "string"}});
    let mut labels = map(&format!("Labels of the {whose}. The prefix bluegreen.dev/ is the operator's."));
    labels["x-kubernetes-validations"] = json!([{
        "rule": "self.all(key, !key.startsWith('bluegreen.dev/'))",
        "message": "labels with the prefix bluegreen.dev/ are the operator's: choose another name",
    }]);
    json!({
        "description": format!("Labels and annotations of the {whose}."),
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": {"labels": labels, "annotations": map(&format!("Annotations of the {whose}."))},
    })
}

fn first_sentence(text: &str) -> &str {
    let line = text.split("\n\n").next().unwrap_or(text);
    line.split_inclusive(". ").next().unwrap_or(line).trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(schema: &Value, path: &str, visit: &mut dyn FnMut(&str, &Map<String, Value>)) {
        let Some(object) = schema.as_object() else { return };
        visit(path, object);
        for (name, inner) in object.get("properties").and_then(Value::as_object).into_iter().flatten() {
            walk(inner, &format!("{path}.{name}"), visit);
        }
        for key in ["items", "additionalProperties"] {
            if let Some(inner) = object.get(key) {
                walk(inner, &format!("{path}[]"), visit);
            }
        }
    }

    fn template() -> Value {
        PodTemplate::json_schema(&mut SchemaGenerator::default()).into()
    }

    #[test]
    fn nothing_below_the_template_has_a_default() {
        walk(&template(), "template", &mut |path, schema| assert!(!schema.contains_key("default"), "{path} has a default"));
    }

    #[test]
    fn fields_below_a_pod_spec_have_no_type() {
        let mut explained = 0;
        walk(&template(), "template", &mut |path, schema| {
            let ours = path.ends_with("[].name") || path.ends_with("[].image") || path.starts_with("template.metadata.");
            assert!(ours || path.matches('.').count() <= DEPTH, "{path} has a type");
            explained += usize::from(schema.contains_key("description"));
        });
        assert!(explained > 30, "{explained}");
    }

    #[test]
    fn objects_below_the_template_keep_unknown_fields() {
        let mut objects = 0;
        walk(&template(), "template", &mut |path, schema| {
            if schema.get("type") == Some(&json!("object")) && !schema.contains_key("additionalProperties") {
                objects += 1;
                assert_eq!(schema.get("x-kubernetes-preserve-unknown-fields"), Some(&json!(true)), "{path}");
            }
            assert!(!schema.contains_key("$ref"), "{path} has an unresolved reference");
        });
        assert!(objects > 15, "{objects}");
    }
}
