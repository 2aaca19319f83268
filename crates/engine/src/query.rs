//! Variables in queries and URLs, and ranges in PromQL.

use crate::plan::Invalid;
use std::time::Duration;
use url::Url;

const KNOWN: [&str; 5] = ["namespace", "rollout", "color", "revision", "pods"];

/// What the variables of a query stand for.
pub struct Variables<'a> {
    pub namespace: &'a str,
    pub rollout: &'a str,
    pub color: &'a str,
    pub revision: &'a str,
}

impl Variables<'_> {
    fn value(&self, name: &str) -> Option<String> {
        Some(match name {
            "namespace" => self.namespace.to_owned(),
            "rollout" => self.rollout.to_owned(),
            "color" => self.color.to_owned(),
            "revision" => self.revision.to_owned(),
            "pods" => format!("{}-{}-[a-z0-9]+-[a-z0-9]+", self.rollout, self.color),
            _ => return None,
        })
    }
}

/// A piece of a query: text, or the name of a variable.
enum Piece<'a> {
    Text(&'a str),
    Variable(&'a str),
}

fn pieces<'a>(query: &'a str, what: &str) -> Result<Vec<Piece<'a>>, Invalid> {
    let mut pieces = Vec::new();
    let mut rest = query;
    while let Some((text, tail)) = rest.split_once("{{") {
        let Some((name, tail)) = tail.split_once("}}") else {
            return Err(Invalid(format!("the {what} opens a variable with {{{{ and does not close it with }}}}")));
        };
        pieces.push(Piece::Text(text));
        pieces.push(Piece::Variable(name.trim()));
        rest = tail;
    }
    pieces.push(Piece::Text(rest));
    Ok(pieces)
}

/// A query with a variable that nobody knows is refused when it is read, not when it is asked.
pub fn check_variables(query: &str) -> Result<(), Invalid> {
    check(query, "query")
}

fn check(query: &str, what: &str) -> Result<(), Invalid> {
    for piece in pieces(query, what)? {
        if let Piece::Variable(name) = piece
            && !KNOWN.contains(&name)
        {
            return Err(Invalid(format!("the {what} has an unknown variable {{{{ {name} }}}}; known are {}", KNOWN.join(", "))));
        }
    }
    Ok(())
}

/// The query with its variables put in. One that [`check_variables`] has passed always resolves.
pub fn resolve(query: &str, variables: &Variables<'_>) -> String {
    put_in(query, |name| variables.value(name).unwrap_or_default())
}

fn put_in(query: &str, value: impl Fn(&str) -> String) -> String {
    let Ok(pieces) = pieces(query, "query") else { return query.to_owned() };
    pieces
        .into_iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.to_owned(),
            Piece::Variable(name) => value(name),
        })
        .collect()
}

/// A URL that nobody could ask is refused when it is read, whatever its variables stand for.
pub fn check_url(url: &str) -> Result<(), Invalid> {
    check(url, "url")?;
    let example = Variables { namespace: "namespace", rollout: "rollout", color: "blue", revision: "revision" };
    let read = Url::parse(&resolve_url(url, &example)).map_err(|error| Invalid(format!("the url {url:?} is none: {error}")))?;
    if !matches!(read.scheme(), "http" | "https") {
        return Err(Invalid(format!("the url {url:?} must begin with http:// or https://")));
    }
    if !read.username().is_empty() || read.password().is_some() {
        return Err(Invalid("the url holds a user name or a password, which would be told in messages: send them in a header".into()));
    }
    Ok(())
}

/// The URL with its variables put in, escaped where they would mean something else there. One that [`check_url`] has passed always resolves.
pub fn resolve_url(url: &str, variables: &Variables<'_>) -> String {
    let escaped = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    put_in(url, |name| variables.value(name).unwrap_or_default().bytes().map(escaped).collect())
}

/// The longest range selector (`[5m]`, `[1h30m:1m]`) of a query: so far back reaches an answer.
pub fn longest_range(query: &str) -> Duration {
    let ranges = query.split('[').skip(1).filter_map(|tail| tail.split_once(']'));
    ranges.filter_map(|(range, _)| promql_duration(range.split(':').next()?)).max().unwrap_or_default()
}

