//! What is wrong with `spec`.

/// Why `spec` can't be carried out: a sentence for its author.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);
