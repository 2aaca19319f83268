//! `goodIf`, in texts that are nearly CEL and in any others.

use bluegreen_gates::weigh::expression::{Expression, Values};
use proptest::{collection::vec, prelude::*, sample::select};

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        select(vec!["value", "previous", "active", "1.0", "0.5", "2", "-1.5", "1e308"]).prop_map(str::to_owned),
        any::<i16>().prop_map(|number| number.to_string()),
    ]
    .prop_recursive(6, 24, 2, |inner| {
        (inner.clone(), select(vec!["+", "-", " * ", "/"]), inner).prop_map(|(left, operator, right)| format!("({left}{operator}{right})"))
    })
}

fn condition() -> impl Strategy<Value = String> {
    let compared = (number(), select(vec!["<", "<=", " > ", ">=", "==", "!="]), number());
    compared.prop_map(|(left, operator, right)| format!("{left}{operator}{right}")).prop_recursive(6, 24, 3, |inner| {
        prop_oneof![
            (inner.clone(), select(vec!["&&", "||"]), inner.clone()).prop_map(|(left, and, right)| format!("({left} {and} {right})")),
            inner.clone().prop_map(|inner| format!("!({inner})")),
            (inner.clone(), inner.clone(), inner).prop_map(|(one, two, three)| format!("({one} ? {two} : {three})")),
        ]
    })
}

fn scrawl() -> impl Strategy<Value = String> {
    let piece = select(vec![
        "value", "active", "previous", "(", ")", "!", "-", "[", "]", "{", "}", "?", ":", "&&", "||", "<", "==", "%", ".", ",", "1", "1.0",
        "u", "0x", "1e", "\"", "'", "r'", "b\"", "\\", "/*", "//", "has(", "x.all(", "map(", "in", "null", "\n", "é", " ",
    ]);
    prop_oneof![3 => vec(piece, 0..200).prop_map(|pieces| pieces.concat()), 1 => any::<String>()]
}

proptest! {
    #![proptest_config(crate::config())]

    /// On the stack of a thread of the operator.
    #[test]
    fn any_text_is_read_or_refused_and_worked_out(text in prop_oneof![condition(), scrawl()], value in any::<f64>(), active in any::<f64>()) {
        let read = std::thread::Builder::new().stack_size(2 << 20).spawn(move || {
            let expression = Expression::of(&text).map_err(|why| why.to_string())?;
            let values = Values { value, previous: active, active: Some(active) };
            let _whether = expression.holds(values);
            Ok::<_, String>((text, expression.parts()))
        });
        match read.unwrap().join().unwrap() {
            Ok((text, parts)) => prop_assert!(text.chars().count() <= 256 && parts <= 128, "{} parts in {}", parts, text),
            Err(why) => prop_assert!(!why.contains('\n'), "{}", why),
        }
    }
}
