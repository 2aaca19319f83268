//! HTTP checks: one request to each pod at its own address, or one to a URL.

use super::{
    client::Reach,
    line::{Line, on},
    places::Places,
};
use bluegreen_api::Scheme;
use bluegreen_gates::{
    ask::{HttpTarget, allowed::Allowed, exchange::Exchange},
    reading::CheckOutcome,
};
use futures::{StreamExt, stream};
use reqwest::Url;
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

/// Pods that one check asks at the same time.
const AT_ONCE: usize = 16;

/// The request to every pod.
pub struct Request<'a> {
    pub scheme: Scheme,
    pub path: &'a str,
    pub exchange: &'a Exchange,
}

pub async fn check(line: &Line<'_>, allowed: &Allowed, targets: &[HttpTarget], request: &Request<'_>) -> CheckOutcome {
    if targets.is_empty() {
        return CheckOutcome::NotDone("no pod is ready".to_owned());
    }
    let on = on(&request.exchange.method, request.path);
    let requests: Vec<_> = targets.iter().map(|target| ask(line, allowed, target, &on, request)).collect();
    let mut answers = stream::iter(requests).buffer_unordered(AT_ONCE);
    let mut statuses = BTreeSet::new();
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(status) => statuses.insert(status),
            Err(outcome) => return outcome,
        };
    }
    let statuses: Vec<String> = statuses.iter().map(u16::to_string).collect();
    let pods = if targets.len() == 1 { "1 pod".to_owned() } else { format!("{} pods", targets.len()) };
    CheckOutcome::Passed(format!("{} from {pods}{on}", statuses.join(", ")))
}

/// The status that passed, or how the check ends.
async fn ask(line: &Line<'_>, allowed: &Allowed, target: &HttpTarget, on: &str, request: &Request<'_>) -> Result<u16, CheckOutcome> {
    let HttpTarget { pod, ip, port } = target;
    let Ok(ip) = ip.parse::<IpAddr>() else { return Err(CheckOutcome::NotDone(format!("{pod} has the invalid address {ip:?}"))) };
    if let Err(denied) = allowed.may_dial("", ip) {
        return Err(CheckOutcome::NotDone(format!("{pod} is not asked: {denied}")));
    }
    let scheme = match request.scheme {
        Scheme::HTTP => "http",
        Scheme::HTTPS => "https",
    };
    let address = SocketAddr::new(ip, *port);
    let url = format!("{scheme}://{address}{}", request.path);
    match Url::parse(&url) {
        Ok(url) => line.ask(pod, on, &url, request.exchange, Some(address)).await,
        Err(error) => Err(CheckOutcome::NotDone(format!("the request to {pod}{on} is not valid: {error}"))),
    }
}

