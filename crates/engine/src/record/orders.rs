//! What people ask of one attempt, by annotations `bluegreen.dev/<verb>[.<any>]: REVISION/NONCE/USER`.

use crate::observed::Observed;
use bluegreen_api::{BlueGreenRolloutStatus, names};
use bluegreen_gates::hash;
use serde_json::json;
use std::collections::BTreeMap;

/// Annotations of one verb that count: several people use keys of their own.
const KEYS: usize = 8;
/// Characters of a value that is no mistake.
const VALUE: usize = 253;

/// What can be ordered. The order is that of safety: of contradictory orders the earlier wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    Rollback,
    Abort,
    Pause,
    Resume,
    Promote,
    Accept,
    Retry,
}

impl Verb {
    pub const ALL: [Self; 7] = [Self::Rollback, Self::Abort, Self::Pause, Self::Resume, Self::Promote, Self::Accept, Self::Retry];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rollback => "rollback",
            Self::Abort => "abort",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Promote => "promote",
            Self::Accept => "accept",
            Self::Retry => "retry",
        }
    }
}

/// An order as it is on the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order<'a> {
    /// What follows `bluegreen.dev/` in its key: the verb, and whatever somebody put after a dot.
    pub key: &'a str,
    pub value: &'a str,
}

impl<'a> Order<'a> {
    /// What comes before the first slash. A nonce follows, which makes the same order another one, and then who gave it.
    pub fn revision(&self) -> &'a str {
        self.value.split('/').next().unwrap_or_default()
    }

    pub fn is_spent(&self, status: &BlueGreenRolloutStatus) -> bool {
        status.orders.get(self.key).is_some_and(|spent| spent == self.value || *spent == kept(self.value))
    }
}

/// Characters of a spent value that are kept as they are.
const KEPT: usize = 64;

/// What is kept of an order that is spent: its hash knows a long value as well, and takes less room in the status.
fn kept(value: &str) -> String {
    let plain = value.len() <= KEPT && value.bytes().all(|byte| byte.is_ascii_graphic());
    if plain { value.to_owned() } else { hash::definition(&json!(value)) }
}

fn verb_of(key: &str) -> &str {
    key.split('.').next().unwrap_or_default()
}

fn on_object(annotations: &BTreeMap<String, String>, verb: Verb) -> impl Iterator<Item = Order<'_>> {
    annotations.iter().filter_map(move |(key, value)| {
        let key = key.strip_prefix(names::PREFIX).filter(|key| verb_of(key) == verb.as_str())?;
        Some(Order { key, value })
    })
}

/// The orders of a verb that count, those that are known first: a further key pushes out none that was spent.
pub fn counted<'a>(annotations: &'a BTreeMap<String, String>, status: &BlueGreenRolloutStatus, verb: Verb) -> Vec<Order<'a>> {
    let readable = on_object(annotations, verb).filter(|order| order.value.chars().count() <= VALUE);
    let (known, new): (Vec<_>, Vec<_>) = readable.partition(|order| status.orders.contains_key(order.key));
    known.into_iter().chain(new).take(KEYS).collect()
}

/// The orders of a verb that can't count, each with the reason.
pub fn not_counted<'a>(annotations: &'a BTreeMap<String, String>, status: &BlueGreenRolloutStatus, verb: Verb) -> Vec<(Order<'a>, String)> {
    let counted = counted(annotations, status, verb);
    let why = |order: &Order<'_>| {
        if order.value.chars().count() > VALUE {
            return format!("its value has more than {VALUE} characters");
        }
        format!("{KEYS} other annotations of {} count already: remove some", verb.as_str())
    };
    on_object(annotations, verb).filter(|order| !counted.contains(order)).map(|order| (order, why(&order))).collect()
}

/// The orders of a verb that are not spent.
pub fn armed<'a>(annotations: &'a BTreeMap<String, String>, status: &BlueGreenRolloutStatus, verb: Verb) -> Vec<Order<'a>> {
    counted(annotations, status, verb).into_iter().filter(|order| !order.is_spent(status)).collect()
}

/// The value of an order that is on the object and not spent, if it is for this revision. What follows a `/` is free.
pub fn given<'a>(
    annotations: &'a BTreeMap<String, String>,
    status: &BlueGreenRolloutStatus,
    verb: Verb,
    revision: &str,
) -> Option<&'a str> {
    let mut armed = armed(annotations, status, verb).into_iter().filter(|_| !revision.is_empty());
    armed.find(|order| order.revision() == revision).map(|order| order.value)
}

