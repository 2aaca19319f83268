//! `goodIf`: an expression in CEL (the Common Expression Language, as Kubernetes' own rules) that is true for a good value.
//!
//! Whoever may write a rollout can write any expression, so that it must end soon and can't bring the operator down: it is short,
//! not deep, and knows numbers only, without lists and what goes through them. What it comes to is known when it is read, so that no value
//! finds a part that can't be worked out. Each of its parts is worked out once at most for a reading: their number is its fuel.

use crate::{invalid::Invalid, text::excerpt};
use cel::{
    Context, IdedExpr, Value,
    common::ast::{Expr, LiteralValue},
    parser::PrattParser,
};
use std::sync::Arc;

/// As the schema bounds it, in characters; a template's parameter could make it longer.
const LONGEST: usize = 256;

/// Of operators within operators. Each level takes the stack of some calls.
const DEEPEST: u16 = 24;

/// Names, numbers and operators in it.
const MOST_PARTS: usize = 128;

const VALUE: &str = "value";
const ACTIVE: &str = "active";
const PREVIOUS: &str = "previous";

#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    text: String,
    parsed: Arc<IdedExpr>,
    names: Names,
}

/// What it names beside the reading, and how much there is to work out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Names {
    previous: bool,
    active: bool,
    parts: usize,
}

/// What an expression is of.
#[derive(Clone, Copy, Debug)]
pub struct Values {
    pub value: f64,
    pub previous: f64,
    /// There where the expression names it.
    pub active: Option<f64>,
}

impl Expression {
    /// With all that can be wrong with it found before anything is measured.
    pub fn of(text: &str) -> Result<Self, Invalid> {
        let wrong = |why: &str| Invalid(format!("goodIf, {text:?}, {why}"));
        if text.chars().count() > LONGEST {
            return Err(Invalid(format!("goodIf has more than {LONGEST} characters: make it shorter")));
        }
        let parsed = PrattParser::new().max_recursion_depth(DEEPEST).parse(text).map_err(|errors| {
            let first = errors.errors.first().map_or_else(String::new, |error| excerpt(error.msg.as_bytes(), LONGEST));
            wrong(&format!("is not a valid CEL expression: {first}"))
        })?;
        let mut names = Names::default();
        match kind_of(&parsed, 0, &mut names).map_err(|why| wrong(&why))? {
            Kind::Truth => Ok(Self { text: text.to_owned(), parsed: Arc::new(parsed), names }),
            Kind::Number | Kind::Whole => Err(wrong("is not a condition: compare something, as in value < 1.0")),
        }
    }

    /// How many parts there are to work out for a reading.
    pub const fn parts(&self) -> usize {
        self.names.parts
    }

    pub const fn names_active(&self) -> bool {
        self.names.active
    }

    pub const fn names_previous(&self) -> bool {
        self.names.previous
    }

    /// Whether the value is good; or why that can't be worked out.
    pub fn holds(&self, values: Values) -> Result<bool, String> {
        let mut context = Context::default();
        context.add_variable_from_value(VALUE, values.value);
        context.add_variable_from_value(PREVIOUS, values.previous);
        context.add_variable_from_value(ACTIVE, values.active.unwrap_or(f64::NAN));
        match Value::resolve(&self.parsed, &context) {
            Ok(Value::Bool(good)) => Ok(good),
            Ok(_) => Err("does not return true or false".into()),
            // As of two infinities, whose difference is no number.
            Err(error) => Err(format!("could not be evaluated: {error}")),
        }
    }

    /// Its text, with the numbers that were looked at beside the value.
    pub fn shown(&self, values: Values, shown: impl Fn(f64) -> String) -> String {
        let previous = self.names.previous.then_some(values.previous);
        let beside = [(PREVIOUS, previous), (ACTIVE, values.active)]
            .into_iter()
            .filter_map(|(name, number)| Some(format!(", {name} {}", shown(number?))));
        format!("{}{}", self.text, beside.collect::<String>())
    }
}

/// What a part of an expression comes to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Truth,
    /// A double.
    Number,
    /// A literal without a point, which can be compared with a double and not added to one.
    Whole,
}

