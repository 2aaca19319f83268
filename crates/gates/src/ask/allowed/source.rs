//! A source that the operator's administrator allows: the beginning of the addresses that may be asked.

use std::{fmt, str::FromStr};
use url::{Host, Url};

/// Scheme, host, port, and a path under which the allowed addresses are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    url: Url,
    /// Every name that ends with the host, after a dot.
    below: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum InvalidSource {
    #[error("not a valid URL ({0}): write for example http://prometheus.monitoring:9090")]
    Url(url::ParseError),
    #[error("a source must begin with http:// or https:// and have a host")]
    Scheme,
    #[error("a source must not have a query or a fragment: leave out what follows the path")]
    Query,
    #[error("a source must not hold a user name or a password: --prometheus-credentials and Secrets are for them")]
    User,
    #[error("*. must be followed by a name, as in https://*.example.com")]
    Wildcard,
}

impl FromStr for Source {
    type Err = InvalidSource;

    fn from_str(text: &str) -> Result<Self, InvalidSource> {
        let below = text.contains("://*.");
        let url = Url::parse(&text.replacen("://*.", "://", 1)).map_err(InvalidSource::Url)?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(InvalidSource::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidSource::User);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidSource::Query);
        }
        if below && !matches!(url.host(), Some(Host::Domain(_))) || url.host_str().is_some_and(|host| host.contains('*')) {
            return Err(InvalidSource::Wildcard);
        }
        Ok(Self { url, below })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.url.as_str().trim_end_matches('/');
        if self.below { f.write_str(&text.replacen("://", "://*.", 1)) } else { f.write_str(text) }
    }
}

impl Source {
    /// The one address below it at which a Prometheus is asked for numbers.
    pub fn of_queries(&self) -> Self {
        let mut url = self.url.clone();
        url.set_path(&format!("{}/api/v1/query", self.url.path().trim_end_matches('/')));
        Self { url, below: self.below }
    }

    pub fn covers(&self, url: &Url) -> bool {
        self.covers_server(url) && stays_under(self.url.path().trim_end_matches('/'), url.path())
    }

    /// Whether it is the path alone that is not allowed.
    pub fn covers_server(&self, url: &Url) -> bool {
        self.url.scheme() == url.scheme()
            && self.url.port_or_known_default() == url.port_or_known_default()
            && self.covers_host(url.host_str().unwrap_or_default())
    }

