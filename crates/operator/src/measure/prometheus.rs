//! One reading from a Prometheus server: a number, or the buckets of histograms.

use super::{
    answer::{body, cause},
    client::Reach,
};
use bluegreen_gates::{
    ask::allowed::{shown, shown_text},
    reading::{Reading, buckets::Buckets},
};
use jiff::Timestamp;
use prometheus_http_query::{Client, response::Data};
use reqwest::{Method, Url, header::HeaderMap};
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

pub async fn read(reach: Reach<'_>, server: (&str, &HeaderMap), query: (&str, Option<Timestamp>), timeout: Duration) -> Reading {
    ask(reach, server, query, timeout).await.and_then(number_in).unwrap_or_else(Reading::Failed)
}

pub async fn read_buckets(reach: Reach<'_>, server: (&str, &HeaderMap), query: &str, timeout: Duration) -> Reading {
    ask(reach, server, (query, None), timeout).await.and_then(buckets_in).unwrap_or_else(Reading::Failed)
}

/// What a query that was not refused has found, as it was sent.
async fn ask(
    reach: Reach<'_>,
    (address, headers): (&str, &HeaderMap),
    (query, at): (&str, Option<Timestamp>),
    timeout: Duration,
) -> Result<Value, String> {
    let not_an_address = |error: &dyn std::fmt::Display| format!("{} is not a valid address of a Prometheus: {error}", shown_text(address));
    let base = Url::parse(address.trim_end_matches('/')).map_err(|error| not_an_address(&error))?;
    let address = shown(&base);
    let address = address.trim_end_matches('/');
    let open = reach.open_url(&Method::POST, of_queries(base), headers).await?;
    let mut base = open.url.clone();
    base.set_path(open.url.path().strip_suffix(QUERIES).unwrap_or_default());
    let prometheus = Client::from(open.client.clone(), base.as_str()).map_err(|error| not_an_address(&error))?;
    let seconds = timeout.as_secs_f64();
    let asked = async {
        let milliseconds = i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
        // The query goes into the body: proxies bound the length of addresses.
        let query = prometheus.query(query).timeout(milliseconds);
        let query = if let Some(at) = at { query.at(at.as_second()) } else { query };
        let query = headers.iter().fold(query, |query, (name, value)| query.header(name.clone(), value.clone()));
        let answer = query.post_raw().await;
        let answer = answer.map_err(|error| format!("Prometheus at {address} is unreachable: {}", cause(&error)))?;
        let status = answer.status();
        let body = body(answer).await.map_err(|why| format!("the answer of Prometheus at {address} can't be read: {why}"))?;
        Ok((status, body))
    };
    let late = |_| Err(format!("Prometheus at {address} did not answer within {seconds}s"));
    let (status, body) = tokio::time::timeout(timeout, asked).await.unwrap_or_else(late)?;
    if matches!(status.as_u16(), 401 | 403) {
        return Err(format!("Prometheus at {address} answered {status}: it refused the credentials"));
    }
    let Ok(answer) = serde_json::from_slice::<Answer>(&body) else {
        return Err(format!("{address} answered {status}, without the JSON of a Prometheus"));
    };
    if answer.status != "success" {
        return Err(format!("Prometheus at {address} refused the query: {}: {}", answer.error_type, answer.error));
    }
    if let Some(why) = answer.partial() {
        return Err(format!("Prometheus at {address} answered with a part of the data: {why}"));
    }
    Ok(answer.data)
}

/// Where a Prometheus is asked, below its address.
const QUERIES: &str = "/api/v1/query";

fn of_queries(mut base: Url) -> Url {
    base.set_path(&format!("{}{QUERIES}", base.path().trim_end_matches('/')));
    base
}

/// The API's answer, whatever its HTTP status.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    status: String,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    error_type: String,
    #[serde(default)]
    error: String,
    /// Said beside an answer that may lack something: Thanos names the stores that it couldn't ask, Prometheus its remote storage, or series
    /// that a function left out.
    #[serde(default)]
    warnings: Option<Vec<String>>,
    /// The same of VictoriaMetrics.
    #[serde(default)]
    is_partial: bool,
}

impl Answer {
    /// Why the answer is not the whole one, if it isn't.
    fn partial(&self) -> Option<String> {
        // Advice on a query; before Prometheus 3 it stood among the warnings.
        let warning = self.warnings.iter().flatten().find(|warning| !warning.starts_with("PromQL info:"));
        warning.cloned().or_else(|| self.is_partial.then(|| "isPartial is true: some storage nodes didn't answer".to_owned()))
    }
}

