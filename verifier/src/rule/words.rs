//! Words that a policy writes in the place of a rule.

/// What the loader says of a rule that lets everything through. That has a word of its own, so that a report can show it.
pub(crate) const SAYS_NOTHING: &str = "a rule that accepts or refuses nothing: write \"unchecked\" instead";

/// The word that waives a check.
pub(crate) const UNCHECKED: &str = "unchecked";

/// The word by which a template asks for a reference value.
pub(crate) const NEEDED: &str = "reference-value-needed";