fn promql_duration(text: &str) -> Option<Duration> {
    let mut total = 0_u64;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let unit = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(unit);
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            "y" => 31_536_000_000,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(millis)?)?;
        rest = tail;
    }
    Some(Duration::from_millis(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_put_in_and_unknown_ones_refused() {
        let variables = Variables { namespace: "web", rollout: "shop", color: "green", revision: "abc" };
        let query = r#"sum(rate(http_requests_total{namespace="{{ namespace }}",pod=~"{{pods}}"}[1m]))"#;
        check_variables(query).unwrap();
        assert_eq!(
            resolve(query, &variables),
            r#"sum(rate(http_requests_total{namespace="web",pod=~"shop-green-[a-z0-9]+-[a-z0-9]+"}[1m]))"#
        );
        let error = check_variables("up{pod=\"{{ pod }}\"}").unwrap_err();
        assert_eq!(error.to_string(), "the query has an unknown variable {{ pod }}; known are namespace, rollout, color, revision, pods");
        assert!(check_variables("up{{ ").is_err());
    }

    #[test]
    fn the_longest_range_is_found() {
        assert_eq!(longest_range("rate(a[1m]) / rate(b[5m])"), Duration::from_secs(300));
        assert_eq!(longest_range("max_over_time(rate(a[1m])[1h30m:1m])"), Duration::from_secs(5400));
        assert_eq!(longest_range("up"), Duration::ZERO);
    }

    #[test]
    fn variables_of_a_url_are_put_in_escaped() {
        let variables = Variables { namespace: "web", rollout: "shop", color: "green", revision: "abc" };
        let url = "https://{{rollout}}-preview.{{ namespace }}.svc:8443/{{ revision }}?pods={{ pods }}";
        check_url(url).unwrap();
        let resolved = "https://shop-preview.web.svc:8443/abc?pods=shop-green-%5Ba-z0-9%5D%2B-%5Ba-z0-9%5D%2B";
        assert_eq!(resolve_url(url, &variables), resolved);
    }

    #[test]
    fn a_url_that_nobody_could_ask_is_refused_in_a_sentence() {
        let known = "known are namespace, rollout, color, revision, pods";
        for (url, why) in [
            ("http://{{ service }}/", format!("the url has an unknown variable {{{{ service }}}}; {known}")),
            ("http://{{ rollout", "the url opens a variable with {{ and does not close it with }}".into()),
            ("https://", "the url \"https://\" is none: empty host".into()),
            ("http://shop:99999/", "the url \"http://shop:99999/\" is none: invalid port number".into()),
            ("ftp://shop/", "the url \"ftp://shop/\" must begin with http:// or https://".into()),
            (
                "https://me:secret@shop/",
                "the url holds a user name or a password, which would be told in messages: send them in a header".into(),
            ),
        ] {
            assert_eq!(check_url(url).unwrap_err().to_string(), why);
        }
    }

    #[test]
    fn every_variable_stands_for_what_it_names() {
        let variables = Variables { namespace: "web", rollout: "shop", color: "green", revision: "abc" };
        let query = "{{namespace}} {{rollout}} {{color}} {{revision}} {{pods}}";
        check_variables(query).unwrap();
        assert_eq!(resolve(query, &variables), "web shop green abc shop-green-[a-z0-9]+-[a-z0-9]+");
    }

    #[test]
    fn a_range_is_read_in_every_unit_that_prometheus_knows() {
        let units = [
            ("500ms", 500),
            ("2s", 2_000),
            ("3m", 180_000),
            ("1h", 3_600_000),
            ("1d12h", 129_600_000),
            ("1w", 604_800_000),
            ("1y", 31_536_000_000),
        ];
        for (range, millis) in units {
            assert_eq!(longest_range(&format!("rate(a[{range}])")), Duration::from_millis(millis), "{range}");
        }
        assert_eq!(longest_range("rate(a[5 parsecs])"), Duration::ZERO, "what can't be read delays nothing");
    }
}
