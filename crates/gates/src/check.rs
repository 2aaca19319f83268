//! Checks as `spec` defines them, read once with their defaults; and what an answer must be to pass.

use crate::{
    ask::{
        FLOOR, LONGEST_WEBHOOK,
        exchange::{Exchange, exchange},
        headers::{headers, named},
        job::{self, JobPlan},
        variables::{self, Variables},
    },
    gate::turn,
    invalid::Invalid,
    reading::CheckOutcome,
    text::{around, bounded},
};
use bluegreen_api::{Check, Gate, GateState, HttpCheck, Scheme, Tries, WebhookCheck};
use http::HeaderMap;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::json;
use std::time::Duration;

/// The header by which a webhook knows who asks.
pub const SIGNATURE: &str = "bluegreen-signature";

/// From a Job that could not be created, or was deleted, to the next try.
const BEFORE_ANOTHER_JOB: Duration = Duration::from_secs(10);

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
    let interval = http.interval.map_or(Duration::from_secs(2), |interval| interval.0).max(FLOOR);
    let exchange = Box::new(exchange(http, interval)?);
    let Some(url) = &http.url else {
        let path = http.path.clone().unwrap_or_else(|| "/".into());
        let kind = CheckKind::Pods { scheme: http.scheme.unwrap_or(Scheme::HTTP), path, port: http.port.clone(), exchange };
        return Ok(CheckPlan { kind, interval });
    };
    if http.scheme.is_some() || http.path.is_some() || http.port.is_some() {
        return Err(Invalid("url has a scheme, a port and a path of its own: leave scheme, port and path out".into()));
    }
    variables::check_url(url)?;
    Ok(CheckPlan { kind: CheckKind::Url { url: url.clone(), exchange }, interval })
}

fn webhook_plan(webhook: &WebhookCheck) -> Result<CheckPlan, Invalid> {
    variables::check_url(&webhook.url)?;
    let headers = headers(named(&webhook.headers))?;
    if headers.contains_key(SIGNATURE) {
        return Err(Invalid("the header Bluegreen-Signature is set by the operator: remove it".into()));
    }
    let timeout = webhook.timeout.map_or(Duration::from_secs(10), |timeout| timeout.0).min(LONGEST_WEBHOOK);
    let interval = webhook.interval.map_or(Duration::from_secs(2), |interval| interval.0).max(FLOOR);
    let attempts = webhook.attempts.unwrap_or(3).max(1);
    Ok(CheckPlan { kind: CheckKind::Webhook { url: webhook.url.clone(), headers, timeout, attempts }, interval })
}

