//! The errors of one side against those of the other, by a test that may be looked at as often as one likes.
//!
//! Where the candidate fails δ times as often as the active side, an error is the candidate's with the probability
//! θ_δ = δ·n_p / (δ·n_p + n_a), n_p and n_a being the requests that came to the candidate and to the active side. Against the largest ratio
//! that is tolerated, δ0, the likelihood ratio of what was counted is a martingale that begins at 1, and so is the mean of several (one for
//! each ratio that is looked for). While the candidate fails no more often than tolerated, it ever reaches 1/α with a probability of at most α:
//! Ville's inequality (J. Ville, Étude critique de la notion de collectif, 1939); the ratio is Wald's (Sequential Tests of Statistical
//! Hypotheses, 1945), the mixture Robbins' (1970). An incident that hits both sides alike adds errors to both, and tells nothing.
//!
//! Assumed: each side's errors come independently of each other. Errors that come in bursts (one client that retries) tell less than counted.

use super::evidence::{Added, Idle, number};
use crate::reading::Reading;
use bluegreen_api::{Compared, Counted};

/// The ratios that are looked for, in multiples of the one that is tolerated.
const SOUGHT: [f64; 6] = [1.25, 1.5, 2.0, 3.0, 5.0, 10.0];

/// How a comparison is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// How many times the active side's rate of errors is tolerated.
    pub tolerated: f64,
    /// The probability of condemning a candidate that keeps to that.
    pub false_alarms: f64,
    /// Requests that each side must have had before the comparison can pass.
    pub min_requests: f64,
}

/// The counters of both sides at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counters {
    pub candidate: Counts,
    pub active: Counts,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    pub errors: f64,
    pub requests: f64,
}

impl Counters {
    /// From the answers to four questions: errors and requests of the candidate, errors and requests of the active side.
    /// No series of errors is no word on errors: a query of another label finds none either.
    pub fn of(answers: &[Reading]) -> Result<Self, Reading> {
        Reading::check_source(answers)?;
        let side = |whose: &str, errors: &Reading, requests: &Reading| {
            let requests = finite(requests)?;
            if *errors == Reading::NoData {
                return Err(Reading::Missing(format!(
                    "no series of errors was found {whose}, where there are requests: if it appears with the first error, add                      `or 0 * sum(…)` of all requests that have its label"
                )));
            }
            Ok(Counts { errors: finite(errors)?, requests })
        };
        match answers {
            [errors, requests, active_errors, active_requests] => {
                let candidate = side("of the candidate", errors, requests)?;
                Ok(Self { candidate, active: side("of the active side", active_errors, active_requests)? })
            }
            _ => Err(Reading::NoData),
        }
    }
}

fn finite(reading: &Reading) -> Result<f64, Reading> {
    match reading {
        Reading::Value(value) if value.is_finite() => Ok(*value),
        Reading::Value(_) => Err(Reading::NotANumber),
        other => Err(other.clone()),
    }
}

/// Adds what came since the last reading.
pub fn add(compared: &mut Option<Compared>, now: &Counters, rule: &Rule) -> Added {
    let Some(state) = compared.as_ref().and_then(State::parsed) else {
        *compared = Some(State::at(now).written());
        return Added::Begun;
    };
    let (state, told) = state.after(now, rule);
    *compared = Some(state.written());
    told
}

/// The counters are read from here: what one side had alone for long, perhaps in an incident, is held against nobody.
pub fn read_from(compared: &mut Option<Compared>, now: &Counters) {
    if let Some(mut state) = compared.as_ref().and_then(State::parsed) {
        state.last = [now.candidate, now.active];
        *compared = Some(state.written());
    }
}

/// How many times likelier what was counted is made by a candidate that fails too often than by one that just keeps to the rule.
pub fn evidence(compared: &Compared) -> f64 {
    State::parsed(compared).map_or(1.0, |state| state.evidence())
}

/// The counts so far, in words.
pub fn words(compared: &Compared) -> String {
    let of = |counted: &Counted| format!("{} of {}", rounded(&counted.errors), rounded(&counted.requests));
    format!("{} requests failed, {} on the active side", of(&compared.candidate), of(&compared.active))
}

/// Whether both sides have had as many requests as asked for.
pub fn enough(compared: &Compared, rule: &Rule) -> bool {
    [&compared.candidate, &compared.active].iter().all(|side| number(&side.requests).is_some_and(|requests| requests >= rule.min_requests))
}

fn rounded(text: &str) -> String {
    number(text).map_or_else(|| text.to_owned(), |number| format!("{number:.0}"))
}

#[derive(Clone, Debug)]
struct State {
    /// The candidate's, the active side's.
    total: [Counts; 2],
    last: [Counts; 2],
    logs: [f64; SOUGHT.len()],
}

