//! Who wrote `spec` of an object last, by its `metadata.managedFields`.

use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use std::fmt;

/// An entry of `metadata.managedFields`, as far as it tells who wrote `spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ManagedFields {
    manager: String,
    operation: String,
    subresource: String,
    time: Option<Timestamp>,
    #[serde(rename = "fieldsV1")]
    fields: Touches,
}

impl ManagedFields {
    /// By server-side applies of the object itself.
    pub fn is_applied_by(&self, manager: &str) -> bool {
        self.manager == manager && self.operation == "Apply" && self.subresource.is_empty()
    }
}

/// Whether the fields are any of `spec`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Touches {
    spec: bool,
}

impl<'de> Deserialize<'de> for Touches {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Touches;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("fields")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Touches, A::Error> {
                let mut touches = Touches::default();
                while let Some((key, _)) = map.next_entry::<String, IgnoredAny>()? {
                    touches.spec |= key == "f:spec";
                }
                Ok(touches)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// Subresources don't count: an autoscaler that writes `scale` has started no rollout.
pub fn last_writer(entries: &[ManagedFields]) -> Option<&str> {
    let of_spec = entries.iter().filter(|entry| entry.subresource.is_empty() && entry.fields.spec);
    of_spec.max_by_key(|entry| entry.time).map(|entry| entry.manager.as_str())
}
