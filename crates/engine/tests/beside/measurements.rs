//! What is to be measured, and when.

use crate::world::World;
use bluegreen_api::{Color, GateState, Phase, Scheme};
use bluegreen_engine::{
    Decision, Observed,
    checks::{BodyRule, Exchange},
    decide,
    job::JobRun,
    measure::{self, HttpTarget, Secret, What, Whose},
    observed::{CheckOutcome, Measurement, ObjectSeen, Outcome, Reading},
    question::Question,
};
use http::{HeaderMap, Method};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

fn stage() -> Value {
    json!({
        "checks": [{"name": "home", "http": {}}, {"name": "health", "http": {}}],
        "metrics": [
            {"name": "errors", "prometheus": {"query": "e"}, "max": "1%", "interval": "5s"},
            {"name": "latency", "prometheus": {"query": "l"}, "max": "2", "interval": "7s", "initialDelay": "3s"},
        ],
    })
}

/// A world in this phase, in which nothing has been measured yet.
fn unmeasured(spec: Value, phase: Phase) -> Observed {
    let mut world = World::live(spec);
    world.gauge = |_, _, _| Outcome::Check(CheckOutcome::NotDone("not yet".into()));
    world.image("shop:2");
    world.run_until(phase);
    world.results.clear();
    world.seen()
}

fn verifying() -> Observed {
    unmeasured(json!({"verification": stage()}), Phase::Verifying)
}

fn monitoring() -> Observed {
    unmeasured(json!({"monitoring": stage()}), Phase::Monitoring)
}

fn pass(seen: &mut Observed, gate: &str) {
    seen.status.gates.iter_mut().find(|known| known.name == gate).unwrap().state = GateState::Passed;
}

/// Gates that are measured, with the seconds from the start of the phase until then.
fn measured(seen: &Observed) -> Vec<(String, i64)> {
    let since = seen.status.clock.as_ref().unwrap().since;
    measure::wanted(seen).into_iter().map(|wanted| (wanted.gate, wanted.due.duration_since(since).as_secs())).collect()
}

fn names(seen: &Observed) -> Vec<String> {
    measured(seen).into_iter().map(|(gate, _)| gate).collect()
}

fn result(seen: &Observed, gate: &str, at: Timestamp) -> Measurement {
    let gate = seen.status.gates.iter().find(|known| known.name == gate).unwrap();
    Measurement {
        gate: gate.name.clone(),
        definition: gate.definition.clone(),
        attempt: seen.status.attempt,
        revision: String::new(),
        at,
        outcome: Outcome::reading(Reading::NoData),
    }
}

#[test]
fn before_the_switch_checks_come_one_by_one_and_then_all_metrics() {
    let mut seen = verifying();
    assert_eq!(names(&seen), ["verification/home"]);
    pass(&mut seen, "verification/home");
    assert_eq!(names(&seen), ["verification/health"]);
    pass(&mut seen, "verification/health");
    assert_eq!(measured(&seen), [("verification/errors".into(), 0), ("verification/latency".into(), 3)]);
    pass(&mut seen, "verification/errors");
    assert_eq!(names(&seen), ["verification/latency"], "what has passed is not measured again");
}

#[test]
fn after_the_switch_metrics_are_read_while_checks_go_on() {
    assert_eq!(names(&monitoring()), ["monitoring/home", "monitoring/errors", "monitoring/latency"]);
}

#[test]
fn each_gate_is_measured_again_its_own_interval_after_its_own_latest_result() {
    let mut seen = monitoring();
    let since = seen.status.clock.as_ref().unwrap().since;
    let at = |seconds: i64| since.checked_add(SignedDuration::from_secs(seconds)).unwrap();
    seen.results = vec![result(&seen, "monitoring/home", at(10)), result(&seen, "monitoring/errors", at(20))];
    let due = |gate: &str, after: i64| (format!("monitoring/{gate}"), after);
    assert_eq!(measured(&seen), [due("home", 12), due("errors", 25), due("latency", 3)]);
    seen.results[1].definition = "another".into();
    assert_eq!(measured(&seen)[1], due("errors", 0), "a result of a former definition is none");
}

