//! What is wrong with a file, or with a file and a model together. No value of a file is repeated.

use std::fmt;

/// How much of a name is repeated.
const SHOWN_CHARACTERS: usize = 80;

/// A file that cannot be read as what it was taken for, or that is not what the model takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError(String);

impl FileError {
    pub(crate) fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }

    /// The same, of a file or a part of one.
    pub(crate) fn of(self, name: &str) -> Self {
        Self(format!("{name}: {}", self.0))
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FileError {}

/// A name that stands in a file, quoted, and not longer than a name is.
pub(crate) fn quoted(name: &str) -> String {
    let mut letters = name.chars();
    let shown: String = letters.by_ref().take(SHOWN_CHARACTERS).collect();
    if letters.next().is_none() { format!("`{shown}`") } else { format!("`{shown}…`") }
}
