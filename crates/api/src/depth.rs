//! How deep JSON may be nested that users write freely. A schema can't bound that, and a parser that recurses refuses what is nested too
//! deep together with everything around it.

use serde::{
    Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};
use std::fmt;

/// Levels of objects and lists. The deepest field of a pod template is at a third of it.
pub const DEEPEST: usize = 40;

/// Whether something is nested deeper than it may be.
pub fn is_too_deep(value: &Value) -> bool {
    fn within(value: &Value, left: usize) -> bool {
        match value {
            Value::Array(items) => left > 0 && items.iter().all(|item| within(item, left - 1)),
            Value::Object(fields) => left > 0 && fields.values().all(|field| within(field, left - 1)),
            _ => true,
        }
    }
    !within(value, DEEPEST)
}

/// Reads JSON however deep it is nested: the levels below the first that is too deep are empty.
pub fn shallow<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    Levels(DEEPEST + 1).deserialize(deserializer)
}

/// So many levels of what follows are kept.
#[derive(Clone, Copy)]
struct Levels(usize);

impl<'de> DeserializeSeed<'de> for Levels {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Levels {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let Some(inner) = self.0.checked_sub(1).filter(|inner| *inner > 0) else {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(Value::Array(vec![]));
        };
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(Self(inner))? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let Some(inner) = self.0.checked_sub(1).filter(|inner| *inner > 0) else {
            while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Value::Object(Map::new()));
        };
        let mut fields = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            fields.insert(name, object.next_value_seed(Self(inner))?);
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PodTemplate;

    fn nested(levels: usize) -> String {
        format!("{}1{}", r#"{"a":["#.repeat(levels / 2), "]}".repeat(levels / 2))
    }

    #[test]
    fn what_is_nested_too_deep_is_read_and_known_as_that() {
        for (levels, deep) in [(0, false), (DEEPEST, false), (DEEPEST + 2, true), (150, true), (100_000, true)] {
            let PodTemplate(template) = serde_json::from_str(&nested(levels)).unwrap();
            assert_eq!(is_too_deep(&template), deep, "{levels} levels");
        }
    }

    #[test]
    fn what_is_not_too_deep_is_kept_as_it_is() {
        let text = r#"{"a":[1,-2,18446744073709551615,0.1,1e300,"x\u0000é",null,true,{},[[]]],"b":{"c":[{"d":"0.10"}]}}"#;
        let PodTemplate(template) = serde_json::from_str(text).unwrap();
        assert_eq!(template, serde_json::from_str::<Value>(text).unwrap());
        let PodTemplate(from_value) = serde_json::from_value(template.clone()).unwrap();
        assert_eq!(from_value, template);
    }
}
