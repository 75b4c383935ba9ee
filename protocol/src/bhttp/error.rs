//! Why bytes are no message.

use std::fmt;

use crate::limits;
use crate::words::Shown;

/// Why a Binary HTTP message was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BhttpError {
    /// Longer, with its padding, than the reader takes.
    TooLarge {
        /// Its length in bytes.
        actual: usize,
        /// The longest accepted.
        limit: usize,
    },
    /// The message ends inside `part`.
    Truncated {
        /// What was being read.
        part: &'static str,
    },
    /// Another framing indicator than that of a request, or of a response, as was expected.
    Framing {
        /// The indicator that stands there.
        found: u64,
    },
    /// A part of the request's control data that HTTP/2 would refuse, or that is not for a request like ours.
    ControlData {
        /// Which part.
        part: &'static str,
    },
    /// Method, scheme, authority and path are too long together.
    ControlDataTooLarge {
        /// Their length in bytes.
        actual: usize,
    },
    /// A status that may not stand there.
    Status {
        /// The status.
        found: u64,
    },
    /// More informational responses than are accepted.
    TooManyInformational,
    /// A field name that is not a lower-case token.
    FieldName,
    /// A field value with a byte that may not stand there, or with white space around it.
    FieldValue {
        /// Name of the field.
        name: String,
    },
    /// More fields than a message may have.
    TooManyFields,
    /// More bytes of fields than a message may have.
    FieldsTooLarge,
    /// A byte of the padding is not zero.
    Padding,
}

impl fmt::Display for BhttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { actual, limit } => {
                write!(f, "binary HTTP message has {actual} bytes, at most {limit} are accepted")
            }
            Self::Truncated { part } => write!(f, "binary HTTP message ends inside its {part}"),
            Self::Framing { found } => write!(f, "binary HTTP message has the framing indicator {found}"),
            Self::ControlData { part } => write!(f, "binary HTTP request has an unacceptable {part}"),
            Self::ControlDataTooLarge { actual } => write!(
                f,
                "binary HTTP request has {actual} bytes of control data, at most {} are accepted",
                limits::BHTTP_CONTROL_BYTES
            ),
            Self::Status { found } => write!(f, "binary HTTP response has the status {found}"),
            Self::TooManyInformational => {
                write!(f, "binary HTTP response has more than {} informational responses", limits::BHTTP_INFORMATIONAL)
            }
            Self::FieldName => f.write_str("binary HTTP message has a field name that is not a lower-case token"),
            Self::FieldValue { name } => {
                write!(f, "binary HTTP message has an unacceptable value in the field `{}`", Shown(name))
            }
            Self::TooManyFields => write!(f, "binary HTTP message has more than {} fields", limits::BHTTP_FIELDS),
            Self::FieldsTooLarge => {
                write!(f, "binary HTTP message has more than {} bytes of fields", limits::BHTTP_FIELD_BYTES)
            }
            Self::Padding => f.write_str("binary HTTP message is followed by bytes that are not zero"),
        }
    }
}

impl std::error::Error for BhttpError {}
