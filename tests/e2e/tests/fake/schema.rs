//! The resource on a real API server: what it takes, and what it refuses in which words. Needs no operator.

use bluegreen_e2e::{Space, manifest::named, merged, shop};
use serde_json::{Value, json};

const DURATION: &str = "must be a duration of whole numbers with h, m, s or ms, for example 90s or 1h30m";
const TWO_IMAGES: &str = "two images: set image, or the image of the container in the template, not both";
const RESERVED: &str = "labels with the prefix bluegreen.dev/ are the operator's: choose another name";
const BESIDE: &str = "credentials and headers are for the address beside them: set address too, or those of sources.prometheus";
const TOO_LONG: &str = "the name is too long for the names of the objects made from it: use 55 characters at most";
const DNS_1035: &str =
    "the name must be a DNS-1035 label, since Services are named after it: lower case letters, digits and -, a letter first";

fn containers(containers: &Value) -> Value {
    json!({"template": {"spec": {"containers": containers}}})
}

fn ports(ports: &Value) -> Value {
    json!({"service": {"ports": ports}})
}

fn check(kind: &Value) -> Value {
    let mut check = kind.clone();
    check["name"] = json!("a");
    json!({"verification": {"checks": [check]}})
}

fn metric(metric: &Value) -> Value {
    json!({"verification": {"metrics": [metric]}})
}

