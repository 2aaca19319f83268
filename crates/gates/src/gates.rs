//! Gates: what must be passed, how results add up to a verdict.

use crate::{
    ask::{prometheus::Server, question::Question},
    check::{self, CheckPlan},
    gate::{self, turn},
    hash,
    invalid::{Invalid, Unplanned},
    metric::{self, Judge, MetricPlan},
    reading::{Measurement, Outcome},
    stage::Stage,
    templates::Group,
    text::{bounded, shortened},
    weigh::score::{self, ScorePlan, Vote},
};
use bluegreen_api::{Gate, GateState, Measured, Metric, Score, Tries};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

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
    /// It can't be asked, and why: nobody can judge by it.
    Unknown(String),
}

/// The name of the gate that a person opens.
pub const APPROVAL: &str = "approval";

/// Gates that a stage may have: each is told in status, and in the history of ten attempts.
const MOST: usize = 64;

/// Where gates ask if they don't say it themselves.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    pub prometheus: Result<Option<&'a Server>, &'a Invalid>,
    /// Names of the ports of the pods, where they are known.
    pub ports: Option<&'a [&'a str]>,
}

/// The gates of a stage in their order: checks, then metrics; in both those of the rollout itself, then those of its templates.
pub fn definitions(stage: Stage, groups: &[Group], prometheus: Option<&Server>) -> Result<Vec<GateDefinition>, Invalid> {
    let groups: Vec<_> = groups.iter().cloned().map(Ok).collect();
    let planned = planned(stage, &groups, Surroundings { prometheus: Ok(prometheus), ports: None });
    planned.into_iter().map(|gate| gate.map_err(|Unplanned { why, .. }| why)).collect()
}

/// The same, each with what is wrong with it alone. What can't be read at all comes first.
pub fn planned(
    stage: Stage,
    groups: &[Result<Group, Unplanned>],
    Surroundings { prometheus, ports }: Surroundings<'_>,
) -> Vec<Result<GateDefinition, Unplanned>> {
    let mut gates: Vec<_> = groups.iter().filter_map(|group| group.as_ref().err().cloned().map(Err)).collect();
    let there = || groups.iter().filter_map(|group| group.as_ref().ok());
    for (group, check) in there().flat_map(|group| group.checks.iter().map(move |check| (group, check))) {
        let name = group.gate(stage, &check.name);
        let plan = check::plan(check).and_then(|plan| check::knows_port(&plan, ports).map(|()| plan));
        gates.push(match plan {
            Ok(plan) => {
                Ok(GateDefinition { name, stage, definition: hash::definition(&json!(check)), kind: Kind::Check(plan), weight: None })
            }
            Err(Invalid(why)) => Err(Unplanned { name, why: group.wrong("checks", &check.name, &why) }),
        });
    }
    let comparisons = there().flat_map(|group| &group.metrics).filter(|metric| metric.is_comparison()).count();
    for (group, metric) in there().flat_map(|group| group.metrics.iter().map(move |metric| (group, metric))) {
        let name = group.gate(stage, &metric.name);
        let known = |gate: &Result<GateDefinition, Unplanned>| match gate {
            Ok(gate) => gate.name == name,
            Err(gate) => gate.name == name,
        };
        if gates.iter().any(known) {
            let place = &group.place;
            let why = Invalid(format!("{place}: a check and a metric are both named {}; give each its own name", metric.name));
            gates.push(Err(Unplanned { name: format!("{name}/*"), why }));
            continue;
        }
        let plan = prometheus.map_err(Clone::clone).and_then(|prometheus| {
            let plan = MetricPlan::of(stage, metric, prometheus, comparisons);
            plan.map_err(|Invalid(why)| group.wrong("metrics", &metric.name, &why))
        });
        gates.push(plan.map_err(|why| Unplanned { name: name.clone(), why }).map(|plan| of_metric(name, stage, metric, plan, comparisons)));
    }
    if gates.len() > MOST {
        let (place, count) = (stage.section(), gates.len());
        let why = Invalid(format!("{place} has {count} gates with its templates, at most {MOST} are allowed: remove some"));
        gates.truncate(MOST - 1);
        gates.push(Err(Unplanned { name: format!("{}*", stage.prefix()), why }));
    }
    gates
}

