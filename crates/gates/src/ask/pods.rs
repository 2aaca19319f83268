//! The pods of one revision, as a regular expression of their names.
//!
//! The color alone doesn't select them: its next revision would be judged by the requests of the one before. Nor does the form of a name:
//! Kubernetes shortens the names of pods whose ReplicaSet has a long one.

use std::collections::BTreeMap;

/// Names that are written one by one, at most: a query has an end.
const MOST: usize = 512;

/// Matches these pods and no others. Of more than 512 pods it names the ReplicaSet, which has one revision; where its name was shortened
/// and tells no revision, the first 512.
pub(super) fn regex(rollout: &str, color: &str, names: &[&str]) -> String {
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let many = sorted.len() > MOST;
    let whole = |set: &str| {
        let hash = set.strip_prefix(rollout).and_then(|rest| rest.strip_prefix('-')?.strip_prefix(color)?.strip_prefix('-'));
        many && hash.is_some_and(|hash| hash.len() > 1)
    };
    let mut left = MOST;
    for name in sorted {
        let (set, own) = name.split_at(name.rfind('-').map_or(0, |dash| dash + 1));
        let group = groups.entry(set).or_default();
        if !whole(set) && left > 0 {
            left -= 1;
            group.push(own);
        }
    }
    groups.retain(|set, own| whole(set) || !own.is_empty());
    let mut written: Vec<String> = groups.iter().map(|(set, own)| alternatives(set, own)).collect();
    match (written.pop(), written.is_empty()) {
        (Some(one), true) => one,
        (Some(last), false) => format!("({}|{last})", written.join("|")),
        (None, _) => String::new(),
    }
}

fn alternatives(set: &str, own: &[&str]) -> String {
    let set = quoted(set);
    match own {
        [] => format!("{set}[a-z0-9]+"),
        [one] => format!("{set}{}", quoted(one)),
        several => format!("{set}({})", several.iter().map(|one| quoted(one)).collect::<Vec<_>>().join("|")),
    }
}

/// A dot is the one character of a name that means something in an expression. Without a backslash, which strings of PromQL have a meaning for.
fn quoted(text: &str) -> String {
    text.replace('.', "[.]")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str]) -> String {
        regex("shop", "green", names)
    }

    #[test]
    fn pods_are_named_one_by_one() {
        assert_eq!(of(&["shop-green-6d4cf56db6-x1y2z"]), "shop-green-6d4cf56db6-x1y2z");
        assert_eq!(of(&["shop-green-6d4cf56db6-x1y2z", "shop-green-6d4cf56db6-a1b2c"]), "shop-green-6d4cf56db6-(a1b2c|x1y2z)");
        let restarted = ["shop-green-6d4cf56db6-x1y2z", "shop-green-7f9-a1b2c", "shop-green-7f9-a1b2c"];
        assert_eq!(of(&restarted), "(shop-green-6d4cf56db6-x1y2z|shop-green-7f9-a1b2c)");
        assert_eq!(of(&["made.by.hand"]), "made[.]by[.]hand");
        assert_eq!(of(&[]), "");
    }

    /// Kubernetes shortens what comes before the five characters of the pod to 58: the dash goes first, then the hash.
    #[test]
    fn pods_with_shortened_names_are_named_too() {
        let rollout = "checkout-of-the-european-shop-in-the-cloud-of-2026-eu-1";
        let full = format!("{rollout}-green-6d4cf56db6-");
        for length in [41, 47, 52, 55] {
            let (rollout, set) = (&rollout[..length], full.replace(rollout, &rollout[..length]));
            let set = &set[..set.len().min(58)];
            let (one, other) = (format!("{set}x1y2z"), format!("{set}a1b2c"));
            let found = regex(rollout, "green", &[&one, &other]);
            let (before, after) = set.split_at(set.rfind('-').unwrap() + 1);
            assert_eq!(found, format!("{before}({after}a1b2c|{after}x1y2z)"));
        }
    }

    #[test]
    fn the_names_of_many_pods_are_bounded() {
        let pods = |set: &str| (0..2000).map(|number| format!("{set}{number:05}")).collect::<Vec<_>>();
        let found = |pods: &[String]| of(&pods.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(found(&pods("shop-green-6d4cf56db6-")), "shop-green-6d4cf56db6-[a-z0-9]+");
        let shortened = found(&pods("shop-green-6d4c"));
        assert!(shortened.len() < 512 * 11 && shortened.starts_with("shop-green-(6d4c00000|"), "{shortened}");
        assert!(shortened.ends_with("|6d4c00511)"), "never the pods of the whole color: {shortened}");
    }
}
