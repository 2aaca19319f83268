//! What each gate asks, and whom.

use super::{asked_first, result, unmeasured, verifying};
use crate::world::World;
use bluegreen_api::{Color, Phase, Scheme};
use bluegreen_engine::{Decision, Observed, decide, measure};
use bluegreen_gates::{
    ask::{
        HttpTarget, What,
        exchange::{BodyRule, Exchange},
        question::{Question, Secret, Whose},
    },
    reading::{Measurement, Outcome, Reading},
};
use http::{HeaderMap, Method};
use jiff::SignedDuration;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

fn asked(seen: &Observed) -> Vec<HttpTarget> {
    let What::Http { targets, .. } = asked_first(seen) else { panic!("no HTTP check") };
    targets
}

#[test]
fn a_check_asks_every_ready_pod_at_the_port_of_the_service() {
    let mut seen = verifying();
    let pods = seen.color(Color::Green).pods.clone();
    let target = |index: usize, port: u16| HttpTarget { pod: pods[index].name.clone(), ip: "192.0.2.1".into(), port };
    let exchange = Exchange {
        method: Method::GET,
        headers: HeaderMap::new(),
        body: None,
        expected: vec![],
        expected_body: None,
        max_latency: None,
        timeout: Duration::from_secs(5),
        attempts: 3,
        interval: Duration::from_secs(2),
    };
    let targets = vec![target(0, 8080), target(1, 8080), target(2, 8080)];
    let defaults = What::Http { targets, scheme: Scheme::HTTP, path: "/".into(), exchange: Box::new(exchange) };
    assert_eq!(asked_first(&seen), defaults);
    seen.green.pods[0].deleting = true;
    assert_eq!(asked(&seen), [target(1, 8080), target(2, 8080)]);
    seen.green.pods[1].ready = false;
    assert_eq!(asked(&seen), [target(2, 8080)]);
    seen.green.pods[0] = pods[0].clone();
    seen.green.pods[0].revision = "another".into();
    assert_eq!(asked(&seen), [target(2, 8080)]);
    seen.green.pods[2].ready = false;
    assert!(measure::wanted(&seen).is_empty(), "there is nobody to ask");
}

#[test]
fn a_check_is_made_as_spec_describes_it() {
    let http_check = json!({
        "path": "/health", "port": 9000, "scheme": "HTTPS", "method": "PUT", "body": "a", "headers": [{"name": "Host", "value": "shop"}],
        "expectedStatuses": [200, 204], "expectedBody": {"contains": "up"}, "maxLatency": "500ms",
        "timeout": "1s", "attempts": 7, "interval": "30s",
    });
    let mut seen = unmeasured(json!({"verification": {"checks": [{"name": "home", "http": http_check}]}}), Phase::Verifying);
    let What::Http { targets, scheme, path, exchange } = asked_first(&seen) else { panic!("no HTTP check") };
    assert!(targets.iter().all(|target| target.port == 9000));
    assert_eq!((scheme, path.as_str()), (Scheme::HTTPS, "/health"));
    let expected = Exchange {
        method: Method::PUT,
        headers: [("host".parse().unwrap(), "shop".parse().unwrap())].into_iter().collect(),
        body: Some("a".into()),
        expected: vec![200, 204],
        expected_body: Some(BodyRule { contains: Some("up".into()), json: None }),
        max_latency: Some(Duration::from_millis(500)),
        timeout: Duration::from_secs(1),
        attempts: 7,
        interval: Duration::from_secs(30),
    };
    assert_eq!(*exchange, expected);
    for pod in &mut seen.green.pods {
        pod.ip = None;
    }
    assert!(measure::wanted(&seen).is_empty(), "a pod without an address can't be asked");
}

