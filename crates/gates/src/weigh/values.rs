//! A number beside its limits, and how readings add up to a verdict.

use super::expression::{Expression, Values};
use crate::{invalid::Invalid, reading::Reading, stage::Stage};
use bluegreen_api::{Duration, FactorOf, GateState, Measured, Metric};
use jiff::Timestamp;
use std::time;

/// What is still good, the limits themselves included.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub factor: Option<Factor>,
    pub good_if: Option<Expression>,
}

/// How many readings, and for how long, before they make a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// From one reading to the next.
    pub interval: time::Duration,
    /// Good readings that pass.
    pub count: i32,
    /// Bad readings in a row that fail.
    pub failure_limit: i32,
    pub inconclusive_limit: i32,
    /// How long readings must have been bad before they fail.
    pub failure_for: time::Duration,
    /// Readings in a row without data after which nobody can judge.
    pub no_data_limit: i32,
    /// Failures of the source in a row after which nobody can judge.
    pub error_limit: i32,
}

/// How many times the value of another side is good, and up to which value it doesn't matter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Factor {
    pub max: f64,
    pub from: f64,
    pub of: FactorOf,
}

pub(crate) fn parse_limits(metric: &Metric) -> Result<Limits, Invalid> {
    if metric.max.is_none() && metric.min.is_none() && metric.max_factor.is_none() && metric.good_if.is_none() {
        return Err(Invalid("a metric needs a limit: set max, min, maxFactor, goodIf, or several of them".into()));
    }
    let limit = |text: &Option<String>| text.as_deref().map(parse_limit).transpose();
    let from = limit(&metric.factor_from)?.unwrap_or(0.0);
    let of = metric.factor_of.unwrap_or(FactorOf::ActiveSide);
    let factor = limit(&metric.max_factor)?.map(|max| Factor { max, from, of });
    if factor.is_some_and(|factor| factor.max <= 0.0 || factor.from < 0.0) {
        return Err(Invalid("maxFactor must be more than 0, and factorFrom at least 0".into()));
    }
    if metric.inconclusive_limit.is_some() && of != FactorOf::BeforeSwitch {
        return Err(Invalid(
            "inconclusiveLimit is for what is worse than before the switch: set factorOf to BeforeSwitch, or leave it out".into(),
        ));
    }
    let good_if = metric.good_if.as_deref().map(Expression::of).transpose()?;
    Ok(Limits { min: limit(&metric.min)?, max: limit(&metric.max)?, factor, good_if })
}

pub(crate) fn parse_limit(text: &str) -> Result<f64, Invalid> {
    let (number, scale) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    number
        .parse::<f64>()
        .ok()
        .filter(|number| number.is_finite())
        .map(|number| number / scale)
        .ok_or_else(|| Invalid(format!("the limit {text:?} is not a number or a percentage; write \"0.01\" or 1%")))
}

