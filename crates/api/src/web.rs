//! `web` metrics, and the credentials of sources.

use crate::{Duration, HttpMethod, json_path};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A request whose answer is JSON with one number in it. Certificates are verified, redirects are followed on the same server only, and the
/// operator's proxy settings apply. The answer may have 1 MiB. A status other than 200 to 299, like no answer, is a failure of the source.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.method) || self.method in ['GET', 'POST']").message("a metric is asked for by GET or POST"),
    validation = Rule::new("!has(self.body) || (has(self.method) && self.method == 'POST')")
        .message("a body needs a method that sends one: set method to POST"),
    validation = Rule::new("!has(self.headers) || self.headers.all(header, !has(header.secretKey)) || has(self.credentials)")
        .message("secretKey is a key of the Secret that credentials names: set credentials.secretName"),
    validation = Rule::new("!has(self.timeout) || duration(self.timeout) <= duration('1m')").message("timeout is at most 1m")
)]
pub struct WebQuery {
    /// Absolute http or https URL. Variables as in a query to Prometheus, and `{{ start }}` and `{{ end }}`: the window that ends with this
    /// reading, in seconds since 1970. Values are escaped.
    #[schemars(length(min = 1, max = 4096), regex(pattern = r"^https?://[^@/?#]+([/?#].*)?$"))]
    pub url: String,
    /// Method of the request: GET (default) or POST.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<HttpMethod>,
    /// Headers of the request, at most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub headers: Vec<WebHeader>,
    /// Body of a POST, at most 16384 characters. Variables as in `url`, not escaped. Name its type in the header `Content-Type`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16_384))]
    pub body: Option<String>,
    /// JSONPath (RFC 9535) of one number in the answer, as `$.data[-1].value`: a JSON number, or text with a number in it. A path that
    /// finds nothing, or an empty value, is no data; one that visits too many values of the answer is a failure of the source. Bounded as in
    /// `expectedBody.jsonPath` of a check.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new(json_path::RULE).message(json_path::MESSAGE))]
    pub json_path: String,
    /// Time from `{{ start }}` to `{{ end }}`. Default 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Duration>,
    /// Credentials for the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// Time limit for an answer. Default 10s, at most 1m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
}

/// A header of a request, with a plain value or a value from a Secret.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.value) != has(self.secretKey)").message("set exactly one of value and secretKey"))]
pub struct WebHeader {
    /// Name of the header, unique within its list, whatever the case.
    #[schemars(length(min = 1, max = 256), regex(pattern = "^[-A-Za-z0-9!#$%&'*+.^_`|~]+$"))]
    pub name: String,
    /// Value, at most 4096 ASCII characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub value: Option<String>,
    /// Key of the Secret in `credentials` that holds the value. White space at its end is dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[-._a-zA-Z0-9]+$"))]
    pub secret_key: Option<String>,
}

/// Secret in the rollout's namespace. Its keys decide its use: `token` is sent as a bearer token; `username` and `password` as basic
/// authentication; `ca.crt` (PEM) lists the only authorities whose certificates are accepted; `tls.crt` and `tls.key` (PEM) are the
/// client's own certificate. Other keys may be sent in headers. The operator must be allowed to read the Secret: bind the ClusterRole
/// `bluegreen-operator-secrets` to the operator in that namespace. A change takes effect within half a minute.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub secret_name: String,
}
