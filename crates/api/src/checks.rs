//! `spec.verification.checks` and `spec.monitoring.checks`: what is asked once, and what must come back.

use crate::{Duration, JobTemplate};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Done once, and passed or failed. Exactly one of its kinds is set.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.http), has(self.job), has(self.webhook)].filter(is, is).size() == 1")
    .message("set exactly one kind of check: http, job or webhook"))]
pub struct Check {
    /// Unique within its list.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// An HTTP request to each ready pod of the revision, or to a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpCheck>,
    /// A Job of yours, with any tests: its exit decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobCheck>,
    /// Asks a service of yours, again until it says yes: may this revision go on?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookCheck>,
}

/// An HTTP request to each ready pod of the revision, or to `url`; it passes when every answer is as expected.
/// Redirects are followed on the same server only.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.url) || !(has(self.scheme) || has(self.path) || has(self.port))")
        .message("url has a scheme, a port and a path of its own: leave scheme, port and path out"),
    validation = Rule::new("!has(self.body) || (has(self.method) && !(self.method in ['GET', 'HEAD']))")
        .message("a body needs a method that sends one: set method to POST, PUT or PATCH"),
    validation = Rule::new("!has(self.expectedBody) || !has(self.method) || self.method != 'HEAD'")
        .message("answers to HEAD have no body: choose another method, or leave expectedBody out")
)]
pub struct HttpCheck {
    /// One request here instead of one to each ready pod (default): through a Service, an ingress, or to a tester. An absolute http or
    /// https URL. Variables: `{{ namespace }}`, `{{ rollout }}`, `{{ color }}`, `{{ revision }}` and `{{ pods }}` (a regex of the pods'
    /// names). Certificates are verified, and the operator's proxy settings hold. A Service may lead to former pods for a moment: let the
    /// answer name its version, and expect that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048), regex(pattern = "^https?://"))]
    pub url: Option<String>,
    /// HTTP (default) or HTTPS. Pods' certificates are not verified, as by the kubelet's probes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Scheme>,
    /// With a leading slash. Default `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048), regex(pattern = "^/"))]
    pub path: Option<String>,
    /// The pods' port: a number, or a container port's name. Default: the target of the Service's first port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<IntOrString>,
    /// Default GET.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<HttpMethod>,
    /// At most 32. `Host` takes the place of the address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub headers: Vec<HttpHeader>,
    /// At most 16384 characters. Say what it is in the header `Content-Type`. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16_384))]
    pub body: Option<String>,
    /// The status codes that pass. Default: 200 to 299.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(range(min = 100, max = 599)))]
    pub expected_statuses: Vec<i32>,
    /// What the answer's body, then of 1 MiB at most, must hold. Default: it isn't read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_body: Option<ExpectedBody>,
    /// A slower answer fails the try, however good; with `expectedBody` the body is part of it. At most `timeout`, the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_latency: Option<Duration>,
    /// For one request. Default 5s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Tries of a pod, or the URL, before the check has failed. Default 3, at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub attempts: Option<i32>,
    /// Between two tries. Default 2s.
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
    /// Unique within its list, whatever the case.
    #[schemars(length(min = 1, max = 256), regex(pattern = "^[-A-Za-z0-9!#$%&'*+.^_`|~]+$"))]
    pub name: String,
    /// At most 4096 ASCII characters, kept in the open: for secrets there is a webhook's signature.
    #[schemars(length(max = 4096))]
    pub value: String,
}

/// What the body of an answer must hold; all that is set must be there.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.contains) || has(self.jsonPath)").message("say what to expect: set contains, jsonPath, or both"),
    validation = Rule::new("!has(self.equals) || has(self.jsonPath)").message("equals needs a jsonPath that finds what to compare")
)]
pub struct ExpectedBody {
    /// Text in the body, to the letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub contains: Option<String>,
    /// A JSONPath (RFC 9535) that must find something in the body, JSON then: `$.status`, `$.checks[*].state`. One `..` at most, and no `$`
    /// in a filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"^\$"))]
    pub json_path: Option<String>,
    /// What each value that `jsonPath` finds must be: a string without its quotes, all else as compact JSON (`3`, `true`, `[]`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub equals: Option<String>,
}

/// A Job that is created in the rollout's namespace. A check passes when it succeeds, a metric reads its last line. The last lines of the container that failed, else of its first one, are told with its end.
///
/// Each of its containers finds in its environment, before its own variables, what is to be tested: `BLUEGREEN_ADDRESS` (host and port of the
/// preview Service; in monitoring of the active one), `BLUEGREEN_NAMESPACE`, `BLUEGREEN_ROLLOUT`, `BLUEGREEN_COLOR`, `BLUEGREEN_REVISION`,
/// `BLUEGREEN_IMAGE` and `BLUEGREEN_ATTEMPT`. A Job that isn't waited for any more, as when the rollout is paused or aborted, is deleted;
/// one that was deleted by somebody else is run again.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobCheck {
    pub template: JobTemplate,
    /// From the Job's creation; after that it is deleted, and has failed. Default 10m, at least 1s. `verification.timeout` counts too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
}

/// A POST to a service of yours, which passes with any status from 200 to 299 and is tried again with any other, or without an answer.
/// Its JSON body names `namespace`, `rollout`, `gate`, `color`, `revision`, `image` and `attempt`. When the operator has a key, the header
/// `Bluegreen-Signature` is `sha256=` and the HMAC-SHA256 of the body in hex.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookCheck {
    /// An absolute http or https URL, with the variables of `http.url`. Certificates are verified, and the operator's proxy settings hold.
    #[schemars(length(min = 1, max = 2048), regex(pattern = "^https?://"))]
    pub url: String,
    /// At most 32, besides the operator's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub headers: Vec<HttpHeader>,
    /// For one request. Default 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Tries without a yes that make a failure. Default 3, at least 1. For hours set it high, and `verification.timeout` too. They are
    /// counted in status: a restart of the operator changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub attempts: Option<i32>,
    /// Between two tries. Default 2s, at least 1s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
}
