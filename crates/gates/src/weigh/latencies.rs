//! How long requests take on one side against how long on the other, by a test that may be looked at as often as one likes.
//!
//! What is judged is the size of the effect, A: the probability that a request of the candidate is slower than one of the active side, half
//! of those in the same bucket added. It is Mann-Whitney's U over n·m, and asks nothing of the shape of a distribution. 0.5 is no
//! difference, 0.56 a small one, 0.64 a medium one, 0.71 a large one (A. Vargha and H. D. Delaney, A Critique and Improvement of the CL Common
//! Language Effect Size Statistics of McGraw and Wong, Journal of Educational and Behavioral Statistics 25, 2000).
//!
//! The test is a bet that A is more than the a0 that is tolerated (I. Waudby-Smith and A. Ramdas, Estimating Means of Bounded Random Variables
//! by Betting, Journal of the Royal Statistical Society B 86, 2024). Pair off the new requests of both sides by lot, each at most once, which
//! makes m pairs; let k of a pair be 1, 1/2 or 0 as the candidate's request is slower, alike or faster. Somebody who stakes λ on each pair,
//! one after the other, multiplies his 1 by 1 + λ(k − a0). The pairs are independent, and while A is at most a0 none of these factors is more
//! than 1 on average: so isn't their product. Such a number, which is never negative and on average at most 1, is called an e-value.
//!
//! No lot is drawn. Over all ways to pair the requests off each pair comes up as often as any other, so the mean logarithm of the product
//! is m times the mean over all pairs of ln(1 + λ(k − a0)), for which the shares of slower, alike and faster pairs are enough. That is the
//! logarithm of the geometric mean of all these products; a geometric mean is at most the arithmetic one (Jensen's inequality), and the
//! arithmetic mean of e-values is an e-value. So every request is used, no chance is added, and what is shown is never too much.
//!
//! What one reading after the other makes of 1 is multiplied, and the mean over several stakes taken. It begins at 1 and on average never
//! grows, so while A is at most a0 it ever reaches 1/α with a probability of at most α (J. Ville, Étude critique de la notion de collectif,
//! 1939), however often one looks. An incident that hits both sides alike makes as many pairs slower as faster, and tells nothing.
//!
//! Assumed: how long a request takes doesn't depend on the one before it. Requests that wait for each other tell less than counted.

use super::evidence::{Added, Idle, number};
use crate::reading::{
    Reading,
    buckets::{self, Buckets},
};
use bluegreen_api::{Distribution, Distributions};

/// The stakes, as shares of the largest one, 1/a0, at which a single faster pair would lose everything. Small ones find small differences
/// among many requests, large ones large differences among few.
const STAKES: [f64; 6] = [0.03125, 0.0625, 0.125, 0.25, 0.5, 0.75];

/// How a comparison of latencies is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// The largest A that is tolerated, from 0.5 to less than 1.
    pub tolerated: f64,
    /// The probability of condemning a candidate that keeps to that.
    pub false_alarms: f64,
    /// Requests that each side must have had before the comparison can pass.
    pub min_requests: f64,
}

/// Adds what came since the last reading.
pub fn add(distributions: &mut Option<Distributions>, now: &Histograms, rule: &Rule) -> Added {
    if now.is_one_bucket() {
        return Added::OneBucket;
    }
    let Some(state) = distributions.as_ref().and_then(State::parsed) else {
        *distributions = Some(State::at(now).written());
        return Added::Begun;
    };
    let (state, told) = state.after(now, rule);
    *distributions = Some(state.written());
    told
}

/// The counters are read from here: what one side had alone for long, perhaps in an incident, is held against nobody.
pub fn read_from(distributions: &mut Option<Distributions>, now: &Histograms) {
    if let Some(mut state) = distributions.as_ref().and_then(State::parsed) {
        (state.bounds, state.last) = (now.bounds.clone(), now.counts.clone());
        *distributions = Some(state.written());
    }
}

