//! `spec`: what a team asks for. The operator reads it and never writes it.

use crate::{
    Check, Credentials, Duration, JobCheck, Latency, Lifetime, PodTemplate, QueryRange, ReadyQuery, TemplateReference, WebQuery,
    status::BlueGreenRolloutStatus,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// BlueGreenRollout deploys each change of its image or template beside the live version, verifies it,
/// switches all traffic to it at once, watches it, and goes back in an instant when it is bad.
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
    doc = "BlueGreenRollout deploys each change of its image or template beside the live version, verifies it, switches all traffic to it at once, watches it, and goes back in an instant when it is bad.",
    scale(spec_replicas_path = ".spec.replicas", status_replicas_path = ".status.replicas", label_selector_path = ".status.selector"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase", description = "Where the rollout stands"),
    printcolumn(
        name = "Active",
        type_ = "string",
        json_path = ".status.active.color",
        description = "The color that user traffic reaches"
    ),
    printcolumn(name = "Image", type_ = "string", json_path = ".status.active.image", description = "The image that user traffic reaches"),
    printcolumn(name = "Candidate", type_ = "string", json_path = ".status.preview.image", description = "The image that is on its way"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "True when what spec asks for serves in full"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Revision",
        type_ = "string",
        json_path = ".status.active.revision",
        priority = 1,
        description = "The revision that user traffic reaches"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.message",
        priority = 1,
        description = "What is going on, in a sentence"
    )
)]
#[x_kube(
    validation = Rule::new("!has(self.container) || self.template.spec.containers.exists(c, c.name == self.container)")
        .message("container must name one of the containers in template.spec.containers")
        .reason(Reason::FieldValueInvalid),
    validation = Rule::new("has(self.image) || self.template.spec.containers.all(c, has(c.image))")
        .message("no image: set image, or the image of the container in the template"),
    validation = Rule::new("!has(self.image) || self.template.spec.containers.size() != 1 || !has(self.template.spec.containers[0].image)")
        .message("two images: set image, or the image of the container in the template, not both"),
    validation = Rule::new("!has(self.image) || !has(self.container) || self.template.spec.containers.all(c, c.name != self.container || !has(c.image))")
        .message("two images: set image, or the image of the container in the template, not both")
)]
pub struct BlueGreenRolloutSpec {
    /// The image of the container named by `container`. A change of it starts a rollout. Leave it out to have the image in `template`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub image: Option<String>,
    /// The container that gets `image`. Default: the only container, else the one named like the rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub container: Option<String>,
    /// How many pods serve. Default 1. The scale subresource (kubectl scale, an HPA) writes it. 0 is obeyed at once; a rollout then waits for replicas.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 100_000))]
    pub replicas: i32,
    /// The pods to run, as in a Deployment. A change starts a rollout.
    pub template: PodTemplate,
    /// Seconds that a new pod must be ready before it counts as available. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86_400))]
    pub min_ready_seconds: Option<i32>,
    /// How many former revisions are kept as ControllerRevisions. Default 10, at least 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 100))]
    pub revision_history_limit: Option<i32>,
    /// How long new pods may make no progress before the rollout is aborted. Default 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress_deadline: Option<Duration>,
    /// Hold the rollout where it is. What protects the live side (repair, roll back) goes on. Default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// The two Services: `active` carries user traffic, `preview` reaches the candidate.
    pub service: ServiceSettings,
    /// The candidate before its promotion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<PreviewSettings>,
    /// What the candidate must pass before it may be promoted. Default: nothing but that its pods are available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<Verification>,
    /// When the switch happens. Default: as soon as the candidate is verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion: Option<Promotion>,
    /// How the new version is watched after the switch, while the former one still stands by. Default: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<Monitoring>,
    /// When the side that was left is scaled down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_down: Option<ScaleDown>,
    /// Where metrics come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Sources>,
    /// Texts of your own, by name, for checks and metrics and for what templates are given: `{{ parameters.zone }}`. Quote numbers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = {"type": "string", "maxLength": 1024}))]
    pub parameters: BTreeMap<String, String>,
}

fn one() -> i32 {
    1
}

/// The Services of a rollout. Their names are set once.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.ports.size() == 1 || self.ports.all(p, has(p.name))")
        .message("ports must have names when there are several"),
    validation = Rule::new("self.ports.all(p, !has(p.name) || self.ports.exists_one(q, has(q.name) && q.name == p.name))")
        .message("two ports have the same name"),
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
    /// The ports of both Services. They belong to the revision: a change starts a rollout, and is switched together with the pods.
    #[schemars(length(min = 1, max = 32))]
    pub ports: Vec<ServicePort>,
    /// The Service that user traffic goes through. Default name: that of the rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<ServiceObject>,
    /// The Service that reaches the candidate only. Default name: that of the rollout with `-preview`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<ServiceObject>,
}

