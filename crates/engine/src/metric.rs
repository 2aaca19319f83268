//! Metrics: what is asked, and how readings add up to a verdict.

mod server;
mod weighed;

pub use server::Server;

use crate::{
    comparison::{self, Counters, Told},
    expression::{Expression, Values},
    gates::{Stage, bounded, turn},
    job::{self, JobPlan},
    latency::{self, Histograms},
    measure::Whose,
    observed::Reading,
    plan::Invalid,
    query,
    question::Question,
    ready,
};
use bluegreen_api::{Comparison, Credentials, Duration, FactorOf, Gate, GateState, JobCheck, Latency, Measured, Metric, PrometheusQuery};
use jiff::Timestamp;
use server::{over_time, promql};
use std::{borrow::Cow, time};
use weighed::Weighed;

/// Readings kept in status.
const READINGS: usize = 10;

/// A metric with its defaults.
#[derive(Clone, Debug)]
pub struct MetricPlan {
    pub judge: Judge,
    pub credentials: Whose<Credentials>,
    pub timeout: time::Duration,
    pub interval: time::Duration,
    pub count: i32,
    pub initial_delay: time::Duration,
    pub failure_limit: i32,
    pub inconclusive_limit: i32,
    pub failure_for: time::Duration,
    pub no_data_limit: i32,
    pub error_limit: i32,
    /// Whatever the verdict, it passes.
    pub dry_run: bool,
}

/// What is asked, and how an answer is judged. A Job becomes a question with each reading, which runs another one.
#[derive(Clone, Debug)]
pub enum Judge {
    Limits { question: Question, traffic: Option<Box<Traffic>>, limits: Limits },
    Job { job: Box<JobPlan>, limits: Limits },
    Comparison { errors: Question, requests: Question, rule: comparison::Rule },
    Latency { buckets: Question, rule: latency::Rule },
}

/// The requests that a value rests on, and how many are enough to judge by.
#[derive(Clone, Debug)]
pub struct Traffic {
    pub requests: Question,
    pub min: f64,
}

/// What is still good, the limits themselves included.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub factor: Option<Factor>,
    pub good_if: Option<Expression>,
}

/// How many times the value of another side is good, and up to which value it doesn't matter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Factor {
    pub max: f64,
    pub from: f64,
    pub of: FactorOf,
}

impl MetricPlan {
    /// `default`: the Prometheus to ask where the metric names none. `comparisons`: how many there are beside each other.
    pub fn of(stage: Stage, metric: &Metric, default: Option<&Server>, comparisons: usize) -> Result<Self, Invalid> {
        let seconds = |duration: Option<Duration>, default: u64| duration.map_or(time::Duration::from_secs(default), |duration| duration.0);
        let usual = if metric.job.is_some() { 60 } else { 10 };
        let interval = seconds(metric.interval, usual).max(time::Duration::from_secs(1));
        let kinds = (&metric.prometheus, &metric.web, &metric.job, &metric.comparison, &metric.latency);
        let (judge, credentials, timeout, range) = match kinds {
            (Some(asked), None, None, None, None) => {
                let server = Server::of(asked.address.as_ref(), asked.credentials.as_ref(), &asked.headers, default)?;
                let query = promql(asked)?;
                let over = asked.range.as_ref().map_or(time::Duration::ZERO, |range| range.window.0);
                let range = query::longest_range(&query, interval).saturating_add(over);
                let query = over_time(query, asked.range.as_ref())?;
                let traffic = Traffic::of(asked, &server)?;
                let requests = asked.requests.as_deref().map_or(time::Duration::ZERO, |query| query::longest_range(query, interval));
                let judge = Judge::Limits { question: server.question(&query)?, traffic, limits: parse_limits(metric)? };
                (judge, server.credentials, asked.timeout, range.max(requests))
            }
            (None, Some(web), None, None, None) => {
                let judge = Judge::Limits { question: Question::of_web(web)?, traffic: None, limits: parse_limits(metric)? };
                (judge, Whose::named(web.credentials.clone()), web.timeout, time::Duration::ZERO)
            }
            (None, None, Some(job), None, None) => (of_job(metric, job)?, Whose::Nobody, None, time::Duration::ZERO),
            (None, None, None, Some(asked), None) => {
                let server = Server::of(asked.address.as_ref(), asked.credentials.as_ref(), &asked.headers, default)?;
                let (errors, requests) = (server.question(&asked.errors)?, server.question(&asked.requests)?);
                let judge = Judge::Comparison { errors, requests, rule: rule_for_errors(asked, comparisons)? };
                (judge, server.credentials, asked.timeout, time::Duration::ZERO)
            }
            (None, None, None, None, Some(asked)) => {
                let server = Server::of(asked.address.as_ref(), asked.credentials.as_ref(), &asked.headers, default)?;
                let judge = Judge::Latency { buckets: server.buckets(&asked.buckets)?, rule: rule_for_latencies(asked, comparisons)? };
                (judge, server.credentials, asked.timeout, time::Duration::ZERO)
            }
            _ => return Err(Invalid("set exactly one kind of metric: prometheus, web, job, comparison or latency".into())),
        };
        judge.fits(stage)?;
        if metric.dry_run && metric.weight.is_some() {
            return Err(Invalid("a dry run passes whatever it measures, and has nothing to weigh: leave out weight or dryRun".into()));
        }
        let initial_delay = match (metric.initial_delay, stage) {
            (Some(delay), _) => delay.0,
            (None, Stage::Verification) => time::Duration::ZERO,
            (None, Stage::Monitoring) => range,
        };
        Ok(Self {
            judge,
            credentials,
            timeout: seconds(timeout, 10),
            interval,
            count: metric.count.unwrap_or(5).max(1),
            initial_delay,
            failure_limit: metric.failure_limit.unwrap_or(1).max(1),
            inconclusive_limit: metric.inconclusive_limit.or(metric.failure_limit).unwrap_or(1).max(1),
            failure_for: seconds(metric.failure_for, 0),
            no_data_limit: metric.no_data_limit.unwrap_or(5).max(1),
            error_limit: metric.error_limit.unwrap_or(5).max(1),
            dry_run: metric.dry_run,
        })
    }

