//! Reading answers and telling what is wrong with them.

use std::error::Error;

/// More than any number needs.
pub const LARGEST: usize = 1024 * 1024;

/// The body, if it isn't larger than [`LARGEST`].
pub async fn body(mut answer: reqwest::Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(|error| cause(&error))? {
        if body.len() + part.len() > LARGEST {
            return Err(format!("the answer is larger than {LARGEST} bytes"));
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}

/// The innermost cause: the outer ones only repeat the address.
pub fn cause(error: &(dyn Error + 'static)) -> String {
    if error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_timeout) {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
