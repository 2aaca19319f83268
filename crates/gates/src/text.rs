//! Texts for people: bounded, and cut where that loses least.

/// The longest message in status, in characters.
pub const LONGEST: usize = 256;

/// Messages in status are bounded.
pub fn bounded(text: &str) -> String {
    shortened(text, LONGEST)
}

pub fn shortened(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(limit - 1).collect();
    short.push('…');
    short
}

/// A message around words of somebody else: when it is too long it is they that are cut, and not what to do about it.
pub fn around(before: &str, words: &str, after: &str) -> String {
    let room = LONGEST.saturating_sub(after.chars().count());
    // Long names are somebody else's too.
    let least = room.saturating_sub(1).min(40);
    let before = shortened(before, room.saturating_sub(words.chars().count().min(40)).max(least).max(1));
    let words = shortened(words, room.saturating_sub(before.chars().count()).max(1));
    format!("{before}{words}{after}")
}

/// The end of a message for a person who can do something about its cause.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advice {
    /// What stays as it is until then, with the mark before it; may be empty.
    pub state: String,
    /// What the command does, and the command: `Retry: kubectl …`.
    pub command: String,
    /// Other ways: `; instead: …`; may be empty.
    pub instead: String,
}

/// Characters of the cause that stay beside a command, where there is room for them: its subject, and its words with their numbers.
const SUBJECT: usize = 60;
const CAUSE: usize = 110;

/// A message that ends with a command to paste. The command is never cut: short of room, other ways go first, then the state, then the cause.
pub fn advised(before: &str, words: &str, advice: &Advice) -> String {
    let Advice { state, command, instead } = advice;
    let whole = [format!("{state}. {command}{instead}"), format!("{state}. {command}"), format!(". {command}")];
    let cause = before.chars().count().min(SUBJECT) + words.chars().count().min(CAUSE);
    let fits = |end: &&String| end.chars().count() + cause <= LONGEST;
    let [.., shortest] = &whole;
    around(before, words, whole.iter().find(fits).unwrap_or(shortest))
}

/// Characters of an answer that are told.
pub(crate) const EXCERPT: usize = 80;

/// Whether messages may hold words of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    Quoted,
    /// The answer is none of the reader's.
    Withheld,
}

impl Words {
    /// The end of a sentence about an answer: its body, in short.
    pub fn of(self, body: &[u8]) -> String {
        let excerpt = excerpt(body, EXCERPT);
        if excerpt.is_empty() || self == Self::Withheld { String::new() } else { format!(": {excerpt:?}") }
    }
}

/// The beginning of a text, in one line.
pub fn excerpt(text: &[u8], characters: usize) -> String {
    // A character has four bytes at most.
    let beginning = String::from_utf8_lossy(&text[..text.len().min(characters * 8)]);
    let line = beginning.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    shortened(&line, characters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_is_not_cut_off_by_long_words_of_somebody_else() {
        let message = around("Revision 2 was aborted: ", &"back-off pulling image ".repeat(20), ". Change spec");
        assert!(message.starts_with("Revision 2 was aborted: back-off") && message.ends_with("…. Change spec"), "{message}");
        assert_eq!(message.chars().count(), LONGEST);
        assert_eq!(around("a ", "b", " c"), "a b c");
        let message =
            around(&format!("Revision 2 ({}): ", "registry/".repeat(30)), &"x".repeat(99), &format!(". {}", "Change spec".repeat(9)));
        assert!(message.starts_with("Revision 2 (registry") && message.ends_with("Change spec"), "{message}");
        assert_eq!(message.chars().count(), LONGEST);
    }

    #[test]
    fn a_command_is_never_cut() {
        let of = |state: &str, command: usize| Advice {
            state: state.into(),
            command: format!("Retry: {}", "k".repeat(command)),
            instead: "; instead: abort".into(),
        };
        let long = "back-off pulling image ".repeat(20);
        for words in ["no", &long] {
            for command in [20, 150, 180, 200, 220, 240] {
                let message = advised("gate failed: ", words, &of(". On hold (onFailure: Pause)", command));
                assert!(message.contains(&format!(". Retry: {}", "k".repeat(command))), "{message}");
                assert!(message.chars().count() <= LONGEST, "{message}");
            }
        }
        let whole = advised("gate failed: ", "no", &of(". On hold", 20));
        assert_eq!(whole, format!("gate failed: no. On hold. Retry: {}; instead: abort", "k".repeat(20)));
        let (without_others, alone) = (advised("gate: ", &long, &of(". On hold", 120)), advised("gate: ", &long, &of(". On hold", 140)));
        assert!(without_others.ends_with('k') && without_others.contains("On hold"), "{without_others}");
        assert!(alone.ends_with('k') && !alone.contains("On hold"), "{alone}");
        // A cause without its numbers helps no one: what serves meanwhile is read elsewhere too.
        let cause = "verification/errors failed: 0.5 is above the limit of 0.01, 3 of 3 in a row (failureLimit)";
        let message = advised("Revision 2 (registry.example/shop:2.0.0) was aborted: ", cause, &of(". Revision 1 serves", 90));
        assert!(message.contains(cause), "{message}");
    }

    #[test]
    fn a_message_is_cut_only_when_it_is_too_long() {
        let fits = "x".repeat(LONGEST);
        assert_eq!(bounded(&fits), fits);
        assert_eq!(bounded(&format!("{fits}y")), format!("{}…", "x".repeat(LONGEST - 1)));
    }
}
