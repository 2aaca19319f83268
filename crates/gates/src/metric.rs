//! Metrics: what is asked, and how readings add up to a verdict.

use crate::{
    ask::{
        FLOOR, LONGEST_ANSWER,
        job::{self, JobPlan},
        prometheus::{Server, over_time, promql},
        question::{Question, Whose},
        ready, variables,
    },
    gate::turn,
    invalid::Invalid,
    reading::Reading,
    stage::Stage,
    text::bounded,
    weigh::{
        errors::{self, Counters},
        evidence::Added,
        latencies::{self, Histograms},
        values::{Limits, Nothing, Patience, judge_value, parse_limit, parse_limits, rehearsed, shown, waited_enough, without},
        weighed::Weighed,
    },
};
use bluegreen_api::{Comparison, Credentials, Duration, FactorOf, Gate, JobCheck, Latency, Metric, PrometheusQuery};
use jiff::Timestamp;
use std::{borrow::Cow, time};

/// Readings kept in status.
const READINGS: usize = 10;

/// A metric with its defaults.
#[derive(Clone, Debug)]
pub struct MetricPlan {
    pub judge: Judge,
    pub credentials: Whose<Credentials>,
    pub timeout: time::Duration,
    pub initial_delay: time::Duration,
    pub patience: Patience,
    /// Whatever the verdict, it passes.
    pub dry_run: bool,
}

/// What is asked, and how an answer is judged. A Job becomes a question with each reading, which runs another one.
#[derive(Clone, Debug)]
pub enum Judge {
    Limits { question: Question, traffic: Option<Box<Traffic>>, limits: Limits },
    Job { job: Box<JobPlan>, limits: Limits },
    Comparison { errors: Question, requests: Question, rule: errors::Rule },
    Latency { buckets: Question, rule: latencies::Rule },
}

/// The requests that a value rests on, and how many are enough to judge by.
#[derive(Clone, Debug)]
pub struct Traffic {
    pub requests: Question,
    pub min: f64,
}

