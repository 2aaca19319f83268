//! The CustomResourceDefinition as it is installed.

use crate::BlueGreenRollout;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool, ValidationRule,
};
use kube::CustomResourceExt;
use serde_json::json;

/// The derived CRD, with the default status that kstatus expects of a new object, and the rules that need the object's name.
pub fn crd() -> CustomResourceDefinition {
    let mut crd = BlueGreenRollout::crd();
    for version in &mut crd.spec.versions {
        let Some(root) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) else { continue };
        root.x_kubernetes_validations.get_or_insert_default().extend(rules());
        tidy(root);
        bound_names(root);
        if let Some(status) = root.properties.as_mut().and_then(|properties| properties.get_mut("status")) {
            default_status(status);
        }
    }
    crd
}

/// Joins the lines of doc comments into one text for `kubectl explain`. Drops `nullable`: the API server then treats a null as an
/// absent field, so that no rule sees a field that is present without a value. In a template, which rules look into with care, a null
/// stays one: server-side apply takes it by no other way.
pub(crate) fn tidy(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    let template = schema.properties.as_mut().and_then(|properties| properties.remove("template"));
    tidy_words(schema);
    below(schema, tidy);
    if let (Some(mut template), Some(properties)) = (template, schema.properties.as_mut()) {
        tidy_template(&mut template);
        properties.insert("template".into(), template);
    }
}

fn tidy_template(schema: &mut JSONSchemaProps) {
    tidy_words(schema);
    below(schema, tidy_template);
}

fn tidy_words(schema: &mut JSONSchemaProps) {
    if let Some(values) = schema.enum_.as_mut() {
        values.retain(|value| !value.0.is_null());
    }
    if let Some(text) = schema.description.as_mut() {
        *text = text.lines().collect::<Vec<_>>().join(" ");
    }
}

/// The longest name in a map that a user writes: a prefix of 253 characters, a slash and 63 more, as of labels.
const LONGEST_NAME: u16 = 317;

/// Bounds the names in each map of `spec`, which no field of a schema can. What is below a template is Kubernetes' to judge.
pub(crate) fn bound_names(root: &mut JSONSchemaProps) {
    fn bound(schema: &mut JSONSchemaProps) {
        if matches!(schema.additional_properties, Some(JSONSchemaPropsOrBool::Schema(_))) {
            schema.x_kubernetes_validations.get_or_insert_default().push(ValidationRule {
                rule: format!("self.all(name, name.size() <= {LONGEST_NAME})"),
                message: Some(format!("a name has more than {LONGEST_NAME} characters: make it shorter")),
                ..ValidationRule::default()
            });
        }
        let properties = schema.properties.iter_mut().flatten().filter(|(name, _)| *name != "template");
        properties.for_each(|(_, property)| bound(property));
        if let Some(JSONSchemaPropsOrArray::Schema(items)) = schema.items.as_mut() {
            bound(items);
        }
    }
    root.properties.iter_mut().filter_map(|properties| properties.get_mut("spec")).for_each(bound);
}

fn without_default(schema: &mut JSONSchemaProps) {
    schema.default = None;
    below(schema, without_default);
}

