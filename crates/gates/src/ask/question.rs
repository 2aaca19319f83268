//! What a metric asks of its source, and how an answer that isn't Prometheus' is read.

use super::{
    headers,
    json_path::JsonPath,
    variables::{self, Variables},
};
use crate::{
    invalid::Invalid,
    reading::Reading,
    text::{EXCERPT, Words, excerpt, shortened},
};
use bluegreen_api::{HttpMethod, WebHeader, WebQuery};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;
use serde_json::Value;
use std::{fmt, sync::Arc, time::Duration};

/// What a source is asked about when nothing else is said: some scrapes' worth of numbers.
const DEFAULT_WINDOW: Duration = Duration::from_secs(300);

/// One question, with its variables in it or put in.
#[derive(Clone, Debug, PartialEq)]
pub enum Question {
    Prometheus {
        address: String,
        /// Sent along with the query.
        headers: Arc<HeaderMap>,
        query: String,
        /// Now, unless it is another time.
        at: Option<Timestamp>,
    },
    /// Not for one number but for the buckets of histograms.
    Buckets {
        address: String,
        headers: Arc<HeaderMap>,
        query: String,
    },
    Web(Box<WebQuestion>),
    /// It would ask about pods, and none of them is seen: why nothing is asked.
    Nobody(String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct WebQuestion {
    pub method: Method,
    pub url: String,
    pub headers: HeaderMap<HeaderSource>,
    pub body: Option<String>,
    /// How far back it asks.
    pub window: Duration,
    /// Where the number is in the answer.
    pub path: JsonPath,
}

#[derive(Clone, Debug, PartialEq)]
pub enum HeaderSource {
    Value(HeaderValue),
    /// A key of the Secret with the credentials.
    SecretKey(String),
}

impl Question {
    /// Of the web, with everything that can be wrong found before anybody is asked.
    pub fn of_web(web: &WebQuery) -> Result<Self, Invalid> {
        variables::check_window_url(&web.url)?;
        let method = match web.method.unwrap_or(HttpMethod::GET) {
            HttpMethod::GET => Method::GET,
            HttpMethod::POST => Method::POST,
            other => return Err(Invalid(format!("web.method must be GET or POST, not {}", other.as_str()))),
        };
        if web.body.is_some() && method != Method::POST {
            return Err(Invalid("a body needs a method that sends one: set method to POST".into()));
        }
        web.body.iter().try_for_each(|body| variables::check_window_variables(body, "body"))?;
        let mut headers = HeaderMap::default();
        for header in &web.headers {
            let (name, source) = read(header, web)?;
            if headers.insert(name.clone(), source).is_some() {
                return Err(Invalid(format!("the header {:?} is set twice: keep one", name.as_str())));
            }
        }
        let window = web.window.map_or(DEFAULT_WINDOW, |window| window.0);
        let path = JsonPath::of("jsonPath", &web.json_path)?;
        Ok(Self::Web(Box::new(WebQuestion { method, url: web.url.clone(), headers, body: web.body.clone(), window, path })))
    }

    /// What may have variables.
    fn texts(&self) -> Vec<&str> {
        match self {
            Self::Prometheus { query, .. } | Self::Buckets { query, .. } => vec![query],
            Self::Web(web) => [Some(web.url.as_str()), web.body.as_deref()].into_iter().flatten().collect(),
            Self::Nobody(_) => vec![],
        }
    }

    /// Whether it asks for a time that can be another one than now.
    pub(crate) fn asks_for_a_time(&self) -> bool {
        match self {
            Self::Prometheus { .. } => true,
            Self::Buckets { .. } | Self::Nobody(_) => false,
            Self::Web(web) => variables::asks_for_a_time(&web.url) || web.body.as_deref().is_some_and(variables::asks_for_a_time),
        }
    }

    /// The same about that time; one to the web has it in its variables, and buckets are asked for as they are now.
    pub fn about(self, time: Timestamp) -> Self {
        match self {
            Self::Prometheus { address, headers, query, .. } => Self::Prometheus { address, headers, query, at: Some(time) },
            Self::Buckets { .. } | Self::Web(_) | Self::Nobody(_) => self,
        }
    }

    pub fn resolved(&self, variables: &Variables<'_>) -> Self {
        if let Some(why) = self.texts().into_iter().find_map(|text| variables.nobody(text)) {
            return Self::Nobody(why);
        }
        match self {
            Self::Nobody(_) => self.clone(),
            Self::Prometheus { address, headers, query, at } => {
                let query = variables::resolve(query, variables);
                Self::Prometheus { address: address.clone(), headers: headers.clone(), query, at: *at }
            }
            Self::Buckets { address, headers, query } => {
                Self::Buckets { address: address.clone(), headers: headers.clone(), query: variables::resolve(query, variables) }
            }
            Self::Web(web) => {
                let variables = &Variables { window: web.window, ..variables.clone() };
                Self::Web(Box::new(WebQuestion {
                    url: variables::resolve_url(&web.url, variables),
                    body: web.body.as_ref().map(|body| variables::resolve(body, variables)),
                    ..(**web).clone()
                }))
            }
        }
    }
}

/// As a person would ask it.
impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prometheus { query, at: None, .. } | Self::Buckets { query, .. } => f.write_str(query),
            Self::Nobody(why) => write!(f, "# {why}"),
            // As a comment of PromQL.
            Self::Prometheus { query, at: Some(at), .. } => write!(f, "{query} # at {at}"),
            Self::Web(web) => {
                write!(f, "{} {}", web.method, web.url)?;
                web.body.iter().try_for_each(|body| write!(f, " {body}"))
            }
        }
    }
}

