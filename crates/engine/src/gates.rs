//! Gates: what must be passed, how results add up to a verdict.

use crate::{
    checks::{self, CheckPlan},
    metric::{self, Judge, MetricPlan, Server},
    observed::{Measurement, Outcome},
    plan::Invalid,
    question::Question,
    revision,
    score::ScorePlan,
    templates::Group,
};
use bluegreen_api::{Gate, GateState, Measured, Metric};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

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

    /// The name of the gate in which metrics with a weight decide together.
    pub const fn score(self) -> &'static str {
        match self {
            Self::Verification => "verification/score",
            Self::Monitoring => "monitoring/score",
        }
    }

    /// Where it stands in a rollout.
    pub const fn section(self) -> &'static str {
        match self {
            Self::Verification => "spec.verification",
            Self::Monitoring => "spec.monitoring",
        }
    }
}

/// A gate as `spec` defines it now.
#[derive(Clone, Debug)]
pub struct GateDefinition {
    /// `verification/NAME` or `monitoring/NAME`, with `TEMPLATE/` before the name of one that a template has.
    pub name: String,
    pub stage: Stage,
    /// Short hash of the definition.
    pub definition: String,
    pub kind: Kind,
    /// What it counts in the score of its stage. None: it decides alone.
    pub weight: Option<i32>,
}

#[derive(Clone, Debug)]
pub enum Kind {
    Check(CheckPlan),
    Metric(MetricPlan),
    /// What those with a weight add up to. It measures nothing itself.
    Score(ScorePlan),
}

/// The name of the gate that a person opens.
pub const APPROVAL: &str = "approval";

/// Gates that a stage may have: each is told in status, and in the history of ten attempts.
const MOST: usize = 64;

/// The gates of a stage in their order: checks, then metrics; in both those of the rollout itself, then those of its templates.
pub fn definitions(stage: Stage, groups: &[Group], prometheus: Option<&Server>) -> Result<Vec<GateDefinition>, Invalid> {
    let mut gates = Vec::new();
    for (group, check) in groups.iter().flat_map(|group| group.checks.iter().map(move |check| (group, check))) {
        let plan = checks::plan(check).map_err(|Invalid(why)| group.wrong("checks", &check.name, &why))?;
        gates.push(GateDefinition {
            name: group.gate(stage, &check.name),
            stage,
            definition: revision::definition(&json!(check)),
            kind: Kind::Check(plan),
            weight: None,
        });
    }
    let comparisons = groups.iter().flat_map(|group| &group.metrics).filter(|metric| metric::is_comparison(metric)).count();
    for (group, metric) in groups.iter().flat_map(|group| group.metrics.iter().map(move |metric| (group, metric))) {
        let name = group.gate(stage, &metric.name);
        if gates.iter().any(|gate| gate.name == name) {
            let place = &group.place;
            return Err(Invalid(format!("{place}: a check and a metric are both named {}; give each its own name", metric.name)));
        }
        let plan =
            MetricPlan::of(stage, metric, prometheus, comparisons).map_err(|Invalid(why)| group.wrong("metrics", &metric.name, &why))?;
        let mut whole = vec![json!(metric)];
        match &plan.judge {
            Judge::Limits { question, traffic, .. } => {
                let requests = traffic.as_ref().map(|traffic| &traffic.requests);
                whole.extend([question].into_iter().chain(requests).flat_map(|asked| unsaid(metric, asked)));
            }
            Judge::Job { .. } => {}
            // Another comparison beside it takes its share of the false alarms.
            Judge::Comparison { errors: asked, .. } | Judge::Latency { buckets: asked, .. } => {
                whole.extend(unsaid(metric, asked).into_iter().chain([json!(comparisons)]));
            }
        }
        let definition = revision::definition(&json!(whole));
        let weight = metric.weight.map(|weight| weight.clamp(1, 100));
        gates.push(GateDefinition { name, stage, definition, kind: Kind::Metric(plan), weight });
    }
    if gates.len() > MOST {
        let (place, count) = (stage.section(), gates.len());
        return Err(Invalid(format!("{place} has {count} gates with those of its templates, and at most {MOST} are told: name fewer")));
    }
    Ok(gates)
}

/// What is asked and the metric itself may not say: the Prometheus, what it is sent besides, and a query that is ready-made, which another
/// operator may write otherwise.
fn unsaid(metric: &Metric, question: &Question) -> Vec<Value> {
    let (Question::Prometheus { address, headers, query, .. } | Question::Buckets { address, headers, query }) = question else {
        return vec![];
    };
    let ready = metric.prometheus.as_ref().is_some_and(|asked| asked.ready.is_some());
    let headers: BTreeMap<_, _> = headers.iter().map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()))).collect();
    // Where there are none, a gate is what it was before anybody could set some.
    let headers = (!headers.is_empty()).then(|| json!(headers));
    [Some(json!(address)), ready.then(|| json!(query)), headers].into_iter().flatten().collect()
}

/// The gates of status brought in line with their definitions: one that is new or was defined otherwise starts anew.
pub fn aligned(gates: &[Gate], definitions: &[GateDefinition], stage: Stage, now: Timestamp) -> Vec<Gate> {
    let others = gates.iter().filter(|gate| !gate.name.starts_with(stage.prefix())).cloned();
    let own = definitions.iter().map(|wanted| {
        let kept = gates.iter().find(|gate| gate.name == wanted.name && gate.definition == wanted.definition);
        kept.cloned().unwrap_or_else(|| Gate {
            name: wanted.name.clone(),
            state: GateState::Running,
            weight: None,
            definition: wanted.definition.clone(),
            message: String::new(),
            since: now,
            measured: matches!(wanted.kind, Kind::Metric(_)).then(Measured::default),
            tries: None,
        })
    });
    // An edited status makes no gate soft, and none hard.
    let own = own.zip(definitions).map(|(gate, wanted)| Gate { weight: wanted.weight, ..gate });
    own.chain(others).collect()
}

