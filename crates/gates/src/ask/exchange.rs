//! A request, what must come back, and how an answer falls short of that.

use super::{
    LONGEST_ANSWER,
    headers::{headers, named},
    json_path::{JsonPath, TooLarge},
};
use crate::{
    invalid::Invalid,
    text::{EXCERPT, Words, excerpt},
};
use bluegreen_api::{ExpectedBody, HttpCheck, HttpMethod};
use http::{HeaderMap, Method};
use memchr::memmem;
use serde_json::Value;
use std::time::Duration;

/// A request, and what must come back.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    pub method: Method,
    pub headers: HeaderMap,
    pub body: Option<String>,
    /// Empty: 200 to 299.
    pub expected: Vec<u16>,
    pub expected_body: Option<BodyRule>,
    pub max_latency: Option<Duration>,
    pub timeout: Duration,
    pub attempts: u32,
    pub interval: Duration,
}

/// What must be in the body of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct BodyRule {
    pub contains: Option<String>,
    pub json: Option<JsonRule>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct JsonRule {
    pub path: JsonPath,
    /// The text of every value that is found.
    pub equals: Option<String>,
}

/// Why an answer doesn't pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Short {
    /// It is not as expected.
    Failed(String),
    /// Nobody can say: looking through it takes too long.
    Unjudged(String),
}

impl Short {
    /// With this before its words.
    pub fn after(self, before: &str) -> Self {
        match self {
            Self::Failed(why) => Self::Failed(format!("{before}{why}")),
            Self::Unjudged(why) => Self::Unjudged(format!("{before}{why}")),
        }
    }
}

/// What came back.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    pub status: u16,
    pub took: Duration,
    /// As far as it was read.
    pub body: &'a [u8],
    pub words: Words,
}

pub fn exchange(http: &HttpCheck, interval: Duration) -> Result<Exchange, Invalid> {
    let method = http.method.unwrap_or(HttpMethod::GET);
    if http.body.is_some() && matches!(method, HttpMethod::GET | HttpMethod::HEAD) {
        return Err(Invalid("a body needs a method that sends one: set method to POST, PUT or PATCH".into()));
    }
    if http.expected_body.is_some() && method == HttpMethod::HEAD {
        return Err(Invalid("answers to HEAD have no body: choose another method, or leave expectedBody out".into()));
    }
    let timeout = http.timeout.map_or(Duration::from_secs(5), |timeout| timeout.0).min(LONGEST_ANSWER);
    if let Some(latency) = http.max_latency.filter(|latency| latency.0 > timeout) {
        let timeout = bluegreen_api::Duration(timeout);
        return Err(Invalid(format!("maxLatency ({latency}) must not exceed timeout ({timeout})")));
    }
    Ok(Exchange {
        method: Method::from_bytes(method.as_str().as_bytes()).unwrap_or_default(),
        headers: headers(named(&http.headers))?,
        body: http.body.clone(),
        expected: http.expected_statuses.iter().filter_map(|status| u16::try_from(*status).ok()).collect(),
        expected_body: http.expected_body.as_ref().map(body_rule).transpose()?,
        max_latency: http.max_latency.map(|latency| latency.0),
        timeout,
        attempts: http.attempts.and_then(|attempts| u32::try_from(attempts).ok()).unwrap_or(3).max(1),
        interval,
    })
}

pub fn body_rule(expected: &ExpectedBody) -> Result<BodyRule, Invalid> {
    let ExpectedBody { contains, json_path: path, equals } = expected;
    if contains.as_ref().is_some_and(String::is_empty) {
        return Err(Invalid("expectedBody.contains is empty and matches every body: remove it".into()));
    }
    let json = match (path, equals) {
        (None, Some(_)) => return Err(Invalid("expectedBody.equals needs a jsonPath that finds what to compare".into())),
        (None, None) if contains.is_none() => {
            return Err(Invalid("expectedBody is empty: set contains, jsonPath, or both".into()));
        }
        (None, None) => None,
        (Some(path), equals) => Some(JsonRule { path: JsonPath::of("expectedBody.jsonPath", path)?, equals: equals.clone() }),
    };
    Ok(BodyRule { contains: contains.clone(), json })
}

impl Exchange {
    /// How an answer falls short, if it does: a sentence but for the name of who gave it. `on` says where, as ` on /healthz`.
    pub fn against(&self, on: &str, answer: Answer<'_>) -> Result<(), Short> {
        let Answer { status, took, body, words } = answer;
        if !self.expects(status) {
            return Err(Short::Failed(format!("answered {status}{on}, expected {}{}", self.statuses(), words.of(body))));
        }
        if let Some(rule) = &self.expected_body {
            rule.against(body, words).map_err(|short| short.after(&format!("answered {status}{on}, but ")))?;
        }
        let late = self.max_latency.filter(|most| took > *most);
        late.map_or(Ok(()), |most| {
            let (took, most) = (took.as_millis(), most.as_millis());
            Err(Short::Failed(format!("answered {status}{on} after {took} ms (maxLatency {most} ms)")))
        })
    }

