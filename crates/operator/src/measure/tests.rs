use super::{
    stage::{local, nowhere, provide_tls, serve},
    *,
};
use axum::{
    Router,
    http::{HeaderMap, HeaderName, HeaderValue},
    routing::post,
};
use bluegreen_gates::reading::buckets::Buckets;
use serde_json::json;
use std::{future::pending, net::SocketAddr};

/// The most gates that a rollout has at a stage.
const GATES: usize = 64;

fn sources() -> Sources {
    provide_tls();
    Sources::new(local(), Signer(None), None, nowhere(), Metrics::default()).unwrap()
}

#[tokio::test]
async fn a_rollout_all_of_whose_sources_are_slow_delays_no_other() {
    let sources = sources();
    let value = json!({"status": "success", "data": {"resultType": "scalar", "result": [0, "1"]}}).to_string();
    let quick = serve(Router::new().route("/api/v1/query", post(move || async move { value }))).await;
    let slow = serve(Router::new().route("/api/v1/query", post(pending::<String>))).await;
    let asked = |address: SocketAddr| What::Metric {
        questions: vec![Question::Prometheus {
            address: format!("http://{address}"),
            headers: Arc::default(),
            query: "up".into(),
            at: None,
        }],
        credentials: Whose::Nobody,
        timeout: Duration::from_secs(60),
    };
    let waiting: Vec<_> = (0..GATES).map(|_| (sources.clone(), asked(slow))).collect();
    let tasks: Vec<_> = waiting.into_iter().map(|(sources, what)| tokio::spawn(async move { sources.ask("web", &what).await })).collect();
    // All of them have begun to wait before anything else is asked.
    while sources.places.held() < GATES {
        tokio::task::yield_now().await;
    }
    let answer = tokio::time::timeout(Duration::from_secs(20), sources.ask("web", &asked(quick))).await.unwrap();
    assert_eq!(answer, Outcome::reading(Reading::Value(1.0)));
    assert!(tasks.iter().all(|task| !task.is_finished()), "they wait still");
}

#[tokio::test]
async fn headers_are_sent_with_queries_for_numbers_and_buckets() {
    // What it counts is told by the tenant.
    let answer = |headers: HeaderMap| async move {
        let tenant = headers.get("x-scope-orgid").map_or("0", |tenant| tenant.to_str().unwrap());
        let series = json!([{"metric": {"le": "+Inf"}, "value": [0, tenant]}]);
        json!({"status": "success", "data": {"resultType": "vector", "result": series}}).to_string()
    };
    let address = format!("http://{}", serve(Router::new().route("/api/v1/query", post(answer))).await);
    let tenant: HeaderMap = [(HeaderName::from_static("x-scope-orgid"), HeaderValue::from_static("7"))].into_iter().collect();
    let both = |headers: &Arc<HeaderMap>| {
        let (address, headers, query) = (address.clone(), headers.clone(), "up".to_owned());
        let number = Question::Prometheus { address: address.clone(), headers: headers.clone(), query: query.clone(), at: None };
        [number, Question::Buckets { address, headers, query }]
    };
    let questions = [both(&Arc::new(tenant)), both(&Arc::default())].concat();
    let answers = sources().ask("web", &What::Metric { questions, credentials: Whose::Nobody, timeout: Duration::from_secs(60) }).await;
    let told = |count: f64| [Reading::Value(count), Reading::Buckets(Buckets::of([(Some("+Inf"), count)]).unwrap())];
    assert_eq!(answers, Outcome::Readings([told(7.0), told(0.0)].concat()));
}

#[tokio::test]
async fn what_is_denied_is_known_before_anybody_is_asked() {
    provide_tls();
    let allowed = Allowed { sources: vec!["http://desk.example".parse().unwrap()], ..Allowed::default() };
    let sources = Sources::new(allowed, Signer(None), None, nowhere(), Metrics::default()).unwrap();
    let url = |url: &str| What::Url { url: url.into(), exchange: Box::new(super::stage::plain()) };
    let hook =
        |url: &str| What::Webhook { url: url.into(), headers: HeaderMap::new(), body: String::new(), timeout: Duration::from_secs(1) };
    for what in [url("http://elsewhere.example/"), hook("http://169.254.169.254/"), url("http://me:secret@desk.example/")] {
        assert!(sources.denies("web", &what), "{what:?}");
        let Outcome::Check(CheckOutcome::NotDone(why)) = sources.ask("web", &what).await else { panic!("{what:?}") };
        assert!(!why.contains("secret"), "{why}");
    }
    // A Service may come.
    for what in [url("http://desk.example/"), hook("http://shop/"), url("http://shop.web.svc/")] {
        assert!(!sources.denies("web", &what), "{what:?}");
    }
}

#[tokio::test]
async fn a_source_that_hangs_leaves_room_for_others() {
    let sources = sources();
    let value = json!({"status": "success", "data": {"resultType": "scalar", "result": [0, "1"]}}).to_string();
    let quick = serve(Router::new().route("/api/v1/query", post(move || async move { value }))).await;
    let slow = serve(Router::new().route("/api/v1/query", post(pending::<String>))).await;
    let asked = |address: SocketAddr| What::Metric {
        questions: vec![Question::Prometheus {
            address: format!("http://{address}"),
            headers: Arc::default(),
            query: "up".into(),
            at: None,
        }],
        credentials: Whose::Nobody,
        timeout: Duration::from_secs(60),
    };
    // Of many namespaces, and more than there are places.
    let hanging: Vec<_> = (0..600)
        .map(|number| {
            let (sources, what, namespace) = (sources.clone(), asked(slow), format!("team-{}", number % 9));
            tokio::spawn(async move { sources.ask(&namespace, &what).await })
        })
        .collect();
    while sources.places.held() < 256 {
        tokio::task::yield_now().await;
    }
    for namespace in ["team-0", "web"] {
        let answer = tokio::time::timeout(Duration::from_secs(20), sources.ask(namespace, &asked(quick))).await.unwrap();
        assert_eq!(answer, Outcome::reading(Reading::Value(1.0)), "{namespace}");
    }
    hanging.iter().for_each(tokio::task::JoinHandle::abort);
}
