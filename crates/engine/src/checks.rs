//! Checks as `spec` defines them, read once with their defaults; and what an answer must be to pass.

use crate::{
    gates,
    job::{self, JobPlan},
    observed::CheckOutcome,
    plan::Invalid,
    query::{self, Variables},
};
use bluegreen_api::{Check, ExpectedBody, Gate, GateState, HttpCheck, HttpHeader, HttpMethod, Scheme, Tries, WebhookCheck};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};
use serde_json_path::JsonPath;
use std::time::Duration;

/// The header by which a webhook knows who asks.
pub const SIGNATURE: &str = "bluegreen-signature";

/// Headers that follow from the request itself: one that says otherwise would break it.
const OWN: [&str; 8] = ["connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];

/// From a Job that could not be created, or was deleted, to the next try.
const BEFORE_ANOTHER_JOB: Duration = Duration::from_secs(10);

/// Characters of an answer that are told.
pub(crate) const EXCERPT: usize = 80;

/// A check with its defaults.
#[derive(Clone, Debug)]
pub struct CheckPlan {
    pub kind: CheckKind,
    /// From one result to the next try, when it settled nothing.
    pub interval: Duration,
}

#[derive(Clone, Debug)]
pub enum CheckKind {
    /// Each ready pod is asked.
    Pods {
        scheme: Scheme,
        path: String,
        port: Option<IntOrString>,
        exchange: Box<Exchange>,
    },
    Url {
        url: String,
        exchange: Box<Exchange>,
    },
    /// One measurement is one try: hours of them hold nothing up, and those that are recorded survive a restart.
    Webhook {
        url: String,
        headers: HeaderMap,
        timeout: Duration,
        attempts: i32,
    },
    Job(Box<JobPlan>),
}

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

/// What came back.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    pub status: u16,
    pub took: Duration,
    /// As far as it was read.
    pub body: &'a [u8],
}

/// What is wrong with a check is told when `spec` is read, not when somebody is asked.
pub(crate) fn plan(check: &Check) -> Result<CheckPlan, Invalid> {
    match (&check.http, &check.job, &check.webhook) {
        (Some(http), None, None) => http_plan(http),
        (None, Some(job), None) => {
            Ok(CheckPlan { kind: CheckKind::Job(Box::new(JobPlan::of(job, job::STAYS)?)), interval: BEFORE_ANOTHER_JOB })
        }
        (None, None, Some(webhook)) => webhook_plan(webhook),
        _ => Err(Invalid("set exactly one kind of check: http, job or webhook".into())),
    }
}

fn http_plan(http: &HttpCheck) -> Result<CheckPlan, Invalid> {
    let interval = http.interval.map_or(Duration::from_secs(2), |interval| interval.0);
    let exchange = Box::new(exchange(http, interval)?);
    let Some(url) = &http.url else {
        let path = http.path.clone().unwrap_or_else(|| "/".into());
        let kind = CheckKind::Pods { scheme: http.scheme.unwrap_or(Scheme::HTTP), path, port: http.port.clone(), exchange };
        return Ok(CheckPlan { kind, interval });
    };
    if http.scheme.is_some() || http.path.is_some() || http.port.is_some() {
        return Err(Invalid("url has a scheme, a port and a path of its own: leave scheme, port and path out".into()));
    }
    query::check_url(url)?;
    Ok(CheckPlan { kind: CheckKind::Url { url: url.clone(), exchange }, interval })
}

