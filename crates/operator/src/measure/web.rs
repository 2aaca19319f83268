//! One reading from a source that answers with JSON.

use super::{
    answer::{beginning, body},
    client::Open,
    credentials::{Access, header},
    line::{Unanswered, send},
};
use bluegreen_gates::{
    ask::question::{HeaderSource, WebQuestion},
    reading::Reading,
};
use reqwest::header::HeaderMap;
use std::time::Duration;

pub async fn read(access: &Access, namespace: &str, question: &WebQuestion, timeout: Duration) -> Reading {
    ask(access, namespace, question, timeout).await.unwrap_or_else(Reading::Failed)
}

async fn ask(access: &Access, namespace: &str, question: &WebQuestion, timeout: Duration) -> Result<Reading, String> {
    let headers = headers(access, question)?;
    let Open { client, url, named, words } = access.clients.of(namespace).open(&question.method, &question.url, &headers).await?;
    let request = client.request(question.method.clone(), url).timeout(timeout).headers(headers);
    let request = match &question.body {
        Some(body) => request.body(body.clone()),
        None => request,
    };
    let answer = send(request, &named, "").await.map_err(Unanswered::why)?;
    let status = answer.status();
    if !status.is_success() {
        return Err(format!("{named} answered {}{}", status.as_u16(), words.of(&beginning(answer).await)));
    }
    let body = body(answer).await.map_err(|why| format!("the answer of {named} can't be read: {why}"))?;
    match question.reading(&body, words) {
        Reading::Failed(why) => Err(format!("{named}: {why}")),
        reading => Ok(reading),
    }
}

fn headers(access: &Access, question: &WebQuestion) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, source) in &question.headers {
        let value = match source {
            HeaderSource::Value(value) => value.clone(),
            HeaderSource::SecretKey(key) => {
                let value = access.keys.get(key).ok_or_else(|| format!("the Secret has no key {key} for the header {name}"))?;
                let text = std::str::from_utf8(value.trim_ascii_end()).ok().and_then(|text| header(text).ok());
                text.ok_or_else(|| format!("the key {key} of the Secret is not a valid header value"))?
            }
        };
        headers.insert(name.clone(), value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::super::stage::{local, nowhere, provide_tls, serve, serve_tls};
    use super::super::{address::Rules, client::Clients};
    use super::*;
    use axum::{
        Router,
        http::{HeaderMap, StatusCode},
        response::Redirect,
        routing::{get, post},
    };
    use bluegreen_gates::ask::{allowed::Allowed, question::Question};
    use serde_json::{Value, json};
    use std::{collections::BTreeMap, sync::Arc};

    fn access(keys: &[(&str, &str)], allowed: Allowed) -> Access {
        provide_tls();
        let keys: BTreeMap<_, _> = keys.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect();
        Access { clients: Arc::new(Clients::again(Rules::new(allowed, nowhere()), |builder| builder)), keys: Arc::new(keys) }
    }

    /// The limit is longer than an answer takes on any machine.
    async fn asked(access: &Access, url: &str, fields: Value) -> Reading {
        asked_within(access, url, fields, Duration::from_secs(20)).await
    }

    async fn asked_within(access: &Access, url: &str, fields: Value, timeout: Duration) -> Reading {
        let mut all = json!({"url": url, "jsonPath": "$.value"});
        all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let Question::Web(question) = Question::of_web(&serde_json::from_value(all).unwrap()).unwrap() else { panic!() };
        read(access, "web", &question, timeout).await
    }

    fn failed(reading: &Reading) -> &str {
        let Reading::Failed(why) = reading else { panic!("{reading:?}") };
        why
    }

    /// Answers with how it was asked.
    async fn echo(headers: HeaderMap, body: String) -> (StatusCode, String) {
        let of = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("-").to_owned();
        (StatusCode::IM_A_TEAPOT, format!("{} {} {body}", of("dd-api-key"), of("x-team")))
    }

    #[tokio::test]
    async fn a_number_in_an_answer_is_a_value() {
        let app = Router::new().route("/q", get(|| async { r#"{"value": 0.25}"# })).route("/post", post(|| async { r#"{"value": "3"}"# }));
        let address = serve(app).await;
        let at = |path: &str| format!("http://{address}{path}");
        assert_eq!(asked(&access(&[], local()), &at("/q?window=5m"), json!({})).await, Reading::Value(0.25));
        assert_eq!(asked(&access(&[], local()), &at("/post"), json!({"method": "POST", "body": "{}"})).await, Reading::Value(3.0));
        let nothing = asked(&access(&[], local()), &at("/q"), json!({"jsonPath": "$.other"})).await;
        assert_eq!(nothing, Reading::NoData);
    }

    #[tokio::test]
    async fn headers_come_in_the_open_or_from_the_secret() {
        let url = format!("http://{}/", serve(Router::new().route("/", post(echo))).await);
        let headers = json!([{"name": "DD-API-KEY", "secretKey": "api-key"}, {"name": "x-team", "value": "checkout"}]);
        let fields = json!({"method": "POST", "body": "sum", "headers": headers, "credentials": {"secretName": "datadog"}});
        let answer = asked(&access(&[("api-key", "secret\n")], local()), &url, fields.clone()).await;
        assert_eq!(failed(&answer), format!("{url} answered 418: \"secret checkout sum\""));
        let without = asked(&access(&[], local()), &url, fields).await;
        assert_eq!(failed(&without), "the Secret has no key api-key for the header dd-api-key");
    }

    #[tokio::test]
    async fn errors_of_a_source_are_shown_without_its_query() {
        let app = Router::new()
            .route("/none", get(|| async { r#"{"value": "many"}"# }))
            .route("/large", get(|| async { "x".repeat(2 * 1024 * 1024) }))
            .route("/slow", get(std::future::pending::<String>))
            .route("/away", get(|| async { Redirect::temporary("http://localhost:1/?key=1") }))
            .route("/loop", get(|| async { Redirect::temporary("/loop") }));
        let address = serve(app).await;
        for (path, why) in [
            ("/none", "finds \"many\" in the answer, which is not a number"),
            ("/large", "can't be read: the answer is larger than 1048576 bytes"),
            ("/slow", "did not answer: no answer in time"),
            ("/away", "answered 307"),
            ("/loop", "answered 307"),
            ("/nowhere", "answered 404"),
        ] {
            let timeout = if path == "/slow" { Duration::from_millis(500) } else { Duration::from_secs(20) };
            let reading = asked_within(&access(&[], local()), &format!("http://{address}{path}?key=secret"), json!({}), timeout).await;
            let told = failed(&reading);
            assert!(told.contains(&format!("http://{address}{path}")) && told.contains(why) && !told.contains("secret"), "{path}: {told}");
        }
        let tls = asked(&access(&[], local()), &format!("https://{}/", serve_tls().await), json!({})).await;
        assert!(failed(&tls).contains("did not answer: invalid peer certificate"), "{tls:?}");
        let forbidden = asked(&access(&[], Allowed::default()), &format!("http://{address}/none"), json!({})).await;
        assert!(failed(&forbidden).contains("the operator's own machine"), "{forbidden:?}");
    }
}
