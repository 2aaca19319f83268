//! `cargo xtask bench analysis`: candidates of a known kind, judged by limits, by factors and by the comparisons of the engine.
//!
//! Both sides get the same load. Requests come as a Poisson process and fail independently of each other.

mod gates;
mod latencies;

use std::fmt::Write as _;

use anyhow::Result;
use bluegreen_api::GateState;
use bluegreen_gates::trial::Stage;
use bluegreen_gates::weigh::errors::{self, Counters, Counts, Rule};
use gates::{Asked, Gates};
use rand::{SeedableRng, rngs::StdRng};
use rand_distr::{Binomial, Distribution, Poisson};

/// Seconds from one reading to the next, and readings in ten minutes.
const TICK: f64 = 10.0;
const READINGS: usize = 60;
/// Readings in a range of `[1m]`.
const RANGE: usize = 6;
/// The rate of errors of a healthy version.
const HEALTHY: f64 = 0.005;
const RATES: [f64; 3] = [2.0, 20.0, 100.0];

/// What a candidate is like.
struct Case {
    name: &'static str,
    /// How many times as often as the active side it fails.
    worse: f64,
    /// A fifth of all requests fail for a minute, on both sides.
    incident: bool,
}

const CASES: [Case; 5] = [
    Case { name: "healthy", worse: 1.0, incident: false },
    Case { name: "healthy, an incident of both sides", worse: 1.0, incident: true },
    Case { name: "twice the errors", worse: 2.0, incident: false },
    Case { name: "five times the errors", worse: 5.0, incident: false },
    Case { name: "ten times the errors", worse: 10.0, incident: false },
];

/// How it is judged.
#[derive(Clone, Copy)]
enum Way {
    Gates(&'static Gates),
    /// By the test alone, at every reading from the first.
    Comparison(Rule),
}

/// Metrics before the switch, and what they want of the last minute's requests.
const fn before_the_switch(metrics: &'static [(Asked, &'static str)], score: Option<&'static str>) -> Gates {
    Gates { stage: Stage::Verification, metrics, score, found: GateState::Failed }
}

const COMPARISON: Way = Way::Comparison(Rule { tolerated: 1.0, false_alarms: 0.05, min_requests: 100.0 });

