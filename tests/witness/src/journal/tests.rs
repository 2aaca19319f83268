use super::*;
use jiff::Timestamp;
use serde_json::json;

fn event(kind: Kind, name: &str, version: u64, object: Value) -> Event {
    Event { kind, name: name.into(), version, deleted: false, object: Arc::new(object), seen: Timestamp::UNIX_EPOCH, known: None }
}

/// The operator has written more than the status of a rollout: one event that breaks a promise.
fn wrong(version: u64) -> Event {
    event(Kind::Rollout, "shop", version, json!({"metadata": {"managedFields": [{"manager": "bluegreen"}]}}))
}

/// All watches have brought everything until then.
fn complete(journal: &mut Journal, version: u64) {
    for kind in Kind::ALL {
        journal.add(kind, vec![], version);
    }
}

#[test]
fn an_event_is_judged_once_all_before_it_are_there() {
    let mut journal = Journal::default();
    complete(&mut journal, 3);
    journal.add(Kind::Rollout, vec![wrong(4)], 4);
    assert_eq!(journal.judge(), [""; 0], "pods may have changed before");
    assert_eq!(journal.broken().len(), 1, "at the end nothing is waited for");
    complete(&mut journal, 4);
    journal.judge();
    assert_eq!(journal.judge().len(), 1, "once, and not again");
    assert_eq!(journal.broken().len(), 1);
    journal.add(Kind::Rollout, vec![wrong(5)], 5);
    assert_eq!(journal.broken().len(), 2);
}

#[test]
fn only_judged_events_are_forgotten_and_no_object() {
    let mut journal = Journal::default();
    let deleted = Event { deleted: true, ..event(Kind::Pod, "gone", 2, json!({})) };
    let first = vec![event(Kind::Service, "shop", 1, json!({})), deleted];
    journal.add(Kind::Pod, first, 2);
    let pods = (3..=KEPT as u64 + 5).map(|version| event(Kind::Pod, "pod", version, json!({}))).collect();
    journal.add(Kind::Pod, pods, 2);
    journal.forget();
    assert_eq!(journal.since(0).count(), KEPT + 5);
    complete(&mut journal, KEPT as u64 + 5);
    journal.judge();
    journal.forget();
    assert_eq!((journal.length(), journal.since(0).count(), journal.since(KEPT + 4).count()), (KEPT + 5, KEPT, 1));
    assert_eq!(journal.since(0).next().unwrap().version, 6);
    let known = |kind: Kind, name: &str| journal.latest(kind, name).is_some();
    assert!(known(Kind::Service, "shop") && known(Kind::Pod, "pod") && !known(Kind::Pod, "gone"));
}