#[test]
fn a_result_counts_only_for_the_definition_that_spec_has_now() {
    let mut seen = verifying();
    for gate in seen.status.gates.iter_mut().filter(|gate| gate.name == "verification/home") {
        gate.definition = "another".into();
    }
    assert_eq!(names(&seen), ["verification/health"], "the gate is to be recorded anew before it is measured");
}

#[test]
fn nothing_is_measured_before_the_switch_while_the_rollout_is_held_and_monitoring_goes_on() {
    type Hold = fn(&mut Observed);
    let holds: [(&str, Hold); 3] = [
        ("by spec", |seen| seen.spec.paused = true),
        ("by an order", |seen| seen.status.paused_by_order = true),
        ("without replicas", |seen| seen.spec.replicas = 0),
    ];
    for (how, hold) in holds {
        let (mut before, mut after) = (verifying(), monitoring());
        hold(&mut before);
        hold(&mut after);
        after.status.clock.as_mut().unwrap().stopped = Some(after.now);
        assert!(names(&before).is_empty(), "{how}");
        assert_eq!(names(&after).len(), 3, "{how}");
    }
}

#[test]
fn nothing_is_measured_for_a_rollout_that_goes_or_a_gate_that_spec_dropped_or_beside_one_that_failed() {
    for mut seen in [verifying(), monitoring()] {
        seen.deleting = true;
        assert!(names(&seen).is_empty());
    }
    let mut seen = monitoring();
    seen.status.gates.iter_mut().find(|gate| gate.name == "monitoring/latency").unwrap().state = GateState::Failed;
    assert!(names(&seen).is_empty(), "a person decides");
    let mut seen = monitoring();
    seen.spec.monitoring.as_mut().unwrap().checks.clear();
    assert_eq!(names(&seen), ["monitoring/errors", "monitoring/latency"]);
    let mut world = World::new(json!({"verification": {"initial": true, "checks": [{"name": "home", "http": {}}]}}));
    world.gauge = |_, _, _| Outcome::Check(CheckOutcome::NotDone("not yet".into()));
    world.run(60, |world| !measure::wanted(&world.seen()).is_empty());
    let mut seen = world.seen();
    assert_eq!((world.phase(), names(&seen).len()), (Phase::Initializing, 1), "{}", world.story());
    seen.spec.verification.as_mut().unwrap().initial = false;
    assert!(names(&seen).is_empty(), "the first revision is no longer to be verified");
}

