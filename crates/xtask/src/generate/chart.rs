//! What of the chart follows from code: definitions, rights, the schema of its values, and its README.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{AGGREGATED, CLUSTER_TEMPLATES, File, LEADS, OPERATES, RUNS_JOBS, SHOWS, rules};

const CHART: &str = "charts/bluegreen";

/// What a chart of this version can be given. A key that is not here is refused, with its path.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is asked for")]
struct Values {
    image: Image,
    /// Names of Secrets for pulling the image.
    image_pull_secrets: Vec<Object>,
    /// Number of operators: one leads, the others stand by with full caches.
    #[schemars(range(min = 0, max = 10))]
    replicas: u8,
    watch: Watch,
    sources: Sources,
    rbac: Rbac,
    service_account: ServiceAccount,
    crds: Crds,
    logs: Logs,
    /// Resources of the operator's container. 1,000 rollouts take 48 MiB.
    resources: Object,
    /// One operator at a time may be drained.
    pod_disruption_budget: bool,
    network_policy: NetworkPolicy,
    metrics: Metrics,
    /// Further labels of the operator's pods.
    pod_labels: Words,
    /// Annotations of the operator's pods.
    pod_annotations: Words,
    /// Labels that a node must have.
    node_selector: Words,
    /// Taints of nodes that are tolerated.
    tolerations: Vec<Object>,
    /// Affinity of the operator's pods. They spread over nodes as far as that goes, whatever stands here.
    affinity: Object,
    /// Name of a PriorityClass.
    priority_class_name: String,
    /// Further flags of the operator, as --concurrency=64.
    extra_args: Vec<String>,
    /// Further variables of the operator, as the container's env has them.
    extra_env: Vec<Object>,
    /// Further volumes of the pods, for credentials and keys.
    extra_volumes: Vec<Object>,
    /// Where those are mounted.
    extra_volume_mounts: Vec<Object>,
    /// Values that a chart around this one gives to all its charts. Nothing here reads them.
    global: Option<Object>,
}

/// An object of Kubernetes' own, which the API server checks.
type Object = Map<String, Value>;
type Words = std::collections::BTreeMap<String, String>;

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is asked for")]
struct Image {
    /// The one value to set: where the cluster finds the image, without its tag, as registry.example/bluegreen.
    #[schemars(length(min = 1), regex(pattern = r"^[a-z0-9][a-zA-Z0-9._:/-]*$"))]
    repository: String,
    /// Tag of the image. Default: the chart's appVersion.
    tag: String,
    /// Digest of the image. Takes the place of the tag.
    #[schemars(regex(pattern = r"^(sha256:[0-9a-f]{64})?$"))]
    digest: String,
    pull_policy: PullPolicy,
}

