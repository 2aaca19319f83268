use super::*;
use http::HeaderValue;
use proptest::prelude::*;

fn allowed(sources: &[&str]) -> Allowed {
    let sources = sources.iter().map(|source| source.parse().unwrap()).collect();
    Allowed { sources, prometheus: Some("http://prometheus.monitoring:9090/base".parse().unwrap()), any: false, machine: false }
}

fn asked(allowed: &Allowed, method: &Method, url: &str, headers: &HeaderMap) -> Result<Way, Denied> {
    allowed.way(&Request { namespace: "web", method, url: &Url::parse(url).unwrap(), headers })
}

fn get(allowed: &Allowed, url: &str) -> Result<Way, Denied> {
    asked(allowed, &Method::GET, url, &HeaderMap::new())
}

fn service(name: &str) -> Way {
    Way::Service(Service { namespace: "web".into(), name: name.into() })
}

#[test]
fn services_of_the_own_namespace_are_asked_and_nothing_else() {
    let none = Allowed::default();
    for url in ["http://shop/", "http://shop:8080/x", "https://shop.web/", "http://shop.web.svc/", "http://shop.web.svc.cluster.local./"] {
        assert_eq!(get(&none, url), Ok(service("shop")), "{url}");
    }
    for url in [
        "http://shop.other/",
        "http://shop.other.svc/",
        "http://10.0.0.1/",
        "http://[fd00::1]/",
        "https://kubernetes.default.svc/api",
        "https://example.com/",
        "http://shop.web.svc.evil.example/",
        "http://a.shop.web.svc/",
    ] {
        assert!(matches!(get(&none, url), Err(Denied::Source { .. })), "{url}");
    }
    let why = get(&none, "http://shop.other:81/x?key=secret").unwrap_err().to_string();
    let words = "http://shop.other:81/x is not an allowed source: ask by its name a Service of namespace web, or let an administrator allow \
                 it (operator flag --allowed-source)";
    assert_eq!(why, words);
}

#[test]
fn an_allowed_source_is_asked_with_every_method() {
    let rules = allowed(&["https://*.example.com/hooks"]);
    for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        assert_eq!(asked(&rules, &method, "https://a.example.com/hooks/1", &HeaderMap::new()), Ok(Way::Source), "{method}");
    }
    assert!(matches!(get(&rules, "https://a.example.com/other"), Err(Denied::Source { .. })));
    assert!(matches!(get(&rules, "https://a.example.com/hooks/..%2fother"), Err(Denied::Path(_))));
}

#[test]
fn methods_that_change_things_go_to_allowed_sources_only() {
    for method in [Method::PUT, Method::PATCH, Method::DELETE, Method::CONNECT, Method::TRACE] {
        let denied = asked(&Allowed::default(), &method, "http://shop/", &HeaderMap::new());
        assert!(matches!(denied, Err(Denied::Method { .. })), "{method}: {denied:?}");
    }
}

#[test]
fn the_own_prometheus_is_asked_for_numbers_only() {
    let rules = allowed(&[]);
    let query = "http://prometheus.monitoring:9090/base/api/v1/query";
    assert_eq!(get(&rules, query), Ok(Way::Source));
    assert_eq!(asked(&rules, &Method::POST, query, &HeaderMap::new()), Ok(Way::Source));
    for url in [
        "http://prometheus.monitoring:9090/base/-/quit",
        "http://prometheus.monitoring:9090/base/api/v1/query/../admin",
        "http://prometheus.monitoring:9090/",
    ] {
        assert!(matches!(get(&rules, url), Err(Denied::Source { .. })), "{url}");
    }
    assert!(asked(&rules, &Method::DELETE, query, &HeaderMap::new()).is_err());
    let tenant: HeaderMap = [(http::HeaderName::from_static("x-scope-orgid"), HeaderValue::from_static("b"))].into_iter().collect();
    assert!(matches!(asked(&rules, &Method::POST, query, &tenant), Err(Denied::Headers(_))));
}

#[test]
fn a_host_header_leads_no_allowed_source_elsewhere() {
    let host: HeaderMap = [(HOST, HeaderValue::from_static("internal"))].into_iter().collect();
    let rules = allowed(&["https://hooks.example"]);
    assert!(matches!(asked(&rules, &Method::GET, "https://hooks.example/", &host), Err(Denied::HostHeader(_))));
    assert_eq!(asked(&rules, &Method::GET, "http://shop/", &host), Ok(service("shop")));
}

#[test]
fn a_password_in_an_address_is_refused_and_not_shown() {
    let any = Allowed { any: true, ..allowed(&["http://prom"]) };
    for url in ["http://me:secret@prom/", "http://me@prom/", "http://:secret@shop/"] {
        let denied = get(&any, url).unwrap_err();
        assert_eq!(denied, Denied::User, "{url}");
        assert!(!denied.to_string().contains("secret"));
    }
    for (text, told) in [
        ("http://me:secret@prom:99999/a?key=secret", "http://prom:99999/a"),
        ("me:secret@prom", "prom"),
        ("http://me:se@secret@prom", "http://prom"),
        ("http://prom:9090/base", "http://prom:9090/base"),
    ] {
        assert_eq!(shown_text(text), told);
    }
}

#[test]
fn metadata_is_never_asked_whatever_is_allowed() {
    let every = Allowed { any: true, machine: true, ..allowed(&["http://*.google.internal", "http://169.254.169.254", "http://metadata"]) };
    for url in [
        "http://169.254.169.254/latest/meta-data",
        "http://2852039166/",
        "http://0xa9fea9fe/",
        "http://[::ffff:169.254.169.254]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://[fd00:ec2::254]/",
        "http://168.63.129.16/",
        "http://metadata.google.internal/",
        "http://METADATA.google.internal./",
        "http://metadata/",
    ] {
        assert!(matches!(get(&every, url), Err(Denied::Metadata(_))), "{url}");
    }
    assert!(every.may_dial("shop.example", "169.254.169.254".parse().unwrap()).is_err());
}

