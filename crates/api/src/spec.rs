//! `spec`: the desired state, written by users. The operator reads `spec` and never writes it.

use crate::{
    Check, Credentials, Duration, JobCheck, Latency, Lifetime, PodTemplate, QueryRange, ReadyQuery, TemplateReference, WebQuery,
    status::BlueGreenRolloutStatus,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

/// A BlueGreenRollout deploys each change of its image or template beside the live version, verifies the new version, switches all traffic
/// to it at once, monitors it, and goes back at once if it fails.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "bluegreen.dev",
    version = "v1alpha1",
    kind = "BlueGreenRollout",
    namespaced,
    status = "BlueGreenRolloutStatus",
    derive = "PartialEq",
    shortname = "bgr",
    category = "all",
    doc = "A BlueGreenRollout deploys each change of its image or template beside the live version, verifies the new version, switches all traffic to it at once, monitors it, and goes back at once if it fails.",
    scale(spec_replicas_path = ".spec.replicas", status_replicas_path = ".status.replicas", label_selector_path = ".status.selector"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase", description = "Phase of the rollout"),
    printcolumn(name = "Active", type_ = "string", json_path = ".status.active.color", description = "Color that user traffic reaches"),
    printcolumn(name = "Image", type_ = "string", json_path = ".status.active.image", description = "Image that user traffic reaches"),
    printcolumn(name = "Candidate", type_ = "string", json_path = ".status.preview.image", description = "Image of the candidate"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "True when the revision of spec serves with all its pods"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Revision",
        type_ = "string",
        json_path = ".status.active.revision",
        priority = 1,
        description = "Revision that user traffic reaches"
    ),
    printcolumn(
        name = "Candidate-Revision",
        type_ = "string",
        json_path = ".status.preview.revision",
        priority = 1,
        description = "Revision of the candidate, which orders before the switch name"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.message",
        priority = 1,
        description = "Current state, in one sentence"
    )
)]
#[x_kube(
    validation = Rule::new("!has(self.container) || !has(self.containers)")
        .message("container is the short form of containers: set one of them"),
    validation = Rule::new("!has(self.container) || self.template.spec.containers.exists(c, c.name == self.container) || has(self.template.spec.initContainers)")
        .message("container must name one of the containers in template.spec")
        .reason(Reason::FieldValueInvalid),
    validation = Rule::new("!has(self.containers) || has(self.template.spec.initContainers) || self.containers.all(n, self.template.spec.containers.exists(c, c.name == n))")
        .message("containers must name containers in template.spec")
        .reason(Reason::FieldValueInvalid),
    validation = Rule::new("has(self.image) || self.template.spec.containers.all(c, has(c.image))")
        .message("no image: set image, or the image of the container in the template"),
    validation = Rule::new("!has(self.image) || has(self.container) || has(self.containers) || self.template.spec.containers.size() != 1 || !has(self.template.spec.containers[0].image)")
        .message("two images: set image, or the image of the container in the template, not both"),
    validation = Rule::new("!has(self.image) || !has(self.container) || self.template.spec.containers.all(c, c.name != self.container || !has(c.image))")
        .message("two images: set image, or the image of the container in the template, not both"),
    validation = Rule::new("!has(self.image) || !has(self.containers) || self.template.spec.containers.all(c, !(c.name in self.containers) || !has(c.image))")
        .message("two images: set image, or the images of the containers in the template, not both")
)]
pub struct BlueGreenRolloutSpec {
    /// Image of the container that `container` names. A change starts a rollout. If unset, the image in `template` is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub image: Option<String>,
    /// Name of the container or init container that gets `image`. Default: the only container, else the container with the rollout's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub container: Option<String>,
    /// Names of the containers and init containers that get `image`, at most 16, where it is more than one. In place of `container`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub containers: Vec<String>,
    /// Number of pods that serve. Default 1. The scale subresource (kubectl scale, an HPA) writes this field. 0 takes effect at once; a new
    /// revision then waits until replicas is raised.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 100_000))]
    pub replicas: i32,
    /// Pods to run, as in a Deployment. A change starts a rollout.
    pub template: PodTemplate,
    /// Seconds that a new pod must be ready before it counts as available. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86_400))]
    pub min_ready_seconds: Option<i32>,
    /// Metadata of both Deployments. It is not part of a revision: a change starts no rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<DeploymentObject>,
    /// Number of former revisions kept as ControllerRevisions. Default 10, at least 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 100))]
    pub revision_history_limit: Option<i32>,
    /// Time that new pods may go without progress before the rollout is aborted. Default 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress_deadline: Option<Duration>,
    /// Holds the rollout in its phase. Repair and rollback of the live side go on. Default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// The two Services: `active` carries user traffic, `preview` reaches the candidate.
    pub service: ServiceSettings,
    /// Settings of the candidate before its promotion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<PreviewSettings>,
    /// Checks and metrics that the candidate must pass before its promotion. Default: none; the candidate's pods must be available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<Verification>,
    /// Mode and time of the switch. Default: the switch follows verification at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion: Option<Promotion>,
    /// Checks and metrics of the new version after the switch, while the former version stands by. Default: no monitoring.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<Monitoring>,
    /// Times after which a side without traffic is scaled down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_down: Option<ScaleDown>,
    /// Sources of metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Sources>,
    /// Your own text values by name, for checks, metrics and the parameters of templates: `{{ parameters.zone }}`. Quote numbers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = {"type": "string", "maxLength": 1024}))]
    pub parameters: BTreeMap<String, String>,
}

