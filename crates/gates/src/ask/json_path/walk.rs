//! Walking a path: every value that is looked at is a step, and steps are counted.

use super::{Condition, Operand, Relation, Segment, Selector};
use serde_json::{Map, Number, Value};
use std::cmp::Ordering;

/// Steps for one answer: enough for each value of the largest answer that is read, and some tens of milliseconds at most.
pub const TANK: u64 = 1_000_000;

/// Characters of a text that are compared in one step.
const STRIDE: usize = 64;

/// Steps that are left.
#[derive(Debug)]
pub struct Fuel {
    left: u64,
}

/// A path needs more steps than there are for one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("takes more than {TANK} steps through the answer: write a path that visits fewer values, or return a smaller answer")]
pub struct TooLarge;

impl Fuel {
    pub const fn new(steps: u64) -> Self {
        Self { left: steps }
    }

    pub const fn left(&self) -> u64 {
        self.left
    }

    fn burn(&mut self, steps: usize) -> Result<(), TooLarge> {
        let left = u64::try_from(steps).ok().and_then(|steps| self.left.checked_sub(steps));
        self.left = left.unwrap_or(0);
        left.map(drop).ok_or(TooLarge)
    }

    fn text(&mut self, text: &str) -> Result<(), TooLarge> {
        self.burn(1 + text.len() / STRIDE)
    }
}

pub(super) fn walk<'v>(segments: &[Segment], from: &'v Value, fuel: &mut Fuel) -> Result<Vec<&'v Value>, TooLarge> {
    let mut found = vec![from];
    for segment in segments {
        let mut next = Vec::new();
        for value in found {
            if segment.everywhere {
                everywhere(&segment.selector, value, fuel, &mut next)?;
            } else {
                select(&segment.selector, value, fuel, &mut next)?;
            }
        }
        found = next;
    }
    Ok(found)
}

/// As deep as an answer is, which `serde_json` bounds to 128 levels.
fn everywhere<'v>(selector: &Selector, value: &'v Value, fuel: &mut Fuel, found: &mut Vec<&'v Value>) -> Result<(), TooLarge> {
    select(selector, value, fuel, found)?;
    below(value).try_for_each(|value| everywhere(selector, value, fuel, found))
}

/// The values right below one, in their order.
fn below(value: &Value) -> impl Iterator<Item = &Value> {
    let (list, object) = (value.as_array(), value.as_object());
    list.into_iter().flatten().chain(object.into_iter().flat_map(Map::values))
}

fn select<'v>(selector: &Selector, value: &'v Value, fuel: &mut Fuel, found: &mut Vec<&'v Value>) -> Result<(), TooLarge> {
    fuel.burn(1)?;
    match (selector, value) {
        (Selector::Name(name), Value::Object(fields)) => {
            fuel.text(name)?;
            found.extend(fields.get(name));
        }
        (Selector::Index(index), Value::Array(items)) => found.extend(place(*index, items.len()).and_then(|place| items.get(place))),
        (Selector::Slice { start, end, step }, Value::Array(items)) => {
            for place in slice(items.len(), *start, *end, *step) {
                fuel.burn(1)?;
                found.extend(items.get(place));
            }
        }
        (Selector::All, value) => {
            for value in below(value) {
                fuel.burn(1)?;
                found.push(value);
            }
        }
        (Selector::Filter(condition), value) => {
            for value in below(value) {
                if holds(condition, value, fuel)? {
                    found.push(value);
                }
            }
        }
        (Selector::Name(_) | Selector::Index(_) | Selector::Slice { .. }, _) => {}
    }
    Ok(())
}

/// A negative one counts from the end.
fn place(index: i64, length: usize) -> Option<usize> {
    match usize::try_from(index.unsigned_abs()).ok()? {
        back if index < 0 => length.checked_sub(back),
        place => Some(place),
    }
}

/// The places of a slice, as RFC 9535 has them.
fn slice(length: usize, start: Option<i64>, end: Option<i64>, step: i64) -> Box<dyn Iterator<Item = usize>> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let from_the_front = |index: i64| if index < 0 { length.saturating_add(index) } else { index };
    let stride = usize::try_from(step.unsigned_abs()).unwrap_or(usize::MAX);
    let places = move |low: i64, high: i64| (low..high).filter_map(|place| usize::try_from(place).ok());
    match step.cmp(&0) {
        Ordering::Equal => Box::new(std::iter::empty()),
        Ordering::Greater => {
            let (low, high) = (start.map_or(0, from_the_front).clamp(0, length), end.map_or(length, from_the_front).clamp(0, length));
            Box::new(places(low, high).step_by(stride))
        }
        Ordering::Less => {
            let high = start.map_or(length - 1, from_the_front).clamp(-1, length - 1);
            let low = end.map_or(-1, from_the_front).clamp(-1, length - 1);
            Box::new(places(low + 1, high + 1).rev().step_by(stride))
        }
    }
}