/// Visits the schemas right below this one.
fn below(schema: &mut JSONSchemaProps, visit: fn(&mut JSONSchemaProps)) {
    schema.properties.iter_mut().flat_map(|properties| properties.values_mut()).for_each(visit);
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = schema.items.as_mut() {
        visit(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = schema.additional_properties.as_mut() {
        visit(values);
    }
}

fn default_status(status: &mut JSONSchemaProps) {
    status.default = Some(JSON(json!({"observedGeneration": -1})));
    status.required = None;
    // The types know their defaults when they read; nothing is to be written that nobody decided.
    status.properties.iter_mut().flat_map(|properties| properties.values_mut()).for_each(without_default);
}

fn rules() -> Vec<ValidationRule> {
    let rule = |path: Option<&str>, rule: &str, message: &str| ValidationRule {
        rule: rule.to_owned(),
        message: Some(message.to_owned()),
        field_path: path.map(str::to_owned),
        ..ValidationRule::default()
    };
    vec![
        rule(
            None,
            "self.metadata.name.size() <= 55",
            "the name is too long for the names of the objects made from it: use 55 characters at most",
        ),
        rule(
            None,
            "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
            "the name must be a DNS-1035 label, since Services are named after it: lower case letters, digits and -, a letter first",
        ),
        rule(
            Some(".spec.container"),
            "!has(self.spec.image) || has(self.spec.container) || has(self.spec.containers) || self.spec.template.spec.containers.size() <= 1 \
             || self.spec.template.spec.containers.exists(c, c.name == self.metadata.name)",
            "the template has several containers: name the one that gets image in spec.container",
        ),
        rule(
            Some(".spec.image"),
            "!has(self.spec.image) || has(self.spec.container) || has(self.spec.containers) || self.spec.template.spec.containers.size() <= 1 \
             || self.spec.template.spec.containers.all(c, c.name != self.metadata.name || !has(c.image))",
            "two images: set image, or the image of the container in the template, not both",
        ),
        rule(
            Some(".spec.service"),
            "(has(self.spec.service.active) && has(self.spec.service.active.name) ? self.spec.service.active.name : self.metadata.name) \
             != (has(self.spec.service.preview) && has(self.spec.service.preview.name) ? self.spec.service.preview.name : self.metadata.name + '-preview')",
            "the active and the preview Service need different names",
        ),
    ]
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::template_crds;
    use serde_json::Value;

    /// Templates of pods and Jobs have nullable fields, and no others do.
    pub(crate) fn assert_plain(crd: &CustomResourceDefinition) {
        fn without_templates(schema: &mut Value) {
            if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
                properties.remove("template");
            }
            match schema {
                Value::Object(fields) => fields.values_mut().for_each(without_templates),
                Value::Array(items) => items.iter_mut().for_each(without_templates),
                _ => {}
            }
        }
        let mut schema = serde_json::to_value(crd).unwrap();
        let whole = schema.to_string().replace("\"nullable\":true", "");
        for word in ["\\n", "\"$ref\"", "\"allOf\"", "null"] {
            assert!(!whole.contains(word), "{word}");
        }
        without_templates(&mut schema);
        assert!(!schema.to_string().contains("\"nullable\""));
    }

    #[test]
    fn the_schema_has_no_nullable_field_line_break_or_reference() {
        assert_plain(&crd());
    }

    /// What has no bound, of all that users write. Templates of pods and Jobs are Kubernetes', whose objects have a bound as a whole.
    fn unbounded(schema: &Value, path: &str, found: &mut Vec<String>) {
        let mut needs = |bound: &str| {
            if schema.get(bound).and_then(Value::as_u64).is_none() {
                found.push(format!("{path} has no {bound}"));
            }
        };
        let is_one_of_some = schema.get("enum").is_some();
        match schema["type"].as_str() {
            Some("string") if !is_one_of_some => needs("maxLength"),
            Some("array") => needs("maxItems"),
            Some("object") if schema.get("additionalProperties").is_some() => {
                needs("maxProperties");
                let rules = schema["x-kubernetes-validations"].to_string();
                assert!(rules.contains("self.all(name, name.size() <= 317)"), "the names in {path} have no bound");
            }
            Some("object") => {
                assert!(schema.get("x-kubernetes-preserve-unknown-fields").is_none(), "{path} may hold anything");
                assert!(schema.get("properties").is_some(), "{path} has no fields");
            }
            None => {
                assert_eq!(schema["x-kubernetes-int-or-string"], true, "{path} has no type");
                needs("maxLength");
            }
            Some("integer" | "boolean" | "string") => {}
            Some(other) => panic!("{path} is of type {other}"),
        }
        let properties = schema["properties"].as_object().into_iter().flatten().filter(|(name, _)| *name != "template");
        for (name, property) in properties {
            unbounded(property, &format!("{path}.{name}"), found);
        }
        for inner in ["items", "additionalProperties"] {
            if let Some(inner) = schema.get(inner) {
                unbounded(inner, &format!("{path}[]"), found);
            }
        }
    }

    #[test]
    fn every_text_list_and_map_of_spec_has_a_bound() {
        let [template, cluster_template] = template_crds();
        for crd in [crd(), template, cluster_template] {
            let mut found = vec![];
            let schema = serde_json::to_value(&crd).unwrap();
            unbounded(schema.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec").unwrap(), "spec", &mut found);
            assert!(found.is_empty(), "{}: {found:#?}", crd.spec.names.kind);
        }
    }
}