#[test]
fn a_name_does_not_lead_to_the_operators_machine() {
    let rules = allowed(&["http://prom", "http://localhost:9090", "http://*.example.com"]);
    let dials = |host: &str, ip: &str| rules.may_dial(host, ip.parse().unwrap()).is_ok();
    assert!(!dials("prom", "127.0.0.1") && !dials("a.example.com", "::1") && !dials("prom", "0.0.0.0"));
    assert!(dials("localhost", "127.0.0.1") && dials("prom", "10.0.0.1"));
    let local = Allowed { machine: true, ..Allowed::default() };
    assert!(local.may_dial("", "127.0.0.1".parse().unwrap()).is_ok());
}

#[test]
fn a_redirect_stays_on_the_server_and_in_the_allowed_path() {
    let rules = allowed(&["http://numbers/base"]);
    let follows = |from: &str, to: &str| rules.follows(&Url::parse(from).unwrap(), &Url::parse(to).unwrap());
    for (from, to, followed) in [
        ("http://numbers/base/a", "http://numbers/base/b", true),
        ("http://numbers/base/a", "http://numbers/admin", false),
        ("http://numbers/base/a", "http://numbers/base/..%2fadmin", false),
        ("http://numbers/base/a", "https://numbers/base/b", false),
        ("http://numbers/base/a", "http://me@numbers/base/b", false),
        ("http://shop/a", "http://shop/b", true),
        ("http://shop/a", "http://shop:81/b", false),
        ("http://10.0.0.1/a", "http://10.0.0.1/b", true),
        ("http://prometheus.monitoring:9090/base/api/v1/query", "http://prometheus.monitoring:9090/base/-/quit", false),
    ] {
        assert_eq!(follows(from, to), followed, "{from} to {to}");
    }
}

#[test]
fn words_of_answers_from_outside_are_withheld() {
    assert_eq!((Way::Source.words(), service("shop").words()), (Words::Withheld, Words::Quoted));
}

/// Addresses as people and attackers write them.
fn addresses() -> impl Strategy<Value = String> {
    let host = prop_oneof![
        Just("shop".to_owned()),
        Just("shop.web.svc".to_owned()),
        Just("shop.other".to_owned()),
        Just("numbers".to_owned()),
        Just("a.example.com".to_owned()),
        Just("metadata.google.internal".to_owned()),
        any::<[u8; 4]>().prop_map(|ip| std::net::Ipv4Addr::from(ip).to_string()),
        any::<u32>().prop_map(|ip| ip.to_string()),
        any::<[u8; 16]>().prop_map(|ip| format!("[{}]", std::net::Ipv6Addr::from(ip))),
        "[a-z.%@:*-]{1,12}",
    ];
    let path = prop::collection::vec(
        prop::sample::select(vec!["base", "/", "..", ".", "%2e", "%2f", "%5c", "%25", "2e", ";", "\\", "%c0%ae", "admin", "@", "?", "#"]),
        0..9,
    );
    let user = prop::sample::select(vec!["", "", "", "me@", "me:secret@"]);
    (
        prop::sample::select(vec!["http://", "https://", "ftp://", "http:///"]),
        user,
        host,
        prop::sample::select(vec!["", ":81", ":9090"]),
        path,
    )
        .prop_map(|(scheme, user, host, port, path)| format!("{scheme}{user}{host}{port}/{}", path.concat()))
}

proptest! {
    /// What is sent goes to a Service of the own namespace or to what an administrator has named; nothing secret is shown.
    #[test]
    fn nothing_is_asked_that_nobody_has_allowed(text in addresses(), method in 0..5_usize, any in any::<bool>()) {
        let methods = [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH];
        let method = &methods[method];
        let rules = Allowed { any, ..allowed(&["http://numbers/base", "https://*.example.com"]) };
        let Ok(url) = Url::parse(&text) else {
            prop_assert!(!shown_text(&text).contains("secret"));
            return Ok(());
        };
        let way = asked(&rules, method, &text, &HeaderMap::new());
        let host = url.host_str().unwrap_or_default().trim_end_matches('.').to_owned();
        match &way {
            Ok(Way::Service(service)) => {
                prop_assert_eq!(&service.namespace, "web");
                prop_assert!(any || matches!(*method, Method::GET | Method::POST));
            }
            Ok(Way::Source) if host == "numbers" => {
                let plain = url.path() == "/base" || url.path().starts_with("/base/");
                // Whatever a server decodes, and however often.
                let mut path = url.path().to_owned();
                for (code, byte) in [("%25", "%"), ("%25", "%"), ("%25", "%"), ("%25", "%"), ("%2e", "."), ("%2f", "/"), ("%5c", "\\")] {
                    path = path.replace(code, byte);
                }
                let leaves = path.split(['/', '\\']).any(|segment| matches!(segment.split(';').next(), Some("." | "..")));
                prop_assert!(plain && !leaves, "{url} is {path}");
            }
            Ok(Way::Source) => prop_assert!(host.ends_with(".example.com") && url.scheme() == "https", "{}", url),
            Ok(Way::Any) => prop_assert!(any),
            Err(denied) => prop_assert!(!denied.to_string().contains("secret"), "{}", denied),
        }
        if way.is_ok() {
            prop_assert!(url.username().is_empty() && url.password().is_none());
            if let Some(ip) = literal(&url) {
                prop_assert!(address::kind(ip) != Kind::Metadata);
            }
        }
    }
}
