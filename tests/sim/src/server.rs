//! An API server in this process: requests in, answers and watches out, as `kube` sends and reads them.

use crate::{
    fields::Writer,
    resource::{self, POD, Resource, SERVICE},
    store::{Change, Refusal, Store, Written, refusal},
};
use bluegreen_witness::KnownUpTo;
use futures::{StreamExt, stream};
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Bytes, Frame};
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};

pub type Error = Box<dyn std::error::Error + Send + Sync>;
pub type Body = UnsyncBoxBody<Bytes, Error>;

/// How often a watch without events tells how far it has come.
const BOOKMARK: Duration = Duration::from_secs(60);

/// Clones are the same server.
#[derive(Clone)]
pub struct ApiServer {
    store: Arc<Mutex<Store>>,
    /// What is left of lists that are read page by page.
    pages: Arc<Mutex<Vec<Page>>>,
    /// Wakes whoever waits in the order in which they began to wait: that of a channel would be a matter of chance.
    news: Arc<Notify>,
}

#[derive(Clone)]
struct Page {
    token: String,
    version: u64,
    rest: VecDeque<Arc<Value>>,
}

/// A request, taken apart.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    pub resource: &'static Resource,
    /// Empty: all of them.
    pub namespace: String,
    pub name: Option<String>,
    pub status: bool,
    query: Vec<(String, String)>,
    content_type: String,
    body: Value,
}

impl Request {
    /// None: nobody knows what it asks for.
    pub fn read(parts: &http::request::Parts, body: &[u8]) -> Option<Self> {
        let path = parts.uri.path().trim_matches('/');
        let steps: Vec<&str> = path.split('/').collect();
        let (group, version, rest) = match steps.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let (plural, name, status) = match rest {
            [plural] => (*plural, None, false),
            [plural, name] => (*plural, Some((*name).to_owned()), false),
            [plural, name, "status"] => (*plural, Some((*name).to_owned()), true),
            _ => return None,
        };
        let known = |resource: &&&'static Resource| (resource.group, resource.version, resource.plural) == (group, version, plural);
        let resource = resource::ALL.iter().find(known)?;
        let content_type = parts.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        Some(Self {
            method: parts.method.clone(),
            resource,
            namespace: namespace.to_owned(),
            name,
            status,
            query: query(parts.uri.query().unwrap_or_default()),
            content_type: content_type.to_owned(),
            body: if body.is_empty() { Value::Null } else { serde_json::from_slice(body).ok()? },
        })
    }

    fn asks(&self, key: &str) -> Option<&str> {
        self.query.iter().find(|(is, _)| is == key).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    pub fn is_watch(&self) -> bool {
        self.method == Method::GET && self.asks("watch").is_some_and(|watch| watch == "true" || watch == "1")
    }

    pub fn is_list(&self) -> bool {
        self.method == Method::GET && self.name.is_none() && !self.is_watch()
    }

    pub fn is_write(&self) -> bool {
        self.method != Method::GET
    }

    /// It says which version it replaces, or that there is none: it can meet a conflict.
    pub fn is_guarded(&self) -> bool {
        self.body.to_string().contains("resourceVersion")
    }

    pub fn words(&self) -> String {
        let name = self.name.as_deref().or(self.body["metadata"]["name"].as_str()).unwrap_or("*");
        let sub = if self.status { "/status" } else { "" };
        let verb = if self.is_watch() { "WATCH" } else { self.method.as_str() };
        format!("{verb} {}{sub} {name}", self.resource.plural)
    }

    fn selector(&self) -> Selector {
        Selector {
            namespace: self.namespace.clone(),
            name: self
                .asks("fieldSelector")
                .and_then(|fields| fields.strip_prefix("metadata.name="))
                .map(|name| name.trim_start_matches('=').to_owned()),
            labels: self.asks("labelSelector").unwrap_or_default().split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect(),
        }
    }

    fn writer(&self, apply: bool) -> Writer {
        Writer { manager: self.asks("fieldManager").unwrap_or("unknown").to_owned(), apply, status: self.status }
    }
}

fn query(text: &str) -> Vec<(String, String)> {
    text.split('&').filter_map(|pair| pair.split_once('=')).map(|(key, value)| (key.to_owned(), decoded(value))).collect()
}

/// Percent signs and pluses put right.
fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            (b'+', _) => {
                bytes.push(b' ');
                rest = after;
            }
            (byte, _) => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What a list or watch is narrowed to.
#[derive(Clone, Debug)]
struct Selector {
    namespace: String,
    name: Option<String>,
    labels: Vec<String>,
}

impl Selector {
    fn is_everything(&self) -> bool {
        self.name.is_none() && self.labels.is_empty()
    }

