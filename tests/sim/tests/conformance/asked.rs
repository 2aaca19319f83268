//! Requests as both servers get them, with marks where each has its own: versions, uids, tokens.

use crate::pairs::{Pairs, Side};
use bluegreen_sim::{resource::Resource, store};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub const JSON: &str = "application/json";
pub const APPLY: &str = "application/apply-patch+yaml";
pub const MERGE: &str = "application/merge-patch+json";
pub const PATCH: &str = "application/json-patch+json";

/// The object as a side answered it last, with a merge patch: what a client sends that reads, changes and replaces.
const LATEST: &str = "the latest, with";

#[derive(Clone, Debug)]
pub struct Asked {
    pub method: &'static str,
    pub resource: &'static Resource,
    pub name: Option<String>,
    pub status: bool,
    pub query: Vec<(&'static str, String)>,
    pub content: &'static str,
    pub body: Value,
}

/// The objects as one side answered them last.
pub type Latest = BTreeMap<(&'static str, String), Value>;

impl Asked {
    pub fn new(method: &'static str, resource: &'static Resource, name: Option<&str>) -> Self {
        Self { method, resource, name: name.map(str::to_owned), status: false, query: vec![], content: JSON, body: Value::Null }
    }

    pub fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.query.push((key, value.into()));
        self
    }

    pub fn body(mut self, content: &'static str, body: Value) -> Self {
        (self.content, self.body) = (content, body);
        self
    }

    pub fn of_status(mut self, status: bool) -> Self {
        self.status = status;
        self
    }

    pub fn latest(patch: Value) -> Value {
        json!({LATEST: patch})
    }

    pub fn next_page(mut self, token: String) -> Self {
        self.query.retain(|(key, _)| *key != "continue");
        self.with("continue", token)
    }

    /// As it goes to one side.
    pub fn request(&self, namespace: &str, side: Side, pairs: &Pairs, latest: &Latest) -> http::Request<Vec<u8>> {
        let Resource { group, version, plural, .. } = self.resource;
        let root = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        let mut uri = format!("{root}/namespaces/{namespace}/{plural}");
        if let Some(name) = &self.name {
            uri.push_str(&format!("/{name}"));
        }
        if self.status {
            uri.push_str("/status");
        }
        for (place, (key, value)) in self.query.iter().enumerate() {
            let value = encoded(&pairs.said(side, value));
            uri.push_str(&format!("{}{key}={value}", if place == 0 { '?' } else { '&' }));
        }
        let body = match (&self.body, &self.body[LATEST]) {
            (Value::Null, _) => vec![],
            (body, Value::Null) => pairs.put_in(side, body).to_string().into_bytes(),
            (_, patch) => {
                let key = (*plural, self.name.clone().unwrap_or_default());
                let mut object = latest.get(&key).cloned().unwrap_or_default();
                store::merge(&mut object, &pairs.put_in(side, patch));
                object.to_string().into_bytes()
            }
        };
        let request = http::Request::builder().method(self.method).uri(uri).header(http::header::ACCEPT, JSON);
        request.header(http::header::CONTENT_TYPE, self.content).body(body).unwrap()
    }

    pub fn words(&self) -> String {
        let name = self.name.as_deref().unwrap_or("*");
        let query: Vec<String> = self.query.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let way = match self.content {
            APPLY => " (apply)",
            MERGE => " (merge)",
            PATCH => " (json patch)",
            _ => "",
        };
        let status = if self.status { "/status" } else { "" };
        let body = if self.body.is_null() { String::new() } else { format!("\n      {}", self.body) };
        format!("{}{way} {} {name}{status} {}{body}", self.method, self.resource.plural, query.join(" "))
    }
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