fn exchange(http: &HttpCheck, interval: Duration) -> Result<Exchange, Invalid> {
    let method = http.method.unwrap_or(HttpMethod::GET);
    if http.body.is_some() && matches!(method, HttpMethod::GET | HttpMethod::HEAD) {
        return Err(Invalid("a body needs a method that sends one: set method to POST, PUT or PATCH".into()));
    }
    if http.expected_body.is_some() && method == HttpMethod::HEAD {
        return Err(Invalid("answers to HEAD have no body: choose another method, or leave expectedBody out".into()));
    }
    let timeout = http.timeout.map_or(Duration::from_secs(5), |timeout| timeout.0);
    if let Some(latency) = http.max_latency.filter(|latency| latency.0 > timeout) {
        let timeout = bluegreen_api::Duration(timeout);
        return Err(Invalid(format!("maxLatency ({latency}) is longer than timeout ({timeout}), after which nobody waits for an answer")));
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

fn body_rule(expected: &ExpectedBody) -> Result<BodyRule, Invalid> {
    let ExpectedBody { contains, json_path: path, equals } = expected;
    if contains.as_ref().is_some_and(String::is_empty) {
        return Err(Invalid("expectedBody.contains is empty, which is in every body: leave it out".into()));
    }
    let json = match (path, equals) {
        (None, Some(_)) => return Err(Invalid("expectedBody.equals needs a jsonPath that finds what to compare".into())),
        (None, None) if contains.is_none() => {
            return Err(Invalid("expectedBody says nothing to expect: set contains, jsonPath, or both".into()));
        }
        (None, None) => None,
        (Some(path), equals) => Some(JsonRule { path: json_path("expectedBody.jsonPath", path)?, equals: equals.clone() }),
    };
    Ok(BodyRule { contains: contains.clone(), json })
}

pub(crate) fn json_path(field: &str, path: &str) -> Result<JsonPath, Invalid> {
    let read = JsonPath::parse(path).map_err(|error| Invalid(format!("{field} {path:?} is no JSONPath: {error}")))?;
    if is_costly(path) {
        let why = "uses .. twice, or $ in a filter, which may take for ever on a large answer";
        return Err(Invalid(format!("{field} {path:?} {why}: write a path that goes through the answer once")));
    }
    Ok(read)
}

/// Whether a path may visit what is in an answer more often than once for each of its parts.
fn is_costly(path: &str) -> bool {
    let (mut bare, mut quote, mut escaped) = (String::new(), None, false);
    for c in path.chars() {
        match quote {
            Some(end) => {
                quote = (c != end || escaped).then_some(end);
                escaped = c == '\\' && !escaped;
            }
            None if matches!(c, '\'' | '"') => quote = Some(c),
            None => bare.push(c),
        }
    }
    bare.matches("..").count() > 1 || bare.matches('$').count() > 1
}

fn webhook_plan(webhook: &WebhookCheck) -> Result<CheckPlan, Invalid> {
    query::check_url(&webhook.url)?;
    let headers = headers(named(&webhook.headers))?;
    if headers.contains_key(SIGNATURE) {
        return Err(Invalid("the header Bluegreen-Signature is the operator's own: leave it out".into()));
    }
    let timeout = webhook.timeout.map_or(Duration::from_secs(10), |timeout| timeout.0);
    let interval = webhook.interval.map_or(Duration::from_secs(2), |interval| interval.0).max(Duration::from_secs(1));
    let attempts = webhook.attempts.unwrap_or(3).max(1);
    Ok(CheckPlan { kind: CheckKind::Webhook { url: webhook.url.clone(), headers, timeout, attempts }, interval })
}

fn named(asked: &[HttpHeader]) -> impl Iterator<Item = (&String, &String)> {
    asked.iter().map(|header| (&header.name, &header.value))
}

pub(crate) fn headers<'a>(asked: impl IntoIterator<Item = (&'a String, &'a String)>) -> Result<HeaderMap, Invalid> {
    let mut headers = HeaderMap::new();
    for (name, value) in asked {
        if headers.insert(header_name(name)?, header_value(name, value)?).is_some() {
            return Err(Invalid(format!("the header {name:?} is there twice: keep one")));
        }
    }
    Ok(headers)
}

pub(crate) fn header_name(name: &str) -> Result<HeaderName, Invalid> {
    let wrong = |why: &str| Invalid(format!("the header {name:?} {why}"));
    let read = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("has a name that no header can have"))?;
    if OWN.contains(&read.as_str()) {
        return Err(wrong("follows from the request itself: leave it out"));
    }
    Ok(read)
}

pub(crate) fn header_value(name: &str, value: &str) -> Result<HeaderValue, Invalid> {
    HeaderValue::from_str(value).map_err(|_| Invalid(format!("the header {name:?} has a value with other characters than visible ASCII")))
}

