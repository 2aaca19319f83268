//! Candidates that are slower, judged by limits and factors of quantiles, and by the comparison of latencies of the engine.
//!
//! Both sides get the same load. Requests come as a Poisson process; how long one takes is log-logistic, and depends on no other.

use anyhow::{Result, anyhow};
use bluegreen_gates::reading::Reading;
use bluegreen_gates::weigh::errors::{self, Counters};
use bluegreen_gates::{
    reading::buckets::Buckets,
    weigh::latencies::{self, Histograms, Rule},
};
use rand::rngs::StdRng;
use rand_distr::{Binomial, Distribution, Poisson};

use super::{RANGE, READINGS, TICK, of_all, table};

/// Half of a healthy version's requests take no longer, in seconds; one in twenty takes 4.4 times as long, one in a hundred 10 times.
const MEDIAN: f64 = 0.05;

/// The buckets that Prometheus' client libraries have.
const BOUNDS: [(&str, f64); 12] = [
    ("0.005", 0.005),
    ("0.01", 0.01),
    ("0.025", 0.025),
    ("0.05", 0.05),
    ("0.1", 0.1),
    ("0.25", 0.25),
    ("0.5", 0.5),
    ("1", 1.0),
    ("2.5", 2.5),
    ("5", 5.0),
    ("10", 10.0),
    ("+Inf", f64::INFINITY),
];

/// Requests in each bucket alone.
type Counts = [f64; BOUNDS.len()];

/// What a candidate is like.
struct Case {
    name: &'static str,
    /// How many times as long as on the active side its requests take.
    slower: f64,
    /// The share of its requests that take ten times as long as that.
    tail: f64,
    /// For a minute all requests take ten times as long, on both sides.
    incident: bool,
}

const CASES: [Case; 6] = [
    Case { name: "as fast", slower: 1.0, tail: 0.0, incident: false },
    Case { name: "as fast, an incident of both sides", slower: 1.0, tail: 0.0, incident: true },
    Case { name: "1.25 times as slow", slower: 1.25, tail: 0.0, incident: false },
    Case { name: "1.5 times as slow", slower: 1.5, tail: 0.0, incident: false },
    Case { name: "twice as slow", slower: 2.0, tail: 0.0, incident: false },
    Case { name: "one request in fifty ten times as slow", slower: 1.0, tail: 0.02, incident: false },
];

/// How it is judged.
#[derive(Clone, Copy)]
enum Way {
    /// This quantile of the last minute's requests is at most so many seconds.
    Limit(f64, f64),
    /// This quantile of the last minute's requests is at most so many times the active side's.
    Factor(f64, f64),
    /// By the comparison of errors, those above this bound being the errors.
    Slow(f64, errors::Rule),
    Comparison(Rule),
}

const WAYS: [(&str, Way); 6] = [
    ("p95 ≤ 0.3 s", Way::Limit(0.95, 0.3)),
    ("p95 ≤ 1.5 × the active side's", Way::Factor(0.95, 1.5)),
    ("p99 ≤ 2 × the active side's", Way::Factor(0.99, 2.0)),
    ("comparison, above 0.5 s as errors", Way::Slow(0.5, errors::Rule { tolerated: 1.0, false_alarms: 0.05, min_requests: 100.0 })),
    ("comparison of latencies", Way::Comparison(Rule { tolerated: 0.56, false_alarms: 0.05, min_requests: 100.0 })),
    ("comparison of latencies, tolerated 0.5", Way::Comparison(Rule { tolerated: 0.5, false_alarms: 0.05, min_requests: 100.0 })),
];

/// What came to both sides in each tick: candidate, active.
type Load = Vec<[Counts; 2]>;

/// The share of requests that fall into each bucket.
fn chances(slower: f64, tail: f64) -> Counts {
    let within = |bound: f64, slower: f64| 1.0 / (1.0 + (MEDIAN * slower / bound).powi(2));
    let mut below = 0.0;
    BOUNDS.map(|(_, bound)| {
        let up_to = (1.0 - tail) * within(bound, slower) + tail * within(bound, 10.0 * slower);
        up_to - std::mem::replace(&mut below, up_to)
    })
}