impl MetricPlan {
    /// `default`: the Prometheus to ask where the metric names none. `comparisons`: how many there are beside each other.
    pub fn of(stage: Stage, metric: &Metric, default: Option<&Server>, comparisons: usize) -> Result<Self, Invalid> {
        let seconds = |duration: Option<Duration>, default: u64| duration.map_or(time::Duration::from_secs(default), |duration| duration.0);
        let usual = if metric.job.is_some() { 60 } else { 10 };
        let interval = seconds(metric.interval, usual).max(FLOOR);
        let kinds = (&metric.prometheus, &metric.web, &metric.job, &metric.comparison, &metric.latency);
        let (judge, credentials, timeout, range) = match kinds {
            (Some(asked), None, None, None, None) => {
                let server = Server::of(asked.address.as_ref(), asked.credentials.as_ref(), &asked.headers, default)?;
                let query = promql(asked)?;
                let over = asked.range.as_ref().map_or(time::Duration::ZERO, |range| range.window.0);
                let range = variables::longest_range(&query, interval).saturating_add(over);
                let query = over_time(query, asked.range.as_ref())?;
                let traffic = Traffic::of(asked, &server)?;
                let requests = asked.requests.as_deref().map_or(time::Duration::ZERO, |query| variables::longest_range(query, interval));
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
            return Err(Invalid("a dry run always passes and can have no weight: remove weight or dryRun".into()));
        }
        let initial_delay = match metric.initial_delay {
            Some(delay) => delay.0,
            // Else the first readings would judge what served before.
            None if stage.is_after_the_switch() => range,
            None => time::Duration::ZERO,
        };
        Ok(Self {
            judge,
            credentials,
            timeout: seconds(timeout, 10).min(LONGEST_ANSWER),
            initial_delay,
            patience: Patience {
                interval,
                count: metric.count.unwrap_or(5).max(1),
                failure_limit: metric.failure_limit.unwrap_or(1).max(1),
                inconclusive_limit: metric.inconclusive_limit.or(metric.failure_limit).unwrap_or(1).max(1),
                failure_for: seconds(metric.failure_for, 0),
                no_data_limit: metric.no_data_limit.unwrap_or(5).max(1),
                error_limit: metric.error_limit.unwrap_or(5).max(1),
            },
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
        if by_expression && stage.is_after_the_switch() {
            return Err(Invalid(
                "after the switch the former side has no traffic to compare with: remove active from goodIf, or move the metric to spec.verification".into(),
            ));
        }
        let why = match (stage.is_after_the_switch(), of, self) {
            (true, Some(FactorOf::ActiveSide), _) => {
                "after the switch the former side has no traffic to compare with: set max or min, factorOf: BeforeSwitch, or compare in spec.verification"
            }
            (false, Some(FactorOf::BeforeSwitch), _) => {
                "factorOf: BeforeSwitch compares with the time before the switch: remove it, or move the metric to spec.monitoring"
            }
            (_, Some(FactorOf::BeforeSwitch), Self::Limits { question, .. }) if !question.asks_for_a_time() => {
                "factorOf: BeforeSwitch needs a query for a given time: put {{ end }} into the url or the body"
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

    /// Why there are too few of them, if there are. No series is no number of requests: a query with a typo finds none.
    fn too_few(&self, answer: &Reading) -> Option<Nothing> {
        let requests = match answer {
            Reading::Value(requests) => *requests,
            Reading::NoData => {
                return Some(Nothing::TooFew(format!("no series of requests was found, at least {} needed (minRequests)", self.min)));
            }
            other => return Some(Nothing::Answer(other.clone())),
        };
        (requests < self.min).then(|| {
            let requests = shown(requests.max(0.0));
            Nothing::TooFew(format!("{requests} requests, at least {} needed (minRequests)", self.min))
        })
    }
}

fn rule_for_errors(comparison: &Comparison, comparisons: usize) -> Result<errors::Rule, Invalid> {
    let tolerated = number(comparison.tolerated.as_deref(), 1.0)?;
    if !(1.0..=1_000.0).contains(&tolerated) {
        return Err(Invalid(format!(
            "tolerated is {tolerated}: write how many times the active side's rate of errors is tolerated, from 1 to 1000"
        )));
    }
    let false_alarms = false_alarms(comparison.false_alarms.as_deref(), comparisons)?;
    Ok(errors::Rule { tolerated, false_alarms, min_requests: min_requests(comparison.min_requests) })
}

fn rule_for_latencies(latency: &Latency, comparisons: usize) -> Result<latencies::Rule, Invalid> {
    let tolerated = number(latency.tolerated.as_deref(), 0.56)?;
    if !(0.5..1.0).contains(&tolerated) {
        return Err(Invalid(format!(
            "tolerated is {tolerated}: write up to which probability a request of the candidate may be slower than one of the active side, \
             from 0.5, which says that they are alike, to less than 1"
        )));
    }
    let false_alarms = false_alarms(latency.false_alarms.as_deref(), comparisons)?;
    Ok(latencies::Rule { tolerated, false_alarms, min_requests: min_requests(latency.min_requests) })
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

/// Adds the answers to the queries of one measurement.
pub fn add(gate: &mut Gate, plan: &MetricPlan, stage: Stage, answers: &[Reading], (at, asked): (Timestamp, &[String])) {
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
            few.map_or_else(|| judge_value(&mut measured, &plan.patience, stage, limits, answers, at), Err)
        }
        Judge::Job { limits, .. } => judge_value(&mut measured, &plan.patience, stage, limits, answers, at),
        Judge::Comparison { rule, .. } => Counters::of(answers).map_err(Nothing::Answer).map(|now| {
            let told = errors::add(&mut measured.compared, &now, rule);
            if matches!(told, Added::NoTraffic(_)) && waited_enough(&measured, &plan.patience) {
                errors::read_from(&mut measured.compared, &now);
            }
            let weighed = Weighed::errors(&measured.compared.clone().unwrap_or_default(), rule);
            weighed.verdict(&mut measured, &plan.patience, told, gate.state)
        }),
        Judge::Latency { rule, .. } => Histograms::of(answers).map_err(Nothing::Answer).map(|now| {
            let told = latencies::add(&mut measured.distributions, &now, rule);
            if matches!(told, Added::NoTraffic(_)) && waited_enough(&measured, &plan.patience) {
                latencies::read_from(&mut measured.distributions, &now);
            }
            let weighed = Weighed::latencies(&measured.distributions.clone().unwrap_or_default(), rule);
            weighed.verdict(&mut measured, &plan.patience, told, gate.state)
        }),
    };
    let (value, (state, message)) = judged.unwrap_or_else(|trouble| without(&mut measured, &plan.patience, gate.state, &trouble));
    measured.readings.insert(0, bluegreen_api::Reading { at, value });
    measured.readings.truncate(READINGS);
    measured.asked = asked.to_vec();
    let (dry_run, (state, message)) = if plan.dry_run { rehearsed(state, message) } else { (None, (state, message)) };
    measured.dry_run = dry_run;
    gate.measured = Some(measured);
    turn(gate, state, bounded(&message), at);
}

#[cfg(test)]
pub(crate) mod tests;