fn one() -> i32 {
    1
}

/// The two Services of a rollout. Their names are set once.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.ports.size() == 1 || self.ports.all(p, has(p.name))")
        .message("ports must have names when there are several"),
    validation = Rule::new("self.ports.all(p, !has(p.name) || self.ports.exists_one(q, has(q.name) && q.name == p.name))")
        .message("two ports have the same name"),
    validation = Rule::new("self.ports.all(p, !has(p.targetPort) || type(p.targetPort) == int || p.targetPort.matches('[a-z]'))")
        .message("targetPort: must contain at least one letter (a-z): write a port number without quotes"),
    validation = Rule::new("self.ports.all(p, !has(p.targetPort) || type(p.targetPort) == int || !p.targetPort.contains('--'))")
        .message("targetPort: must not contain consecutive hyphens"),
    validation = Rule::new("self.ports.all(p, self.ports.exists_one(q, q.port == p.port && (has(q.protocol) ? q.protocol : 'TCP') == (has(p.protocol) ? p.protocol : 'TCP')))")
        .message("two ports have the same number and protocol"),
    validation = Rule::new("(has(self.active) && has(self.active.name) ? self.active.name : '') == (has(oldSelf.active) && has(oldSelf.active.name) ? oldSelf.active.name : '')")
        .message("active.name is set once: users reach the rollout by it. Create another rollout to change it")
        .reason(Reason::FieldValueForbidden),
    validation = Rule::new("(has(self.preview) && has(self.preview.name) ? self.preview.name : '') == (has(oldSelf.preview) && has(oldSelf.preview.name) ? oldSelf.preview.name : '')")
        .message("preview.name is set once. Create another rollout to change it")
        .reason(Reason::FieldValueForbidden)
)]
pub struct ServiceSettings {
    /// Ports of both Services. Ports belong to the revision: a change starts a rollout, and the switch moves ports and pods together.
    #[schemars(length(min = 1, max = 32))]
    pub ports: Vec<ServicePort>,
    /// Service for user traffic. Default name: the rollout's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<ServiceObject>,
    /// Service that reaches the candidate only. Default name: the rollout's name with `-preview`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<ServiceObject>,
}

/// A port of both Services.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePort {
    /// Name of the port, a DNS label. Required when there are several ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: Option<String>,
    /// Port that clients connect to, 1 to 65535.
    #[schemars(range(min = 1, max = 65_535))]
    pub port: i32,
    /// Port of the pods: a number, or the name of a container port. Default: `port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minimum" = 1, "maximum" = 65_535, "maxLength" = 15, "pattern" = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub target_port: Option<IntOrString>,
    /// Protocol of the port: TCP (default), UDP or SCTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// Application protocol, as in a Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub app_protocol: Option<String>,
    /// Fixed port on every node, for an active Service of type NodePort or LoadBalancer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub node_port: Option<i32>,
}

#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    TCP,
    UDP,
    SCTP,
}

/// Labels that the operator writes beside its own.
fn labels_schema(schema: &mut Schema) {
    let message = "labels with the prefix bluegreen.dev/ are the operator's: choose another name";
    texts_schema(schema, 63, "!key.startsWith('bluegreen.dev/')", message);
}

