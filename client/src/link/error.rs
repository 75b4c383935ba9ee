//! What can go wrong on the way to a gateway, and whether anything left this machine before it did.

use std::fmt;
use std::time::Duration;

/// A gateway's address that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressError {
    pub(super) url: String,
    pub(super) reason: String,
}

impl AddressError {
    /// What is wrong with it.
    pub(crate) fn reason(self) -> String {
        self.reason
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gateway address `{}` cannot be used: {}", self.url, self.reason)
    }
}

impl std::error::Error for AddressError {}

/// An exchange with the gateway that brought no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkError {
    /// No connection: nothing was sent.
    Unreachable {
        /// The gateway.
        gateway: String,
        /// What the connection said.
        reason: String,
    },
    /// The connection ended before the whole answer was here; the request may have arrived.
    Lost {
        /// The gateway.
        gateway: String,
        /// What the connection said.
        reason: String,
    },
    /// No answer within the deadline; the request may have arrived.
    TimedOut {
        /// The gateway.
        gateway: String,
        /// The deadline.
        after: Duration,
    },
    /// The answer is larger than the client reads; the request arrived.
    TooLarge {
        /// The gateway.
        gateway: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// Other answers take all the room that there is for answers; the request arrived.
    NoRoom {
        /// The gateway.
        gateway: String,
    },
}

impl LinkError {
    /// Whether any byte of the request may have left this machine.
    pub fn sent(&self) -> bool {
        !matches!(self, Self::Unreachable { .. })
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { gateway, reason } => {
                write!(f, "no connection to the gateway at {gateway}: {reason}; nothing was sent; is it running?")
            }
            Self::Lost { gateway, reason } => {
                write!(f, "the connection to the gateway at {gateway} ended before the answer: {reason}")
            }
            Self::TimedOut { gateway, after } => {
                write!(f, "the gateway at {gateway} gave no answer within {} s", after.as_secs())
            }
            Self::NoRoom { gateway } => {
                write!(
                    f,
                    "the gateway at {gateway} answered, and other answers take all the room that there is for them"
                )
            }
            Self::TooLarge { gateway, limit } => {
                write!(
                    f,
                    "the gateway at {gateway} answered with more than {limit} bytes, which is more than this client reads"
                )
            }
        }
    }
}

impl std::error::Error for LinkError {}
