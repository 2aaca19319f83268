//! The verdict of a comparison: condemned as soon as the evidence is there, passed when enough was seen without it.

use super::{
    errors,
    evidence::Added,
    latencies,
    values::{Patience, Verdict, had_data, no_data},
};
use bluegreen_api::{Compared, Distributions, GateState, Measured};

/// What a comparison has added up to.
pub(crate) struct Weighed {
    evidence: f64,
    /// The evidence that condemns.
    needed: f64,
    /// Both sides have had as many requests as asked for.
    enough: bool,
    /// What was seen, in words.
    seen: String,
    /// What they are told against when they condemn.
    against: String,
    /// What stands beside the evidence.
    beside: String,
}

impl Weighed {
    pub(crate) fn errors(compared: &Compared, rule: &errors::Rule) -> Self {
        Self {
            evidence: errors::evidence(compared),
            needed: 1.0 / rule.false_alarms,
            enough: errors::enough(compared, rule),
            seen: errors::words(compared),
            against: format!(" (tolerated: {} times the active rate)", rule.tolerated),
            beside: String::new(),
        }
    }

    pub(crate) fn latencies(distributions: &Distributions, rule: &latencies::Rule) -> Self {
        let [candidate, active] = latencies::requests(distributions);
        Self {
            evidence: latencies::evidence(distributions),
            needed: 1.0 / rule.false_alarms,
            enough: latencies::enough(distributions, rule),
            seen: format!("candidate slower in {} of request pairs", percent(latencies::effect(distributions))),
            against: format!(" (limit {})", percent(rule.tolerated)),
            beside: format!("{candidate:.0} requests on the candidate, {active:.0} on the active side; "),
        }
    }

    /// After another reading: how it is shown, and what it adds up to.
    pub(crate) fn verdict(&self, measured: &mut Measured, patience: &Patience, told: Added, state: GateState) -> (String, Verdict) {
        let Self { evidence, needed, enough, seen, against, beside } = self;
        let verdict = match told {
            Added::NoTraffic(idle) => {
                let what = format!("{} since the last comparison; a comparison needs the same traffic on both sides", idle.in_words());
                return ("NoData".into(), no_data(measured, patience, state, &what));
            }
            Added::OneBucket => {
                let what = "the two sides share no bucket but +Inf, so durations can't be compared: use the same buckets on both sides";
                return ("NoData".into(), no_data(measured, patience, state, what));
            }
            Added::Begun => (GateState::Running, "first reading of the counters; comparison starts with the next".to_owned()),
            Added::Reset => (GateState::Running, "a counter was reset; comparison starts again with the next reading".to_owned()),
            Added::Weighed => {
                let odds = format!("{beside}evidence {}, fails at {}", odds(*evidence), odds(*needed));
                if evidence >= needed {
                    (GateState::Failed, format!("{seen}{against}; {odds}"))
                } else {
                    measured.good = measured.good.saturating_add(1);
                    let passed = measured.good >= patience.count && *enough;
                    (if passed { GateState::Passed } else { GateState::Running }, format!("{seen}; {odds}"))
                }
            }
        };
        had_data(measured);
        (odds(*evidence), verdict)
    }
}

/// As a bookmaker writes it: 20:1.
fn odds(ratio: f64) -> String {
    match ratio {
        ratio if ratio >= 1e6 => "over 1000000:1".to_owned(),
        ratio if ratio >= 10.0 => format!("{ratio:.0}:1"),
        ratio => format!("{ratio:.2}:1"),
    }
}

fn percent(share: f64) -> String {
    let text = format!("{:.1}", share * 100.0);
    format!("{} %", text.strip_suffix(".0").unwrap_or(&text))
}
