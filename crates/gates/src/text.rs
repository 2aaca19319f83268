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
    let before = shortened(before, room.saturating_sub(words.chars().count().min(40)).max(40));
    let words = shortened(words, room.saturating_sub(before.chars().count()).max(1));
    format!("{before}{words}{after}")
}

/// Characters of an answer that are told.
pub(crate) const EXCERPT: usize = 80;

/// The end of a sentence about an answer: its body, in short.
pub fn quoted(body: &[u8]) -> String {
    let excerpt = excerpt(body, EXCERPT);
    if excerpt.is_empty() { String::new() } else { format!(": {excerpt:?}") }
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
    fn a_message_is_cut_only_when_it_is_too_long() {
        let fits = "x".repeat(LONGEST);
        assert_eq!(bounded(&fits), fits);
        assert_eq!(bounded(&format!("{fits}y")), format!("{}…", "x".repeat(LONGEST - 1)));
    }
}
