//! The Prometheus that a metric asks, and the query as it is sent there.

use super::{
    headers,
    question::{Question, Whose},
    ready, variables,
};
use crate::invalid::Invalid;
use bluegreen_api::{Credentials, Duration, PrometheusQuery, QueryRange, Take};
use http::HeaderMap;
use std::{borrow::Cow, collections::BTreeMap, sync::Arc, time};
use url::Url;

/// Headers of a query that the operator sets itself, or that its proxy wants: one that says otherwise would break it.
const OPERATORS: [&str; 8] =
    ["accept", "accept-encoding", "content-encoding", "content-type", "expect", "host", "proxy-authorization", "user-agent"];

/// A Prometheus, and what it is shown and sent by who named its address: that goes there and nowhere else.
#[derive(Clone, Debug)]
pub struct Server {
    address: String,
    pub(crate) credentials: Whose<Credentials>,
    headers: Arc<HeaderMap>,
}

impl Server {
    /// One that a rollout names.
    pub fn named(address: &str, credentials: Option<Credentials>) -> Self {
        Self { address: address.trim_end_matches('/').to_owned(), credentials: Whose::named(credentials), headers: Arc::default() }
    }

    /// With these sent along with each query.
    pub fn with(self, headers: &BTreeMap<String, String>) -> Result<Self, Invalid> {
        let headers = headers::headers(headers)?;
        if let Some(name) = headers.iter().find_map(|(name, value)| value.as_bytes().windows(2).any(|two| two == b"{{").then_some(name)) {
            let why = "has a variable; headers of a query may use {{ parameters.NAME }} only: write the value";
            return Err(Invalid(format!("the header {:?} {why}", name.as_str())));
        }
        if headers.contains_key("authorization") {
            return Err(Invalid("the header \"Authorization\" belongs in a Secret: remove it, and set credentials".into()));
        }
        if let Some(name) = OPERATORS.iter().find(|name| headers.contains_key(**name)) {
            return Err(Invalid(format!("the header {name:?} is set by the operator: remove it")));
        }
        Ok(Self { headers: Arc::new(headers), ..self })
    }

    /// The one that the operator was started with.
    pub fn of_operator(address: &str) -> Self {
        Self { credentials: Whose::Operator, ..Self::named(address, None) }
    }

    /// Headers belong to the address beside them, as credentials do: in a query to the operator's own Prometheus one could name another
    /// team, whose numbers the operator's credentials may read.
    pub(crate) fn of(
        address: Option<&String>,
        credentials: Option<&Credentials>,
        headers: &BTreeMap<String, String>,
        default: Option<&Self>,
    ) -> Result<Self, Invalid> {
        match (address, default) {
            (Some(address), _) => Self::named(address, credentials.cloned()).with(headers),
            (None, _) if credentials.is_some() || !headers.is_empty() => Err(Invalid(
                "credentials and headers are for the address beside them: set address too, or those of sources.prometheus".into(),
            )),
            (None, Some(default)) => Ok(default.clone()),
            (None, None) => {
                Err(Invalid("no Prometheus address: set address in the query, set spec.sources.prometheus.address, or start the operator with --prometheus-address".into()))
            }
        }
    }

    /// Messages name the address.
    fn check_address(&self) -> Result<(), Invalid> {
        let has_user = match Url::parse(&self.address) {
            Ok(url) => !url.username().is_empty() || url.password().is_some(),
            // Nobody is asked there, but it is shown.
            Err(_) => self.address.contains('@'),
        };
        if has_user {
            return Err(Invalid(
                "the address of the Prometheus holds a user name or a password: put both into a Secret, and set credentials".into(),
            ));
        }
        Ok(())
    }

    pub(crate) fn question(&self, query: &str) -> Result<Question, Invalid> {
        self.check_address()?;
        variables::check_variables(query, "query")?;
        Ok(Question::Prometheus { address: self.address.clone(), headers: self.headers.clone(), query: query.to_owned(), at: None })
    }

    pub(crate) fn buckets(&self, query: &str) -> Result<Question, Invalid> {
        self.check_address()?;
        variables::check_variables(query, "query")?;
        Ok(Question::Buckets { address: self.address.clone(), headers: self.headers.clone(), query: query.to_owned() })
    }
}

/// As it is written, or ready-made.
pub(crate) fn promql(asked: &PrometheusQuery) -> Result<Cow<'_, str>, Invalid> {
    match (&asked.query, &asked.ready) {
        (Some(query), None) => Ok(Cow::Borrowed(query.as_str())),
        (None, Some(ready)) => ready::query(ready).map(Cow::Owned),
        (Some(_), Some(_)) | (None, None) => Err(Invalid("set exactly one of query and ready".into())),
    }
}

/// So many moments Prometheus goes through for one answer.
const MOST_STEPS: u128 = 11_000;

/// The values of a query over a stretch of time, in one number.
pub(crate) fn over_time<'a>(query: Cow<'a, str>, range: Option<&QueryRange>) -> Result<Cow<'a, str>, Invalid> {
    let Some(QueryRange { window, step, take }) = range else { return Ok(query) };
    let step = step.unwrap_or(Duration::from_secs(15));
    if step.0 < time::Duration::from_secs(1) || window.0 < step.0 || window.0.as_millis() / step.0.as_millis() > MOST_STEPS {
        return Err(Invalid(format!(
            "range: window {window} with step {step}: step must be at least 1s, and window 1 to {MOST_STEPS} steps"
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_with_a_password_is_refused_and_not_shown() {
        for address in ["http://me:secret@prom", "http://me@prom:9090", "http://:secret@prom", "http://me:secret@prom:99999"] {
            let server = Server::named(address, None);
            for refused in [server.question("up").unwrap_err(), server.buckets("up").unwrap_err()] {
                let why = refused.to_string();
                assert!(why.contains("holds a user name or a password") && !why.contains("secret@"), "{why}");
            }
        }
        assert!(Server::named("http://prom:9090/a@b", None).question("up").is_ok());
    }
}
