//! A Service as a source: its cluster IP, if what answers there can only be pods of its namespace.

use super::{Denied, Service};
use std::{fmt, net::IpAddr};

/// What counts of a Service, as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub external_name: bool,
    pub has_selector: bool,
    pub cluster_ip: Option<String>,
    pub ports: Vec<u16>,
}

/// Why the cluster IP of a Service is not asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Elsewhere {
    #[error(
        "is of type ExternalName, which may lead out of its namespace: let an administrator allow the address (operator flag --allowed-source)"
    )]
    ExternalName,
    #[error("has no selector, so that it may lead out of its namespace: let an administrator allow it (operator flag --allowed-source)")]
    NoSelector,
    #[error("has no cluster IP: use a Service that is not headless")]
    Headless,
    #[error("has no port {port}: its ports are {}", ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", "))]
    Port { port: u16, ports: Vec<u16> },
}

impl Seen {
    pub fn cluster_ip(&self) -> Result<IpAddr, Elsewhere> {
        if self.external_name {
            return Err(Elsewhere::ExternalName);
        }
        if !self.has_selector {
            return Err(Elsewhere::NoSelector);
        }
        self.cluster_ip.as_deref().and_then(|ip| ip.parse().ok()).ok_or(Elsewhere::Headless)
    }

    /// What isn't a port of the Service isn't led to its pods.
    pub fn has_port(&self, port: u16) -> Result<(), Elsewhere> {
        if self.ports.contains(&port) { Ok(()) } else { Err(Elsewhere::Port { port, ports: self.ports.clone() }) }
    }
}

impl Service {
    pub fn denied(&self, why: &Elsewhere) -> Denied {
        Denied::Service { service: self.clone(), why: why.clone() }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Service {}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_service_that_selects_pods_has_an_address_to_ask() {
        let good = Seen { external_name: false, has_selector: true, cluster_ip: Some("10.96.0.7".into()), ports: vec![80, 443] };
        assert_eq!(good.cluster_ip(), Ok("10.96.0.7".parse().unwrap()));
        for (seen, why) in [
            (Seen { external_name: true, ..good.clone() }, Elsewhere::ExternalName),
            (Seen { has_selector: false, ..good.clone() }, Elsewhere::NoSelector),
            (Seen { cluster_ip: Some("None".into()), ..good.clone() }, Elsewhere::Headless),
            (Seen { cluster_ip: Some(String::new()), ..good.clone() }, Elsewhere::Headless),
            (Seen { cluster_ip: None, ..good.clone() }, Elsewhere::Headless),
        ] {
            assert_eq!(seen.cluster_ip(), Err(why), "{seen:?}");
        }
        assert_eq!(good.has_port(443), Ok(()));
        let shop = Service { namespace: "web".into(), name: "shop".into() };
        let denied = shop.denied(&good.has_port(81).unwrap_err()).to_string();
        assert_eq!(denied, "Service web/shop has no port 81: its ports are 80, 443");
    }
}