#[test]
fn what_counts_in_a_score_is_measured_until_it_or_the_score_has_a_verdict() {
    let metric = |name: &str, weight: Option<i32>| json!({"name": name, "prometheus": {"query": "q"}, "max": "1", "weight": weight});
    let metrics = [metric("errors", Some(3)), metric("latency", Some(2)), metric("memory", None)];
    let seen = unmeasured(json!({"verification": {"score": {"min": "60%"}, "metrics": metrics}}), Phase::Verifying);
    let with = |states: &[(&str, GateState)]| {
        let mut seen = seen.clone();
        for (name, state) in states {
            seen.status.gates.iter_mut().find(|gate| gate.name == format!("verification/{name}")).unwrap().state = *state;
        }
        names(&seen).iter().map(|name| name.trim_start_matches("verification/").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(with(&[]), ["errors", "latency", "memory"]);
    assert_eq!(with(&[("latency", GateState::Failed)]), ["errors", "memory"], "the others may be enough");
    assert_eq!(with(&[("latency", GateState::Inconclusive), ("score", GateState::Inconclusive)]), ["errors", "latency", "memory"]);
    assert_eq!(with(&[("errors", GateState::Passed), ("score", GateState::Passed)]), ["memory"], "it needs no more of the rest");
    for condemned in ["score", "memory"] {
        assert!(with(&[(condemned, GateState::Failed)]).is_empty(), "{condemned}");
    }
}

fn http(seen: &Observed) -> What {
    measure::wanted(seen).into_iter().next().unwrap().what
}

fn asked(seen: &Observed) -> Vec<HttpTarget> {
    let What::Http { targets, .. } = http(seen) else { panic!("no HTTP check") };
    targets
}

#[test]
fn a_check_asks_every_ready_pod_of_its_revision_at_the_port_of_the_service() {
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
    assert_eq!(http(&seen), defaults);
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
    let What::Http { targets, scheme, path, exchange } = http(&seen) else { panic!("no HTTP check") };
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
    let What::Url { url, exchange } = http(&seen) else { panic!("no URL") };
    assert_eq!(url, format!("https://shop-preview.web.svc/green/{revision}"));
    assert_eq!((exchange.method, exchange.attempts), (Method::GET, 3));
}

#[test]
fn a_query_is_asked_with_its_variables_put_in_at_the_nearest_address_that_is_named() {
    let query = r#"up{ns="{{namespace}}",of="{{rollout}}-{{color}}",is="{{revision}}"}"#;
    let metric = |address: Value| json!([{"name": "errors", "max": "1", "prometheus": {"query": query, "address": address}}]);
    let asked = |spec: Value| {
        let seen = unmeasured(spec, Phase::Verifying);
        let revision = seen.status.preview.as_ref().unwrap().revision.clone();
        let What::Metric { questions, timeout, .. } = http(&seen) else { panic!("no metric") };
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
fn the_operators_own_credentials_are_for_the_address_that_no_rollout_names() {
    let shown = |address: Value, sources: Value| {
        let metric = json!({"name": "errors", "max": "1", "prometheus": {"query": "e", "address": address}});
        let seen = unmeasured(json!({"verification": {"metrics": [metric]}, "sources": sources}), Phase::Verifying);
        let What::Metric { credentials, .. } = http(&seen) else { panic!("no metric") };
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

#[test]
fn headers_of_the_sources_go_with_a_query_and_one_that_no_query_may_have_is_told() {
    let spec = |header: &str| {
        let metric = json!({"name": "errors", "max": "1", "prometheus": {"query": "e"}});
        let source = json!({"address": "http://team:9090", "headers": {header: "shop"}});
        json!({"verification": {"metrics": [metric]}, "sources": {"prometheus": source}})
    };
    let What::Metric { questions, .. } = http(&unmeasured(spec("X-Scope-OrgID"), Phase::Verifying)) else { panic!("no metric") };
    let [Question::Prometheus { headers, .. }] = questions.as_slice() else { panic!("{questions:?}") };
    assert_eq!(headers.get("x-scope-orgid").unwrap(), "shop");
    let mut world = World::new(spec("Host"));
    world.settle();
    let why = "spec.sources.prometheus: the header \"host\" is the operator's own in a query: leave it out";
    assert_eq!(world.status.message, format!("spec can't be carried out: {why}"));
}

#[test]
fn a_request_to_the_web_asks_about_both_sides_and_the_time_until_it_is_taken() {
    let web = json!({
        "url": "https://numbers/{{ other.color }}?from={{ start }}&to={{ end }}", "method": "POST", "window": "1m",
        "body": "{{ revision }} {{ other.revision }} {{ interval }}", "jsonPath": "$.v", "credentials": {"secretName": "numbers"},
    });
    let spec = json!({"verification": {"metrics": [{"name": "errors", "max": "1", "interval": "20s", "web": web}]}});
    let seen = unmeasured(spec, Phase::Verifying);
    let [candidate, active] = [&seen.status.preview, &seen.status.active].map(|side| side.as_ref().unwrap().revision.clone());
    let due = measure::wanted(&seen).remove(0).due.max(seen.now).as_second();
    let What::Metric { questions, credentials, .. } = http(&seen) else { panic!("no metric") };
    let asked = format!("POST https://numbers/blue?from={}&to={due} {candidate} {active} 20s", due - 60);
    assert_eq!(questions.iter().map(ToString::to_string).collect::<Vec<_>>(), [asked]);
    assert_eq!(credentials, Whose::Secret(Secret { namespace: "web".into(), name: "numbers".into() }));
}

#[test]
fn a_comparison_of_latencies_asks_for_the_buckets_of_both_sides() {
    let latency = json!({"buckets": "b{pod=~\"{{ pods }}\"}", "address": "http://own:9090/", "credentials": {"secretName": "numbers"}});
    let spec = json!({"verification": {"metrics": [{"name": "latency", "latency": latency}]}});
    let What::Metric { questions, credentials, timeout } = http(&unmeasured(spec, Phase::Verifying)) else { panic!("no metric") };
    let of = |color: &str| Question::Buckets {
        address: "http://own:9090".into(),
        headers: Arc::default(),
        query: format!("b{{pod=~\"shop-{color}-[a-z0-9]+-[a-z0-9]+\"}}"),
    };
    assert_eq!(questions, [of("green"), of("blue")]);
    assert_eq!(credentials, Whose::Secret(Secret { namespace: "web".into(), name: "numbers".into() }));
    assert_eq!(timeout, Duration::from_secs(10));
}

#[test]
fn what_was_asked_is_told_ready_to_be_asked_by_hand() {
    let metric = json!({"name": "errors", "max": "1", "maxFactor": "2", "prometheus": {"query": "e{color=\"{{ color }}\"}"}, "count": 9});
    let mut world = World::live(json!({"verification": {"metrics": [metric]}}));
    world.gauge = |_, _, _| Outcome::Readings(vec![Reading::Value(0.0); 2]);
    world.image("shop:2");
    world.run_until(Phase::Verifying);
    world.run_for(30);
    let measured = world.status.gates[0].measured.clone().unwrap();
    assert_eq!(measured.asked, ["e{color=\"green\"}", "e{color=\"blue\"}"]);
}

#[test]
fn a_job_is_run_under_a_name_that_tells_its_attempt_and_is_told_before_it_ends() {
    let containers = json!([{"name": "tests", "image": "tests:1"}]);
    let template = json!({"metadata": {"labels": {"team": "a", "app.kubernetes.io/name": "b"}}, "spec": {"template": {"spec": {"containers": containers, "initContainers": containers}}}});
    let long = "a-name-that-is-as-long-as-a-name-of-a-check-may-be-so-that-it-is-cut";
    let of = |name: &str, stage: &str, phase: Phase| {
        unmeasured(json!({stage: {"checks": [{"name": name, "job": {"template": template}}]}}), phase)
    };
    let job = |seen: &Observed| match http(seen) {
        What::Job(job) => *job,
        what => panic!("{what:?}"),
    };
    let seen = of("smoke", "verification", Phase::Verifying);
    let run = job(&seen);
    let mut fresh = seen.clone();
    fresh.status.gates.clear();
    fresh.now += SignedDuration::from_secs(1);
    let Decision::Record(begun) = decide(&fresh) else { panic!("no gates begin") };
    fresh.status = *begun;
    assert_eq!(fresh.status.gates[0].message, format!("runs as Job {}", job(&fresh).name));
    assert_ne!(job(&fresh).name, run.name, "a gate that begins again runs another one");
    // Until its Service leads to the candidate it would test what serves already.
    let ObjectSeen::There(preview) = &mut fresh.preview_service else { panic!("no preview Service") };
    preview.selector.insert("bluegreen.dev/color".into(), "blue".into());
    assert_eq!(measure::wanted(&fresh), []);
    let Decision::Record(waits) = decide(&fresh) else { panic!("it isn't told") };
    assert_eq!(waits.gates[0].message, "waits until Service shop-preview leads to it");
    assert_eq!((run.namespace.as_str(), run.owner.as_str(), run.timeout), ("web", seen.uid.as_str(), Duration::from_mins(10)));
    let metadata = &run.object["metadata"];
    assert_eq!((&metadata["name"], &metadata["namespace"]), (&json!(run.name), &json!("web")));
    assert_eq!((&metadata["labels"]["team"], &metadata["labels"]["app.kubernetes.io/name"]), (&json!("a"), &json!("shop")));
    assert_eq!(metadata["ownerReferences"][0]["uid"], json!(seen.uid));
    for containers in ["containers", "initContainers"] {
        let address = &run.object["spec"]["template"]["spec"][containers][0]["env"][0];
        assert_eq!(*address, json!({"name": "BLUEGREEN_ADDRESS", "value": "shop-preview.web.svc:80"}));
    }
    let pods = &run.object["spec"]["template"]["metadata"];
    assert!(pods.is_null(), "no Service finds them: {pods}");

    let mut again = seen.clone();
    again.status.attempt += 1;
    assert_ne!(job(&again).name, run.name, "what was tried before says nothing about this attempt");
    let after = job(&of(long, "monitoring", Phase::Monitoring));
    assert_eq!(after.object["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"], "shop.web.svc:80");
    assert!(after.name.len() == 63 && after.name.starts_with("shop-a-name"), "{}", after.name);
}

/// A world that verifies by a metric of a Job, and has no reading yet.
fn measured_by_a_job(more: Value) -> Observed {
    let template = json!({"spec": {"template": {"spec": {"containers": [{"name": "load", "image": "load:1"}]}}}});
    let mut metric = json!({"name": "load", "max": "1", "job": {"template": template, "timeout": "3m"}});
    metric.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    unmeasured(json!({"verification": {"metrics": [metric]}}), Phase::Verifying)
}

/// What came of a reading of the candidate, five seconds after the gate had begun.
fn read(seen: &Observed) -> Measurement {
    let at = seen.status.gates[0].since.checked_add(SignedDuration::from_secs(5)).unwrap();
    Measurement { revision: seen.status.preview.as_ref().unwrap().revision.clone(), ..result(seen, "verification/load", at) }
}

fn run_for_it(seen: &Observed) -> JobRun {
    let What::Reading(run) = http(seen) else { panic!("no Job") };
    *run
}

#[test]
fn a_metric_runs_a_job_for_each_reading_once_its_service_leads_to_the_candidate() {
    let mut seen = measured_by_a_job(json!({}));
    let run = run_for_it(&seen);
    assert!(run.name.starts_with("shop-load-"), "{}", run.name);
    assert_eq!((run.namespace.as_str(), run.owner.as_str(), run.timeout), ("web", seen.uid.as_str(), Duration::from_mins(3)));
    let spec = &run.object["spec"];
    assert_eq!((&spec["backoffLimit"], &spec["ttlSecondsAfterFinished"]), (&json!(0), &json!(120)));
    let address = &spec["template"]["spec"]["containers"][0]["env"][0];
    assert_eq!(*address, json!({"name": "BLUEGREEN_ADDRESS", "value": "shop-preview.web.svc:80"}));

    let reading = read(&seen);
    seen.results = vec![reading.clone()];
    let next = measure::wanted(&seen).remove(0);
    assert_eq!(next.due.duration_since(reading.at), SignedDuration::from_mins(1), "from the end of the one before");

    let ObjectSeen::There(preview) = &mut seen.preview_service else { panic!("no preview Service") };
    preview.selector.insert("bluegreen.dev/color".into(), "blue".into());
    assert_eq!(measure::wanted(&seen), [], "it would measure what serves already");
}

#[test]
fn each_reading_has_a_job_of_its_own_and_all_of_them_one_label_while_the_same_is_judged() {
    let seen = measured_by_a_job(json!({}));
    let (first, reading) = (run_for_it(&seen), read(&seen));
    assert_eq!(first.object["metadata"]["labels"]["bluegreen.dev/metric"], json!(first.metric));
    let mut later = seen.clone();
    later.now += SignedDuration::from_secs(9);
    assert_eq!(run_for_it(&later), first, "time passes before it is due");
    later.results = vec![reading.clone()];
    let second = run_for_it(&later);
    assert!(second.name != first.name && second.metric == first.metric, "the next reading");
    type Change = fn(&mut Observed);
    let changes: [(&str, Change); 3] = [
        ("another attempt", |seen| seen.status.attempt += 1),
        ("another revision", |seen| seen.status.preview.as_mut().unwrap().revision = "another".into()),
        ("another rollout of its name", |seen| seen.uid = "another".into()),
    ];
    for (what, change) in changes {
        let mut seen = seen.clone();
        change(&mut seen);
        let gate = &seen.status.gates[0];
        assert!(measure::wanted(&seen).is_empty() || run_for_it(&seen).metric != first.metric, "{what}: {}", gate.name);
    }
}

#[test]
fn a_metric_of_a_job_that_nobody_can_judge_runs_few_of_them_and_tells_how_to_find_them() {
    let mut seen = measured_by_a_job(json!({"noDataLimit": 1}));
    let (ran, reading) = (run_for_it(&seen), read(&seen));
    seen.now = reading.at;
    seen.results = vec![reading.clone()];
    assert_eq!(measure::wanted(&seen)[0].due, reading.at + SignedDuration::from_mins(1), "the usual time, as long as it runs");
    let Decision::Record(turned) = decide(&seen) else { panic!("nothing turns") };
    let gate = &turned.gates[0];
    assert_eq!((gate.state, gate.since), (GateState::Inconclusive, reading.at));
    assert_eq!(gate.measured.as_ref().unwrap().asked, [format!("Jobs with the label bluegreen.dev/metric={}", ran.metric.unwrap())]);
    seen.status = *turned;
    assert_eq!(measure::wanted(&seen)[0].due, reading.at + SignedDuration::from_mins(10), "a person may be waited for");
}

#[test]
fn the_time_before_the_switch_is_asked_for_on_the_side_that_was_left() {
    let query = "l{of=\"{{ color }}\",is=\"{{ revision }}\"}";
    let metric = json!({"name": "latency", "maxFactor": "1.5", "factorOf": "BeforeSwitch", "prometheus": {"query": query}});
    let seen = unmeasured(json!({"monitoring": {"metrics": [metric]}}), Phase::Monitoring);
    let [active, standby] = [&seen.status.active, &seen.status.standby].map(|side| side.as_ref().unwrap().revision.clone());
    let phases = &seen.status.current.as_ref().unwrap().phases;
    let switch = phases.iter().find(|it| it.phase == Phase::Promoting).unwrap().at;
    let What::Metric { questions, .. } = http(&seen) else { panic!("no metric") };
    let asked: Vec<_> = questions.iter().map(ToString::to_string).collect();
    let now = format!(r#"l{{of="green",is="{active}"}}"#);
    assert_eq!(asked, [now, format!(r#"l{{of="blue",is="{standby}"}} # at {switch}"#)]);
    assert!(matches!(&questions[1], Question::Prometheus { at: Some(at), .. } if *at == switch));
}

#[test]
fn how_many_requests_a_value_rests_on_is_asked_last_and_of_the_side_that_is_judged() {
    let asked = json!({"query": "e{{ color }}", "requests": "n{{ color }}", "minRequests": 1});
    let metric = json!({"name": "errors", "prometheus": asked, "maxFactor": "2"});
    let seen = unmeasured(json!({"verification": {"metrics": [metric]}}), Phase::Verifying);
    let What::Metric { questions, .. } = http(&seen) else { panic!("no metric") };
    assert_eq!(questions.iter().map(ToString::to_string).collect::<Vec<_>>(), ["egreen", "eblue", "ngreen"]);
}

#[test]
fn why_a_check_can_not_be_done_is_told_once() {
    let mut world = World::live(json!({"verification": {"checks": [{"name": "home", "http": {}}]}}));
    world.gauge = |_, _, _| Outcome::Check(CheckOutcome::NotDone("no route".into()));
    world.image("shop:2");
    world.run_until(Phase::Verifying);
    world.run_for(5);
    assert_eq!(world.status.gates[0].message, "no route");
    let records = world.records;
    world.run_for(60);
    assert_eq!(world.records, records);
}