fn load(case: &Case, rate: f64, dice: &mut StdRng) -> Result<Load> {
    let requests = Poisson::new(rate * TICK)?;
    let from = READINGS / 2;
    let mut tick = |number: usize, slower: f64, tail: f64| -> Result<Counts> {
        let incident = case.incident && (from..from + RANGE).contains(&number);
        let chances = chances(if incident { 10.0 * slower } else { slower }, tail);
        fallen(requests.sample(dice), &chances, dice)
    };
    (0..READINGS).map(|number| Ok([tick(number, case.slower, case.tail)?, tick(number, 1.0, 0.0)?])).collect()
}

/// So many requests by lot into the buckets: into each those that are left with the chance of not having fallen into one before.
fn fallen(requests: f64, chances: &Counts, dice: &mut StdRng) -> Result<Counts> {
    let (mut left, mut chance_left) = (requests, 1.0_f64);
    let mut counts = [0.0; BOUNDS.len()];
    for (count, chance) in counts.iter_mut().zip(*chances) {
        let here = if chance_left > 0.0 { (chance / chance_left).clamp(0.0, 1.0) } else { 1.0 };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "counts of requests")]
        let fallen = Binomial::new(left as u64, here)?.sample(dice) as f64;
        *count = fallen;
        left -= fallen;
        chance_left -= chance;
    }
    // What rounding has left over took longest.
    counts[BOUNDS.len() - 1] += left;
    Ok(counts)
}

/// The reading at which the candidate is condemned.
fn condemned(way: Way, load: &Load) -> Result<Option<usize>> {
    match way {
        Way::Limit(share, limit) => Ok(first(load, |[candidate, _]| quantile(share, candidate) > limit)),
        Way::Factor(share, factor) => Ok(first(load, |[candidate, active]| quantile(share, candidate) > factor * quantile(share, active))),
        Way::Slow(bound, rule) => {
            let (mut compared, mut now) = (None, [[0.0; BOUNDS.len()]; 2]);
            errors::add(&mut compared, &errors(&now, bound), &rule);
            Ok(load.iter().position(|[candidate, active]| {
                now = [sum([&now[0], candidate]), sum([&now[1], active])];
                errors::add(&mut compared, &errors(&now, bound), &rule);
                compared.as_ref().is_some_and(|compared| errors::evidence(compared) >= 1.0 / rule.false_alarms)
            }))
        }
        Way::Comparison(rule) => {
            let (mut compared, mut now) = (None, [[0.0; BOUNDS.len()]; 2]);
            latencies::add(&mut compared, &histograms(&now)?, &rule);
            for (reading, [candidate, active]) in load.iter().enumerate() {
                now = [sum([&now[0], candidate]), sum([&now[1], active])];
                latencies::add(&mut compared, &histograms(&now)?, &rule);
                if compared.as_ref().is_some_and(|compared| latencies::evidence(compared) >= 1.0 / rule.false_alarms) {
                    return Ok(Some(reading));
                }
            }
            Ok(None)
        }
    }
}

/// The first reading that is bad, each over the last minute.
fn first(load: &Load, bad: impl Fn([&Counts; 2]) -> bool) -> Option<usize> {
    let found = load.windows(RANGE).position(|minute| {
        let of = |side: usize| sum(minute.iter().map(|tick| &tick[side]));
        bad([&of(0), &of(1)])
    });
    found.map(|from| from + RANGE - 1)
}

/// As Prometheus' histogram_quantile has it: evenly spread within a bucket. Of nothing it is no number, which is above no limit.
fn quantile(share: f64, counts: &Counts) -> f64 {
    let rank = share * counts.iter().sum::<f64>();
    let (mut below, mut lower) = (0.0_f64, 0.0_f64);
    for (count, (_, bound)) in counts.iter().zip(BOUNDS) {
        if below + *count >= rank && bound.is_finite() {
            return lower + (bound - lower) * (rank - below) / *count;
        }
        if bound.is_finite() {
            (below, lower) = (below + *count, bound);
        }
    }
    lower
}