    /// Whether it is in the place that is asked for.
    fn is_for(&self, object: &Value) -> bool {
        let metadata = &object["metadata"];
        (self.namespace.is_empty() || metadata["namespace"] == *self.namespace)
            && self.name.as_ref().is_none_or(|name| metadata["name"] == **name)
    }

    fn takes(&self, object: &Value) -> bool {
        let metadata = &object["metadata"];
        let label = |part: &String| match part.split_once('=') {
            Some((key, value)) => metadata["labels"][key] == value.trim_start_matches('='),
            None => !metadata["labels"][part.as_str()].is_null(),
        };
        self.is_for(object) && self.labels.iter().all(label)
    }
}

/// How a watch is disturbed.
pub trait Disturbance: Send + Sync {
    /// How long the next events are under way.
    fn lag(&self, plural: &str) -> Duration;
    /// Of changes of one object that are told at once, only the last one.
    fn coalesces(&self) -> bool;
    /// The connection breaks before the next event.
    fn breaks(&self) -> bool;
    /// Nothing comes any more, and nobody says so.
    fn is_dead(&self) -> bool;
    /// A change of this kind is handed over.
    fn tells(&self, plural: &str, version: u64);
}

/// None at all.
pub struct Undisturbed;

impl Disturbance for Undisturbed {
    fn lag(&self, _: &str) -> Duration {
        Duration::ZERO
    }

    fn coalesces(&self) -> bool {
        false
    }

    fn breaks(&self) -> bool {
        false
    }

    fn is_dead(&self) -> bool {
        false
    }

    fn tells(&self, _: &str, _: u64) {}
}

impl Default for ApiServer {
    fn default() -> Self {
        Self { store: Arc::new(Mutex::new(Store::new())), pages: Arc::default(), news: Arc::default() }
    }
}

impl ApiServer {
    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A look at the objects, without a request.
    pub fn look<R>(&self, look: impl FnOnce(&Store) -> R) -> R {
        look(&self.lock())
    }

    /// A write by somebody within the cluster.
    pub fn write<R>(&self, write: impl FnOnce(&mut Store) -> R) -> R {
        let (answer, changed) = {
            let mut store = self.lock();
            let before = store.version;
            (write(&mut store), store.version != before)
        };
        if changed {
            self.news.notify_waiters();
        }
        answer
    }

    /// Does something for an operator that knows so much.
    pub fn knowing<R>(&self, known: KnownUpTo, act: impl FnOnce(&Self) -> R) -> R {
        self.lock().known = Some(known);
        let done = act(self);
        self.lock().known = None;
        done
    }

    /// KnownUpTo of each change.
    pub fn news(&self) -> Arc<Notify> {
        self.news.clone()
    }

    /// Watches that have not come to the present version have to list anew.
    pub fn forget(&self) {
        let mut store = self.lock();
        store.forgotten = store.version;
    }

    pub fn answer(&self, request: &Request, disturbance: Arc<dyn Disturbance>) -> Response<Body> {
        if request.is_watch() {
            return self.watch(request, disturbance);
        }
        match self.carry_out(request) {
            Ok((code, value)) => respond(code, &value),
            Err(refused) => refused.respond(),
        }
    }

