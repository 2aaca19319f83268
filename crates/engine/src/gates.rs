//! Gates: what must be passed, how results add up to a verdict.

use crate::{
    observed::{CheckOutcome, Measurement, Outcome, Reading},
    plan::Invalid,
    query, revision,
};
use bluegreen_api::{Check, Duration, Gate, GateState, HttpCheck, Measured, Metric, PrometheusQuery};
use jiff::Timestamp;
use serde_json::json;
use std::time;

/// Readings kept in status.
const READINGS: usize = 10;

/// When a gate is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Before the switch, of the candidate.
    Verification,
    /// After it, of the new active side.
    Monitoring,
}

impl Stage {
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Verification => "verification/",
            Self::Monitoring => "monitoring/",
        }
    }
}

/// A gate as `spec` defines it now.
#[derive(Clone, Debug)]
pub struct GateDefinition {
    /// `verification/NAME` or `monitoring/NAME`
    pub name: String,
    pub stage: Stage,
    /// Short hash of the definition.
    pub definition: String,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub enum Kind {
    Check(HttpCheck),
    Metric(MetricPlan),
}

/// A metric with its defaults.
#[derive(Clone, Debug)]
pub struct MetricPlan {
    pub prometheus: PrometheusQuery,
    pub address: String,
    pub max: Option<f64>,
    pub min: Option<f64>,
    pub interval: time::Duration,
    pub count: i32,
    pub initial_delay: time::Duration,
    pub failure_limit: i32,
    pub no_data_limit: i32,
    pub error_limit: i32,
}

/// The name of the gate that a person opens.
pub const APPROVAL: &str = "approval";

/// The gates of a stage in their order: checks, then metrics.
pub fn definitions(stage: Stage, checks: &[Check], metrics: &[Metric], address: Option<&str>) -> Result<Vec<GateDefinition>, Invalid> {
    let section = stage.prefix().trim_end_matches('/');
    let name = |name: &str| format!("{}{name}", stage.prefix());
    let mut gates = Vec::new();
    for check in checks {
        let http = check
            .http
            .clone()
            .ok_or_else(|| Invalid(format!("spec.{section}.checks {}: set exactly one kind of check: http", check.name)))?;
        gates.push(GateDefinition {
            name: name(&check.name),
            stage,
            definition: revision::definition(&json!(check)),
            kind: Kind::Check(http),
        });
    }
    for metric in metrics {
        if gates.iter().any(|gate| gate.name == name(&metric.name)) {
            return Err(Invalid(format!("spec.{section}: a check and a metric are both named {}; give each its own name", metric.name)));
        }
        let plan = metric_plan(stage, metric, address)
            .map_err(|Invalid(why)| Invalid(format!("spec.{section}.metrics {}: {why}", metric.name)))?;
        let definition = revision::definition(&json!([metric, plan.address]));
        gates.push(GateDefinition { name: name(&metric.name), stage, definition, kind: Kind::Metric(plan) });
    }
    Ok(gates)
}

fn metric_plan(stage: Stage, metric: &Metric, address: Option<&str>) -> Result<MetricPlan, Invalid> {
    let prometheus = metric.prometheus.clone().ok_or_else(|| Invalid("set exactly one kind of metric: prometheus".into()))?;
    query::check_variables(&prometheus.query)?;
    let Some(address) = prometheus.address.as_deref().or(address) else {
        return Err(Invalid("no Prometheus to ask: set its address in the query, in spec.sources.prometheus.address, or start the operator with --prometheus-address".into()));
    };
    if metric.max.is_none() && metric.min.is_none() {
        return Err(Invalid("a metric needs a limit: set max, min, or both".into()));
    }
    let limit = |text: &Option<String>| text.as_deref().map(parse_limit).transpose();
    let interval = metric.interval.unwrap_or(Duration::from_secs(10)).0;
    let initial_delay = match (metric.initial_delay, stage) {
        (Some(delay), _) => delay.0,
        (None, Stage::Verification) => time::Duration::ZERO,
        (None, Stage::Monitoring) => query::longest_range(&prometheus.query),
    };
    Ok(MetricPlan {
        address: address.trim_end_matches('/').to_owned(),
        max: limit(&metric.max)?,
        min: limit(&metric.min)?,
        interval: interval.max(time::Duration::from_secs(1)),
        count: metric.count.unwrap_or(5).max(1),
        initial_delay,
        failure_limit: metric.failure_limit.unwrap_or(1).max(1),
        no_data_limit: metric.no_data_limit.unwrap_or(5).max(1),
        error_limit: metric.error_limit.unwrap_or(5).max(1),
        prometheus,
    })
}

fn parse_limit(text: &str) -> Result<f64, Invalid> {
    let (number, scale) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    number
        .parse::<f64>()
        .ok()
        .filter(|number| number.is_finite())
        .map(|number| number / scale)
        .ok_or_else(|| Invalid(format!("the limit {text:?} is not a number or a percentage; write \"0.01\" or 1%")))
}

/// The gates of status brought in line with their definitions: one that is new or was defined otherwise starts anew.
pub fn aligned(gates: &[Gate], definitions: &[GateDefinition], stage: Stage, now: Timestamp) -> Vec<Gate> {
    let others = gates.iter().filter(|gate| !gate.name.starts_with(stage.prefix())).cloned();
    let own = definitions.iter().map(|wanted| {
        let kept = gates.iter().find(|gate| gate.name == wanted.name && gate.definition == wanted.definition);
        kept.cloned().unwrap_or_else(|| Gate {
            name: wanted.name.clone(),
            state: GateState::Running,
            definition: wanted.definition.clone(),
            message: String::new(),
            since: now,
            measured: matches!(wanted.kind, Kind::Metric(_)).then(Measured::default),
        })
    });
    own.chain(others).collect()
}

/// Adds one result to the gate it is of. A verdict once reached stays, until the definition changes.
pub fn add(gate: &mut Gate, definition: &GateDefinition, result: &Measurement) {
    if gate.state == GateState::Failed || (gate.state == GateState::Passed) {
        return;
    }
    match (&result.outcome, &definition.kind) {
        (Outcome::Check(outcome), Kind::Check(_)) => {
            let (state, message) = match outcome {
                CheckOutcome::Passed(message) => (GateState::Passed, message),
                CheckOutcome::Failed(message) => (GateState::Failed, message),
                CheckOutcome::NotDone(message) => (GateState::Running, message),
            };
            turn(gate, state, bounded(message), result.at);
        }
        (Outcome::Reading(reading), Kind::Metric(plan)) => add_reading(gate, plan, definition.stage, reading, result.at),
        (Outcome::Check(_), Kind::Metric(_)) | (Outcome::Reading(_), Kind::Check(_)) => {}
    }
}

fn add_reading(gate: &mut Gate, plan: &MetricPlan, stage: Stage, reading: &Reading, at: Timestamp) {
    let mut measured = gate.measured.take().unwrap_or_default();
    let previous = measured.readings.first().map(|reading| reading.at);
    if previous.is_some_and(|previous| at <= previous) {
        gate.measured = Some(measured);
        return;
    }
    let text = match reading {
        Reading::Value(value) => format!("{value:.6}").trim_end_matches('0').trim_end_matches('.').to_owned(),
        Reading::NotANumber => "NaN".into(),
        Reading::NoData => "NoData".into(),
        Reading::Failed(_) => "Failed".into(),
    };
    measured.readings.insert(0, bluegreen_api::Reading { at, value: text.clone() });
    measured.readings.truncate(READINGS);
    let (state, message) = match reading {
        Reading::Value(value) => {
            measured.no_data_in_row = 0;
            measured.errors_in_row = 0;
            let gap = previous.map_or(0, |previous| at.as_millisecond() - previous.as_millisecond());
            let longest = i64::try_from(plan.interval.as_millis()).unwrap_or(i64::MAX).saturating_mul(2);
            measured.covered_millis = measured.covered_millis.saturating_add(gap.clamp(0, longest));
            judge(&mut measured, plan, stage, *value, &text)
        }
        Reading::NotANumber | Reading::NoData => {
            measured.no_data_in_row += 1;
            measured.errors_in_row = 0;
            let what = if *reading == Reading::NoData { "the query returned no data" } else { "the query returned NaN (no traffic?)" };
            let state = if measured.no_data_in_row >= plan.no_data_limit { GateState::Inconclusive } else { gate.state };
            (state, what.to_owned())
        }
        Reading::Failed(why) => {
            measured.errors_in_row += 1;
            let state = if measured.errors_in_row >= plan.error_limit { GateState::Inconclusive } else { gate.state };
            (state, format!("the source failed: {why}"))
        }
    };
    gate.measured = Some(measured);
    turn(gate, state, bounded(&message), at);
}

fn judge(measured: &mut Measured, plan: &MetricPlan, stage: Stage, value: f64, text: &str) -> (GateState, String) {
    let broken = match (plan.min, plan.max) {
        (_, Some(max)) if value > max => Some(format!("{text} is above the limit of {max}")),
        (Some(min), _) if value < min => Some(format!("{text} is below the limit of {min}")),
        _ => None,
    };
    let Some(why) = broken else {
        measured.good += 1;
        measured.bad_in_row = 0;
        let passed = stage == Stage::Verification && measured.good >= plan.count;
        let state = if passed { GateState::Passed } else { GateState::Running };
        return (state, format!("{text} is within the limit"));
    };
    measured.bad_in_row += 1;
    let state = if measured.bad_in_row >= plan.failure_limit { GateState::Failed } else { GateState::Running };
    (state, if plan.failure_limit > 1 { format!("{why}, {} in a row", times(measured.bad_in_row)) } else { why })
}

fn times(count: i32) -> String {
    if count == 1 { "once".into() } else { format!("{count} times") }
}

fn turn(gate: &mut Gate, state: GateState, message: String, at: Timestamp) {
    if gate.state != state {
        gate.state = state;
        gate.since = at;
    }
    gate.message = message;
}

/// The longest message in status, in characters.
const LONGEST: usize = 256;

/// Messages in status are bounded.
pub fn bounded(text: &str) -> String {
    shortened(text, LONGEST)
}

fn shortened(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(limit - 1).collect();
    short.push('…');
    short
}

/// A message around words of somebody else: when it is too long it is they that are cut, and not what to do about it.
pub(crate) fn around(before: &str, words: &str, after: &str) -> String {
    let room = LONGEST.saturating_sub(after.chars().count());
    // Long names are somebody else's too.
    let before = shortened(before, room.saturating_sub(words.chars().count().min(40)).max(40));
    let words = shortened(words, room.saturating_sub(before.chars().count()).max(1));
    format!("{before}{words}{after}")
}

/// What to tell of a gate that somebody has to decide.
pub(crate) fn not_judged(gate: &Gate, advice: &str) -> String {
    around(&format!("{} could not be judged: ", gate.name), &gate.message, &format!(". {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_is_not_cut_off_by_long_words_of_somebody_else() {
        let message = around("Revision 2 was aborted: ", &"back-off pulling image ".repeat(20), ". Change spec");
        assert!(message.starts_with("Revision 2 was aborted: back-off") && message.ends_with("…. Change spec"), "{message}");
        assert_eq!(message.chars().count(), LONGEST);
        assert_eq!(around("a ", "b", " c"), "a b c");
        let message =
            around(&format!("Revision 2 ({}): ", "registry/".repeat(30)), &"x".repeat(99), &format!(". {}", "Change spec".repeat(9)));
        assert!(message.starts_with("Revision 2 (registry") && message.ends_with("Change spec"), "{message}");
        assert_eq!(message.chars().count(), LONGEST);
    }
    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn metric(fields: &serde_json::Value) -> Metric {
        let mut all = json!({"name": "errors", "prometheus": {"query": "rate(e[1m])"}, "max": "0.5", "interval": "5s", "count": 3});
        all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    fn home() -> Check {
        serde_json::from_value(json!({"name": "home", "http": {}})).unwrap()
    }

    fn defined(stage: Stage, metric: Metric) -> GateDefinition {
        definitions(stage, &[], &[metric], Some("http://prometheus")).unwrap().remove(0)
    }

    fn started(definition: &GateDefinition) -> Gate {
        aligned(&[], std::slice::from_ref(definition), definition.stage, at(0)).remove(0)
    }

    /// The gate after these readings, one each five seconds.
    fn after(definition: &GateDefinition, readings: &[Reading]) -> Gate {
        let mut gate = started(definition);
        for (reading, second) in readings.iter().zip((5..).step_by(5)) {
            add(&mut gate, definition, &result(Outcome::Reading(reading.clone()), second));
        }
        gate
    }

    fn result(outcome: Outcome, second: i64) -> Measurement {
        Measurement { gate: "errors".into(), definition: "d".into(), attempt: 1, revision: "r".into(), at: at(second), outcome }
    }

    fn told(gate: &Gate) -> (GateState, &str) {
        (gate.state, gate.message.as_str())
    }

    #[test]
    fn what_is_wrong_with_a_gate_is_told_where_it_stands_in_spec() {
        let wrong = |stage: Stage, fields: serde_json::Value, address: Option<&str>| {
            definitions(stage, &[home()], &[metric(&fields)], address).unwrap_err().to_string()
        };
        let somewhere = Some("http://prometheus");
        let cases = [
            (
                wrong(Stage::Verification, json!({"name": "home"}), somewhere),
                "spec.verification: a check and a metric are both named home; give each its own name",
            ),
            (
                wrong(Stage::Monitoring, json!({"max": null}), somewhere),
                "spec.monitoring.metrics errors: a metric needs a limit: set max, min, or both",
            ),
            (
                wrong(Stage::Monitoring, json!({"max": "many"}), somewhere),
                "spec.monitoring.metrics errors: the limit \"many\" is not a number or a percentage; write \"0.01\" or 1%",
            ),
            (
                wrong(Stage::Monitoring, json!({"min": "inf"}), somewhere),
                "spec.monitoring.metrics errors: the limit \"inf\" is not a number or a percentage; write \"0.01\" or 1%",
            ),
            (
                wrong(Stage::Monitoring, json!({"prometheus": null}), somewhere),
                "spec.monitoring.metrics errors: set exactly one kind of metric: prometheus",
            ),
            (
                wrong(Stage::Verification, json!({}), None),
                "spec.verification.metrics errors: no Prometheus to ask: set its address in the query, in spec.sources.prometheus.address, or start the operator with --prometheus-address",
            ),
        ];
        for (error, expected) in cases {
            assert_eq!(error, expected);
        }
        let gates = definitions(Stage::Monitoring, &[home()], &[metric(&json!({}))], somewhere).unwrap();
        assert_eq!(gates.iter().map(|gate| gate.name.as_str()).collect::<Vec<_>>(), ["monitoring/home", "monitoring/errors"]);
    }

    #[test]
    fn limits_are_numbers_or_percentages() {
        for (text, expected) in [("0.5", 0.5), ("1%", 0.01), ("250%", 2.5), ("-2", -2.0), ("1e3", 1000.0)] {
            assert!((parse_limit(text).unwrap() - expected).abs() < 1e-12, "{text}");
        }
    }

    #[test]
    fn a_gate_stays_as_it_is_until_its_definition_changes_and_those_of_other_stages_stay_anyway() {
        let (old, new) = (defined(Stage::Verification, metric(&json!({}))), defined(Stage::Verification, metric(&json!({"max": "1%"}))));
        let passed = Gate { state: GateState::Passed, since: at(9), ..started(&old) };
        let approval = Gate { name: APPROVAL.into(), ..passed.clone() };
        let dropped = Gate { name: "verification/dropped".into(), ..passed.clone() };
        let gates = [approval.clone(), dropped, passed.clone()];
        let now = |definition: GateDefinition| aligned(&gates, &[definition], Stage::Verification, at(20));
        assert_eq!(now(old), [passed, approval.clone()]);
        assert_eq!(now(new.clone()), [Gate { since: at(20), ..started(&new) }, approval]);
    }

    #[test]
    fn a_value_is_judged_by_both_limits_which_belong_to_what_is_good() {
        let gate = defined(Stage::Verification, metric(&json!({"min": "0.1", "count": 1})));
        let cases = [
            (0.1, GateState::Passed, "0.1 is within the limit"),
            (0.3, GateState::Passed, "0.3 is within the limit"),
            (0.5, GateState::Passed, "0.5 is within the limit"),
            (0.51, GateState::Failed, "0.51 is above the limit of 0.5"),
            (0.09, GateState::Failed, "0.09 is below the limit of 0.1"),
        ];
        for (value, state, message) in cases {
            assert_eq!(told(&after(&gate, &[Reading::Value(value)])), (state, message));
        }
    }

    #[test]
    fn as_many_readings_as_asked_for_pass_or_fail_a_gate_and_bad_ones_count_in_a_row() {
        let (good, bad) = (Reading::Value(0.0), Reading::Value(1.0));
        let gate = defined(Stage::Verification, metric(&json!({"failureLimit": 2})));
        let told_after = |readings: &[&Reading]| after(&gate, &readings.iter().map(|reading| (*reading).clone()).collect::<Vec<_>>());
        assert_eq!(told_after(&[&good, &good]).state, GateState::Running);
        assert_eq!(told_after(&[&good, &good, &good]).state, GateState::Passed);
        assert_eq!(told(&told_after(&[&bad])), (GateState::Running, "1 is above the limit of 0.5, once in a row"));
        assert_eq!(told(&told_after(&[&bad, &bad])), (GateState::Failed, "1 is above the limit of 0.5, 2 times in a row"));
        assert_eq!(told_after(&[&bad, &good, &bad]).state, GateState::Running);
        let monitored = defined(Stage::Monitoring, metric(&json!({})));
        assert_eq!(after(&monitored, &vec![good; 9]).state, GateState::Running, "monitoring lasts as long as it lasts");
    }

    #[test]
    fn without_data_or_an_answer_a_gate_becomes_inconclusive_at_its_limits_and_says_why() {
        let gate = defined(Stage::Verification, metric(&json!({"noDataLimit": 2, "errorLimit": 3})));
        let (good, none, nan) = (Reading::Value(0.0), Reading::NoData, Reading::NotANumber);
        let broken = Reading::Failed("connection refused".into());
        let cases: [(Vec<&Reading>, GateState, &str); 7] = [
            (vec![&none], GateState::Running, "the query returned no data"),
            (vec![&none, &nan], GateState::Inconclusive, "the query returned NaN (no traffic?)"),
            (vec![&none, &good, &none], GateState::Running, "the query returned no data"),
            (vec![&broken, &broken], GateState::Running, "the source failed: connection refused"),
            (vec![&broken, &broken, &broken], GateState::Inconclusive, "the source failed: connection refused"),
            (vec![&broken, &broken, &none, &broken], GateState::Running, "the source failed: connection refused"),
            (vec![&none, &none, &good], GateState::Running, "0 is within the limit"),
        ];
        for (readings, state, message) in cases {
            let readings: Vec<_> = readings.into_iter().cloned().collect();
            assert_eq!(told(&after(&gate, &readings)), (state, message), "{readings:?}");
        }
    }

    #[test]
    fn bake_time_is_what_readings_cover_and_a_reading_that_comes_late_counts_for_nothing() {
        let definition = defined(Stage::Monitoring, metric(&json!({})));
        let mut gate = started(&definition);
        let covered = |gate: &Gate| gate.measured.as_ref().unwrap().covered_millis;
        let steps = [
            (5, 0, "the first covers nothing"),
            (9, 4_000, "four seconds"),
            (9, 4_000, "the same again"),
            (7, 4_000, "an older one"),
            (60, 14_000, "after a gap twice the interval at most"),
        ];
        for (second, expected, why) in steps {
            add(&mut gate, &definition, &result(Outcome::Reading(Reading::Value(0.0)), second));
            assert_eq!(covered(&gate), expected, "{why}");
        }
        assert_eq!(gate.measured.unwrap().readings.iter().map(|reading| reading.at).collect::<Vec<_>>(), [at(60), at(9), at(5)]);
    }

    #[test]
    fn a_verdict_stays_and_keeps_the_time_at_which_it_was_reached() {
        let checks = definitions(Stage::Verification, &[home()], &[], None).unwrap();
        let (passed, failed) = (CheckOutcome::Passed("200".into()), CheckOutcome::Failed("500".into()));
        for (first, then) in [(&passed, &failed), (&failed, &passed)] {
            let mut gate = started(&checks[0]);
            add(&mut gate, &checks[0], &result(Outcome::Check(CheckOutcome::NotDone("no pod is ready".into())), 5));
            assert_eq!((told(&gate), gate.since), ((GateState::Running, "no pod is ready"), at(0)), "tried again");
            add(&mut gate, &checks[0], &result(Outcome::Check(first.clone()), 10));
            let verdict = gate.clone();
            assert_eq!(verdict.since, at(10));
            add(&mut gate, &checks[0], &result(Outcome::Check(then.clone()), 15));
            assert_eq!(gate, verdict);
        }
    }

    #[test]
    fn a_message_is_cut_only_when_it_is_too_long() {
        let fits = "x".repeat(LONGEST);
        assert_eq!(bounded(&fits), fits);
        assert_eq!(bounded(&format!("{fits}y")), format!("{}…", "x".repeat(LONGEST - 1)));
    }

    #[test]
    fn a_gate_that_somebody_has_to_decide_is_told_with_what_to_do() {
        let gate = Gate { message: "the query returned no data".into(), ..started(&defined(Stage::Monitoring, metric(&json!({})))) };
        assert_eq!(not_judged(&gate, "Decide"), "monitoring/errors could not be judged: the query returned no data. Decide");
    }
}