fn annotations_schema(schema: &mut Schema) {
    let message = "annotations with the prefix bluegreen.dev/ are the operator's: choose another name";
    texts_schema(schema, 4096, "!key.startsWith('bluegreen.dev/')", message);
}

fn deployment_annotations_schema(schema: &mut Schema) {
    let message =
        "annotations with the prefix bluegreen.dev/ are the operator's, and deployment.kubernetes.io/ the cluster's: choose another name";
    texts_schema(schema, 4096, "!key.startsWith('bluegreen.dev/') && !key.startsWith('deployment.kubernetes.io/')", message);
}

fn texts_schema(schema: &mut Schema, longest: usize, key_rule: &str, message: &str) {
    schema.insert("maxProperties".into(), json!(64));
    schema.insert("additionalProperties".into(), json!({"type": "string", "maxLength": longest}));
    schema.insert("x-kubernetes-validations".into(), json!([{"rule": format!("self.all(key, {key_rule})"), "message": message}]));
}

/// The two Deployments.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentObject {
    /// Labels for the Deployments, besides the operator's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = labels_schema)]
    pub labels: Option<BTreeMap<String, String>>,
    /// Annotations for the Deployments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = deployment_annotations_schema)]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// One of the two Services.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.type) && self.type == 'LoadBalancer' || !has(self.loadBalancerClass) && !has(self.loadBalancerSourceRanges) && !has(self.allocateLoadBalancerNodePorts)")
        .message("loadBalancerClass, loadBalancerSourceRanges and allocateLoadBalancerNodePorts need type LoadBalancer"),
    validation = Rule::new("!has(self.externalTrafficPolicy) || has(self.type) && self.type != 'ClusterIP'")
        .message("externalTrafficPolicy needs type NodePort or LoadBalancer"),
    validation = Rule::new("!has(self.healthCheckNodePort) || has(self.type) && self.type == 'LoadBalancer' && has(self.externalTrafficPolicy) && self.externalTrafficPolicy == 'Local'")
        .message("healthCheckNodePort needs type LoadBalancer and externalTrafficPolicy Local"),
    validation = Rule::new("!has(self.sessionAffinityConfig) || has(self.sessionAffinity) && self.sessionAffinity == 'ClientIP'")
        .message("sessionAffinityConfig needs sessionAffinity ClientIP"),
    validation = Rule::new("!(has(self.type) && self.type == 'LoadBalancer' && has(oldSelf.type) && oldSelf.type == 'LoadBalancer') || (has(self.loadBalancerClass) ? self.loadBalancerClass : '') == (has(oldSelf.loadBalancerClass) ? oldSelf.loadBalancerClass : '')")
        .message("loadBalancerClass is set once, with type LoadBalancer. Set another type first to change it")
        .reason(Reason::FieldValueForbidden),
    validation = Rule::new("!has(self.ipFamilies) || !has(oldSelf.ipFamilies) || self.ipFamilies[0] == oldSelf.ipFamilies[0]")
        .message("the first of ipFamilies is set once: the Service keeps its address")
        .reason(Reason::FieldValueForbidden),
    validation = Rule::new("!has(self.healthCheckNodePort) || !has(oldSelf.healthCheckNodePort) || self.healthCheckNodePort == oldSelf.healthCheckNodePort")
        .message("healthCheckNodePort is set once. Set another type first to change it")
        .reason(Reason::FieldValueForbidden)
)]
pub struct ServiceObject {
    /// Name of the Service, a DNS-1035 label. Set once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: Option<String>,
    /// Type of the Service: ClusterIP (default), NodePort or LoadBalancer.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub type_: Option<ServiceType>,
    /// Labels for the Service, besides the operator's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = labels_schema)]
    pub labels: Option<BTreeMap<String, String>>,
    /// Annotations for the Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = annotations_schema)]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Whether a client stays with one pod, as in a Service: None or ClientIP. After the switch it gets another pod. If unset, this field
    /// and those below are left to the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["None", "ClientIP"]))]
    pub session_affinity: Option<String>,
    /// Settings of the session affinity, as in a Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_affinity_config: Option<SessionAffinityConfig>,
    /// Pods that clients in the cluster reach, as in a Service: Cluster or Local.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["Cluster", "Local"]))]
    pub internal_traffic_policy: Option<String>,
    /// Pods that clients outside the cluster reach, as in a Service: Cluster or Local.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["Cluster", "Local"]))]
    pub external_traffic_policy: Option<String>,
    /// Class of the load balancer, as in a Service. Set once, with type LoadBalancer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub load_balancer_class: Option<String>,
    /// Client addresses that the load balancer admits, as CIDRs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 64)))]
    pub load_balancer_source_ranges: Option<Vec<String>>,
    /// Whether a load balancer gets node ports, as in a Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocate_load_balancer_node_ports: Option<bool>,
    /// Node port for health checks of the load balancer, as in a Service. Set once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub health_check_node_port: Option<i32>,
    /// Address families, as in a Service: IPv4, IPv6 or both. The first is set once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2), inner(length(max = 4), regex(pattern = r"^IPv[46]$")))]
    pub ip_families: Option<Vec<String>>,
    /// Number of address families, as in a Service: SingleStack, PreferDualStack or RequireDualStack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["SingleStack", "PreferDualStack", "RequireDualStack"]))]
    pub ip_family_policy: Option<String>,
    /// Preference among pods by their place, as in a Service: PreferClose, or another word that the cluster knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub traffic_distribution: Option<String>,
}

