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
    /// An absolute http or https URL. Variables as in a query to Prometheus, and `{{ start }}` and `{{ end }}`: the window that ends with
    /// this reading, in seconds since 1970. Values are escaped.
    #[schemars(length(min = 1, max = 4096), regex(pattern = "^https?://"))]
    pub url: String,
    /// GET (default) or POST.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<HttpMethod>,
    /// At most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub headers: Vec<WebHeader>,
    /// Of a POST, at most 16384 characters. Variables as in `url`, not escaped. Say what it is in the header `Content-Type`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16_384))]
    pub body: Option<String>,
    /// A JSONPath (RFC 9535) of one number in the answer, as `$.data[-1].value`: a JSON number, or text that is one. Nothing, or an empty
    /// value, is no data. One `..` at most, and no `$` in a filter.
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"^\$"))]
    pub json_path: String,
    /// From `{{ start }}` to `{{ end }}`. Default 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Duration>,
    /// Shown to the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// For an answer. Default 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
}

/// A header of a request, in the open or from a Secret.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.value) != has(self.secretKey)").message("set exactly one of value and secretKey"))]
pub struct WebHeader {
    /// Unique within its list, whatever the case.
    #[schemars(length(min = 1, max = 256), regex(pattern = "^[-A-Za-z0-9!#$%&'*+.^_`|~]+$"))]
    pub name: String,
    /// At most 4096 ASCII characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub value: Option<String>,
    /// The key of the Secret in `credentials` that holds its value, less white space at the end.
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