/// What the bets have made of 1.
pub fn evidence(distributions: &Distributions) -> f64 {
    State::parsed(distributions).map_or(1.0, |state| state.evidence())
}

/// A over all that was weighed; 0.5 before that.
pub fn effect(distributions: &Distributions) -> f64 {
    State::parsed(distributions).map_or(0.5, |state| state.effect())
}

/// Requests of the candidate and of the active side since the first reading.
pub fn requests(distributions: &Distributions) -> [f64; 2] {
    State::parsed(distributions).map_or([0.0; 2], |state| state.requests)
}

/// Whether both sides have had as many requests as asked for.
pub fn enough(distributions: &Distributions, rule: &Rule) -> bool {
    requests(distributions).iter().all(|requests| *requests >= rule.min_requests)
}

#[derive(Clone, Debug)]
struct State {
    bounds: Vec<f64>,
    /// The candidate's, the active side's: cumulative counters, one for each bound.
    last: [Vec<f64>; 2],
    requests: [f64; 2],
    pairs: f64,
    slower: f64,
    logs: [f64; STAKES.len()],
}

impl State {
    fn at(now: &Histograms) -> Self {
        let (bounds, last) = (now.bounds.clone(), now.counts.clone());
        Self { bounds, last, requests: [0.0; 2], pairs: 0.0, slower: 0.0, logs: [0.0; STAKES.len()] }
    }

    /// Nothing, if somebody has edited it: the comparison begins anew.
    fn parsed(distributions: &Distributions) -> Option<Self> {
        let all = |texts: &[String]| texts.iter().map(|text| number(text)).collect::<Option<Vec<f64>>>();
        let bounds = distributions.bounds.iter().map(|text| text.parse::<f64>().ok()).collect::<Option<Vec<_>>>()?;
        let (candidate, active) = (&distributions.candidate, &distributions.active);
        let last = [all(&candidate.buckets_at)?, all(&active.buckets_at)?];
        if last.iter().any(|counts| counts.len() != bounds.len()) {
            return None;
        }
        Some(Self {
            bounds,
            last,
            requests: [number(&candidate.requests)?, number(&active.requests)?],
            pairs: number(&distributions.pairs)?,
            slower: number(&distributions.slower)?,
            logs: all(&distributions.evidence)?.try_into().ok()?,
        })
    }

    fn written(&self) -> Distributions {
        let [candidate, active] = [0, 1].map(|side| Distribution {
            requests: self.requests[side].to_string(),
            buckets_at: self.last[side].iter().map(f64::to_string).collect(),
        });
        Distributions {
            bounds: self.bounds.iter().map(|bound| buckets::written(*bound)).collect(),
            candidate,
            active,
            pairs: self.pairs.to_string(),
            slower: format!("{:.3}", self.slower),
            evidence: self.logs.iter().map(|log| format!("{log:.6}")).collect(),
        }
    }

    fn after(mut self, now: &Histograms, rule: &Rule) -> (Self, Added) {
        if now.bounds != self.bounds {
            self.bounds.clone_from(&now.bounds);
            self.last.clone_from(&now.counts);
            return (self, Added::Reset);
        }
        let [candidate, active] = [0, 1].map(|side| came(&now.counts[side], &self.last[side]));
        if candidate.iter().chain(&active).any(|new| *new < 0.0) {
            self.last.clone_from(&now.counts);
            return (self, Added::Reset);
        }
        let new = [&candidate, &active].map(|side| side.iter().sum::<f64>());
        if let Some(idle) = Idle::of(new) {
            return (self, Added::NoTraffic(idle));
        }
        self.last.clone_from(&now.counts);
        let shares = Shares::of(&candidate, &active, new);
        let pairs = new[0].min(new[1]);
        self.requests = [0, 1].map(|side| self.requests[side] + new[side]);
        self.pairs += pairs;
        self.slower += pairs * (shares.slower + shares.alike / 2.0);
        for (log, stake) in self.logs.iter_mut().zip(STAKES) {
            *log += pairs * shares.growth(stake, rule.tolerated);
        }
        (self, Added::Weighed)
    }