/// Settings of a Service's session affinity.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionAffinityConfig {
    /// Settings of the affinity by client address.
    #[serde(rename = "clientIP", default, skip_serializing_if = "Option::is_none")]
    pub client_ip: Option<ClientIPConfig>,
}

/// Settings of the affinity by client address.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientIPConfig {
    /// Seconds for which a client stays with its pod, 1 to 86400.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub timeout_seconds: Option<i32>,
}

#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceType {
    #[allow(clippy::enum_variant_names)]
    ClusterIP,
    NodePort,
    LoadBalancer,
}

/// Settings of the candidate before its promotion.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PreviewSettings {
    /// Number of pods of the candidate until its promotion: a number of at least 1, or a percentage of `replicas` from 1% to 100%, rounded
    /// up. Default: full size. The candidate always gets full size before the switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxLength" = 4))]
    #[x_kube(
        validation = Rule::new("type(self) == int ? self >= 1 : self.matches('^([1-9][0-9]?|100)%$')")
            .message("must be a number of at least 1, or a percentage from 1% to 100%")
    )]
    pub replicas: Option<IntOrString>,
}

/// Checks and metrics that the candidate must pass before its promotion: all checks in their order, then all metrics.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.score) || !has(self.metrics) || self.metrics.all(m, !has(m.weight))")
        .message("a weight counts in a score: set score, or leave weight out")
)]
pub struct Verification {
    /// Checks, run once, one after the other. Each must pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub checks: Vec<Check>,
    /// Metrics, measured side by side after the checks have passed. Each must pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub metrics: Vec<Metric>,
    /// Templates that add checks and metrics. Their checks run after the checks above and before all metrics. Their gates are named
    /// `verification/TEMPLATE/NAME`. A template that doesn't exist holds the rollout until the template is created.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["kind", "name"]))]
    pub templates: Vec<TemplateReference>,
    /// Joint verdict of the metrics with a `weight`. Checks and other metrics decide alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<Score>,
    /// Time limit for all checks and metrics together, after which the candidate is aborted. Default 1h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Action after a failed check or metric. Abort (default): the candidate is aborted. Pause: the candidate stays, and the rollout waits
    /// for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<VerificationFailure>,
    /// Verifies the very first revision too. The active Service selects no pods until that revision has passed. Default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub initial: bool,
}

#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VerificationFailure {
    Abort,
    Pause,
}

/// Joint verdict of several metrics, by the share of their weights that is good.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Score {
    /// Share of the weights that must be good, a number or a percentage: `80%`. More than 0, at most 100%.
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[0-9]+(\.[0-9]+)?%?$"))]
    pub min: String,
}

