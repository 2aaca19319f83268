//! Names become addresses here, and only such as may be dialled: a name can stand for any of them, and for another at each look.

use super::services::Services;
use bluegreen_gates::ask::allowed::{Allowed, Denied, service_of};
use reqwest::{
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::{Attempt, Policy},
};
use std::{error::Error, io, net::SocketAddr, sync::Arc};

/// A redirect is not followed for ever.
const REDIRECTS: usize = 5;

/// What may be asked, and where Services are read that may be.
pub struct Rules {
    pub allowed: Allowed,
    pub services: Services,
}

impl Rules {
    pub fn new(allowed: Allowed, api: kube::Client) -> Arc<Self> {
        Arc::new(Self { allowed, services: Services::new(api) })
    }
}

/// Redirects stay on the server that was asked, and where they may be sent at all.
pub fn redirects(rules: &Arc<Rules>) -> Policy {
    let rules = rules.clone();
    Policy::custom(move |attempt: Attempt<'_>| {
        let follows = attempt.previous().first().is_some_and(|home| rules.allowed.follows(home, attempt.url()));
        if follows && attempt.previous().len() <= REDIRECTS { attempt.follow() } else { attempt.stop() }
    })
}

/// Whether the rules are why there is no answer.
pub fn is_forbidden(error: &(dyn Error + 'static)) -> bool {
    error.is::<Denied>() || error.source().is_some_and(is_forbidden)
}

/// Names of allowed sources, by the machine's resolver.
#[derive(Clone)]
pub struct ByName(pub Arc<Rules>);

impl Resolve for ByName {
    fn resolve(&self, name: Name) -> Resolving {
        let rules = self.0.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let mut denied = None;
            let mut may_dial = |address: &SocketAddr| {
                let refused = rules.allowed.may_dial(name.as_str(), address.ip()).err();
                let may = refused.is_none();
                denied = refused.or(denied.take());
                may
            };
            let dialled: Vec<SocketAddr> = found.into_iter().filter(|address| may_dial(address)).collect();
            match denied {
                Some(denied) if dialled.is_empty() => Err(denied.into()),
                _ => Ok(Box::new(dialled.into_iter()) as Addrs),
            }
        })
    }
}

/// Names of Services, by the API server and never by DNS.
#[derive(Clone)]
pub struct ByService(pub Arc<Rules>);

impl Resolve for ByService {
    fn resolve(&self, name: Name) -> Resolving {
        let rules = self.0.clone();
        Box::pin(async move {
            // Names of Services are sent here with their namespace.
            let service = service_of(name.as_str(), "").ok_or_else(|| io::Error::other("not the name of a Service"))?;
            let seen = rules.services.seen(&service).await.map_err(io::Error::other)?;
            let ip = seen.cluster_ip().map_err(|why| service.denied(&why))?;
            rules.allowed.may_dial("", ip)?;
            Ok(Box::new(std::iter::once(SocketAddr::new(ip, 0))) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::stage::{nowhere, provide_tls};
    use super::*;

    #[tokio::test]
    async fn a_name_of_the_operators_machine_is_not_dialled() {
        provide_tls();
        let dialled = async |sources: &[&str]| {
            let sources = sources.iter().map(|source| source.parse().unwrap()).collect();
            let rules = Rules::new(Allowed { sources, ..Allowed::default() }, nowhere());
            ByName(rules).resolve("localhost".parse().unwrap()).await.map(Iterator::count)
        };
        let denied = dialled(&["http://*.host"]).await.unwrap_err();
        assert!(is_forbidden(denied.as_ref()), "{denied}");
        assert!(dialled(&["http://localhost:9090"]).await.unwrap() > 0, "an administrator has named it");
    }
}