    /// Without another side there is nothing to compare with. Whether anything is left to judge.
    pub fn alone(&mut self) -> bool {
        match &mut self.judge {
            Judge::Limits { limits, .. } | Judge::Job { limits, .. } => {
                limits.factor = None;
                limits.good_if.take_if(|good_if| good_if.names_active());
                limits.min.is_some() || limits.max.is_some() || limits.good_if.is_some()
            }
            Judge::Comparison { .. } | Judge::Latency { .. } => false,
        }
    }
}

impl Judge {
    /// Whether there is something to compare with at this stage.
    fn fits(&self, stage: Stage) -> Result<(), Invalid> {
        let (by_expression, of) = match self {
            Self::Limits { limits, .. } | Self::Job { limits, .. } => (limits.names_active(), limits.factor.map(|factor| factor.of)),
            Self::Comparison { .. } | Self::Latency { .. } => (false, Some(FactorOf::ActiveSide)),
        };
        if by_expression && stage == Stage::Monitoring {
            return Err(Invalid(
                "after the switch the former side has no traffic to compare with: take active out of goodIf, or set it in spec.verification".into(),
            ));
        }
        let why = match (stage, of, self) {
            (Stage::Monitoring, Some(FactorOf::ActiveSide), _) => {
                "after the switch the former side has no traffic to compare with: set max or min, factorOf: BeforeSwitch, or compare in spec.verification"
            }
            (Stage::Verification, Some(FactorOf::BeforeSwitch), _) => {
                "factorOf: BeforeSwitch asks for the time before a switch that is still to come: leave it out, or set it in spec.monitoring"
            }
            (_, Some(FactorOf::BeforeSwitch), Self::Limits { question, .. }) if !question.asks_for_a_time() => {
                "factorOf: BeforeSwitch needs a question about a time: put {{ end }} into the url or the body"
            }
            _ => return Ok(()),
        };
        Err(Invalid(why.into()))
    }
}

fn of_job(metric: &Metric, job: &JobCheck) -> Result<Judge, Invalid> {
    if metric.max_factor.is_some() {
        return Err(Invalid("a Job measures one side alone: set max or min instead of maxFactor, or let the Job compare".into()));
    }
    let limits = parse_limits(metric)?;
    if limits.names_active() {
        return Err(Invalid("a Job measures one side alone: take active out of goodIf, or let the Job compare".into()));
    }
    Ok(Judge::Job { job: Box::new(JobPlan::of(job, job::STAYS_AFTER_READING)?), limits })
}

