//! The score of a stage: metrics with a weight decide together. It follows from their gates alone, and measures nothing itself.

use bluegreen_api::{GateState, Score};

/// Which share of the weights must be good, in whole numbers: 80 % are 80 of 100, and nothing is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScorePlan {
    part: u128,
    of: u128,
}

/// The longest share that is read, in characters: what is worked out with it stays far below the largest number there is.
pub const LONGEST: usize = 32;

impl ScorePlan {
    pub fn of(score: &Score) -> Option<Self> {
        let text = Some(score.min.as_str()).filter(|text| text.len() <= LONGEST)?;
        let (number, scale) = text.strip_suffix('%').map_or((text, 1), |number| (number, 100));
        let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
        let digits = Some(format!("{whole}{decimals}")).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))?;
        let (part, of) = (digits.parse::<u128>().ok()?, decimals.bytes().fold(scale, |of: u128, _| of * 10));
        (1..=of).contains(&part).then_some(Self { part, of })
    }

    /// What is certain is told at once: that what is left can't be enough any more, or that what is good is enough whatever becomes of the rest.
    pub fn verdict(self, votes: &[Vote<'_>]) -> (GateState, String) {
        let sum = |state: GateState| votes.iter().filter(|vote| vote.state == state).map(|vote| vote.weight).sum::<u128>();
        let all = votes.iter().map(|vote| vote.weight).sum::<u128>();
        let (good, at_most) = (sum(GateState::Passed), all - sum(GateState::Failed));
        let enough = |weight: u128| weight * self.of >= self.part * all;
        let (share, needed) = (|weight: u128| percent(weight, all), percent(self.part, self.of));
        let (state, told) = if !enough(at_most) {
            (GateState::Failed, format!("at most {} can still pass, {needed} required", share(at_most)))
        } else if enough(good) {
            (GateState::Passed, format!("{} of the weights passed, {needed} required", share(good)))
        } else if !enough(good + sum(GateState::Running)) && enough(at_most - sum(GateState::Running)) {
            // Whatever becomes of those that run, those decide that nobody can judge.
            (GateState::Inconclusive, format!("{} of the weights passed, {needed} required", share(good)))
        } else if good == 0 {
            (GateState::Running, format!("no metric has passed yet, {needed} of the weights required"))
        } else {
            (GateState::Running, format!("{} of the weights passed so far, {needed} required", share(good)))
        };
        let [failed, unjudged] = [("failed", GateState::Failed), ("not judged", GateState::Inconclusive)].map(|(what, state)| {
            let names: Vec<_> = votes.iter().filter(|vote| vote.state == state).map(|it| format!("{} ({})", it.name, it.weight)).collect();
            if names.is_empty() { String::new() } else { format!("; {what}: {}", names.join(", ")) }
        });
        (state, format!("{told}{failed}{unjudged}"))
    }
}

/// A share in words, never more than it is: two thirds are 66.66 %.
fn percent(part: u128, of: u128) -> String {
    let hundredths = part * 10_000 / of.max(1);
    let text = format!("{}.{:02}", hundredths / 100, hundredths % 100);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// What a gate with a weight says.
pub struct Vote<'a> {
    /// Without its stage.
    pub name: &'a str,
    pub weight: u128,
    pub state: GateState,
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_certain_score_is_shown_at_once_and_others_inconclusive() {
        use GateState::{Failed, Inconclusive, Passed, Running};
        let cases = [
            ("80%", "errors=6. latency=4.", Running, "no metric has passed yet, 80 % of the weights required"),
            ("80%", "errors=6+ latency=4.", Running, "60 % of the weights passed so far, 80 % required"),
            ("80%", "errors=8+ latency=2.", Passed, "80 % of the weights passed, 80 % required"),
            ("80%", "errors=85+ latency=15-", Passed, "85 % of the weights passed, 80 % required; failed: latency (15)"),
            ("80%", "errors=8. latency=2-", Running, "no metric has passed yet, 80 % of the weights required; failed: latency (2)"),
            (
                "80%",
                "errors=3- latency=2- slo/memory=6.",
                Failed,
                "at most 54.54 % can still pass, 80 % required; failed: errors (3), latency (2)",
            ),
            ("80%", "errors=6+ latency=4?", Inconclusive, "60 % of the weights passed, 80 % required; not judged: latency (4)"),
            ("80%", "errors=6+ latency=2? queue=2.", Running, "60 % of the weights passed so far, 80 % required; not judged: latency (2)"),
            (
                "80%",
                "errors=8? latency=2-",
                Inconclusive,
                "0 % of the weights passed, 80 % required; failed: latency (2); not judged: errors (8)",
            ),
            ("80%", "errors=8+ latency=2?", Passed, "80 % of the weights passed, 80 % required; not judged: latency (2)"),
            ("60%", "errors=6? latency=4.", Inconclusive, "0 % of the weights passed, 60 % required; not judged: errors (6)"),
            ("60%", "errors=5? latency=5.", Running, "no metric has passed yet, 60 % of the weights required; not judged: errors (5)"),
            ("100%", "errors=1+ latency=1-", Failed, "at most 50 % can still pass, 100 % required; failed: latency (1)"),
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
}
