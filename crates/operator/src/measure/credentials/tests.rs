use super::super::{
    prometheus,
    stage::{local, provide_tls, serve, serve_tls_as, stop_the_clock},
};
use super::*;
use axum::{
    Router,
    http::{HeaderMap as Headers, StatusCode},
    routing::{get, post},
};
use bluegreen_gates::reading::Reading;
use data_encoding::BASE64;
use serde_json::{Value, json};

fn named() -> Named {
    Named { namespace: "web".into(), name: "prom".into() }
}

/// An API server that has one Secret, or answers with a status, and counts how often it is asked.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<(u32, Option<Value>, u16)>>);

impl Server {
    fn set(&self, version: &str, keys: &[(&str, &str)]) {
        let data: BTreeMap<_, _> = keys.iter().map(|(key, value)| (*key, BASE64.encode(value.as_bytes()))).collect();
        let metadata = json!({"name": "prom", "namespace": "web", "resourceVersion": version});
        self.0.lock().unwrap().1 = Some(json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}));
    }

    fn refuse(&self, code: u16) {
        let mut state = self.0.lock().unwrap();
        (state.1, state.2) = (None, code);
    }

    fn asked(&self) -> u32 {
        self.0.lock().unwrap().0
    }

    async fn credentials(&self) -> Credentials {
        provide_tls();
        let state = self.0.clone();
        let answer = move || async move {
            let mut state = state.lock().unwrap();
            state.0 += 1;
            let code = if state.2 == 0 { 404 } else { state.2 };
            let reason = match code {
                404 => "NotFound",
                403 => "Forbidden",
                _ => "InternalError",
            };
            let refused =
                json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code, "message": "no"});
            match &state.1 {
                Some(secret) => (StatusCode::OK, secret.to_string()),
                None => (StatusCode::from_u16(code).unwrap(), refused.to_string()),
            }
        };
        let address = serve(Router::new().route("/api/v1/namespaces/web/secrets/prom", get(answer))).await;
        let client = kube::Client::try_from(kube::Config::new(format!("http://{address}").parse().unwrap())).unwrap();
        Credentials::new(client.clone(), Rules::new(local(), client))
    }
}

async fn access(keys: &[(&str, &str)]) -> Result<Access, String> {
    let server = Server::default();
    server.set("1", keys);
    server.credentials().await.of(&named()).await
}

/// What a Prometheus tells who comes with these keys.
async fn asked(keys: &[(&str, &str)], address: &str) -> Reading {
    let access = access(keys).await.unwrap_or_else(|why| panic!("{why}"));
    prometheus::read(access.clients.of("web"), (address, &Headers::new()), ("up", None), Duration::from_secs(20)).await
}

async fn answer(access: &Access, url: &str) -> reqwest::Result<String> {
    let open = access.clients.of("web").open(&reqwest::Method::GET, url, &HeaderMap::new()).await.unwrap_or_else(|why| panic!("{why}"));
    open.client.get(open.url).send().await?.text().await
}

/// What a source is shown with these keys.
async fn shown(keys: &[(&str, &str)]) -> Result<String, String> {
    let access = access(keys).await?;
    let tell = |headers: Headers| async move {
        headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or("nothing").to_owned()
    };
    let source = serve(Router::new().route("/", get(tell))).await;
    Ok(answer(&access, &format!("http://{source}/")).await.unwrap())
}

#[tokio::test]
async fn the_keys_of_a_secret_say_what_a_source_is_shown() {
    assert_eq!(shown(&[("token", "abc\n")]).await.unwrap(), "Bearer abc");
    assert_eq!(shown(&[("username", "me"), ("password", "secret")]).await.unwrap(), format!("Basic {}", BASE64.encode(b"me:secret")));
    assert_eq!(shown(&[("api-key", "for a header")]).await.unwrap(), "nothing");
}