pub(crate) fn shown(value: f64) -> String {
    format!("{value:.6}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// No reading to judge by.
pub(crate) enum Nothing {
    Answer(Reading),
    /// What it rests on is too little, in words.
    TooFew(String),
}

pub(crate) type Verdict = (GateState, String);

/// A verdict that decides nothing: what it would have been, where that is no pass, and what the gate becomes instead.
pub(crate) fn rehearsed(state: GateState, message: String) -> (Option<GateState>, Verdict) {
    let told = match state {
        GateState::Running | GateState::Unknown => return (None, (state, message)),
        GateState::Passed => return (None, (state, format!("{message} (dry run)"))),
        GateState::Failed => "dry run: would have failed",
        GateState::Inconclusive => "dry run: inconclusive",
    };
    (Some(state), (GateState::Passed, format!("{told}: {message}")))
}

pub(crate) fn had_data(measured: &mut Measured) {
    measured.no_data_in_row = 0;
    measured.errors_in_row = 0;
}

/// Nothing to judge: how it is shown, and what it adds up to.
pub(crate) fn without(measured: &mut Measured, patience: &Patience, state: GateState, nothing: &Nothing) -> (String, Verdict) {
    let (shown, what) = match nothing {
        Nothing::Answer(Reading::Failed(why)) => return source_failed(measured, patience, state, why),
        Nothing::Answer(Reading::Buckets(_)) => {
            return source_failed(measured, patience, state, "the query returned buckets, not a number");
        }
        Nothing::Answer(Reading::Value(_)) => ("Infinite", "the query returned an infinite value (division by 0?)"),
        Nothing::Answer(Reading::NotANumber) => ("NaN", "the query returned NaN (no traffic?)"),
        Nothing::Answer(Reading::NoData) => ("NoData", "the query returned no data"),
        Nothing::Answer(Reading::Missing(why)) => ("NoData", why.as_str()),
        Nothing::TooFew(why) => ("TooFew", why.as_str()),
    };
    (shown.into(), no_data(measured, patience, state, what))
}

/// Which says nothing of the version.
pub(crate) fn source_failed(measured: &mut Measured, patience: &Patience, state: GateState, why: &str) -> (String, Verdict) {
    measured.errors_in_row = measured.errors_in_row.saturating_add(1);
    let state = if measured.errors_in_row >= patience.error_limit { GateState::Inconclusive } else { state };
    ("Failed".into(), (state, format!("the source failed: {why}")))
}

pub(crate) fn no_data(measured: &mut Measured, patience: &Patience, state: GateState, what: &str) -> Verdict {
    measured.no_data_in_row = measured.no_data_in_row.saturating_add(1);
    measured.errors_in_row = 0;
    (if measured.no_data_in_row >= patience.no_data_limit { GateState::Inconclusive } else { state }, what.to_owned())
}

/// What a value is beside its limits.
pub(crate) struct Found {
    /// Which limit it breaks, or all those that it keeps.
    why: String,
    /// Passed where it keeps them all; else what it would be if it lasted.
    verdict: GateState,
}

impl Limits {
    /// The value, and the other side's where that was asked for.
    fn values(&self, answers: &[Reading]) -> Result<(f64, Option<f64>), Reading> {
        Reading::check_source(answers)?;
        match answers {
            [Reading::Value(value)] => Ok((*value, None)),
            [Reading::Value(value), Reading::Value(other)] if other.is_finite() => Ok((*value, Some(*other))),
            // What was is over: more readings would bring no more of it.
            [Reading::Value(value), _] if self.is_enough_without_the_past() => Ok((*value, None)),
            [Reading::Value(_), Reading::Value(_)] => Err(Reading::NotANumber),
            _ => Err(answers.iter().find(|answer| !matches!(answer, Reading::Value(_))).cloned().unwrap_or(Reading::NoData)),
        }
    }

    fn is_enough_without_the_past(&self) -> bool {
        self.factor.is_some_and(|factor| factor.of == FactorOf::BeforeSwitch)
            && (self.min.is_some() || self.max.is_some() || self.good_if.is_some())
    }

    /// Whether what is good follows from what the active side has, beside a factor of it.
    pub fn names_active(&self) -> bool {
        self.good_if.as_ref().is_some_and(Expression::names_active)
    }

    /// What the value is beside the limits; or why that can't be told. `before`: the reading before this one.
    fn look_at(&self, value: f64, other: Option<f64>, before: Option<f64>) -> Result<Found, String> {
        let found = self.broken(value, other);
        let undecided = found.as_ref().is_none_or(|found| found.verdict != GateState::Failed);
        let mut kept = self.kept(value, other);
        if let Some(good_if) = self.good_if.as_ref().filter(|_| undecided) {
            // The one before was rounded when it was recorded: what has not changed must not look as if it had.
            let value = if good_if.names_previous() { shown(value).parse().unwrap_or(value) } else { value };
            let values = Values { value, previous: before.unwrap_or(value), active: other.filter(|_| good_if.names_active()) };
            let by = good_if.shown(values, shown);
            if !good_if.holds(values).map_err(|why| format!("goodIf {why}"))? {
                return Ok(Found { why: format!("{} fails goodIf: {by}", shown(value)), verdict: GateState::Failed });
            }
            kept.push(format!("good (goodIf: {by})"));
        }
        let good = || Found { why: format!("{} is {}", shown(value), kept.join(" and ")), verdict: GateState::Passed };
        Ok(found.unwrap_or_else(good))
    }

    fn broken(&self, value: f64, other: Option<f64>) -> Option<Found> {
        let text = shown(value);
        let failed = |why: String| Some(Found { why, verdict: GateState::Failed });
        match (self.min, self.max) {
            (_, Some(max)) if value > max => return failed(format!("{text} is above the limit of {max}")),
            (Some(min), _) if value < min => return failed(format!("{text} is below the limit of {min}")),
            _ => {}
        }
        let (Factor { max, from, of }, other) = (self.factor?, other?);
        if value <= from || value <= max * other {
            return None;
        }
        let other = shown(other);
        match of {
            FactorOf::ActiveSide => failed(format!("{text} is more than {max} times the active side's {other}")),
            FactorOf::BeforeSwitch => {
                let why = format!("{text} is more than {max} times the {other} before the switch (the version may not be the cause)");
                Some(Found { why, verdict: GateState::Inconclusive })
            }
        }
    }

    /// The limits that a value keeps which breaks none, in words.
    fn kept(&self, value: f64, other: Option<f64>) -> Vec<String> {
        let factor = self.factor.zip(other).map(|(Factor { max, from, of }, other)| match of {
            _ if value <= from => format!("at most {from} (factorFrom)"),
            FactorOf::ActiveSide => format!("at most {max} times the active side's {}", shown(other)),
            FactorOf::BeforeSwitch => format!("at most {max} times the {} before the switch", shown(other)),
        });
        let (min, max) = (self.min.map(|min| format!("at least {min}")), self.max.map(|max| format!("at most {max}")));
        [min, max, factor].into_iter().flatten().collect()
    }
}

/// A value beside its limits.
pub(crate) fn judge_value(
    measured: &mut Measured,
    patience: &Patience,
    stage: Stage,
    limits: &Limits,
    answers: &[Reading],
    at: Timestamp,
) -> Result<(String, Verdict), Nothing> {
    let (value, other) = limits.values(answers).map_err(Nothing::Answer)?;
    let found = limits.look_at(value, other, before(measured)).map_err(|why| Nothing::Answer(Reading::Failed(why)))?;
    if value.is_infinite() && found.verdict == GateState::Passed {
        // As of something divided by nothing: it breaks no limit, and is no good value either.
        return Err(Nothing::Answer(Reading::Value(value)));
    }
    let previous = measured.readings.first().map_or(at, |reading| reading.at);
    let gap = at.as_millisecond() - previous.as_millisecond();
    let longest = i64::try_from(patience.interval.as_millis()).unwrap_or(i64::MAX).saturating_mul(2);
    measured.covered_millis = measured.covered_millis.saturating_add(gap.clamp(0, longest));
    had_data(measured);
    Ok((shown(value), judge(measured, patience, stage, found, at)))
}

/// The latest reading that had a value, as status shows it.
pub(crate) fn before(measured: &Measured) -> Option<f64> {
    measured.readings.iter().find_map(|reading| reading.value.parse().ok().filter(|value: &f64| value.is_finite()))
}

fn judge(measured: &mut Measured, patience: &Patience, stage: Stage, found: Found, at: Timestamp) -> Verdict {
    let Found { why, verdict } = found;
    if verdict == GateState::Passed {
        measured.good = measured.good.saturating_add(1);
        (measured.bad_in_row, measured.bad_since) = (0, None);
        (measured.doubtful_in_row, measured.doubtful_since) = (0, None);
        let passed = !stage.is_after_the_switch() && measured.good >= patience.count;
        return (if passed { GateState::Passed } else { GateState::Running }, why);
    }
    // What is only worse than before counts towards no failure.
    let (count, since, limit) = if verdict == GateState::Failed {
        measured.bad_in_row = measured.bad_in_row.saturating_add(1);
        (measured.bad_in_row, *measured.bad_since.get_or_insert(at), patience.failure_limit)
    } else {
        (measured.bad_in_row, measured.bad_since) = (0, None);
        measured.doubtful_in_row = measured.doubtful_in_row.saturating_add(1);
        (measured.doubtful_in_row, *measured.doubtful_since.get_or_insert(at), patience.inconclusive_limit)
    };
    let lasted = time::Duration::try_from(at.duration_since(since)).unwrap_or_default();
    // What is only worse than before is no failure, however long it lasts.
    let needed = if verdict == GateState::Failed { patience.failure_for } else { time::Duration::ZERO };
    let decided = count >= limit && lasted >= needed;
    let setting = if verdict == GateState::Failed { "failureLimit" } else { "inconclusiveLimit" };
    let in_row = (limit > 1).then(|| format!(", {count} of {limit} in a row ({setting})"));
    let long = (!needed.is_zero()).then(|| format!(", for {} of {} (failureFor)", Duration(lasted), Duration(needed)));
    let state = if decided { verdict } else { GateState::Running };
    (state, [Some(why), in_row, long].into_iter().flatten().collect())
}

/// What one side had waits for the other side's next scrape, and not for ever: `noDataLimit` readings.
pub(crate) const fn waited_enough(measured: &Measured, patience: &Patience) -> bool {
    measured.no_data_in_row.saturating_add(1) % patience.no_data_limit == 0
}
