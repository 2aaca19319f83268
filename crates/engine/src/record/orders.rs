//! What people ask of one attempt, by annotations `bluegreen.dev/<verb>: <revision>`.

use crate::observed::Observed;
use bluegreen_api::{BlueGreenRolloutStatus, names};
use bluegreen_gates::hash;
use serde_json::json;
use std::collections::BTreeMap;

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

/// The value of an order that is on the object and not spent, if it is for this revision. What follows a `/` is free.
pub fn given<'a>(
    annotations: &'a BTreeMap<String, String>,
    status: &BlueGreenRolloutStatus,
    verb: Verb,
    revision: &str,
) -> Option<&'a str> {
    let value = annotations.get(&format!("{}{}", names::PREFIX, verb.as_str()))?;
    let spent = status.orders.get(verb.as_str()).is_some_and(|spent| spent == value || *spent == kept(value));
    let names_it = value.split('/').next() == Some(revision);
    (!spent && names_it && !revision.is_empty()).then_some(value)
}

/// How an order is written that has not been spent yet: the same value once more would be no change of the object.
pub fn written(status: &BlueGreenRolloutStatus, verb: Verb, revision: &str) -> String {
    let word = verb.as_str();
    let spent = status.orders.get(word).and_then(|value| value.strip_prefix(revision));
    let again = match spent.map(|rest| rest.strip_prefix('/').unwrap_or(rest)) {
        None => String::new(),
        Some(rest) => format!("/{}", rest.parse::<u32>().unwrap_or(1).saturating_add(1)),
    };
    format!("{}{word}={revision}{again}", names::PREFIX)
}

/// The command by which a person gives an order, to be pasted. The annotation of an earlier attempt may be on the object still.
pub fn command(seen: &Observed, verb: Verb, revision: &str, status: &BlueGreenRolloutStatus) -> String {
    format!("kubectl annotate bgr {} -n {} --overwrite {}", seen.name, seen.namespace, written(status, verb, revision))
}

/// Bytes of an order that are kept to know it again.
const LONGEST: usize = 256;

/// What is kept of an order that is spent: an annotation may be as large as a status may be, and its hash knows it as well.
fn kept(value: &str) -> String {
    if value.len() <= LONGEST { value.to_owned() } else { hash::definition(&json!(value)) }
}

/// Marks an order as carried out.
pub fn spend(status: &mut BlueGreenRolloutStatus, annotations: &BTreeMap<String, String>, verb: Verb) {
    if let Some(value) = annotations.get(&format!("{}{}", names::PREFIX, verb.as_str())) {
        status.orders.insert(verb.as_str().to_owned(), kept(value));
    }
}

/// All orders on the object are spent: they were given for something earlier. Those no longer there are forgotten.
pub fn spend_all(status: &mut BlueGreenRolloutStatus, annotations: &BTreeMap<String, String>) {
    status.orders.clear();
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
        let long = format!("abc/{}", "n".repeat(100_000));
        let on_object = annotations(&[("promote", long.as_str())]);
        let mut status = BlueGreenRolloutStatus::default();
        assert_eq!(given(&on_object, &status, Verb::Promote, "abc"), Some(long.as_str()));
        spend(&mut status, &on_object, Verb::Promote);
        assert_eq!(given(&on_object, &status, Verb::Promote, "abc"), None);
        assert!(status.orders["promote"].len() <= LONGEST);
        let other = format!("{long}2");
        assert!(given(&annotations(&[("promote", other.as_str())]), &status, Verb::Promote, "abc").is_some(), "given anew");
        // As an earlier operator kept it.
        status.orders.insert("promote".into(), long);
        assert_eq!(given(&on_object, &status, Verb::Promote, "abc"), None);
    }

    #[test]
    fn an_order_that_was_spent_is_written_otherwise_the_next_time() {
        let mut status = BlueGreenRolloutStatus::default();
        for (spent, expected) in
            [(None, "abc"), (Some("abc"), "abc/2"), (Some("abc/2"), "abc/3"), (Some("abc/now"), "abc/2"), (Some("other"), "abc")]
        {
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
}