/// A value that is measured repeatedly; its readings add up to a verdict.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.prometheus), has(self.web), has(self.job), has(self.comparison), has(self.latency)].filter(is, is).size() == 1")
        .message("set exactly one kind of metric: prometheus, web, job, comparison or latency"),
    validation = Rule::new("has(self.comparison) || has(self.latency) || has(self.max) || has(self.min) || has(self.maxFactor) || has(self.goodIf)")
        .message("a metric needs a limit: set max, min, maxFactor, goodIf, or several of them"),
    validation = Rule::new("!has(self.job) || !has(self.maxFactor)")
        .message("a Job measures one side alone: set max or min instead of maxFactor, or let the Job compare"),
    validation = Rule::new("!has(self.factorFrom) || has(self.maxFactor)").message("factorFrom belongs to maxFactor: set both or neither"),
    validation = Rule::new("!has(self.factorOf) || has(self.maxFactor)").message("factorOf belongs to maxFactor: set both or neither"),
    validation = Rule::new("!has(self.inconclusiveLimit) || has(self.factorOf) && self.factorOf == 'BeforeSwitch'")
        .message("inconclusiveLimit is for what is worse than before the switch: set factorOf to BeforeSwitch, or leave it out"),
    validation = Rule::new("!(has(self.comparison) || has(self.latency)) || !(has(self.max) || has(self.min) || has(self.maxFactor) || has(self.goodIf) || has(self.failureLimit) || has(self.failureFor))")
        .message("a comparison is judged by tolerated and falseAlarms: leave out max, min, maxFactor, goodIf, failureLimit and failureFor"),
    validation = Rule::new("!has(self.weight) || !has(self.dryRun) || !self.dryRun")
        .message("a dry run always passes and can have no weight: remove weight or dryRun")
)]
pub struct Metric {
    /// Name of the metric, unique within its list.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Query to Prometheus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PrometheusQuery>,
    /// Query to another source of numbers over HTTP: Datadog, Graphite, InfluxDB, your own service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web: Option<WebQuery>,
    /// Job that runs for each reading. The last line of its log is the value, one number. A Job that fails counts as a failure of the
    /// source, never of the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobCheck>,
    /// Verification only: compares the candidate's error rate with the active side's, by a test that stays valid at every look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
    /// Verification only: compares the candidate's latencies with the active side's, by a test that stays valid at every look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// Largest good value, a number in quotes or a percentage: `"0.01"`, `1%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?%?$"))]
    pub max: Option<String>,
    /// Smallest good value, a number in quotes or a percentage: `"0.99"`, `99%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?%?$"))]
    pub min: Option<String>,
    /// Largest good ratio of the value to the same query's value for another side (`factorOf`). More than 0. For errors `comparison` is the
    /// better judge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[0-9]+(\.[0-9]+)?$"))]
    pub max_factor: Option<String>,
    /// Side that `maxFactor` compares with. ActiveSide (default): the active side before the switch, with like traffic on both sides.
    /// BeforeSwitch, in monitoring: the former side at the moment of the switch. More than the version may differ by then, so a larger
    /// ratio is inconclusive: `onUnknown` decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor_of: Option<FactorOf>,
    /// `maxFactor` does not apply to values up to this number or percentage: 0.1% of errors may be good even if the active side has none.
    /// Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[0-9]+(\.[0-9]+)?%?$"))]
    pub factor_from: Option<String>,
    /// CEL expression that is true for a good value, where limits don't suffice: `value < 100.0 || value < previous`. Variables: `value`,
    /// `previous` (the reading before) and, in verification, `active` (the active side's value). All are doubles: write 2.0, not 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub good_if: Option<String>,
    /// Time from one reading to the next. Default 10s, with `job` 1m; at least 1s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    /// Good readings needed for a pass. Default 5. Not used in monitoring, where `monitoring.duration` decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub count: Option<i32>,
    /// Time before the first reading. Default: 0s before the switch; after the switch the query's range (`[1m]`, `ready.window`), which
    /// still holds data of the former version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_delay: Option<Duration>,
    /// Bad readings in a row that fail the metric. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub failure_limit: Option<i32>,
    /// Readings in a row, worse than before the switch but within all other limits, that make the metric inconclusive. Default:
    /// `failureLimit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub inconclusive_limit: Option<i32>,
    /// Time that readings must stay bad, with no good reading in between, before the metric fails. Default 0s: `failureLimit` alone
    /// decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_for: Option<Duration>,
    /// Readings in a row without data (empty answer, NaN) that make the metric inconclusive. Default 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub no_data_limit: Option<i32>,
    /// Readings in a row that the source failed to give and that make the metric inconclusive, never failed. Default 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub error_limit: Option<i32>,
    /// Report only: the metric is measured and its verdict recorded, but it always passes. Default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// Weight in the `score` of its stage, 1 to 100. Default: none; the metric decides alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub weight: Option<i32>,
}

