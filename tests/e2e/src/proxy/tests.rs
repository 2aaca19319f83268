use super::{dealing::Dealer, *};
use axum::{Router, extract::State};
use futures::{StreamExt, stream};
use tokio::time::Instant;

type Arrived = Arc<std::sync::Mutex<Vec<String>>>;

/// A server that notes what arrives, and tells of ten things in as many lines to who watches.
async fn server() -> (Config, Arrived) {
    let arrived = Arrived::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let routes = Router::new().fallback(note).with_state(arrived.clone());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (Config::new(address.parse().unwrap()), arrived)
}

async fn note(State(arrived): State<Arrived>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    arrived.lock().unwrap().push(String::from_utf8_lossy(&body).into_owned());
    if Sort::of(&parts.method, &parts.uri) != Sort::Watch {
        return Response::new(Body::from("{}"));
    }
    let lines = stream::iter(0..10).then(|number| async move {
        sleep(Duration::from_millis(50)).await;
        Ok::<_, Closed>(format!("{{\"number\":{number}}}\n"))
    });
    Response::new(Body::from_stream(lines))
}

/// What a client hears of one request that meets this fault, and what has arrived at the server when all is quiet. `times` is how often
/// the request is waited for; more of them would come within the pause.
async fn heard(fault: Fault, times: usize) -> (Result<StatusCode, ()>, usize) {
    let (config, arrived) = server().await;
    let seed = (0..10_000).find(|seed| Dealer::new(*seed, Weather::Foul).deal(Sort::Write) == Some(fault) && prompt(*seed)).unwrap();
    let proxy = Proxy::to(config, seed, Weather::Foul).await;
    let mut config = Config::new(proxy.address.parse().unwrap());
    config.default_retry = false;
    let client = Client::try_from(config).unwrap();
    let request = Request::patch("/api/v1/namespaces/a/services/b").body(kube::client::Body::from(b"one".to_vec())).unwrap();
    let answer = client.send(request).await.map(|answer| answer.status()).map_err(drop);
    let all = async {
        while arrived.lock().unwrap().len() < times {
            sleep(Duration::from_millis(10)).await;
        }
    };
    // Should one of them be missing, the count says so.
    let _ = tokio::time::timeout(Duration::from_secs(20), all).await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(proxy.tally().of(fault), 1);
    let arrived = arrived.lock().unwrap();
    assert!(arrived.iter().all(|body| body == "one"), "{arrived:?}");
    (answer, arrived.len())
}

/// Whether the second roll of these dice takes no long time.
fn prompt(seed: u64) -> bool {
    let dealt = || {
        let dealer = Dealer::new(seed, Weather::Foul);
        dealer.deal(Sort::Write);
        dealer
    };
    let soon = Duration::from_millis(300);
    !dealt().silent() && dealt().lateness() < soon && dealt().delay(Sort::Write) < soon
}

#[tokio::test]
async fn a_request_arrives_as_often_as_its_fault_says() {
    let ok = Ok(StatusCode::OK);
    for (fault, answer, times) in [
        (Fault::Delayed, ok, 1),
        (Fault::Lost, Err(()), 0),
        (Fault::Unanswered, Err(()), 1),
        (Fault::Late, Err(()), 1),
        (Fault::Twice, ok, 2),
        (Fault::Conflict, Ok(StatusCode::CONFLICT), 0),
        (Fault::TooMany, Ok(StatusCode::TOO_MANY_REQUESTS), 0),
        (Fault::Internal, Ok(StatusCode::INTERNAL_SERVER_ERROR), 0),
        (Fault::Unavailable, Ok(StatusCode::SERVICE_UNAVAILABLE), 0),
    ] {
        assert_eq!(heard(fault, times).await, (answer, times), "{fault:?}");
    }
}

/// A desk whose dice end a watch like this before its last event.
async fn desk(end: dealing::End) -> Arc<Desk> {
    let soon = |seed: u64| Dealer::new(seed, Weather::Foul).end_of_watch().filter(|(after, _)| *after < Duration::from_millis(800));
    let seed = (0..100_000).find(|seed| soon(*seed).is_some_and(|(_, is)| is == end)).unwrap();
    let upstream = Upstream(Client::try_from(server().await.0).unwrap());
    Arc::new(Desk { dealer: Dealer::new(seed, Weather::Foul), upstream, holding: Mutex::default() })
}