/// The longest question in status, in characters.
const LONGEST: usize = 1024;

/// As it is told in status, whose size is bounded.
pub fn shown(question: &Question) -> String {
    shortened(&question.to_string(), LONGEST)
}

fn read(header: &WebHeader, web: &WebQuery) -> Result<(HeaderName, HeaderSource), Invalid> {
    let wrong = |why: &str| Invalid(format!("the header {:?} {why}", header.name));
    let name = headers::header_name(&header.name)?;
    let source = match (&header.value, &header.secret_key) {
        (Some(value), None) => HeaderSource::Value(headers::header_value(&header.name, value)?),
        (None, Some(_)) if web.credentials.is_none() => {
            return Err(wrong("has a secretKey, which is a key of the Secret that credentials names: set credentials.secretName"));
        }
        (None, Some(key)) => HeaderSource::SecretKey(key.clone()),
        _ => return Err(wrong("needs exactly one of value and secretKey")),
    };
    Ok((name, source))
}

impl WebQuestion {
    /// The number in an answer.
    pub fn reading(&self, body: &[u8], words: Words) -> Reading {
        let Ok(value) = serde_json::from_slice::<Value>(body) else {
            return Reading::Failed(format!("the answer is not JSON{}", words.of(body)));
        };
        let found = match self.path.find(&value) {
            Ok(found) => found,
            Err(why) => return Reading::Failed(format!("{} {why}", self.path)),
        };
        match found.as_slice() {
            [] | [Value::Null] => Reading::NoData,
            [Value::Number(number)] => number.as_f64().map_or(Reading::NotANumber, Reading::Value),
            [Value::String(text)] => match text.trim().parse::<f64>() {
                Ok(number) if number.is_nan() => Reading::NotANumber,
                Ok(number) => Reading::Value(number),
                Err(_) => self.no_number(&found[0].to_string(), words),
            },
            [other] => self.no_number(&other.to_string(), words),
            several => Reading::Failed(format!("{} finds {} values in the answer; write a path that finds one", self.path, several.len())),
        }
    }

    fn no_number(&self, what: &str, words: Words) -> Reading {
        if words == Words::Withheld {
            return Reading::Failed(format!("{} finds in the answer what is not a number", self.path));
        }
        Reading::Failed(format!("{} finds {} in the answer, which is not a number", self.path, excerpt(what.as_bytes(), EXCERPT)))
    }
}

/// Whose credentials a source is shown: those of who named its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose<S> {
    Nobody,
    /// A Secret's, in the rollout's namespace.
    Secret(S),
    /// What the operator was given for its own Prometheus, if it was given anything.
    Operator,
}

impl<S> Whose<S> {
    pub(crate) fn named(secret: Option<S>) -> Self {
        secret.map_or(Self::Nobody, Self::Secret)
    }
}

