//! Why a bundle, a trusted root or an expectation was refused, in words.

use std::fmt;

use sigstore_verify::{Error as Refused, TimestampError};
use teegate_verifier::place::shortened;

/// As much of what a stranger wrote as an error repeats: a line.
const LINE: usize = 80;
/// As much of a message of the library, which quotes what it found.
const MESSAGE: usize = 160;

/// Who signed was not found out, and why. Shown as one line, lower case, without a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(String);

impl Error {
    pub(crate) fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// Text of a stranger, cut to a line.
pub(crate) fn line(text: &str) -> String {
    shortened(text, LINE)
}

/// What the library refused, in our words where it leaves the reader without a remedy.
pub(crate) fn refused(error: &Refused) -> Error {
    let found =
        |found: Option<String>| found.map_or_else(|| "nobody".to_owned(), |found| format!("`{}`", line(&found)));
    Error(match error {
        // Names are compared before the signature, so of the file nothing is known yet: the bundle may be another file's.
        Refused::IdentityMismatch { expected, actual } => format!(
            "the bundle's certificate is for {}, expected the identity `{}`",
            found(actual.as_ref().map(ToString::to_string)),
            line(&expected.to_string())
        ),
        Refused::IssuerMismatch { expected, actual } => {
            format!("the bundle's certificate was vouched for by {}, expected the issuer `{}`", found(actual.clone()), line(expected))
        }
        Refused::Timestamp(TimestampError::NoVerifiedTimestamp(_)) => {
            "nothing says when it was signed: expected the log's own promise (`inclusionPromise` with `integratedTime`), or an RFC 3161 \
             timestamp by an authority of the trusted root"
                .to_owned()
        }
        other => shortened(&other.to_string(), MESSAGE),
    })
}
