use super::*;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;

fn event(kind: Kind, name: &str, version: u64, object: Value) -> Event {
    Event { kind, name: name.into(), version, deleted: false, object: Arc::new(object), seen: Timestamp::UNIX_EPOCH, told: None }
}

/// The operator has written what is not its own: one event that breaks a promise.
fn wrong(version: u64) -> Event {
    event(Kind::Rollout, "shop", version, json!({"metadata": {"managedFields": [{"manager": "bluegreen"}]}}))
}

/// All watches have told everything until then.
fn complete(told: &mut Told, version: u64) {
    told.complete = Kind::ALL.map(|kind| (kind, version)).into();
}

#[test]
fn what_a_watch_may_yet_add_to_waits_for_its_judgement_and_is_judged_once() {
    let mut told = Told::default();
    complete(&mut told, 3);
    told.add(wrong(4));
    told.complete.insert(Kind::Rollout, 4);
    told.judge();
    assert_eq!(told.world.broken, [""; 0], "pods may have changed before");
    assert_eq!(told.broken().len(), 1, "at the end nothing is waited for");
    complete(&mut told, 4);
    told.judge();
    told.judge();
    assert_eq!(told.world.broken.len(), 1);
    assert_eq!(told.broken().len(), 1);
    told.add(wrong(5));
    assert_eq!(told.broken().len(), 2);
}

#[test]
fn only_what_was_judged_is_forgotten_and_what_is_there_is_known_for_ever() {
    let mut told = Told::default();
    told.add(event(Kind::Service, "shop", 1, json!({})));
    told.add(Event { deleted: true, ..event(Kind::Pod, "gone", 2, json!({})) });
    for version in 3..=KEPT as u64 + 5 {
        told.add(event(Kind::Pod, "pod", version, json!({})));
    }
    told.forget();
    assert_eq!(told.since(0).count(), KEPT + 5);
    complete(&mut told, KEPT as u64 + 5);
    told.judge();
    told.forget();
    assert_eq!((told.length(), told.since(0).count(), told.since(KEPT + 4).count()), (KEPT + 5, KEPT, 1));
    assert_eq!(told.since(0).next().unwrap().version, 6);
    let known = |kind: Kind, name: &str| told.latest.contains_key(&(kind, name.to_owned()));
    assert!(known(Kind::Service, "shop") && known(Kind::Pod, "pod") && !known(Kind::Pod, "gone"));
}
