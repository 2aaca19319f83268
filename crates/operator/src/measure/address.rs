//! Which addresses may be asked. Rollouts are written by people who must not reach through the operator what they can't reach themselves.

use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::{Attempt, Policy},
};
use std::{
    error::Error,
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
    sync::Arc,
};

/// A redirect is followed on the same server only, and not for ever.
const REDIRECTS: usize = 5;

#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Loopback and link-local addresses may be asked: for tests and development.
    pub local: bool,
    /// Metrics and the URLs of checks are asked of these only. Empty: of any.
    pub sources: Vec<Source>,
}

/// The beginning of the addresses that may be asked: scheme, host and port, and a path under which they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source(Url);

#[derive(Debug, thiserror::Error)]
pub enum InvalidSource {
    #[error("not a valid URL ({0}): write for example http://prometheus.monitoring:9090")]
    Url(String),
    #[error("a source must begin with http:// or https:// and have a host")]
    Scheme,
}

impl FromStr for Source {
    type Err = InvalidSource;

    fn from_str(text: &str) -> Result<Self, InvalidSource> {
        let url = Url::parse(text).map_err(|error| InvalidSource::Url(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(InvalidSource::Scheme);
        }
        Ok(Self(url))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl Source {
    fn covers(&self, url: &Url) -> bool {
        let under = self.0.path().trim_end_matches('/');
        let rest = url.path().strip_prefix(under);
        self.0.origin() == url.origin() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl Rules {
    pub fn may_ask(&self, ip: IpAddr) -> bool {
        self.local || !is_local(ip)
    }

    /// A URL that may be asked, and how it is told: without its query, in which there may be secrets. Or why it isn't asked.
    pub fn checked(&self, text: &str) -> Result<(Url, String), String> {
        let url = Url::parse(text).map_err(|error| format!("{text} is not a valid URL: {error}"))?;
        let mut bare = url.clone();
        bare.set_query(None);
        bare.set_fragment(None);
        self.against(&bare).map_or_else(|| Ok((url, bare.to_string())), Err)
    }

    /// The error in a metric source or in the URL of a check, if there is one.
    pub fn against(&self, url: &Url) -> Option<String> {
        let ip = url.host_str().and_then(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().ok());
        if ip.is_some_and(|ip| !self.may_ask(ip)) {
            return Some(format!(
                "{url} is a loopback or link-local address, which the operator refuses to reach (--allow-loopback-targets)"
            ));
        }
        let allowed = self.sources.is_empty() || self.sources.iter().any(|source| source.covers(url));
        (!allowed).then(|| format!("{url} is not one of the addresses that the operator may reach (--allowed-metric-source)"))
    }
}

/// Addresses of this machine and its neighborhood: the operator's own ports, the cloud's metadata service.
fn is_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() || ip.is_broadcast() || ip.is_multicast(),
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(mapped) => is_local(mapped.into()),
            None => ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unspecified() || ip.is_multicast(),
        },
    }
}

/// Redirects stay on the server that was asked.
pub fn redirects() -> Policy {
    fn decide(attempt: Attempt<'_>) -> reqwest::redirect::Action {
        let home = attempt.previous().first().map(Url::origin);
        if home == Some(attempt.url().origin()) && attempt.previous().len() <= REDIRECTS { attempt.follow() } else { attempt.stop() }
    }
    Policy::custom(decide)
}

#[derive(Debug, thiserror::Error)]
#[error("the name resolves to loopback or link-local addresses only, which the operator refuses to reach (--allow-loopback-targets)")]
struct Forbidden;

/// Whether the rules are why there is no answer.
pub fn is_forbidden(error: &(dyn Error + 'static)) -> bool {
    error.is::<Forbidden>() || error.source().is_some_and(is_forbidden)
}

/// Resolves names, and leaves out the addresses that may not be asked: a name can stand for any of them.
#[derive(Clone)]
pub struct Resolver(pub Arc<Rules>);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let rules = self.0.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let allowed: Vec<SocketAddr> = found.iter().copied().filter(|address| rules.may_ask(address.ip())).collect();
            if allowed.is_empty() && !found.is_empty() {
                return Err(Forbidden.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_machine_itself_are_not_asked() {
        for (ip, local) in [
            ("127.0.0.1", true),
            ("169.254.169.254", true),
            ("0.0.0.0", true),
            ("::1", true),
            ("fe80::1", true),
            ("::ffff:127.0.0.1", true),
            ("10.0.0.1", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(is_local(ip.parse().unwrap()), local, "{ip}");
        }
    }

    #[test]
    fn a_source_covers_its_server_and_the_paths_below_its_own() {
        let source: Source = "http://prom:9090/base".parse().unwrap();
        for (url, covered) in [
            ("http://prom:9090/base", true),
            ("http://prom:9090/base/api", true),
            ("http://prom:9090/basement", false),
            ("http://prom:9090/", false),
            ("http://prom:9091/base", false),
            ("https://prom:9090/base", false),
            ("http://prom:9090@example/base", false),
            ("http://prom@example:9090/base", false),
        ] {
            assert_eq!(source.covers(&Url::parse(url).unwrap()), covered, "{url}");
        }
        assert!("prom:9090".parse::<Source>().is_err() && "file:///etc".parse::<Source>().is_err());
    }

    #[test]
    fn metric_sources_can_be_restricted() {
        let rules = Rules { local: false, sources: vec!["http://prom:9090".parse().unwrap()] };
        let against = |url: &str| rules.against(&Url::parse(url).unwrap());
        assert_eq!(against("http://prom:9090/api/v1/query"), None);
        assert!(against("http://other:9090/").unwrap().contains("not one of the addresses"));
        assert!(against("http://[::1]:9090/").unwrap().contains("loopback"));
    }
}
