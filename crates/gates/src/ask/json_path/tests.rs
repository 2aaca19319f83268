use super::*;
use serde_json::json;

fn path(text: &str) -> JsonPath {
    JsonPath::of("jsonPath", text).unwrap()
}

fn refused(text: &str) -> String {
    JsonPath::of("jsonPath", text).expect_err(text).to_string()
}

#[test]
fn a_json_path_finds_what_rfc_9535_says() {
    let answer = json!({
        "a": [{"b": "up", "n": 1}, {"b": "down", "n": 2.0}, {"n": 10}],
        "$ref": {"..": {"a": 3}},
        "it's": "é",
        "deep": {"a": {"a": null}},
    });
    let cases = [
        ("$.a[0].b", json!(["up"])),
        ("$.a[-1].n", json!([10])),
        ("$.a[3]", json!([])),
        ("$ .a [ 1 ] [\"n\"]", json!([2.0])),
        ("$.a[*].n", json!([1, 2.0, 10])),
        ("$.a[1:].n", json!([2.0, 10])),
        ("$.a[::-2].n", json!([10, 1])),
        ("$.a[-2:-1].n", json!([2.0])),
        ("$.a[0:9:0]", json!([])),
        ("$['$ref']['..']..a", json!([3])),
        (r"$['it\'s']", json!(["é"])),
        (r#"$["\u0069t's"]"#, json!(["é"])),
        ("$.deep..a", json!([{"a": null}, null])),
        ("$..n", json!([1, 2.0, 10])),
        ("$ ..n", json!([1, 2.0, 10])),
        ("$.a\n..n", json!([1, 2.0, 10])),
        ("$.a[?@.b == 'up'].n", json!([1])),
        ("$.a[?@.b].n", json!([1, 2.0])),
        ("$.a[?!@.b].n", json!([10])),
        ("$.a[?@.b != 'up'].n", json!([2.0, 10])),
        ("$.a[?@.n >= 2 && (@.n < 1e1 || @.b)].n", json!([2.0])),
        ("$.a[?!(@.n == 1) && @.n<=10].n", json!([2.0, 10])),
        ("$.a[?@.b < 'up'].n", json!([2.0])),
        ("$.a[?length(@.b) == 4].n", json!([2.0])),
        ("$.a[?count(@.*) == 1].n", json!([10])),
        ("$[?length(@) == 3][0].n", json!([1])),
        ("$.deep.a[?@ == null]", json!([null])),
        ("$.deep[?@ == @].a", json!([null])),
        ("$.a[?@.x == @.y].n", json!([1, 2.0, 10])),
        ("$.a[?@.x <= @.y].n", json!([1, 2.0, 10])),
        ("$.a[?length(@.n) >= @.x].n", json!([1, 2.0, 10])),
        ("$.a[?@.x < @.y].n", json!([])),
        ("$.a[?true > false].n", json!([])),
        ("$.a[?true >= false].n", json!([])),
        ("$.a[?true >= true].n", json!([1, 2.0, 10])),
        ("$.a[?@ > @.n].n", json!([])),
        ("$.b", json!([])),
        ("$.a.b", json!([])),
        ("$.deep[0]", json!([])),
    ];
    for (text, expected) in cases {
        assert_eq!(json!(path(text).find(&answer).unwrap()), expected, "{text}");
    }
}

#[test]
fn a_costly_path_is_refused_when_it_is_read() {
    for (text, why) in [
        ("$..*..*".to_owned(), "uses .. twice, which is too slow on a large answer"),
        ("$..[?@..a]".to_owned(), "uses .. twice, which is too slow on a large answer"),
        (format!("${}", "[?@".repeat(45)), "has a filter within a filter, which is too slow on a large answer"),
        ("$[?@[?@.a]]".to_owned(), "has a filter within a filter, which is too slow on a large answer"),
        ("$.a[?@.b == $.c]".to_owned(), "uses $ in a filter, which is too slow on a large answer"),
        ("$[*,*]".to_owned(), "has several selectors between [ and ], which is too slow on a large answer"),
        ("$['a', 'b']".to_owned(), "has several selectors between [ and ], which is too slow on a large answer"),
        ("$[?search(@.a, 'b')]".to_owned(), "uses the function search, which is not supported; supported are length and count"),
        ("$[?match(@.a, 'b')]".to_owned(), "uses the function match, which is not supported; supported are length and count"),
        (format!("${}", ".a".repeat(65)), "has more than 64 parts: make it shorter"),
        (format!("$[?@{}]", " || @".repeat(64)), "has more than 64 parts: make it shorter"),
        (format!("$[?{}@{}]", "(".repeat(9), ")".repeat(9)), "has more than 8 parentheses within each other: simplify it"),
        ("$[?@.* == 1]".to_owned(), "compares a path that may find several values"),
        ("$[?length(@.*) == 1]".to_owned(), "compares a path that may find several values"),
    ] {
        let refused = refused(&text);
        assert!(refused.starts_with(&format!("jsonPath {text:?} {why}")), "{refused}");
    }
    assert_eq!(refused(&format!("$.{}", "a".repeat(LONGEST))), "jsonPath has more than 1024 characters: make it shorter");
    path(&format!("${}", ".a".repeat(64)));
    path(&format!("$[?{}@{}]", "(".repeat(8), ")".repeat(8)));
}

#[test]
fn what_is_no_path_is_refused_in_a_sentence() {
    for (text, why) in [
        ("a", "it must begin with $"),
        ("$a", "it has \"a\" where the end, or a segment such as .name or [0] should follow"),
        ("$.", "it ends where a name or * should follow"),
        ("$.1a", "it has \"1a\" where a name or * should follow"),
        ("$[", "it ends where a name in quotes, a number, *, or a filter with ? should follow"),
        ("$[01]", "it has \"01]\" where a whole number should follow"),
        ("$[-0]", "it has \"-0]\" where a whole number should follow"),
        ("$[9007199254740992]", "it has \"9007199254740992\" where a whole number should follow"),
        ("$[0", "it ends where ] should follow"),
        ("$['a", "a text in it is not closed"),
        (r"$['\x']", "a text in it has an unknown escape after \\"),
        (r"$['\ud800']", "a text in it has an unknown escape after \\"),
        ("$[?]", "it has \"]\" where @, a text in quotes, a number, true, false or null should follow"),
        ("$[?1]", "it has \"]\" where a comparison such as == or < should follow"),
        ("$[?!1]", "it has \"1]\" where @ or ( after ! should follow"),
        ("$[?@.a == 1.]", "\"1.\" is not a number"),
        ("$.a ", "it has \" \" where the end, or a segment such as .name or [0] should follow"),
    ] {
        assert_eq!(refused(text), format!("jsonPath {text:?} is not a valid JSONPath: {why}"));
    }
}

/// The largest answers that are read, with the dearest paths for each.
#[test]
fn a_path_takes_no_more_steps_than_there_are() {
    const ANSWER: usize = 1024 * 1024;
    let flat = format!("[{}1]", "1,".repeat(ANSWER / 2 - 2));
    let lists = format!("[{}[]]", "[],".repeat(ANSWER / 3 - 2));
    let deep = format!("{}\"{}\"{}", "[".repeat(126), "a".repeat(ANSWER - 300), "]".repeat(126));
    let named = format!("{{\"a\":[{}{{}}]}}", "{\"a\":\"b\"},".repeat(ANSWER / 11));
    let terms = |term: &str, count: usize| format!("$..[?{}]", vec![term; count].join(" || "));
    let paths = [
        "$..*".to_owned(),
        "$..[*]".to_owned(),
        "$..a".to_owned(),
        terms("@ == @ && @ != @", 30),
        terms("length(@) == 0", 50),
        terms("count(@[*]) < 0", 30),
        terms("@.a.a.a.a.a.a.a == 0", 7),
        terms("@ < @", 60),
        format!("$..*{}", "[*]".repeat(60)),
        format!("$..*{}", "[::-1]".repeat(60)),
    ];
    let mut cut_off = 0;
    for answer in [flat, lists, deep, named] {
        assert!(answer.len() <= ANSWER, "{}", answer.len());
        let answer: Value = serde_json::from_str(&answer).unwrap();
        for text in &paths {
            let mut fuel = Fuel::new(TANK);
            match path(text).find_on(&mut fuel, &answer) {
                // Each value that is found took a step.
                Ok(found) => assert!(found.len() as u64 <= TANK - fuel.left(), "{text}"),
                Err(TooLarge) => {
                    assert_eq!(fuel.left(), 0, "{text}");
                    cut_off += 1;
                }
            }
        }
    }
    assert!(cut_off >= 10, "{cut_off} of them were dear");
}

#[test]
fn every_value_of_the_largest_answer_can_be_visited() {
    let answer: Value = serde_json::from_str(&format!("{{\"a\":[{}1]}}", "1,".repeat(400_000))).unwrap();
    for (text, finds) in [("$.a[*]", 400_001), ("$.a[-1]", 1), ("$..b", 0), ("$.a[::2]", 200_001)] {
        assert_eq!(path(text).find(&answer).unwrap().len(), finds, "{text}");
    }
}
