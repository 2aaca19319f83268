//! What people ask of one attempt, by annotations `bluegreen.dev/<verb>: <revision>`.

use bluegreen_api::{BlueGreenRolloutStatus, names};
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
    let spent = status.orders.get(verb.as_str()) == Some(value);
    let names_it = value.split('/').next() == Some(revision);
    (!spent && names_it && !revision.is_empty()).then_some(value)
}

/// Marks an order as carried out.
pub fn spend(status: &mut BlueGreenRolloutStatus, annotations: &BTreeMap<String, String>, verb: Verb) {
    if let Some(value) = annotations.get(&format!("{}{}", names::PREFIX, verb.as_str())) {
        status.orders.insert(verb.as_str().to_owned(), value.clone());
    }
}

/// All orders on the object are spent: they were given for something earlier. Those no longer there are forgotten.
pub fn spend_all(status: &mut BlueGreenRolloutStatus, annotations: &BTreeMap<String, String>) {
    status.orders.clear();
    for verb in Verb::ALL {
        spend(status, annotations, verb);
    }
}
