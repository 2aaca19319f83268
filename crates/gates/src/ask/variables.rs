//! Variables in queries and URLs, and ranges in PromQL.

use super::allowed::shown_text;
use super::pods;
use crate::invalid::Invalid;
use jiff::Timestamp;
use std::time::Duration;
use url::Url;

const KNOWN: [&str; 9] = ["namespace", "rollout", "color", "revision", "pods", "other.color", "other.revision", "other.pods", INTERVAL];
const INTERVAL: &str = "interval";
/// A side by the names of its pods: where none is seen there is nobody to ask about.
const PODS: [&str; 2] = ["pods", "other.pods"];
/// Known where a window of time is asked for.
const TIMES: [&str; 2] = ["start", "end"];

/// Variables in one text: each may stand for the names of all pods.
const MOST: usize = 64;

/// What the variables of a query stand for.
#[derive(Clone)]
pub struct Variables<'a> {
    pub namespace: &'a str,
    pub rollout: &'a str,
    pub color: &'a str,
    pub revision: &'a str,
    /// Names of the pods of this revision that are seen.
    pub pods: Vec<&'a str>,
    /// The side beside it.
    pub other_color: &'a str,
    /// Empty when there is none.
    pub other_revision: &'a str,
    pub other_pods: Vec<&'a str>,
    /// From one measurement to the next.
    pub interval: Duration,
    /// When this measurement is taken.
    pub at: Timestamp,
    /// Of the window that ends then.
    pub window: Duration,
}

impl Variables<'_> {
    fn value(&self, name: &str) -> Option<String> {
        Some(match name {
            "namespace" => self.namespace.to_owned(),
            "rollout" => self.rollout.to_owned(),
            "color" => self.color.to_owned(),
            "revision" => self.revision.to_owned(),
            "pods" => pods::regex(self.rollout, self.color, &self.pods),
            "other.color" => self.other_color.to_owned(),
            "other.revision" => self.other_revision.to_owned(),
            "other.pods" => pods::regex(self.rollout, self.other_color, &self.other_pods),
            INTERVAL => written(self.interval),
            "start" => self.at.checked_sub(self.window).unwrap_or(self.at).as_second().to_string(),
            "end" => self.at.as_second().to_string(),
            _ => return None,
        })
    }

    /// Why there is nobody that this text could ask about: it names pods, and none of them is seen.
    pub fn nobody(&self, text: &str) -> Option<String> {
        let names = |variable: &str| {
            pieces(text, "text").is_ok_and(|all| all.iter().any(|it| matches!(it, Piece::Variable(name) if *name == variable)))
        };
        let (revision, pods) = match PODS.map(names) {
            [true, _] if self.pods.is_empty() => (self.revision, "pods"),
            [_, true] if self.other_pods.is_empty() => (self.other_revision, "other.pods"),
            _ => return None,
        };
        let of = if revision.is_empty() { String::new() } else { format!(" of revision {revision}") };
        Some(format!("nothing was asked: no pod{of} is seen ({{{{ {pods} }}}})"))
    }
}