/// What a webhook is told.
pub(crate) fn question(variables: &Variables<'_>, gate: &str, image: &str, attempt: i64) -> String {
    let Variables { namespace, rollout, color, revision, .. } = variables;
    json!({
        "namespace": namespace,
        "rollout": rollout,
        "gate": gate,
        "color": color,
        "revision": revision,
        "image": image,
        "attempt": attempt,
    })
    .to_string()
}

/// Adds what came of a check to its gate.
pub(crate) fn add(gate: &mut Gate, plan: &CheckPlan, outcome: &CheckOutcome, at: Timestamp) {
    let attempts = match plan.kind {
        CheckKind::Pods { .. } | CheckKind::Job(_) => None,
        // It makes its tries by itself.
        CheckKind::Url { .. } => Some(1),
        CheckKind::Webhook { attempts, .. } => Some(attempts),
    };
    let (state, message) = match (outcome, attempts) {
        (CheckOutcome::Passed(message), _) => (GateState::Passed, message.clone()),
        (CheckOutcome::Failed(message), None | Some(1)) => (GateState::Failed, message.clone()),
        (CheckOutcome::NotDone(message), None) => {
            if matches!(plan.kind, CheckKind::Job(_)) {
                // The next try has its time, also when this one is recorded.
                gate.tries = Some(Tries { failed: 0, at });
            }
            (GateState::Running, message.clone())
        }
        (CheckOutcome::Failed(message) | CheckOutcome::NotDone(message), Some(attempts)) => {
            let mut tries = gate.tries.clone().unwrap_or(Tries { failed: 0, at: Timestamp::MIN });
            if at <= tries.at {
                // It is counted already.
                return;
            }
            tries.at = at;
            let told = if matches!(outcome, CheckOutcome::NotDone(_)) {
                (GateState::Running, message.clone())
            } else {
                tries.failed = tries.failed.saturating_add(1);
                let state = if tries.failed >= attempts { GateState::Failed } else { GateState::Running };
                (state, gates::around("", message, &format!(" (try {} of {attempts})", tries.failed)))
            };
            gate.tries = Some(tries);
            told
        }
    };
    gates::turn(gate, state, gates::bounded(&message), at);
}