pub async fn check_url(reach: Reach<'_>, places: &Places, url: &str, exchange: &Exchange) -> CheckOutcome {
    let open = match reach.open(&exchange.method, url, &exchange.headers).await {
        Ok(open) => open,
        Err(why) => return CheckOutcome::NotDone(why),
    };
    let (on, line) = (on(&exchange.method, ""), Line { client: open.client, places, namespace: reach.namespace, words: open.words });
    match line.ask(&open.named, &on, &open.url, exchange, None).await {
        Ok(status) => CheckOutcome::Passed(format!("{status} from {}{on}", open.named)),
        Err(outcome) => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::super::stage::{Means, local, plain, serve, serve_tls};
    use super::*;
    use axum::{
        Router,
        http::{HeaderMap, StatusCode, header},
        response::Redirect,
        routing::{get, post},
    };
    use bluegreen_gates::ask::exchange::BodyRule;
    use std::{
        sync::{
            Arc,
            atomic::{AtomicU32, Ordering},
        },
        time::Duration,
    };
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpSocket, TcpStream},
    };

    fn target(address: SocketAddr) -> HttpTarget {
        HttpTarget { pod: "shop-green-1".into(), ip: address.ip().to_string(), port: address.port() }
    }

    async fn pod(app: Router) -> HttpTarget {
        target(serve(app).await)
    }

    async fn asked(targets: &[HttpTarget], scheme: Scheme, path: &str, exchange: &Exchange) -> CheckOutcome {
        let allowed = local();
        check(&Means::new(&allowed).pods(), &allowed, targets, &Request { scheme, path, exchange }).await
    }

    async fn outcome(targets: &[HttpTarget], path: &str, expected: &[u16]) -> CheckOutcome {
        asked(targets, Scheme::HTTP, path, &Exchange { expected: expected.to_vec(), ..plain() }).await
    }

    async fn outcome_of_url(url: &str, allowed: &Allowed, exchange: &Exchange) -> CheckOutcome {
        let means = Means::new(allowed);
        check_url(means.reach(), &means.places, url, exchange).await
    }

    fn containing(text: &str) -> Exchange {
        Exchange { expected_body: Some(BodyRule { contains: Some(text.into()), json: None }), ..plain() }
    }

    fn failing(status: u16) -> axum::routing::MethodRouter {
        get(move || async move { StatusCode::from_u16(status).unwrap() })
    }

    #[tokio::test]
    async fn it_passes_when_every_pod_answers_as_expected() {
        let app = || Router::new().route("/healthz", get(|| async { "ok" })).route("/teapot", failing(418));
        let pods = [pod(app()).await, pod(app()).await];
        assert_eq!(outcome(&pods, "/healthz", &[]).await, CheckOutcome::Passed("200 from 2 pods on /healthz".into()));
        assert_eq!(outcome(&pods[..1], "/teapot", &[418]).await, CheckOutcome::Passed("418 from 1 pod on /teapot".into()));
    }

    #[tokio::test]
    async fn it_fails_in_the_words_of_the_pod_that_failed() {
        let bad = pod(Router::new().route("/healthz", failing(500))).await;
        let failed = outcome(std::slice::from_ref(&bad), "/healthz", &[]).await;
        assert_eq!(failed, CheckOutcome::Failed("shop-green-1 answered 500 on /healthz, expected 200-299".into()));
    }

    async fn not_done(target: HttpTarget, exchange: &Exchange) -> String {
        match asked(&[target], Scheme::HTTP, "/", exchange).await {
            CheckOutcome::NotDone(words) => words,
            other => panic!("it is a word on the release: {other:?}"),
        }
    }

    /// As behind a NetworkPolicy that rejects, or a mesh whose proxy takes encrypted connections only.
    #[tokio::test]
    async fn a_pod_that_nobody_gets_through_to_is_no_bad_release() {
        let refused = HttpTarget { port: 1, ..pod(Router::new()).await };
        let words = not_done(refused, &plain()).await;
        assert!(words.starts_with("shop-green-1 did not answer on /: ") && words.contains("refused"), "{words}");
        let look = ". The pod is ready: does a NetworkPolicy or a mesh (STRICT mTLS) keep the operator out, and is port 1 open?";
        assert!(words.ends_with(look), "{words}");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let resets = target(listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // What was sent is still unread when the connection goes: that resets it.
                stream.peek(&mut [0]).await.unwrap();
            }
        });
        let words = not_done(resets, &plain()).await;
        assert!(words.contains("reset") && words.contains("STRICT mTLS"), "{words}");
    }

    /// As behind a NetworkPolicy that drops: a queue that is full takes no connection, and says nothing.
    #[tokio::test]
    async fn a_pod_that_takes_no_connection_is_no_bad_release() {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let full: Vec<_> = (0..4).map(|_| tokio::spawn(TcpStream::connect(address))).collect();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let impatient = Exchange { timeout: Duration::from_millis(200), attempts: 1, ..plain() };
        let words = not_done(target(address), &impatient).await;
        assert!(words.contains("no answer in time") && words.contains("NetworkPolicy"), "{words}");
        full.iter().for_each(tokio::task::JoinHandle::abort);
    }

    #[tokio::test]
    async fn what_a_pod_has_answered_counts_though_it_is_gone_then() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let once = target(listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
            stream.write_all(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await.unwrap();
        });
        let failed = asked(&[once], Scheme::HTTP, "/", &Exchange { interval: Duration::from_millis(50), ..plain() }).await;
        assert_eq!(failed, CheckOutcome::Failed("shop-green-1 answered 500 on /, expected 200-299".into()));
    }

    /// As by a program whose handler panics.
    #[tokio::test]
    async fn a_connection_closed_without_an_answer_is_a_failure() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closes = target(listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
            }
        });
        let failed = asked(&[closes], Scheme::HTTP, "/", &plain()).await;
        assert!(matches!(failed, CheckOutcome::Failed(_)), "{failed:?}");
    }

    #[tokio::test]
    async fn a_pod_is_tried_again() {
        static ASKED: AtomicU32 = AtomicU32::new(0);
        let app = Router::new().route(
            "/",
            get(|| async { if ASKED.fetch_add(1, Ordering::Relaxed) == 0 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK } }),
        );
        assert!(matches!(outcome(&[pod(app).await], "/", &[]).await, CheckOutcome::Passed(_)));
    }

    #[tokio::test]
    async fn redirects_to_another_server_are_not_followed() {
        let other = pod(Router::new().route("/", get(|| async { "ok" }))).await;
        let there = format!("http://{}:{}/", other.ip, other.port);
        let app = Router::new()
            .route("/away", get(move || async move { (StatusCode::FOUND, [(header::LOCATION, there)]) }))
            .route("/here", get(|| async { (StatusCode::FOUND, [(header::LOCATION, "/")]) }))
            .route("/", get(|| async { "ok" }));
        let pods = [pod(app).await];
        assert!(matches!(outcome(&pods, "/here", &[]).await, CheckOutcome::Passed(_)));
        assert_eq!(outcome(&pods, "/away", &[]).await, CheckOutcome::Failed("shop-green-1 answered 302 on /away, expected 200-299".into()));
    }

    #[tokio::test]
    async fn without_a_pod_or_at_a_local_address_nothing_is_done() {
        assert!(matches!(outcome(&[], "/", &[]).await, CheckOutcome::NotDone(_)));
        let allowed = Allowed::default();
        let target = HttpTarget { pod: "p".into(), ip: "127.0.0.1".into(), port: 1 };
        let request = Request { scheme: Scheme::HTTP, path: "/", exchange: &plain() };
        let refused = check(&Means::new(&allowed).pods(), &allowed, &[target], &request).await;
        assert!(matches!(refused, CheckOutcome::NotDone(_)));
    }

    #[tokio::test]
    async fn a_request_is_sent_as_it_is_described() {
        let echo = |headers: HeaderMap, body: String| async move {
            let of = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("nothing").to_owned();
            format!("{} {} {body}", of("host"), of("x-team"))
        };
        let pods = [pod(Router::new().route("/orders", post(echo))).await];
        let headers =
            [("host", "shop.example"), ("x-team", "checkout")].map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let exchange = Exchange {
            method: reqwest::Method::POST,
            headers: headers.into_iter().collect(),
            body: Some("two apples".into()),
            ..containing("shop.example checkout two apples")
        };
        let passed = asked(&pods, Scheme::HTTP, "/orders", &exchange).await;
        assert_eq!(passed, CheckOutcome::Passed("200 from 1 pod on POST /orders".into()));
        let failed = asked(&pods, Scheme::HTTP, "/orders", &plain()).await;
        assert_eq!(failed, CheckOutcome::Failed("shop-green-1 answered 405 on /orders, expected 200-299".into()));
    }

    #[tokio::test]
    async fn only_a_url_needs_a_good_certificate_and_a_pod_does_not() {
        let address = serve_tls().await;
        let passed = asked(&[target(address)], Scheme::HTTPS, "/", &plain()).await;
        assert_eq!(passed, CheckOutcome::Passed("200 from 1 pod on /".into()));
        let CheckOutcome::Failed(why) = outcome_of_url(&format!("https://{address}/"), &local(), &plain()).await else { panic!("passed") };
        assert!(why.starts_with(&format!("https://{address}/ did not answer: ")) && why.contains("certificate"), "{why}");
        let CheckOutcome::Failed(why) = asked(&[target(address)], Scheme::HTTP, "/", &plain()).await else { panic!("passed") };
        assert!(why.starts_with("shop-green-1 did not answer on /: "), "{why}");
    }

    #[tokio::test]
    async fn an_unexpected_body_is_shown_and_one_too_large_is_not_read() {
        let app = Router::new()
            .route("/broken", get(|| async { (StatusCode::INTERNAL_SERVER_ERROR, "no\n  database") }))
            .route("/page", get(|| async { "<h1>shop 1</h1>" }))
            .route("/large", get(|| async { "x".repeat(2 * super::super::answer::LARGEST) }));
        let pods = [pod(app).await];
        let failed = outcome(&pods, "/broken", &[]).await;
        assert_eq!(failed, CheckOutcome::Failed("shop-green-1 answered 500 on /broken, expected 200-299: \"no database\"".into()));
        assert!(matches!(asked(&pods, Scheme::HTTP, "/page", &containing("shop 1<")).await, CheckOutcome::Passed(_)));
        let failed = asked(&pods, Scheme::HTTP, "/page", &containing("shop 2")).await;
        let why = "shop-green-1 answered 200 on /page, but its body does not contain \"shop 2\": \"<h1>shop 1</h1>\"";
        assert_eq!(failed, CheckOutcome::Failed(why.into()));
        assert!(matches!(outcome(&pods, "/large", &[]).await, CheckOutcome::Passed(_)), "a body that says nothing isn't read");
        let failed = asked(&pods, Scheme::HTTP, "/large", &containing("y")).await;
        let why = "shop-green-1 answered 200 on /large, but its body can't be read: the answer is larger than 1048576 bytes";
        assert_eq!(failed, CheckOutcome::Failed(why.into()));
    }

    #[tokio::test]
    async fn an_answer_that_takes_too_long_to_walk_is_not_judged() {
        let body = format!("[{}1]", "1,".repeat(400_000));
        let pods = [pod(Router::new().route("/", get(move || async move { body }))).await];
        let http = serde_json::json!({"expectedBody": {"jsonPath": "$..[?@ == @ && @ != 0]"}});
        let exchange = bluegreen_gates::ask::exchange::exchange(&serde_json::from_value(http).unwrap(), Duration::ZERO).unwrap();
        let CheckOutcome::NotDone(why) = asked(&pods, Scheme::HTTP, "/", &exchange).await else { panic!("judged") };
        assert!(why.starts_with("shop-green-1 answered 200 on /, but $..[?@ == @ && @ != 0] takes more than 1000000 steps"), "{why}");
    }

    #[tokio::test]
    async fn an_answer_that_is_too_slow_fails() {
        let slow = |millis: u64| {
            get(move || async move {
                tokio::time::sleep(Duration::from_millis(millis)).await;
                "ok"
            })
        };
        let pods = [pod(Router::new().route("/", slow(150)).route("/never", get(std::future::pending::<String>))).await];
        let within = |millis: u64| Exchange { max_latency: Some(Duration::from_millis(millis)), ..plain() };
        assert!(matches!(asked(&pods, Scheme::HTTP, "/", &within(60_000)).await, CheckOutcome::Passed(_)));
        let CheckOutcome::Failed(why) = asked(&pods, Scheme::HTTP, "/", &within(50)).await else { panic!("passed") };
        assert!(why.starts_with("shop-green-1 answered 200 on / after ") && why.ends_with(" ms (maxLatency 50 ms)"), "{why}");
        let impatient = Exchange { timeout: Duration::from_millis(500), ..plain() };
        let late = asked(&pods, Scheme::HTTP, "/never", &impatient).await;
        assert_eq!(late, CheckOutcome::Failed("shop-green-1 did not answer on /never: no answer in time".into()));
    }

    #[tokio::test]
    async fn a_url_is_asked_once_and_told_without_its_query() {
        let app = Router::new().route("/smoke", get(|| async { "ok" }).post(|| async { StatusCode::CONFLICT }));
        let address = serve(app).await;
        let url = format!("http://{address}/smoke?token=secret");
        let passed = outcome_of_url(&url, &local(), &plain()).await;
        assert_eq!(passed, CheckOutcome::Passed(format!("200 from http://{address}/smoke")));
        let failed = outcome_of_url(&url, &local(), &Exchange { method: reqwest::Method::POST, ..plain() }).await;
        assert_eq!(failed, CheckOutcome::Failed(format!("http://{address}/smoke answered 409 to POST, expected 200-299")));
    }

    #[tokio::test]
    async fn a_url_leads_on_to_its_own_server_only() {
        let elsewhere = format!("http://{}/", serve(Router::new().route("/", get(|| async { "ok" }))).await);
        let app = Router::new()
            .route("/new", get(|| async { "ok" }))
            .route("/old", get(|| async { Redirect::permanent("/new") }))
            .route("/away", get(move || async move { Redirect::temporary(&elsewhere) }));
        let address = serve(app).await;
        let outcome = async |path: &str| outcome_of_url(&format!("http://{address}{path}"), &local(), &plain()).await;
        assert_eq!(outcome("/old").await, CheckOutcome::Passed(format!("200 from http://{address}/old")));
        assert_eq!(outcome("/away").await, CheckOutcome::Failed(format!("http://{address}/away answered 307, expected 200-299")));
    }

    #[tokio::test]
    async fn each_check_of_a_url_makes_a_connection_of_its_own() {
        let connections = Arc::new(AtomicU32::new(0));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (url, counted) = (format!("http://{}/", listener.local_addr().unwrap()), connections.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    while stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                    }
                });
            }
        });
        let means = Means::new(&local());
        for _ in 0..2 {
            let passed = check_url(means.reach(), &means.places, &url, &plain()).await;
            assert!(matches!(passed, CheckOutcome::Passed(_)), "{passed:?}");
            // A connection that is kept is put back by then.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(connections.load(Ordering::Relaxed), 2, "a connection that was kept may lead to pods that a Service has left");
    }

    #[tokio::test]
    async fn a_url_that_may_not_be_asked_is_no_failure_of_the_release() {
        let not_done = async |url: &str, allowed: &Allowed| match outcome_of_url(url, allowed, &plain()).await {
            CheckOutcome::NotDone(why) => why,
            other => panic!("{other:?}"),
        };
        let by_address = not_done("http://127.0.0.1:1/?a=b", &Allowed::default()).await;
        assert_eq!(by_address, "127.0.0.1 is an address of the operator's own machine, which the operator does not ask");
        let by_name = not_done("http://localhost.example:1/", &Allowed::default()).await;
        assert!(by_name.starts_with("http://localhost.example:1/ is not an allowed source"), "{by_name}");
        let sources = vec!["http://127.0.0.1:2".parse().unwrap()];
        let elsewhere = not_done("http://127.0.0.1:1/", &Allowed { sources, machine: true, ..Allowed::default() }).await;
        assert!(elsewhere.contains("is not an allowed source"), "{elsewhere}");
    }

    #[tokio::test]
    async fn the_answer_of_an_allowed_source_is_not_quoted() {
        let app = Router::new()
            .route("/base/broken", get(|| async { (StatusCode::INTERNAL_SERVER_ERROR, "secret") }))
            .route("/base/away", get(|| async { Redirect::temporary("/admin") }))
            .route("/admin", get(|| async { "secret" }));
        let address = serve(app).await;
        let allowed = Allowed { sources: vec![format!("http://{address}/base").parse().unwrap()], ..Allowed::default() };
        let outcome = async |path: &str| outcome_of_url(&format!("http://{address}/base{path}"), &allowed, &plain()).await;
        let why =
            |path: &str, status: u16| CheckOutcome::Failed(format!("http://{address}/base{path} answered {status}, expected 200-299"));
        assert_eq!(outcome("/broken").await, why("/broken", 500));
        assert_eq!(outcome("/away").await, why("/away", 307), "a redirect stays in the allowed path");
        assert!(matches!(outcome("/..%2fadmin").await, CheckOutcome::NotDone(_)));
    }

    #[tokio::test]
    async fn a_pause_between_two_tries_keeps_nobody_else_from_asking() {
        let (good, bad) = (pod(Router::new().route("/", failing(200))).await, pod(Router::new().route("/", failing(503))).await);
        let allowed = local();
        let means = Means::with_one_place(&allowed);
        let slow = Exchange { attempts: 2, interval: Duration::from_secs(3600), ..plain() };
        let (bad, good) = ([bad], [good]);
        let request = |exchange| Request { scheme: Scheme::HTTP, path: "/", exchange };
        let (line, tried_again, plain) = (means.pods(), request(&slow), plain());
        let waits = check(&line, &allowed, &bad, &tried_again);
        let other = async {
            // The first try of the other is over by then.
            tokio::time::sleep(Duration::from_millis(200)).await;
            check(&line, &allowed, &good, &request(&plain)).await
        };
        tokio::select! {
            _ = waits => panic!("it doesn't pause"),
            passed = other => assert!(matches!(passed, CheckOutcome::Passed(_)), "{passed:?}"),
            () = tokio::time::sleep(Duration::from_secs(60)) => panic!("the pause holds the only place"),
        }
    }
}
