//! One try of a webhook: a signed question, to which any status from 200 to 299 is a yes.

use super::{
    answer::beginning,
    client::Reach,
    line::{Unanswered, send},
    places::Places,
    signature::Signer,
};
use bluegreen_gates::{check::SIGNATURE, reading::CheckOutcome};
use reqwest::{
    Method,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use std::time::Duration;

pub struct Question<'a> {
    pub url: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a str,
    pub timeout: Duration,
}

pub async fn ask(reach: Reach<'_>, places: &Places, signer: &Signer, question: &Question<'_>) -> CheckOutcome {
    let Question { url, headers, body, timeout } = question;
    let open = match reach.open(&Method::POST, url, headers).await {
        Ok(open) => open,
        Err(why) => return CheckOutcome::NotDone(why),
    };
    let signature = match signer.sign(body.as_bytes()).await {
        Ok(signature) => signature,
        Err(why) => return CheckOutcome::NotDone(why),
    };
    let mut headers = HeaderMap::clone(headers);
    headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
    if let Some(signature) = signature {
        headers.insert(HeaderName::from_static(SIGNATURE), signature);
    }
    let _place = match places.for_request(reach.namespace, &open.url).await {
        Ok(place) => place,
        Err(why) => return CheckOutcome::NotDone(why),
    };
    let named = open.named;
    let request = open.client.post(open.url).timeout(*timeout).headers(headers).body((*body).to_owned());
    match send(request, &named, "").await {
        Ok(answer) if answer.status().is_success() => CheckOutcome::Passed(format!("{} from {named}", answer.status().as_u16())),
        Ok(answer) => {
            let status = answer.status().as_u16();
            CheckOutcome::Failed(format!("{named} answered {status}, expected 200-299{}", open.words.of(&beginning(answer).await)))
        }
        Err(Unanswered::Failed(why) | Unanswered::Cut(why) | Unanswered::Late(why)) => CheckOutcome::Failed(why),
        Err(Unanswered::NotAsked(why) | Unanswered::Unjudged(why)) => CheckOutcome::NotDone(why),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        Signer,
        stage::{Means, local, serve},
    };
    use super::*;
    use axum::{Router, http::StatusCode, response::Redirect, routing::post};
    use bluegreen_gates::ask::allowed::Allowed;
    use std::path::PathBuf;

    /// Answers with this status, and with the headers it was asked with and the body.
    async fn service(status: u16) -> String {
        let answer = move |headers: axum::http::HeaderMap, body: String| async move {
            let of = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("-").to_owned();
            (StatusCode::from_u16(status).unwrap(), format!("{} {} {} {body}", of("content-type"), of("x-team"), of(SIGNATURE)))
        };
        format!("http://{}/approve", serve(Router::new().route("/approve", post(answer))).await)
    }

    async fn asked(url: &str, allowed: &Allowed, key: Option<PathBuf>) -> CheckOutcome {
        let headers = [(HeaderName::from_static("x-team"), HeaderValue::from_static("checkout"))].into_iter().collect();
        let question = Question { url, headers: &headers, body: r#"{"a":1}"#, timeout: Duration::from_secs(60) };
        let means = Means::new(allowed);
        ask(means.reach(), &means.places, &Signer(key), &question).await
    }

    fn failed(outcome: &CheckOutcome) -> &str {
        let CheckOutcome::Failed(why) = outcome else { panic!("{outcome:?}") };
        why
    }

    #[tokio::test]
    async fn a_webhook_passes_by_status_and_fails_with_its_answer() {
        for status in [200, 202, 299] {
            let url = service(status).await;
            assert_eq!(asked(&url, &local(), None).await, CheckOutcome::Passed(format!("{status} from {url}")));
        }
        for status in [404, 409, 500] {
            let url = service(status).await;
            let why = format!(r#"{url} answered {status}, expected 200-299: "application/json checkout - {{\"a\":1}}""#);
            assert_eq!(failed(&asked(&url, &local(), None).await), why);
        }
        let away = asked("http://127.0.0.1:1/approve", &local(), None).await;
        assert!(failed(&away).starts_with("http://127.0.0.1:1/approve did not answer: "), "{away:?}");
    }

    #[tokio::test]
    async fn it_is_signed_with_the_key_that_the_file_holds_at_that_moment() {
        let file = std::env::temp_dir().join(format!("webhook-key-{}", std::process::id()));
        let url = service(409).await;
        let signed_with = async |key: &str| {
            std::fs::write(&file, key).unwrap();
            asked(&url, &local(), Some(file.clone())).await
        };
        // The beginnings of what `openssl dgst -sha256 -hmac` has for both.
        for (key, signature) in [("first", "sha256=07b97e5b43f7e99e10ca7af9"), ("second\n", "sha256=b4473de47df8f02f489f84f5")] {
            let told = signed_with(key).await;
            assert!(failed(&told).contains(&format!("checkout {signature}")), "{told:?}");
        }
        std::fs::remove_file(&file).unwrap();
    }

    /// The server there could approve in another's name, and would learn the signed content.
    #[tokio::test]
    async fn another_server_is_not_asked_in_its_stead() {
        let elsewhere = service(200).await;
        let app = Router::new().route("/approve", post(move || async move { Redirect::temporary(&elsewhere) }));
        let url = format!("http://{}/approve", serve(app).await);
        assert_eq!(failed(&asked(&url, &local(), None).await), format!("{url} answered 307, expected 200-299"));
    }

    #[tokio::test]
    async fn nothing_is_sent_without_a_key_or_to_a_forbidden_address() {
        let url = service(200).await;
        let unsigned = asked(&url, &local(), Some("/nowhere/key".into())).await;
        let why = "the webhook was not sent: its key file /nowhere/key can't be read: No such file or directory (os error 2)";
        assert_eq!(unsigned, CheckOutcome::NotDone(why.into()));
        assert!(matches!(asked(&url, &Allowed::default(), None).await, CheckOutcome::NotDone(_)));
        assert!(matches!(asked("http://localhost:1/", &Allowed::default(), None).await, CheckOutcome::NotDone(_)));
    }
}
