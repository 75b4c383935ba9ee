//! Why the loader refuses a policy, before that is put into words.

use crate::check::Check;

/// What is wrong, where, and by which rule of the loader, where it is one that has an id.
pub(super) struct Refusal {
    /// The names that lead to it, from the top of the document; none where it is the whole.
    pub(super) at: Vec<String>,
    pub(super) words: String,
    pub(super) check: Option<Check>,
}

impl Refusal {
    /// By no rule that has an id.
    pub(super) fn at<const N: usize>(at: [&str; N], words: impl Into<String>) -> Self {
        Self { at: at.map(str::to_owned).into(), words: words.into(), check: None }
    }
}
