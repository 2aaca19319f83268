//! One reading from a Prometheus server.

use super::{
    address::Rules,
    answer::{body, cause},
};
use bluegreen_engine::observed::Reading;
use jiff::Timestamp;
use prometheus_http_query::{Client, response::Data};
use reqwest::Url;
use serde::Deserialize;
use std::time::Duration;

pub async fn read(client: &reqwest::Client, rules: &Rules, address: &str, query: (&str, Option<Timestamp>), timeout: Duration) -> Reading {
    match ask(client, rules, address, query, timeout).await {
        Ok(reading) => reading,
        Err(why) => Reading::Failed(why),
    }
}

async fn ask(
    client: &reqwest::Client,
    rules: &Rules,
    address: &str,
    (query, at): (&str, Option<Timestamp>),
    timeout: Duration,
) -> Result<Reading, String> {
    let not_an_address = |error: &dyn std::fmt::Display| format!("{address} is not the address of a Prometheus: {error}");
    let url = Url::parse(address).map_err(|error| not_an_address(&error))?;
    if let Some(why) = rules.against(&url) {
        return Err(why);
    }
    let prometheus = Client::from(client.clone(), address.trim_end_matches('/')).map_err(|error| not_an_address(&error))?;
    let seconds = timeout.as_secs_f64();
    let asked = async {
        let milliseconds = i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
        // The query goes into the body: proxies bound the length of addresses.
        let query = prometheus.query(query).timeout(milliseconds);
        let query = if let Some(at) = at { query.at(at.as_second()) } else { query };
        let answer = query.post_raw().await;
        let answer = answer.map_err(|error| format!("Prometheus at {address} can't be reached: {}", cause(&error)))?;
        let status = answer.status();
        let body = body(answer).await.map_err(|why| format!("the answer of Prometheus at {address} can't be read: {why}"))?;
        Ok((status, body))
    };
    let late = |_| Err(format!("Prometheus at {address} did not answer within {seconds}s"));
    let (status, body) = tokio::time::timeout(timeout, asked).await.unwrap_or_else(late)?;
    if matches!(status.as_u16(), 401 | 403) {
        return Err(format!("Prometheus at {address} answered {status}: it wants other credentials"));
    }
    let Ok(answer) = serde_json::from_slice::<Answer>(&body) else {
        return Err(format!("{address} answered {status}, and not as a Prometheus does"));
    };
    reading(answer, address)
}

/// The API's answer, whatever its HTTP status.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    status: String,
    #[serde(default)]
    data: serde_json::Value,
    #[serde(default)]
    error_type: String,
    #[serde(default)]
    error: String,
}

fn reading(answer: Answer, address: &str) -> Result<Reading, String> {
    if answer.status != "success" {
        return Err(format!("Prometheus at {address} refused the query: {}: {}", answer.error_type, answer.error));
    }
    let result_type = answer.data["resultType"].as_str().unwrap_or("nothing").to_owned();
    let histogram = !answer.data["result"][0]["histogram"].is_null();
    match serde_json::from_value::<Data>(answer.data) {
        Ok(Data::Scalar(sample)) => Ok(number(sample.value())),
        Ok(Data::Vector(series)) => match series.as_slice() {
            [] => Ok(Reading::NoData),
            [one] => Ok(number(one.sample().value())),
            many => Err(format!("the query returned {} series; reduce it to one, e.g. with sum(…)", many.len())),
        },
        Ok(Data::Matrix(_)) => {
            Err("the query returned a range of values; make it one number, e.g. with rate(…) or avg_over_time(…)".to_owned())
        }
        Err(_) if histogram => Err("the query returned a histogram; make it one number, e.g. with histogram_quantile(…)".to_owned()),
        Err(error) => Err(format!("the query returned a {result_type}, not a number: {error}")),
    }
}

