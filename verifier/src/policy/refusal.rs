//! Why the loader refuses a policy, before the place in the document is known.

use crate::check::Check;

/// What is wrong, and by which rule of the loader, where it is one that has an id.
pub(super) struct Refusal {
    pub(super) words: String,
    pub(super) check: Option<Check>,
}

impl From<String> for Refusal {
    fn from(words: String) -> Self {
        Self { words, check: None }
    }
}

impl From<&str> for Refusal {
    fn from(words: &str) -> Self {
        words.to_owned().into()
    }
}
