//! The signature by which a webhook knows that it is the operator who asks.

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::HeaderValue;
use sha2::Sha256;
use std::path::PathBuf;

/// Signs with the key in a file, if there is one.
#[derive(Clone, Debug, Default)]
pub struct Signer(pub Option<PathBuf>);

impl Signer {
    /// The file is read each time: a Secret that is mounted changes when it is rotated.
    pub async fn sign(&self, body: &[u8]) -> Result<Option<HeaderValue>, String> {
        let Some(path) = &self.0 else { return Ok(None) };
        let (read, name) = (path.clone(), path.display());
        let key = match tokio::task::spawn_blocking(move || std::fs::read(read)).await {
            Ok(Ok(key)) => key,
            Ok(Err(error)) => return Err(format!("the webhook was not sent: its key file {name} can't be read: {error}")),
            Err(error) => return Err(format!("the webhook was not sent: reading its key file {name} failed: {error}")),
        };
        // Editors and `echo` leave a line break that nobody means.
        let key = key.trim_ascii_end();
        if key.is_empty() {
            return Err(format!("the webhook was not sent: its key file {name} is empty"));
        }
        let unsigned = |error: &dyn std::fmt::Display| format!("the webhook was not sent: signing failed: {error}");
        let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|error| unsigned(&error))?;
        mac.update(body);
        let signature = format!("sha256={}", HEXLOWER.encode(&mac.finalize().into_bytes()));
        HeaderValue::from_str(&signature).map(Some).map_err(|error| unsigned(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn signed(key: Option<&str>, body: &str) -> Result<Option<HeaderValue>, String> {
        let file = std::env::temp_dir().join(format!("signing-key-{}-{:?}", std::process::id(), std::thread::current().id()));
        if let Some(key) = key {
            std::fs::write(&file, key).unwrap();
        }
        let signature = Signer(Some(file.clone())).sign(body.as_bytes()).await;
        let _ = std::fs::remove_file(&file);
        signature.map_err(|why| why.replace(&file.display().to_string(), "FILE"))
    }

    #[tokio::test]
    async fn a_body_is_signed_as_rfc_4231_has_it_whatever_ends_the_key() {
        let expected = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        for key in ["Jefe", "Jefe\n", "Jefe\r\n"] {
            let signature = signed(Some(key), "what do ya want for nothing?").await.unwrap().unwrap();
            assert_eq!(signature, expected);
        }
        assert_eq!(Signer(None).sign(b"a").await, Ok(None), "no key is asked for");
    }

    #[tokio::test]
    async fn a_key_that_is_away_or_empty_signs_nothing_and_says_so() {
        let why = "the webhook was not sent: its key file FILE";
        assert_eq!(signed(Some(" \n"), "a").await, Err(format!("{why} is empty")));
        assert_eq!(signed(None, "a").await, Err(format!("{why} can't be read: No such file or directory (os error 2)")));
    }
}