/// A Secret by its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Secret {
    pub namespace: String,
    pub name: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn web(fields: Value) -> WebQuery {
        let mut all = json!({"url": "https://numbers/q", "jsonPath": "$.value"});
        all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    fn question(fields: Value) -> WebQuestion {
        let Question::Web(question) = Question::of_web(&web(fields)).unwrap() else { panic!("of another kind") };
        *question
    }

    #[test]
    fn an_answer_holds_one_number_or_it_is_told_what_it_holds() {
        let failed = |why: &str| Reading::Failed(why.to_owned());
        for (path, body, reading) in [
            ("$.value", r#"{"value": 0.25}"#, Reading::Value(0.25)),
            ("$.value", r#"{"value": " 12 "}"#, Reading::Value(12.0)),
            ("$.value", r#"{"value": "NaN"}"#, Reading::NotANumber),
            ("$.value", r#"{"value": "+Inf"}"#, Reading::Value(f64::INFINITY)),
            ("$.value", r#"{"value": null}"#, Reading::NoData),
            ("$.value", r#"{"values": []}"#, Reading::NoData),
            ("$.series[0].pointlist[-1][1]", r#"{"series": [{"pointlist": [[1, 5.0], [2, 7.5]]}]}"#, Reading::Value(7.5)),
            // As Graphite and InfluxDB answer; with null for a point that is still to come, and without series where there are no points.
            (
                "$[0].datapoints[-1][0]",
                r#"[{"target": "shop.p95", "datapoints": [[1.5, 1800000000], [2.25, 1800000010]]}]"#,
                Reading::Value(2.25),
            ),
            (
                "$[0].datapoints[-1][0]",
                r#"[{"target": "shop.p95", "datapoints": [[1.5, 1800000000], [null, 1800000010]]}]"#,
                Reading::NoData,
            ),
            ("$[0].datapoints[-1][0]", "[]", Reading::NoData),
            (
                "$.results[0].series[0].values[0][1]",
                r#"{"results": [{"statement_id": 0, "series": [{"columns": ["time", "mean"], "values": [["1970-01-01T00:00:00Z", 12.5]]}]}]}"#,
                Reading::Value(12.5),
            ),
            ("$.results[0].series[0].values[0][1]", r#"{"results": [{"statement_id": 0}]}"#, Reading::NoData),
            ("$[*].v", r#"[{"v": 1}, {"v": 2}]"#, failed("$[*].v finds 2 values in the answer; write a path that finds one")),
            ("$.value", r#"{"value": "many"}"#, failed("$.value finds \"many\" in the answer, which is not a number")),
            ("$.value", r#"{"value": {"a": true}}"#, failed("$.value finds {\"a\":true} in the answer, which is not a number")),
            ("$.value", "<html>", failed("the answer is not JSON: \"<html>\"")),
        ] {
            assert_eq!(question(json!({"jsonPath": path})).reading(body.as_bytes(), Words::Quoted), reading, "{path} in {body}");
        }
    }

    #[test]
    fn words_of_an_answer_from_outside_are_withheld() {
        for body in [r#"{"value": "secret"}"#, r#"{"value": ["secret"]}"#, "secret"] {
            let Reading::Failed(why) = question(json!({})).reading(body.as_bytes(), Words::Withheld) else { panic!("{body}") };
            assert!(!why.contains("secret"), "{why}");
        }
    }

    #[test]
    fn an_answer_too_long_to_walk_is_a_failure_of_its_source() {
        let body = format!("[{}1]", "1,".repeat(400_000));
        let path = "$..[?@ == @ && @ == 0]";
        let why = format!(
            "{path} takes more than 1000000 steps through the answer: write a path that visits fewer values, or return a smaller answer"
        );
        assert_eq!(question(json!({"jsonPath": path})).reading(body.as_bytes(), Words::Quoted), Reading::Failed(why));
    }

    #[test]
    fn what_is_wrong_with_a_request_is_told_before_anybody_is_asked() {
        for (fields, why) in [
            (json!({"url": "https://numbers/{{ pod }}"}), "the url has an unknown variable {{ pod }}"),
            (json!({"method": "POST", "body": "{{ pod }}"}), "the body has an unknown variable {{ pod }}"),
            (json!({"method": "DELETE"}), "web.method must be GET or POST, not DELETE"),
            (json!({"body": "a"}), "a body needs a method that sends one: set method to POST"),
            (json!({"jsonPath": "$["}), "jsonPath \"$[\" is not a valid JSONPath: "),
            (json!({"jsonPath": "$..a..b"}), "jsonPath \"$..a..b\" uses .. twice"),
            (json!({"headers": [{"name": "a"}]}), "the header \"a\" needs exactly one of value and secretKey"),
            (json!({"headers": [{"name": "a", "value": "1"}, {"name": "A", "value": "2"}]}), "the header \"a\" is set twice: keep one"),
            (json!({"headers": [{"name": "upgrade", "value": "1"}]}), "the header \"upgrade\" is set by the HTTP client: remove it"),
            (json!({"headers": [{"name": "a", "secretKey": "k"}]}), "the header \"a\" has a secretKey, which is a key of the Secret that"),
        ] {
            let error = Question::of_web(&web(fields.clone())).unwrap_err().to_string();
            assert!(error.starts_with(why), "{fields}: {error}");
        }
    }
}