impl Traffic {
    fn of(asked: &PrometheusQuery, server: &Server) -> Result<Option<Box<Self>>, Invalid> {
        let requests = match (&asked.requests, asked.min_requests, &asked.ready) {
            (None, None, _) => return Ok(None),
            (Some(_), None, _) => return Err(Invalid("requests counts what minRequests asks for: set both, or neither".into())),
            (Some(requests), Some(_), _) => Cow::Borrowed(requests.as_str()),
            (None, Some(_), ready) => Cow::Owned(ready.as_ref().and_then(ready::requests).ok_or_else(|| {
                Invalid("minRequests needs to know how requests are counted: set requests, a query that yields their number".into())
            })?),
        };
        Ok(Some(Box::new(Self { requests: server.question(&requests)?, min: min_requests(asked.min_requests) })))
    }

    /// Why there are too few of them, if there are. A counter that isn't there yet has counted none.
    fn too_few(&self, answer: &Reading) -> Option<Nothing> {
        let requests = match answer {
            Reading::Value(requests) => *requests,
            Reading::NoData => 0.0,
            other => return Some(Nothing::Answer(other.clone())),
        };
        (requests < self.min).then(|| {
            let requests = shown(requests.max(0.0));
            Nothing::TooFew(format!("{requests} requests are too few to judge by, at least {} are needed", self.min))
        })
    }
}

