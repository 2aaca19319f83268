use super::*;
use crate::kinds::{Revision, Unread, sample::arrive};
use jiff::Timestamp;
use serde_json::json;

/// A ControllerRevision of a rollout: `number` is what changes about it.
fn object(version: u64, rollout: &str, number: i64) -> Seen<Revision> {
    arrive(json!({
        "metadata": {
            "name": "shop-abc", "namespace": "a", "uid": "u", "resourceVersion": version.to_string(),
            "labels": {"bluegreen.dev/rollout": rollout}
        },
        "revision": number
    }))
}

fn name() -> Key {
    Key::new("a", "shop-abc")
}

fn rollout(name: &str) -> Key {
    Key::new("a", name)
}

fn number(shelf: &Shelf<Revision>, now: Instant) -> Option<i64> {
    shelf.get(&name(), now).map(|seen| seen.body.number)
}

#[tokio::test(start_paused = true)]
async fn what_was_written_stands_in_until_the_watch_has_caught_up() {
    let now = Instant::now();
    let mut shelf = Shelf::default();
    shelf.arrived(object(5, "shop", 1));
    shelf.stand_in(object(8, "shop", 2), now);
    assert_eq!(number(&shelf, now), Some(2));
    assert_eq!(shelf.arrived(object(6, "shop", 1)), [], "an older version is no news");
    assert_eq!(number(&shelf, now), Some(2));
    assert_eq!(shelf.arrived(object(8, "shop", 2)), [], "the echo of our own write is no news");
    shelf.arrived(object(9, "shop", 3));
    assert_eq!(number(&shelf, now), Some(3));
}

#[tokio::test(start_paused = true)]
async fn nothing_stands_in_for_longer_than_30_s() {
    let now = Instant::now();
    let mut shelf = Shelf::default();
    shelf.arrived(object(5, "shop", 1));
    shelf.stand_in(object(8, "shop", 2), now);
    assert_eq!(number(&shelf, now + STAND_IN), Some(1));
    assert!(matches!(shelf.look(&name(), now + STAND_IN), Look::Overdue), "but it is known that the cached one is old");
}

#[tokio::test(start_paused = true)]
async fn a_write_that_the_watch_has_overtaken_does_not_stand_in() {
    let now = Instant::now();
    let mut shelf = Shelf::default();
    shelf.arrived(object(9, "shop", 3));
    shelf.stand_in(object(8, "shop", 2), now);
    assert_eq!(number(&shelf, now), Some(3));
}

#[tokio::test(start_paused = true)]
async fn a_deletion_ends_what_stands_in_unless_it_is_older() {
    let now = Instant::now();
    let mut shelf = Shelf::default();
    shelf.arrived(object(5, "shop", 1));
    shelf.stand_in(object(8, "shop", 2), now);
    assert_eq!(shelf.departed(&object(7, "shop", 1).head), [], "the former object of that name went");
    assert_eq!(number(&shelf, now), Some(2));
    assert_eq!(shelf.departed(&object(10, "shop", 2).head), [rollout("shop")]);
    assert_eq!(number(&shelf, now), None);
    assert!(shelf.entries.is_empty() && shelf.groups.is_empty());
}

