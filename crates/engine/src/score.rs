//! The score of a stage: metrics with a weight decide together. It follows from their gates alone, and measures nothing itself.

use crate::{
    gates::{self, GateDefinition, Kind, Stage},
    plan::Invalid,
    revision,
};
use bluegreen_api::{Gate, GateState, Score};
use jiff::Timestamp;
use serde_json::json;
use std::time::Duration;

/// Which share of the weights must be good, in whole numbers: 80 % are 80 of 100, and nothing is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScorePlan {
    part: u128,
    of: u128,
}

/// The longest share that is read, in characters: what is worked out with it stays far below the largest number there is.
const LONGEST: usize = 32;

impl ScorePlan {
    fn of(score: &Score) -> Option<Self> {
        let text = Some(score.min.as_str()).filter(|text| text.len() <= LONGEST)?;
        let (number, scale) = text.strip_suffix('%').map_or((text, 1), |number| (number, 100));
        let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
        let digits = Some(format!("{whole}{decimals}")).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))?;
        let (part, of) = (digits.parse::<u128>().ok()?, decimals.bytes().fold(scale, |of: u128, _| of * 10));
        (1..=of).contains(&part).then_some(Self { part, of })
    }

    /// What is certain is told at once: that what is left can't be enough any more, or that what is good is enough whatever becomes of the rest.
    fn verdict(self, votes: &[Vote<'_>]) -> (GateState, String) {
        let sum = |state: GateState| votes.iter().filter(|vote| vote.state == state).map(|vote| vote.weight).sum::<u128>();
        let all = votes.iter().map(|vote| vote.weight).sum::<u128>();
        let (good, at_most) = (sum(GateState::Passed), all - sum(GateState::Failed));
        let enough = |weight: u128| weight * self.of >= self.part * all;
        let share = |weight: u128| percent(weight, all);
        let (state, told) = if !enough(at_most) {
            (GateState::Failed, format!("good can still be {} of the weights at most", share(at_most)))
        } else if enough(good) {
            (GateState::Passed, format!("{} of the weights are good", share(good)))
        } else if !enough(good + sum(GateState::Running)) && enough(at_most - sum(GateState::Running)) {
            // Whatever becomes of those that run, those decide that nobody can judge.
            (GateState::Inconclusive, format!("{} of the weights are good", share(good)))
        } else if good == 0 {
            (GateState::Running, format!("{} of the weights can still be good", share(at_most)))
        } else {
            (GateState::Running, format!("{} of the weights are good so far", share(good)))
        };
        let [bad, unjudged] = [("bad", GateState::Failed), ("not judged", GateState::Inconclusive)].map(|(what, state)| {
            let names: Vec<_> = votes.iter().filter(|vote| vote.state == state).map(|it| format!("{} ({})", it.name, it.weight)).collect();
            if names.is_empty() { String::new() } else { format!("; {what}: {}", names.join(", ")) }
        });
        (state, format!("{told}, {} are needed{bad}{unjudged}", percent(self.part, self.of)))
    }
}

/// A share in words, never more than it is: two thirds are 66.66 %.
fn percent(part: u128, of: u128) -> String {
    let hundredths = part * 10_000 / of.max(1);
    let text = format!("{}.{:02}", hundredths / 100, hundredths % 100);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// What a gate with a weight says.
struct Vote<'a> {
    /// Without its stage.
    name: &'a str,
    weight: u128,
    state: GateState,
}

