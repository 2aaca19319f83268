//! Paths into answers in JSON: the part of RFC 9535 in which the cost of a path is known before it is walked.
//!
//! Anyone who may write a rollout can write any path, and anyone who answers can answer anything. So a path has few parts, one selector in
//! each of its brackets, at most one `..`, and no filter within a filter; and walking it burns fuel, a step for each value that it looks at.

mod read;
mod walk;

pub use walk::{Fuel, TANK, TooLarge};

use crate::invalid::Invalid;
use serde_json::Value;
use std::fmt;

/// As the schema bounds a path, in characters; a parameter could make it longer.
pub const LONGEST: usize = 1024;

/// Segments and conditions of a path, those within its filters too.
pub const MOST_PARTS: usize = 64;

/// Parentheses within parentheses.
pub const DEEPEST: usize = 8;

/// A path as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath {
    text: String,
    segments: Vec<Segment>,
}

/// A step from values to some of those below them.
#[derive(Clone, Debug, PartialEq)]
struct Segment {
    /// `..`: from these values and from all that are below them.
    everywhere: bool,
    selector: Selector,
}

#[derive(Clone, Debug, PartialEq)]
enum Selector {
    Name(String),
    Index(i64),
    Slice { start: Option<i64>, end: Option<i64>, step: i64 },
    All,
    Filter(Condition),
}

/// What a filter asks of each value.
#[derive(Clone, Debug, PartialEq)]
enum Condition {
    Any(Vec<Self>),
    All(Vec<Self>),
    Not(Box<Self>),
    Exists(Vec<Segment>),
    Compare(Operand, Relation, Operand),
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Literal(Value),
    /// From the value at hand to one below it.
    At(Vec<Segment>),
    /// The length of a text, or how many a list or an object has.
    Length(Vec<Segment>),
    /// How many values a path finds.
    Count(Vec<Segment>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl JsonPath {
    /// With all that can be wrong with it found before anything is asked. `field`: where it stands.
    pub fn of(field: &str, path: &str) -> Result<Self, Invalid> {
        if path.chars().count() > LONGEST {
            return Err(Invalid(format!("{field} has more than {LONGEST} characters: make it shorter")));
        }
        match read::path(path) {
            Ok(segments) => Ok(Self { text: path.to_owned(), segments }),
            Err(why) => Err(Invalid(format!("{field} {path:?} {why}"))),
        }
    }

    /// What it finds in an answer, in the order of the answer.
    pub fn find<'v>(&self, answer: &'v Value) -> Result<Vec<&'v Value>, TooLarge> {
        self.find_on(&mut Fuel::new(TANK), answer)
    }

    /// The same on this fuel.
    pub fn find_on<'v>(&self, fuel: &mut Fuel, answer: &'v Value) -> Result<Vec<&'v Value>, TooLarge> {
        walk::walk(&self.segments, answer, fuel)
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
