//! The part of JSONPath that may be written, as far as a regular expression can say it: the operator reads the rest.

/// What a path is, for people.
pub(crate) const MESSAGE: &str =
    "must be a JSONPath that begins with $, has one selector in each [ ], no filter within a filter, and no $ in a filter";

/// A path into which a parameter is yet to be put is left to the operator. From the inside out: texts in quotes, what brackets in a filter
/// may hold, a filter, a segment.
pub(crate) const RULE: &str = r#"self.contains('{{') || self.matches(r'''^\$( *(\.\.?([^\]\['"$?.*@, ]+|\*)|(\.\.)?\[ *('([^'\\]|\\.)*'|"([^"\\]|\\.)*"|[-0-9: ]+|\*|\?([^\]\['"$?]|'([^'\\]|\\.)*'|"([^"\\]|\\.)*"|\[ *('([^'\\]|\\.)*'|"([^"\\]|\\.)*"|[-0-9: ]+|\*) *\])*) *\]))*$''')"#;