fn holds(condition: &Condition, value: &Value, fuel: &mut Fuel) -> Result<bool, TooLarge> {
    fuel.burn(1)?;
    match condition {
        Condition::Any(all) => {
            for one in all {
                if holds(one, value, fuel)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Condition::All(all) => {
            for one in all {
                if !holds(one, value, fuel)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Condition::Not(other) => Ok(!holds(other, value, fuel)?),
        Condition::Exists(segments) => Ok(!walk(segments, value, fuel)?.is_empty()),
        Condition::Compare(left, relation, right) => {
            let (left, right) = (Side::of(left, value, fuel)?, Side::of(right, value, fuel)?);
            compare(left.get(), *relation, right.get(), fuel)
        }
    }
}

/// A side of a comparison: a value of the path or of the answer, a number that was counted, or nothing.
enum Side<'v> {
    There(&'v Value),
    Counted(Value),
    Nothing,
}

impl<'v> Side<'v> {
    fn of(operand: &'v Operand, value: &'v Value, fuel: &mut Fuel) -> Result<Self, TooLarge> {
        Ok(match operand {
            Operand::Literal(literal) => Self::There(literal),
            Operand::At(segments) => walk(segments, value, fuel)?.first().map_or(Self::Nothing, |value| Self::There(value)),
            Operand::Count(segments) => Self::Counted(walk(segments, value, fuel)?.len().into()),
            Operand::Length(segments) => match walk(segments, value, fuel)?.first() {
                Some(Value::String(text)) => {
                    fuel.text(text)?;
                    Self::Counted(text.chars().count().into())
                }
                Some(Value::Array(items)) => Self::Counted(items.len().into()),
                Some(Value::Object(fields)) => Self::Counted(fields.len().into()),
                _ => Self::Nothing,
            },
        })
    }

    const fn get(&self) -> Option<&Value> {
        match self {
            Self::There(value) => Some(value),
            Self::Counted(number) => Some(number),
            Self::Nothing => None,
        }
    }
}

fn compare(left: Option<&Value>, relation: Relation, right: Option<&Value>, fuel: &mut Fuel) -> Result<bool, TooLarge> {
    let order = match relation {
        Relation::Equal => return equal(left, right, fuel),
        Relation::NotEqual => return Ok(!equal(left, right, fuel)?),
        Relation::Less | Relation::Greater | Relation::LessOrEqual | Relation::GreaterOrEqual => match (left, right) {
            (Some(Value::Number(left)), Some(Value::Number(right))) => order(left, right),
            (Some(Value::String(left)), Some(Value::String(right))) => {
                fuel.text(if left.len() < right.len() { left } else { right })?;
                Some(left.cmp(right))
            }
            _ => None,
        },
    };
    let or_equal = matches!(relation, Relation::LessOrEqual | Relation::GreaterOrEqual);
    Ok(match order {
        Some(Ordering::Less) => matches!(relation, Relation::Less | Relation::LessOrEqual),
        Some(Ordering::Greater) => matches!(relation, Relation::Greater | Relation::GreaterOrEqual),
        Some(Ordering::Equal) => or_equal,
        // What has no order is neither less nor greater, and may be the same.
        None => or_equal && equal(left, right, fuel)?,
    })
}

fn order(left: &Number, right: &Number) -> Option<Ordering> {
    left.as_f64()?.partial_cmp(&right.as_f64()?)
}

fn equal(left: Option<&Value>, right: Option<&Value>, fuel: &mut Fuel) -> Result<bool, TooLarge> {
    match (left, right) {
        (Some(left), Some(right)) => same(left, right, fuel),
        (left, right) => Ok(left.is_none() && right.is_none()),
    }
}

fn same(left: &Value, right: &Value, fuel: &mut Fuel) -> Result<bool, TooLarge> {
    fuel.burn(1)?;
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => Ok(order(left, right) == Some(Ordering::Equal)),
        (Value::String(left), Value::String(right)) if left.len() == right.len() => {
            fuel.text(left)?;
            Ok(left == right)
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (left, right) in left.iter().zip(right) {
                if !same(left, right, fuel)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Value::Object(left), Value::Object(right)) if left.len() == right.len() => {
            for (name, left) in left {
                fuel.text(name)?;
                match right.get(name) {
                    Some(right) if same(left, right, fuel)? => {}
                    _ => return Ok(false),
                }
            }
            Ok(true)
        }
        (Value::Bool(left), Value::Bool(right)) => Ok(left == right),
        (Value::Null, Value::Null) => Ok(true),
        _ => Ok(false),
    }
}