#[tokio::test]
async fn what_is_wrong_with_a_secret_is_told_and_what_is_in_it_isnt() {
    for (keys, why) in [
        (vec![("username", "hidden")], "has only one of username and password: set both"),
        (vec![("token", "hidden"), ("username", "me"), ("password", "p")], "has a token beside username and password: keep one of them"),
        (vec![("token", "hid\nden")], "has characters that are not valid in a header"),
        (vec![("ca.crt", "hidden")], "has no PEM certificates in ca.crt"),
        (vec![("tls.crt", "hidden")], "has only one of tls.crt and tls.key: set both"),
        (vec![("tls.crt", "hidden"), ("tls.key", "hidden")], "has no PEM certificates in tls.crt, with its key in tls.key"),
    ] {
        let told = shown(&keys).await.unwrap_err();
        assert!(told.starts_with(&format!("Secret web/prom {why}")) && !told.contains("hidden"), "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_appears_is_found_and_its_changes_noticed() {
    let _stopped = stop_the_clock();
    let server = Server::default();
    let credentials = server.credentials().await;
    let of = async || credentials.of(&named()).await.map(|access| access.keys.get("token").cloned().unwrap_or_default());
    assert_eq!(of().await.unwrap_err(), "Secret web/prom doesn't exist: create it, or remove credentials");
    server.set("1", &[("token", "first")]);
    assert!(of().await.is_err(), "not yet looked for again");
    tokio::time::advance(MISSING).await;
    assert_eq!(of().await.unwrap(), b"first");
    server.set("2", &[("token", "second")]);
    assert_eq!(of().await.unwrap(), b"first", "kept");
    tokio::time::advance(FRESH).await;
    assert_eq!(of().await.unwrap(), b"second");
    assert_eq!(server.asked(), 3);
}

#[tokio::test]
async fn a_permission_that_is_missing_is_told_with_what_to_grant() {
    let server = Server::default();
    server.refuse(403);
    let told = server.credentials().await.of(&named()).await.unwrap_err();
    let why = "the operator may not read Secret web/prom: bind the ClusterRole bluegreen-operator-secrets to it in namespace web";
    assert!(told.starts_with(why), "{told}");
}

#[tokio::test(start_paused = true)]
async fn only_a_deletion_takes_known_credentials_away() {
    let _stopped = stop_the_clock();
    let server = Server::default();
    server.refuse(500);
    let credentials = server.credentials().await;
    let of = async || credentials.of(&named()).await.map(|_| ());
    let told = of().await.unwrap_err();
    assert!(told.starts_with("Secret web/prom can't be read: "), "{told}");
    server.set("1", &[("token", "first")]);
    tokio::time::advance(MISSING).await;
    of().await.unwrap();
    server.refuse(500);
    tokio::time::advance(FRESH).await;
    of().await.unwrap();
    server.refuse(404);
    tokio::time::advance(FRESH).await;
    assert!(of().await.unwrap_err().contains("doesn't exist"));
}

#[tokio::test]
async fn a_token_that_a_source_refuses_is_a_broken_source_and_says_so() {
    for (status, told) in [(StatusCode::UNAUTHORIZED, "401 Unauthorized"), (StatusCode::FORBIDDEN, "403 Forbidden")] {
        let answer = move |headers: Headers| async move {
            let right = headers.get("authorization").is_some_and(|value| value == "Bearer right");
            let one = json!({"status": "success", "data": {"resultType": "scalar", "result": [0, "1"]}});
            if right { (StatusCode::OK, one.to_string()) } else { (status, "who are you".to_owned()) }
        };
        let address = format!("http://{}", serve(Router::new().route("/api/v1/query", post(answer))).await);
        assert_eq!(asked(&[("token", "right")], &address).await, Reading::Value(1.0));
        let refused = Reading::Failed(format!("Prometheus at {address} answered {told}: it refused the credentials"));
        assert_eq!(asked(&[("token", "wrong")], &address).await, refused);
        assert_eq!(asked(&[("username", "right"), ("password", "right")], &address).await, refused);
    }
}

#[tokio::test]
async fn only_authorities_of_the_secret_vouch_for_the_asked_name() {
    let (server, authority) = serve_tls_as("127.0.0.1").await;
    let (of_another_name, authority_of_another_name) = serve_tls_as("shop").await;
    let trusting = access(&[("ca.crt", authority.as_str())]).await.unwrap();
    assert_eq!(answer(&trusting, &format!("https://{server}/")).await.unwrap(), "ok");
    for (address, authority, why) in [
        (
            of_another_name,
            authority_of_another_name.as_str(),
            "certificate not valid for name \"127.0.0.1\"; certificate is only valid for DnsName(\"shop\")",
        ),
        (server, authority_of_another_name.as_str(), "UnknownIssuer"),
    ] {
        let told = asked(&[("ca.crt", authority), ("token", "hidden")], &format!("https://{address}")).await;
        let why = format!("Prometheus at https://{address} is unreachable: invalid peer certificate: {why}");
        assert_eq!(told, Reading::Failed(why));
    }
}

#[tokio::test]
async fn a_namespace_has_a_bounded_number_of_clients() {
    let credentials = Server::default().credentials().await;
    let _other = credentials.place(&Named { namespace: "other".into(), name: "prom".into() });
    let in_use = credentials.place(&named());
    for number in 0..100 {
        credentials.place(&Named { namespace: "web".into(), name: number.to_string() });
    }
    let kept = credentials.kept.lock().unwrap();
    let of = |namespace: &str| kept.keys().filter(|named| named.namespace == namespace).count();
    assert_eq!((of("web"), of("other")), (MOST, 1));
    assert!(Arc::ptr_eq(&kept[&named()], &in_use), "who is being asked stays");
}
