//! `web` metrics, and the credentials that sources are shown.

use crate::{Duration, HttpMethod};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A request whose answer is JSON with one number in it. Certificates are verified, redirects are followed on the same server only, and
/// the operator's proxy settings hold. The answer may have 1 MiB; a status other than 200 to 299 is a failure of the source, as no answer is.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.method) || self.method in ['GET', 'POST']").message("a metric is asked for by GET or POST"),
    validation = Rule::new("!has(self.body) || (has(self.method) && self.method == 'POST')")
        .message("a body needs a method that sends one: set method to POST"),
    validation = Rule::new("!has(self.headers) || self.headers.all(header, !has(header.secretKey)) || has(self.credentials)")
        .message("secretKey is a key of the Secret that credentials names: set credentials.secretName")
)]
pub struct WebQuery {
    /// An absolute URL with http or https. Variables as in a query to Prometheus, and `{{ start }}` and `{{ end }}`: the window that ends with this
    /// reading, in seconds since 1970. What they stand for is escaped.
    #[schemars(length(min = 1, max = 4096), regex(pattern = "^https?://"))]
    pub url: String,
    /// GET (default) or POST.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<HttpMethod>,
    /// Headers of the request, at most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub headers: Vec<WebHeader>,
    /// The body of a POST, at most 16384 characters. Variables as in `url`, put in as they are. Say what it is in the header `Content-Type`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16_384))]
    pub body: Option<String>,
    /// A JSONPath (RFC 9535) that finds one number in the answer, as `$.data[-1].value`: a JSON number, or text that is one. When it finds nothing,
    /// or an empty value, there is no data. It may go through the answer once: with one `..` at most, and no `$` in a filter.
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"^\$"))]
    pub json_path: String,
    /// How far `{{ start }}` lies before `{{ end }}`. Default 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Duration>,
    /// What the server is to be shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// How long an answer may take. Default 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
}

/// A header of a request, in the open or from a Secret.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.value) != has(self.secretKey)").message("set exactly one of value and secretKey"))]
pub struct WebHeader {
    /// Name of the header, unique within its list whatever the case.
    #[schemars(length(min = 1, max = 256), regex(pattern = "^[-A-Za-z0-9!#$%&'*+.^_`|~]+$"))]
    pub name: String,
    /// Its value, at most 4096 characters of ASCII.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub value: Option<String>,
    /// The key of the Secret in `credentials` that holds its value. White space at the end of that isn't part of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[-._a-zA-Z0-9]+$"))]
    pub secret_key: Option<String>,
}

/// A Secret in the rollout's namespace. Its keys say what it is good for: `token` is sent as a bearer token; `username` and `password` as
/// basic authentication; `ca.crt` (PEM) are the only authorities whose certificates are taken; `tls.crt` and `tls.key` (PEM) are the client's own
/// certificate. Other keys may be sent in headers. The operator must be allowed to read it: bind the ClusterRole
/// `bluegreen-operator-secrets` to it in that namespace. A change is noticed within half a minute.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub secret_name: String,
}