#[tokio::test(start_paused = true)]
async fn objects_missing_in_a_list_are_gone_only_at_its_end() {
    let now = Instant::now();
    let mut shelf = Shelf::default();
    shelf.list_begins();
    shelf.arrived(object(5, "shop", 1));
    assert_eq!(shelf.list_ends(), []);
    shelf.list_begins();
    assert_eq!(number(&shelf, now), Some(1));
    shelf.list_begins();
    assert_eq!(shelf.list_ends(), [rollout("shop")], "also after a list that broke off");
    assert_eq!(number(&shelf, now), None);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_was_made_before_a_write_does_not_undo_it() {
    let now = Instant::now();
    let mut shelf = Shelf::default();
    shelf.arrived(object(5, "shop", 1));
    shelf.stand_in(object(8, "shop", 2), now);
    shelf.list_begins();
    shelf.arrived(object(6, "shop", 1));
    shelf.list_ends();
    assert_eq!(number(&shelf, now), Some(2));
}

#[tokio::test(start_paused = true)]
async fn what_was_deleted_stays_away_until_the_watch_says_so_too() {
    let now = Instant::now();
    let mut shelf = Shelf::default();
    shelf.arrived(object(5, "shop", 1));
    assert_eq!(shelf.gone(&name(), now), [rollout("shop")]);
    assert_eq!(number(&shelf, now), None);
    assert_eq!(shelf.of(&rollout("shop"), now).len(), 0);
    shelf.departed(&object(6, "shop", 1).head);
    shelf.arrived(object(7, "shop", 4));
    assert_eq!(number(&shelf, now), Some(4), "another one under the same name");
}

#[tokio::test(start_paused = true)]
async fn an_object_taken_for_gone_is_there_again_once_read() {
    let now = Instant::now();
    let mut shelf = Shelf::default();
    shelf.arrived(object(5, "shop", 1));
    shelf.gone(&name(), now);
    assert!(matches!(shelf.look(&name(), now + STAND_IN), Look::Overdue));
    shelf.stand_in(object(5, "shop", 1), now + STAND_IN);
    assert!(matches!(shelf.look(&name(), now + STAND_IN), Look::Object(_)), "or it would be read at each look");
}

#[tokio::test(start_paused = true)]
async fn an_object_that_changes_its_label_concerns_both_rollouts() {
    let now = Instant::now();
    let mut shelf = Shelf::default();
    assert_eq!(shelf.arrived(object(5, "shop", 1)), [rollout("shop")]);
    assert_eq!(shelf.arrived(object(6, "store", 1)), [rollout("store"), rollout("shop")]);
    assert_eq!((shelf.of(&rollout("shop"), now).len(), shelf.of(&rollout("store"), now).len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn an_object_watched_by_its_name_stays_as_long_as_that() {
    let now = Instant::now();
    let mut shelf = Shelf::default();
    shelf.watched_by_name(object(5, "shop", 1));
    shelf.list_begins();
    shelf.list_ends();
    assert_eq!(number(&shelf, now + STAND_IN * 2), Some(1));
    shelf.released(&name(), now);
    assert_eq!(number(&shelf, now + STAND_IN), None);
}

#[tokio::test(start_paused = true)]
async fn an_answer_after_the_deletion_was_seen_brings_nothing_back() {
    let now = Instant::now();
    let mut shelf = Shelf::default();
    shelf.arrived(object(5, "shop", 1));
    shelf.departed(&object(9, "shop", 1).head);
    shelf.stand_in(object(8, "shop", 2), now);
    assert_eq!(number(&shelf, now), None);
    shelf.stand_in(object(10, "shop", 3), now);
    assert_eq!(number(&shelf, now), Some(3), "one that was made since does");
}

/// Believed, the old one would be written with a version that is refused, and read again in vain, until the watch is made anew.
#[tokio::test(start_paused = true)]
async fn a_read_counts_more_than_a_watch_that_missed_a_change() {
    let now = Instant::now();
    let mut shelf = Shelf::default();
    shelf.arrived(object(5, "shop", 1));
    shelf.arrived(arrive(json!({"metadata": {"name": "shop-xyz", "namespace": "a", "uid": "v", "resourceVersion": "20",
        "labels": {"bluegreen.dev/rollout": "shop"}}, "revision": 1})));
    shelf.stand_in(object(8, "shop", 2), now);
    assert_eq!(number(&shelf, now), Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_list_that_lasts_tells_nothing_of_what_it_has_not_brought() {
    let now = Instant::now();
    let mut shelf = Shelf::default();
    shelf.list_begins();
    shelf.arrived(arrive(json!({"metadata": {"name": "shop-xyz", "namespace": "a", "uid": "v", "resourceVersion": "20",
        "labels": {"bluegreen.dev/rollout": "shop"}}, "revision": 1})));
    shelf.stand_in(object(8, "shop", 2), now);
    assert_eq!(number(&shelf, now), Some(2));
    shelf.arrived(object(8, "shop", 2));
    shelf.list_ends();
    assert_eq!(number(&shelf, now), Some(2));
    shelf.stand_in(object(7, "shop", 1), now);
    assert_eq!(number(&shelf, now), Some(2));
}

#[tokio::test(start_paused = true)]
async fn an_object_without_its_label_stands_in_beside_any_watch() {
    let now = Instant::now();
    let mut shelf = Shelf::<Revision>::default();
    shelf.departed(&object(9, "shop", 1).head);
    shelf.stand_in(
        arrive(json!({"metadata": {"name": "shop-abc", "namespace": "a", "uid": "u", "resourceVersion": "9"}, "revision": 1})),
        now,
    );
    assert_eq!(number(&shelf, now), Some(1));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_what_stood_in_makes_a_look() {
    let now = Instant::now();
    let mut shelf = Shelf::default();
    shelf.arrived(object(5, "shop", 1));
    shelf.stand_in(object(8, "shop", 2), now);
    assert_eq!(shelf.expired(now + STAND_IN / 2), []);
    assert_eq!(shelf.expired(now + STAND_IN), [rollout("shop")]);
    assert_eq!(shelf.expired(now + STAND_IN * 2), [], "once");
    shelf.stand_in(object(9, "shop", 3), now);
    shelf.arrived(object(9, "shop", 3));
    assert_eq!(shelf.expired(now + STAND_IN), [], "the watch has caught up");
}

fn unread(version: u64, rollout: &str) -> Unread {
    Unread { head: object(version, rollout, 0).head, why: "invalid type".into() }
}

fn cannot_read(shelf: &Shelf<Revision>, rollout_name: &str) -> usize {
    shelf.unread_of(&rollout(rollout_name), &[]).len()
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_read_is_not_taken_for_deleted() {
    let now = Instant::now();
    let mut shelf = Shelf::default();
    let at = Timestamp::UNIX_EPOCH;
    // Before it was ever read.
    shelf.list_begins();
    assert_eq!(shelf.arrived_unread(unread(5, "shop"), at), [rollout("shop")]);
    shelf.list_ends();
    assert_eq!((number(&shelf, now), cannot_read(&shelf, "shop"), cannot_read(&shelf, "store")), (None, 1, 0));
    assert_eq!(shelf.unread_of(&rollout("store"), &["shop-abc".to_owned()]).len(), 1, "or by a name that is another rollout's");
    assert_eq!(shelf.unread_of(&Key::new("b", "shop"), &["shop-abc".to_owned()]).len(), 0, "and not in another namespace");
    // And after.
    assert_eq!(shelf.arrived(object(6, "shop", 3)), [rollout("shop")]);
    assert_eq!((number(&shelf, now), cannot_read(&shelf, "shop")), (Some(3), 0));
    assert_eq!(shelf.arrived_unread(unread(7, "shop"), at), [rollout("shop")]);
    assert_eq!(shelf.arrived_unread(unread(8, "shop"), at), [], "the same cause is no news");
    for _ in 0..2 {
        shelf.list_begins();
        shelf.arrived_unread(unread(8, "shop"), at);
        shelf.list_ends();
        assert_eq!((number(&shelf, now), cannot_read(&shelf, "shop")), (Some(3), 1), "as it was last read");
    }
    assert_eq!(shelf.arrived(object(8, "shop", 3)), [rollout("shop")]);
    assert_eq!(cannot_read(&shelf, "shop"), 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_could_not_be_read_is_gone_when_it_is_deleted() {
    let now = Instant::now();
    let mut shelf = Shelf::default();
    let at = Timestamp::UNIX_EPOCH;
    shelf.arrived(object(5, "shop", 1));
    shelf.arrived_unread(unread(6, "shop"), at);
    assert_eq!(shelf.departed(&object(7, "shop", 0).head), [rollout("shop")]);
    assert_eq!((number(&shelf, now), cannot_read(&shelf, "shop")), (None, 0));
    shelf.arrived_unread(unread(8, "shop"), at);
    shelf.list_begins();
    assert_eq!(shelf.list_ends(), [rollout("shop")], "or missing from a list");
    assert_eq!(cannot_read(&shelf, "shop"), 0);
    shelf.unreadable(unread(9, "shop"), at);
    shelf.gone(&name(), now);
    assert_eq!(cannot_read(&shelf, "shop"), 0, "or not found by a live read");
}