/// Whatever values there are, what passes here can be worked out.
fn kind_of(expression: &IdedExpr, depth: u16, names: &mut Names) -> Result<Kind, String> {
    use Kind::{Number, Truth, Whole};
    if depth > DEEPEST {
        return Err(format!("is nested more than {DEEPEST} levels deep: simplify it"));
    }
    names.parts += 1;
    if names.parts > MOST_PARTS {
        return Err(format!("has more than {MOST_PARTS} names, numbers and operators: make it shorter"));
    }
    let call = match &expression.expr {
        Expr::Ident(name) => {
            match name.as_str() {
                VALUE => {}
                PREVIOUS => names.previous = true,
                ACTIVE => names.active = true,
                _ => return Err(format!("has an unknown name {name}; known are {VALUE}, {PREVIOUS} and {ACTIVE}")),
            }
            return Ok(Number);
        }
        Expr::Literal(LiteralValue::Boolean(_)) => return Ok(Truth),
        Expr::Literal(LiteralValue::Double(_)) => return Ok(Number),
        Expr::Literal(LiteralValue::Int(_)) => return Ok(Whole),
        Expr::Call(call) => call,
        _ => return Err("uses lists, maps, strings or fields; only numbers are supported".into()),
    };
    let mut kinds = Vec::new();
    for part in call.target.iter().map(AsRef::as_ref).chain(&call.args) {
        kinds.push(kind_of(part, depth + 1, names)?);
    }
    match (call.func_name.as_str(), kinds.as_slice()) {
        ("_&&_" | "_||_" | "_==_" | "_!=_", [Truth, Truth]) | ("!_", [Truth]) => Ok(Truth),
        ("_<_" | "_<=_" | "_>_" | "_>=_" | "_==_" | "_!=_", [Number | Whole, Number | Whole]) => Ok(Truth),
        ("_+_" | "_-_" | "_*_" | "_/_", [Number, Number]) => Ok(Number),
        ("_+_" | "_-_" | "_*_" | "_/_", [Number | Whole, Number | Whole]) => Err("mixes integers and doubles: write 2.0, not 2".into()),
        ("-_", [kind @ (Number | Whole)]) => Ok(*kind),
        ("_?_:_", [Truth, one, other]) if one == other => Ok(*one),
        (
            "_&&_" | "_||_" | "!_" | "_<_" | "_<=_" | "_>_" | "_>=_" | "_==_" | "_!=_" | "_+_" | "_-_" | "_*_" | "_/_" | "-_" | "_?_:_",
            _,
        ) => Err("mixes numbers with booleans, or integers with doubles".into()),
        (unknown, _) => Err(format!("uses {}, which is not supported", unknown.trim_matches('_'))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(text: &str, value: f64, previous: f64, active: f64) -> bool {
        Expression::of(text).unwrap().holds(Values { value, previous, active: Some(active) }).unwrap()
    }

    #[test]
    fn an_expression_is_of_reading_former_reading_and_active() {
        assert!(holds("value < 1", 0.5, 0.0, 0.0) && !holds("value < 1", 1.0, 0.0, 0.0));
        assert!(holds("value == 1", 1.0, 0.0, 0.0) && holds("value != 1", 2.0, 0.0, 0.0) && holds("-1 < value", 0.0, 0.0, 0.0));
        assert!(holds("!(value > 1.0) == true", 1.0, 0.0, 0.0) && holds("(value - -1.5) / 2.0 >= 1.0", 0.5, 0.0, 0.0));
        let falls = "value < 100.0 || value < previous";
        assert!(holds(falls, 120.0, 130.0, 0.0) && !holds(falls, 120.0, 110.0, 0.0) && holds(falls, 99.0, 0.0, 0.0));
        let factor = "value <= (active > 0.0 ? 2.0 * active : 0.01)";
        assert!(holds(factor, 0.2, 0.0, 0.1) && !holds(factor, 0.21, 0.0, 0.1) && holds(factor, 0.01, 0.0, 0.0));
        assert!(Expression::of(factor).unwrap().names_active() && !Expression::of(falls).unwrap().names_active());
    }

    #[test]
    fn what_nobody_could_work_out_is_told_when_it_is_read() {
        for (text, why) in [
            ("value <", "is not a valid CEL expression: "),
            ("vlaue < 1.0", "has an unknown name vlaue; known are value, previous and active"),
            ("value", "is not a condition: compare something, as in value < 1.0"),
            ("value * 2 < 1.0", "mixes integers and doubles: write 2.0, not 2"),
            ("value < 100.0 || (value < 200.0 && value + 1 < previous)", "mixes integers and doubles: write 2.0, not 2"),
            ("value < 5.0 || value.size() > 1", "uses size, which is not supported"),
            ("value % 2.0 < 1.0", "uses %, which is not supported"),
            ("value < (value < 1.0)", "mixes numbers with booleans"),
            ("!value", "mixes numbers with booleans"),
            ("-(value < 1.0)", "mixes numbers with booleans"),
            ("value < 1.0 && active", "mixes numbers with booleans"),
            ("value < (value < 1.0 ? 1 : 2.0)", "mixes numbers with booleans, or integers with doubles"),
            ("[1, 2].all(x, value < 3.0)", "uses lists, maps, strings or fields"),
            ("value in [1.0]", "uses lists, maps, strings or fields"),
            ("value.high < 1.0", "uses lists, maps, strings or fields"),
            ("string(value) == \"1\"", "uses string, which is not supported"),
            ("value == \"1\"", "uses lists, maps, strings or fields"),
        ] {
            let error = Expression::of(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("goodIf, {text:?}, {why}")), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn what_is_no_number_in_the_end_is_told_and_judges_nothing() {
        let difference = Expression::of("value - previous < 1.0").unwrap();
        let holds = difference.holds(Values { value: f64::INFINITY, previous: f64::INFINITY, active: None });
        assert!(holds.unwrap_err().starts_with("could not be evaluated: "));
    }

    #[test]
    fn a_deep_or_long_expression_never_overflows_the_stack() {
        for text in [
            format!("{}value < 1.0{}", "(".repeat(122), ")".repeat(122)),
            format!("{}(value < 1.0)", "!".repeat(240)),
            format!("{}value < 1.0", "- ".repeat(120)),
            format!("value < 1.0{}", " || value < 1.0".repeat(16)),
            format!("value{} < 1.0", " + 1.0".repeat(40)),
            format!("{}false", "value<1.?true:".repeat(17)),
            format!("1.0{}", "<1.0".repeat(60)),
            format!("{}value{} < 1.0", "double(".repeat(30), ")".repeat(30)),
            "value[0]".to_owned() + &"[0]".repeat(80),
            "[".repeat(128) + &"]".repeat(128),
            "1".repeat(257),
        ] {
            // The stack of a thread of the operator.
            let read = std::thread::Builder::new().stack_size(2 << 20).spawn(move || Expression::of(&text).map_err(|error| (text, error)));
            let read = read.unwrap().join().unwrap();
            assert!(read.is_err() || read.is_ok_and(|expression| expression.text.len() <= LONGEST));
        }
        let long = |length: usize| Expression::of(&format!("value < 1.{}", "0".repeat(length - "value < 1.".len())));
        assert!(long(LONGEST).is_ok());
        for longer in [LONGEST + 1, LONGEST + 2] {
            let error = long(longer).unwrap_err().to_string();
            assert_eq!(error, "goodIf has more than 256 characters: make it shorter");
        }
        let wide = |terms: usize| format!("({0})&&({0})", format!("1<1{}", "||1<1".repeat(terms - 1)));
        assert_eq!(Expression::of(&wide(16)).unwrap().parts(), 127);
        let error = Expression::of(&wide(17)).unwrap_err().to_string();
        assert!(error.ends_with("has more than 128 names, numbers and operators: make it shorter"), "{error}");
        let error = Expression::of(&format!("value{} < 1.0", " + 1.0".repeat(40))).unwrap_err().to_string();
        assert!(error.ends_with("is nested more than 24 levels deep: simplify it"), "{error}");
    }
}
