//! The orders that a message to a person names, as a person would read them.

/// Annotations by which people give orders, without their prefix.
const VERBS: [&str; 8] = ["promote", "accept", "abort", "rollback", "retry", "pause", "resume", "adopt"];

/// An annotation that a message proposes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order<'m> {
    pub verb: &'m str,
    pub value: &'m str,
}

/// The orders in a message: `bluegreen.dev/promote=q2ji7nhel7`, alone or in a command; after the first the prefix may be left out.
pub fn advice(message: &str) -> Vec<Order<'_>> {
    let words = message.split(|at: char| at.is_whitespace() || at == '`');
    let orders = words.filter_map(|word| {
        let (verb, value) = word.trim_end_matches(['.', ',', ';', ':', ')']).trim_start_matches('(').split_once('=')?;
        let verb = verb.strip_prefix("bluegreen.dev/").unwrap_or(verb);
        (VERBS.contains(&verb) && !value.is_empty()).then_some(Order { verb, value })
    });
    orders.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_found_in_prose_and_in_commands() {
        let orders = |message| advice(message).iter().map(|order| format!("{} {}", order.verb, order.value)).collect::<Vec<_>>();
        let prose =
            "Decide with bluegreen.dev/promote=q2 or bluegreen.dev/abort=q2. Or annotate (bluegreen.dev/retry=q3), or change spec.image";
        assert_eq!(orders(prose), ["promote q2", "abort q2", "retry q3"]);
        let commands = "Approve: `kubectl annotate bgr shop bluegreen.dev/promote=q2`; give up: `… abort=q2`";
        assert_eq!(orders(commands), ["promote q2", "abort q2"]);
        assert_eq!(orders("hand it over with bluegreen.dev/adopt=shop.eu"), ["adopt shop.eu"]);
    }

    #[test]
    fn other_words_with_an_equals_sign_are_no_orders() {
        for message in ["set spec.replicas=2", "the query x=1 failed", "bluegreen.dev/promote= is empty", "BLUEGREEN_SEED=7", "all is well"]
        {
            assert_eq!(advice(message), [], "{message}");
        }
    }
}
