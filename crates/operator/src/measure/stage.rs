//! Servers that tests ask, and what they are asked.

use super::{
    address::Rules,
    client::{self, Clients, Reach},
    line::Line,
    places::Places,
};
use crate::metrics::Metrics;
use axum::Router;
use bluegreen_gates::{
    ask::{allowed::Allowed, exchange::Exchange},
    text::Words,
};
use data_encoding::BASE64;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use reqwest::{Client, Method, header::HeaderMap};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::{
    net::SocketAddr,
    sync::{Arc, mpsc},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// Stops the paused clock of a test until the result is dropped: time then passes by `advance` only. Without it tokio moves the clock to
/// the next timer as soon as all tasks wait, also for what is on its way through a socket, and that timer is the time-out of a request.
#[must_use]
pub fn stop_the_clock() -> mpsc::Sender<()> {
    let (going_on, gone_on) = mpsc::channel();
    // Tokio leaves the clock alone as long as a blocking task is under way.
    tokio::task::spawn_blocking(move || gone_on.recv());
    going_on
}

/// A second test that does it finds it done.
pub fn provide_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

pub async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// A server with a certificate of its own making, which answers everything with 200.
pub async fn serve_tls() -> SocketAddr {
    let made = rcgen::generate_simple_self_signed(vec!["shop".to_owned()]).unwrap();
    answer_over_tls(made.cert.der().clone(), &made.signing_key).await
}

/// One whose certificate is for this name, and the authority that signed it, in PEM.
pub async fn serve_tls_as(name: &str) -> (SocketAddr, String) {
    let mut authority = CertificateParams::new(Vec::<String>::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, format!("the authority of {name}"));
    let (own, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let root = authority.self_signed(&own).unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &Issuer::new(authority, own)).unwrap();
    let address = answer_over_tls(certificate.der().clone(), &key).await;
    (address, format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", BASE64.encode(root.der())))
}

async fn answer_over_tls(certificate: CertificateDer<'static>, key: &KeyPair) -> SocketAddr {
    provide_tls();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok").await;
            let _ = stream.shutdown().await;
        }
    });
    address
}

pub fn local() -> Allowed {
    Allowed { any: true, ..Allowed::default() }
}

/// An API server that isn't there.
pub fn nowhere() -> kube::Client {
    kube::Client::try_from(kube::Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap()
}

pub fn clients(allowed: &Allowed) -> Clients {
    provide_tls();
    Clients::again(Rules::new(allowed.clone(), nowhere()), |builder| builder)
}

/// A check with its defaults, but with a shorter pause between two tries, and with a limit that no answer reaches on a busy machine.
pub fn plain() -> Exchange {
    Exchange {
        method: Method::GET,
        headers: HeaderMap::new(),
        body: None,
        expected: vec![],
        expected_body: None,
        max_latency: None,
        timeout: Duration::from_secs(60),
        attempts: 2,
        interval: Duration::from_millis(1),
    }
}

/// The means to ask: clients as the operator has them.
pub struct Means {
    pods: Client,
    urls: Clients,
    pub places: Places,
}

impl Means {
    pub fn new(allowed: &Allowed) -> Self {
        Self::with(allowed, Places::new(Metrics::default()))
    }

    pub fn with_one_place(allowed: &Allowed) -> Self {
        Self::with(allowed, Places::with_one())
    }

    fn with(allowed: &Allowed, places: Places) -> Self {
        provide_tls();
        let rules = Rules::new(allowed.clone(), nowhere());
        Self { pods: client::pods(&rules).unwrap(), urls: Clients::once(rules), places }
    }

    pub fn pods(&self) -> Line<'_> {
        Line { client: &self.pods, places: &self.places, namespace: "web", words: Words::Quoted }
    }

    pub fn reach(&self) -> Reach<'_> {
        self.urls.of("web")
    }
}
