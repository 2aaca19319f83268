//! The clients that measurements ask with.

use super::{
    address::{Resolver, Rules, redirects},
    answer::cause,
};
use reqwest::{Client, ClientBuilder};
use std::{sync::Arc, time::Duration};

fn common() -> ClientBuilder {
    let agent = concat!("bluegreen-operator/", env!("CARGO_PKG_VERSION"));
    Client::builder().redirect(redirects()).user_agent(agent)
}

/// Pods are asked directly, since a proxy would answer for them; and by address, which is in no certificate.
pub fn pods() -> reqwest::Result<Client> {
    common().tls_certs_only([]).tls_danger_accept_invalid_certs(true).no_proxy().pool_max_idle_per_host(0).build()
}

/// For what a rollout names by a URL. Each check makes its own connection: one that was kept may lead to pods that a Service has left.
pub fn urls(rules: Arc<Rules>) -> reqwest::Result<Client> {
    outside(&rules, |builder| builder.pool_max_idle_per_host(0))
}

/// For sources that are asked again and again.
pub fn sources(rules: &Arc<Rules>) -> reqwest::Result<Client> {
    outside(rules, kept_open)
}

/// Connections stay until the next measurement.
pub fn kept_open(builder: ClientBuilder) -> ClientBuilder {
    builder.pool_idle_timeout(Duration::from_secs(30))
}

/// Verifies certificates, uses the proxies of the environment, and resolves names to addresses that may be asked.
pub fn outside(rules: &Arc<Rules>, settings: impl Fn(ClientBuilder) -> ClientBuilder) -> reqwest::Result<Client> {
    let builder = || settings(common().dns_resolver(Arc::new(Resolver(rules.clone()))));
    builder().build().or_else(|error| {
        // An image may have none, and most of what is asked is within the cluster.
        tracing::warn!(error = cause(&error), "no CA certificates found: requests to https:// URLs will fail");
        builder().tls_certs_only([]).build()
    })
}