/// A port of both Services.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePort {
    /// A DNS label. Required when there are several ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: Option<String>,
    /// What clients connect to, 1 to 65535.
    #[schemars(range(min = 1, max = 65_535))]
    pub port: i32,
    /// The pods' port: a number, or a container port's name. Default: `port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minimum" = 1, "maximum" = 65_535, "maxLength" = 15, "pattern" = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub target_port: Option<IntOrString>,
    /// TCP (default), UDP or SCTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// As in a Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub app_protocol: Option<String>,
    /// A fixed port on every node, for the active Service only, as NodePort or LoadBalancer.
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

/// One of the two Services.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceObject {
    /// Name of the Service, a DNS-1035 label. Set once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: Option<String>,
    /// ClusterIP, NodePort or LoadBalancer. Default ClusterIP.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub type_: Option<ServiceType>,
    /// Labels for the Service, besides the operator's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 64, "x-kubernetes-validations" = [{
        "rule": "self.all(key, !key.startsWith('bluegreen.dev/'))",
        "message": "labels with the prefix bluegreen.dev/ are the operator's: choose another name",
    }]))]
    pub labels: Option<BTreeMap<String, String>>,
    /// Annotations for the Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 64, "x-kubernetes-validations" = [{
        "rule": "self.all(key, !key.startsWith('bluegreen.dev/'))",
        "message": "annotations with the prefix bluegreen.dev/ are the operator's: choose another name",
    }]))]
    pub annotations: Option<BTreeMap<String, String>>,
}

#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceType {
    #[allow(clippy::enum_variant_names)]
    ClusterIP,
    NodePort,
    LoadBalancer,
}

/// The candidate before its promotion.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PreviewSettings {
    /// How many pods the candidate has until it is promoted: a number of at least 1, or a percentage of `replicas` from 1% to 100%, rounded up.
    /// Default: full size. Before the switch it is always brought to full size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(
        validation = Rule::new("type(self) == int ? self >= 1 : self.matches('^([1-9][0-9]?|100)%$')")
            .message("must be a number of at least 1, or a percentage from 1% to 100%")
    )]
    pub replicas: Option<IntOrString>,
}

/// What the candidate must pass before it may be promoted: all checks in their order, then all metrics.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.score) || !has(self.metrics) || self.metrics.all(m, !has(m.weight))")
        .message("a weight counts in a score: set score, or leave weight out")
)]
pub struct Verification {
    /// Done once, one after the other; each must pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub checks: Vec<Check>,
    /// Measured side by side once the checks have passed; each must pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub metrics: Vec<Metric>,
    /// Templates whose checks and metrics belong to it too: checks after those above and before all metrics. Their gates are named
    /// `verification/TEMPLATE/NAME`. A template that doesn't exist holds the rollout until it does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["kind", "name"]))]
    pub templates: Vec<TemplateReference>,
    /// How metrics with a `weight` decide together; checks and other metrics decide as ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<Score>,
    /// How long all of it may take before the candidate is aborted. Default 1h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// What a failed check or metric does. Abort (default): the candidate is given up. Pause: it is kept and waits for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<VerificationFailure>,
    /// Whether the very first revision is verified too. Until it has passed, the active Service selects nothing. Default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub initial: bool,
}

#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VerificationFailure {
    Abort,
    Pause,
}

/// How several metrics decide together: by the share of their weights that is good.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Score {
    /// The share of the weights that must be good, a number or a percentage: `80%`. More than 0, at most 100%.
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[0-9]+(\.[0-9]+)?%?$"))]
    pub min: String,
}