    /// The code and the object of the answer.
    pub fn carry_out(&self, request: &Request) -> Result<(u16, Value), Refusal> {
        let Request { resource, namespace, name, body, .. } = request;
        let written = |answer: Result<Written, Refusal>| {
            answer.map(|written| (if written.created { 201 } else { 200 }, Value::clone(&written.object)))
        };
        match (request.method.as_str(), name) {
            ("GET", Some(name)) => {
                let found = self.look(|store| store.get(resource, namespace, name).cloned());
                let absent = || refusal(404, format!("{} {name:?} not found", resource.qualified()));
                found.map(|found| (200, Value::clone(&found))).ok_or_else(absent)
            }
            ("GET", None) => self.list(request),
            ("POST", None) => written(self.write(|store| store.create(resource, namespace, body.clone(), &request.writer(false)))),
            ("PUT", Some(name)) => {
                written(self.write(|store| store.update(resource, namespace, name, body.clone(), &request.writer(false))))
            }
            ("PATCH", Some(name)) => written(self.patch(request, name)),
            ("DELETE", Some(name)) => {
                let gone = self.write(|store| store.delete(resource, namespace, name, &body["preconditions"]))?;
                if [&POD, &SERVICE].contains(resource) || !gone.object["metadata"]["deletionTimestamp"].is_null() {
                    return Ok((200, Value::clone(&gone.object)));
                }
                let details =
                    json!({"name": name, "group": resource.group, "kind": resource.plural, "uid": gone.object["metadata"]["uid"]});
                Ok((200, json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})))
            }
            _ => Err(refusal(405, "the server does not allow this method on the requested resource")),
        }
    }

    fn patch(&self, request: &Request, name: &str) -> Result<Written, Refusal> {
        let Request { resource, namespace, body, .. } = request;
        match request.content_type.as_str() {
            "application/apply-patch+yaml" => {
                let force = request.asks("force") == Some("true");
                self.write(|store| store.apply(resource, namespace, name, body, &request.writer(true), force))
            }
            "application/merge-patch+json" => self.write(|store| store.merge(resource, namespace, name, body, &request.writer(false))),
            "application/json-patch+json" => self.write(|store| store.patch(resource, namespace, name, body, &request.writer(false))),
            other => Err(refusal(415, format!("the body of the request was in an unknown format - {other}"))),
        }
    }

    fn list(&self, request: &Request) -> Result<(u16, Value), Refusal> {
        let selector = request.selector();
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let mut page = match request.asks("continue") {
            Some(token) => {
                let place = pages.iter().position(|page| page.token == token);
                let gone = || refusal(410, "The provided continue parameter is too old to display a consistent list result.");
                pages[place.ok_or_else(gone)?].clone()
            }
            None => self.look(|store| Page {
                token: String::new(),
                version: store.version,
                rest: store.all(request.resource).filter(|object| selector.is_for(object)).cloned().collect(),
            }),
        };
        let limit = request.asks("limit").and_then(|limit| limit.parse().ok()).filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        // Whether what is left of all objects fits the selector, only the next page tells: it may be empty.
        let mut items: Vec<Value> = vec![];
        while items.len() < limit
            && let Some(object) = page.rest.pop_front()
        {
            if selector.takes(&object) {
                items.push(Value::clone(&object));
            }
        }
        let mut metadata = json!({"resourceVersion": page.version.to_string()});
        if !page.rest.is_empty() {
            page.token = format!("{}-{}-{}", request.resource.plural, page.version, page.rest.len());
            metadata["continue"] = json!(page.token);
            if selector.is_everything() {
                metadata["remainingItemCount"] = json!(page.rest.len());
            }
            pages.push(page);
        }
        let kind = format!("{}List", request.resource.kind);
        Ok((200, json!({"kind": kind, "apiVersion": request.resource.api_version(), "metadata": metadata, "items": items})))
    }

    fn watch(&self, request: &Request, disturbance: Arc<dyn Disturbance>) -> Response<Body> {
        let from = request.asks("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or(0);
        let seconds = request.asks("timeoutSeconds").and_then(|seconds| seconds.parse().ok()).unwrap_or(1800);
        let mut watch = Watch {
            server: self.clone(),
            resource: request.resource,
            selector: request.selector(),
            from,
            news: self.news(),
            ends: Instant::now() + Duration::from_secs(seconds),
            bookmark: Instant::now() + BOOKMARK,
            ready: VecDeque::new(),
            over: false,
            disturbance,
        };
        watch.begin();
        let events = stream::unfold(watch, |mut watch| async move { watch.next().await.map(|line| (line, watch)) });
        let frames = events.map(|line| line.map(|line| Frame::data(Bytes::from(line))));
        let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
        response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        response
    }
}

impl Refusal {
    pub fn status(&self) -> Value {
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        })
    }

    pub fn respond(&self) -> Response<Body> {
        respond(self.code, &self.status())
    }
}