/// Adds one result to the gate it is of. A verdict once reached stays, until the definition changes.
pub fn add(gate: &mut Gate, definition: &GateDefinition, result: &Measurement) {
    if gate.state == GateState::Failed || (gate.state == GateState::Passed) {
        return;
    }
    match (&result.outcome, &definition.kind) {
        (Outcome::Check(outcome), Kind::Check(plan)) => checks::add(gate, plan, outcome, result.at),
        (Outcome::Readings(readings), Kind::Metric(plan)) => metric::add(gate, plan, definition.stage, readings, result.at),
        (Outcome::Check(_), Kind::Metric(_)) | (Outcome::Readings(_), Kind::Check(_)) | (_, Kind::Score(_)) => {}
    }
}

/// A metric in monitoring, where none passes before its time: its readings cover the bake time, and are good to the last.
pub(crate) fn baked(gate: &Gate, bake: Duration) -> bool {
    let covered = |measured: &Measured| u128::try_from(measured.covered_millis).is_ok_and(|covered| covered >= bake.as_millis());
    // While readings are bad that are not yet a failure, there is no verdict to end with.
    let good = |measured: &Measured| measured.good > 0 && measured.bad_in_row == 0 && measured.doubtful_in_row == 0;
    gate.state == GateState::Running && gate.measured.as_ref().is_some_and(|measured| good(measured) && covered(measured))
}

pub(crate) fn turn(gate: &mut Gate, state: GateState, message: String, at: Timestamp) {
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

pub(crate) fn shortened(text: &str, limit: usize) -> String {
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
    use crate::{
        metric::tests::{at, defined, metric, prometheus, result, started, told},
        observed::CheckOutcome,
    };
    use bluegreen_api::Check;

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
    fn home() -> Check {
        serde_json::from_value(json!({"name": "home", "http": {}})).unwrap()
    }

    #[test]
    fn what_is_wrong_with_a_gate_is_told_where_it_stands_in_spec() {
        let wrong = |stage: Stage, fields: serde_json::Value, address: Option<&str>| {
            let group = Group::own(stage, vec![home()], vec![metric(&fields)]);
            definitions(stage, &[group], address.map(prometheus).as_ref()).unwrap_err().to_string()
        };
        let somewhere = Some("http://prometheus");
        let cases = [
            (
                wrong(Stage::Verification, json!({"name": "home"}), somewhere),
                "spec.verification: a check and a metric are both named home; give each its own name",
            ),
            (
                wrong(Stage::Monitoring, json!({"max": null}), somewhere),
                "spec.monitoring.metrics errors: a metric needs a limit: set max, min, maxFactor, goodIf, or several of them",
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
                "spec.monitoring.metrics errors: set exactly one kind of metric: prometheus, web, job, comparison or latency",
            ),
            (
                wrong(Stage::Verification, json!({}), None),
                "spec.verification.metrics errors: no Prometheus to ask: set its address in the query, in spec.sources.prometheus.address, or start the operator with --prometheus-address",
            ),
        ];
        for (error, expected) in cases {
            assert_eq!(error, expected);
        }
        let group = Group::own(Stage::Monitoring, vec![home()], vec![metric(&json!({}))]);
        let gates = definitions(Stage::Monitoring, &[group], somewhere.map(prometheus).as_ref()).unwrap();
        assert_eq!(gates.iter().map(|gate| gate.name.as_str()).collect::<Vec<_>>(), ["monitoring/home", "monitoring/errors"]);
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
    fn what_a_ready_query_asks_belongs_to_its_gate_and_a_written_one_is_told_already() {
        let told = |metric: &Metric, beside: &[&str]| {
            let mut whole = vec![json!(metric)];
            whole.extend(beside.iter().map(|text| json!(text)));
            revision::definition(&json!(whole))
        };
        let (server, written) = ("http://prometheus", metric(&json!({})));
        assert_eq!(defined(Stage::Verification, written.clone()).definition, told(&written, &[server]));
        let ready = metric(&json!({"prometheus": {"ready": {"metric": "Restarts"}}}));
        let asked = r#"sum(increase(kube_pod_container_status_restarts_total{namespace="{{ namespace }}",pod=~"{{ pods }}"}[1m]))"#;
        assert_eq!(defined(Stage::Verification, ready.clone()).definition, told(&ready, &[server, asked]));
    }

    #[test]
    fn a_gate_belongs_to_the_headers_that_its_queries_are_sent_with() {
        let latency = json!({"prometheus": null, "max": null, "latency": {"buckets": "b"}});
        for metric in [metric(&json!({})), metric(&latency)] {
            let with = |headers: &[(&str, &str)]| {
                let headers: BTreeMap<_, _> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
                let server = prometheus("http://prometheus").with(&headers).unwrap();
                let group = Group::own(Stage::Verification, vec![], vec![metric.clone()]);
                definitions(Stage::Verification, &[group], Some(&server)).unwrap().remove(0).definition
            };
            let (none, one, other) = (with(&[]), with(&[("X-Scope-OrgID", "a")]), with(&[("X-Scope-OrgID", "b")]));
            assert!(none != one && none != other && one != other, "{none} {one} {other}");
            assert_eq!(with(&[("x-scope-orgid", "a")]), one, "the same to a server");
            assert_eq!(defined(Stage::Verification, metric.clone()).definition, none);
        }
    }

    #[test]
    fn a_verdict_stays_and_keeps_the_time_at_which_it_was_reached() {
        let group = Group::own(Stage::Verification, vec![home()], vec![]);
        let checks = definitions(Stage::Verification, &[group], None).unwrap();
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
