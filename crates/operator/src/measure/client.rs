//! The clients that measurements ask with: one for each way to an address.

use super::{
    address::{ByName, ByService, Rules, redirects},
    answer::cause,
};
use bluegreen_gates::{
    ask::allowed::{Request, Service, Way, shown, shown_text},
    text::Words,
};
use reqwest::{Client, ClientBuilder, Method, Url, header::HeaderMap};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

fn common(rules: &Arc<Rules>) -> ClientBuilder {
    let agent = concat!("bluegreen-operator/", env!("CARGO_PKG_VERSION"));
    Client::builder().redirect(redirects(rules)).user_agent(agent)
}

/// Pods are asked directly, since a proxy would answer for them; and by address, which is in no certificate.
pub fn pods(rules: &Arc<Rules>) -> reqwest::Result<Client> {
    common(rules).tls_certs_only([]).tls_danger_accept_invalid_certs(true).no_proxy().pool_max_idle_per_host(0).build()
}

type Settings = dyn Fn(ClientBuilder) -> ClientBuilder + Send + Sync;

/// Clients with the same settings, each made when it is wanted first.
pub struct Clients {
    rules: Arc<Rules>,
    settings: Box<Settings>,
    services: OnceLock<Result<Client, String>>,
    sources: OnceLock<Result<Client, String>>,
    any: OnceLock<Result<Client, String>>,
}

impl Clients {
    pub fn new(rules: Arc<Rules>, settings: impl Fn(ClientBuilder) -> ClientBuilder + Send + Sync + 'static) -> Self {
        let settings = Box::new(settings);
        Self { rules, settings, services: OnceLock::new(), sources: OnceLock::new(), any: OnceLock::new() }
    }

    /// For what a rollout names by a URL. Each check makes its own connection: one that was kept may lead to pods that a Service has left.
    pub fn once(rules: Arc<Rules>) -> Self {
        Self::new(rules, |builder| builder.pool_max_idle_per_host(0))
    }

    /// For sources that are asked again and again: connections stay until the next measurement.
    pub fn again(rules: Arc<Rules>, settings: impl Fn(ClientBuilder) -> ClientBuilder + Send + Sync + 'static) -> Self {
        Self::new(rules, move |builder| settings(builder.pool_idle_timeout(Duration::from_secs(30))))
    }

    /// Whether the settings make a client at all.
    pub fn check(&self) -> Result<(), String> {
        self.by(&Way::Source).map(drop)
    }

    fn by(&self, way: &Way) -> Result<&Client, String> {
        let rules = || self.rules.clone();
        let made = match way {
            // Its cluster IP is asked for before each request, so that no connection outlives the answer.
            Way::Service(_) => self.services.get_or_init(|| {
                self.made(|builder| builder.pool_max_idle_per_host(0).no_proxy().dns_resolver(Arc::new(ByService(rules()))))
            }),
            // Only these are asked through the proxy of the environment, if there is one.
            Way::Source => self.sources.get_or_init(|| self.made(|builder| builder.dns_resolver(Arc::new(ByName(rules()))))),
            Way::Any => self.any.get_or_init(|| self.made(|builder| builder.no_proxy().dns_resolver(Arc::new(ByName(rules()))))),
        };
        made.as_ref().map_err(Clone::clone)
    }

    /// Certificates are verified.
    fn made(&self, way: impl Fn(ClientBuilder) -> ClientBuilder) -> Result<Client, String> {
        let builder = || way((self.settings)(common(&self.rules)));
        let made = builder().build().or_else(|error| {
            // An image may have none, and most of what is asked is within the cluster.
            tracing::warn!(error = cause(&error), "no CA certificates found: requests to https:// URLs will fail");
            builder().tls_certs_only([]).build()
        });
        made.map_err(|error| cause(&error))
    }

    pub fn of<'a>(&'a self, namespace: &'a str) -> Reach<'a> {
        Reach { clients: self, namespace }
    }
}

/// What a rollout of a namespace reaches.
#[derive(Clone, Copy)]
pub struct Reach<'a> {
    clients: &'a Clients,
    pub namespace: &'a str,
}

/// An address that may be asked.
pub struct Open<'a> {
    pub client: &'a Client,
    pub url: Url,
    /// As messages show it: without its query, in which there may be secrets.
    pub named: String,
    pub words: Words,
}

impl<'a> Reach<'a> {
    /// A sentence when it may not be asked.
    pub async fn open(&self, method: &Method, text: &str, headers: &HeaderMap) -> Result<Open<'a>, String> {
        let url = Url::parse(text).map_err(|error| format!("{} is not a valid URL: {error}", shown_text(text)))?;
        self.open_url(method, url, headers).await
    }

    pub async fn open_url(&self, method: &Method, mut url: Url, headers: &HeaderMap) -> Result<Open<'a>, String> {
        let rules = &self.clients.rules;
        let request = Request { namespace: self.namespace, method, url: &url, headers };
        let way = rules.allowed.way(&request).map_err(|denied| denied.to_string())?;
        let named = shown(&url);
        if let Way::Service(service) = &way {
            let seen = rules.services.seen(service).await?;
            let denied = |why| service.denied(&why).to_string();
            seen.cluster_ip().map_err(denied)?;
            seen.has_port(url.port_or_known_default().unwrap_or_default()).map_err(denied)?;
            with_namespace(&mut url, service);
        }
        Ok(Open { client: self.clients.by(&way)?, url, named, words: way.words() })
    }
}

/// The name of a Service alone could be one of any namespace.
fn with_namespace(url: &mut Url, service: &Service) {
    if url.host_str().is_some_and(|host| !host.trim_end_matches('.').contains('.')) {
        // Both are labels of names, so that together they are a host.
        let _ = url.set_host(Some(&format!("{}.{}.svc", service.name, service.namespace)));
    }
}
