//! What an enclave says inside the seal, kept from logs.

use std::fmt;

/// Words that came out of the seal. They are for whoever sealed the request, who has to ask for them: neither `Debug` nor an
/// error's message repeats them, so that they reach no log by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Words(String);

impl Words {
    pub(crate) fn new(words: String) -> Self {
        Self(words)
    }

    /// The words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of words", self.0.len())
    }
}