/// Measured again and again: readings, which make a verdict.
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
        .message("a dry run passes whatever it measures, and has nothing to weigh: leave out weight or dryRun")
)]
pub struct Metric {
    /// Unique within its list.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// A query to Prometheus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PrometheusQuery>,
    /// Another source of numbers: Datadog, Graphite, InfluxDB, a service of yours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web: Option<WebQuery>,
    /// A Job of yours for each reading: the last line of its log is the value, one number. If it fails the source failed, and never the
    /// version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobCheck>,
    /// Verification only: the candidate's errors against the active side's, by a test that is sound at every look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
    /// Verification only: how long the candidate's requests take, against the active side's, by a test that is sound at every look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// The largest good value, a number in quotes or a percentage: `"0.01"`, `1%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?%?$"))]
    pub max: Option<String>,
    /// The smallest good value, a number in quotes or a percentage: `"0.99"`, `99%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?%?$"))]
    pub min: Option<String>,
    /// How many times the same query's value for another side (`factorOf`) is still good. More than 0. For errors `comparison` is the
    /// better judge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[0-9]+(\.[0-9]+)?$"))]
    pub max_factor: Option<String>,
    /// ActiveSide (default): before the switch, with like traffic on both sides. BeforeSwitch, in monitoring: the former side at the moment
    /// of the switch. More than the version may differ then, so a value above is inconclusive: `onUnknown` decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor_of: Option<FactorOf>,
    /// Up to this value, a number or a percentage, `maxFactor` doesn't matter: 0.1% of errors condemn nobody where the active side has
    /// none. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[0-9]+(\.[0-9]+)?%?$"))]
    pub factor_from: Option<String>,
    /// CEL that is true for a good value, for what limits can't say: `value < 100.0 || value < previous`. It knows `value`, `previous` (the
    /// reading before) and, in verification, `active` (the active side's), all doubles: 2.0, not 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub good_if: Option<String>,
    /// From one reading to the next. Default 10s, with `job` 1m; at least 1s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    /// Good readings that make a pass. Default 5. Not used in monitoring: there the bake time decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub count: Option<i32>,
    /// How long the first reading waits. Default: 0s before the switch; after it the query's range (`[1m]`, `ready.window`), which still
    /// holds the former version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_delay: Option<Duration>,
    /// Bad readings in a row that make a failure. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub failure_limit: Option<i32>,
    /// How many readings in a row that are only worse than before the switch make it inconclusive. Default: as `failureLimit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub inconclusive_limit: Option<i32>,
    /// How long readings must be bad, with no good one between, to make a failure. Default 0s: `failureLimit` alone decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_for: Option<Duration>,
    /// Readings in a row without data (empty answer, NaN) that make it inconclusive. Default 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub no_data_limit: Option<i32>,
    /// Readings in a row that the source failed to give and that make it inconclusive, never a failure. Default 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub error_limit: Option<i32>,
    /// Measured and told, but passed whatever the verdict: for a limit that nobody knows yet to be right. Default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// What it counts in its stage's `score`, 1 to 100. Default: it decides alone.
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

/// What a factor is a factor of.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FactorOf {
    ActiveSide,
    BeforeSwitch,
}

/// A query whose answer is one number.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.query) != has(self.ready)").message("set exactly one of query and ready"),
    validation = Rule::new("!(has(self.credentials) || has(self.headers)) || has(self.address)")
        .message("credentials and headers are for the address beside them: set address too, or those of sources.prometheus"),
    validation = Rule::new("!has(self.requests) || has(self.minRequests)")
        .message("requests counts what minRequests asks for: set both, or neither"),
    validation = Rule::new("!has(self.minRequests) || has(self.requests) || has(self.ready) && has(self.ready.source)")
        .message("minRequests needs to know how requests are counted: set requests, a query that yields their number")
)]
pub struct PrometheusQuery {
    /// PromQL that yields one number: a scalar, or a vector of one series. Variables: `{{ namespace }}`, `{{ rollout }}`, `{{ interval }}`
    /// (as `10s`); of the side that is judged `{{ color }}`, `{{ revision }}`, `{{ pods }}` (a regex of the pods' names); of the side
    /// beside it `{{ other.color }}`, `{{ other.revision }}`, `{{ other.pods }}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub query: Option<String>,
    /// Without PromQL: errors, latencies and requests as common sources name them, CPU, memory and restarts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<ReadyQuery>,
    /// Takes the query at many moments, and makes one number of its values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<QueryRange>,
    /// The fewest requests to judge a value by, 1 or more: with fewer the reading has no data. Default: any number will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub min_requests: Option<i64>,
    /// PromQL that yields how many requests the value rests on, for `minRequests`. Default with `ready`: those in its window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub requests: Option<String>,
    /// The server, as `http://prometheus:9090`. Default: `sources.prometheus`, else the operator's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048), regex(pattern = "^https?://"))]
    pub address: Option<String>,
    /// Shown to this `address` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// Sent to this `address` only: at most 16 headers by name, as `X-Scope-OrgID: team-a`. Not for secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = {"type": "string", "maxLength": 1024}))]
    pub headers: BTreeMap<String, String>,
    /// For an answer. Default 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
}

