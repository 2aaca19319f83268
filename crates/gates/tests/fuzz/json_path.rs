//! Paths into answers, held against another reader of RFC 9535.

use bluegreen_gates::ask::json_path::{Fuel, JsonPath, LONGEST, MOST_PARTS, TANK};
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Value, json};
use serde_json_path::JsonPath as Other;

/// Names, texts and numbers from a small stock, so that paths and answers meet.
fn name() -> impl Strategy<Value = &'static str> {
    select(vec!["a", "b", "c", "é", "$", "..", "it's", "?", "]"])
}

fn literal() -> impl Strategy<Value = String> {
    prop_oneof![select(vec!["1", "2", "-1", "1.5", "1e2", "true", "false", "null"]).prop_map(str::to_owned), name().prop_map(quoted)]
}

fn quoted(name: &str) -> String {
    format!("'{}'", name.replace('\'', r"\'"))
}

fn singular() -> impl Strategy<Value = String> {
    vec(prop_oneof![name().prop_map(|name| format!("[{}]", quoted(name))), (0..3_u8).prop_map(|index| format!("[{index}]"))], 0..3)
        .prop_map(|parts| format!("@{}", parts.concat()))
}

/// A path as it is written, and as the other reader is asked for it.
///
/// The other reader orders what has no order: to it `true > false`, and not `@.absent <= @.absent`. RFC 9535 makes four
/// relations of two (2.3.5.2.2), `<` and `==`, and in those two it is right.
#[derive(Debug, Clone, Default)]
struct Twice {
    ours: String,
    theirs: String,
}

impl Twice {
    fn same(text: impl Into<String>) -> Self {
        let ours = text.into();
        Self { theirs: ours.clone(), ours }
    }

    fn map(&self, change: impl Fn(&str) -> String) -> Self {
        Self { ours: change(&self.ours), theirs: change(&self.theirs) }
    }

    fn with(&self, other: &Self, join: impl Fn(&str, &str) -> String) -> Self {
        Self { ours: join(&self.ours, &other.ours), theirs: join(&self.theirs, &other.theirs) }
    }

    fn compares(left: &str, relation: &str, right: &str) -> Self {
        let theirs = match relation.trim() {
            "<=" => format!("({left}<{right} || {left}=={right})"),
            ">=" => format!("({right}<{left} || {left}=={right})"),
            ">" => format!("{right}<{left}"),
            relation => format!("{left}{relation}{right}"),
        };
        Self { ours: format!("{left}{relation}{right}"), theirs }
    }
}

fn filter() -> impl Strategy<Value = Twice> {
    let operand = || prop_oneof![3 => singular(), 2 => literal(), 1 => singular().prop_map(|path| format!("length({path})")), 1 => singular().prop_map(|path| format!("count({path}.*)"))];
    let relation = select(vec![" == ", "!=", "<", " <= ", ">", ">="]);
    let test = prop_oneof![
        2 => (operand(), relation, operand()).prop_map(|(left, relation, right)| Twice::compares(&left, relation, &right)),
        1 => singular().prop_map(Twice::same),
        1 => singular().prop_map(|path| Twice::same(format!("!{path}"))),
        1 => singular().prop_map(|path| Twice::same(format!("{path}[*]"))),
    ];
    test.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(one, other)| one.with(&other, |one, other| format!("{one} && {other}"))),
            (inner.clone(), inner.clone()).prop_map(|(one, other)| one.with(&other, |one, other| format!("{one}||{other}"))),
            inner.clone().prop_map(|inner| inner.map(|inner| format!("({inner})"))),
            inner.prop_map(|inner| inner.map(|inner| format!("!({inner})"))),
        ]
    })
}

fn selector() -> impl Strategy<Value = Twice> {
    let bound = || prop_oneof![Just(String::new()), (-4..4_i8).prop_map(|bound| bound.to_string())];
    prop_oneof![
        3 => name().prop_map(|name| Twice::same(format!("[{}]", quoted(name)))),
        2 => (-4..4_i8).prop_map(|index| Twice::same(format!("[{index}]"))),
        1 => Just(Twice::same("[*]")),
        1 => (bound(), bound(), bound()).prop_map(|(start, end, step)| Twice::same(format!("[{start}:{end}:{step}]"))),
        2 => filter().prop_map(|filter| filter.map(|filter| format!("[?{filter}]"))),
    ]
}

