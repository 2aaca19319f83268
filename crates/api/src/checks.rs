//! `spec.verification.checks` and `spec.monitoring.checks`: requests that are sent once, and their expected answers.

use crate::{Duration, JobTemplate, json_path};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A check runs once, and passes or fails. Exactly one kind is set.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.http), has(self.job), has(self.webhook)].filter(is, is).size() == 1")
    .message("set exactly one kind of check: http, job or webhook"))]
pub struct Check {
    /// Name of the check, unique within its list.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// HTTP request to each ready pod of the revision, or to a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpCheck>,
    /// Job of yours, with any tests; its exit code decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobCheck>,
    /// Request to a service of yours, repeated until the service approves the revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookCheck>,
}

/// An HTTP request to each ready pod of the revision, or to `url`. The check passes when every answer is as expected. Redirects are
/// followed on the same server only.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.url) || !(has(self.scheme) || has(self.path) || has(self.port))")
        .message("url has a scheme, a port and a path of its own: leave scheme, port and path out"),
    validation = Rule::new("!has(self.body) || (has(self.method) && !(self.method in ['GET', 'HEAD']))")
        .message("a body needs a method that sends one: set method to POST, PUT or PATCH"),
    validation = Rule::new("!has(self.expectedBody) || !has(self.method) || self.method != 'HEAD'")
        .message("answers to HEAD have no body: choose another method, or leave expectedBody out"),
    validation = Rule::new("!has(self.timeout) || duration(self.timeout) <= duration('1m')").message("timeout is at most 1m")
)]
pub struct HttpCheck {
    /// URL of a single request, in place of a request to each ready pod: to a Service, an ingress, or a tester. An absolute http or https
    /// URL. Variables: `{{ namespace }}`, `{{ rollout }}`, `{{ color }}`, `{{ revision }}` and `{{ pods }}` (a regex of the names of its pods).
    /// Certificates are verified, and the operator's proxy settings apply. A Service may lead to former pods for a moment: let the answer
    /// name its version, and expect that version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048), regex(pattern = r"^https?://[^@/?#]+([/?#].*)?$"))]
    pub url: Option<String>,
    /// Scheme of requests to pods: HTTP (default) or HTTPS. Pods' certificates are not verified, as in the kubelet's probes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Scheme>,
    /// Path with a leading slash. Default `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048), regex(pattern = "^/"))]
    pub path: Option<String>,
    /// Port of the pods: a number, or the name of a container port. Default: the target of the Service's first port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxLength" = 63))]
    pub port: Option<IntOrString>,
    /// Method of the request. Default GET.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<HttpMethod>,
    /// Headers of the request, at most 32. `Host` replaces the address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub headers: Vec<HttpHeader>,
    /// Body of the request, at most 16384 characters. Name its type in the header `Content-Type`. Default: no body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16_384))]
    pub body: Option<String>,
    /// Status codes that pass. Default: 200 to 299.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(range(min = 100, max = 599)))]
    pub expected_statuses: Vec<i32>,
    /// Expected content of the answer's body, which may have 1 MiB. Default: the body isn't read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_body: Option<ExpectedBody>,
    /// Longest time to answer; a slower answer fails the try. With `expectedBody` the time includes the body. At most `timeout`, the
    /// default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_latency: Option<Duration>,
    /// Time limit for one request. Default 5s, at most 1m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Tries of a pod, or of the URL, before the check fails. Default 3, at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub attempts: Option<i32>,
    /// Time between two tries. Default 2s, at least 1s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
}

#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scheme {
    HTTP,
    HTTPS,
}

#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HttpMethod {
    GET,
    HEAD,
    POST,
    PUT,
    PATCH,
    DELETE,
    OPTIONS,
}

impl HttpMethod {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GET => "GET",
            Self::HEAD => "HEAD",
            Self::POST => "POST",
            Self::PUT => "PUT",
            Self::PATCH => "PATCH",
            Self::DELETE => "DELETE",
            Self::OPTIONS => "OPTIONS",
        }
    }
}

/// A header of a request.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpHeader {
    /// Name of the header, unique within its list, whatever the case.
    #[schemars(length(min = 1, max = 256), regex(pattern = "^[-A-Za-z0-9!#$%&'*+.^_`|~]+$"))]
    pub name: String,
    /// Value, at most 4096 ASCII characters, readable by anyone who can read the rollout. For secrets use a webhook's signature.
    #[schemars(length(max = 4096))]
    pub value: String,
}

/// Expected content of an answer's body. All fields that are set must match.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.contains) || has(self.jsonPath)").message("say what to expect: set contains, jsonPath, or both"),
    validation = Rule::new("!has(self.equals) || has(self.jsonPath)").message("equals needs a jsonPath that finds what to compare")
)]
pub struct ExpectedBody {
    /// Exact text that the body must contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub contains: Option<String>,
    /// JSONPath (RFC 9535) that must find a value in the body, which must be JSON: `$.status`, `$.checks[*].state`. At most one `..`, one
    /// selector in each `[ ]`, no filter within a filter, no `$` in a filter, and of the functions `length` and `count`. An answer in which
    /// the path visits too many values is not judged, and the check is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new(json_path::RULE).message(json_path::MESSAGE))]
    pub json_path: Option<String>,
    /// Value that everything `jsonPath` finds must equal: a string without its quotes, all else as compact JSON (`3`, `true`, `[]`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub equals: Option<String>,
}

/// A Job that is created in the rollout's namespace. A check passes when the Job succeeds; a metric reads the last line of its log. The
/// result is reported with the last lines of the container that failed, else of the first container.
///
/// Each container gets these environment variables before its own: `BLUEGREEN_ADDRESS` (host and port of the preview Service; in monitoring
/// of the active Service), `BLUEGREEN_NAMESPACE`, `BLUEGREEN_ROLLOUT`, `BLUEGREEN_COLOR`, `BLUEGREEN_REVISION`, `BLUEGREEN_IMAGE` and
/// `BLUEGREEN_ATTEMPT`. A Job that is no longer needed, as when the rollout is paused or aborted, is deleted; a Job that anyone else
/// deleted is run again.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.timeout) || duration(self.timeout) <= duration('24h')").message("timeout is at most 24h")
)]
pub struct JobCheck {
    pub template: JobTemplate,
    /// Time from the Job's creation, after which the Job is deleted and has failed. Default 10m, 1s to 24h. `verification.timeout`
    /// applies too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
}

/// A POST to a service of yours. Any status from 200 to 299 passes; any other status, or no answer, is tried again. The JSON body has
/// `namespace`, `rollout`, `gate`, `color`, `revision`, `image` and `attempt`. If the operator has a key, the header `Bluegreen-Signature`
/// is `sha256=` and the HMAC-SHA256 of the body in hex.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.timeout) || duration(self.timeout) <= duration('5m')").message("timeout is at most 5m")
)]
pub struct WebhookCheck {
    /// Absolute http or https URL, with the variables of `http.url`. Certificates are verified, and the operator's proxy settings apply.
    #[schemars(length(min = 1, max = 2048), regex(pattern = r"^https?://[^@/?#]+([/?#].*)?$"))]
    pub url: String,
    /// Headers of the request, at most 32, besides the operator's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub headers: Vec<HttpHeader>,
    /// Time limit for one request. Default 10s, at most 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Tries without approval before the check fails. Default 3, at least 1. For approvals that take hours, raise this value and
    /// `verification.timeout`. Tries are counted in status, and survive a restart of the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub attempts: Option<i32>,
    /// Time between two tries. Default 2s, at least 1s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
}
