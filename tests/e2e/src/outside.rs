//! Nothing that a test makes an operator ask leaves the machine. Pods and nodes of a fake cluster have addresses to which no connection
//! can be made (`bluegreen_cluster`). All other sources are named by a URL, which has to be of this machine.

use serde_json::Value;
use std::net::IpAddr;

/// The URLs in a manifest that lead, or may lead, to another machine. A host name does: another machine is asked for its address.
pub fn outside(manifest: &Value) -> Vec<&str> {
    match manifest {
        Value::String(text) if is_url(text) && !is_inside(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(outside).collect(),
        Value::Object(fields) => fields.values().flat_map(outside).collect(),
        _ => vec![],
    }
}

fn is_url(text: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme))
}

fn is_inside(url: &str) -> bool {
    let authority = url.split("//").nth(1).and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    let address = authority.rsplit('@').next().unwrap_or_default();
    let host = match address.strip_prefix('[') {
        Some(six) => six.split(']').next(),
        None => address.split(':').next(),
    };
    host.and_then(|host| host.parse::<IpAddr>().ok()).is_some_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn urls_of_other_machines_are_found_wherever_they_stand() {
        for url in [
            "http://10.128.0.5/",
            "https://example.org",
            "http://prometheus:9090",
            "http://127.0.0.1@192.0.2.1/",
            "http://127.0.0.1.example/",
        ] {
            let manifest = json!({"spec": {"verification": {"checks": [{"name": "home", "http": {"url": url}}]}, "replicas": 2}});
            assert_eq!(outside(&manifest), [url]);
        }
    }

    #[test]
    fn urls_of_this_machine_are_no_trouble() {
        let inside = json!({"a": "http://127.0.0.1:9090/x?y=http://z", "b": ["https://[::1]:1/", "http://user:word@127.8.8.8"], "image": "registry.example/shop:1.0.0"});
        assert_eq!(outside(&inside), [""; 0]);
    }
}