    /// Whether it names this very address of the operator's own machine.
    pub fn names_machine(&self, host: &str) -> bool {
        let here = match self.url.host() {
            Some(Host::Domain(name)) => matches!(bare(name), "localhost"),
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        here && !self.below && self.covers_host(host)
    }

    fn covers_host(&self, host: &str) -> bool {
        let (own, host) = (bare(self.url.host_str().unwrap_or_default()), bare(host));
        if self.below { host.strip_suffix(own).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')) } else { own == host }
    }
}

/// A name is the same with a dot at its end.
fn bare(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

/// Servers decode paths, some of them twice: what could lead out of a path then is not under it.
fn stays_under(under: &str, path: &str) -> bool {
    if under.is_empty() {
        return true;
    }
    let Some(rest) = path.strip_prefix(under) else { return false };
    (rest.is_empty() || rest.starts_with('/')) && rest.split('/').all(is_plain)
}

fn is_plain(segment: &str) -> bool {
    let mut bytes = segment.as_bytes().to_vec();
    loop {
        let decoded = decoded(&bytes);
        if decoded == bytes {
            break;
        }
        bytes = decoded;
    }
    // Some servers read parameters of a segment after a semicolon. What isn't UTF-8 may be a dot or a slash in other eyes.
    let Ok(text) = std::str::from_utf8(&bytes) else { return false };
    let name = text.split(';').next().unwrap_or_default();
    !matches!(name, "." | "..") && !text.contains(['/', '\\']) && !text.contains(char::is_control)
}

/// Each `%` with two hex digits once; what it gives is shorter, or the same.
fn decoded(bytes: &[u8]) -> Vec<u8> {
    let hex = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16)).and_then(|digit| u8::try_from(digit).ok());
    let mut all = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match (byte, hex(bytes.get(at + 1)), hex(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                all.push(high * 16 + low);
                at += 3;
            }
            _ => {
                all.push(*byte);
                at += 1;
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(source: &str, url: &str) -> bool {
        source.parse::<Source>().unwrap().covers(&Url::parse(url).unwrap())
    }

    #[test]
    fn a_source_covers_its_server_and_the_paths_below_its_own() {
        for (url, covered) in [
            ("http://prom:9090/base", true),
            ("http://prom.:9090/base", true),
            ("http://PROM:9090/base/api?query=../up", true),
            ("http://prom:9090/base/a.b/..c", true),
            ("http://prom:9090/base/%20", true),
            ("http://prom:9090/basement", false),
            ("http://prom:9090/", false),
            ("http://prom:9091/base", false),
            ("https://prom:9090/base", false),
            ("http://prom:9090@example/base", false),
            ("http://example:9090/base", false),
        ] {
            assert_eq!(covers("http://prom:9090/base", url), covered, "{url}");
        }
        assert!(covers("https://prom", "https://prom:443/any") && covers("http://prom", "http://prom/%2e%2e%2f"));
    }

    #[test]
    fn an_encoded_path_does_not_lead_out_of_a_source() {
        for rest in [
            "/../admin",
            "/%2e%2e/admin",
            "/..%2fadmin",
            "/..%2Fadmin",
            "/%2e%2e%2fadmin",
            "/..%5cadmin",
            "/..\\admin",
            "/%252e%252e%252fadmin",
            "/%25252e%25252e/admin",
            "/..;/admin",
            "/.;a=b/x",
            "/%2e%2e;x/admin",
            "/%c0%ae%c0%ae/admin",
            "/%c0%af",
            "/a%00b",
        ] {
            assert!(!covers("http://prom/base", &format!("http://prom/base{rest}")), "{rest}");
        }
    }

    #[test]
    fn a_star_covers_every_name_below_and_no_other() {
        for (url, covered) in [
            ("https://a.example.com/", true),
            ("https://a.b.example.com./", true),
            ("https://example.com/", false),
            ("https://.example.com/", false),
            ("https://badexample.com/", false),
            ("https://a.example.com.evil/", false),
            ("http://a.example.com/", false),
        ] {
            let url = Url::parse(url).unwrap();
            assert_eq!("https://*.example.com".parse::<Source>().unwrap().covers(&url), covered, "{url}");
        }
    }

    #[test]
    fn a_source_that_is_none_is_refused_in_a_sentence() {
        for (text, why) in [
            ("prom:9090", "a source must begin with http"),
            ("file:///etc", "a source must begin with http"),
            ("http://", "not a valid URL (empty host)"),
            ("http://me:secret@prom", "a source must not hold a user name"),
            ("http://prom?x=1", "a source must not have a query"),
            ("http://*.10.0.0.1", "*. must be followed by a name"),
            ("http://a*.example", "*. must be followed by a name"),
        ] {
            let error = text.parse::<Source>().unwrap_err().to_string();
            assert!(error.starts_with(why) && !error.contains("secret"), "{text}: {error}");
        }
        for text in ["https://*.example.com/base", "http://prom:9090"] {
            assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn only_a_source_that_names_the_machine_leads_to_it() {
        let names = |source: &str, host: &str| source.parse::<Source>().unwrap().names_machine(host);
        assert!(names("http://localhost:9090", "localhost") && names("http://127.0.0.1", "127.0.0.1") && names("http://[::1]", "[::1]"));
        assert!(!names("http://prom", "prom") && !names("http://127.0.0.1", "127.0.0.2") && !names("http://*.localhost", "a.localhost"));
    }
}
