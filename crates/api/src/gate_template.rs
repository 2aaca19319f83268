//! `GateTemplate` and `ClusterGateTemplate`: checks and metrics that many rollouts share.

use crate::{
    Check, Metric,
    crd::{bound_names, tidy},
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::{CustomResource, CustomResourceExt, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// A GateTemplate holds checks and metrics for rollouts of its namespace, which name the template in `spec.verification.templates` and
/// `spec.monitoring.templates`. A change applies to all these rollouts at once: gates that it changes start anew.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "bluegreen.dev",
    version = "v1alpha1",
    kind = "GateTemplate",
    namespaced,
    derive = "PartialEq",
    doc = "A GateTemplate holds checks and metrics for rollouts of its namespace, which name the template in spec.verification.templates and spec.monitoring.templates. A change applies to all these rollouts at once: gates that it changes start anew."
)]
#[x_kube(
    validation = Rule::new("has(self.checks) && self.checks.size() > 0 || has(self.metrics) && self.metrics.size() > 0")
        .message("a template without checks and metrics verifies nothing: add one")
)]
pub struct GateTemplateSpec {
    /// Parameters that rollouts may set, and must set where there is no default. `{{ parameters.NAME }}` is replaced in the strings of
    /// checks and metrics, as in queries, URLs, headers, bodies and addresses. A limit (`max`, `min`, `maxFactor`, `factorFrom`,
    /// `tolerated`, `falseAlarms`) may be a parameter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub parameters: Vec<Parameter>,
    /// Checks, as in `spec.verification.checks` of a rollout.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub checks: Vec<Check>,
    /// Metrics, as in `spec.verification.metrics` of a rollout. Monitoring has no other side to compare with: it leaves out comparisons (of
    /// errors or of latencies) and `maxFactor` of the active side. Verification leaves out `maxFactor` of the time before the switch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub metrics: Vec<Metric>,
}

/// A ClusterGateTemplate is a GateTemplate for rollouts of all namespaces.
#[derive(CustomResource, JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
#[kube(
    group = "bluegreen.dev",
    version = "v1alpha1",
    kind = "ClusterGateTemplate",
    derive = "PartialEq",
    doc = "A ClusterGateTemplate is a GateTemplate for rollouts of all namespaces."
)]
pub struct ClusterGateTemplateSpec(pub GateTemplateSpec);

/// A parameter that a rollout may set.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parameter {
    /// Name of the parameter, unique within the template.
    #[schemars(length(min = 1, max = 40), regex(pattern = "^[A-Za-z][-_A-Za-z0-9]*$"))]
    pub name: String,
    /// Value for rollouts that don't set the parameter. Without a default every rollout must set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub default: Option<String>,
    /// Meaning of the parameter, with its unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
}

/// A reference to a template, with values for its parameters.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplateReference {
    /// Kind of the template. GateTemplate (default): in the rollout's namespace. ClusterGateTemplate: in the cluster.
    #[serde(default)]
    pub kind: TemplateKind,
    /// Name of the template.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Values of the template's parameters, by name. Values are strings: quote numbers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = {"type": "string", "maxLength": 1024}))]
    pub parameters: BTreeMap<String, String>,
}

#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TemplateKind {
    #[default]
    GateTemplate,
    ClusterGateTemplate,
}

impl fmt::Display for TemplateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The CustomResourceDefinitions of both kinds, as they are installed.
pub fn template_crds() -> [CustomResourceDefinition; 2] {
    [GateTemplate::crd(), ClusterGateTemplate::crd()].map(|mut crd| {
        for version in &mut crd.spec.versions {
            let Some(root) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) else { continue };
            tidy(root);
            bound_names(root);
            let Some(metric) = property(root, "spec").and_then(|spec| property(spec, "metrics")).and_then(items) else { continue };
            limits(metric, &["max", "min", "maxFactor", "factorFrom"]);
            for comparison in ["comparison", "latency"] {
                if let Some(comparison) = property(metric, comparison) {
                    limits(comparison, &["tolerated", "falseAlarms"]);
                }
            }
        }
        crd
    })
}

