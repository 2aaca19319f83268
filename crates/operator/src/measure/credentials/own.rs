//! Credentials of the operator's own Prometheus: files in a directory, as a mounted Secret or a projected volume has them.

use super::{Access, Kept, Keys, PATIENCE};
use crate::measure::address::Rules;
use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read},
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

/// The files that are read. A volume holds others too, as `namespace`.
const FILES: [&str; 6] = ["token", "username", "password", "ca.crt", "tls.crt", "tls.key"];

/// As much as a Secret may hold.
const LARGEST: u64 = 1024 * 1024;

/// A volume that changes during each of so many readings is broken.
const READINGS: usize = 3;

/// The operator's own credentials.
pub struct Own {
    directory: PathBuf,
    rules: Arc<Rules>,
    kept: Mutex<Kept>,
}

impl Own {
    pub fn new(directory: PathBuf, rules: Arc<Rules>) -> Self {
        Self { directory, rules, kept: Mutex::default() }
    }

    /// A sentence when they can't be had: trouble of the source, and no word on the release.
    pub async fn access(&self) -> Result<Access, String> {
        let mut kept = self.kept.lock().await;
        let word = format!("the directory {} of --prometheus-credentials", self.directory.display());
        if kept.is_old() {
            let directory = self.directory.clone();
            // A volume may hang, and nobody could be asked as long as it does.
            let read = timeout(PATIENCE, tokio::task::spawn_blocking(move || read(&directory))).await;
            kept.looked = Some(Instant::now());
            match read {
                Ok(Ok(Ok(keys))) => kept.take(keys, &word, &self.rules),
                Ok(Ok(Err(why))) => kept.access = Some(Err(format!("{word} {why}"))),
                Ok(Err(error)) => kept.access = Some(Err(format!("reading {word} failed: {error}"))),
                // The known keys are as good as a moment ago.
                Err(_) if matches!(kept.access, Some(Ok(_))) => {}
                Err(_) => kept.access = Some(Err(format!("reading {word} timed out"))),
            }
        }
        kept.access.clone().unwrap_or_else(|| Err(format!("{word} has not been read yet")))
    }
}

/// The files of a volume change together, when its link `..data` leads elsewhere: no user of before is read with a password of after.
fn read(directory: &Path) -> Result<Keys, String> {
    let volume = || fs::read_link(directory.join("..data")).ok();
    for _ in 0..READINGS {
        let before = volume();
        let keys = files(directory)?;
        if volume() == before {
            return Ok(keys);
        }
    }
    Err("changed while it was read".into())
}

fn files(directory: &Path) -> Result<Keys, String> {
    fs::read_dir(directory).map_err(|error| format!("can't be read: {error}: mount the credentials there, or remove the flag"))?;
    let mut keys = Keys::new();
    for name in FILES {
        match content(&directory.join(name)) {
            Ok(content) => {
                keys.insert(name.to_owned(), content);
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(format!("has a file {name} that can't be read: {error}")),
        }
    }
    if keys.is_empty() {
        return Err(format!("has none of the files {}: mount the credentials there, or remove the flag", FILES.join(", ")));
    }
    Ok(keys)
}

fn content(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(LARGEST + 1).read_to_end(&mut content)?;
    if content.len() as u64 > LARGEST {
        return Err(io::Error::other("larger than 1 MiB"));
    }
    Ok(content)
}

#[cfg(test)]
mod tests;