/// The former side's last minute is taken for the time before; a worse one condemns nothing.
const AFTER_THE_SWITCH: Gates = Gates {
    stage: Stage::Monitoring,
    metrics: &[(Asked::Before, r#"{"maxFactor": "2", "factorOf": "BeforeSwitch"}"#)],
    score: None,
    found: GateState::Inconclusive,
};

const WAYS: [(&str, Way); 9] = [
    ("errors ≤ 1 %", Way::Gates(&before_the_switch(&[(Asked::Candidate, r#"{"max": "1%"}"#)], None))),
    (
        "errors ≤ 1 %, 5 readings in a row",
        Way::Gates(&before_the_switch(&[(Asked::Candidate, r#"{"max": "1%", "failureLimit": 5}"#)], None)),
    ),
    ("errors ≤ 1 %, failureFor 2m", Way::Gates(&before_the_switch(&[(Asked::Candidate, r#"{"max": "1%", "failureFor": "2m"}"#)], None))),
    ("errors ≤ 1 %, failureFor 5m", Way::Gates(&before_the_switch(&[(Asked::Candidate, r#"{"max": "1%", "failureFor": "5m"}"#)], None))),
    ("errors ≤ 2 × the active side's", Way::Gates(&before_the_switch(&[(Asked::Both, r#"{"maxFactor": "2"}"#)], None))),
    (
        "score 60% of ≤ 1 % with failureFor 2m, ≤ 2 × the active side's, comparison",
        Way::Gates(&before_the_switch(
            &[
                (Asked::Candidate, r#"{"max": "1%", "failureFor": "2m", "weight": 1}"#),
                (Asked::Both, r#"{"maxFactor": "2", "weight": 1}"#),
                (Asked::Counters, r#"{"weight": 1}"#),
            ],
            Some("60%"),
        )),
    ),
    ("comparison", COMPARISON),
    ("comparison, tolerated 1.5, falseAlarms 1%", Way::Comparison(Rule { tolerated: 1.5, false_alarms: 0.01, min_requests: 100.0 })),
    ("after the switch: errors ≤ 2 × before (Inconclusive)", Way::Gates(&AFTER_THE_SWITCH)),
];

/// What came to both sides in each tick: candidate, active.
type Load = Vec<[Counts; 2]>;

fn load(case: &Case, rate: f64, dice: &mut StdRng) -> Result<Load> {
    let requests = Poisson::new(rate * TICK)?;
    let from = READINGS / 2;
    let mut tick = |number: usize, worse: f64| -> Result<Counts> {
        let incident = case.incident && (from..from + RANGE).contains(&number);
        let requests: f64 = requests.sample(dice);
        let chance = if incident { 0.2 } else { HEALTHY * worse };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "counts of requests")]
        let errors = Binomial::new(requests as u64, chance)?.sample(dice) as f64;
        Ok(Counts { errors, requests })
    };
    (0..READINGS).map(|number| Ok([tick(number, case.worse)?, tick(number, 1.0)?])).collect()
}

/// The reading at which the candidate is condemned by the test.
fn condemned(rule: Rule, load: &Load) -> Option<usize> {
    let (mut compared, mut now) = (None, Counters { candidate: Counts::default(), active: Counts::default() });
    errors::add(&mut compared, &now, &rule);
    load.iter().position(|[candidate, active]| {
        now = Counters { candidate: sum([&now.candidate, candidate]), active: sum([&now.active, active]) };
        errors::add(&mut compared, &now, &rule);
        compared.as_ref().is_some_and(|compared| errors::evidence(compared) >= 1.0 / rule.false_alarms)
    })
}

fn sum<'a>(counts: impl IntoIterator<Item = &'a Counts>) -> Counts {
    counts.into_iter().fold(Counts::default(), |sum, it| Counts { errors: sum.errors + it.errors, requests: sum.requests + it.requests })
}

/// Of so many candidates: how many were condemned, and after how many readings half of these were.
fn judged(way: Way, case: &Case, rate: f64, candidates: u32) -> Result<(f64, Option<usize>)> {
    match way {
        Way::Comparison(rule) => of_all(candidates, |dice| Ok(condemned(rule, &load(case, rate, dice)?))),
        Way::Gates(gates) => {
            let trial = gates.trial()?;
            of_all(candidates, |dice| Ok(gates.judged(trial.clone(), &load(case, rate, dice)?)))
        }
    }
}

/// Each candidate has dice of its own.
fn of_all(candidates: u32, condemned: impl Fn(&mut StdRng) -> Result<Option<usize>>) -> Result<(f64, Option<usize>)> {
    let mut found = Vec::new();
    for seed in 0..candidates {
        found.extend(condemned(&mut StdRng::seed_from_u64(u64::from(seed)))?);
    }
    found.sort_unstable();
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let share = found.len() as f64 / f64::from(candidates);
    Ok((share, found.get(found.len() / 2).copied()))
}

/// All figures as a table in Markdown.
pub(super) fn figures(candidates: u32) -> Result<String> {
    let mut text = format!(
        "{candidates} candidates in each case, judged every {TICK} s for ten minutes; {:.1} % of a healthy version's requests fail.\n\
         The share that was condemned, and the time by which half of these were. One that is worse than the time before the switch\n\
         is not condemned but Inconclusive, and what is told of it is that.\n",
        HEALTHY * 100.0
    );
    for case in &CASES {
        table(&mut text, case.name, &WAYS, |way, rate| judged(way, case, rate, candidates))?;
    }
    text.push_str(&latencies::figures(candidates)?);
    Ok(text)
}

/// A row for each way of judging, a column for each rate.
fn table<W: Copy>(
    text: &mut String,
    case: &str,
    ways: &[(&str, W)],
    judged: impl Fn(W, f64) -> Result<(f64, Option<usize>)>,
) -> Result<()> {
    let rates: Vec<_> = RATES.iter().map(|rate| format!("{rate} requests/s a side")).collect();
    write!(text, "\n| {case} | {} |\n|---|---|---|---|\n", rates.join(" | "))?;
    for (name, way) in ways {
        let mut row = Vec::new();
        for rate in RATES {
            row.push(cell(judged(*way, rate)?));
        }
        writeln!(text, "| {name} | {} |", row.join(" | "))?;
    }
    Ok(())
}

/// The share that was condemned, and the time by which half of these were.
fn cell((share, median): (f64, Option<usize>)) -> String {
    #[expect(clippy::cast_precision_loss, reason = "at most 60")]
    let after = median.map(|reading| format!(", {} s", (reading + 1) as f64 * TICK)).unwrap_or_default();
    format!("{:.1} %{after}", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At every look: a candidate counts as condemned if it was at any of the sixty. Of 1,000 candidates, each condemned with a probability
    /// of 5 %, more than 7.1 % (three standard deviations more) are so once in a thousand times; and the seeds are fixed.
    #[test]
    fn false_alarms_stay_below_their_bound_however_often_one_looks() {
        for incident in [false, true] {
            for (tolerated, worse) in [(1.0, 1.0), (1.5, 1.5)] {
                let way = Way::Comparison(Rule { tolerated, false_alarms: 0.05, min_requests: 1.0 });
                for rate in RATES {
                    let (share, _) = judged(way, &Case { name: "", worse, incident }, rate, 1_000).unwrap();
                    assert!(share <= 0.071, "{share} of candidates that fail {worse} times as often, at {rate} requests/s");
                }
            }
        }
    }

    /// Whoever asks a gate for something else than its load has, or for another verdict, finds nothing.
    #[test]
    fn each_way_finds_ten_times_the_errors() {
        for (name, way) in &WAYS {
            let (share, _) = judged(*way, &CASES[4], 20.0, 20).unwrap();
            assert!(share > 0.99, "{name}: {share}");
        }
        const CONDEMNED: Gates = Gates { found: GateState::Failed, ..AFTER_THE_SWITCH };
        assert_eq!(judged(Way::Gates(&CONDEMNED), &CASES[4], 20.0, 20).unwrap(), (0.0, None));
    }

    #[test]
    fn a_regression_by_five_is_found_within_a_minute() {
        let (share, median) = judged(COMPARISON, &CASES[3], 20.0, 1_000).unwrap();
        assert!(share > 0.99 && median.is_some_and(|reading| reading < 6), "{share}, {median:?}");
    }
}