fn parse_limits(metric: &Metric) -> Result<Limits, Invalid> {
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

/// Whether it sets one side beside the other by a test that has false alarms: all such tests of a stage share them.
pub(crate) fn is_comparison(metric: &Metric) -> bool {
    metric.comparison.is_some() || metric.latency.is_some()
}

fn rule_for_errors(comparison: &Comparison, comparisons: usize) -> Result<comparison::Rule, Invalid> {
    let tolerated = number(comparison.tolerated.as_deref(), 1.0)?;
    if !(1.0..=1_000.0).contains(&tolerated) {
        return Err(Invalid(format!(
            "tolerated is {tolerated}: write how many times the active side's rate of errors is tolerated, from 1 to 1000"
        )));
    }
    let false_alarms = false_alarms(comparison.false_alarms.as_deref(), comparisons)?;
    Ok(comparison::Rule { tolerated, false_alarms, min_requests: min_requests(comparison.min_requests) })
}

fn rule_for_latencies(latency: &Latency, comparisons: usize) -> Result<latency::Rule, Invalid> {
    let tolerated = number(latency.tolerated.as_deref(), 0.56)?;
    if !(0.5..1.0).contains(&tolerated) {
        return Err(Invalid(format!(
            "tolerated is {tolerated}: write up to which probability a request of the candidate may be slower than one of the active side, \
             from 0.5, which says that they are alike, to less than 1"
        )));
    }
    let false_alarms = false_alarms(latency.false_alarms.as_deref(), comparisons)?;
    Ok(latency::Rule { tolerated, false_alarms, min_requests: min_requests(latency.min_requests) })
}

/// The share of one of so many comparisons.
#[expect(clippy::cast_precision_loss, reason = "at most sixty-four metrics")]
fn false_alarms(text: Option<&str>, comparisons: usize) -> Result<f64, Invalid> {
    let all = number(text, 0.05)?;
    if !(all > 0.0 && all <= 0.2) {
        return Err(Invalid(format!("falseAlarms is {all}: write a probability of more than 0 and at most 20%")));
    }
    Ok(all / comparisons.max(1) as f64)
}

#[expect(clippy::cast_precision_loss, reason = "at most a thousand million requests")]
fn min_requests(given: Option<i64>) -> f64 {
    given.unwrap_or(100).max(1) as f64
}

fn number(text: Option<&str>, default: f64) -> Result<f64, Invalid> {
    text.map_or(Ok(default), parse_limit)
}

fn parse_limit(text: &str) -> Result<f64, Invalid> {
    let (number, scale) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    number
        .parse::<f64>()
        .ok()
        .filter(|number| number.is_finite())
        .map(|number| number / scale)
        .ok_or_else(|| Invalid(format!("the limit {text:?} is not a number or a percentage; write \"0.01\" or 1%")))
}

/// Adds the answers to the queries of one measurement.
pub fn add(gate: &mut Gate, plan: &MetricPlan, stage: Stage, answers: &[Reading], at: Timestamp) {
    let mut measured = gate.measured.take().unwrap_or_default();
    let previous = measured.readings.first().map(|reading| reading.at);
    if previous.is_some_and(|previous| at <= previous) {
        gate.measured = Some(measured);
        return;
    }
    let judged = match &plan.judge {
        Judge::Limits { limits, traffic, .. } => {
            let (few, answers) = match (traffic, answers) {
                (Some(traffic), [answers @ .., requests]) => (traffic.too_few(requests), answers),
                _ => (None, answers),
            };
            few.map_or_else(|| judge_value(&mut measured, plan, stage, limits, answers, at), Err)
        }
        Judge::Job { limits, .. } => judge_value(&mut measured, plan, stage, limits, answers, at),
        Judge::Comparison { rule, .. } => Counters::of(answers).map_err(Nothing::Answer).map(|now| {
            let told = comparison::add(&mut measured.compared, &now, rule);
            if told == Told::NoTraffic && waited_enough(&measured, plan) {
                comparison::read_from(&mut measured.compared, &now);
            }
            let weighed = Weighed::errors(&measured.compared.clone().unwrap_or_default(), rule);
            weighed.verdict(&mut measured, plan, told, gate.state)
        }),
        Judge::Latency { rule, .. } => Histograms::of(answers).map_err(Nothing::Answer).map(|now| {
            let told = latency::add(&mut measured.distributions, &now, rule);
            if told == Told::NoTraffic && waited_enough(&measured, plan) {
                latency::read_from(&mut measured.distributions, &now);
            }
            let weighed = Weighed::latencies(&measured.distributions.clone().unwrap_or_default(), rule);
            weighed.verdict(&mut measured, plan, told, gate.state)
        }),
    };
    let (value, (state, message)) = judged.unwrap_or_else(|trouble| without(&mut measured, plan, gate.state, &trouble));
    measured.readings.insert(0, bluegreen_api::Reading { at, value });
    measured.readings.truncate(READINGS);
    gate.measured = Some(measured);
    let (state, message) = if plan.dry_run { rehearsed(state, message) } else { (state, message) };
    turn(gate, state, bounded(&message), at);
}

/// No reading to judge by.
enum Nothing {
    Answer(Reading),
    /// What it rests on is too little, in words.
    TooFew(String),
}

/// A value beside its limits.
fn judge_value(
    measured: &mut Measured,
    plan: &MetricPlan,
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
    let longest = i64::try_from(plan.interval.as_millis()).unwrap_or(i64::MAX).saturating_mul(2);
    measured.covered_millis = measured.covered_millis.saturating_add(gap.clamp(0, longest));
    had_data(measured);
    Ok((shown(value), judge(measured, plan, stage, found, at)))
}

/// The latest reading that had a value, as status shows it.
fn before(measured: &Measured) -> Option<f64> {
    measured.readings.iter().find_map(|reading| reading.value.parse().ok().filter(|value: &f64| value.is_finite()))
}

/// What one side had waits for the other side's next scrape, and not for ever: `noDataLimit` readings.
const fn waited_enough(measured: &Measured, plan: &MetricPlan) -> bool {
    measured.no_data_in_row.saturating_add(1) % plan.no_data_limit == 0
}

type Verdict = (GateState, String);

/// How the verdict of a dry run begins that is not a pass.
pub const REHEARSED: &str = "dry run, it ";

/// A verdict that decides nothing.
fn rehearsed(state: GateState, message: String) -> Verdict {
    match state {
        GateState::Running => (state, message),
        GateState::Passed => (state, format!("{message} (dry run)")),
        GateState::Failed => (GateState::Passed, format!("{REHEARSED}would have failed: {message}")),
        GateState::Inconclusive => (GateState::Passed, format!("{REHEARSED}could not have been judged: {message}")),
    }
}

fn had_data(measured: &mut Measured) {
    measured.no_data_in_row = 0;
    measured.errors_in_row = 0;
}

/// Nothing to judge: how it is shown, and what it adds up to.
fn without(measured: &mut Measured, plan: &MetricPlan, state: GateState, nothing: &Nothing) -> (String, Verdict) {
    let (shown, what) = match nothing {
        Nothing::Answer(Reading::Failed(why)) => return source_failed(measured, plan, state, why),
        Nothing::Answer(Reading::Buckets(_)) => {
            return source_failed(measured, plan, state, "it answered with buckets where a number was asked for: ask for one number");
        }
        Nothing::Answer(Reading::Value(_)) => ("Infinite", "the query returned an infinite value (divided by nothing?)"),
        Nothing::Answer(Reading::NotANumber) => ("NaN", "the query returned NaN (no traffic?)"),
        Nothing::Answer(Reading::NoData) => ("NoData", "the query returned no data"),
        Nothing::TooFew(why) => ("TooFew", why.as_str()),
    };
    (shown.into(), no_data(measured, plan, state, what))
}

/// Which says nothing of the version.
fn source_failed(measured: &mut Measured, plan: &MetricPlan, state: GateState, why: &str) -> (String, Verdict) {
    measured.errors_in_row = measured.errors_in_row.saturating_add(1);
    let state = if measured.errors_in_row >= plan.error_limit { GateState::Inconclusive } else { state };
    ("Failed".into(), (state, format!("the source failed: {why}")))
}

fn no_data(measured: &mut Measured, plan: &MetricPlan, state: GateState, what: &str) -> Verdict {
    measured.no_data_in_row = measured.no_data_in_row.saturating_add(1);
    measured.errors_in_row = 0;
    (if measured.no_data_in_row >= plan.no_data_limit { GateState::Inconclusive } else { state }, what.to_owned())
}

/// What a value is beside its limits.
struct Found {
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
                return Ok(Found { why: format!("{} is not good by {by}", shown(value)), verdict: GateState::Failed });
            }
            kept.push(format!("good by {by}"));
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
                let why =
                    format!("{text} is more than {max} times the {other} before the switch, which may have other causes than the version");
                Some(Found { why, verdict: GateState::Inconclusive })
            }
        }
    }

    /// The limits that a value keeps which breaks none, in words.
    fn kept(&self, value: f64, other: Option<f64>) -> Vec<String> {
        let factor = self.factor.zip(other).map(|(Factor { max, from, of }, other)| match of {
            _ if value <= from => format!("at most the {from} up to which maxFactor doesn't matter"),
            FactorOf::ActiveSide => format!("at most {max} times the active side's {}", shown(other)),
            FactorOf::BeforeSwitch => format!("at most {max} times the {} before the switch", shown(other)),
        });
        let (min, max) = (self.min.map(|min| format!("at least {min}")), self.max.map(|max| format!("at most {max}")));
        [min, max, factor].into_iter().flatten().collect()
    }
}

