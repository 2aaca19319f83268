//! The two servers, asked the same.

use crate::{
    alike,
    asked::{Asked, Latest},
    pairs::{Pairs, SIDES, Side, What},
};
use bluegreen_cluster::patience::patience;
use bluegreen_sim::{
    resource::Resource,
    server::{ApiServer, Request, Undisturbed},
};
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes};
use kube::Client;
use serde_json::Value;
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;

pub struct Sides {
    pub real: Client,
    pub simulated: ApiServer,
    pub namespace: String,
    pub pairs: Pairs,
    latest: [Latest; 2],
}

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub code: u16,
    pub body: Value,
}

impl Sides {
    pub fn new(real: Client, namespace: String) -> Self {
        Self { real, simulated: ApiServer::default(), namespace, pairs: Pairs::default(), latest: Default::default() }
    }

    fn request(&self, side: Side, asked: &Asked) -> http::Request<Vec<u8>> {
        asked.request(&self.namespace, side, &self.pairs, &self.latest[side as usize])
    }

    fn to_simulated(&self, request: http::Request<Vec<u8>>) -> http::Response<bluegreen_sim::server::Body> {
        let (parts, body) = request.into_parts();
        let request = Request::read(&parts, &body).expect("a request that the simulation doesn't know");
        self.simulated.answer(&request, Arc::new(Undisturbed))
    }

    async fn to_real(&self, request: http::Request<Vec<u8>>) -> http::Response<kube::client::Body> {
        self.real.send(request.map(kube::client::Body::from)).await.expect("the API server answers")
    }

    /// Asks both, and tells what the simulated one answered in common words, or where the answers differ.
    pub async fn ask(&mut self, asked: &Asked) -> Result<Answer, Vec<String>> {
        let simulated = whole(self.to_simulated(self.request(Side::Simulated, asked))).await;
        let real = whole(self.to_real(self.request(Side::Real, asked)).await).await;
        let code = real.code;
        self.learn([&simulated.body, &real.body]);
        if simulated.code != code {
            let [one, other] = [&simulated, &real].map(|answer| format!("{} {}", answer.code, answer.body["message"]));
            return Err(vec![format!("simulated {one}"), format!("real {other}")]);
        }
        let [one, other] = [(Side::Simulated, &simulated), (Side::Real, &real)]
            .map(|(side, answer)| alike::normal(&self.pairs, side, asked.resource, &answer.body));
        let differences = alike::differences(asked.resource, &one, &other);
        if !differences.is_empty() {
            return Err(differences);
        }
        if one["kind"] == asked.resource.kind
            && let Some(name) = one["metadata"]["name"].as_str()
        {
            for (side, answer) in SIDES.into_iter().zip([simulated, real]) {
                self.latest[side as usize].insert((asked.resource.plural, name.to_owned()), answer.body);
            }
        }
        Ok(Answer { code, body: one })
    }

    fn learn(&mut self, said: [&Value; 2]) {
        if said[0]["items"].is_null() {
            return self.pairs.learn_object(said);
        }
        self.pairs.learn(What::List, said.map(|list| &list["metadata"]["resourceVersion"]));
        self.pairs.learn(What::Token, said.map(|list| &list["metadata"]["continue"]));
    }

    /// Watches from a list on, on both sides.
    pub async fn watch(&self, resource: &'static Resource, selector: Option<&str>, from: &str) -> Watches {
        let mut asked = Asked::new("GET", resource, None).with("watch", "true").with("resourceVersion", from).with("timeoutSeconds", "600");
        if let Some(selector) = selector {
            asked = asked.with("labelSelector", selector);
        }
        let simulated = Watch::begin(self.to_simulated(self.request(Side::Simulated, &asked)));
        let real = Watch::begin(self.to_real(self.request(Side::Real, &asked)).await);
        Watches { resource, words: asked.words(), watches: [simulated, real] }
    }
}

async fn whole<B: Body<Data = Bytes>>(response: http::Response<B>) -> Answer
where
    B::Error: std::fmt::Debug,
{
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&body).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned()));
    Answer { code, body }
}

/// The same watch on both sides.
pub struct Watches {
    resource: &'static Resource,
    words: String,
    watches: [Watch; 2],
}

struct Watch {
    events: Arc<Mutex<Vec<Value>>>,
    reader: JoinHandle<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Watch {
    fn begin<B>(response: http::Response<B>) -> Self
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: std::fmt::Debug + Send,
    {
        assert_eq!(response.status(), 200, "a watch that is refused");
        let events = Arc::<Mutex<Vec<Value>>>::default();
        let into = events.clone();
        let reader = tokio::spawn(async move {
            let (mut body, mut text) = (response.into_body(), Vec::new());
            while let Some(Ok(frame)) = body.frame().await {
                text.extend_from_slice(&frame.into_data().unwrap_or_default());
                while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = text.drain(..=end).collect();
                    into.lock().unwrap().push(serde_json::from_slice(&line).unwrap());
                }
            }
        });
        Self { events, reader }
    }

    async fn until(&self, is: impl Fn(&Value) -> bool) -> Vec<Value> {
        let ends = Instant::now() + patience();
        while Instant::now() < ends {
            let events = self.events.lock().unwrap().clone();
            if events.iter().any(&is) {
                return events;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.events.lock().unwrap().clone()
    }
}

impl Watches {
    /// The events up to the first that is so, or where they differ.
    pub async fn until(&self, pairs: &mut Pairs, is: impl Fn(&Value) -> bool) -> Result<usize, Vec<String>> {
        let told = [self.watches[0].until(&is).await, self.watches[1].until(&is).await];
        for (simulated, real) in told[0].iter().zip(&told[1]) {
            pairs.learn_object([&simulated["object"], &real["object"]]);
        }
        let [simulated, real] =
            [0, 1].map(|side| told[side].iter().map(|event| alike::normal(pairs, SIDES[side], self.resource, event)).collect::<Vec<_>>());
        for (place, (simulated, real)) in simulated.iter().zip(&real).enumerate() {
            let mut differences = alike::differences(self.resource, &simulated["object"], &real["object"]);
            if simulated["type"] != real["type"] {
                differences.push(format!("type: simulated {}, real {}", simulated["type"], real["type"]));
            }
            if !differences.is_empty() {
                differences.insert(0, format!("event {place} of {}", self.words));
                return Err(differences);
            }
        }
        if simulated.len() != real.len() {
            return Err(vec![format!("{}: simulated {} events, real {}", self.words, simulated.len(), real.len())]);
        }
        if !simulated.iter().any(is) {
            return Err(vec![format!("{}: the last event never came", self.words)]);
        }
        Ok(real.len())
    }
}
