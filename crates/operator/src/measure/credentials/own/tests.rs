use super::super::{FRESH, MISSING};
use super::*;
use crate::measure::{
    Signer, Sources,
    stage::{local, nowhere, provide_tls, serve, stop_the_clock},
};
use axum::{Router, http::HeaderMap, response::Redirect, routing::post};
use bluegreen_gates::{
    ask::{
        What,
        question::{Question, Secret, Whose},
    },
    reading::{Outcome, Reading},
};
use serde_json::json;
use std::{os::unix::fs::symlink, time::Duration};

/// A directory as a volume has it: links to files that change together.
struct Volume(PathBuf);

impl Volume {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("prometheus-credentials-{}-{name}", std::process::id()));
        // A run that was killed left its own there, and the number of its process comes again.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn with(name: &str, files: &[(&str, &str)]) -> Self {
        let volume = Self::new(name);
        volume.set("1", files);
        volume
    }

    fn set(&self, version: &str, files: &[(&str, &str)]) {
        let version = format!("..{version}");
        fs::create_dir(self.0.join(&version)).unwrap();
        for (name, content) in files {
            fs::write(self.0.join(&version).join(name), content).unwrap();
            if !self.0.join(name).is_symlink() {
                symlink(format!("..data/{name}"), self.0.join(name)).unwrap();
            }
        }
        symlink(version, self.0.join("..next")).unwrap();
        fs::rename(self.0.join("..next"), self.0.join("..data")).unwrap();
    }

    fn own(&self) -> Own {
        provide_tls();
        Own::new(self.0.clone(), Rules::new(local(), nowhere()))
    }

    /// The operator, started with this directory.
    fn sources(&self) -> Sources {
        sources(Some(self.0.clone()))
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn sources(directory: Option<PathBuf>) -> Sources {
    provide_tls();
    let api = kube::Client::try_from(kube::Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap();
    Sources::new(local(), Signer(None), directory, api, crate::metrics::Metrics::default()).unwrap()
}

/// A Prometheus whose number is the token that it is shown; it has none for others.
async fn prometheus() -> String {
    let answer = |headers: HeaderMap| async move {
        let token = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let data = match token {
            Some(token) => json!({"resultType": "scalar", "result": [0, token]}),
            None => json!({"resultType": "vector", "result": []}),
        };
        json!({"status": "success", "data": data}).to_string()
    };
    format!("http://{}", serve(Router::new().route("/api/v1/query", post(answer))).await)
}

async fn asked(sources: &Sources, address: &str, credentials: Whose<Secret>) -> Reading {
    let questions = vec![Question::Prometheus { address: address.to_owned(), headers: Arc::default(), query: "up".into(), at: None }];
    let outcome = sources.ask("web", &What::Metric { questions, credentials, timeout: Duration::from_secs(20) }).await;
    let Outcome::Readings(mut readings) = outcome else { panic!("{outcome:?}") };
    readings.remove(0)
}

#[tokio::test]
async fn own_credentials_are_for_addresses_that_no_rollout_names() {
    let volume = Volume::with("shown", &[("token", "7\n"), ("namespace", "web"), ("api-key", "hidden")]);
    let (operator, address) = (volume.sources(), prometheus().await);
    assert_eq!(asked(&operator, &address, Whose::Operator).await, Reading::Value(7.0));
    assert_eq!(asked(&operator, &address, Whose::Nobody).await, Reading::NoData, "named by a rollout, the same address is shown nothing");
    assert_eq!(asked(&sources(None), &address, Whose::Operator).await, Reading::NoData, "nothing was given");
    let known: Vec<_> = volume.own().access().await.unwrap().keys.keys().cloned().collect();
    assert_eq!(known, ["token"], "other files are not read");
}

#[tokio::test]
async fn a_redirect_of_prometheus_is_not_followed_with_credentials() {
    let volume = Volume::with("redirect", &[("token", "7")]);
    let elsewhere = format!("{}/api/v1/query", prometheus().await);
    let away = post(move || async move { Redirect::temporary(&elsewhere) });
    let address = format!("http://{}", serve(Router::new().route("/api/v1/query", away)).await);
    let told = asked(&volume.sources(), &address, Whose::Operator).await;
    assert_eq!(told, Reading::Failed(format!("{address} answered 307 Temporary Redirect, without the JSON of a Prometheus")));
}

#[tokio::test(start_paused = true)]
async fn a_changed_token_is_taken_within_half_a_minute() {
    let _stopped = stop_the_clock();
    let volume = Volume::with("changed", &[("token", "1")]);
    let (own, address) = (volume.own(), prometheus().await);
    let shown = async || {
        let access = own.access().await.unwrap();
        let server = (address.as_str(), &HeaderMap::new());
        let reading = crate::measure::prometheus::read(access.clients.of("web"), server, ("up", None), Duration::from_secs(5)).await;
        (reading, access.keys)
    };
    let (first, keys) = shown().await;
    assert_eq!(first, Reading::Value(1.0));
    tokio::time::advance(FRESH).await;
    assert!(Arc::ptr_eq(&shown().await.1, &keys), "the same client");
    volume.set("2", &[("token", "2")]);
    assert_eq!(shown().await.0, Reading::Value(1.0), "kept");
    tokio::time::advance(FRESH).await;
    assert_eq!(shown().await.0, Reading::Value(2.0));
}

#[tokio::test]
async fn errors_of_the_directory_are_shown_without_its_content() {
    let (nothing, large) = (Volume::new("nothing"), "x".repeat(1024 * 1024 + 1));
    let one = Volume::with("one-of-two", &[("username", "hidden")]);
    let too_large = Volume::with("large", &[("token", large.as_str())]);
    let no_file = Volume::with("no-file", &[("username", "hidden"), ("password", "hidden")]);
    fs::create_dir(no_file.0.join("token")).unwrap();
    for (directory, why) in [
        (
            Path::new("/nowhere/credentials"),
            "can't be read: No such file or directory (os error 2): mount the credentials there, or remove the flag",
        ),
        (
            nothing.0.as_path(),
            "has none of the files token, username, password, ca.crt, tls.crt, tls.key: mount the credentials there, or remove the flag",
        ),
        (one.0.as_path(), "has only one of username and password: set both"),
        (too_large.0.as_path(), "has a file token that can't be read: larger than 1 MiB"),
        (no_file.0.as_path(), "has a file token that can't be read: Is a directory (os error 21)"),
    ] {
        let told = asked(&sources(Some(directory.to_path_buf())), "http://127.0.0.1:1", Whose::Operator).await;
        let why = format!("the directory {} of --prometheus-credentials {why}", directory.display());
        assert_eq!(told, Reading::Failed(why));
    }
}

#[tokio::test(start_paused = true)]
async fn a_directory_is_found_when_mounted_and_missed_when_gone() {
    let volume = Volume::new("late");
    let own = volume.own();
    let token = async || own.access().await.map(|access| access.keys["token"].clone());
    assert!(token().await.unwrap_err().contains("has none of the files"));
    volume.set("1", &[("token", "1")]);
    assert!(token().await.is_err(), "not yet looked for again");
    tokio::time::advance(MISSING).await;
    assert_eq!(token().await.unwrap(), b"1");
    fs::remove_dir_all(&volume.0).unwrap();
    assert_eq!(token().await.unwrap(), b"1", "kept");
    tokio::time::advance(FRESH).await;
    assert!(token().await.unwrap_err().contains("can't be read: No such file or directory"));
}
