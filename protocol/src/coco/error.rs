//! Why an answer of the agent was refused.

use std::fmt;

/// The text is not what the agent writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CocoError {
    /// Where in it.
    pub place: String,
    /// What was expected there.
    pub expected: &'static str,
}

impl CocoError {
    pub(super) fn new(place: impl Into<String>, expected: &'static str) -> Self {
        Self { place: place.into(), expected }
    }
}

impl fmt::Display for CocoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is malformed, expected {}", self.place, self.expected)
    }
}

impl std::error::Error for CocoError {}
