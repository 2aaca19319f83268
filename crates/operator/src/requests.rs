//! Requests to the API server, one function for each way of writing. Answers are trimmed while they are parsed.

use crate::{
    key::Key,
    kinds::{Arriving, Kind, Rollout, Seen},
};
use bluegreen_api::{BlueGreenRolloutStatus, names};
use bluegreen_engine::observed::Refusal;
use kube::{
    Client, Resource,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions, ValidationDirective},
    core::{Request, request},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::time::Duration;

/// A request that has not been answered after this time has failed; whether it was carried out, the next look tells.
const TIMEOUT: Duration = Refusal::REQUEST_TIMEOUT;

/// How the API server says no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// HTTP status; 0 when there was no answer.
    pub code: u16,
    pub reason: String,
    /// In the server's words.
    pub message: String,
}

impl Refused {
    pub fn is_absent(&self) -> bool {
        self.code == 404
    }

    fn no_answer(message: String) -> Self {
        Self { code: 0, reason: String::new(), message }
    }
}

impl From<kube::Error> for Refused {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self { code: status.code, reason: status.reason, message: status.message },
            error => Self::no_answer(format!("no answer from the API server: {error}")),
        }
    }
}

impl From<request::Error> for Refused {
    fn from(error: request::Error) -> Self {
        Self::no_answer(format!("the request could not be built: {error}"))
    }
}

pub type Answer<T> = Result<T, Refused>;

/// Reads and writes objects.
#[derive(Clone)]
pub struct Requests {
    client: Client,
}

fn path<T: Kind>(namespace: &str) -> Request {
    Request::new(T::Of::url_path(&(), Some(namespace)))
}

impl Requests {
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    pub async fn get<T: Kind>(&self, key: &Key) -> Answer<Seen<T>> {
        let request = path::<T>(&key.namespace).get(&key.name, &kube::api::GetParams::default())?;
        self.ask::<T>(request).await
    }

    /// The whole object.
    pub async fn get_whole<T: Kind>(&self, key: &Key) -> Answer<Value> {
        let request = path::<T>(&key.namespace).get(&key.name, &kube::api::GetParams::default())?;
        self.send(request).await
    }

    /// Server-side apply; what others own in the object stays theirs unless it is ours to set.
    pub async fn apply<T: Kind>(&self, key: &Key, object: &Value) -> Answer<Seen<T>> {
        let params = PatchParams {
            force: true,
            field_manager: Some(names::FIELD_MANAGER.into()),
            field_validation: Some(ValidationDirective::Strict),
            ..PatchParams::default()
        };
        self.ask::<T>(path::<T>(&key.namespace).patch(&key.name, &params, &Patch::Apply(object))?).await
    }

    pub async fn merge<T: Kind>(&self, key: &Key, patch: &Value) -> Answer<Seen<T>> {
        let params = PatchParams { field_manager: Some(names::FIELD_MANAGER.into()), ..PatchParams::default() };
        self.ask::<T>(path::<T>(&key.namespace).patch(&key.name, &params, &Patch::Merge(patch))?).await
    }

    /// RFC 6902. Each operation is carried out, or none.
    pub async fn patch<T: Kind>(&self, key: &Key, operations: &[Value]) -> Answer<Seen<T>> {
        let path = T::Of::url_path(&(), Some(&key.namespace));
        let request = http::Request::patch(format!("{path}/{}?fieldManager={}", key.name, names::FIELD_MANAGER))
            .header(http::header::ACCEPT, "application/json")
            .header(http::header::CONTENT_TYPE, "application/json-patch+json")
            .body(json!(operations).to_string().into_bytes())
            .map_err(request::Error::BuildRequest)?;
        self.ask::<T>(request).await
    }

    pub async fn create<T: Kind>(&self, namespace: &str, object: &Value) -> Answer<Seen<T>> {
        let params = PostParams { field_manager: Some(names::FIELD_MANAGER.into()), ..PostParams::default() };
        self.ask::<T>(path::<T>(namespace).create(&params, object.to_string().into_bytes())?).await
    }

    /// Deletes the object if it is still the one of this uid.
    pub async fn delete<T: Kind>(&self, key: &Key, uid: &str) -> Answer<()> {
        let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        let request = path::<T>(&key.namespace).delete(&key.name, &params)?;
        self.send::<Value>(request).await.map(drop)
    }

    /// Writes a status, if the rollout is still at this resourceVersion.
    ///
    /// As a JSON patch: the rest of the object, and who owns which of its fields, stays as it is without being sent.
    pub async fn record(&self, key: &Key, resource_version: &str, status: &BlueGreenRolloutStatus) -> Answer<Seen<Rollout>> {
        let patch = [
            json!({"op": "replace", "path": "/metadata/resourceVersion", "value": resource_version}).to_string(),
            // Written as it is: a status is the largest thing that is sent.
            format!(r#"{{"op":"add","path":"/status","value":{}}}"#, serde_json::to_string(status).map_err(request::Error::SerializeBody)?),
        ];
        let path = <Rollout as Kind>::Of::url_path(&(), Some(&key.namespace));
        let request = http::Request::patch(format!("{path}/{}/status?fieldManager={}", key.name, names::FIELD_MANAGER))
            .header(http::header::ACCEPT, "application/json")
            .header(http::header::CONTENT_TYPE, "application/json-patch+json")
            .body(format!("[{}]", patch.join(",")).into_bytes())
            .map_err(request::Error::BuildRequest)?;
        self.ask(request).await
    }

    /// A request of its own making.
    pub async fn post(&self, path: &str, object: &Value) -> Answer<()> {
        let params = PostParams { field_manager: Some(names::FIELD_MANAGER.into()), ..PostParams::default() };
        let request = Request::new(path).create(&params, object.to_string().into_bytes())?;
        self.send::<Value>(request).await.map(drop)
    }

    async fn ask<T: Kind>(&self, request: http::Request<Vec<u8>>) -> Answer<Seen<T>> {
        self.send::<Arriving<T>>(request).await.map(|object| object.seen)
    }

    async fn send<A: DeserializeOwned>(&self, request: http::Request<Vec<u8>>) -> Answer<A> {
        match tokio::time::timeout(TIMEOUT, self.client.request(request)).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Refused::no_answer(format!("no answer from the API server within {}s", TIMEOUT.as_secs()))),
        }
    }
}
