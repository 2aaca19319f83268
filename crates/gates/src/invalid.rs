//! What is wrong with `spec`.

/// Why `spec` can't be carried out: a sentence for its author.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

/// A gate that can't be asked as it is written, and why.
#[derive(Clone, Debug)]
pub struct Unplanned {
    /// Of a template that can't be read, and of a whole stage, with `*` for the names of what would be in it.
    pub name: String,
    pub why: Invalid,
}
