//! Whole checks, metrics and templates with arbitrary texts in every place where they have one.

use bluegreen_api::{Check, Duration, GateTemplateSpec, Lifetime, Metric, TemplateKind, TemplateReference};
use bluegreen_gates::{
    ask::{
        prometheus::Server,
        variables::{check_url, check_variables, check_window_url, longest_range},
    },
    gates,
    invalid::{Invalid, Unplanned},
    stage::Stage,
    templates::{Group, TemplateSeen},
};
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn text() -> impl Strategy<Value = String> {
    let piece = select(vec![
        "{{",
        "}}",
        "{{ parameters.zone }}",
        "{{parameters.",
        "{{ pods }}",
        "{{ namespace }}",
        "{{ end }}",
        "[5m]",
        "[",
        "]",
        "1h",
        "1h30m",
        "-",
        "1",
        "99999",
        "%",
        "1e9",
        "inf",
        "http://",
        "https://",
        "shop",
        "/",
        "..%2f",
        ":",
        "@",
        "?",
        "#",
        "[::1]",
        "rate(",
        ")",
        "\"",
        "\n",
        "\u{0}",
        "é",
        "$",
        "$.a",
        "value < 1.0",
        "Host",
        "a",
    ]);
    prop_oneof![3 => vec(piece, 0..40).prop_map(|pieces| pieces.concat()), 1 => any::<String>(), 1 => Just("http://shop/a".to_owned())]
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    vec(text(), 12)
}

fn check(t: &[String]) -> Value {
    match t[0].len() % 3 {
        0 => json!({"name": "a", "http": {"path": t[1], "port": t[2], "headers": [{"name": t[3], "value": t[4]}],
            "expectedBody": {"contains": t[5], "jsonPath": t[6], "equals": t[7]}, "method": "POST", "body": t[8]}}),
        1 => json!({"name": "a", "http": {"url": t[1]}}),
        _ => json!({"name": "a", "webhook": {"url": t[1], "headers": [{"name": t[3], "value": t[4]}]}}),
    }
}

fn metric(t: &[String]) -> Value {
    match t[0].len() % 4 {
        0 => {
            json!({"name": "b", "max": t[1], "min": t[2], "goodIf": t[3], "prometheus": {"query": t[4], "address": t[5], "headers": {"X-A": t[6]},
            "minRequests": 1, "requests": t[7]}})
        }
        1 => json!({"name": "b", "goodIf": t[3], "web": {"url": t[1], "jsonPath": t[2], "method": "POST", "body": t[4],
            "headers": [{"name": t[5], "value": t[6]}]}}),
        2 => {
            json!({"name": "b", "comparison": {"errors": t[1], "requests": t[2], "tolerated": t[3], "falseAlarms": t[4], "address": t[5]}})
        }
        _ => json!({"name": "b", "latency": {"buckets": t[1], "tolerated": t[3], "falseAlarms": t[4]}}),
    }
}

/// All groups, or what is wrong with the first that has something wrong.
fn together(groups: Vec<Result<Group, Unplanned>>) -> Result<Vec<Group>, Invalid> {
    groups.into_iter().collect::<Result<_, _>>().map_err(|unplanned| unplanned.why)
}

proptest! {
    #![proptest_config(crate::config())]

    #[test]
    fn gates_with_any_texts_are_read_or_refused(t in texts(), u in texts(), zone in text()) {
        let (check, metric): (Check, Metric) = (serde_json::from_value(check(&t)).unwrap(), serde_json::from_value(metric(&u)).unwrap());
        let template = GateTemplateSpec { parameters: vec![], checks: vec![check.clone()], metrics: vec![metric.clone()] };
        let seen = BTreeMap::from([((TemplateKind::GateTemplate, "slo".to_owned()), TemplateSeen::There(Box::new(template)))]);
        let reference = TemplateReference { kind: TemplateKind::GateTemplate, name: "slo".into(), parameters: BTreeMap::new() };
        let parameters = BTreeMap::from([("zone".to_owned(), zone)]);
        for stage in Stage::ALL {
            let groups = Group::all(stage, (std::slice::from_ref(&check), std::slice::from_ref(&metric)), std::slice::from_ref(&reference), &parameters, "web", &seen);
            let server = Server::of_operator("http://prometheus");
            let gates = together(groups).and_then(|groups| gates::with(stage, gates::definitions(stage, &groups, Some(&server))?, None));
            prop_assert!(gates.is_err() || gates.is_ok_and(|gates| gates.len() <= 4));
        }
    }

    #[test]
    fn any_text_is_a_duration_or_none(text in prop_oneof![text(), "[0-9]{0,6}(h|m|s|ms|d)?[0-9]{0,6}(h|m|s|ms)?[0-9]{0,6}s?"]) {
        if let Ok(duration) = text.parse::<Duration>() {
            prop_assert_eq!(duration.to_string().parse::<Duration>(), Ok(duration));
        }
        let _ = serde_json::from_value::<Lifetime>(json!(text));
    }

    #[test]
    fn any_text_is_a_query_and_an_address_or_none(text in text()) {
        let _ = (check_variables(&text, "query"), check_url(&text), check_window_url(&text));
        let _ = longest_range(&text, std::time::Duration::from_secs(10));
    }
}

/// Sixteen parameters of a kilobyte, named as often as there is room for, in every text of sixteen checks.
#[test]
fn parameters_add_no_more_than_there_is_room_for() {
    let parameters: BTreeMap<_, _> = (0..16).map(|number| (format!("p{number}"), "x".repeat(1024))).collect();
    let named = "{{ parameters.p0 }}".repeat(16_384 / 19);
    let checks: Vec<Check> = (0..16)
        .map(|number| serde_json::from_value(json!({"name": format!("c{number}"), "http": {"method": "POST", "body": named}})).unwrap())
        .collect();
    let all = |checks: &[Check]| together(Group::all(Stage::Verification, (checks, &[]), &[], &parameters, "web", &BTreeMap::new()));
    let error = all(&checks).unwrap_err().to_string();
    let expected = "spec.verification.checks c0: {{ parameters.p0 }}: parameters add more than 262144 bytes to checks and metrics: \
                    use fewer, or shorter values";
    assert_eq!(error, expected);
    let some: Vec<Check> = (0..16)
        .map(|number| {
            serde_json::from_value(
                json!({"name": format!("c{number}"), "http": {"method": "POST", "body": "{{ parameters.p0 }}".repeat(16)}}),
            )
            .unwrap()
        })
        .collect();
    all(&some).unwrap();
    let one_more: Vec<Check> = some
        .iter()
        .cloned()
        .chain([serde_json::from_value(json!({"name": "d", "http": {"path": "/{{ parameters.p1 }}"}})).unwrap()])
        .collect();
    assert!(all(&one_more).is_err());
}

#[test]
fn a_text_has_at_most_so_many_variables() {
    check_variables(&"{{ pods }}".repeat(64), "query").unwrap();
    let error = check_variables(&"{{ pods }}".repeat(65), "query").unwrap_err().to_string();
    assert_eq!(error, "the query has 65 variables, at most 64 are allowed: remove some");
}
