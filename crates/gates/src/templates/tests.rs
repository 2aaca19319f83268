use super::*;
use crate::{
    gates::{self, GateDefinition, Kind, Surroundings},
    metric::tests::prometheus,
};
use serde_json::json;

/// This one in both kinds.
fn seen(template: &TemplateSeen) -> Templates {
    let kinds = [TemplateKind::GateTemplate, TemplateKind::ClusterGateTemplate];
    kinds.map(|kind| ((kind, "slo".to_owned()), template.clone())).into()
}

fn there(template: Value) -> TemplateSeen {
    TemplateSeen::There(serde_json::from_value(template).unwrap())
}

fn slo() -> Value {
    json!({
        "parameters": [{"name": "job"}, {"name": "errors", "default": "1%"}],
        "checks": [{"name": "home", "http": {}}],
        "metrics": [{"name": "errors", "max": "{{ parameters.errors }}", "prometheus": {"query": "e{job=\"{{parameters.job}}\",pod=~\"{{ pods }}\"}"}}],
    })
}

/// The rollout's.
fn own_parameters() -> BTreeMap<String, String> {
    [("zone".to_owned(), "eu-1".to_owned())].into()
}

fn defined(stage: Stage, template: TemplateSeen, references: Value) -> Result<Vec<GateDefinition>, String> {
    let references: Vec<TemplateReference> = serde_json::from_value(references).unwrap();
    let own: Metric = serde_json::from_value(json!({"name": "own", "max": "1", "prometheus": {"query": "q"}})).unwrap();
    let groups = Group::all(stage, (&[], &[own]), &references, &own_parameters(), "web", &seen(&template));
    let surroundings = Surroundings { prometheus: Ok(Some(&prometheus("http://prometheus"))), ports: None };
    gates::planned(stage, &groups, surroundings).into_iter().map(|gate| gate.map_err(|gate| gate.why.to_string())).collect()
}

fn wrong(template: TemplateSeen, reference: Value) -> String {
    defined(Stage::Verification, template, json!([reference])).unwrap_err()
}

fn names(gates: &[GateDefinition]) -> Vec<&str> {
    gates.iter().map(|gate| gate.name.as_str()).collect()
}

#[test]
fn a_template_that_cannot_be_used_is_told_with_what_to_do() {
    let own = json!({"name": "slo", "parameters": {"job": "shop"}});
    let cluster = json!({"kind": "ClusterGateTemplate", "name": "slo", "parameters": {"job": "shop"}});
    let with = |parameters: Value| json!({"name": "slo", "parameters": parameters});
    let undeclared = json!({"checks": [{"name": "home", "http": {"path": "/{{ parameters.page }}"}}]});
    let at = "spec.verification.templates: GateTemplate web/slo";
    for (error, expected) in [
        (wrong(TemplateSeen::Absent, own.clone()), format!("{at} doesn't exist: create it, or remove it from spec")),
        (
            wrong(TemplateSeen::Absent, cluster),
            "spec.verification.templates: ClusterGateTemplate slo doesn't exist: create it, or remove it from spec".into(),
        ),
        (wrong(TemplateSeen::Unknown("unknown variant".into()), own.clone()), format!("{at} can't be read: unknown variant")),
        (wrong(there(slo()), with(json!({}))), format!("{at} needs the parameter job, which has no default: set it in parameters")),
        (
            wrong(there(slo()), with(json!({"job": "shop", "jobb": "shop"}))),
            format!("{at} has no parameter jobb (it has job, errors): remove it from parameters"),
        ),
        (wrong(there(json!({"checks": []})), own.clone()), format!("{at} has no parameter job (it has none): remove it from parameters")),
        (
            wrong(there(undeclared), with(json!({}))),
            format!("{at}: checks home: {{{{ parameters.page }}}} is not declared: add page to the parameters of the template"),
        ),
        (
            wrong(there(slo()), with(json!({"job": "shop", "errors": "few"}))),
            format!("{at}: metrics errors: the limit \"few\" is not a number or a percentage; write \"0.01\" or 1%"),
        ),
    ] {
        assert_eq!(error, expected);
    }
    let twice = json!({"checks": [{"name": "a", "http": {}}], "metrics": [{"name": "a", "max": "1", "prometheus": {"query": "q"}}]});
    assert_eq!(wrong(there(twice), with(json!({}))), format!("{at}: a check and a metric are both named a; give each its own name"));
}

#[test]
fn gates_of_templates_come_after_those_of_the_rollout() {
    let references = json!([{"name": "slo", "parameters": {"job": "shop"}}]);
    let gates = defined(Stage::Verification, there(slo()), references).unwrap();
    assert_eq!(names(&gates), ["verification/slo/home", "verification/own", "verification/slo/errors"]);
}