    pub fn expects(&self, status: u16) -> bool {
        if self.expected.is_empty() { (200..=299).contains(&status) } else { self.expected.contains(&status) }
    }

    pub fn statuses(&self) -> String {
        if self.expected.is_empty() {
            return "200-299".to_owned();
        }
        self.expected.iter().map(u16::to_string).collect::<Vec<_>>().join(" or ")
    }
}

impl BodyRule {
    fn against(&self, body: &[u8], words: Words) -> Result<(), Short> {
        if let Some(text) = &self.contains
            && memmem::find(body, text.as_bytes()).is_none()
        {
            return Err(Short::Failed(format!("its body does not contain {:?}{}", excerpt(text.as_bytes(), EXCERPT), words.of(body))));
        }
        self.json.as_ref().map_or(Ok(()), |rule| rule.against(body, words))
    }
}

impl JsonRule {
    fn against(&self, body: &[u8], words: Words) -> Result<(), Short> {
        let Self { path, equals } = self;
        let not_json = |_| Short::Failed(format!("its body is not JSON{}", words.of(body)));
        let value: Value = serde_json::from_slice(body).map_err(not_json)?;
        let found = path.find(&value).map_err(|why: TooLarge| Short::Unjudged(format!("{path} {why}")))?;
        if found.is_empty() {
            return Err(Short::Failed(format!("{path} finds nothing in its body{}", words.of(body))));
        }
        let other = equals.as_ref().and_then(|wanted| Some((wanted, found.into_iter().map(text_of).find(|text| text != wanted)?)));
        other.map_or(Ok(()), |(wanted, other)| {
            let (other, wanted) = (excerpt(other.as_bytes(), EXCERPT), excerpt(wanted.as_bytes(), EXCERPT));
            Err(Short::Failed(match words {
                Words::Quoted => format!("{path} is {other:?} in its body, expected {wanted:?}"),
                Words::Withheld => format!("{path} is something else in its body than the expected {wanted:?}"),
            }))
        })
    }
}

