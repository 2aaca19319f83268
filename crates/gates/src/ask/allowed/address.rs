//! The kinds of IP addresses that are not asked like any other.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Clouds hand out credentials there, to everybody who asks from the right machine. Link-local addresses are all taken for that.
    Metadata,
    /// Addresses of the machine itself, and those that are no single machine's.
    Machine,
    Other,
}

/// Addresses outside of link-local ranges at which clouds serve metadata or credentials.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200), // Alibaba Cloud
    Ipv4Addr::new(168, 63, 129, 16),   // Azure
    Ipv4Addr::new(192, 0, 0, 192),     // Oracle Cloud, classic
];

const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),       // Google Cloud
    Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe), // Oracle Cloud
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),        // Scaleway
];

/// Names by which clouds know the same servers, also behind a proxy, which resolves names by itself.
const METADATA_NAMES: [&str; 5] = ["metadata", "metadata.goog", "metadata.google.internal", "instance-data", "instance-data.ec2.internal"];

pub fn kind(ip: IpAddr) -> Kind {
    match ip {
        IpAddr::V4(ip) => kind_v4(ip),
        IpAddr::V6(ip) => embedded(ip).map_or_else(|| kind_v6(ip), kind_v4),
    }
}

pub fn is_metadata_name(host: &str) -> bool {
    METADATA_NAMES.iter().any(|name| host.trim_end_matches('.').eq_ignore_ascii_case(name))
}

fn kind_v4(ip: Ipv4Addr) -> Kind {
    if ip.is_link_local() || METADATA_V4.contains(&ip) {
        Kind::Metadata
    } else if ip.is_loopback() || ip.octets()[0] == 0 || ip.is_broadcast() || ip.is_multicast() {
        Kind::Machine
    } else {
        Kind::Other
    }
}

fn kind_v6(ip: Ipv6Addr) -> Kind {
    // All of fd00:ec2::/32 is Amazon's: metadata at ::254, the credentials of pods at ::23.
    let amazon = ip.segments()[..2] == [0xfd00, 0xec2];
    if ip.is_unicast_link_local() || amazon || METADATA_V6.contains(&ip) {
        Kind::Metadata
    } else if ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() {
        Kind::Machine
    } else {
        Kind::Other
    }
}

/// The IPv4 address that an IPv6 address leads to: mapped, compatible, translated (64:ff9b::/96 and 64:ff9b:1::/48), or by 6to4.
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match ip.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 1, _, _, _, high, low] => {
            Some(v4(high, low))
        }
        [0, 0, 0, 0, 0, 0, high, low] if (high, low) > (0, 1) => Some(v4(high, low)),
        [0x2002, high, low, ..] => Some(v4(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_addresses_are_known_in_every_form() {
        for ip in [
            "169.254.169.254",
            "169.254.170.2",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "fe80::a9fe:a9fe",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "fd00:c1::a9fe:a9fe",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::169.254.169.254",
            "64:ff9b::a83f:8110",
            "64:ff9b:1::6464:64c8",
            "2002:a9fe:a9fe::1",
        ] {
            assert_eq!(kind(ip.parse().unwrap()), Kind::Metadata, "{ip}");
        }
        for name in ["metadata.google.internal", "METADATA.google.internal.", "metadata", "instance-data"] {
            assert!(is_metadata_name(name), "{name}");
        }
        assert!(!is_metadata_name("metadata.web.svc"));
    }

    #[test]
    fn addresses_of_the_machine_itself_are_known() {
        for ip in ["127.0.0.1", "127.8.0.1", "0.0.0.0", "0.1.2.3", "255.255.255.255", "224.0.0.1", "::1", "::", "ff02::1"] {
            assert_eq!(kind(ip.parse().unwrap()), Kind::Machine, "{ip}");
        }
        for ip in ["::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"] {
            assert_eq!(kind(ip.parse().unwrap()), Kind::Machine, "{ip}");
        }
        for ip in ["10.0.0.1", "192.168.1.1", "100.100.100.201", "2001:db8::1", "fd00::1", "64:ff9b::808:808", "::ffff:10.0.0.1"] {
            assert_eq!(kind(ip.parse().unwrap()), Kind::Other, "{ip}");
        }
    }
}
