//! Reading a path. Each character is gone over once, and what would make a path costly is refused where it stands.

use super::{Condition, DEEPEST, MOST_PARTS, Operand, Relation, Segment, Selector};
use serde_json::{Number, Value};

/// RFC 9535's range, in which every number is exact in JavaScript too.
const LARGEST: i64 = (1 << 53) - 1;

const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

/// The segments of a path, or the end of a sentence about it.
pub(super) fn path(text: &str) -> Result<Vec<Segment>, String> {
    let mut reader = Reader { rest: text, parts: 0, everywhere: false, in_filter: false };
    if !reader.take("$") {
        return Err("is not a valid JSONPath: it must begin with $".into());
    }
    let segments = reader.segments()?;
    if reader.rest.is_empty() { Ok(segments) } else { Err(reader.unexpected("the end, or a segment such as .name or [0]")) }
}

struct Reader<'a> {
    rest: &'a str,
    parts: usize,
    /// A `..` was read.
    everywhere: bool,
    in_filter: bool,
}

impl<'a> Reader<'a> {
    fn take(&mut self, token: &str) -> bool {
        let after = self.rest.strip_prefix(token);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches(BLANKS);
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        self.skip_blanks();
        if self.take(token) { Ok(()) } else { Err(self.unexpected(token)) }
    }