fn judge(measured: &mut Measured, plan: &MetricPlan, stage: Stage, found: Found, at: Timestamp) -> Verdict {
    let Found { why, verdict } = found;
    if verdict == GateState::Passed {
        measured.good = measured.good.saturating_add(1);
        (measured.bad_in_row, measured.bad_since) = (0, None);
        (measured.doubtful_in_row, measured.doubtful_since) = (0, None);
        let passed = stage == Stage::Verification && measured.good >= plan.count;
        return (if passed { GateState::Passed } else { GateState::Running }, why);
    }
    // What is only worse than before counts towards no failure.
    let (count, since, limit) = if verdict == GateState::Failed {
        measured.bad_in_row = measured.bad_in_row.saturating_add(1);
        (measured.bad_in_row, *measured.bad_since.get_or_insert(at), plan.failure_limit)
    } else {
        (measured.bad_in_row, measured.bad_since) = (0, None);
        measured.doubtful_in_row = measured.doubtful_in_row.saturating_add(1);
        (measured.doubtful_in_row, *measured.doubtful_since.get_or_insert(at), plan.inconclusive_limit)
    };
    let lasted = time::Duration::try_from(at.duration_since(since)).unwrap_or_default();
    // What is only worse than before is no failure, however long it lasts.
    let needed = if verdict == GateState::Failed { plan.failure_for } else { time::Duration::ZERO };
    let decided = count >= limit && lasted >= needed;
    let in_row = (limit > 1).then(|| format!(", {} in a row", times(count)));
    let long = (!needed.is_zero()).then(|| format!(", for {} of {}", Duration(lasted), Duration(needed)));
    let state = if decided { verdict } else { GateState::Running };
    (state, [Some(why), in_row, long].into_iter().flatten().collect())
}

fn shown(value: f64) -> String {
    format!("{value:.6}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn times(count: i32) -> String {
    if count == 1 { "once".into() } else { format!("{count} times") }
}

#[cfg(test)]
pub(crate) mod tests;
