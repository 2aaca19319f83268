//! A Prometheus whose answers a test decides, on a loopback address.

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{Response, StatusCode, header},
};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// What is answered to every query from now on.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Value(f64),
    NotANumber,
    NoData,
    /// This many series.
    Series(usize),
    /// 400, with these words of the query parser.
    BadQuery(&'static str),
    /// 503 and no JSON.
    Unavailable,
    Never,
}

/// The server; it ends with the test's runtime.
#[derive(Clone, Debug)]
pub struct Prometheus {
    pub address: String,
    state: Arc<Mutex<Script>>,
}

#[derive(Debug)]
struct Script {
    answer: Answer,
    queries: Vec<String>,
}

impl Prometheus {
    pub async fn start(answer: Answer) -> Self {
        let state = Arc::new(Mutex::new(Script { answer, queries: vec![] }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let routes = Router::new().fallback(answer_query).with_state(state.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { address, state }
    }

    pub fn answer(&self, answer: Answer) {
        self.state.lock().unwrap().answer = answer;
    }

    /// The queries so far, as they arrived.
    pub fn queries(&self) -> Vec<String> {
        self.state.lock().unwrap().queries.clone()
    }
}

async fn answer_query(State(state): State<Arc<Mutex<Script>>>, request: axum::extract::Request) -> Response<Body> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap_or_default();
    let answer = {
        let mut script = state.lock().unwrap();
        script.queries.push(decoded(&format!("{query}&{}", String::from_utf8_lossy(&body))));
        script.answer.clone()
    };
    let series = |value: &str, number: usize| json!({"metric": {"series": number.to_string()}, "value": [1_700_000_000.0, value]});
    match answer {
        Answer::Value(value) => vector(vec![series(&value.to_string(), 0)]),
        Answer::NotANumber => vector(vec![series("NaN", 0)]),
        Answer::NoData => vector(vec![]),
        Answer::Series(count) => vector((0..count).map(|number| series("0", number)).collect()),
        Answer::BadQuery(words) => {
            respond(StatusCode::BAD_REQUEST, json!({"status": "error", "errorType": "bad_data", "error": words}).to_string())
        }
        Answer::Unavailable => respond(StatusCode::SERVICE_UNAVAILABLE, "upstream is away".into()),
        Answer::Never => std::future::pending().await,
    }
}

fn vector(result: Vec<Value>) -> Response<Body> {
    respond(StatusCode::OK, json!({"status": "success", "data": {"resultType": "vector", "result": result}}).to_string())
}

fn respond(status: StatusCode, body: String) -> Response<Body> {
    Response::builder().status(status).header(header::CONTENT_TYPE, "application/json").body(Body::from(body)).unwrap()
}

/// Enough of form decoding to read a query in.
fn decoded(form: &str) -> String {
    let mut bytes = form.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let hex: Vec<u8> = bytes.by_ref().take(2).collect();
                out.push(u8::from_str_radix(&String::from_utf8_lossy(&hex), 16).unwrap_or(b'?'));
            }
            other => out.push(other),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