fn good_path() -> impl Strategy<Value = Twice> {
    let segment = prop_oneof![3 => selector(), 2 => select(vec![".a", ".b", ".*", ".é"]).prop_map(Twice::same)];
    let anywhere = prop_oneof![
        3 => Just(Twice::default()),
        1 => selector().prop_map(|selector| selector.map(|selector| format!("..{selector}"))),
        1 => Just(Twice::same("..*")),
    ];
    (vec(segment.clone(), 0..4), anywhere, vec(segment, 0..3)).prop_map(|(before, anywhere, after)| {
        let parts = before.iter().chain([&anywhere]).chain(&after);
        parts.fold(Twice::same("$"), |path, part| path.with(part, |path, part| format!("{path}{part}")))
    })
}

fn answer() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-2..3_i8).prop_map(|number| json!(number)),
        Just(json!(1.5)),
        name().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            vec((name(), inner), 0..4).prop_map(|fields| fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
}

/// Anything, most of it made of what paths are made of.
fn scrawl() -> impl Strategy<Value = String> {
    let piece = select(vec![
        "$",
        "@",
        ".",
        "..",
        "*",
        "[",
        "]",
        "[?",
        "(",
        ")",
        "!",
        "'",
        "\"",
        "\\",
        "\\u00e9",
        "\\ud83d",
        ",",
        ":",
        "-",
        "0",
        "9007199254740993",
        "a",
        "é",
        " ",
        "&&",
        "||",
        "==",
        "<",
        "length(",
        "count(",
        "match(",
        "true",
        "1e999",
        "\n",
        "\u{0}",
    ]);
    prop_oneof![3 => vec(piece, 0..400).prop_map(|pieces| format!("${}", pieces.concat())), 1 => any::<String>()]
}

/// A text cut off before its fourth filter: the other reader takes long for filters within each other. A text that is cut is no text
/// drawn in vain, of which proptest allows only so many.
fn few_filters(mut text: String) -> String {
    if let Some((at, _)) = text.match_indices("[?").nth(3) {
        text.truncate(at);
    }
    text
}

/// A text as the other reader is asked for it: RFC 9535 allows blanks before each segment (2.5), and the other reader refuses those
/// before `..`.
fn without_blanks_before_dots(text: &str) -> String {
    let mut parts: Vec<_> = text.split("..").collect();
    let last = parts.len() - 1;
    parts[..last].iter_mut().for_each(|part| *part = part.trim_end_matches([' ', '\t', '\n', '\r']));
    parts.join("..")
}

proptest! {
    #![proptest_config(crate::config())]

    #[test]
    fn a_path_finds_what_another_reader_finds(path in good_path(), answer in answer()) {
        let ours = JsonPath::of("jsonPath", &path.ours).map_err(|why| TestCaseError::fail(why.to_string()))?;
        let theirs = Other::parse(&path.theirs).map_err(|why| TestCaseError::fail(format!("{}: {why}", path.theirs)))?;
        let found = ours.find(&answer).unwrap();
        prop_assert_eq!(&found, &theirs.query(&answer).all(), "{} in {}", path.ours, answer);
    }

    #[test]
    fn any_text_is_read_or_refused_in_one_line(text in scrawl()) {
        match JsonPath::of("jsonPath", &text) {
            Ok(path) => {
                prop_assert!(text.chars().count() <= LONGEST);
                prop_assert_eq!(path.to_string(), text);
            }
            Err(why) => prop_assert!(!why.to_string().contains('\n'), "{}", why),
        }
    }

    #[test]
    fn a_walk_stays_within_its_fuel(path in good_path(), answer in answer(), tank in 0..200_u64) {
        let path = JsonPath::of("jsonPath", &path.ours).unwrap();
        let (mut fuel, mut plenty) = (Fuel::new(tank), Fuel::new(TANK));
        let (cut_short, whole) = (path.find_on(&mut fuel, &answer), path.find_on(&mut plenty, &answer).unwrap());
        let took = TANK - plenty.left();
        prop_assert_eq!(cut_short.is_ok(), took <= tank, "{} steps of {}", took, tank);
        prop_assert!(cut_short.is_err() || fuel.left() == tank - took);
        prop_assert!(whole.len() as u64 <= took.max(1));
    }

    #[test]
    fn what_the_other_reader_refuses_is_refused(text in scrawl().prop_map(few_filters)) {
        let ours = JsonPath::of("jsonPath", &text);
        prop_assert!(ours.is_err() || Other::parse(&without_blanks_before_dots(&text)).is_ok(), "{}", text);
    }
}

#[test]
fn a_path_has_few_parts() {
    let long = |parts: usize| JsonPath::of("jsonPath", &format!("${}", "[0]".repeat(parts)));
    assert!(long(MOST_PARTS).is_ok() && long(MOST_PARTS + 1).is_err());
}
