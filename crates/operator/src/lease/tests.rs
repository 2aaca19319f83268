use super::*;
use k8s_openapi::api::coordination::v1::LeaseSpec;
use kube::client::Body;
use serde_json::json;
use std::sync::{Arc, Mutex};

const TIMES: Times = Times { duration: Duration::from_secs(15), renew_deadline: Duration::from_secs(10), retry: Duration::from_secs(2) };

/// An API server that holds one Lease.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    lease: Option<Lease>,
    version: u64,
    /// Answers nothing but errors.
    away: bool,
}

impl Server {
    fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let server = server.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await?;
                let (code, body) = server.answer(&parts.method, &body);
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(
                    http::Response::builder().status(code).body(Body::from(body.into_bytes()))?,
                )
            }
        });
        Client::new(service, "a")
    }

    fn answer(&self, method: &http::Method, body: &[u8]) -> (u16, String) {
        let mut state = self.0.lock().unwrap();
        let failure = |code: u16, reason: &str| (code, json!({"kind": "Status", "code": code, "reason": reason}).to_string());
        if state.away {
            return failure(503, "ServiceUnavailable");
        }
        if *method == http::Method::GET {
            return state.lease.as_ref().map_or_else(|| failure(404, "NotFound"), |lease| (200, serde_json::to_string(lease).unwrap()));
        }
        let mut lease: Lease = serde_json::from_slice(body).unwrap();
        let present = state.lease.as_ref().and_then(|lease| lease.metadata.resource_version.clone());
        if lease.metadata.resource_version != present {
            return failure(409, "Conflict");
        }
        state.version += 1;
        lease.metadata.resource_version = Some(state.version.to_string());
        let text = serde_json::to_string(&lease).unwrap();
        state.lease = Some(lease);
        (200, text)
    }

    fn holder(&self) -> String {
        let lease = self.0.lock().unwrap().lease.clone();
        lease.and_then(|lease| lease.spec?.holder_identity).unwrap_or_default()
    }

    fn edit(&self, change: impl FnOnce(&mut LeaseSpec)) {
        let mut state = self.0.lock().unwrap();
        state.version += 1;
        let version = state.version.to_string();
        let lease = state.lease.as_mut().unwrap();
        lease.metadata.resource_version = Some(version);
        change(lease.spec.as_mut().unwrap());
    }
}

struct Running {
    leadership: watch::Receiver<Leadership>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

fn candidate(server: &Server, me: &str) -> Running {
    let (candidate, leadership) = Candidate::new(server.client(), "a", "lease", me.to_owned(), TIMES);
    let (stop, stopped) = watch::channel(false);
    Running { leadership, stop, task: tokio::spawn(candidate.run(stopped)) }
}

impl Running {
    fn leads(&self) -> Option<i64> {
        self.leadership.borrow().term(Instant::now())
    }
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn the_second_candidate_leads_once_the_lease_is_released() {
    let server = Server::default();
    let one = candidate(&server, "one");
    seconds(1).await;
    let other = candidate(&server, "other");
    seconds(60).await;
    assert_eq!((one.leads(), other.leads()), (Some(1), None));
    one.stop.send_replace(true);
    one.task.await.unwrap();
    assert_eq!(server.holder(), "");
    seconds(3).await;
    assert_eq!(other.leads(), Some(2));
    assert!(matches!(*other.leadership.borrow(), Leadership::Leading { absence: None, .. }));
}

#[tokio::test(start_paused = true)]
async fn a_leader_who_cannot_renew_stops_in_time_and_ends() {
    let server = Server::default();
    let one = candidate(&server, "one");
    seconds(1).await;
    assert_eq!(one.leads(), Some(1));
    server.0.lock().unwrap().away = true;
    seconds(5).await;
    assert_eq!(one.leads(), Some(1), "a hiccup is no loss");
    seconds(7).await;
    assert_eq!(one.leads(), None);
    one.task.await.unwrap();
    assert_eq!(*one.leadership.borrow(), Leadership::Lost);
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_lease_was_taken_ends() {
    let server = Server::default();
    let one = candidate(&server, "one");
    seconds(1).await;
    server.edit(|spec| spec.holder_identity = Some("thief".into()));
    one.task.await.unwrap();
    assert_eq!(*one.leadership.borrow(), Leadership::Lost);
    assert_eq!(server.holder(), "thief");
}

#[tokio::test(start_paused = true)]
async fn a_silent_leader_is_followed_after_the_time_of_its_lease() {
    let server = Server::default();
    let one = candidate(&server, "one");
    seconds(1).await;
    one.task.abort();
    let other = candidate(&server, "other");
    seconds(14).await;
    assert_eq!(other.leads(), None);
    seconds(4).await;
    assert_eq!(other.leads(), Some(2));
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_touch_that_leaves_the_holder_is_survived() {
    let server = Server::default();
    let one = candidate(&server, "one");
    seconds(1).await;
    server.edit(|spec| spec.strategy = Some("x".into()));
    seconds(30).await;
    assert_eq!(one.leads(), Some(1));
}