impl Metric {
    /// Whether it sets one side beside the other by a test that has false alarms: all such tests of a stage share them.
    pub const fn is_comparison(&self) -> bool {
        self.comparison.is_some() || self.latency.is_some()
    }
}

/// Side that `maxFactor` compares with.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FactorOf {
    ActiveSide,
    BeforeSwitch,
}

/// A query to Prometheus that returns one number.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.query) != has(self.ready)").message("set exactly one of query and ready"),
    validation = Rule::new("!(has(self.credentials) || has(self.headers)) || has(self.address)")
        .message("credentials and headers are for the address beside them: set address too, or those of sources.prometheus"),
    validation = Rule::new("!has(self.requests) || has(self.minRequests)")
        .message("requests counts what minRequests asks for: set both, or neither"),
    validation = Rule::new("!has(self.minRequests) || has(self.requests) || has(self.ready) && has(self.ready.source)")
        .message("minRequests needs to know how requests are counted: set requests, a query that yields their number"),
    validation = Rule::new("!has(self.timeout) || duration(self.timeout) <= duration('1m')").message("timeout is at most 1m")
)]
pub struct PrometheusQuery {
    /// PromQL that returns one number: a scalar, or a vector of one series. Variables: `{{ namespace }}`, `{{ rollout }}`, `{{ interval }}`
    /// (as `10s`); for the side that is judged `{{ color }}`, `{{ revision }}`, `{{ pods }}` (a regex of the names of its pods); for the side beside it
    /// `{{ other.color }}`, `{{ other.revision }}`, `{{ other.pods }}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub query: Option<String>,
    /// Ready-made query, without PromQL: errors, latencies and requests as common sources name them, CPU, memory and restarts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<ReadyQuery>,
    /// Evaluates the query at many moments and reduces their values to one number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<QueryRange>,
    /// Fewest requests that a value may rest on, 1 or more. A reading with fewer requests has no data. Default: no minimum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub min_requests: Option<i64>,
    /// PromQL that returns the number of requests behind the value, for `minRequests`. Default with `ready`: the requests in its window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub requests: Option<String>,
    /// Address of the Prometheus server, as `http://prometheus:9090`. Default: `sources.prometheus`, else the operator's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048), regex(pattern = r"^https?://[^@/?#]+([/?#].*)?$"))]
    pub address: Option<String>,
    /// Credentials, sent to this `address` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// Headers by name, at most 16, sent to this `address` only, as `X-Scope-OrgID: team-a`. Not for secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = {"type": "string", "maxLength": 1024}))]
    pub headers: BTreeMap<String, String>,
    /// Time limit for an answer. Default 10s, at most 1m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
}

/// Compares how often requests fail on the candidate and on the active side. Both sides must get like traffic: synthetic load on both, or
/// mirrored requests. An incident that hits both sides alike fails no candidate.
///
/// Each reading weighs the requests of both sides since the last reading, as a sequential likelihood ratio test, which stays valid at every
/// look. Requests of one side wait until the other side has had requests too, for `noDataLimit` readings.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.credentials) || has(self.headers)) || has(self.address)")
        .message("credentials and headers are for the address beside them: set address too, or those of sources.prometheus"),
    validation = Rule::new("!has(self.timeout) || duration(self.timeout) <= duration('1m')").message("timeout is at most 1m")
)]
pub struct Comparison {
    /// PromQL for the counter of a side's failed requests, without rate or increase: `sum(http_requests_total{code=~"5..",pod=~"{{ pods
    /// }}"})`. Variables as in a query. No series is no data, not 0: if it appears with the first error, add `or 0 * sum(…)` of the requests that have the label.
    #[schemars(length(min = 1, max = 4096))]
    pub errors: String,
    /// PromQL for the counter of all requests of a side, failed requests included, without rate or increase.
    #[schemars(length(min = 1, max = 4096))]
    pub requests: String,
    /// Tolerated ratio of the candidate's error rate to the active side's. Default 1; 1 to 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[0-9]+(\.[0-9]+)?$"))]
    pub tolerated: Option<String>,
    /// Probability that a candidate no worse than tolerated fails, over the whole attempt, however many readings are taken. All comparisons
    /// of the stage, of errors and of latencies, divide this probability equally. Default 5%; more than 0, at most 20%.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[0-9]+(\.[0-9]+)?%?$"))]
    pub false_alarms: Option<String>,
    /// Requests that each side must have had before the metric passes. Default 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub min_requests: Option<i64>,
    /// Address of the Prometheus server, as `http://prometheus:9090`. Default: `sources.prometheus`, else the operator's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048), regex(pattern = r"^https?://[^@/?#]+([/?#].*)?$"))]
    pub address: Option<String>,
    /// Credentials, sent to this `address` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// Headers by name, at most 16, sent to this `address` only, as `X-Scope-OrgID: team-a`. Not for secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = {"type": "string", "maxLength": 1024}))]
    pub headers: BTreeMap<String, String>,
    /// Time limit for an answer. Default 10s, at most 1m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
}

