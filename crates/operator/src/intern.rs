//! One copy of each text that many objects share: names, labels, images.

use serde::{Deserialize, Deserializer, de};
use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

#[derive(Default)]
struct Texts {
    known: HashSet<Arc<str>>,
    /// At this size those that nobody uses any more are let go.
    sweep_at: usize,
}

/// The one copy of this text.
pub fn intern(text: &str) -> Arc<str> {
    static TEXTS: OnceLock<Mutex<Texts>> = OnceLock::new();
    let mut texts = TEXTS.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = texts.known.get(text) {
        return known.clone();
    }
    if texts.known.len() >= texts.sweep_at {
        texts.known.retain(|text| Arc::strong_count(text) > 1);
        texts.sweep_at = (texts.known.len() * 2).max(1024);
    }
    let text: Arc<str> = text.into();
    texts.known.insert(text.clone());
    text
}

/// A text that is interned as it is read.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text(Arc<str>);

impl Text {
    pub fn of(text: &str) -> Self {
        Self(intern(text))
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::of("")
    }
}

impl std::ops::Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl de::Visitor<'_> for Reader {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text::of(text))
            }
        }
        deserializer.deserialize_str(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_is_kept_once() {
        let (one, other) = (Text::of("bluegreen.dev/rollout"), Text::of(&["bluegreen.dev", "rollout"].join("/")));
        assert!(Arc::ptr_eq(&one.0, &other.0));
        assert_eq!((one, Text::default().len()), (other, 0));
    }

    #[test]
    fn texts_that_nobody_uses_are_let_go() {
        let kept = intern("kept");
        for number in 0..10_000 {
            intern(&format!("passing-{number}"));
        }
        assert!(Arc::ptr_eq(&kept, &intern("kept")));
        assert!(Arc::strong_count(&kept) >= 2);
    }
}
