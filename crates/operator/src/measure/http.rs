//! HTTP checks: one request to each pod, at its own address.

use super::{
    address::{Rules, redirects},
    answer::cause,
};
use bluegreen_engine::{measure::HttpTarget, observed::CheckOutcome};
use futures::{StreamExt, stream};
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// Pods that one check asks at the same time.
const AT_ONCE: usize = 16;

/// What is asked of every pod.
pub struct Request<'a> {
    pub path: &'a str,
    /// Empty: 200 to 299.
    pub expected: &'a [u16],
    pub timeout: Duration,
    pub attempts: u32,
    pub interval: Duration,
}

/// Pods are asked directly, since a proxy would answer for them, and without TLS, which needs no certificates then.
pub fn client() -> reqwest::Result<reqwest::Client> {
    let agent = concat!("bluegreen-operator/", env!("CARGO_PKG_VERSION"));
    reqwest::Client::builder().tls_certs_only([]).no_proxy().redirect(redirects()).pool_max_idle_per_host(0).user_agent(agent).build()
}

pub async fn check(client: &reqwest::Client, rules: &Rules, targets: &[HttpTarget], request: &Request<'_>) -> CheckOutcome {
    if targets.is_empty() {
        return CheckOutcome::NotDone("no pod is ready to be asked".to_owned());
    }
    let requests: Vec<_> = targets.iter().map(|target| ask(client, rules, target, request)).collect();
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
    CheckOutcome::Passed(format!("{} from {pods} on {}", statuses.join(", "), request.path))
}

/// The status that passed, or how the check ends.
async fn ask(client: &reqwest::Client, rules: &Rules, target: &HttpTarget, request: &Request<'_>) -> Result<u16, CheckOutcome> {
    let HttpTarget { pod, ip, port } = target;
    let Ok(ip) = ip.parse::<IpAddr>() else { return Err(CheckOutcome::NotDone(format!("{pod} has {ip:?} for an address"))) };
    if !rules.may_ask(ip) {
        return Err(CheckOutcome::NotDone(format!("{pod} has a loopback or link-local address ({ip}), which this operator doesn't ask")));
    }
    let url = format!("http://{}{}", SocketAddr::new(ip, *port), request.path);
    let mut failure = String::new();
    for attempt in 0..request.attempts.max(1) {
        if attempt > 0 {
            tokio::time::sleep(request.interval).await;
        }
        match client.get(&url).timeout(request.timeout).send().await.map(|answer| answer.status().as_u16()) {
            Ok(status) if is_expected(status, request.expected) => return Ok(status),
            Ok(status) => failure = format!("{pod} answered {status} on {}, expected {}", request.path, words(request.expected)),
            Err(error) => failure = format!("{pod} did not answer on {}: {}", request.path, cause(&error)),
        }
    }
    Err(CheckOutcome::Failed(failure))
}

fn is_expected(status: u16, expected: &[u16]) -> bool {
    if expected.is_empty() { (200..=299).contains(&status) } else { expected.contains(&status) }
}

fn words(expected: &[u16]) -> String {
    if expected.is_empty() {
        return "200-299".to_owned();
    }
    expected.iter().map(u16::to_string).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{
        Router,
        http::{StatusCode, header},
        routing::get,
    };
    use std::sync::atomic::{AtomicU32, Ordering};

    async fn pod(app: Router) -> HttpTarget {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        HttpTarget { pod: "shop-green-1".into(), ip: address.ip().to_string(), port: address.port() }
    }

    async fn outcome(targets: &[HttpTarget], path: &str, expected: &[u16]) -> CheckOutcome {
        super::super::provide_tls();
        let rules = Rules { local: true, ..Rules::default() };
        let request = Request { path, expected, timeout: Duration::from_secs(2), attempts: 2, interval: Duration::from_millis(1) };
        check(&client().unwrap(), &rules, targets, &request).await
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
        let gone = HttpTarget { port: 1, ..bad };
        let CheckOutcome::Failed(words) = outcome(&[gone], "/healthz", &[]).await else { panic!("passed") };
        assert!(words.starts_with("shop-green-1 did not answer on /healthz: "), "{words}");
        assert!(words.contains("refused"), "{words}");
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
        let request = Request { path: "/", expected: &[], timeout: Duration::from_secs(1), attempts: 1, interval: Duration::ZERO };
        let target = HttpTarget { pod: "p".into(), ip: "127.0.0.1".into(), port: 1 };
        super::super::provide_tls();
        let refused = check(&client().unwrap(), &Rules::default(), &[target], &request).await;
        assert!(matches!(refused, CheckOutcome::NotDone(_)));
    }
}