    fn take_while(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !fits(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn unexpected(&self, expected: &str) -> String {
        let found: String = self.rest.chars().take(16).collect();
        let found = if found.is_empty() { "it ends".to_owned() } else { format!("it has {found:?}") };
        format!("is not a valid JSONPath: {found} where {expected} should follow")
    }

    /// Another segment or condition.
    fn part(&mut self) -> Result<(), String> {
        self.parts += 1;
        if self.parts > MOST_PARTS { Err(format!("has more than {MOST_PARTS} parts: make it shorter")) } else { Ok(()) }
    }

    fn segments(&mut self) -> Result<Vec<Segment>, String> {
        let mut segments = Vec::new();
        loop {
            let before = self.rest;
            self.skip_blanks();
            let selector = if self.take("..") {
                if std::mem::replace(&mut self.everywhere, true) {
                    return Err("uses .. twice, which is too slow on a large answer: write a path that goes through the answer once".into());
                }
                let selector = if self.take("[") { self.bracketed()? } else { self.shorthand()? };
                segments.push(Segment { everywhere: true, selector });
                self.part()?;
                continue;
            } else if self.take(".") {
                self.shorthand()?
            } else if self.take("[") {
                self.bracketed()?
            } else {
                self.rest = before;
                return Ok(segments);
            };
            segments.push(Segment { everywhere: false, selector });
            self.part()?;
        }
    }

    /// After a point: `*` or a name.
    fn shorthand(&mut self) -> Result<Selector, String> {
        if self.take("*") {
            return Ok(Selector::All);
        }
        let name = self.take_while(|c| c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii());
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            self.rest = if name.is_empty() { self.rest } else { name };
            return Err(self.unexpected("a name or *"));
        }
        Ok(Selector::Name(name.to_owned()))
    }

    /// After `[`, up to the `]`.
    fn bracketed(&mut self) -> Result<Selector, String> {
        self.skip_blanks();
        let selector = if self.take("*") {
            Selector::All
        } else if self.take("?") {
            if std::mem::replace(&mut self.in_filter, true) {
                return Err("has a filter within a filter, which is too slow on a large answer: filter once".into());
            }
            let condition = self.any(0)?;
            self.in_filter = false;
            Selector::Filter(condition)
        } else if let Some(name) = self.quoted()? {
            Selector::Name(name)
        } else {
            self.index_or_slice()?
        };
        self.skip_blanks();
        if self.rest.starts_with(',') {
            return Err("has several selectors between [ and ], which is too slow on a large answer: write one".into());
        }
        self.expect("]")?;
        Ok(selector)
    }

    fn index_or_slice(&mut self) -> Result<Selector, String> {
        let start = self.whole()?;
        self.skip_blanks();
        if !self.take(":") {
            return start.map(Selector::Index).ok_or_else(|| self.unexpected("a name in quotes, a number, *, or a filter with ?"));
        }
        self.skip_blanks();
        let end = self.whole()?;
        self.skip_blanks();
        let mut step = None;
        if self.take(":") {
            self.skip_blanks();
            step = self.whole()?;
        }
        Ok(Selector::Slice { start, end, step: step.unwrap_or(1) })
    }

    /// A whole number, if one follows.
    fn whole(&mut self) -> Result<Option<i64>, String> {
        let before = self.rest;
        let negative = self.take("-");
        let digits = self.take_while(|c| c.is_ascii_digit());
        if digits.is_empty() && !negative {
            return Ok(None);
        }
        let number = digits.parse::<i64>().ok().filter(|number| *number <= LARGEST);
        match number {
            Some(number) if (digits == "0" && !negative) || !digits.starts_with('0') => Ok(Some(if negative { -number } else { number })),
            _ => {
                self.rest = before;
                Err(self.unexpected("a whole number"))
            }
        }
    }

    /// A text in quotes, if one follows.
    fn quoted(&mut self) -> Result<Option<String>, String> {
        let Some(quote) = self.rest.chars().next().filter(|c| matches!(c, '\'' | '"')) else { return Ok(None) };
        let mut text = String::new();
        let mut characters = self.rest.chars();
        characters.next();
        loop {
            match characters.next() {
                Some(end) if end == quote => break,
                Some('\\') => {
                    let escaped = characters.next().and_then(|escape| match escape {
                        'b' => Some('\u{8}'),
                        'f' => Some('\u{c}'),
                        'n' => Some('\n'),
                        'r' => Some('\r'),
                        't' => Some('\t'),
                        '/' | '\\' => Some(escape),
                        'u' => unicode(&mut characters),
                        _ => (escape == quote).then_some(quote),
                    });
                    self.rest = characters.as_str();
                    text.push(escaped.ok_or_else(|| "is not a valid JSONPath: a text in it has an unknown escape after \\".to_owned())?);
                }
                Some(c) if c >= ' ' => text.push(c),
                _ => return Err("is not a valid JSONPath: a text in it is not closed".into()),
            }
        }
        self.rest = characters.as_str();
        Ok(Some(text))
    }

    /// Conditions of which one must hold. `depth`: of parentheses.
    fn any(&mut self, depth: usize) -> Result<Condition, String> {
        let mut any = vec![self.all(depth)?];
        loop {
            self.skip_blanks();
            if !self.take("||") {
                return Ok(if any.len() == 1 { any.remove(0) } else { Condition::Any(any) });
            }
            any.push(self.all(depth)?);
        }
    }

    fn all(&mut self, depth: usize) -> Result<Condition, String> {
        let mut all = vec![self.condition(depth)?];
        loop {
            self.skip_blanks();
            if !self.take("&&") {
                return Ok(if all.len() == 1 { all.remove(0) } else { Condition::All(all) });
            }
            all.push(self.condition(depth)?);
        }
    }

    fn condition(&mut self, depth: usize) -> Result<Condition, String> {
        self.part()?;
        self.skip_blanks();
        let not = self.take("!");
        self.skip_blanks();
        let condition = if self.take("(") {
            if depth == DEEPEST {
                return Err(format!("has more than {DEEPEST} parentheses within each other: simplify it"));
            }
            let inner = self.any(depth + 1)?;
            self.expect(")")?;
            inner
        } else if not {
            self.expect("@").map_err(|_| self.unexpected("@ or ( after !"))?;
            Condition::Exists(self.segments()?)
        } else {
            self.test()?
        };
        Ok(if not { Condition::Not(Box::new(condition)) } else { condition })
    }

    /// A comparison, or a path that must find something.
    fn test(&mut self) -> Result<Condition, String> {
        let left = self.operand()?;
        self.skip_blanks();
        match (self.relation(), left) {
            (Some(relation), left) => {
                let left = singular(left)?;
                self.skip_blanks();
                let right = self.operand()?;
                Ok(Condition::Compare(left, relation, singular(right)?))
            }
            (None, Operand::At(segments)) => Ok(Condition::Exists(segments)),
            (None, Operand::Literal(_) | Operand::Length(_) | Operand::Count(_)) => Err(self.unexpected("a comparison such as == or <")),
        }
    }

    fn relation(&mut self) -> Option<Relation> {
        let relations = [
            ("==", Relation::Equal),
            ("!=", Relation::NotEqual),
            ("<=", Relation::LessOrEqual),
            (">=", Relation::GreaterOrEqual),
            ("<", Relation::Less),
            (">", Relation::Greater),
        ];
        relations.into_iter().find_map(|(token, relation)| self.take(token).then_some(relation))
    }

    fn operand(&mut self) -> Result<Operand, String> {
        if self.take("@") {
            return Ok(Operand::At(self.segments()?));
        }
        if self.rest.starts_with('$') {
            return Err("uses $ in a filter, which is too slow on a large answer: write a path that goes through the answer once".into());
        }
        if let Some(text) = self.quoted()? {
            return Ok(Operand::Literal(Value::String(text)));
        }
        if self.rest.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
            return self.number().map(|number| Operand::Literal(Value::Number(number)));
        }
        let before = self.rest;
        match self.take_while(|c| c.is_ascii_alphanumeric() || c == '_') {
            "true" => Ok(Operand::Literal(Value::Bool(true))),
            "false" => Ok(Operand::Literal(Value::Bool(false))),
            "null" => Ok(Operand::Literal(Value::Null)),
            name if !name.is_empty() && self.rest.starts_with('(') => self.function(name),
            _ => {
                self.rest = before;
                Err(self.unexpected("@, a text in quotes, a number, true, false or null"))
            }
        }
    }

