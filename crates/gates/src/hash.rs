//! Short names for content: hashes that no order of keys and no null changes.

use data_encoding::BASE32_NOPAD;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Letters of the short hash: 50 bits.
pub const LENGTH: usize = 10;

/// A short name for a definition: changes when the definition does.
pub fn definition(value: &Value) -> String {
    hash(value).chars().take(LENGTH).collect()
}

pub fn hash(value: &Value) -> String {
    let canonical = serde_json_canonicalizer::to_vec(&without_nulls(value)).unwrap_or_default();
    BASE32_NOPAD.encode(&Sha256::digest(canonical)).to_lowercase()
}

/// A null map entry and an absent one are the same to Kubernetes.
pub fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            map.iter().filter(|(_, inner)| !inner.is_null()).map(|(key, inner)| (key.clone(), without_nulls(inner))).collect()
        }
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_definition_is_named_anew_when_it_changes() {
        let name = definition(&json!({"max": "1%"}));
        assert_eq!((name.len(), &name), (LENGTH, &definition(&json!({"max": "1%", "min": null}))));
        assert_ne!(name, definition(&json!({"max": "2%"})));
    }
}