    fn evidence(&self) -> f64 {
        self.logs.iter().map(|log| log.exp()).sum::<f64>() / STAKES.len() as f64
    }

    fn effect(&self) -> f64 {
        if self.pairs > 0.0 { self.slower / self.pairs } else { 0.5 }
    }
}

/// What came into each bucket alone. Less than nothing came where a pod was started anew, even if others have made up for it in the buckets
/// above.
fn came(now: &[f64], last: &[f64]) -> Vec<f64> {
    let mut below = 0.0;
    let alone = |(now, last): (&f64, &f64)| {
        let up_to = now - last;
        up_to - std::mem::replace(&mut below, up_to)
    };
    now.iter().zip(last).map(alone).collect()
}

/// Of all pairs of a request of either side: the shares in which the candidate's is slower, in the same bucket, faster.
#[derive(Clone, Copy, Debug)]
struct Shares {
    slower: f64,
    alike: f64,
    faster: f64,
}

impl Shares {
    /// Of the requests in each bucket, and all of them together, which are more than none on both sides.
    fn of(candidate: &[f64], active: &[f64], all: [f64; 2]) -> Self {
        let (mut slower, mut alike, mut below) = (0.0, 0.0, 0.0);
        for (candidate, active) in candidate.iter().zip(active) {
            let (candidate, active) = (candidate / all[0], active / all[1]);
            slower += candidate * below;
            alike += candidate * active;
            below += active;
        }
        Self { slower, alike, faster: (1.0 - slower - alike).max(0.0) }
    }

    /// The logarithm of what a pair makes of 1, in the mean over all pairs, with this share of 1/a0 at stake.
    fn growth(&self, stake: f64, tolerated: f64) -> f64 {
        let made = |k: f64| (stake * (k - tolerated) / tolerated).ln_1p();
        self.slower * made(1.0) + self.alike * made(0.5) + self.faster * made(0.0)
    }
}

/// The buckets that both sides have at one moment. What lies between two of them may be counted in more buckets on one side, and is then
/// taken as one: the counts of cumulative buckets allow it.
#[derive(Clone, Debug, PartialEq)]
pub struct Histograms {
    /// The smallest first, the last infinite.
    bounds: Vec<f64>,
    /// The candidate's, the active side's: cumulative, one for each bound.
    counts: [Vec<f64>; 2],
}

impl Histograms {
    /// From the answers to two questions: the buckets of the candidate, those of the active side.
    pub fn of(answers: &[Reading]) -> Result<Self, Reading> {
        Reading::check_source(answers)?;
        match answers {
            [Reading::Buckets(candidate), Reading::Buckets(active)] => Ok(Self::common(candidate, active)),
            _ if answers.iter().any(|answer| matches!(answer, Reading::Value(_) | Reading::NotANumber)) => {
                let why = "the query returned a number, not buckets: use sum by (le) (…_bucket)";
                Err(Reading::Failed(why.to_owned()))
            }
            _ => Err(answers.iter().find(|answer| matches!(answer, Reading::Missing(_))).cloned().unwrap_or(Reading::NoData)),
        }
    }

    fn common(candidate: &Buckets, active: &Buckets) -> Self {
        let (mut bounds, mut counts) = (Vec::new(), [Vec::new(), Vec::new()]);
        for (bound, count) in candidate.pairs() {
            let Some((_, other)) = active.pairs().find(|(other, _)| *other == bound) else { continue };
            bounds.push(bound);
            counts[0].push(count);
            counts[1].push(other);
        }
        Self { bounds, counts }
    }

    /// All requests are in the one bucket that both sides have: nothing tells which of them were slower.
    fn is_one_bucket(&self) -> bool {
        self.bounds.len() < 2
    }
}

#[cfg(test)]
mod tests;