impl State {
    fn at(now: &Counters) -> Self {
        Self { total: [Counts::default(); 2], last: [now.candidate, now.active], logs: [0.0; SOUGHT.len()] }
    }

    /// Nothing, if somebody has edited it: the comparison begins anew.
    fn parsed(compared: &Compared) -> Option<Self> {
        let side = |counted: &Counted| {
            let total = Counts { errors: number(&counted.errors)?, requests: number(&counted.requests)? };
            let last = Counts { errors: number(&counted.errors_at)?, requests: number(&counted.requests_at)? };
            Some((total, last))
        };
        let ((candidate, candidate_at), (active, active_at)) = (side(&compared.candidate)?, side(&compared.active)?);
        let logs: Vec<f64> = compared.evidence.iter().filter_map(|text| number(text)).collect();
        Some(Self { total: [candidate, active], last: [candidate_at, active_at], logs: logs.try_into().ok()? })
    }

    fn written(&self) -> Compared {
        let side = |side: usize| Counted {
            errors: self.total[side].errors.to_string(),
            requests: self.total[side].requests.to_string(),
            errors_at: self.last[side].errors.to_string(),
            requests_at: self.last[side].requests.to_string(),
        };
        Compared { candidate: side(0), active: side(1), evidence: self.logs.iter().map(|log| format!("{log:.6}")).collect() }
    }

    fn after(mut self, now: &Counters, rule: &Rule) -> (Self, Added) {
        let now = [now.candidate, now.active];
        let new = [0, 1].map(|side| now[side].since(&self.last[side]));
        if new.iter().any(|new| new.errors < 0.0 || new.requests < 0.0) {
            self.last = now;
            return (self, Added::Reset);
        }
        if let Some(idle) = Idle::of(new.map(|new| new.requests)) {
            return (self, Added::NoTraffic(idle));
        }
        for (total, new) in self.total.iter_mut().zip(&new) {
            *total = Counts { errors: total.errors + new.errors, requests: total.requests + new.requests };
        }
        let [candidate, active] = new;
        let share = |ratio: f64| ratio * candidate.requests / (ratio * candidate.requests + active.requests);
        let tolerated = share(rule.tolerated);
        for (log, sought) in self.logs.iter_mut().zip(SOUGHT) {
            let sought = share(sought * rule.tolerated);
            *log += candidate.errors * (sought / tolerated).ln() + active.errors * ((1.0 - sought) / (1.0 - tolerated)).ln();
        }
        self.last = now;
        (self, Added::Weighed)
    }

    fn evidence(&self) -> f64 {
        self.logs.iter().map(|log| log.exp()).sum::<f64>() / SOUGHT.len() as f64
    }
}