    fn function(&mut self, name: &str) -> Result<Operand, String> {
        if !matches!(name, "length" | "count") {
            return Err(format!("uses the function {name}, which is not supported; supported are length and count"));
        }
        self.expect("(")?;
        self.expect("@")?;
        let segments = self.segments()?;
        self.expect(")")?;
        if name == "count" {
            return Ok(Operand::Count(segments));
        }
        match singular(Operand::At(segments))? {
            Operand::At(segments) => Ok(Operand::Length(segments)),
            other => Ok(other),
        }
    }

    fn number(&mut self) -> Result<Number, String> {
        let text = self.take_while(|c| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E'));
        text.parse::<Number>().map_err(|_| format!("is not a valid JSONPath: {text:?} is not a number"))
    }
}

/// Only a path that finds at most one value can be compared.
fn singular(operand: Operand) -> Result<Operand, String> {
    match &operand {
        Operand::At(segments)
            if !segments
                .iter()
                .all(|segment| !segment.everywhere && matches!(segment.selector, Selector::Name(_) | Selector::Index(_))) =>
        {
            Err("compares a path that may find several values: compare one that names its value, as @.name or @[0]".into())
        }
        _ => Ok(operand),
    }
}

/// Four digits in base 16, or two such with an escape between them.
fn unicode(characters: &mut std::str::Chars<'_>) -> Option<char> {
    let four = |characters: &mut std::str::Chars<'_>| {
        let digits = characters.as_str().get(..4).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        characters.nth(3)?;
        u32::from_str_radix(digits, 16).ok()
    };
    match four(characters)? {
        high @ 0xd800..=0xdbff => {
            (characters.next()? == '\\' && characters.next()? == 'u').then_some(())?;
            let low = four(characters).filter(|low| (0xdc00..=0xdfff).contains(low))?;
            char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00))
        }
        other => char::from_u32(other),
    }
}