fn respond(code: u16, value: &Value) -> Response<Body> {
    let body = Full::new(Bytes::from(value.to_string())).map_err(|never| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

struct Watch {
    server: ApiServer,
    resource: &'static Resource,
    selector: Selector,
    /// The version that it has come to.
    from: u64,
    news: Arc<Notify>,
    ends: Instant,
    bookmark: Instant,
    ready: VecDeque<Value>,
    over: bool,
    disturbance: Arc<dyn Disturbance>,
}

impl Watch {
    fn begin(&mut self) {
        let (resource, from) = (self.resource, self.from);
        let (forgotten, version, present) = self.server.look(|store| {
            let present = store.all(resource).filter(|object| self.selector.takes(object)).cloned().collect::<Vec<_>>();
            (store.forgotten, store.version, present)
        });
        if from == 0 {
            // KnownUpTo all that there is, and then what comes.
            self.ready.extend(present.iter().map(|object| event("ADDED", object)));
            self.from = version;
        } else if from < forgotten {
            let message = format!("too old resource version: {from} ({forgotten})");
            self.ready.push_back(json!({"type": "ERROR", "object": refusal(410, message).status()}));
            self.over = true;
        }
    }

    async fn next(&mut self) -> Option<Result<String, Error>> {
        loop {
            if self.disturbance.is_dead() {
                futures::future::pending::<()>().await;
            }
            if let Some(event) = self.ready.pop_front() {
                if self.disturbance.breaks() {
                    self.over = true;
                    self.ready.clear();
                    return Some(Err("connection reset by peer".into()));
                }
                let version = event["object"]["metadata"]["resourceVersion"].as_str().and_then(|version| version.parse().ok());
                if let Some(version) = version {
                    self.disturbance.tells(self.resource.plural, version);
                }
                // The type first, as every API server does: who reads the line needs it to know what the object is.
                return Some(Ok(format!("{{\"type\":{},\"object\":{}}}\n", event["type"], event["object"])));
            }
            if self.over {
                return None;
            }
            let news = self.news.clone();
            let mut changed = std::pin::pin!(news.notified());
            changed.as_mut().enable();
            if self.is_behind() {
                sleep(self.disturbance.lag(self.resource.plural)).await;
                self.take();
                continue;
            }
            tokio::select! {
                biased;
                () = sleep_until(self.ends) => self.over = true,
                // What happened at that very moment is told first: a bookmark would pass it over.
                () = sleep_until(self.bookmark) => {
                    if !self.is_behind() {
                        self.tell_how_far();
                    }
                }
                () = changed => {}
            }
        }
    }

    fn is_behind(&self) -> bool {
        self.server.look(|store| store.since(self.resource, self.from).next().is_some())
    }

    /// Makes ready what has happened since.
    fn take(&mut self) {
        let coalesces = self.disturbance.coalesces();
        let (changes, version) = self.server.look(|store| {
            let changes: Vec<Change> = store.since(self.resource, self.from).cloned().collect();
            (changes, store.version)
        });
        for (place, change) in changes.iter().enumerate() {
            let later = changes[place + 1..].iter().find(|later| later.place == change.place);
            let modifies = |change: &Change| self.tells(change) == Some("MODIFIED");
            if coalesces && modifies(change) && later.is_some_and(modifies) {
                continue;
            }
            if let Some(what) = self.tells(change) {
                // An object that has lost its label is told as it was, with the version of the loss.
                let object = match (&change.before, what) {
                    (Some(before), "DELETED") => {
                        let mut gone = Value::clone(before);
                        gone["metadata"]["resourceVersion"] = change.object["metadata"]["resourceVersion"].clone();
                        gone
                    }
                    _ => Value::clone(&change.object),
                };
                self.ready.push_back(event(what, &object));
            }
        }
        self.from = version;
        self.bookmark = Instant::now() + BOOKMARK;
    }

    /// What this watch tells of a change, if anything.
    fn tells(&self, change: &Change) -> Option<&'static str> {
        let before = change.before.as_ref().is_some_and(|before| self.selector.takes(before));
        let after = !change.deleted && self.selector.takes(&change.object);
        match (before, after) {
            (false, true) => Some("ADDED"),
            (true, true) => Some("MODIFIED"),
            (true, false) => Some("DELETED"),
            (false, false) => None,
        }
    }

    fn tell_how_far(&mut self) {
        self.bookmark = Instant::now() + BOOKMARK;
        self.from = self.server.look(|store| store.version).max(self.from);
        let (kind, api_version) = (self.resource.kind, self.resource.api_version());
        let object = json!({"kind": kind, "apiVersion": api_version, "metadata": {"resourceVersion": self.from.to_string(), "creationTimestamp": null}, "spec": {}, "status": {}});
        self.ready.push_back(event("BOOKMARK", &object));
    }
}

fn event(what: &str, object: &Value) -> Value {
    json!({"type": what, "object": object})
}
