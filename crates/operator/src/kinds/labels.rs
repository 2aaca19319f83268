//! Labels and annotations, kept small.

use crate::intern::Text;
use std::collections::BTreeMap;

/// A sorted list of keys and values: a small part of the size of a map of strings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(Box<[(Text, Text)]>);

impl Labels {
    pub fn of(map: Option<BTreeMap<String, String>>, keep: impl Fn(&str) -> bool) -> Self {
        let kept = map.unwrap_or_default().into_iter().filter(|(key, _)| keep(key));
        Self(kept.map(|(key, value)| (Text::of(&key), Text::of(&value))).collect())
    }

    pub fn all(map: Option<BTreeMap<String, String>>) -> Self {
        Self::of(map, |_| true)
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        let found = self.0.binary_search_by(|(is, _)| (**is).cmp(key)).ok()?;
        self.0.get(found).map(|(_, value)| &**value)
    }

    pub fn to_map(&self) -> BTreeMap<String, String> {
        self.0.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_again() {
        let map = BTreeMap::from([("b".to_owned(), "2".to_owned()), ("a".to_owned(), "1".to_owned())]);
        let labels = Labels::of(Some(map), |key| key != "b");
        assert_eq!((labels.get("a"), labels.get("b")), (Some("1"), None));
        assert_eq!(labels.to_map().len(), 1);
    }
}