/// How an order is written that has not been spent yet: the same value once more would be no change of the object.
pub fn written(status: &BlueGreenRolloutStatus, verb: Verb, revision: &str) -> String {
    let word = verb.as_str();
    let spent = status.orders.get(word).and_then(|value| value.strip_prefix(revision));
    let nonce = |rest: &str| rest.split('/').nth(1).and_then(|nonce| nonce.parse::<u32>().ok()).unwrap_or(1);
    let again = spent.map(|rest| format!("/{}", nonce(rest).saturating_add(1))).unwrap_or_default();
    format!("{}{word}={revision}{again}", names::PREFIX)
}

/// The command by which a person gives an order, to be pasted. The annotation of an earlier attempt may be on the object still.
pub fn command(seen: &Observed, verb: Verb, revision: &str, status: &BlueGreenRolloutStatus) -> String {
    format!("kubectl annotate bgr {} -n {} --overwrite {}", seen.name, seen.namespace, written(status, verb, revision))
}

/// Marks the orders of a verb as carried out.
pub fn spend(status: &mut BlueGreenRolloutStatus, annotations: &BTreeMap<String, String>, verb: Verb) {
    for order in counted(annotations, status, verb) {
        spend_one(status, annotations, order);
    }
}

/// Marks an order as answered. Keys that are no longer on the object are forgotten when their verb has too many.
pub fn spend_one(status: &mut BlueGreenRolloutStatus, annotations: &BTreeMap<String, String>, order: Order<'_>) {
    let verb = verb_of(order.key);
    let known = status.orders.keys().filter(|key| verb_of(key) == verb).count();
    if known >= KEYS && !status.orders.contains_key(order.key) {
        status.orders.retain(|key, _| verb_of(key) != verb || annotations.contains_key(&format!("{}{key}", names::PREFIX)));
    }
    status.orders.insert(order.key.to_owned(), kept(order.value));
}

