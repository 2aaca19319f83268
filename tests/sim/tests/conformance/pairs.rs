//! What is called differently on both sides and means the same: `@version:3` is the fourth version that both have told of.

use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Simulated,
    Real,
}

pub const SIDES: [Side; 2] = [Side::Simulated, Side::Real];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Version,
    Uid,
    /// The version that a list is of: it may have moved on for reasons that only one side has.
    List,
    Token,
}

impl What {
    const ALL: [Self; 4] = [Self::Version, Self::Uid, Self::List, Self::Token];

    fn word(self) -> &'static str {
        match self {
            Self::Version => "@version:",
            Self::Uid => "@uid:",
            Self::List => "@list:",
            Self::Token => "@token:",
        }
    }

    pub fn mark(self, number: usize) -> String {
        format!("{}{number}", self.word())
    }
}

#[derive(Debug, Default)]
pub struct Pairs([Vec<[String; 2]>; 4]);

impl Pairs {
    pub fn count(&self, what: What) -> usize {
        self.0[what as usize].len()
    }

    fn number(&self, what: What, side: Side, text: &str) -> Option<usize> {
        self.0[what as usize].iter().position(|pair| pair[side as usize] == text)
    }

    /// The mark of what a side says, or its own words.
    pub fn mark(&self, what: What, side: Side, text: &str) -> String {
        self.number(what, side, text).map_or_else(|| format!("{text:?}, of which the other side knows nothing"), |number| what.mark(number))
    }

    /// What both say in the same place is the same, if neither has said it before.
    pub fn learn(&mut self, what: What, said: [&Value; 2]) -> Option<String> {
        let [Some(simulated), Some(real)] = said.map(Value::as_str) else { return None };
        let known = self.number(what, Side::Simulated, simulated).is_some() || self.number(what, Side::Real, real).is_some();
        // The same list may be asked for again.
        if known && [What::Version, What::Uid].contains(&what) {
            return None;
        }
        let pairs = &mut self.0[what as usize];
        pairs.push([simulated.to_owned(), real.to_owned()]);
        Some(what.mark(pairs.len() - 1))
    }

    /// Learns from an object that both have answered.
    pub fn learn_object(&mut self, said: [&Value; 2]) {
        self.learn(What::Version, said.map(|object| &object["metadata"]["resourceVersion"]));
        self.learn(What::Uid, said.map(|object| &object["metadata"]["uid"]));
    }

    /// What a mark means on a side; anything else means itself.
    pub fn said(&self, side: Side, text: &str) -> String {
        let found = What::ALL.iter().find_map(|what| {
            let number: usize = text.strip_prefix(what.word())?.parse().ok()?;
            self.0[*what as usize].get(number)
        });
        found.map_or(text, |pair| &pair[side as usize]).to_owned()
    }

    pub fn put_in(&self, side: Side, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.said(side, text)),
            Value::Array(items) => items.iter().map(|item| self.put_in(side, item)).collect(),
            Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), self.put_in(side, value))).collect(),
            other => other.clone(),
        }
    }
}