/// The gates of a stage with that of its score, which is the last. Weights and a score are nothing without each other.
pub fn with(stage: Stage, mut gates: Vec<GateDefinition>, score: Option<&Score>) -> Result<Vec<GateDefinition>, Invalid> {
    let place = stage.section();
    let weighted = gates.iter().find(|gate| gate.weight.is_some()).map(|gate| gate.name.clone());
    let score = match (score, weighted) {
        (None, None) => return Ok(gates),
        (None, Some(name)) => {
            return Err(Invalid(format!("{name} has a weight, which counts in a score: set {place}.score, or leave weight out")));
        }
        (Some(_), None) => {
            return Err(Invalid(format!("{place}.score has nothing to count: give metrics of this stage a weight, or leave score out")));
        }
        (Some(score), Some(_)) => score,
    };
    let plan = ScorePlan::of(score).ok_or_else(|| {
        let min = gates::shortened(&score.min, LONGEST);
        Invalid(format!("{place}.score: min is {min:?}: write the share of the weights that must be good, more than 0 and at most 100%"))
    })?;
    let name = stage.score().to_owned();
    if gates.iter().any(|gate| gate.name == name) {
        return Err(Invalid(format!("{place}: a check or metric has the name of the score's own gate, score: give it another one")));
    }
    let counted: Vec<_> = gates.iter().filter(|gate| gate.weight.is_some()).map(|gate| [&gate.name, &gate.definition]).collect();
    // One that counts in it and changes, comes or goes makes it another score.
    let definition = revision::definition(&json!([score, counted]));
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
        Kind::Check(_) | Kind::Metric(_) => None,
    });
    let Some((place, plan)) = scores.next() else { return };
    let votes = gates.iter().zip(definitions).filter_map(|(gate, definition)| {
        let good = baked.is_some_and(|bake| gates::baked(gate, bake));
        Some(Vote {
            name: gate.name.strip_prefix(definition.stage.prefix()).unwrap_or(&gate.name),
            weight: definition.weight?.unsigned_abs().into(),
            state: if good { GateState::Passed } else { gate.state },
        })
    });
    let (state, message) = plan.verdict(&votes.collect::<Vec<_>>());
    if let Some(gate) = gates.get_mut(place) {
        gates::turn(gate, state, gates::bounded(&message), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        gates::{aligned, definitions},
        metric::tests::{at, metric, prometheus, told},
        templates::Group,
    };
    use bluegreen_api::{Measured, Metric};

    fn score(min: &str) -> Score {
        Score { min: min.into() }
    }

    /// `errors=3-`: errors counts 3 and has failed; `+` has passed, `?` is inconclusive, `.` runs.
    fn votes(text: &str) -> Vec<Vote<'_>> {
        text.split_whitespace()
            .map(|word| {
                let (name, rest) = word.split_once('=').unwrap();
                let (weight, state) = rest.split_at(rest.len() - 1);
                let state = match state {
                    "+" => GateState::Passed,
                    "-" => GateState::Failed,
                    "?" => GateState::Inconclusive,
                    _ => GateState::Running,
                };
                Vote { name, weight: weight.parse().unwrap(), state }
            })
            .collect()
    }

    #[test]
    fn what_is_certain_is_told_at_once_and_what_nobody_can_say_is_inconclusive() {
        use GateState::{Failed, Inconclusive, Passed, Running};
        let cases = [
            ("80%", "errors=6. latency=4.", Running, "100 % of the weights can still be good, 80 % are needed"),
            ("80%", "errors=6+ latency=4.", Running, "60 % of the weights are good so far, 80 % are needed"),
            ("80%", "errors=8+ latency=2.", Passed, "80 % of the weights are good, 80 % are needed"),
            ("80%", "errors=85+ latency=15-", Passed, "85 % of the weights are good, 80 % are needed; bad: latency (15)"),
            ("80%", "errors=8. latency=2-", Running, "80 % of the weights can still be good, 80 % are needed; bad: latency (2)"),
            (
                "80%",
                "errors=3- latency=2- slo/memory=6.",
                Failed,
                "good can still be 54.54 % of the weights at most, 80 % are needed; bad: errors (3), latency (2)",
            ),
            ("80%", "errors=6+ latency=4?", Inconclusive, "60 % of the weights are good, 80 % are needed; not judged: latency (4)"),
            (
                "80%",
                "errors=6+ latency=2? queue=2.",
                Running,
                "60 % of the weights are good so far, 80 % are needed; not judged: latency (2)",
            ),
            (
                "80%",
                "errors=8? latency=2-",
                Inconclusive,
                "0 % of the weights are good, 80 % are needed; bad: latency (2); not judged: errors (8)",
            ),
            ("80%", "errors=8+ latency=2?", Passed, "80 % of the weights are good, 80 % are needed; not judged: latency (2)"),
            ("60%", "errors=6? latency=4.", Inconclusive, "0 % of the weights are good, 60 % are needed; not judged: errors (6)"),
            ("60%", "errors=5? latency=5.", Running, "100 % of the weights can still be good, 60 % are needed; not judged: errors (5)"),
            ("100%", "errors=1+ latency=1-", Failed, "good can still be 50 % of the weights at most, 100 % are needed; bad: latency (1)"),
        ];
        for (min, gates, state, message) in cases {
            let told = ScorePlan::of(&score(min)).unwrap().verdict(&votes(gates));
            assert_eq!((told.0, told.1.as_str()), (state, message), "{gates}");
        }
    }

    #[test]
    fn shares_are_not_rounded() {
        let state = |min: &str, gates: &str| ScorePlan::of(&score(min)).unwrap().verdict(&votes(gates)).0;
        for (min, gates, expected) in [
            ("0.3", "a=1+ b=2+ c=7-", GateState::Passed),
            ("0.30000000000000000001", "a=1+ b=2+ c=7-", GateState::Failed),
            ("66.66%", "a=2+ b=1-", GateState::Passed),
            ("66.67%", "a=2+ b=1-", GateState::Failed),
            ("0.000000000000000000000000000001", "a=1+ b=100-", GateState::Passed),
        ] {
            assert_eq!(state(min, gates), expected, "{min} of {gates}");
        }
    }

    #[test]
    fn a_share_is_more_than_nothing_and_at_most_all() {
        for (text, part, of) in
            [("80%", 80, 100), ("0.8", 8, 10), ("0.5%", 5, 1000), ("1", 1, 1), ("100%", 100, 100), ("100.0%", 1000, 1000)]
        {
            assert_eq!(ScorePlan::of(&score(text)), Some(ScorePlan { part, of }), "{text}");
        }
        for text in ["", "%", "0", "0%", "0.0", "100.1%", "1.01", "80", "-1%", "+5%", "8e-1", "80 %", "0.8.0", &"0".repeat(33)] {
            assert_eq!(ScorePlan::of(&score(text)), None, "{text}");
        }
    }

    fn soft(name: &str, weight: Option<i32>) -> Metric {
        metric(&json!({"name": name, "weight": weight}))
    }

    fn scored(stage: Stage, metrics: Vec<Metric>, min: Option<&str>) -> Result<Vec<GateDefinition>, String> {
        let gates = definitions(stage, &[Group::own(stage, vec![], metrics)], Some(&prometheus("http://prometheus")));
        gates.and_then(|gates| with(stage, gates, min.map(score).as_ref())).map_err(|error| error.to_string())
    }

    #[test]
    fn weights_and_a_score_that_do_not_belong_together_are_told_with_what_to_do() {
        let wrong = |stage: Stage, metrics: Vec<Metric>, min: Option<&str>| scored(stage, metrics, min).unwrap_err();
        let (before, after) = (Stage::Verification, Stage::Monitoring);
        let rehearsal = metric(&json!({"name": "a", "weight": 1, "dryRun": true}));
        for (error, expected) in [
            (
                wrong(before, vec![soft("a", None), soft("b", Some(1))], None),
                "verification/b has a weight, which counts in a score: set spec.verification.score, or leave weight out",
            ),
            (
                wrong(after, vec![soft("a", None)], Some("80%")),
                "spec.monitoring.score has nothing to count: give metrics of this stage a weight, or leave score out",
            ),
            (
                wrong(after, vec![soft("score", None), soft("b", Some(1))], Some("80%")),
                "spec.monitoring: a check or metric has the name of the score's own gate, score: give it another one",
            ),
            (
                wrong(before, vec![soft("a", Some(1))], Some("101%")),
                "spec.verification.score: min is \"101%\": write the share of the weights that must be good, more than 0 and at most 100%",
            ),
            (
                wrong(before, vec![rehearsal], Some("80%")),
                "spec.verification.metrics a: a dry run passes whatever it measures, and has nothing to weigh: leave out weight or dryRun",
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
    fn a_score_begins_anew_when_it_or_what_counts_in_it_is_defined_otherwise() {
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
    fn what_was_good_throughout_the_bake_time_is_good_once_that_is_over() {
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
        let open = || "100 % of the weights can still be good, 60 % are needed".to_owned();
        assert_eq!(told_after(None, 10), (GateState::Running, open(), at(0)), "its time isn't over");
        assert_eq!(told_after(Some(longer), 20), (GateState::Running, open(), at(0)), "there are not enough readings");
        let good = "60 % of the weights are good, 60 % are needed".to_owned();
        assert_eq!(told_after(Some(minute), 30), (GateState::Passed, good, at(30)));
    }
}
