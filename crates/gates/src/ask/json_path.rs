//! Paths into answers in JSON.

use crate::invalid::Invalid;
use serde_json_path::JsonPath;

pub(crate) fn json_path(field: &str, path: &str) -> Result<JsonPath, Invalid> {
    let read = JsonPath::parse(path).map_err(|error| Invalid(format!("{field} {path:?} is not a valid JSONPath: {error}")))?;
    if is_costly(path) {
        let why = "uses .. twice, or $ in a filter, which is too slow on a large answer";
        return Err(Invalid(format!("{field} {path:?} {why}: write a path that goes through the answer once")));
    }
    Ok(read)
}

/// Whether a path may visit what is in an answer more often than once for each of its parts.
pub fn is_costly(path: &str) -> bool {
    let (mut bare, mut quote, mut escaped) = (String::new(), None, false);
    for c in path.chars() {
        match quote {
            Some(end) => {
                quote = (c != end || escaped).then_some(end);
                escaped = c == '\\' && !escaped;
            }
            None if matches!(c, '\'' | '"') => quote = Some(c),
            None => bare.push(c),
        }
    }
    bare.matches("..").count() > 1 || bare.matches('$').count() > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_path_goes_through_an_answer_once() {
        let cases = [
            ("$..state", false),
            ("$.a[?@.b == 'up']..c", false),
            ("$['$ref']['..']..a", false),
            (r"$['it\'s $..']['..']..a", false),
            ("$..*..*", true),
            ("$..[?@..a]", true),
            ("$[?$[?$.a]]", true),
            ("$.a[?@.b == $.c]", true),
        ];
        for (path, refused) in cases {
            let read = json_path("jsonPath", path);
            assert_eq!(read.is_err_and(|why| why.to_string().contains("too slow")), refused, "{path}");
            JsonPath::parse(path).unwrap();
        }
    }
}
