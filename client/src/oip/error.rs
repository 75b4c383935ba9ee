//! Why a request or an answer is not one, in words that repeat nothing of it.

use std::fmt;

use teegate_protocol::members::unsayable;

/// A request or an answer that is not a well-formed one of the Open Inference Protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorError(String);

impl TensorError {
    pub(super) fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }

    /// Where `text` cannot be read, and of which kind the mistake is. The error's own words may repeat what stands there.
    pub(super) fn at(error: &serde_json::Error, text: &[u8]) -> Self {
        use serde_json::error::Category;
        let what = match (error.classify(), unsayable(text, error)) {
            (_, Some(word)) => {
                return Self(format!(
                    "line {}, column {}: {word} is not JSON; a tensor that holds one travels as raw bytes behind the JSON \
                     (`parameters.binary_data_size`)",
                    error.line(),
                    error.column()
                ));
            }
            (Category::Data, None) => "a member is missing, repeated or of the wrong type",
            (Category::Eof, None) => "it ends too early",
            (Category::Syntax | Category::Io, None) => "it is not JSON",
        };
        Self(format!("line {}, column {}: {what}", error.line(), error.column()))
    }

    /// The same, inside something.
    pub(super) fn inside(self, place: &str) -> Self {
        Self(format!("{place}: {}", self.0))
    }
}

impl fmt::Display for TensorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TensorError {}
