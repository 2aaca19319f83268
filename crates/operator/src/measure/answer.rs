//! Reading answers and telling what is wrong with them.

use std::{error::Error, time::Duration};

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

/// Enough to tell people what was answered.
const ENOUGH: usize = 1024;

/// How long that is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// The beginning of the body, as far as it comes at once.
pub async fn beginning(mut answer: reqwest::Response) -> Vec<u8> {
    let mut body = Vec::new();
    let reading = async {
        while body.len() < ENOUGH
            && let Ok(Some(part)) = answer.chunk().await
        {
            body.extend_from_slice(&part);
        }
    };
    let _late = tokio::time::timeout(PATIENCE, reading).await;
    body
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