impl Exchange {
    /// How an answer falls short, if it does: a sentence but for the name of who gave it. `on` says where, as ` on /healthz`.
    pub fn against(&self, on: &str, answer: Answer<'_>) -> Option<String> {
        let Answer { status, took, body } = answer;
        if !self.expects(status) {
            return Some(format!("answered {status}{on}, expected {}{}", self.statuses(), told(body)));
        }
        if let Some(why) = self.expected_body.as_ref().and_then(|rule| rule.against(body)) {
            return Some(format!("answered {status}{on}, but {why}"));
        }
        let late = self.max_latency.filter(|most| took > *most)?;
        Some(format!("answered {status}{on} after {} ms, more than the {} ms of maxLatency", took.as_millis(), late.as_millis()))
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
    fn against(&self, body: &[u8]) -> Option<String> {
        if let Some(text) = &self.contains
            && !body.windows(text.len()).any(|part| part == text.as_bytes())
        {
            return Some(format!("its body is without {:?}{}", excerpt(text.as_bytes(), EXCERPT), told(body)));
        }
        self.json.as_ref().and_then(|rule| rule.against(body))
    }
}

impl JsonRule {
    fn against(&self, body: &[u8]) -> Option<String> {
        let Self { path, equals } = self;
        let Ok(value) = serde_json::from_slice::<Value>(body) else { return Some(format!("its body is no JSON{}", told(body))) };
        let found = path.query(&value).all();
        if found.is_empty() {
            return Some(format!("{path} finds nothing in its body{}", told(body)));
        }
        let wanted = equals.as_ref()?;
        let other = found.into_iter().map(text_of).find(|text| text != wanted)?;
        let (other, wanted) = (excerpt(other.as_bytes(), EXCERPT), excerpt(wanted.as_bytes(), EXCERPT));
        Some(format!("{path} is {other:?} in its body, expected {wanted:?}"))
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The end of a sentence about an answer: its body, in short.
pub fn told(body: &[u8]) -> String {
    let excerpt = excerpt(body, EXCERPT);
    if excerpt.is_empty() { String::new() } else { format!(": {excerpt:?}") }
}

/// The beginning of a text, in one line.
pub(crate) fn excerpt(text: &[u8], characters: usize) -> String {
    // A character has four bytes at most.
    let beginning = String::from_utf8_lossy(&text[..text.len().min(characters * 8)]);
    let line = beginning.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    gates::shortened(&line, characters)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::templates::Group;

    fn planned(check: &Value) -> Result<CheckPlan, Invalid> {
        plan(&serde_json::from_value(check.clone()).unwrap())
    }

    fn exchange_of(http: &Value) -> Exchange {
        match planned(&json!({"name": "home", "http": http})).unwrap().kind {
            CheckKind::Pods { exchange, .. } | CheckKind::Url { exchange, .. } => *exchange,
            CheckKind::Webhook { .. } | CheckKind::Job(_) => panic!("no exchange"),
        }
    }

    #[test]
    fn what_is_wrong_with_a_check_is_told_when_it_is_read() {
        let http = |fields: Value| json!({"name": "a", "http": fields});
        let header = |name: &str, value: &str| http(json!({"headers": [{"name": name, "value": value}]}));
        let webhook = |fields: Value| json!({"name": "a", "webhook": fields});
        let whole = "url has a scheme, a port and a path of its own: leave scheme, port and path out";
        let kinds = "set exactly one kind of check: http, job or webhook";
        let signature = json!([{"name": "bluegreen-Signature", "value": "sha256=00"}]);
        let cases = [
            (json!({"name": "a"}), kinds),
            (json!({"name": "a", "http": {}, "webhook": {"url": "http://shop/"}}), kinds),
            (http(json!({"url": "http://shop/", "path": "/"})), whole),
            (http(json!({"url": "http://shop/", "port": 80})), whole),
            (http(json!({"url": "http://shop/", "scheme": "HTTP"})), whole),
            (
                http(json!({"url": "http://{{ shop }}/"})),
                "the url has an unknown variable {{ shop }}; known are namespace, rollout, color, revision, pods, other.color, other.revision, other.pods, interval",
            ),
            (http(json!({"body": "a"})), "a body needs a method that sends one: set method to POST, PUT or PATCH"),
            (
                http(json!({"method": "HEAD", "expectedBody": {"contains": "a"}})),
                "answers to HEAD have no body: choose another method, or leave expectedBody out",
            ),
            (http(json!({"expectedBody": {"contains": ""}})), "expectedBody.contains is empty, which is in every body: leave it out"),
            (http(json!({"expectedBody": {}})), "expectedBody says nothing to expect: set contains, jsonPath, or both"),
            (
                http(json!({"expectedBody": {"contains": "a", "equals": "b"}})),
                "expectedBody.equals needs a jsonPath that finds what to compare",
            ),
            (
                http(json!({"maxLatency": "5001ms"})),
                "maxLatency (5s1ms) is longer than timeout (5s), after which nobody waits for an answer",
            ),
            (header("X Team", "a"), "the header \"X Team\" has a name that no header can have"),
            (header("X-Team", "a\nb"), "the header \"X-Team\" has a value with other characters than visible ASCII"),
            (header("Content-Length", "3"), "the header \"Content-Length\" follows from the request itself: leave it out"),
            (
                http(json!({"headers": [{"name": "X-Team", "value": "a"}, {"name": "x-team", "value": "b"}]})),
                "the header \"x-team\" is there twice: keep one",
            ),
            (webhook(json!({"url": "http://"})), "the url \"http://\" is none: empty host"),
            (
                webhook(json!({"url": "http://shop/", "headers": signature})),
                "the header Bluegreen-Signature is the operator's own: leave it out",
            ),
        ];
        for (check, expected) in cases {
            assert_eq!(planned(&check).unwrap_err().to_string(), expected, "{check}");
        }
        let path = planned(&http(json!({"expectedBody": {"jsonPath": "$.a["}}))).unwrap_err().to_string();
        assert!(path.starts_with("expectedBody.jsonPath \"$.a[\" is no JSONPath: "), "{path}");
        exchange_of(&json!({"method": "POST", "body": "a", "maxLatency": "5s", "headers": [{"name": "Host", "value": "shop"}]}));
    }

    #[test]
    fn a_json_path_goes_through_an_answer_once() {
        let cases = [
            ("$..state", false),
            ("$.a[?@.b == 'up']..c", false),
            ("$['$ref']['..']..a", false),
            (r"$['it\'s $..']['..']..a", false),
            ("$..*..*", true),
            ("$..[?@..a]", true),
            ("$[?$[?$.a]]", true),
            ("$.a[?@.b == $.c]", true),
        ];
        for (path, refused) in cases {
            let rule = body_rule(&ExpectedBody { json_path: Some(path.into()), ..ExpectedBody::default() });
            assert_eq!(rule.is_err_and(|why| why.to_string().contains("may take for ever")), refused, "{path}");
            JsonPath::parse(path).unwrap();
        }
    }

    /// How an answer with this status, after so many milliseconds, with this body falls short.
    fn against(http: &Value, (status, millis, body): (u16, u64, &str)) -> Option<String> {
        let answer = Answer { status, took: Duration::from_millis(millis), body: body.as_bytes() };
        exchange_of(http).against(" on /", answer)
    }

    #[test]
    fn an_answer_passes_when_its_status_its_body_and_its_time_are_as_expected() {
        let all = json!({"expectedStatuses": [200, 418], "maxLatency": "300ms", "expectedBody": {"contains": "up", "jsonPath": "$.state", "equals": "up"}});
        let good = r#"{"state": "up"}"#;
        let cases = [
            (json!({}), (200, 9_000, ""), None),
            (json!({}), (299, 0, ""), None),
            (json!({}), (199, 0, ""), Some("answered 199 on /, expected 200-299")),
            (json!({}), (300, 0, "moved"), Some("answered 300 on /, expected 200-299: \"moved\"")),
            (all.clone(), (418, 300, good), None),
            (all.clone(), (201, 300, good), Some("answered 201 on /, expected 200 or 418: \"{\\\"state\\\": \\\"up\\\"}\"")),
            (all.clone(), (200, 301, good), Some("answered 200 on / after 301 ms, more than the 300 ms of maxLatency")),
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
    fn a_json_path_finds_something_or_all_that_it_finds_equals_what_is_expected() {
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
            assert_eq!(rule.against(body.as_bytes()).as_deref(), expected, "{path} {equals:?}");
        }
        let rule = body_rule(&ExpectedBody { contains: None, json_path: Some("$.state".into()), equals: None }).unwrap();
        assert_eq!(rule.against(b"[]").as_deref(), Some("$.state finds nothing in its body: \"[]\""));
        assert_eq!(rule.against(b"<html>").as_deref(), Some("its body is no JSON: \"<html>\""));
        assert_eq!(rule.against(b"").as_deref(), Some("its body is no JSON"));
    }

    #[test]
    fn text_is_looked_for_to_the_letter_and_what_came_instead_is_told_in_short() {
        let rule = body_rule(&ExpectedBody { contains: Some("shop 2".into()), ..ExpectedBody::default() }).unwrap();
        for good in ["shop 2", "the shop 2!", "ü shop 2"] {
            assert_eq!(rule.against(good.as_bytes()), None, "{good}");
        }
        for bad in ["Shop 2", "shop  2", "shop "] {
            assert!(rule.against(bad.as_bytes()).is_some(), "{bad}");
        }
        assert_eq!(rule.against(b"").as_deref(), Some("its body is without \"shop 2\""));
        assert_eq!(told(b"a\r\n\tb\0  c"), ": \"a b c\"");
        assert_eq!(told("ü".repeat(500).as_bytes()), format!(": \"{}…\"", "ü".repeat(EXCERPT - 1)));
        assert_eq!(told(&[b'a', 0xff]), ": \"a\u{fffd}\"");
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    /// A gate of this check after these outcomes, each at its second, and what it tells.
    fn after(check: &Value, outcomes: &[(&CheckOutcome, i64)]) -> (GateState, String, Gate) {
        let plan = planned(check).unwrap();
        let gate = Gate {
            name: "verification/asked".into(),
            state: GateState::Running,
            weight: None,
            definition: "d".into(),
            message: String::new(),
            since: at(0),
            measured: None,
            tries: None,
        };
        let gate = outcomes.iter().fold(gate, |mut gate, (outcome, second)| {
            add(&mut gate, &plan, outcome, at(*second));
            gate
        });
        (gate.state, gate.message.clone(), gate)
    }

    #[test]
    fn tries_of_a_webhook_count_once_each_until_they_are_used_up() {
        let webhook = json!({"name": "asked", "webhook": {"url": "http://approvals/", "attempts": 3}});
        let (no, broken) = (CheckOutcome::Failed("answered 409".into()), CheckOutcome::NotDone("no key".into()));
        let outcomes = [(&no, 10), (&no, 10), (&no, 9), (&broken, 12), (&no, 14), (&no, 16)];
        let expected = [
            (GateState::Running, "answered 409 (try 1 of 3)", "a no"),
            (GateState::Running, "answered 409 (try 1 of 3)", "the same again"),
            (GateState::Running, "answered 409 (try 1 of 3)", "an older one"),
            (GateState::Running, "no key", "none was made"),
            (GateState::Running, "answered 409 (try 2 of 3)", "another no"),
            (GateState::Failed, "answered 409 (try 3 of 3)", "the last one"),
        ];
        for (count, (state, message, why)) in (1..).zip(expected) {
            let (is, told, _) = after(&webhook, &outcomes[..count]);
            assert_eq!((is, told.as_str()), (state, message), "{why}");
        }
        let (_, _, gate) = after(&webhook, &outcomes);
        assert_eq!((gate.since, gate.tries), (at(16), Some(Tries { failed: 3, at: at(16) })));
        let yes = CheckOutcome::Passed("200".into());
        let (state, message, _) = after(&webhook, &[(&no, 10), (&yes, 12)]);
        assert_eq!((state, message.as_str()), (GateState::Passed, "200"));
    }

    #[test]
    fn a_long_answer_does_not_hide_how_many_tries_are_left() {
        let webhook = json!({"name": "asked", "webhook": {"url": "http://approvals/", "attempts": 2}});
        let (_, message, _) = after(&webhook, &[(&CheckOutcome::Failed("no ".repeat(256)), 10)]);
        assert!(message.ends_with("… (try 1 of 2)") && message.chars().count() == 256, "{message}");
    }

    #[test]
    fn a_url_that_was_not_asked_is_remembered_and_one_that_failed_has_failed() {
        let url = json!({"name": "asked", "http": {"url": "http://shop/", "attempts": 5}});
        let (broken, failed) = (CheckOutcome::NotDone("not allowed".into()), CheckOutcome::Failed("500".into()));
        let (state, message, gate) = after(&url, &[(&broken, 10)]);
        assert_eq!((state, message.as_str(), gate.tries), (GateState::Running, "not allowed", Some(Tries { failed: 0, at: at(10) })));
        let (state, message, _) = after(&url, &[(&broken, 10), (&failed, 12)]);
        assert_eq!((state, message.as_str()), (GateState::Failed, "500"), "its tries were made by then");
    }

    #[test]
    fn a_check_is_told_with_its_place_in_spec_and_its_definition_is_what_was_written() {
        let stage = gates::Stage::Monitoring;
        let check = |http: &Value| serde_json::from_value::<Check>(json!({"name": "asked", "http": http})).unwrap();
        let defined = |http: &Value| gates::definitions(stage, &[Group::own(stage, vec![check(http)], vec![])], None);
        let wrong = defined(&json!({"url": "http://{{ shop }}/"})).unwrap_err().to_string();
        assert!(wrong.starts_with("spec.monitoring.checks asked: the url has an unknown variable {{ shop }}"), "{wrong}");
        // Fields that came later change nothing for those who don't use them.
        for http in [json!({}), json!({"path": "/health", "port": "http", "expectedStatuses": [200], "attempts": 5})] {
            let definition = crate::revision::definition(&json!({"name": "asked", "http": http}));
            assert_eq!(defined(&http).unwrap()[0].definition, definition);
        }
    }
}
