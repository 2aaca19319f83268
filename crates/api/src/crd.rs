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
        if let Some(status) = root.properties.as_mut().and_then(|properties| properties.get_mut("status")) {
            default_status(status);
        }
    }
    crd
}

/// Joins the lines of doc comments into one text for `kubectl explain`. Drops `nullable`: the API server then treats a null as an
/// absent field, so that no rule sees a field that is present without a value.
pub(crate) fn tidy(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    if let Some(values) = schema.enum_.as_mut() {
        values.retain(|value| !value.0.is_null());
    }
    if let Some(text) = schema.description.as_mut() {
        *text = text.lines().collect::<Vec<_>>().join(" ");
    }
    below(schema, tidy);
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
mod tests {
    use super::*;

    #[test]
    fn the_schema_has_no_nullable_field_line_break_or_reference() {
        let text = serde_json::to_string(&crd()).unwrap();
        for word in ["\"nullable\"", "\\n", "\"$ref\"", "\"allOf\"", "null"] {
            assert!(!text.contains(word), "{word}");
        }
    }
}