/// Mode and time of the switch.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Promotion {
    /// Automatic (default): the switch follows verification. Manual: a person approves with `kubectl annotate bgr NAME
    /// bluegreen.dev/promote=REVISION`. Never: the candidate is verified and the result shown; it stays in preview until `timeout`, or until
    /// spec asks for another revision, and is never switched to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<PromotionMode>,
    /// Time that a verified candidate waits before its promotion. Default 0s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Duration>,
    /// Time that a candidate may wait for its promotion before it is aborted. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
}

#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PromotionMode {
    Automatic,
    Manual,
    Never,
}

/// Checks and metrics of the new version after the switch. The former version stands by at full size throughout.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.score) || !has(self.metrics) || self.metrics.all(m, !has(m.weight))")
        .message("a weight counts in a score: set score, or leave weight out")
)]
pub struct Monitoring {
    /// Time that the new version is monitored. For a metric only time with readings counts. Default 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Duration>,
    /// Metrics of the active side, measured throughout.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub metrics: Vec<Metric>,
    /// Checks of the active side, run once after the switch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub checks: Vec<Check>,
    /// Templates that add checks and metrics. Comparisons with the active side are left out here. Gates are named
    /// `monitoring/TEMPLATE/NAME`. A template that doesn't exist holds the rollout until the template is created.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["kind", "name"]))]
    pub templates: Vec<TemplateReference>,
    /// Joint verdict of the metrics with a `weight`, as in `verification`. A metric is good if it has stayed good to the end of the
    /// duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<Score>,
    /// Action after a failed check or metric, or after fewer than three quarters of the pods were available for `progressDeadline` (pods
    /// without room don't count). RollBack (default): traffic goes back at once. Pause: a person decides, by the annotation `rollback` or
    /// `accept`. Without any ready pod traffic goes back in either case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<MonitoringFailure>,
    /// Action when the duration is over and a metric could not be judged. Hold (default): the rollout waits for readings or a person.
    /// RollBack: traffic goes back. Pass: the metric counts as passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_unknown: Option<OnUnknown>,
}

#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MonitoringFailure {
    RollBack,
    Pause,
}

#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnUnknown {
    Hold,
    RollBack,
    Pass,
}

/// Times after which a side without traffic is scaled down.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScaleDown {
    /// Time that a side which served always keeps its pods after the switch, so that every client has followed. Default 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<Duration>,
    /// Time after `drain` that the former version stands by at full size, for an instant rollback. Default 30s. 0s: no standby. Never:
    /// standby until the next rollout. While too few pods of the live side are available, the former version stays until that is decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Lifetime>,
    /// Time that an aborted candidate keeps its pods, for inspection. Default 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_abort: Option<Duration>,
}

/// Sources of metrics.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sources {
    /// Prometheus that queries go to. Default: the operator's own setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PrometheusSource>,
}

/// A Prometheus server.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PrometheusSource {
    /// Address of the server, as `http://prometheus.monitoring:9090`.
    #[schemars(length(min = 1, max = 2048), regex(pattern = r"^https?://[^@/?#]+([/?#].*)?$"))]
    pub address: String,
    /// Credentials for the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// Headers by name, at most 16, sent with each query, as `X-Scope-OrgID: team-a`. Not for secrets: use `credentials`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = {"type": "string", "maxLength": 1024}))]
    pub headers: BTreeMap<String, String>,
}
