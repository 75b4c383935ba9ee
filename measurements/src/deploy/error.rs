//! Why nothing is deployed.

use std::fmt;

/// Which place of which file, what stands there, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeployError(String);

impl DeployError {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for DeployError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DeployError {}

/// At most 80 characters of what a stranger wrote, on one line.
pub(super) fn short(text: &str) -> String {
    let shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() { format!("{shown}…") } else { shown }
}