/// As PromQL has it.
fn written(interval: Duration) -> String {
    bluegreen_api::Duration(interval).to_string()
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
pub fn check_variables(query: &str, what: &str) -> Result<(), Invalid> {
    known(query, what, &KNOWN)
}

/// In what asks for a window of time.
pub fn check_window_variables(text: &str, what: &str) -> Result<(), Invalid> {
    known(text, what, &[KNOWN.as_slice(), &TIMES].concat())
}

/// Whether a text names the window's end: without it, it asks until now.
pub fn asks_for_a_time(text: &str) -> bool {
    pieces(text, "text").is_ok_and(|pieces| pieces.iter().any(|piece| matches!(piece, Piece::Variable("end"))))
}

fn known(text: &str, what: &str, names: &[&str]) -> Result<(), Invalid> {
    let pieces = pieces(text, what)?;
    let count = pieces.iter().filter(|piece| matches!(piece, Piece::Variable(_))).count();
    if count > MOST {
        return Err(Invalid(format!("the {what} has {count} variables, at most {MOST} are allowed: remove some")));
    }
    for piece in pieces {
        if let Piece::Variable(name) = piece
            && !names.contains(&name)
        {
            return Err(Invalid(format!("the {what} has an unknown variable {{{{ {name} }}}}; known are {}", names.join(", "))));
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
    check_variables(url, "url")?;
    can_be_asked(url)
}

/// The same of one that asks for a window of time.
pub fn check_window_url(url: &str) -> Result<(), Invalid> {
    check_window_variables(url, "url")?;
    can_be_asked(url)
}

fn can_be_asked(url: &str) -> Result<(), Invalid> {
    let example = Variables {
        namespace: "namespace",
        rollout: "rollout",
        color: "blue",
        revision: "revision",
        pods: vec!["pod"],
        other_color: "green",
        other_revision: "other",
        other_pods: vec!["other"],
        interval: Duration::from_secs(1),
        at: Timestamp::UNIX_EPOCH,
        window: Duration::ZERO,
    };
    let shown = if url.contains('@') { &shown_text(url) } else { url };
    let read =
        Url::parse(&resolve_url(url, &example)).map_err(|error| Invalid(format!("the url {shown:?} is not a valid URL: {error}")))?;
    if !matches!(read.scheme(), "http" | "https") {
        return Err(Invalid(format!("the url {shown:?} must begin with http:// or https://")));
    }
    if !read.username().is_empty() || read.password().is_some() {
        return Err(Invalid("the url holds a user name or a password, which messages would show: send them in a header".into()));
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
pub fn longest_range(query: &str, interval: Duration) -> Duration {
    let query = put_in(query, |name| if name == INTERVAL { written(interval) } else { String::new() });
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

    const ALL: &str = "namespace, rollout, color, revision, pods, other.color, other.revision, other.pods, interval";

    fn longest(query: &str) -> Duration {
        longest_range(query, Duration::from_secs(20))
    }

    fn variables() -> Variables<'static> {
        Variables {
            namespace: "web",
            rollout: "shop",
            color: "green",
            revision: "abc",
            pods: vec!["shop-green-6d4-x1y2z", "shop-green-6d4-a1b2c"],
            other_color: "blue",
            other_revision: "def",
            other_pods: vec!["shop-blue-7f9-k1l2m"],
            interval: Duration::from_secs(90),
            at: Timestamp::from_second(1_800_000_300).unwrap(),
            window: Duration::from_secs(300),
        }
    }

    #[test]
    fn variables_are_put_in_and_unknown_ones_refused() {
        let variables = variables();
        let query = r#"sum(rate(http_requests_total{namespace="{{ namespace }}",pod=~"{{pods}}"}[1m]))"#;
        check_variables(query, "query").unwrap();
        assert_eq!(
            resolve(query, &variables),
            r#"sum(rate(http_requests_total{namespace="web",pod=~"shop-green-6d4-(a1b2c|x1y2z)"}[1m]))"#
        );
        let error = check_variables("up{pod=\"{{ pod }}\"}", "query").unwrap_err();
        assert_eq!(error.to_string(), format!("the query has an unknown variable {{{{ pod }}}}; known are {ALL}"));
        assert!(check_variables("up{{ ", "query").is_err());
    }

    #[test]
    fn the_longest_range_is_found() {
        assert_eq!(longest("rate(a[1m]) / rate(b[5m])"), Duration::from_secs(300));
        assert_eq!(longest("max_over_time(rate(a[1m])[1h30m:1m])"), Duration::from_secs(5400));
        assert_eq!(longest("rate(a[{{ interval }}])"), Duration::from_secs(20));
        assert_eq!(longest("up"), Duration::ZERO);
    }

    #[test]
    fn variables_of_a_url_are_put_in_escaped() {
        let variables = variables();
        let url = "https://{{rollout}}-preview.{{ namespace }}.svc:8443/{{ revision }}?pods={{ pods }}";
        check_url(url).unwrap();
        let resolved = "https://shop-preview.web.svc:8443/abc?pods=shop-green-6d4-%28a1b2c%7Cx1y2z%29";
        assert_eq!(resolve_url(url, &variables), resolved);
    }

    #[test]
    fn a_url_that_nobody_could_ask_is_refused_in_a_sentence() {
        for (url, why) in [
            ("http://{{ service }}/", format!("the url has an unknown variable {{{{ service }}}}; known are {ALL}")),
            ("http://{{ rollout", "the url opens a variable with {{ and does not close it with }}".into()),
            ("https://", "the url \"https://\" is not a valid URL: empty host".into()),
            ("http://shop:99999/", "the url \"http://shop:99999/\" is not a valid URL: invalid port number".into()),
            ("ftp://shop/", "the url \"ftp://shop/\" must begin with http:// or https://".into()),
            ("https://me:secret@shop/", "the url holds a user name or a password, which messages would show: send them in a header".into()),
        ] {
            assert_eq!(check_url(url).unwrap_err().to_string(), why);
        }
        for wrong in ["https://me:secret@shop:99999/", "ftp://me:secret@shop/", "https://me:se@secret@"] {
            assert!(!check_url(wrong).unwrap_err().to_string().contains("secret"), "{wrong}");
        }
        for one_of_them in ["https://me@shop/", "https://:secret@shop/"] {
            assert!(check_url(one_of_them).unwrap_err().to_string().contains("a user name or a password"), "{one_of_them}");
        }
    }

    #[test]
    fn every_variable_stands_for_what_it_names() {
        let variables = variables();
        let query =
            "{{namespace}} {{rollout}} {{color}} {{revision}} {{pods}} {{other.color}} {{other.revision}} {{other.pods}} {{interval}}";
        check_variables(query, "query").unwrap();
        assert_eq!(resolve(query, &variables), "web shop green abc shop-green-6d4-(a1b2c|x1y2z) blue def shop-blue-7f9-k1l2m 1m30s");
    }

    #[test]
    fn pods_that_nobody_sees_are_not_asked_about() {
        let nobody = Variables { pods: vec![], other_pods: vec![], ..variables() };
        assert_eq!(nobody.nobody("up{pod=~\"{{pods}}\"}").unwrap(), "nothing was asked: no pod of revision abc is seen ({{ pods }})");
        let other = nobody.nobody("up{pod=~\"{{ other.pods }}\"}").unwrap();
        assert_eq!(other, "nothing was asked: no pod of revision def is seen ({{ other.pods }})");
        assert_eq!(nobody.nobody("up{revision=\"{{ revision }}\"}"), None, "it names no pods");
        assert_eq!(variables().nobody("{{ pods }} {{ other.pods }}"), None);
    }

    #[test]
    fn a_window_is_known_only_where_one_is_asked_for() {
        let (url, body) = ("https://numbers/{{ rollout }}?from={{start}}&to={{ end }}", "{{ start }}000");
        check_window_url(url).unwrap();
        check_window_variables(body, "body").unwrap();
        assert_eq!(resolve_url(url, &variables()), "https://numbers/shop?from=1800000000&to=1800000300");
        assert_eq!(resolve(body, &variables()), "1800000000000");
        let known = format!("known are {ALL}");
        assert!(check_url(url).unwrap_err().to_string().ends_with(&known) && check_variables(body, "query").is_err());
        let error = check_window_url("https://numbers/{{ begin }}").unwrap_err().to_string();
        assert!(error.ends_with(&format!("{known}, start, end")), "{error}");
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
            assert_eq!(longest(&format!("rate(a[{range}])")), Duration::from_millis(millis), "{range}");
        }
        assert_eq!(longest("rate(a[5 parsecs])"), Duration::ZERO, "what can't be read delays nothing");
    }
}
