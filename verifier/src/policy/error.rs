//! Why a policy was refused, in words and with its place.

use std::fmt;

use crate::check::Check;

/// A policy was refused by the loader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    words: String,
    check: Option<Check>,
}

impl PolicyError {
    /// Refused by no rule that has an id.
    pub fn new(words: impl Into<String>) -> Self {
        Self { words: words.into(), check: None }
    }

    /// Refused by the rule of the loader that has an id, where it is one.
    pub(super) fn by(check: Option<Check>, words: String) -> Self {
        Self { words, check }
    }

    /// The id of the loader's rule that refused it, where it is one.
    pub fn check(&self) -> Option<&'static str> {
        self.check.map(Check::id)
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words.trim_end())
    }
}

impl std::error::Error for PolicyError {}