/// All orders on the object are spent: they were given for something earlier. Those no longer there are forgotten.
pub fn spend_all(status: &mut BlueGreenRolloutStatus, annotations: &BTreeMap<String, String>) {
    status.orders.retain(|key, _| annotations.contains_key(&format!("{}{key}", names::PREFIX)));
    status.ignored_orders.clear();
    for verb in Verb::ALL {
        spend(status, annotations, verb);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotations(orders: &[(&str, &str)]) -> BTreeMap<String, String> {
        orders.iter().map(|(verb, value)| (format!("bluegreen.dev/{verb}"), (*value).to_owned())).collect()
    }

    #[test]
    fn an_order_holds_for_the_revision_it_names_until_it_is_spent() {
        let mut status = BlueGreenRolloutStatus::default();
        let on_object = annotations(&[("promote", "abc"), ("rollback", "abc/now"), ("retry", "")]);
        assert_eq!(given(&on_object, &status, Verb::Promote, "abc"), Some("abc"));
        assert_eq!(given(&on_object, &status, Verb::Rollback, "abc"), Some("abc/now"), "what follows a / is free");
        assert_eq!(given(&on_object, &status, Verb::Promote, "abcd"), None);
        assert_eq!(given(&on_object, &status, Verb::Abort, "abc"), None);
        assert_eq!(given(&on_object, &status, Verb::Retry, ""), None, "an empty order names nothing");
        spend(&mut status, &on_object, Verb::Promote);
        assert_eq!(given(&on_object, &status, Verb::Promote, "abc"), None);
        assert_eq!(given(&annotations(&[("promote", "abc/again")]), &status, Verb::Promote, "abc"), Some("abc/again"), "given anew");
    }

    #[test]
    fn a_long_order_is_spent_by_its_hash() {
        let long = format!("abc/{}", "n".repeat(200));
        let on_object = annotations(&[("promote", long.as_str())]);
        let mut status = BlueGreenRolloutStatus::default();
        assert_eq!(given(&on_object, &status, Verb::Promote, "abc"), Some(long.as_str()));
        spend(&mut status, &on_object, Verb::Promote);
        assert_eq!(given(&on_object, &status, Verb::Promote, "abc"), None);
        assert!(status.orders["promote"].len() <= KEPT);
        let other = format!("{long}2");
        assert!(given(&annotations(&[("promote", other.as_str())]), &status, Verb::Promote, "abc").is_some(), "given anew");
        // As an earlier operator kept it.
        status.orders.insert("promote".into(), long);
        assert_eq!(given(&on_object, &status, Verb::Promote, "abc"), None);
    }

    #[test]
    fn an_order_that_was_spent_is_written_otherwise_the_next_time() {
        let mut status = BlueGreenRolloutStatus::default();
        for (spent, expected) in [
            (None, "abc"),
            (Some("abc"), "abc/2"),
            (Some("abc/2"), "abc/3"),
            (Some("abc/now"), "abc/2"),
            (Some("abc/2/ada"), "abc/3"),
            (Some("other"), "abc"),
        ] {
            status.orders.clear();
            status.orders.extend(spent.map(|value| ("promote".to_owned(), value.to_owned())));
            let order = written(&status, Verb::Promote, "abc");
            assert_eq!(order, format!("bluegreen.dev/promote={expected}"), "{spent:?}");
            let (_, value) = order.split_once('=').unwrap();
            assert_eq!(given(&annotations(&[("promote", value)]), &status, Verb::Promote, "abc"), Some(value));
        }
    }

    #[test]
    fn orders_no_longer_there_are_forgotten_others_spent() {
        let mut status = BlueGreenRolloutStatus::default();
        status.orders.insert("abort".into(), "abc".into());
        let values: Vec<_> = Verb::ALL.iter().map(|verb| verb.as_str()).filter(|verb| *verb != "abort").map(|verb| (verb, "def")).collect();
        assert_eq!(values.len(), 6);
        spend_all(&mut status, &annotations(&values));
        assert_eq!(status.orders, values.iter().map(|(verb, value)| ((*verb).to_owned(), (*value).to_owned())).collect());
    }

    #[test]
    fn several_people_give_orders_by_keys_of_their_own() {
        let mut status = BlueGreenRolloutStatus::default();
        let on_object = annotations(&[("promote.ada", "abc/1/ada"), ("promote.bob", "abc"), ("promoted", "abc"), ("promote", "other")]);
        assert_eq!(given(&on_object, &status, Verb::Promote, "abc"), Some("abc/1/ada"));
        let ada = counted(&on_object, &status, Verb::Promote)[1];
        assert_eq!((ada.key, ada.revision()), ("promote.ada", "abc"));
        spend_one(&mut status, &on_object, ada);
        assert_eq!(given(&on_object, &status, Verb::Promote, "abc"), Some("abc"), "the other one's");
        spend(&mut status, &on_object, Verb::Promote);
        assert_eq!(given(&on_object, &status, Verb::Promote, "abc"), None);
        assert_eq!(status.orders.keys().map(String::as_str).collect::<Vec<_>>(), ["promote", "promote.ada", "promote.bob"]);
    }

    #[test]
    fn of_one_verb_eight_keys_count_and_are_kept() {
        let keys: Vec<_> = (0..20).map(|number| format!("abort.{number:02}")).collect();
        let of = |keys: &[String]| annotations(&keys.iter().map(|key| (key.as_str(), "abc")).collect::<Vec<_>>());
        let mut status = BlueGreenRolloutStatus::default();
        spend(&mut status, &of(&keys[10..]), Verb::Abort);
        assert_eq!(status.orders.keys().cloned().collect::<Vec<_>>(), keys[10..18], "the first by their keys");
        assert_eq!(not_counted(&of(&keys[10..]), &status, Verb::Abort).len(), 2);
        assert_eq!(given(&of(&keys), &status, Verb::Abort, "abc"), None, "a further key counts only when another goes");
        let fewer = of(&keys[5..15]);
        assert_eq!(given(&fewer, &status, Verb::Abort, "abc"), Some("abc"));
        spend(&mut status, &fewer, Verb::Abort);
        assert_eq!(status.orders.keys().cloned().collect::<Vec<_>>(), keys[5..8].iter().chain(&keys[10..15]).cloned().collect::<Vec<_>>());
        let long = "x".repeat(VALUE + 1);
        let not = annotations(&[("pause", &long)]);
        assert_eq!(counted(&not, &status, Verb::Pause), []);
        assert!(not_counted(&not, &status, Verb::Pause)[0].1.contains("253 characters"));
    }
}