/// Whether requests fail more often on the candidate than on the active side. Both must get like traffic: synthetic load on both, or
/// mirrored requests. An incident that hits both sides alike condemns neither.
///
/// Each reading weighs what came to both sides since the last one, as a sequential likelihood ratio test; it may be looked at as often as
/// one likes. What one side had waits until the other one has had requests too, for `noDataLimit` readings.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.credentials) || has(self.headers)) || has(self.address)")
    .message("credentials and headers are for the address beside them: set address too, or those of sources.prometheus"))]
pub struct Comparison {
    /// PromQL for the counter of a side's failed requests, without rate or increase:
    /// `sum(http_requests_total{code=~"5..",pod=~"{{ pods }}"})`. Variables as in a query. No data is 0 where there are requests: a counter
    /// appears with the first error.
    #[schemars(length(min = 1, max = 4096))]
    pub errors: String,
    /// The counter of all of a side's requests, failed ones included, in the same way.
    #[schemars(length(min = 1, max = 4096))]
    pub requests: String,
    /// How many times the active side's rate of errors is tolerated. Default 1; 1 to 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[0-9]+(\.[0-9]+)?$"))]
    pub tolerated: Option<String>,
    /// The probability that a candidate no worse than tolerated is condemned, over the whole attempt, however often it is looked at. All
    /// comparisons, of errors and of latencies, share it alike. Default 5%; more than 0, at most 20%.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[0-9]+(\.[0-9]+)?%?$"))]
    pub false_alarms: Option<String>,
    /// Requests that each side must have had for a pass. Default 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub min_requests: Option<i64>,
    /// The server, as `http://prometheus:9090`. Default: `sources.prometheus`, else the operator's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048), regex(pattern = "^https?://"))]
    pub address: Option<String>,
    /// Shown to this `address` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// Sent to this `address` only: at most 16 headers by name, as `X-Scope-OrgID: team-a`. Not for secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = {"type": "string", "maxLength": 1024}))]
    pub headers: BTreeMap<String, String>,
    /// For an answer. Default 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
}

/// When the switch happens.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Promotion {
    /// Automatic (default): once the candidate is verified. Manual: a person says so, by `kubectl annotate bgr NAME bluegreen.dev/promote=REVISION`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<PromotionMode>,
    /// How long a verified candidate waits before it may be promoted. Default 0s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Duration>,
    /// How long a candidate may wait for its promotion before it is aborted. Default: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
}

#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PromotionMode {
    Automatic,
    Manual,
}

/// How the new version is watched after the switch. The former version stands by at full size all the time.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.score) || !has(self.metrics) || self.metrics.all(m, !has(m.weight))")
        .message("a weight counts in a score: set score, or leave weight out")
)]
pub struct Monitoring {
    /// How long the new version is watched. Only time with readings counts for a metric. Default 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Duration>,
    /// Measured all the time, on the active side.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub metrics: Vec<Metric>,
    /// Done once after the switch, on the active side.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub checks: Vec<Check>,
    /// Templates whose checks and metrics belong to it too. What only compares with the active side is left out here. Their gates are
    /// named `monitoring/TEMPLATE/NAME`. A template that doesn't exist holds the rollout until it does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["kind", "name"]))]
    pub templates: Vec<TemplateReference>,
    /// How metrics with a `weight` decide together, as in `verification`. Good is what is good to the end of the duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<Score>,
    /// What a failed check or metric does. RollBack (default): traffic goes back at once. Pause: a person decides, by `rollback` or `accept`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<MonitoringFailure>,
    /// What happens when the duration is over and a metric could not be judged. Hold (default): wait for readings or a person. RollBack. Pass.
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

/// When the side that was left is scaled down.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScaleDown {
    /// Always waited for before a side that served is scaled down, so that every client has followed the switch. Default 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<Duration>,
    /// How long after `drain` the former version still stands by at full size, as the instant way back. Default 30s; 0s: not at all; Never: until the next rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Lifetime>,
    /// How long an aborted candidate is kept, to be looked at. Default 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_abort: Option<Duration>,
}

/// Where metrics come from.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sources {
    /// The Prometheus that queries go to. Default: the operator's own setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PrometheusSource>,
}

/// A Prometheus server.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PrometheusSource {
    /// Its address, as `http://prometheus.monitoring:9090`.
    #[schemars(length(min = 1, max = 2048), regex(pattern = "^https?://"))]
    pub address: String,
    /// Shown to the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// Sent with each query: at most 16 headers by name, as `X-Scope-OrgID: team-a`. Not for secrets: those are `credentials`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = {"type": "string", "maxLength": 1024}))]
    pub headers: BTreeMap<String, String>,
}