fn number(value: f64) -> Reading {
    if value.is_nan() { Reading::NotANumber } else { Reading::Value(value) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{
        Router,
        http::StatusCode,
        routing::{MethodRouter, post},
    };
    use serde_json::{Value, json};

    async fn serve(path: &str, method: MethodRouter) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().route(path, method);
        tokio::spawn(async move { axum::serve(listener, app).await });
        format!("http://{address}")
    }

    async fn answering(status: u16, body: Value) -> Reading {
        let body = body.to_string();
        let address = serve("/api/v1/query", post(move || async move { (StatusCode::from_u16(status).unwrap(), body) })).await;
        asked(&address, "up").await
    }

    async fn asked(address: &str, query: &str) -> Reading {
        super::super::stage::provide_tls();
        let rules = std::sync::Arc::new(Rules { local: true, ..Rules::default() });
        read(&super::super::client::sources(&rules).unwrap(), &rules, address, (query, None), Duration::from_millis(500)).await
    }

    fn success(result_type: &str, result: Value) -> Value {
        json!({"status": "success", "data": {"resultType": result_type, "result": result}})
    }

    fn failed(reading: &Reading) -> &str {
        let Reading::Failed(why) = reading else { panic!("{reading:?}") };
        why
    }

    #[tokio::test]
    async fn another_time_than_now_is_asked_for_by_its_second() {
        let told = post(|asked: String| async move {
            let value = if asked.contains("time=1800000000") { "1" } else { "0" };
            json!({"status": "success", "data": {"resultType": "scalar", "result": [0, value]}}).to_string()
        });
        super::super::stage::provide_tls();
        let rules = std::sync::Arc::new(Rules { local: true, ..Rules::default() });
        let address = serve("/api/v1/query", told).await;
        let client = super::super::client::sources(&rules).unwrap();
        for (at, value) in [(None, 0.0), (Some(Timestamp::from_millisecond(1_800_000_000_400).unwrap()), 1.0)] {
            let reading = read(&client, &rules, &address, ("up", at), Duration::from_secs(5)).await;
            assert_eq!(reading, Reading::Value(value));
        }
    }

    #[tokio::test]
    async fn one_number_is_a_value() {
        let series = |value: &str| json!([{"metric": {}, "value": [1.5, value]}]);
        for (result_type, result, reading) in [
            ("scalar", json!([1.5, "0.25"]), Reading::Value(0.25)),
            ("vector", series("3"), Reading::Value(3.0)),
            ("vector", series("+Inf"), Reading::Value(f64::INFINITY)),
            ("vector", series("NaN"), Reading::NotANumber),
            ("vector", json!([]), Reading::NoData),
        ] {
            assert_eq!(answering(200, success(result_type, result)).await, reading);
        }
    }

    #[tokio::test]
    async fn wrong_credentials_are_told_as_such() {
        for status in [401, 403] {
            let told = answering(status, json!("who are you")).await;
            assert!(
                failed(&told).contains(&format!("answered {status}")) && failed(&told).contains("it wants other credentials"),
                "{told:?}"
            );
        }
    }

    #[tokio::test]
    async fn what_is_not_one_number_is_told() {
        let one = json!({"metric": {}, "value": [1, "1"]});
        let several = answering(200, success("vector", json!([one, one, one]))).await;
        assert_eq!(failed(&several), "the query returned 3 series; reduce it to one, e.g. with sum(…)");
        let range = answering(200, success("matrix", json!([]))).await;
        assert!(failed(&range).contains("range of values"));
        let histogram = answering(200, success("vector", json!([{"metric": {}, "histogram": [1, {}]}]))).await;
        assert!(failed(&histogram).contains("histogram"));
    }

    #[tokio::test]
    async fn a_refused_query_is_told_in_the_words_of_prometheus() {
        let refused = answering(400, json!({"status": "error", "errorType": "bad_data", "error": "parse error: unexpected )"})).await;
        assert!(failed(&refused).ends_with("refused the query: bad_data: parse error: unexpected )"), "{refused:?}");
    }

    #[tokio::test]
    async fn a_server_that_is_none_away_slow_or_too_talkative_is_named() {
        let none = serve("/api/v1/query", post(|| async { (StatusCode::BAD_GATEWAY, "<html>") })).await;
        assert_eq!(failed(&asked(&none, "up").await), format!("{none} answered 502 Bad Gateway, and not as a Prometheus does"));
        let away = asked("http://127.0.0.1:1", "up").await;
        assert!(failed(&away).starts_with("Prometheus at http://127.0.0.1:1 can't be reached: "), "{away:?}");
        let slow = serve("/api/v1/query", post(|| async { tokio::time::sleep(Duration::from_secs(5)).await })).await;
        assert_eq!(failed(&asked(&slow, "up").await), format!("Prometheus at {slow} did not answer within 0.5s"));
        let talkative = serve("/api/v1/query", post(|| async { "x".repeat(2 * super::super::answer::LARGEST) })).await;
        assert!(failed(&asked(&talkative, "up").await).contains("larger than"));
    }

    #[tokio::test]
    async fn the_query_arrives_as_it_was_written_below_the_address() {
        let address = serve(
            "/base/api/v1/query",
            post(|body: String| async move { success("scalar", json!([0, body.len().to_string()])).to_string() }),
        )
        .await;
        let query = r#"rate(http_requests_total{code=~"5..", a="ü&="}[1m])"#;
        let Reading::Value(length) = asked(&format!("{address}/base/"), query).await else { panic!() };
        assert!(length > query.len() as f64);
    }

    #[tokio::test]
    async fn names_of_loopback_addresses_are_refused() {
        super::super::stage::provide_tls();
        let rules = std::sync::Arc::new(Rules::default());
        let client = super::super::client::sources(&rules).unwrap();
        let by_name = read(&client, &rules, "http://localhost:1", ("up", None), Duration::from_secs(1)).await;
        assert!(failed(&by_name).contains("loopback"), "{by_name:?}");
        let by_address = read(&client, &rules, "http://127.0.0.1:1", ("up", None), Duration::from_secs(1)).await;
        assert!(failed(&by_address).contains("loopback"), "{by_address:?}");
    }
}