impl Counts {
    fn since(&self, last: &Self) -> Self {
        Self { errors: self.errors - last.errors, requests: self.requests - last.requests }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule { tolerated: 1.0, false_alarms: 0.05, min_requests: 100.0 };

    fn counters(candidate: (f64, f64), active: (f64, f64)) -> Counters {
        let counts = |(errors, requests)| Counts { errors, requests };
        Counters { candidate: counts(candidate), active: counts(active) }
    }

    fn after(readings: &[Counters]) -> (Compared, Vec<Added>) {
        let mut compared = None;
        let told = readings.iter().map(|reading| add(&mut compared, reading, &RULE)).collect();
        (compared.unwrap(), told)
    }

    /// Of 10 errors 9 are the candidate's, at equal traffic. Binomial probabilities at p = 5/6 and p = 1/2, as
    /// `scipy.stats.binom.pmf(9, 10, p)` gives them: 0.3230111657796916 and 0.009765625.
    #[test]
    fn the_evidence_is_the_ratio_of_binomial_probabilities() {
        let (compared, told) = after(&[counters((3.0, 50.0), (2.0, 60.0)), counters((12.0, 250.0), (3.0, 260.0))]);
        assert_eq!(told, [Added::Begun, Added::Weighed]);
        let five_times: f64 = compared.evidence[4].parse().unwrap();
        assert!((five_times.exp() - 0.323_011_165_779_691_6 / 0.009_765_625).abs() < 1e-3, "{five_times}");
    }

    #[test]
    fn requests_of_both_sides_weigh_what_an_error_tells() {
        // As many errors with four times the traffic are no worse than tolerated.
        let (compared, _) = after(&[counters((0.0, 0.0), (0.0, 0.0)), counters((40.0, 4000.0), (10.0, 1000.0))]);
        assert!(evidence(&compared) < 1.0, "{}", evidence(&compared));
        let (compared, _) = after(&[counters((0.0, 0.0), (0.0, 0.0)), counters((40.0, 1000.0), (10.0, 1000.0))]);
        assert!(evidence(&compared) > 1000.0, "{}", evidence(&compared));
        assert_eq!(words(&compared), "40 of 1000 requests failed, 10 of 1000 on the active side");
    }

    #[test]
    fn a_counter_that_goes_back_keeps_the_weighed_evidence() {
        let begun = [counters((0.0, 0.0), (0.0, 0.0)), counters((9.0, 1000.0), (1.0, 1000.0))];
        let (before, _) = after(&begun);
        let back = [counters((2.0, 400.0), (1.0, 1500.0)), counters((2.0, 500.0), (1.0, 1600.0))];
        let (compared, told) = after(&[begun[0], begun[1], back[0], back[1]]);
        assert_eq!(told[2..], [Added::Reset, Added::Weighed]);
        assert_eq!((&compared.candidate.errors, &compared.candidate.requests), (&"9".to_owned(), &"1100".to_owned()));
        assert_eq!(compared.evidence, before.evidence, "no error came since");
    }

    #[test]
    fn requests_of_one_side_wait_to_be_weighed_for_some_time() {
        let nothing = counters((0.0, 0.0), (0.0, 0.0));
        let of_one = [(counters((50.0, 100.0), (0.0, 0.0)), Idle::Active), (counters((0.0, 0.0), (50.0, 100.0)), Idle::Candidate)];
        for (alone, idle) in of_one {
            let both = counters(
                (alone.candidate.errors + 2.0, alone.candidate.requests + 100.0),
                (alone.active.errors + 1.0, alone.active.requests + 100.0),
            );
            let (compared, told) = after(&[nothing, alone, both]);
            assert_eq!(told, [Added::Begun, Added::NoTraffic(idle), Added::Weighed]);
            let Counters { candidate, active } = both;
            let of = |counts: Counts| format!("{} of {}", counts.errors, counts.requests);
            assert_eq!(words(&compared), format!("{} requests failed, {} on the active side", of(candidate), of(active)));
            let mut given_up = Some(after(&[nothing, alone]).0);
            read_from(&mut given_up, &alone);
            assert_eq!(add(&mut given_up, &both, &RULE), Added::Weighed);
            assert_eq!(words(&given_up.unwrap()), "2 of 100 requests failed, 1 of 100 on the active side");
        }
    }

    #[test]
    fn enough_is_as_many_requests_as_asked_for_on_each_side() {
        let compared = |candidate, active| after(&[counters((0.0, 0.0), (0.0, 0.0)), counters((0.0, candidate), (0.0, active))]).0;
        for (candidate, active, is) in [(100.0, 100.0, true), (99.0, 100.0, false), (100.0, 99.0, false)] {
            assert_eq!(enough(&compared(candidate, active), &RULE), is, "{candidate} and {active}");
        }
    }

    #[test]
    fn a_state_that_somebody_has_edited_begins_anew() {
        let (mut compared, _) = after(&[counters((0.0, 0.0), (0.0, 0.0)), counters((40.0, 1000.0), (10.0, 1000.0))]);
        compared.evidence.pop();
        let mut edited = Some(compared);
        assert_eq!(add(&mut edited, &counters((41.0, 1001.0), (10.0, 1001.0)), &RULE), Added::Begun);
        assert_eq!(evidence(&edited.unwrap()), 1.0);
    }

    #[test]
    fn four_answers_make_one_reading() {
        let failed = || Reading::Failed("refused".into());
        let value = Reading::Value;
        for (answers, expected) in [
            ([value(1.0), value(100.0), value(2.0), value(200.0)], Ok(counters((1.0, 100.0), (2.0, 200.0)))),
            ([Reading::NoData, Reading::NoData, value(1.0), value(100.0)], Err(Reading::NoData)),
            ([value(1.0), Reading::NoData, value(1.0), value(100.0)], Err(Reading::NoData)),
            ([value(1.0), Reading::NoData, failed(), value(1.0)], Err(failed())),
            ([value(1.0), value(100.0), value(1.0), value(f64::INFINITY)], Err(Reading::NotANumber)),
            ([Reading::NotANumber, value(1.0), value(1.0), value(1.0)], Err(Reading::NotANumber)),
        ] {
            assert_eq!(Counters::of(&answers), expected, "{answers:?}");
        }
    }

    /// A query with a typo finds none.
    #[test]
    fn no_series_of_errors_is_no_zero() {
        let value = Reading::Value;
        for (answers, whose) in [
            ([Reading::NoData, value(5.0), value(1.0), value(100.0)], "of the candidate"),
            ([value(1.0), value(5.0), Reading::NoData, value(100.0)], "of the active side"),
        ] {
            let Err(Reading::Missing(why)) = Counters::of(&answers) else { panic!("{answers:?}") };
            assert!(why.starts_with(&format!("no series of errors was found {whose}, where there are requests: ")), "{why}");
        }
    }
}