/// Events that come in two pieces each, for a second.
fn pieces() -> Body {
    let pieces = stream::iter(0..100).then(|number| async move {
        sleep(Duration::from_millis(10)).await;
        Ok::<_, Closed>(if number % 2 == 0 { "{\"type\":" } else { "\"ADDED\"}\n" })
    });
    Body::from_stream(pieces)
}

#[tokio::test]
async fn a_watch_from_a_version_that_is_gone_gets_an_error_event() {
    // Its end comes when half a line is told.
    let lines = stream::iter(["{\"type\":\"ADDED\"}\n{\"type\":", "\"ADDED\"}\n", "{\"type\":\"ADDED\"}\n"]).then(|piece| async move {
        sleep(Duration::from_millis(if piece.starts_with('"') { 1_000 } else { 0 })).await;
        Ok::<_, Closed>(piece)
    });
    let told = watching::disturbed(Body::from_stream(lines), desk(dealing::End::Expired).await).collect().await.unwrap().to_bytes();
    let lines: Vec<Value> =
        told.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(|line| serde_json::from_slice(line).unwrap()).collect();
    let (last, before) = lines.split_last().unwrap();
    assert_eq!((&last["type"], &last["object"]["code"]), (&json!("ERROR"), &json!(410)));
    assert!(before.len() == 2 && before.iter().all(|line| line["type"] == "ADDED"), "{lines:?}");
}

#[tokio::test]
async fn a_watch_is_closed_or_broken_before_its_end() {
    let told = watching::disturbed(pieces(), desk(dealing::End::Closed).await).collect().await.unwrap().to_bytes();
    assert!(told.len() < 50 * 17, "{}", told.len());
    let broken = watching::disturbed(pieces(), desk(dealing::End::Broken).await).collect().await;
    assert!(broken.is_err());
}

#[tokio::test]
async fn events_held_back_keep_their_order() {
    let held = (0..1_000_000).find(|seed| {
        let dealer = Dealer::new(*seed, Weather::Foul);
        dealer.end_of_watch().is_none() && dealer.hold().is_some_and(|time| time > Duration::from_secs(20))
    });
    let upstream = Upstream(Client::try_from(Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap());
    let desk = Arc::new(Desk { dealer: Dealer::new(held.unwrap(), Weather::Foul), upstream, holding: Mutex::default() });
    let began = Instant::now();
    let clears = async {
        sleep(Duration::from_millis(500)).await;
        desk.dealer.turn(Weather::Clear);
    };
    let tells = async {
        let mut watch = watching::disturbed(pieces(), desk.clone());
        let first = watch.frame().await.unwrap().unwrap().into_data().unwrap();
        let took = began.elapsed();
        assert!((500..20_000).contains(&took.as_millis()), "{took:?}");
        [first, watch.collect().await.unwrap().to_bytes()].concat()
    };
    let (told, ()) = tokio::join!(tells, clears);
    assert_eq!(String::from_utf8(told).unwrap(), "{\"type\":\"ADDED\"}\n".repeat(50));
}

#[test]
fn faults_are_dealt_in_their_measure_and_none_in_clear_weather() {
    let dealer = Dealer::new(7, Weather::Foul);
    for _ in 0..100_000 {
        dealer.deal(Sort::Write);
    }
    let tally = dealer.tally();
    assert_eq!(tally.requests(), 100_000);
    for (fault, expected) in [(Fault::Delayed, 12_000), (Fault::Late, 1_500), (Fault::Unavailable, 1_000)] {
        let dealt = tally.of(fault);
        assert!((expected * 8 / 10..expected * 12 / 10).contains(&dealt), "{fault:?}: {dealt} of 100000");
    }
    dealer.turn(Weather::Clear);
    for _ in 0..1_000 {
        assert_eq!((dealer.deal(Sort::Write), dealer.end_of_watch(), dealer.hold()), (None, None, None));
    }
}

#[test]
fn requests_are_told_apart() {
    for (method, uri, sort) in [
        (Method::GET, "/api/v1/pods?watch=true&timeoutSeconds=50", Sort::Watch),
        (Method::GET, "/api/v1/pods?limit=250", Sort::Read),
        (Method::PATCH, "/apis/apps/v1/namespaces/a/deployments/b?fieldManager=x", Sort::Write),
        (Method::PUT, "/apis/coordination.k8s.io/v1/namespaces/a/leases/b", Sort::Lease),
    ] {
        assert_eq!(Sort::of(&method, &uri.parse().unwrap()), sort, "{uri}");
    }
}