#[test]
fn templates_of_both_kinds_may_have_one_name() {
    let parameters = json!({"job": "shop"});
    let both = json!([{"kind": "ClusterGateTemplate", "name": "slo", "parameters": parameters}, {"name": "slo", "parameters": parameters}]);
    let gates = defined(Stage::Monitoring, there(slo()), both).unwrap();
    let expected = ["cluster:slo/home", "slo/home", "own", "cluster:slo/errors", "slo/errors"].map(|name| format!("monitoring/{name}"));
    assert_eq!(names(&gates), expected);
}

#[test]
fn parameters_are_put_in_wherever_there_is_text() {
    let by_name = BTreeMap::from([("job", "shop"), ("quoted", "{{ parameters.job }}")]);
    let values = Parameters { by_name, declared_in: "", room: &std::cell::Cell::new(1024) };
    for (text, expected) in [
        ("{{parameters.job}}-{{ parameters.job }}", "shop-shop"),
        ("{{ pods }} {{ parameters.job }} {{ rollout", "{{ pods }} shop {{ rollout"),
        ("{\"a\": {\"b\": \"{{ parameters.quoted }}\"}}", "{\"a\": {\"b\": \"{{ parameters.job }}\"}}"),
        ("{{ {{ parameters.job }}", "{{ shop"),
    ] {
        assert_eq!(put_in(text, &values).unwrap(), expected, "{text}");
    }
    let check: Check = serde_json::from_value(json!({"name": "home", "http": {
        "url": "http://{{ parameters.job }}.{{ namespace }}/", "method": "POST", "body": "{{ parameters.job }}",
        "headers": [{"name": "Host", "value": "{{ parameters.job }}"}], "expectedBody": {"contains": "{{ parameters.job }}"},
    }}))
    .unwrap();
    let http = filled(&check, &values).unwrap().http.unwrap();
    assert_eq!(http.url.as_deref(), Some("http://shop.{{ namespace }}/"));
    assert_eq!((http.body.as_deref(), http.headers[0].value.as_str()), (Some("shop"), "shop"));
    assert_eq!(http.expected_body.unwrap().contains.as_deref(), Some("shop"));
    let metric: Metric = serde_json::from_value(json!({"name": "errors", "max": "1", "prometheus": {
        "query": "e", "address": "http://numbers", "headers": {"X-Scope-OrgID": "{{ parameters.job }}"},
    }}))
    .unwrap();
    assert_eq!(filled(&metric, &values).unwrap().prometheus.unwrap().headers["X-Scope-OrgID"], "shop");
}

#[test]
fn a_gate_is_defined_by_its_template_with_parameters() {
    let gates = |template: Value, parameters: Value| {
        defined(Stage::Verification, there(template), json!([{"name": "slo", "parameters": parameters}])).unwrap()
    };
    let definitions = |gates: &[GateDefinition]| gates.iter().map(|gate| gate.definition.clone()).collect::<Vec<_>>();
    let before = definitions(&gates(slo(), json!({"job": "shop"})));
    let mut other = slo();
    other["metrics"][0]["max"] = json!("2%");
    let after = definitions(&gates(other, json!({"job": "shop"})));
    assert_eq!((&before[..2], before[2] == after[2]), (&after[..2], false), "only what changed");
    let mut default = slo();
    default["parameters"][1]["default"] = json!("3%");
    assert_eq!(before, definitions(&gates(default, json!({"job": "shop", "errors": "1%"}))), "a default that isn't used changes nothing");
    let own = defined(Stage::Verification, there(slo()), json!([])).unwrap();
    assert_eq!(own[0].definition, before[1], "those of the rollout itself are what they were");
}

