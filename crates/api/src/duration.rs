//! Durations as Gateway API writes them (GEP-2257): `90s`, `1h30m`, `500ms`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, de};
use std::{borrow::Cow, fmt, str::FromStr, time};

const FORM: &str = "([0-9]{1,5}(h|m|s|ms)){1,4}";

/// A length of time: up to four numbers of up to five digits, each with `h`, `m`, `s` or `ms`.
/// No sign, no fraction, no days; `0s` is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration(pub time::Duration);

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a duration: write whole numbers with h, m, s or ms, for example 90s or 1h30m")]
pub struct InvalidDuration(String);

/// Eleven years: the longest that can be written back in one number of hours. What is longer is read as this.
const LONGEST: time::Duration = time::Duration::from_secs(99_999 * 3600);

impl Duration {
    pub const fn from_secs(seconds: u64) -> Self {
        Self(time::Duration::from_secs(seconds))
    }

    pub const fn is_zero(&self) -> bool {
        self.0.is_zero()
    }
}

impl FromStr for Duration {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidDuration(text.to_owned());
        let mut total = time::Duration::ZERO;
        let mut rest = text;
        let mut parts = 0;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            parts += 1;
            if !(1..=5).contains(&digits) || parts > 4 {
                return Err(invalid());
            }
            let (number, tail) = rest.split_at(digits);
            let number: u64 = number.parse().map_err(|_| invalid())?;
            let unit = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (unit, tail) = tail.split_at(unit);
            total += match unit {
                "h" => time::Duration::from_secs(number * 3600),
                "m" => time::Duration::from_secs(number * 60),
                "s" => time::Duration::from_secs(number),
                "ms" => time::Duration::from_millis(number),
                _ => return Err(invalid()),
            };
            rest = tail;
        }
        if parts == 0 { Err(invalid()) } else { Ok(Self(total.min(LONGEST))) }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        if millis == 0 {
            return f.write_str("0s");
        }
        for (unit, size) in [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
            let above = match unit {
                "h" => u128::MAX,
                "m" => 3_600_000,
                "s" => 60_000,
                _ => 1000,
            };
            let count = millis % above / size;
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
        }
        Ok(())
    }
}

impl Serialize for Duration {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'_, str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": 32,
            "x-kubernetes-validations": [{
                "rule": format!("self.matches('^{FORM}$')"),
                "message": "must be a duration of whole numbers with h, m, s or ms, for example 90s or 1h30m",
            }],
        })
    }
}

/// The time that an object is kept: a duration, or `Never` if it is never removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    For(Duration),
    Never,
}

impl Serialize for Lifetime {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::For(duration) => duration.serialize(serializer),
            Self::Never => serializer.serialize_str("Never"),
        }
    }
}

impl<'de> Deserialize<'de> for Lifetime {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Cow::<'_, str>::deserialize(deserializer)?.as_ref() {
            "Never" => Ok(Self::Never),
            text => text.parse().map(Self::For).map_err(de::Error::custom),
        }
    }
}

impl JsonSchema for Lifetime {
    fn schema_name() -> Cow<'static, str> {
        "Lifetime".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": 32,
            "x-kubernetes-validations": [{
                "rule": format!("self.matches('^(Never|{FORM})$')"),
                "message": "must be Never, or a duration of whole numbers with h, m, s or ms, for example 90s or 1h30m",
            }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_back_in_their_shortest_form() {
        for (text, millis, canonical) in [
            ("0s", 0, "0s"),
            ("90s", 90_000, "1m30s"),
            ("1h30m", 5_400_000, "1h30m"),
            ("500ms", 500, "500ms"),
            ("1s500ms", 1_500, "1s500ms"),
            ("36h", 129_600_000, "36h"),
            ("60000h60000h", 359_996_400_000, "99999h"),
        ] {
            let duration: Duration = text.parse().unwrap();
            assert_eq!(duration.0.as_millis(), millis, "{text}");
            assert_eq!(duration.to_string(), canonical);
        }
    }

    #[test]
    fn what_is_not_a_duration_is_refused() {
        for text in ["", "10", "-5s", "1d", "1.5h", "5 s", "123456s", "1s1s1s1s1s", "s"] {
            assert_eq!(text.parse::<Duration>(), Err(InvalidDuration(text.into())), "{text}");
        }
    }
}
