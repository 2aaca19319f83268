//! Kubernetes Events: sent beside the reconcile, one request each, never waited for.

use crate::{clock, key::Key, requests::Requests};
use bluegreen_engine::events::Announcement;
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};

/// Events that wait to be sent; more are dropped, since they are news and not the truth.
const BACKLOG: usize = 1024;
const AT_ONCE: usize = 8;
const CONTROLLER: &str = "bluegreen.dev/operator";

/// Hands events over to the task that sends them.
#[derive(Clone)]
pub struct Announcer {
    outbox: mpsc::Sender<Letter>,
}

struct Letter {
    rollout: Key,
    uid: String,
    announcement: Announcement,
}

impl Announcer {
    /// The announcer and its task, which ends when all announcers are gone and their events are sent. `instance` names this process.
    pub fn new(requests: Requests, instance: String) -> (Self, impl Future<Output = ()>) {
        let (outbox, inbox) = mpsc::channel(BACKLOG);
        (Self { outbox }, deliver(requests, instance, inbox))
    }

    pub fn announce(&self, rollout: &Key, uid: &str, announcement: Announcement) {
        let letter = Letter { rollout: rollout.clone(), uid: uid.to_owned(), announcement };
        if let Err(mpsc::error::TrySendError::Full(letter)) = self.outbox.try_send(letter) {
            tracing::warn!(rollout = %letter.rollout, reason = %letter.announcement.reason, "event dropped: too many events are waiting to be sent");
        }
    }
}

async fn deliver(requests: Requests, instance: String, mut inbox: mpsc::Receiver<Letter>) {
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    while let Some(letter) = inbox.recv().await {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let (requests, instance) = (requests.clone(), instance.clone());
        tokio::spawn(async move {
            let _slot = slot;
            send(&requests, &instance, letter).await;
        });
    }
    // Nobody announces any more: what is on its way arrives.
    let _all = slots.acquire_many(u32::try_from(AT_ONCE).unwrap_or(u32::MAX)).await;
}

async fn send(requests: &Requests, instance: &str, letter: Letter) {
    let path = format!("/apis/events.k8s.io/v1/namespaces/{}/events", letter.rollout.namespace);
    match requests.post(&path, &event(&letter, instance, clock::now())).await {
        Ok(()) => {}
        // Told before: by an earlier life, or by another one of us.
        Err(refused) if refused.code == 409 => {}
        Err(refused) => {
            tracing::warn!(rollout = %letter.rollout, reason = %letter.announcement.reason, error = %refused, "event could not be sent")
        }
    }
}

/// Its name says which rollout and which transition it tells of, so that a repeat is no second one.
fn event(letter: &Letter, instance: &str, now: Timestamp) -> Value {
    let Letter { rollout, uid, announcement } = letter;
    let digest = HEXLOWER.encode(&Sha256::digest(format!("{uid}/{}", announcement.key)));
    let digest = &digest[..16];
    json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": format!("{}.{digest}", rollout.name), "namespace": &*rollout.namespace},
        "eventTime": format!("{now:.6}"),
        "type": announcement.type_,
        "reason": cut(&announcement.reason, 128),
        "action": cut(&announcement.action, 128),
        "note": cut(&announcement.note, 1000),
        "reportingController": CONTROLLER,
        "reportingInstance": cut(instance, 128),
        "regarding": {
            "apiVersion": "bluegreen.dev/v1alpha1",
            "kind": "BlueGreenRollout",
            "namespace": &*rollout.namespace,
            "name": &*rollout.name,
            "uid": uid,
        },
    })
}

/// The API server counts bytes.
fn cut(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(key: &str) -> Letter {
        Letter {
            rollout: Key::new("a", "shop"),
            uid: "u".into(),
            announcement: Announcement {
                type_: "Normal",
                reason: "Promoted".into(),
                action: "Promote".into(),
                note: "é".repeat(800),
                key: key.into(),
            },
        }
    }

    #[test]
    fn the_same_transition_has_the_same_name() {
        let now = Timestamp::UNIX_EPOCH;
        let name = |key: &str| event(&letter(key), "op-1", now)["metadata"]["name"].as_str().unwrap().to_owned();
        assert_eq!(name("1/promoted"), name("1/promoted"));
        assert_ne!(name("1/promoted"), name("2/promoted"));
        assert!(name("1/promoted").starts_with("shop."));
    }

    #[test]
    fn notes_are_cut_to_what_the_api_server_takes() {
        let event = event(&letter("x"), "op-1", Timestamp::UNIX_EPOCH);
        assert_eq!(event["note"].as_str().unwrap().len(), 1000);
        assert_eq!(event["eventTime"], "1970-01-01T00:00:00.000000Z");
    }
}