#[test]
fn in_monitoring_a_template_leaves_out_what_only_compares() {
    let query = json!({"query": "rate(e[1m])"});
    let template = json!({"metrics": [
        {"name": "compared", "comparison": {"errors": "e", "requests": "r"}},
        {"name": "latency", "latency": {"buckets": "b"}},
        {"name": "factor", "maxFactor": "2", "factorFrom": "1%", "prometheus": query},
        {"name": "both", "max": "1", "maxFactor": "2", "factorFrom": "1%", "prometheus": query},
        {"name": "least", "min": "1", "maxFactor": "2", "prometheus": query},
        {"name": "active", "goodIf": "value < active", "prometheus": query},
        {"name": "small", "goodIf": "value < 1.0", "maxFactor": "2", "prometheus": query},
    ]});
    let of = |stage: Stage| defined(stage, there(template.clone()), json!([{"name": "slo"}])).unwrap();
    let all = ["own", "slo/compared", "slo/latency", "slo/factor", "slo/both", "slo/least", "slo/active", "slo/small"];
    let before = all.map(|name| format!("verification/{name}"));
    let mut first = of(Stage::Verification);
    assert_eq!(names(&first), before);
    let after = of(Stage::Monitoring);
    let limited = ["own", "slo/both", "slo/least", "slo/small"];
    assert_eq!(names(&after), limited.map(|name| format!("monitoring/{name}")));
    first.retain_mut(|gate| match &mut gate.kind {
        Kind::Metric(plan) => plan.alone(),
        Kind::Check(_) | Kind::Score(_) | Kind::Unknown(_) => true,
    });
    assert_eq!(names(&first), limited.map(|name| format!("verification/{name}")), "as for the first revision");
    let nothing = json!({"metrics": [{"name": "none", "prometheus": query}]});
    let error = defined(Stage::Monitoring, there(nothing), json!([{"name": "slo"}])).unwrap_err();
    assert!(
        error.ends_with("a metric needs a limit: set max, min, maxFactor, goodIf, or several of them"),
        "a fault is told all the same: {error}"
    );
}

#[test]
fn a_comparison_of_a_template_shares_the_false_alarms() {
    let template = json!({"metrics": [
        {"name": "one", "comparison": {"errors": "e", "requests": "r"}},
        {"name": "two", "latency": {"buckets": "b"}},
    ]});
    let both = json!([{"name": "slo"}, {"kind": "ClusterGateTemplate", "name": "slo"}]);
    let share = |references: Value| {
        let gates = defined(Stage::Verification, there(template.clone()), references).unwrap();
        let Kind::Metric(crate::metric::MetricPlan { judge: crate::metric::Judge::Comparison { rule, .. }, .. }) = gates[1].kind.clone()
        else {
            panic!("no comparison")
        };
        rule.false_alarms
    };
    assert_eq!((share(json!([{"name": "slo"}])), share(both)), (0.025, 0.0125));
}

#[test]
fn a_stage_has_no_more_gates_than_status_can_tell() {
    let checks =
        |count: usize| json!({"checks": (0..count).map(|number| json!({"name": format!("c{number}"), "http": {}})).collect::<Vec<_>>()});
    let both = || json!([{"name": "slo"}, {"kind": "ClusterGateTemplate", "name": "slo"}]);
    assert_eq!(defined(Stage::Verification, there(checks(31)), both()).unwrap().len(), 63);
    assert_eq!(
        defined(Stage::Verification, there(checks(32)), both()).unwrap_err(),
        "spec.verification has 65 gates with its templates, at most 64 are allowed: remove some"
    );
}

#[test]
fn a_rollout_has_texts_for_its_gates_and_its_templates() {
    let all = |own: Value, reference: Value| {
        let (own, reference): (Metric, TemplateReference) =
            (serde_json::from_value(own).unwrap(), serde_json::from_value(reference).unwrap());
        let groups = Group::all(Stage::Verification, (&[], &[own]), &[reference], &own_parameters(), "web", &seen(&there(slo())));
        let groups = groups.into_iter().map(|group| group.map_err(|group| group.why)).collect::<Result<Vec<_>, _>>();
        groups.map(|groups| {
            groups.into_iter().flat_map(|group| group.metrics).map(|metric| metric.prometheus.unwrap().query.unwrap()).collect::<Vec<_>>()
        })
    };
    let own = |query: &str| json!({"name": "own", "max": "1", "prometheus": {"query": query}});
    let given = |job: &str| json!({"name": "slo", "parameters": {"job": job}});
    assert_eq!(
        all(own("q{zone=\"{{ parameters.zone }}\",pod=~\"{{ pods }}\"}"), given("shop-{{parameters.zone}}")).unwrap(),
        ["q{zone=\"eu-1\",pod=~\"{{ pods }}\"}", "e{job=\"shop-eu-1\",pod=~\"{{ pods }}\"}"]
    );
    let undeclared = |at: &str| format!("{at}: {{{{ parameters.region }}}} is not declared: add region to spec.parameters");
    for (query, job, at) in [
        ("{{ parameters.region }}", "shop", "spec.verification.metrics own"),
        ("q", "{{ parameters.region }}", "spec.verification.templates: GateTemplate web/slo: parameters"),
    ] {
        assert_eq!(all(own(query), given(job)).unwrap_err().to_string(), undeclared(at));
    }
}