fn errors([candidate, active]: &[Counts; 2], from: f64) -> Counters {
    let side = |counts: &Counts| {
        let slow: f64 = counts.iter().zip(BOUNDS).filter(|(_, (_, bound))| *bound > from).map(|(count, _)| *count).sum();
        errors::Counts { errors: slow, requests: counts.iter().sum() }
    };
    Counters { candidate: side(candidate), active: side(active) }
}

fn histograms(sides: &[Counts; 2]) -> Result<Histograms> {
    let side = |counts: &Counts| {
        let mut below = 0.0;
        let up_to = BOUNDS.iter().zip(counts).map(|((le, _), count)| {
            below += *count;
            (Some(*le), below)
        });
        Buckets::of(up_to).map(Reading::Buckets).map_err(anyhow::Error::msg)
    };
    Histograms::of(&[side(&sides[0])?, side(&sides[1])?]).map_err(|trouble| anyhow!("no histograms: {trouble:?}"))
}

fn sum<'a>(all: impl IntoIterator<Item = &'a Counts>) -> Counts {
    all.into_iter().fold([0.0; BOUNDS.len()], |mut sum, counts| {
        sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += *count);
        sum
    })
}

/// Of so many candidates: how many were condemned, and after how many readings half of these were.
fn judged(way: Way, case: &Case, rate: f64, candidates: u32) -> Result<(f64, Option<usize>)> {
    of_all(candidates, |dice| condemned(way, &load(case, rate, dice)?))
}

/// All figures as a table in Markdown.
pub(super) fn figures(candidates: u32) -> Result<String> {
    let mut text = String::from(
        "\nLatencies: half of a healthy version's requests take at most 0.05 s, one in a hundred more than 0.5 s; in an incident all of them \
         take ten times as long for a minute.\n",
    );
    for case in &CASES {
        table(&mut text, case.name, &WAYS, |way, rate| judged(way, case, rate, candidates))?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The probability that a request of the candidate is slower, as the buckets show it.
    fn effect(candidate: &Counts, active: &Counts) -> f64 {
        let (mut slower, mut below) = (0.0_f64, 0.0_f64);
        for (candidate, active) in candidate.iter().zip(active) {
            slower += *candidate * (below + *active / 2.0);
            below += *active;
        }
        slower
    }

    /// At every look: a candidate counts as condemned if it was at any of the sixty, just as slow as tolerated. Of 300 candidates, each
    /// condemned with a probability of 5 %, more than 8.8 % (three standard deviations more) are so once in a thousand times; and the seeds are
    /// fixed.
    #[test]
    fn false_alarms_stay_below_their_bound_however_often_one_looks() {
        for (slower, incident) in [(1.0, false), (1.0, true), (1.25, false), (1.25, true)] {
            let effects = [1.0, 10.0].map(|load| effect(&chances(slower * load, 0.0), &chances(load, 0.0)));
            let tolerated = if incident { effects[0].max(effects[1]) } else { effects[0] };
            let way = Way::Comparison(Rule { tolerated: tolerated.max(0.5), false_alarms: 0.05, min_requests: 1.0 });
            for rate in [2.0, 20.0] {
                let (share, _) = judged(way, &Case { name: "", slower, tail: 0.0, incident }, rate, 300).unwrap();
                assert!(share <= 0.088, "{share} of candidates that are {slower} times as slow, at {rate} requests/s");
            }
        }
    }

    #[test]
    fn a_version_half_as_slow_again_is_found_within_a_minute() {
        let (share, median) = judged(WAYS[4].1, &CASES[3], 20.0, 300).unwrap();
        assert!(share > 0.99 && median.is_some_and(|reading| reading < 6), "{share}, {median:?}");
    }

    #[test]
    fn quantiles_are_those_of_prometheus() {
        let counts = [0.0, 0.0, 0.0, 50.0, 40.0, 10.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        assert!((quantile(0.5, &counts) - 0.05).abs() < 1e-9 && (quantile(0.95, &counts) - 0.175).abs() < 1e-9);
        assert!(quantile(0.5, &[0.0; BOUNDS.len()]).is_nan());
        let mut slow = counts;
        slow[BOUNDS.len() - 1] = 100.0;
        assert!((quantile(0.95, &slow) - 10.0).abs() < 1e-9, "there is nothing above the last bound to be told");
    }
}