#[test]
fn a_url_is_asked_with_its_variables_put_in_by_no_pod() {
    let url = "https://{{ rollout }}-preview.{{ namespace }}.svc/{{ color }}/{{ revision }}";
    let check = json!({"name": "through", "http": {"url": url}});
    let mut seen = unmeasured(json!({"verification": {"checks": [check]}}), Phase::Verifying);
    let revision = seen.status.preview.as_ref().unwrap().revision.clone();
    seen.green.pods.clear();
    let What::Url { url, exchange } = asked_first(&seen) else { panic!("no URL") };
    assert_eq!(url, format!("https://shop-preview.web.svc/green/{revision}"));
    assert_eq!((exchange.method, exchange.attempts), (Method::GET, 3));
}

/// With its variables put in.
#[test]
fn a_query_is_asked_at_the_nearest_address_that_is_named() {
    let query = r#"up{ns="{{namespace}}",of="{{rollout}}-{{color}}",is="{{revision}}"}"#;
    let metric = |address: Value| json!([{"name": "errors", "max": "1", "prometheus": {"query": query, "address": address}}]);
    let asked = |spec: Value| {
        let seen = unmeasured(spec, Phase::Verifying);
        let revision = seen.status.preview.as_ref().unwrap().revision.clone();
        let What::Metric { questions, timeout, .. } = asked_first(&seen) else { panic!("no metric") };
        let [Question::Prometheus { address, query, .. }] = questions.as_slice() else { panic!("{questions:?}") };
        assert_eq!(*query, format!(r#"up{{ns="web",of="shop-green",is="{revision}"}}"#));
        assert_eq!(timeout, Duration::from_secs(10));
        address.clone()
    };
    let sources = json!({"prometheus": {"address": "http://team:9090"}});
    assert_eq!(asked(json!({"verification": {"metrics": metric(json!("http://own:9090/"))}, "sources": sources})), "http://own:9090");
    assert_eq!(asked(json!({"verification": {"metrics": metric(json!(null))}, "sources": sources})), "http://team:9090");
    assert_eq!(asked(json!({"verification": {"metrics": metric(json!(null))}})), "http://prometheus:9090");
}

#[test]
fn the_operators_credentials_are_for_its_own_address_only() {
    let shown = |address: Value, sources: Value| {
        let metric = json!({"name": "errors", "max": "1", "prometheus": {"query": "e", "address": address}});
        let seen = unmeasured(json!({"verification": {"metrics": [metric]}, "sources": sources}), Phase::Verifying);
        let What::Metric { credentials, .. } = asked_first(&seen) else { panic!("no metric") };
        credentials
    };
    let own = "http://prometheus:9090";
    let team = Whose::Secret(Secret { namespace: "web".into(), name: "team".into() });
    for (address, sources, whose) in [
        (json!(null), json!(null), Whose::Operator),
        (json!(null), json!({}), Whose::Operator),
        (json!(null), json!({"prometheus": {"address": own}}), Whose::Nobody),
        (json!(null), json!({"prometheus": {"address": own, "credentials": {"secretName": "team"}}}), team),
        (json!(own), json!(null), Whose::Nobody),
    ] {
        assert_eq!(shown(address.clone(), sources.clone()), whose, "{address} beside {sources}");
    }
}

fn with_header(header: &str) -> Value {
    let metric = json!({"name": "errors", "max": "1", "prometheus": {"query": "e"}});
    let source = json!({"address": "http://team:9090", "headers": {header: "shop"}});
    json!({"verification": {"metrics": [metric]}, "sources": {"prometheus": source}})
}

#[test]
fn headers_of_the_sources_go_with_a_query() {
    let What::Metric { questions, .. } = asked_first(&unmeasured(with_header("X-Scope-OrgID"), Phase::Verifying)) else {
        panic!("no metric")
    };
    let [Question::Prometheus { headers, .. }] = questions.as_slice() else { panic!("{questions:?}") };
    assert_eq!(headers.get("x-scope-orgid").unwrap(), "shop");
}

#[test]
fn a_header_that_no_query_may_have_is_refused() {
    let mut world = World::new(with_header("Host"));
    world.settle();
    let why = "spec.sources.prometheus: the header \"host\" is set by the operator: remove it";
    assert_eq!(world.status.message, format!("spec is invalid: {why}"));
}

#[test]
fn a_request_to_the_web_asks_about_both_sides_and_times() {
    let web = json!({
        "url": "https://numbers/{{ other.color }}?from={{ start }}&to={{ end }}", "method": "POST", "window": "1m",
        "body": "{{ revision }} {{ other.revision }} {{ interval }}", "jsonPath": "$.v", "credentials": {"secretName": "numbers"},
    });
    let spec = json!({"verification": {"metrics": [{"name": "errors", "max": "1", "interval": "20s", "web": web}]}});
    let seen = unmeasured(spec, Phase::Verifying);
    let [candidate, active] = [&seen.status.preview, &seen.status.active].map(|side| side.as_ref().unwrap().revision.clone());
    let due = measure::wanted(&seen).remove(0).due.max(seen.now).as_second();
    let What::Metric { questions, credentials, .. } = asked_first(&seen) else { panic!("no metric") };
    let asked = format!("POST https://numbers/blue?from={}&to={due} {candidate} {active} 20s", due - 60);
    assert_eq!(questions.iter().map(ToString::to_string).collect::<Vec<_>>(), [asked]);
    assert_eq!(credentials, Whose::Secret(Secret { namespace: "web".into(), name: "numbers".into() }));
}

#[test]
fn a_comparison_of_latencies_asks_for_the_buckets_of_both_sides() {
    let latency = json!({"buckets": "b{pod=~\"{{ pods }}\"}", "address": "http://own:9090/", "credentials": {"secretName": "numbers"}});
    let spec = json!({"verification": {"metrics": [{"name": "latency", "latency": latency}]}});
    let What::Metric { questions, credentials, timeout } = asked_first(&unmeasured(spec, Phase::Verifying)) else { panic!("no metric") };
    let of = |pods: &str| Question::Buckets {
        address: "http://own:9090".into(),
        headers: Arc::default(),
        query: format!("b{{pod=~\"{pods}\"}}"),
    };
    assert_eq!(questions, [of("shop-green-(4|5|6)"), of("shop-blue-(1|2|3)")]);
    assert_eq!(credentials, Whose::Secret(Secret { namespace: "web".into(), name: "numbers".into() }));
    assert_eq!(timeout, Duration::from_secs(10));
}

fn questions(seen: &Observed) -> Vec<String> {
    let What::Metric { questions, .. } = asked_first(seen) else { panic!("no metric") };
    questions.iter().map(ToString::to_string).collect()
}

/// Its predecessor in the color has had requests, too.
#[test]
fn a_query_names_the_pods_of_the_revision_alone() {
    let asked = json!({"query": "e{{ pods }}", "requests": "n{{ pods }}", "minRequests": 1});
    let metric = json!({"name": "errors", "prometheus": asked, "max": "1", "maxFactor": "2"});
    let mut seen = unmeasured(json!({"verification": {"metrics": [metric]}}), Phase::Verifying);
    seen.green.pods[0].revision = "another".into();
    assert_eq!(questions(&seen), ["eshop-green-(5|6)", "eshop-blue-(1|2|3)", "nshop-green-(5|6)"]);
    seen.green.pods[1].ready = false;
    assert_eq!(questions(&seen)[0], "eshop-green-(5|6)", "what it has counted still counts");
}

#[test]
fn about_pods_that_nobody_sees_nothing_is_asked() {
    let metric = json!({"name": "errors", "prometheus": {"query": "e{{ pods }}"}, "max": "1", "maxFactor": "2"});
    let mut seen = unmeasured(json!({"verification": {"metrics": [metric]}}), Phase::Verifying);
    seen.green.pods[0].revision = "another".into();
    seen.green.pods.truncate(1);
    let revision = seen.status.preview.as_ref().unwrap().revision.clone();
    let nobody = format!("# nothing was asked: no pod of revision {revision} is seen ({{{{ pods }}}})");
    assert_eq!(questions(&seen), [nobody.as_str(), "eshop-blue-(1|2|3)"]);
}

#[test]
fn a_gate_shows_queries_ready_to_be_asked_by_hand() {
    let metric = json!({"name": "errors", "max": "1", "maxFactor": "2", "prometheus": {"query": "e{color=\"{{ color }}\"}"}, "count": 9});
    let mut world = World::live(json!({"verification": {"metrics": [metric]}}));
    world.gauge = |_, _, _| Outcome::Readings(vec![Reading::Value(0.0); 2]);
    world.image("shop:2");
    world.run_until(Phase::Verifying);
    world.run_for(30);
    let measured = world.status.gates[0].measured.clone().unwrap();
    assert_eq!(measured.asked, ["e{color=\"green\"}", "e{color=\"blue\"}"]);
}

/// A slow source answers about the times that it was asked about, and not about those of its answer.
#[test]
fn a_gate_shows_the_times_that_were_asked_about() {
    let web = json!({"url": "https://numbers/?from={{ start }}&to={{ end }}", "window": "1m", "jsonPath": "$.v"});
    let spec = json!({"verification": {"metrics": [{"name": "errors", "max": "1", "count": 9, "web": web}]}});
    let mut seen = unmeasured(spec, Phase::Verifying);
    let ask = measure::wanted(&seen).remove(0);
    let answered = ask.due.max(seen.now) + SignedDuration::from_secs(11);
    let of_the_answer = Measurement {
        revision: ask.revision.clone(),
        asked: ask.what.asked(),
        outcome: Outcome::reading(Reading::Value(0.0)),
        ..result(&seen, &ask.gate, answered)
    };
    seen.now = answered + SignedDuration::from_secs(10);
    seen.results = vec![of_the_answer];
    let Decision::Record(status) = decide(&seen) else { panic!("{:?}", decide(&seen)) };
    let asked = &status.gates[0].measured.as_ref().unwrap().asked;
    let What::Metric { questions, .. } = ask.what else { panic!("no metric") };
    assert_eq!(*asked, [questions[0].to_string()]);
    assert!(!asked[0].contains(&answered.as_second().to_string()), "{asked:?}");
}

#[test]
fn the_time_before_the_switch_is_asked_of_the_side_left() {
    let query = "l{of=\"{{ color }}\",is=\"{{ revision }}\"}";
    let metric = json!({"name": "latency", "maxFactor": "1.5", "factorOf": "BeforeSwitch", "prometheus": {"query": query}});
    let seen = unmeasured(json!({"monitoring": {"metrics": [metric]}}), Phase::Monitoring);
    let [active, standby] = [&seen.status.active, &seen.status.standby].map(|side| side.as_ref().unwrap().revision.clone());
    let phases = &seen.status.current.as_ref().unwrap().phases;
    let switch = phases.iter().find(|it| it.phase == Phase::Promoting).unwrap().at;
    let What::Metric { questions, .. } = asked_first(&seen) else { panic!("no metric") };
    let asked: Vec<_> = questions.iter().map(ToString::to_string).collect();
    let now = format!(r#"l{{of="green",is="{active}"}}"#);
    assert_eq!(asked, [now, format!(r#"l{{of="blue",is="{standby}"}} # at {switch}"#)]);
    assert!(matches!(&questions[1], Question::Prometheus { at: Some(at), .. } if *at == switch));
}

/// And of the side that is judged.
#[test]
fn the_number_of_requests_is_asked_last() {
    let asked = json!({"query": "e{{ color }}", "requests": "n{{ color }}", "minRequests": 1});
    let metric = json!({"name": "errors", "prometheus": asked, "maxFactor": "2"});
    let seen = unmeasured(json!({"verification": {"metrics": [metric]}}), Phase::Verifying);
    let What::Metric { questions, .. } = asked_first(&seen) else { panic!("no metric") };
    assert_eq!(questions.iter().map(ToString::to_string).collect::<Vec<_>>(), ["egreen", "eblue", "ngreen"]);
}
