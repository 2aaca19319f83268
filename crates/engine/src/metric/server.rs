//! The Prometheus that a metric asks, and the query as it is sent there.

use crate::{measure::Whose, plan::Invalid, query, question::Question, ready};
use bluegreen_api::{Credentials, Duration, PrometheusQuery, QueryRange, Take};
use std::{borrow::Cow, time};

/// A Prometheus, and what it is shown by who named its address: that goes there and nowhere else.
#[derive(Clone, Debug)]
pub struct Server {
    address: String,
    pub(super) credentials: Whose<Credentials>,
}

impl Server {
    /// One that a rollout names.
    pub fn named(address: &str, credentials: Option<Credentials>) -> Self {
        Self { address: address.trim_end_matches('/').to_owned(), credentials: Whose::named(credentials) }
    }

    /// The one that the operator was started with.
    pub fn of_operator(address: &str) -> Self {
        Self { credentials: Whose::Operator, ..Self::named(address, None) }
    }

    pub(super) fn of(address: Option<&String>, credentials: Option<&Credentials>, default: Option<&Self>) -> Result<Self, Invalid> {
        match (address, credentials, default) {
            (Some(address), credentials, _) => Ok(Self::named(address, credentials.cloned())),
            (None, Some(_), _) => {
                Err(Invalid("credentials are for the address beside them: set address too, or the credentials of sources.prometheus".into()))
            }
            (None, None, Some(default)) => Ok(default.clone()),
            (None, None, None) => {
                Err(Invalid("no Prometheus to ask: set its address in the query, in spec.sources.prometheus.address, or start the operator with --prometheus-address".into()))
            }
        }
    }

    pub(super) fn question(&self, query: &str) -> Result<Question, Invalid> {
        query::check_variables(query, "query")?;
        Ok(Question::Prometheus { address: self.address.clone(), query: query.to_owned(), at: None })
    }

    pub(super) fn buckets(&self, query: &str) -> Result<Question, Invalid> {
        query::check_variables(query, "query")?;
        Ok(Question::Buckets { address: self.address.clone(), query: query.to_owned() })
    }
}

/// As it is written, or ready-made.
pub(super) fn promql(asked: &PrometheusQuery) -> Result<Cow<'_, str>, Invalid> {
    match (&asked.query, &asked.ready) {
        (Some(query), None) => Ok(Cow::Borrowed(query.as_str())),
        (None, Some(ready)) => ready::query(ready).map(Cow::Owned),
        (Some(_), Some(_)) | (None, None) => Err(Invalid("set exactly one of query and ready".into())),
    }
}

/// So many moments Prometheus goes through for one answer.
const MOST_STEPS: u128 = 11_000;

/// The values of a query over a stretch of time, in one number.
pub(super) fn over_time<'a>(query: Cow<'a, str>, range: Option<&QueryRange>) -> Result<Cow<'a, str>, Invalid> {
    let Some(QueryRange { window, step, take }) = range else { return Ok(query) };
    let step = step.unwrap_or(Duration::from_secs(15));
    if step.0 < time::Duration::from_secs(1) || window.0 < step.0 || window.0.as_millis() / step.0.as_millis() > MOST_STEPS {
        return Err(Invalid(format!(
            "range: a window of {window} in steps of {step}: write steps of at least 1s, and a window of one to {MOST_STEPS} of them"
        )));
    }
    let function = match take {
        Take::Average => "avg_over_time(",
        Take::Median => "quantile_over_time(0.5, ",
        Take::Max => "max_over_time(",
        Take::Min => "min_over_time(",
    };
    // A comment at the end of the query would take the rest with it.
    let end = if query.contains('#') { "\n" } else { "" };
    Ok(Cow::Owned(format!("{function}({query}{end})[{window}:{step}])")))
}