fn property<'a>(schema: &'a mut JSONSchemaProps, name: &str) -> Option<&'a mut JSONSchemaProps> {
    schema.properties.as_mut()?.get_mut(name)
}

fn items(schema: &mut JSONSchemaProps) -> Option<&mut JSONSchemaProps> {
    match schema.items.as_mut()? {
        JSONSchemaPropsOrArray::Schema(items) => Some(items),
        JSONSchemaPropsOrArray::Schemas(_) => None,
    }
}

/// A limit, which must be a number in a rollout, may be a parameter in a template, and nothing in between.
fn limits(schema: &mut JSONSchemaProps, names: &[&str]) {
    for name in names {
        let Some(limit) = property(schema, name) else { continue };
        let number = limit.pattern.take().unwrap_or_default();
        limit.pattern = Some(format!(r"{number}|^\{{\{{ *parameters\.[A-Za-z][-_A-Za-z0-9]* *\}}\}}$"));
        limit.max_length = Some(64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn schema(crd: &CustomResourceDefinition) -> Value {
        serde_json::to_value(crd).unwrap().pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec").unwrap().clone()
    }

    #[test]
    fn both_kinds_say_the_same_but_for_their_scope() {
        let [own, cluster] = template_crds();
        assert_eq!(schema(&own)["properties"], schema(&cluster)["properties"]);
        assert_eq!(schema(&own)["x-kubernetes-validations"], schema(&cluster)["x-kubernetes-validations"]);
        assert_eq!((own.spec.scope.as_str(), cluster.spec.scope.as_str()), ("Namespaced", "Cluster"));
        for crd in [own, cluster] {
            crate::crd::tests::assert_plain(&crd);
        }
    }

    #[test]
    fn only_the_limits_of_a_template_may_be_a_parameter() {
        let [template, _] = template_crds();
        let (template, rollout) = (schema(&template), schema(&crate::crd()));
        let metric = "/properties/metrics/items/properties";
        let of_comparisons =
            ["comparison", "latency"].map(|kind| ["tolerated", "falseAlarms"].map(|limit| format!("{kind}/properties/{limit}")));
        let limits = ["max", "min", "maxFactor", "factorFrom"].map(str::to_owned);
        for limit in limits.iter().chain(of_comparisons.as_flattened()) {
            let pattern =
                |schema: &Value, at: &str| schema.pointer(&format!("{at}{metric}/{limit}/pattern")).unwrap().as_str().unwrap().to_owned();
            let (ours, theirs) = (pattern(&template, ""), pattern(&rollout, "/properties/verification"));
            assert!(
                !theirs.contains("parameters") && ours == format!(r"{theirs}|^\{{\{{ *parameters\.[A-Za-z][-_A-Za-z0-9]* *\}}\}}$"),
                "{limit}: {ours}"
            );
        }
        let name = |schema: &Value, at: &str| schema.pointer(&format!("{at}{metric}/name")).unwrap().clone();
        assert_eq!(name(&template, ""), name(&rollout, "/properties/verification"));
    }

    #[test]
    fn a_template_is_of_the_namespace_of_its_rollout_by_default() {
        let reference: TemplateReference = serde_json::from_value(json!({"name": "slo"})).unwrap();
        assert_eq!(reference.kind, TemplateKind::GateTemplate);
        let rollout = schema(&crate::crd());
        for stage in ["verification", "monitoring"] {
            let templates = rollout.pointer(&format!("/properties/{stage}/properties/templates")).unwrap();
            assert_eq!(templates["x-kubernetes-list-map-keys"], json!(["kind", "name"]));
            assert_eq!(templates.pointer("/items/properties/kind/default"), Some(&json!("GateTemplate")));
        }
    }
}