/// What a webhook is told.
pub fn question(variables: &Variables<'_>, gate: &str, image: &str, attempt: i64) -> String {
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

/// Tries in a row that could not be made, after which nobody can judge.
const NOT_DONE: i32 = 5;

/// Adds what came of a check to its gate.
pub(crate) fn add(gate: &mut Gate, plan: &CheckPlan, outcome: &CheckOutcome, at: Timestamp) {
    let attempts = match plan.kind {
        // They make their tries by themselves.
        CheckKind::Pods { .. } | CheckKind::Job(_) | CheckKind::Url { .. } => 1,
        CheckKind::Webhook { attempts, .. } => attempts,
    };
    let mut tries = gate.tries.clone().unwrap_or(Tries { failed: 0, not_done: 0, at: Timestamp::MIN });
    let (state, message) = match outcome {
        CheckOutcome::Passed(message) => (GateState::Passed, message.clone()),
        CheckOutcome::Failed(message) if attempts == 1 => (GateState::Failed, message.clone()),
        // It is counted already.
        CheckOutcome::Failed(_) | CheckOutcome::NotDone(_) if at <= tries.at => return,
        CheckOutcome::Failed(message) => {
            tries = Tries { failed: tries.failed.saturating_add(1), not_done: 0, at };
            let state = if tries.failed >= attempts { GateState::Failed } else { GateState::Running };
            let told = around("", message, &format!(" (try {} of {attempts})", tries.failed));
            gate.tries = Some(tries);
            (state, told)
        }
        // No word on the release, and no pass either: it is tried again, and told as what nobody can judge if that lasts.
        CheckOutcome::NotDone(message) => {
            tries = Tries { not_done: tries.not_done.saturating_add(1).min(NOT_DONE), at, ..tries };
            let state = if tries.not_done >= NOT_DONE { GateState::Inconclusive } else { gate.state };
            gate.tries = Some(tries);
            (state, message.clone())
        }
    };
    turn(gate, state, bounded(&message), at);
}

/// The named ports that pods of `spec` have: a check of another one would ask nobody.
pub(crate) fn knows_port(plan: &CheckPlan, ports: Option<&[&str]>) -> Result<(), Invalid> {
    let (CheckKind::Pods { port: Some(IntOrString::String(name)), .. }, Some(ports)) = (&plan.kind, ports) else { return Ok(()) };
    if ports.contains(&name.as_str()) {
        return Ok(());
    }
    let known = if ports.is_empty() { "none has a name".to_owned() } else { format!("there are {}", ports.join(", ")) };
    Err(Invalid(format!("port {name:?} is no port of a container in spec.template ({known}): name one of its ports, or write the number")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{gates, stage::Stage, templates::Group};
    use serde_json::Value;

    fn planned(check: &Value) -> Result<CheckPlan, Invalid> {
        plan(&serde_json::from_value(check.clone()).unwrap())
    }

    #[test]
    fn a_check_has_bounds_whatever_is_asked_for() {
        let job = json!({"template": {"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "b"}]}}}}, "timeout": "1000h"});
        let seconds = |check: Value| {
            let plan = planned(&check).unwrap();
            let timeout = match plan.kind {
                CheckKind::Pods { exchange, .. } | CheckKind::Url { exchange, .. } => exchange.timeout.min(exchange.interval * 60),
                CheckKind::Webhook { timeout, .. } => timeout,
                CheckKind::Job(job) => job.timeout,
            };
            (timeout.as_secs(), plan.interval.as_secs())
        };
        for (check, bounds) in [
            (json!({"name": "a", "http": {"timeout": "1h", "interval": "0s"}}), (60, 1)),
            (json!({"name": "a", "http": {"url": "http://shop/", "timeout": "1h", "interval": "1ms"}}), (60, 1)),
            (json!({"name": "a", "webhook": {"url": "http://shop/", "timeout": "1h", "interval": "0s"}}), (300, 1)),
            (json!({"name": "a", "job": job}), (86_400, 10)),
        ] {
            assert_eq!(seconds(check.clone()), bounds, "{check}");
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
            (http(json!({"expectedBody": {"contains": ""}})), "expectedBody.contains is empty and matches every body: remove it"),
            (http(json!({"expectedBody": {}})), "expectedBody is empty: set contains, jsonPath, or both"),
            (
                http(json!({"expectedBody": {"contains": "a", "equals": "b"}})),
                "expectedBody.equals needs a jsonPath that finds what to compare",
            ),
            (http(json!({"maxLatency": "5001ms"})), "maxLatency (5s1ms) must not exceed timeout (5s)"),
            (header("X Team", "a"), "the header \"X Team\" is not a valid header name"),
            (header("X-Team", "a\nb"), "the header \"X-Team\" has a value with characters that are not visible ASCII"),
            (header("Content-Length", "3"), "the header \"Content-Length\" is set by the HTTP client: remove it"),
            (
                http(json!({"headers": [{"name": "X-Team", "value": "a"}, {"name": "x-team", "value": "b"}]})),
                "the header \"x-team\" is set twice: keep one",
            ),
            (webhook(json!({"url": "http://"})), "the url \"http://\" is not a valid URL: empty host"),
            (
                webhook(json!({"url": "http://shop/", "headers": signature})),
                "the header Bluegreen-Signature is set by the operator: remove it",
            ),
        ];
        for (check, expected) in cases {
            assert_eq!(planned(&check).unwrap_err().to_string(), expected, "{check}");
        }
        let path = planned(&http(json!({"expectedBody": {"jsonPath": "$.a["}}))).unwrap_err().to_string();
        assert!(path.starts_with("expectedBody.jsonPath \"$.a[\" is not a valid JSONPath: "), "{path}");
        planned(&http(json!({"method": "POST", "body": "a", "maxLatency": "5s", "headers": [{"name": "Host", "value": "shop"}]}))).unwrap();
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
        assert_eq!((gate.since, gate.tries), (at(16), Some(Tries { failed: 3, not_done: 0, at: at(16) })));
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
    fn a_url_that_was_not_asked_has_not_failed() {
        let url = json!({"name": "asked", "http": {"url": "http://shop/", "attempts": 5}});
        let (broken, failed) = (CheckOutcome::NotDone("not allowed".into()), CheckOutcome::Failed("500".into()));
        let (state, message, gate) = after(&url, &[(&broken, 10)]);
        assert_eq!(
            (state, message.as_str(), gate.tries),
            (GateState::Running, "not allowed", Some(Tries { failed: 0, not_done: 1, at: at(10) }))
        );
        let (state, message, _) = after(&url, &[(&broken, 10), (&failed, 12)]);
        assert_eq!((state, message.as_str()), (GateState::Failed, "500"), "its tries were made by then");
    }

    #[test]
    fn a_check_that_is_never_done_is_inconclusive_and_tried_on() {
        let broken = CheckOutcome::NotDone("connection refused".into());
        for check in [
            json!({"name": "asked", "http": {}}),
            json!({"name": "asked", "http": {"url": "http://shop/"}}),
            json!({"name": "asked", "webhook": {"url": "http://approvals/"}}),
            json!({"name": "asked", "job": {"template": {"spec": {"template": {"spec": {"containers": [{"name": "t", "image": "t:1"}]}}}}}}),
        ] {
            let of = |count: usize| (0..count).zip(10..).map(|(_, second)| (&broken, second)).collect::<Vec<_>>();
            assert_eq!(after(&check, &of(4)).0, GateState::Running, "{check}");
            let (state, message, gate) = after(&check, &of(9));
            assert_eq!((state, message.as_str(), gate.since), (GateState::Inconclusive, "connection refused", at(14)), "{check}");
            let passed = CheckOutcome::Passed("200".into());
            let later = [of(5), vec![(&passed, 60)]].concat();
            assert_eq!(after(&check, &later).0, GateState::Passed, "{check}");
        }
        let no = CheckOutcome::Failed("409".into());
        let webhook = json!({"name": "asked", "webhook": {"url": "http://approvals/"}});
        let between = [(&broken, 1), (&broken, 2), (&broken, 3), (&no, 4), (&broken, 5), (&broken, 6)];
        assert_eq!(after(&webhook, &between).0, GateState::Running, "not in a row");
    }

    #[test]
    fn a_check_of_an_unknown_port_is_refused_when_it_is_read() {
        let plan = |port: Value| planned(&json!({"name": "a", "http": {"port": port}})).unwrap();
        let known: &[&str] = &["http", "admin"];
        for (port, ports, why) in [
            (json!("http"), Some(known), None),
            (json!(9000), Some(known), None),
            (json!("metrics"), None, None),
            (json!("metrics"), Some(known), Some("(there are http, admin)")),
            (json!("metrics"), Some(&[][..]), Some("(none has a name)")),
        ] {
            let told = knows_port(&plan(port.clone()), ports).err().map(|Invalid(why)| why);
            assert_eq!(told.is_some(), why.is_some(), "{port}");
            assert!(told.is_none_or(
                |told| told.starts_with("port \"metrics\" is no port of a container in spec.template ") && told.contains(why.unwrap())
            ));
        }
    }

    #[test]
    fn errors_of_a_check_name_its_place_in_spec() {
        let stage = Stage::Monitoring;
        let check = |http: &Value| serde_json::from_value::<Check>(json!({"name": "asked", "http": http})).unwrap();
        let defined = |http: &Value| gates::definitions(stage, &[Group::own(stage, vec![check(http)], vec![])], None);
        let wrong = defined(&json!({"url": "http://{{ shop }}/"})).unwrap_err().to_string();
        assert!(wrong.starts_with("spec.monitoring.checks asked: the url has an unknown variable {{ shop }}"), "{wrong}");
        // Fields that came later change nothing for those who don't use them.
        for http in [json!({}), json!({"path": "/health", "port": "http", "expectedStatuses": [200], "attempts": 5})] {
            let definition = crate::hash::definition(&json!({"name": "asked", "http": http}));
            assert_eq!(defined(&http).unwrap()[0].definition, definition);
        }
    }
}