/// What is wrong, the change to a good `spec`, and the message.
fn bad_specs() -> Vec<(&'static str, Value, String)> {
    let said = |field: &str, words: &str| format!("{field}: Invalid value: {words}");
    let mut all = vec![
        ("no image", json!({"image": null}), said("spec", "no image: set image, or the image of the container in the template")),
        ("two images", containers(&json!([{"name": "shop", "image": "shop:1"}])), said("spec", TWO_IMAGES)),
        (
            "two images in the container that is named",
            json!({"container": "shop", "template": {"spec": {"containers": [{"name": "shop", "image": "shop:1"}, {"name": "log", "image": "log:1"}]}}}),
            said("spec", TWO_IMAGES),
        ),
        (
            "two images in the container named like the rollout",
            containers(&json!([{"name": "shop", "image": "shop:1"}, {"name": "log", "image": "log:1"}])),
            said("spec.image", TWO_IMAGES),
        ),
        (
            "an unknown container",
            json!({"container": "web"}),
            said("spec", "container must name one of the containers in template.spec.containers"),
        ),
        (
            "two containers and none named",
            containers(&json!([{"name": "web"}, {"name": "log", "image": "log:1"}])),
            said("spec.container", "the template has several containers: name the one that gets image in spec.container"),
        ),
        (
            "no container",
            containers(&json!([])),
            said("spec.template.spec.containers", "0: spec.template.spec.containers in body should have at least 1 items"),
        ),
        ("no pod spec", json!({"template": {"spec": null}}), "spec.template.spec: Required value".into()),
        ("no ports", ports(&json!([])), said("spec.service.ports", "0: spec.service.ports in body should have at least 1 items")),
        ("no Service", json!({"service": null}), "spec.service: Required value".into()),
        (
            "a port twice",
            ports(&json!([{"name": "a", "port": 80}, {"name": "b", "port": 80, "protocol": "TCP"}])),
            said("spec.service", "two ports have the same number and protocol"),
        ),
        (
            "a port name twice",
            ports(&json!([{"name": "a", "port": 80}, {"name": "a", "port": 81}])),
            said("spec.service", "two ports have the same name"),
        ),
        (
            "two ports, one without a name",
            ports(&json!([{"name": "a", "port": 80}, {"port": 81}])),
            said("spec.service", "ports must have names when there are several"),
        ),
        (
            "port 0",
            ports(&json!([{"port": 0}])),
            said("spec.service.ports[0].port", "0: spec.service.ports[0].port in body should be greater than or equal to 1"),
        ),
        ("a bad port name", ports(&json!([{"name": "HTTP", "port": 80}])), "spec.service.ports[0].name in body should match".into()),
        (
            "a bad target port",
            ports(&json!([{"port": 80, "targetPort": 70_000}])),
            "spec.service.ports[0].targetPort in body should be less than or equal to 65535".into(),
        ),
        (
            "negative replicas",
            json!({"replicas": -1}),
            said("spec.replicas", "-1: spec.replicas in body should be greater than or equal to 0"),
        ),
        (
            "too few revisions",
            json!({"revisionHistoryLimit": 1}),
            said("spec.revisionHistoryLimit", "1: spec.revisionHistoryLimit in body should be greater than or equal to 2"),
        ),
        (
            "an unknown word for a lifetime",
            json!({"scaleDown": {"after": "never"}}),
            said(
                "spec.scaleDown.after",
                "\"never\": must be Never, or a duration of whole numbers with h, m, s or ms, for example 90s or 1h30m",
            ),
        ),
        (
            "an unknown mode",
            json!({"promotion": {"mode": "Auto"}}),
            "spec.promotion.mode: Unsupported value: \"Auto\": supported values: \"Automatic\", \"Manual\"".into(),
        ),
        (
            "labels of ours in the template",
            json!({"template": {"metadata": {"labels": {"bluegreen.dev/color": "red"}}}}),
            said("spec.template.metadata.labels", RESERVED),
        ),
        (
            "labels of ours for a Service",
            json!({"service": {"active": {"labels": {"bluegreen.dev/role": "x"}}}}),
            said("spec.service.active.labels", RESERVED),
        ),
        (
            "a class for no load balancer",
            json!({"service": {"active": {"loadBalancerClass": "example.com/inner"}}}),
            said(
                "spec.service.active",
                "loadBalancerClass, loadBalancerSourceRanges and allocateLoadBalancerNodePorts need type LoadBalancer",
            ),
        ),
        (
            "a policy for traffic that can't come",
            json!({"service": {"active": {"externalTrafficPolicy": "Local"}}}),
            said("spec.service.active", "externalTrafficPolicy needs type NodePort or LoadBalancer"),
        ),
        (
            "a time for no affinity",
            json!({"service": {"preview": {"sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}}}}),
            said("spec.service.preview", "sessionAffinityConfig needs sessionAffinity ClientIP"),
        ),
        (
            "one name for both Services",
            json!({"service": {"active": {"name": "shop-preview"}}}),
            said("spec.service", "the active and the preview Service need different names"),
        ),
        (
            "a metric without a limit",
            metric(&json!({"name": "a", "prometheus": {"query": "up"}})),
            said("spec.verification.metrics[0]", "a metric needs a limit: set max, min, maxFactor, goodIf, or several of them"),
        ),
        (
            "a stretch of time shorter than its step",
            metric(&json!({"name": "a", "max": "1", "prometheus": {"query": "up", "range": {"window": "10s", "take": "Max"}}})),
            said(
                "spec.verification.metrics[0].prometheus.range",
                "a window holds at least one step: make window longer, or step (default 15s) shorter",
            ),
        ),
        (
            "steps of less than a second",
            metric(
                &json!({"name": "a", "max": "1", "prometheus": {"query": "up", "range": {"window": "1m", "step": "1ms", "take": "Max"}}}),
            ),
            said("spec.verification.metrics[0].prometheus.range", "step is at least 1s"),
        ),
        (
            "a query that counts requests, and no number of them",
            metric(&json!({"name": "a", "max": "1", "prometheus": {"query": "up", "requests": "up"}})),
            said("spec.verification.metrics[0].prometheus", "requests counts what minRequests asks for: set both, or neither"),
        ),
        (
            "a number of requests that nobody counts",
            metric(&json!({"name": "a", "max": "1", "prometheus": {"ready": {"metric": "CPU"}, "minRequests": 5}})),
            said(
                "spec.verification.metrics[0].prometheus",
                "minRequests needs to know how requests are counted: set requests, a query that yields their number",
            ),
        ),
        (
            "a limit for what is never inconclusive",
            metric(&json!({"name": "a", "max": "1", "prometheus": {"query": "up"}, "inconclusiveLimit": 2})),
            said(
                "spec.verification.metrics[0]",
                "inconclusiveLimit is for what is worse than before the switch: set factorOf to BeforeSwitch, or leave it out",
            ),
        ),
        (
            "a metric of two kinds",
            metric(&json!({"name": "a", "max": "1", "prometheus": {"query": "up"}, "comparison": {"errors": "up", "requests": "up"}})),
            said("spec.verification.metrics[0]", "set exactly one kind of metric: prometheus, web, job, comparison or latency"),
        ),
        (
            "a comparison with a limit",
            metric(&json!({"name": "a", "max": "1", "comparison": {"errors": "up", "requests": "up"}})),
            said(
                "spec.verification.metrics[0]",
                "a comparison is judged by tolerated and falseAlarms: leave out max, min, maxFactor, goodIf, failureLimit and failureFor",
            ),
        ),
        (
            "a comparison of errors and of latencies",
            metric(&json!({"name": "a", "comparison": {"errors": "up", "requests": "up"}, "latency": {"buckets": "up"}})),
            said("spec.verification.metrics[0]", "set exactly one kind of metric: prometheus, web, job, comparison or latency"),
        ),
        (
            "a comparison of latencies with a limit",
            metric(&json!({"name": "a", "failureLimit": 2, "latency": {"buckets": "up"}})),
            said(
                "spec.verification.metrics[0]",
                "a comparison is judged by tolerated and falseAlarms: leave out max, min, maxFactor, goodIf, failureLimit and failureFor",
            ),
        ),
        (
            "a comparison of latencies without buckets",
            metric(&json!({"name": "a", "latency": {}})),
            "spec.verification.metrics[0].latency.buckets: Required value".into(),
        ),
        (
            "an effect that is no number",
            metric(&json!({"name": "a", "latency": {"buckets": "up", "tolerated": "small"}})),
            "spec.verification.metrics[0].latency.tolerated in body should match".into(),
        ),
        (
            "a comparison of latencies with credentials and without the address that they are for",
            metric(&json!({"name": "a", "latency": {"buckets": "up", "credentials": {"secretName": "a"}}})),
            said("spec.verification.metrics[0].latency", BESIDE),
        ),
        (
            "a comparison of latencies with headers and without the address that they are for",
            metric(&json!({"name": "a", "latency": {"buckets": "up", "headers": {"X-Scope-OrgID": "a"}}})),
            said("spec.verification.metrics[0].latency", BESIDE),
        ),
        (
            "a comparison with headers and without the address that they are for",
            metric(&json!({"name": "a", "comparison": {"errors": "up", "requests": "up", "headers": {"X-Scope-OrgID": "a"}}})),
            said("spec.verification.metrics[0].comparison", BESIDE),
        ),
        (
            "the beginning of no factor",
            metric(&json!({"name": "a", "max": "1", "factorFrom": "1%", "prometheus": {"query": "up"}})),
            said("spec.verification.metrics[0]", "factorFrom belongs to maxFactor: set both or neither"),
        ),
        (
            "a query that is written and ready-made",
            metric(&json!({"name": "a", "max": "1", "prometheus": {"query": "up", "ready": {"metric": "CPU"}}})),
            said("spec.verification.metrics[0].prometheus", "set exactly one of query and ready"),
        ),
        (
            "no query",
            metric(&json!({"name": "a", "max": "1", "prometheus": {}})),
            said("spec.verification.metrics[0].prometheus", "set exactly one of query and ready"),
        ),
        (
            "a ready-made metric of requests without a source",
            metric(&json!({"name": "a", "max": "1", "prometheus": {"ready": {"metric": "ErrorRate"}}})),
            said(
                "spec.verification.metrics[0].prometheus.ready",
                "metrics of requests need a source: set HTTP, OpenTelemetry, Istio or Linkerd",
            ),
        ),
        (
            "a ready-made metric of the cluster with a source",
            metric(&json!({"name": "a", "max": "1", "prometheus": {"ready": {"metric": "Memory", "source": "HTTP"}}})),
            said("spec.verification.metrics[0].prometheus.ready", "CPU, Memory and Restarts have no source: remove source"),
        ),
        (
            "a window without scrapes",
            metric(&json!({"name": "a", "max": "1", "prometheus": {"ready": {"metric": "CPU", "window": "9s"}}})),
            said("spec.verification.metrics[0].prometheus.ready", "a window of less than 10s holds too few scrapes: set at least 10s"),
        ),
        (
            "credentials without the address that they are for",
            metric(&json!({"name": "a", "max": "1", "prometheus": {"query": "up", "credentials": {"secretName": "a"}}})),
            said("spec.verification.metrics[0].prometheus", BESIDE),
        ),
        (
            "headers without the address that they are for",
            metric(&json!({"name": "a", "max": "1", "prometheus": {"query": "up", "headers": {"X-Scope-OrgID": "a"}}})),
            said("spec.verification.metrics[0].prometheus", BESIDE),
        ),
        (
            "a request to the web with a body and no method that sends it",
            metric(&json!({"name": "a", "max": "1", "web": {"url": "http://a", "jsonPath": "$.a", "body": "b"}})),
            said("spec.verification.metrics[0].web", "a body needs a method that sends one: set method to POST"),
        ),
        (
            "a request to the web by a method that changes something",
            metric(&json!({"name": "a", "max": "1", "web": {"url": "http://a", "jsonPath": "$.a", "method": "DELETE"}})),
            said("spec.verification.metrics[0].web", "a metric is asked for by GET or POST"),
        ),
        (
            "a header from no Secret",
            metric(&json!({
                "name": "a", "max": "1",
                "web": {"url": "http://a", "jsonPath": "$.a", "headers": [{"name": "key", "secretKey": "key"}]},
            })),
            said("spec.verification.metrics[0].web", "secretKey is a key of the Secret that credentials names: set credentials.secretName"),
        ),
        (
            "a header of nothing",
            metric(&json!({"name": "a", "max": "1", "web": {"url": "http://a", "jsonPath": "$.a", "headers": [{"name": "key"}]}})),
            said("spec.verification.metrics[0].web.headers[0]", "set exactly one of value and secretKey"),
        ),
        (
            "a metric of no kind",
            metric(&json!({"name": "a", "max": "1"})),
            said("spec.verification.metrics[0]", "set exactly one kind of metric: prometheus, web, job, comparison or latency"),
        ),
        (
            "a Job beside a factor",
            metric(&json!({
                "name": "a", "maxFactor": "2",
                "job": {"template": {"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "a"}]}}}}},
            })),
            said(
                "spec.verification.metrics[0]",
                "a Job measures one side alone: set max or min instead of maxFactor, or let the Job compare",
            ),
        ),
        (
            "a limit that is no number",
            metric(&json!({"name": "a", "max": "one", "prometheus": {"query": "up"}})),
            "spec.verification.metrics[0].max in body should match".into(),
        ),
        (
            "a weight without a score",
            metric(&json!({"name": "a", "max": "1", "weight": 1, "prometheus": {"query": "up"}})),
            said("spec.verification", "a weight counts in a score: set score, or leave weight out"),
        ),
        (
            "a weight without a score, after the switch",
            json!({"monitoring": {"metrics": [{"name": "a", "max": "1", "weight": 1, "prometheus": {"query": "up"}}]}}),
            said("spec.monitoring", "a weight counts in a score: set score, or leave weight out"),
        ),
        (
            "a weight of what passes anyway",
            json!({"verification": {
                "score": {"min": "80%"},
                "metrics": [{"name": "a", "max": "1", "weight": 1, "dryRun": true, "prometheus": {"query": "up"}}],
            }}),
            said("spec.verification.metrics[0]", "a dry run always passes and can have no weight: remove weight or dryRun"),
        ),
        (
            "a weight that is too heavy",
            json!({"verification": {
                "score": {"min": "80%"},
                "metrics": [{"name": "a", "max": "1", "weight": 101, "prometheus": {"query": "up"}}],
            }}),
            "spec.verification.metrics[0].weight in body should be less than or equal to 100".into(),
        ),
        (
            "a score that is no share",
            json!({"verification": {"score": {"min": "most"}}}),
            "spec.verification.score.min in body should match".into(),
        ),
        (
            "a check of no kind",
            json!({"verification": {"checks": [{"name": "a"}]}}),
            said("spec.verification.checks[0]", "set exactly one kind of check: http, job or webhook"),
        ),
        (
            "a check of two kinds",
            check(&json!({"http": {}, "webhook": {"url": "http://approvals/"}})),
            said("spec.verification.checks[0]", "set exactly one kind of check: http, job or webhook"),
        ),
        (
            "a URL and a path",
            check(&json!({"http": {"url": "http://shop/", "path": "/"}})),
            said("spec.verification.checks[0].http", "url has a scheme, a port and a path of its own: leave scheme, port and path out"),
        ),
        (
            "a URL of another kind",
            check(&json!({"http": {"url": "ftp://shop/"}})),
            "spec.verification.checks[0].http.url in body should match '^https?://'".into(),
        ),
        (
            "a body that is not sent",
            check(&json!({"http": {"body": "a"}})),
            said("spec.verification.checks[0].http", "a body needs a method that sends one: set method to POST, PUT or PATCH"),
        ),
        (
            "a body where none is answered",
            check(&json!({"http": {"method": "HEAD", "expectedBody": {"contains": "a"}}})),
            said("spec.verification.checks[0].http", "answers to HEAD have no body: choose another method, or leave expectedBody out"),
        ),
        (
            "an unknown method",
            check(&json!({"http": {"method": "get"}})),
            "spec.verification.checks[0].http.method: Unsupported value: \"get\"".into(),
        ),
        (
            "a body of which nothing is expected",
            check(&json!({"http": {"expectedBody": {}}})),
            said("spec.verification.checks[0].http.expectedBody", "say what to expect: set contains, jsonPath, or both"),
        ),
        (
            "a value that nothing finds",
            check(&json!({"http": {"expectedBody": {"contains": "a", "equals": "b"}}})),
            said("spec.verification.checks[0].http.expectedBody", "equals needs a jsonPath that finds what to compare"),
        ),
        (
            "a header name that can't be",
            check(&json!({"http": {"headers": [{"name": "X Team", "value": "a"}]}})),
            "spec.verification.checks[0].http.headers[0].name in body should match".into(),
        ),
        ("a webhook without a URL", check(&json!({"webhook": {}})), "spec.verification.checks[0].webhook.url: Required value".into()),
        (
            "too many tries",
            check(&json!({"webhook": {"url": "http://approvals/", "attempts": 10_001}})),
            "spec.verification.checks[0].webhook.attempts in body should be less than or equal to 10000".into(),
        ),
        (
            "an address without a scheme",
            json!({"sources": {"prometheus": {"address": "prometheus:9090"}}}),
            "spec.sources.prometheus.address in body should match '^https?://'".into(),
        ),
    ];
    for duration in ["10", "-5s", "1d", "1.5h", ""] {
        all.push((
            "a duration that is none",
            json!({"progressDeadline": duration}),
            said("spec.progressDeadline", &format!("{duration:?}: {DURATION}")),
        ));
    }
    for replicas in [json!("150%"), json!("0%"), json!(0), json!("2")] {
        let message =
            said("spec.preview.replicas", &format!("{replicas}: must be a number of at least 1, or a percentage from 1% to 100%"));
        all.push(("a preview size that is none", json!({"preview": {"replicas": replicas}}), message));
    }
    all
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn bad_input_is_refused_in_words_that_help() {
    let space = Space::without_operator("bad-specs").await;
    for (what, spec, message) in bad_specs() {
        match space.try_rollout(&merged(shop(), &spec)).await {
            Ok(_) => panic!("{what} was taken"),
            Err(told) => assert!(told.contains(&message), "{what}:\n  told:     {told}\n  expected: {message}"),
        }
    }
    for (name, message) in [("a".repeat(56), TOO_LONG), ("a.b".into(), DNS_1035), ("1shop".into(), DNS_1035)] {
        let told = space.try_rollout(&named(shop(), &name)).await.err().unwrap_or_else(|| panic!("{name} was taken"));
        assert!(told.contains(message), "{name}: {told}");
    }
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn good_input_is_taken() {
    let space = Space::without_operator("good-specs").await;
    let two = json!([{"name": "shop"}, {"name": "log", "image": "log:1"}]);
    let good = [
        json!({}),
        json!({"container": "shop", "template": {"spec": {"containers": two}}}),
        json!({"container": "log", "template": {"spec": {"containers": [{"name": "shop", "image": "shop:1"}, {"name": "log"}]}}}),
        json!({"image": null, "template": {"spec": {"containers": [{"name": "shop", "image": "shop:1"}, {"name": "log", "image": "log:1"}]}}}),
        ports(&json!([{"name": "a", "port": 80}, {"name": "b", "port": 80, "protocol": "UDP", "targetPort": "dns"}])),
        json!({"preview": {"replicas": "50%"}, "scaleDown": {"after": "Never"}, "replicas": 0}),
        metric(&json!({"name": "a", "max": "1", "prometheus": {"ready": {"metric": "LatencyP95", "source": "HTTP", "window": "10s"}}})),
        containers(
            &json!([{"name": "shop", "resources": {"limits": {"cpu": 1, "memory": "1Gi"}}, "fieldOfANewerCluster": {"kept": true}}]),
        ),
    ];
    for (number, spec) in good.iter().enumerate() {
        let name = format!("shop-{number}");
        space.rollout(&named(merged(shop(), spec), &name)).await;
    }
    space.rollout(&named(shop(), &"a".repeat(55))).await;
    space.end().await;
}