/// When the image is pulled.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is asked for")]
enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is asked for")]
struct Watch {
    /// The namespace whose rollouts are operated: at most one. The operator then has Roles there, and no ClusterRole. Empty: all namespaces.
    #[schemars(length(max = 1))]
    namespaces: Vec<String>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is asked for")]
struct Sources {
    prometheus: Prometheus,
    /// Addresses that rollouts may ask besides, as https://prometheus.example.com. The host may begin with *.
    allowed: Vec<String>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is asked for")]
struct Prometheus {
    /// Address of the Prometheus for rollouts that name none, as http://prometheus.monitoring:9090.
    #[schemars(regex(pattern = r"^(https?://.+)?$"))]
    address: String,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is asked for")]
struct Rbac {
    /// Adds the rights on rollouts to the cluster's roles view, edit and admin. With watch.namespaces it does nothing.
    aggregate: bool,
    /// Lets the operator read Secrets where it operates rollouts, for the credentials of metric sources.
    secrets: bool,
    /// Lets the operator run Jobs of checks and metrics where it operates rollouts.
    jobs: bool,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is asked for")]
struct ServiceAccount {
    /// Annotations of the operator's service account.
    annotations: Words,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is asked for")]
struct Crds {
    /// Installs and upgrades the CustomResourceDefinitions with the release. One release of a cluster may.
    install: bool,
    /// Keeps the definitions, and with them all rollouts, when the release is uninstalled.
    keep: bool,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is asked for")]
struct Logs {
    /// error, warn, info, debug, trace, or levels by module.
    level: String,
    format: LogFormat,
}

/// Format of log lines.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is asked for")]
enum LogFormat {
    Text,
    Json,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is asked for")]
struct NetworkPolicy {
    /// Lets nothing in but requests for metrics and health. What goes out is not limited: sources can be anywhere.
    enabled: bool,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is asked for")]
struct Metrics {
    /// Creates a PodMonitor of the Prometheus Operator, which must be installed.
    pod_monitor: bool,
}

/// The generated files of the chart. `crds`: names below `files/crds`, and the definitions.
pub(super) fn files(root: &Path, crds: &[(&str, &Value)]) -> Result<Vec<File>> {
    let schema = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true).into_generator();
    let mut schema = schema.into_root_schema_for::<Values>().to_value();
    // Every value has a default, in values.yaml.
    for_each_object(&mut schema, &|object| drop(object.remove("required")));
    let defaults = fs::read_to_string(root.join(CHART).join("values.yaml")).context("cannot read the chart's values.yaml")?;
    let defaults: Value = serde_yaml_ng::from_str(&defaults).context("the chart's values.yaml is no YAML")?;
    let mut rows = Vec::new();
    table(&schema, &defaults, "", &mut rows)?;
    let text = serde_json::to_string_pretty(&schema).context("cannot write the schema")? + "\n";
    let mut files = vec![
        File { path: format!("{CHART}/values.schema.json"), text },
        File { path: format!("{CHART}/README.md"), text: readme(&rows) },
        File::below(CHART, "files/rules.yaml", "What the operator may do, and people, by the name of each part.", &[parts()])?,
    ];
    for (name, crd) in crds {
        files.push(File::below(CHART, &format!("files/crds/{name}"), "A definition, as config/crd has it.", &[(*crd).clone()])?);
    }
    Ok(files)
}

fn parts() -> Value {
    json!({
        "operates": rules(&[OPERATES]),
        "clusterTemplates": rules(&[CLUSTER_TEMPLATES]),
        "leads": rules(&[LEADS]),
        "secrets": rules(&[SHOWS]),
        "jobs": rules(&[RUNS_JOBS]),
        "aggregated": AGGREGATED.into_iter().map(|(into, granted)| (into.to_owned(), rules(granted))).collect::<Map<_, _>>(),
    })
}

fn for_each_object(value: &mut Value, change: &impl Fn(&mut Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            change(object);
            object.values_mut().for_each(|inner| for_each_object(inner, change));
        }
        Value::Array(items) => items.iter_mut().for_each(|inner| for_each_object(inner, change)),
        _ => {}
    }
}

/// A line for each value of the schema, with its default.
fn table(schema: &Value, defaults: &Value, path: &str, rows: &mut Vec<String>) -> Result<()> {
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if path == "global" {
            continue;
        }
        let default = &defaults[name];
        ensure!(!default.is_null(), "values.yaml of the chart has no {path}");
        if inner["properties"].is_object() {
            table(inner, default, &path, rows)?;
            continue;
        }
        let described = inner["description"].as_str().unwrap_or_default().replace('\n', " ");
        ensure!(!described.is_empty(), "{path} of the chart's values has no description");
        rows.push(format!("| `{path}` | {described} | `{default}` |"));
    }
    if let Some(unknown) = defaults.as_object().and_then(|all| all.keys().find(|key| schema["properties"].get(*key).is_none())) {
        anyhow::bail!("values.yaml of the chart has {unknown}, which the schema doesn't know");
    }
    Ok(())
}

fn readme(rows: &[String]) -> String {
    format!(
        "# The chart\n\n\
         Installs the operator, its CustomResourceDefinitions and its rights.\n\n\
         ```console\n\
         helm install bluegreen charts/bluegreen -n bluegreen-system --create-namespace --wait \\\n  \
         --set image.repository=registry.example/bluegreen\n\
         ```\n\n\
         `image.repository` is the one value to set: `cargo xtask image` makes the image, and you load or push it.\n\
         Rendering twice gives the same objects: no hook, nothing random, nothing looked up.\n\
         `helm uninstall` keeps the definitions and all rollouts, and their pods go on serving; with `crds.keep: false` it removes them all.\n\n\
         ## Values\n\n\
         | value | what it is | default |\n|---|---|---|\n{}\n",
        rows.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_without_a_default_or_a_description_is_named() {
        let schema = json!({"properties": {"image": {"properties": {"tag": {"type": "string", "description": "A tag."}}}}});
        let mut rows = vec![];
        assert!(table(&schema, &json!({"image": {"tag": "1"}}), "", &mut rows).is_ok());
        assert_eq!(rows, ["| `image.tag` | A tag. | `\"1\"` |"]);
        let error = |defaults: Value| table(&schema, &defaults, "", &mut vec![]).unwrap_err().to_string();
        assert_eq!(error(json!({"image": {}})), "values.yaml of the chart has no image.tag");
        assert!(error(json!({"image": {"tag": "1", "tga": "2"}})).contains("has tga, which"));
        let nameless = json!({"properties": {"tag": {"type": "string"}}});
        assert!(table(&nameless, &json!({"tag": ""}), "", &mut vec![]).is_err());
    }
}