fn of_metric(name: String, stage: Stage, metric: &Metric, plan: MetricPlan, comparisons: usize) -> GateDefinition {
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
    let definition = hash::definition(&json!(whole));
    let weight = metric.weight.map(|weight| weight.clamp(1, 100));
    GateDefinition { name, stage, definition, kind: Kind::Metric(plan), weight }
}

/// The gates that can be asked, and those that can't as what nobody can judge: after the switch they hold up none of the others.
pub fn able(stage: Stage, planned: Vec<Result<GateDefinition, Unplanned>>, score: Option<&Score>) -> Vec<GateDefinition> {
    let unknown = |Unplanned { name, why: Invalid(why) }| {
        let definition = hash::definition(&json!([name, why]));
        GateDefinition { name, stage, definition, kind: Kind::Unknown(why), weight: None }
    };
    let gates: Vec<_> = planned.into_iter().map(|gate| gate.unwrap_or_else(unknown)).collect();
    with(stage, gates.clone(), score).unwrap_or_else(|why| {
        let score = unknown(Unplanned { name: stage.score().to_owned(), why });
        gates.into_iter().filter(|gate| gate.name != score.name).chain([score.clone()]).collect()
    })
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
    // Gates of a template that is gone stay as they are: what has failed has failed, and they go on where they were when it is back.
    let unplanned = |gate: &Gate| definitions.iter().any(|it| it.name.strip_suffix('*').is_some_and(|all| gate.name.starts_with(all)));
    let kept = |gate: &&Gate| unplanned(gate) && definitions.iter().all(|it| it.name != gate.name) && !gate.name.ends_with('*');
    let others = gates.iter().filter(|gate| !gate.name.starts_with(stage.prefix()) || kept(gate)).cloned();
    let own = definitions.iter().map(|wanted| {
        let kept = gates.iter().find(|gate| gate.name == wanted.name && gate.definition == wanted.definition);
        kept.cloned().unwrap_or_else(|| Gate {
            name: wanted.name.clone(),
            state: if matches!(wanted.kind, Kind::Unknown(_)) { GateState::Inconclusive } else { GateState::Running },
            weight: None,
            definition: wanted.definition.clone(),
            message: if let Kind::Unknown(why) = &wanted.kind { bounded(why) } else { String::new() },
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
        (Outcome::Check(outcome), Kind::Check(plan)) => check::add(gate, plan, outcome, result.at),
        (Outcome::Readings(readings), Kind::Metric(plan)) => {
            metric::add(gate, plan, definition.stage, readings, (result.at, &result.asked))
        }
        // No answer to what was asked: it decides nothing, and the next is not due before its time.
        (Outcome::Check(_), Kind::Metric(_)) | (Outcome::Readings(_), Kind::Check(_)) => {
            let tries = gate.tries.get_or_insert(Tries { failed: 0, not_done: 0, at: result.at });
            tries.at = tries.at.max(result.at);
        }
        (_, Kind::Score(_) | Kind::Unknown(_)) => {}
    }
}

/// The gates of a stage with that of its score, which is the last. Weights and a score are nothing without each other.
pub fn with(stage: Stage, mut gates: Vec<GateDefinition>, score: Option<&Score>) -> Result<Vec<GateDefinition>, Invalid> {
    let place = stage.section();
    let weighted = gates.iter().find(|gate| gate.weight.is_some()).map(|gate| gate.name.clone());
    let score = match (score, weighted) {
        (None, None) => return Ok(gates),
        (None, Some(name)) => {
            return Err(Invalid(format!("{name} has a weight, but {place}.score is not set: set it, or remove weight")));
        }
        (Some(_), None) => {
            return Err(Invalid(format!("{place}.score is set, but no metric has a weight: set weight, or remove score")));
        }
        (Some(score), Some(_)) => score,
    };
    let plan = ScorePlan::of(score).ok_or_else(|| {
        let min = shortened(&score.min, score::LONGEST);
        Invalid(format!("{place}.score.min is {min:?}: write a share of more than 0 and at most 100%"))
    })?;
    let name = stage.score().to_owned();
    if gates.iter().any(|gate| gate.name == name) {
        return Err(Invalid(format!("{place}: a check or metric is named score, which is the name of the score's own gate: rename it")));
    }
    let counted: Vec<_> = gates.iter().filter(|gate| gate.weight.is_some()).map(|gate| [&gate.name, &gate.definition]).collect();
    // One that counts in it and changes, comes or goes makes it another score.
    let definition = hash::definition(&json!([score, counted]));
    gates.push(GateDefinition { name, stage, definition, kind: Kind::Score(plan), weight: None });
    Ok(gates)
}

/// Where all that it would count was left out there is no score.
pub fn drop_if_empty(gates: &mut Vec<GateDefinition>) {
    if gates.iter().all(|gate| gate.weight.is_none()) {
        gates.retain(|gate| !matches!(gate.kind, Kind::Score(_)));
    }
}

/// Tells the gate of the score what those with a weight say. The gates are in the order of their definitions.
/// `baked`: the bake time, once it is over; then a metric that was good throughout it is good.
pub fn tell(gates: &mut [Gate], definitions: &[GateDefinition], baked: Option<Duration>, now: Timestamp) {
    let mut scores = definitions.iter().enumerate().filter_map(|(place, definition)| match definition.kind {
        Kind::Score(plan) => Some((place, plan)),
        Kind::Check(_) | Kind::Metric(_) | Kind::Unknown(_) => None,
    });
    let Some((place, plan)) = scores.next() else { return };
    let votes = gates.iter().zip(definitions).filter_map(|(gate, definition)| {
        let good = baked.is_some_and(|bake| gate::baked(gate, bake));
        Some(Vote {
            name: gate.name.strip_prefix(definition.stage.prefix()).unwrap_or(&gate.name),
            weight: definition.weight?.unsigned_abs().into(),
            state: if good { GateState::Passed } else { gate.state },
        })
    });
    let (state, message) = plan.verdict(&votes.collect::<Vec<_>>());
    if let Some(gate) = gates.get_mut(place) {
        turn(gate, state, bounded(&message), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        metric::tests::{at, defined, metric, prometheus, result, started, told},
        reading::CheckOutcome,
    };
    use bluegreen_api::Check;

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
                "spec.verification.metrics errors: no Prometheus address: set address in the query, set spec.sources.prometheus.address, or start the operator with --prometheus-address",
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
    fn a_gate_stays_until_its_definition_changes() {
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
    fn the_query_of_a_ready_metric_belongs_to_its_definition() {
        let told = |metric: &Metric, beside: &[&str]| {
            let mut whole = vec![json!(metric)];
            whole.extend(beside.iter().map(|text| json!(text)));
            hash::definition(&json!(whole))
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

    fn soft(name: &str, weight: Option<i32>) -> Metric {
        metric(&json!({"name": name, "weight": weight}))
    }

    fn scored(stage: Stage, metrics: Vec<Metric>, min: Option<&str>) -> Result<Vec<GateDefinition>, String> {
        let gates = definitions(stage, &[Group::own(stage, vec![], metrics)], Some(&prometheus("http://prometheus")));
        gates.and_then(|gates| with(stage, gates, min.map(|min| Score { min: min.into() }).as_ref())).map_err(|error| error.to_string())
    }

    #[test]
    fn weights_without_a_score_are_refused_with_what_to_do() {
        let wrong = |stage: Stage, metrics: Vec<Metric>, min: Option<&str>| scored(stage, metrics, min).unwrap_err();
        let (before, after) = (Stage::Verification, Stage::Monitoring);
        let rehearsal = metric(&json!({"name": "a", "weight": 1, "dryRun": true}));
        for (error, expected) in [
            (
                wrong(before, vec![soft("a", None), soft("b", Some(1))], None),
                "verification/b has a weight, but spec.verification.score is not set: set it, or remove weight",
            ),
            (
                wrong(after, vec![soft("a", None)], Some("80%")),
                "spec.monitoring.score is set, but no metric has a weight: set weight, or remove score",
            ),
            (
                wrong(after, vec![soft("score", None), soft("b", Some(1))], Some("80%")),
                "spec.monitoring: a check or metric is named score, which is the name of the score's own gate: rename it",
            ),
            (
                wrong(before, vec![soft("a", Some(1))], Some("101%")),
                "spec.verification.score.min is \"101%\": write a share of more than 0 and at most 100%",
            ),
            (
                wrong(before, vec![rehearsal], Some("80%")),
                "spec.verification.metrics a: a dry run always passes and can have no weight: remove weight or dryRun",
            ),
        ] {
            assert_eq!(error, expected);
        }
        let names = |gates: Vec<GateDefinition>| gates.into_iter().map(|gate| (gate.name, gate.weight)).collect::<Vec<_>>();
        let named = |name: &str, weight: Option<i32>| (format!("verification/{name}"), weight);
        assert_eq!(names(scored(before, vec![soft("score", None)], None).unwrap()), [named("score", None)], "the name is free without one");
        let both = names(scored(before, vec![soft("a", Some(3)), soft("b", None)], Some("80%")).unwrap());
        assert_eq!(both, [named("a", Some(3)), named("b", None), named("score", None)]);
    }

    #[test]
    fn a_score_begins_anew_when_its_definition_changes() {
        let of = |metrics: Vec<Metric>, min: &str| scored(Stage::Verification, metrics, Some(min)).unwrap().pop().unwrap().definition;
        let (a, b) = (soft("a", Some(3)), soft("b", Some(2)));
        let usual = of(vec![a.clone(), b.clone()], "80%");
        assert_eq!(of(vec![a.clone(), b.clone(), soft("hard", None)], "80%"), usual, "this one doesn't count in it");
        for (other, what) in [
            (of(vec![a.clone(), b], "81%"), "more is needed"),
            (of(vec![a.clone(), soft("b", Some(1))], "80%"), "one counts less"),
            (of(vec![a], "80%"), "one is gone"),
        ] {
            assert_ne!(other, usual, "{what}");
        }
    }

    #[test]
    fn a_metric_good_to_the_end_of_the_bake_time_is_good() {
        let definitions = scored(Stage::Monitoring, vec![soft("a", Some(3)), soft("b", Some(2))], Some("60%")).unwrap();
        let mut gates = aligned(&[], &definitions, Stage::Monitoring, at(0));
        let readings = |good: i32, bad_in_row: i32| Some(Measured { good, bad_in_row, covered_millis: 60_000, ..Measured::default() });
        (gates[0].measured, gates[1].measured) = (readings(9, 0), readings(9, 1));
        let mut told_after = |bake: Option<Duration>, second: i64| {
            tell(&mut gates, &definitions, bake, at(second));
            let (state, message) = told(&gates[2]);
            (state, message.to_owned(), gates[2].since)
        };
        let (minute, longer) = (Duration::from_secs(60), Duration::from_secs(61));
        let open = || "no metric has passed yet, 60 % of the weights required".to_owned();
        assert_eq!(told_after(None, 10), (GateState::Running, open(), at(0)), "its time isn't over");
        assert_eq!(told_after(Some(longer), 20), (GateState::Running, open(), at(0)), "there are not enough readings");
        let good = "60 % of the weights passed, 60 % required".to_owned();
        assert_eq!(told_after(Some(minute), 30), (GateState::Passed, good, at(30)));
    }
}
