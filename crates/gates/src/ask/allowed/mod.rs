//! Which requests are sent, and which addresses are dialled. Rollouts are written by people who must not reach through the operator what
//! they can't reach themselves: without a word of the operator's administrator only what is the rollout's own is asked.

mod address;
pub mod service;
mod source;

pub use source::{InvalidSource, Source};

use crate::text::Words;
use address::Kind;
use http::{HeaderMap, Method, header::HOST};
use std::net::IpAddr;
use url::{Host, Url};

/// What the operator's administrator allows beside a rollout's own pods and the Services of its namespace.
#[derive(Clone, Debug, Default)]
pub struct Allowed {
    pub sources: Vec<Source>,
    /// The operator's own Prometheus. It is asked for numbers only.
    pub prometheus: Option<Source>,
    /// Every address but those of metadata: for development.
    pub any: bool,
    /// Addresses of the operator's machine, where they are asked at all: for development.
    pub machine: bool,
}

/// A request that a rollout asks for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Of the rollout.
    pub namespace: &'a str,
    pub method: &'a Method,
    pub url: &'a Url,
    pub headers: &'a HeaderMap,
}

/// How an address is reached that may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// By the cluster IP of a Service in the rollout's namespace.
    Service(Service),
    /// By its name, through the proxy if there is one.
    Source,
    /// By its name, for development.
    Any,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Service {
    pub namespace: String,
    pub name: String,
}

/// Why a request is not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    #[error("the address holds a user name or a password: set credentials, or send them in a header")]
    User,
    #[error("{0} must begin with http:// or https://")]
    Scheme(String),
    #[error("{0} is a metadata address of a cloud, which the operator never asks")]
    Metadata(String),
    #[error("{0} is an address of the operator's own machine, which the operator does not ask")]
    Machine(String),
    #[error("the path of {0} could lead out of the allowed source: write it without encoded dots and slashes")]
    Path(String),
    #[error(
        "{method} {url} is not sent: methods other than GET, HEAD, OPTIONS and POST are sent to allowed sources only (--allowed-source)"
    )]
    Method { method: Method, url: String },
    #[error("{0} is not asked with a header Host: outside of the rollout's namespace Host is always the address")]
    HostHeader(String),
    #[error("{0} is the operator's own Prometheus, which is sent no headers: remove headers")]
    Headers(String),
    #[error("{service} {why}")]
    Service { service: Service, why: service::Elsewhere },
    #[error(
        "{url} is not an allowed source: ask by its name a Service of namespace {namespace}, or let an administrator allow it (operator flag --allowed-source)"
    )]
    Source { url: String, namespace: String },
}

impl Way {
    /// Words of an answer from outside the namespace are nothing for those who may only write rollouts in it.
    pub fn words(&self) -> Words {
        if matches!(self, Self::Source) { Words::Withheld } else { Words::Quoted }
    }
}

impl Allowed {
    /// How a request is sent, if it may be. The address that is dialled is asked about in [`Self::may_dial`].
    pub fn way(&self, request: &Request<'_>) -> Result<Way, Denied> {
        let Request { namespace, method, url, headers } = *request;
        let named = shown(url);
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Denied::User);
        }
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Denied::Scheme(named));
        }
        let host = url.host_str().unwrap_or_default();
        if address::is_metadata_name(host) {
            return Err(Denied::Metadata(host.to_owned()));
        }
        if let Some(ip) = literal(url) {
            self.may_dial(host, ip)?;
        }
        if self.sources.iter().any(|source| source.covers(url)) {
            return if headers.contains_key(HOST) && !self.any { Err(Denied::HostHeader(named)) } else { Ok(Way::Source) };
        }
        if self.prometheus.as_ref().is_some_and(|own| own.of_queries().covers(url)) && matches!(*method, Method::GET | Method::POST) {
            return if headers.is_empty() || self.any { Ok(Way::Source) } else { Err(Denied::Headers(named)) };
        }
        let known = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::POST);
        match service_of(host, namespace) {
            Some(service) if service.namespace == namespace && (known || self.any) => return Ok(Way::Service(service)),
            Some(service) if service.namespace == namespace => return Err(Denied::Method { method: method.clone(), url: named }),
            _ if self.any => return Ok(Way::Any),
            _ => {}
        }
        if self.sources.iter().any(|source| source.covers_server(url) && escapes(url)) {
            return Err(Denied::Path(named));
        }
        Err(Denied::Source { url: named, namespace: namespace.to_owned() })
    }

    /// Whether a connection may be made to this address, to which the host leads: a name can stand for any address.
    pub fn may_dial(&self, host: &str, ip: IpAddr) -> Result<(), Denied> {
        let machine = || self.any || self.machine || self.sources.iter().chain(&self.prometheus).any(|source| source.names_machine(host));
        match address::kind(ip) {
            Kind::Metadata => Err(Denied::Metadata(ip.to_string())),
            Kind::Machine if !machine() => Err(Denied::Machine(ip.to_string())),
            Kind::Machine | Kind::Other => Ok(()),
        }
    }

    /// Whether a redirect is followed: to the same server only, and by the way that its first address was asked.
    pub fn follows(&self, from: &Url, to: &Url) -> bool {
        let same = from.origin() == to.origin() && to.username().is_empty() && to.password().is_none();
        let inside = |sources: &[Source]| sources.iter().any(|source| source.covers(to));
        let own = |url: &Url| self.prometheus.as_ref().is_some_and(|own| own.of_queries().covers(url));
        // A server that is allowed in part stays so.
        let in_part = self.sources.iter().any(|source| source.covers(from)) || own(from);
        same && (self.any || !in_part || inside(&self.sources) || own(to))
    }
}

/// The Service that a host names, as the cluster's DNS does: `shop`, `shop.web`, `shop.web.svc` and `shop.web.svc.cluster.local`.
pub fn service_of(host: &str, namespace: &str) -> Option<Service> {
    let labels: Vec<&str> = host.strip_suffix('.').unwrap_or(host).split('.').collect();
    let (name, namespace) = match labels.as_slice() {
        [name] => (name, &namespace),
        [name, namespace] | [name, namespace, "svc"] | [name, namespace, "svc", "cluster", "local"] => (name, namespace),
        _ => return None,
    };
    let is_label =
        |text: &str| !text.is_empty() && text.len() <= 63 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    // A number is an address.
    let is_name = is_label(name) && is_label(namespace) && name.starts_with(|first: char| first.is_ascii_alphabetic());
    is_name.then(|| Service { namespace: (*namespace).to_owned(), name: (*name).to_owned() })
}

/// An address as messages show it: without user, query and fragment, in which there may be secrets.
pub fn shown(url: &Url) -> String {
    let mut bare = url.clone();
    // Only addresses without a host have none of these, and nothing to hide there.
    let _ = bare.set_username("");
    let _ = bare.set_password(None);
    bare.set_query(None);
    bare.set_fragment(None);
    bare.to_string()
}

/// The same of an address that may not be valid.
pub fn shown_text(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://{rest}"),
        (None, Some((_, rest))) => rest.to_owned(),
        (_, None) => text.to_owned(),
    }
}

fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(ip) => Some(ip.into()),
        Host::Ipv6(ip) => Some(ip.into()),
        Host::Domain(_) => None,
    }
}

fn escapes(url: &Url) -> bool {
    url.path().contains(['%', ';', '\\'])
}

#[cfg(test)]
mod tests;