pub fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn exchange_of(http: &Value) -> Exchange {
        exchange(&serde_json::from_value(http.clone()).unwrap(), Duration::from_secs(2)).unwrap()
    }

    /// How an answer with this status, after so many milliseconds, with this body falls short.
    fn against(http: &Value, (status, millis, body): (u16, u64, &str)) -> Option<String> {
        let answer = Answer { status, took: Duration::from_millis(millis), body: body.as_bytes(), words: Words::Quoted };
        failed(exchange_of(http).against(" on /", answer))
    }

    fn failed(judged: Result<(), Short>) -> Option<String> {
        judged.err().map(|short| match short {
            Short::Failed(why) => why,
            Short::Unjudged(why) => panic!("not judged: {why}"),
        })
    }

    #[test]
    fn an_answer_passes_by_status_body_and_time() {
        let all = json!({"expectedStatuses": [200, 418], "maxLatency": "300ms", "expectedBody": {"contains": "up", "jsonPath": "$.state", "equals": "up"}});
        let good = r#"{"state": "up"}"#;
        let cases = [
            (json!({}), (200, 9_000, ""), None),
            (json!({}), (299, 0, ""), None),
            (json!({}), (199, 0, ""), Some("answered 199 on /, expected 200-299")),
            (json!({}), (300, 0, "moved"), Some("answered 300 on /, expected 200-299: \"moved\"")),
            (all.clone(), (418, 300, good), None),
            (all.clone(), (201, 300, good), Some("answered 201 on /, expected 200 or 418: \"{\\\"state\\\": \\\"up\\\"}\"")),
            (all.clone(), (200, 301, good), Some("answered 200 on / after 301 ms (maxLatency 300 ms)")),
            (
                all,
                (200, 0, r#"{"state": "down", "was": "up"}"#),
                Some("answered 200 on /, but $.state is \"down\" in its body, expected \"up\""),
            ),
        ];
        for (http, answer, expected) in cases {
            assert_eq!(against(&http, answer).as_deref(), expected, "{http} {answer:?}");
        }
    }

    #[test]
    fn a_json_path_finds_something_or_only_the_expected() {
        let body = r#"{"n": 3, "ok": true, "none": null, "text": "a b", "list": ["up", "up"], "mixed": ["up", "down"], "map": {"a": 1}}"#;
        let cases = [
            ("$.text", None, None),
            ("$.none", None, None),
            ("$.list[0]", Some("up"), None),
            ("$.list[*]", Some("up"), None),
            ("$.mixed[*]", Some("up"), Some("$.mixed[*] is \"down\" in its body, expected \"up\"")),
            ("$.n", Some("3"), None),
            ("$.n", Some("3.0"), Some("$.n is \"3\" in its body, expected \"3.0\"")),
            ("$.ok", Some("true"), None),
            ("$.none", Some("null"), None),
            ("$.text", Some("a b"), None),
            ("$.map", Some(r#"{"a":1}"#), None),
            ("$.list[?@ == 'up']", None, None),
        ];
        for (path, equals, expected) in cases {
            let rule = body_rule(&ExpectedBody { contains: None, json_path: Some(path.into()), equals: equals.map(Into::into) }).unwrap();
            assert_eq!(failed(rule.against(body.as_bytes(), Words::Quoted)).as_deref(), expected, "{path} {equals:?}");
        }
        let rule = body_rule(&ExpectedBody { contains: None, json_path: Some("$.state".into()), equals: None }).unwrap();
        assert_eq!(failed(rule.against(b"[]", Words::Quoted)).as_deref(), Some("$.state finds nothing in its body: \"[]\""));
        assert_eq!(failed(rule.against(b"<html>", Words::Quoted)).as_deref(), Some("its body is not JSON: \"<html>\""));
        assert_eq!(failed(rule.against(b"", Words::Quoted)).as_deref(), Some("its body is not JSON"));
    }

    #[test]
    fn an_answer_that_takes_too_long_to_walk_has_not_failed() {
        let http = json!({"expectedBody": {"jsonPath": "$..[?@ == @ && @ != 0]", "equals": "up"}});
        let body = format!("[{}1]", "1,".repeat(400_000));
        let answer = Answer { status: 200, took: Duration::ZERO, body: body.as_bytes(), words: Words::Quoted };
        let why = "answered 200 on /, but $..[?@ == @ && @ != 0] takes more than 1000000 steps through the answer: write a path that visits \
                   fewer values, or return a smaller answer";
        assert_eq!(exchange_of(&http).against(" on /", answer), Err(Short::Unjudged(why.into())));
        let other = Answer { status: 500, ..answer };
        assert!(matches!(exchange_of(&http).against(" on /", other), Err(Short::Failed(_))), "its status says enough");
    }

    /// Each of a million places would be held against four thousand characters.
    #[test]
    fn a_text_that_nearly_matches_everywhere_is_looked_for_once() {
        let rule = body_rule(&ExpectedBody { contains: Some(format!("{}b", "a".repeat(4095))), ..ExpectedBody::default() }).unwrap();
        assert!(rule.against("a".repeat(1024 * 1024).as_bytes(), Words::Quoted).is_err());
    }

    #[test]
    fn words_of_an_answer_can_be_withheld() {
        let secret = r#"{"state": "secret"}"#;
        let told = |http: Value, status: u16, body: &str| {
            let answer = Answer { status, took: Duration::ZERO, body: body.as_bytes(), words: Words::Withheld };
            failed(exchange_of(&http).against("", answer)).unwrap()
        };
        for (expected, body, why) in [
            (json!({"equals": "up", "jsonPath": "$.state"}), secret, "$.state is something else in its body than the expected \"up\""),
            (json!({"jsonPath": "$.none"}), secret, "$.none finds nothing in its body"),
            (json!({"jsonPath": "$.none"}), "secret", "its body is not JSON"),
            (json!({"contains": "up"}), secret, "its body does not contain \"up\""),
        ] {
            assert_eq!(told(json!({"expectedBody": expected}), 200, body), format!("answered 200, but {why}"));
        }
        assert_eq!(told(json!({}), 500, "secret"), "answered 500, expected 200-299");
    }

    #[test]
    fn text_is_found_to_the_letter_and_other_text_is_excerpted() {
        let rule = body_rule(&ExpectedBody { contains: Some("shop 2".into()), ..ExpectedBody::default() }).unwrap();
        for good in ["shop 2", "the shop 2!", "ü shop 2"] {
            assert_eq!(rule.against(good.as_bytes(), Words::Quoted), Ok(()), "{good}");
        }
        for bad in ["Shop 2", "shop  2", "shop "] {
            assert!(rule.against(bad.as_bytes(), Words::Quoted).is_err(), "{bad}");
        }
        assert_eq!(failed(rule.against(b"", Words::Quoted)).as_deref(), Some("its body does not contain \"shop 2\""));
        assert_eq!(Words::Quoted.of(b"a\r\n\tb\0  c"), ": \"a b c\"");
        assert_eq!(Words::Quoted.of("ü".repeat(500).as_bytes()), format!(": \"{}…\"", "ü".repeat(EXCERPT - 1)));
        assert_eq!(Words::Quoted.of(&[b'a', 0xff]), ": \"a\u{fffd}\"");
    }
}
