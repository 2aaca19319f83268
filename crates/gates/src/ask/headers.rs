//! Headers of requests, as `spec` names them.

use crate::invalid::Invalid;
use bluegreen_api::HttpHeader;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Headers that follow from the request itself: one that says otherwise would break it.
pub const OWN: [&str; 8] =
    ["connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];

pub fn named(asked: &[HttpHeader]) -> impl Iterator<Item = (&String, &String)> {
    asked.iter().map(|header| (&header.name, &header.value))
}

pub(crate) fn headers<'a>(asked: impl IntoIterator<Item = (&'a String, &'a String)>) -> Result<HeaderMap, Invalid> {
    let mut headers = HeaderMap::new();
    for (name, value) in asked {
        if headers.insert(header_name(name)?, header_value(name, value)?).is_some() {
            return Err(Invalid(format!("the header {name:?} is set twice: keep one")));
        }
    }
    Ok(headers)
}

pub(crate) fn header_name(name: &str) -> Result<HeaderName, Invalid> {
    let wrong = |why: &str| Invalid(format!("the header {name:?} {why}"));
    let read = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("is not a valid header name"))?;
    if OWN.contains(&read.as_str()) {
        return Err(wrong("is set by the HTTP client: remove it"));
    }
    Ok(read)
}

pub(crate) fn header_value(name: &str, value: &str) -> Result<HeaderValue, Invalid> {
    HeaderValue::from_str(value).map_err(|_| Invalid(format!("the header {name:?} has a value with characters that are not visible ASCII")))
}