fn number_in(data: Value) -> Result<Reading, String> {
    let (result_type, histogram) = (result_type(&data), is_of_histograms(&data));
    match serde_json::from_value::<Data>(data) {
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

fn buckets_in(data: Value) -> Result<Reading, String> {
    let (result_type, histogram) = (result_type(&data), is_of_histograms(&data));
    match serde_json::from_value::<Data>(data) {
        Ok(Data::Vector(series)) if series.is_empty() => Ok(Reading::NoData),
        Ok(Data::Vector(series)) => {
            let counts = series.iter().map(|one| (one.metric().get("le").map(String::as_str), one.sample().value()));
            Buckets::of(counts).map(Reading::Buckets)
        }
        Ok(Data::Scalar(_)) => Err("the query returned one number; ask for buckets, with sum by (le) (…_bucket)".to_owned()),
        Ok(Data::Matrix(_)) => Err("the query returned a range of values; ask for the counters as they are now, without [ ]".to_owned()),
        Err(_) if histogram => Err("the query returned native histograms, whose buckets have no le; ask for those with classic buckets, \
             …_bucket, or compare a quantile of them: prometheus with histogram_quantile(…) and maxFactor"
            .to_owned()),
        Err(error) => Err(format!("the query returned a {result_type}, not buckets: {error}")),
    }
}

fn result_type(data: &Value) -> String {
    data["resultType"].as_str().unwrap_or("nothing").to_owned()
}

fn is_of_histograms(data: &Value) -> bool {
    data["result"].as_array().is_some_and(|series| series.iter().any(|one| !one["histogram"].is_null()))
}

fn number(value: f64) -> Reading {
    if value.is_nan() { Reading::NotANumber } else { Reading::Value(value) }
}

#[cfg(test)]
mod tests {
    use super::super::stage::{clients, local};
    use super::*;
    use axum::{
        Router,
        http::StatusCode,
        routing::{MethodRouter, post},
    };
    use bluegreen_gates::ask::allowed::Allowed;
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Longer than an answer takes on any machine.
    const PATIENCE: Duration = Duration::from_secs(20);

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
        asked_within(address, query, PATIENCE).await
    }

    async fn asked_within(address: &str, query: &str, timeout: Duration) -> Reading {
        super::super::stage::provide_tls();
        let clients = clients(&local());
        read(clients.of("web"), (address, &HeaderMap::new()), (query, None), timeout).await
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
        let clients = clients(&local());
        let address = serve("/api/v1/query", told).await;
        for (at, value) in [(None, 0.0), (Some(Timestamp::from_millisecond(1_800_000_000_400).unwrap()), 1.0)] {
            let reading = read(clients.of("web"), (&address, &HeaderMap::new()), ("up", at), PATIENCE).await;
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
    async fn a_part_of_the_data_is_a_failure_of_the_source() {
        let beside = async |more: Value| {
            let mut answer = success("scalar", json!([1.5, "0"]));
            answer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            answering(200, answer).await
        };
        let advice = "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket";
        for whole in [json!({"infos": [advice]}), json!({"warnings": [advice]}), json!({"warnings": [], "isPartial": false}), json!({})] {
            assert_eq!(beside(whole.clone()).await, Reading::Value(0.0), "{whole}");
        }
        for (part, why) in [
            (json!({"warnings": [advice, "No StoreAPIs matched for this query"]}), "No StoreAPIs matched for this query"),
            (json!({"isPartial": true}), "isPartial is true: some storage nodes didn't answer"),
        ] {
            let told = beside(part).await;
            assert!(failed(&told).ends_with(&format!(" answered with a part of the data: {why}")), "{told:?}");
        }
        // What isn't there may be what was left out.
        let mut nothing = success("vector", json!([]));
        nothing["isPartial"] = json!(true);
        assert!(failed(&answering(200, nothing).await).contains("a part of the data"));
    }

    #[tokio::test]
    async fn wrong_credentials_are_told_as_such() {
        for status in [401, 403] {
            let told = answering(status, json!("who are you")).await;
            assert!(
                failed(&told).contains(&format!("answered {status}")) && failed(&told).contains("it refused the credentials"),
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
        let string = answering(200, success("string", json!([1, "many"]))).await;
        assert!(failed(&string).contains("string"), "{string:?}");
    }

    async fn buckets_of(result_type: &str, result: Value) -> Reading {
        super::super::stage::provide_tls();
        let body = success(result_type, result).to_string();
        let address = serve("/api/v1/query", post(move || async move { body })).await;
        let clients = clients(&local());
        read_buckets(clients.of("web"), (&address, &HeaderMap::new()), "b", PATIENCE).await
    }

    #[tokio::test]
    async fn a_series_for_each_le_is_read_as_buckets() {
        let bucket = |le: &str, count: &str| json!({"metric": {"le": le}, "value": [1.5, count]});
        let both = json!([bucket("+Inf", "9"), bucket("0.25", "7")]);
        let expected = Buckets::of([(Some("0.25"), 7.0), (Some("+Inf"), 9.0)]).unwrap();
        assert_eq!(buckets_of("vector", both).await, Reading::Buckets(expected));
        assert_eq!(buckets_of("vector", json!([])).await, Reading::NoData);
    }

    #[tokio::test]
    async fn what_is_not_buckets_is_told() {
        let one = json!({"metric": {}, "value": [1, "1"]});
        let all = json!({"metric": {"le": "+Inf", "pod": "a"}, "value": [1, "1"]});
        for (result_type, result, words) in [
            ("vector", json!([one]), "the query returned a series without the label le: ask for buckets, with sum by (le) (…_bucket)"),
            ("vector", json!([all, all]), "the query returned several series with le=\"+Inf\": add them up with sum by (le) (…)"),
            ("scalar", json!([1.5, "0.25"]), "the query returned one number; ask for buckets, with sum by (le) (…_bucket)"),
            ("matrix", json!([]), "the query returned a range of values; ask for the counters as they are now, without [ ]"),
            (
                "vector",
                json!([{"metric": {}, "histogram": [1, {}]}]),
                "the query returned native histograms, whose buckets have no le; ask for those with classic buckets, …_bucket, or compare a \
                 quantile of them: prometheus with histogram_quantile(…) and maxFactor",
            ),
        ] {
            assert_eq!(failed(&buckets_of(result_type, result).await), words);
        }
    }

    #[tokio::test]
    async fn a_refused_query_is_told_in_the_words_of_prometheus() {
        let refused = answering(400, json!({"status": "error", "errorType": "bad_data", "error": "parse error: unexpected )"})).await;
        assert!(failed(&refused).ends_with("refused the query: bad_data: parse error: unexpected )"), "{refused:?}");
    }

    /// A server whose answer has no end.
    async fn endless() -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            while stream.write_all(&[b'x'; 65536]).await.is_ok() {}
        });
        format!("http://{address}")
    }

    #[tokio::test]
    async fn a_server_that_is_none_away_slow_or_too_talkative_is_named() {
        let none = serve("/api/v1/query", post(|| async { (StatusCode::BAD_GATEWAY, "<html>") })).await;
        assert_eq!(failed(&asked(&none, "up").await), format!("{none} answered 502 Bad Gateway, without the JSON of a Prometheus"));
        let away = asked("http://127.0.0.1:1", "up").await;
        assert!(failed(&away).starts_with("Prometheus at http://127.0.0.1:1 is unreachable: "), "{away:?}");
        let slow = serve("/api/v1/query", post(std::future::pending::<String>)).await;
        let late = asked_within(&slow, "up", Duration::from_millis(500)).await;
        assert_eq!(failed(&late), format!("Prometheus at {slow} did not answer within 0.5s"));
        let talkative = serve("/api/v1/query", post(|| async { "x".repeat(2 * super::super::answer::LARGEST) })).await;
        assert!(failed(&asked(&talkative, "up").await).contains("larger than"));
        assert!(failed(&asked(&endless().await, "up").await).contains("larger than"), "it is not read to its end");
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
    async fn addresses_of_the_machine_are_refused() {
        let clients = clients(&Allowed { sources: vec!["http://*.localhost:1".parse().unwrap()], ..Allowed::default() });
        let asked = async |address: &str| read(clients.of("web"), (address, &HeaderMap::new()), ("up", None), PATIENCE).await;
        let by_name = asked("http://prom.localhost:1").await;
        assert!(matches!(by_name, Reading::Failed(_)), "{by_name:?}");
        let by_address = asked("http://127.0.0.1:1").await;
        assert!(failed(&by_address).contains("the operator's own machine"), "{by_address:?}");
    }

    #[tokio::test]
    async fn a_password_in_the_address_is_not_shown() {
        for address in ["http://me:secret@127.0.0.1:1", "http://me:secret@127.0.0.1:99999"] {
            let told = asked(address, "up").await;
            assert!(!failed(&told).contains("secret"), "{told:?}");
        }
    }
}
