//! Why a service gave no document, what that says about asking again, and what to do about it.

use std::fmt;
use std::time::Duration;

use teegate_verifier::UnixTime;

/// One service's failure to give one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// What was asked.
    pub url: String,
    /// How often; 0 where it was not asked at all.
    pub times: u32,
    /// Why it gave nothing; the last reason, where it was asked again.
    pub failure: Failure,
}

/// Why there is no document.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// No connection. Nothing was sent.
    Unreachable {
        /// What the network said.
        reason: String,
    },
    /// No whole answer in time.
    TimedOut {
        /// How long was waited.
        after: Duration,
    },
    /// The connection ended before the whole answer was here.
    Lost {
        /// What the connection said.
        reason: String,
    },
    /// The answer is larger than what is read.
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// It points elsewhere, and nobody goes there.
    Redirected {
        /// Status.
        status: u16,
        /// `Location`.
        to: String,
    },
    /// There is no such document there (404, 410).
    NotThere {
        /// Status.
        status: u16,
    },
    /// The request is refused (400, 401, 403 and their like).
    Refused {
        /// Status.
        status: u16,
    },
    /// Too many requests (429).
    Throttled {
        /// For how long the service wants to be left alone, where it says so.
        retry_after: Option<Duration>,
    },
    /// The service fails (5xx).
    Failing {
        /// Status.
        status: u16,
        /// For how long the service wants to be left alone, where it says so.
        retry_after: Option<Duration>,
    },
    /// It was not asked, because it had said that it wants to be left alone for longer than can be waited.
    LeftAlone {
        /// For how much longer.
        remaining: Duration,
    },
    /// It was not asked, because the time for all documents together was over.
    OutOfTime,
    /// The answer announces itself as something that is no document of this kind.
    WrongType {
        /// `Content-Type` or `Content-Encoding`.
        found: String,
    },
    /// The answer is not the document that was asked for.
    NotTheDocument {
        /// What it is instead.
        reason: String,
    },
    /// The document does not hold at this time.
    NotValidNow {
        /// The time asked about.
        now: UnixTime,
        /// From when.
        from: UnixTime,
        /// Until when.
        until: UnixTime,
    },
}

impl Failure {
    /// How long to wait before the same service may be asked again; `None` where asking again brings the same answer, or
    /// brought none for as long as can be waited. `own` is how long to wait where the service does not say.
    pub(crate) fn again_after(&self, own: Duration) -> Option<Duration> {
        match self {
            Self::Lost { .. } => Some(own),
            Self::Throttled { retry_after } | Self::Failing { retry_after, .. } => Some(retry_after.unwrap_or(own)),
            // A service that cannot be reached, or is silent, has cost its time already: the next one's turn.
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::LeftAlone { .. } => None,
            Self::TooLarge { .. }
            | Self::Redirected { .. }
            | Self::NotThere { .. }
            | Self::Refused { .. }
            | Self::WrongType { .. }
            | Self::NotTheDocument { .. }
            | Self::NotValidNow { .. }
            | Self::OutOfTime => None,
        }
    }

    /// What the service said about when to come back; it holds for everything that it serves.
    pub(crate) const fn told_to_wait(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after } | Self::Failing { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.url, self.failure)?;
        if self.times > 1 {
            write!(f, " (asked {} times)", self.times)?;
        }
        Ok(())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { reason } => write!(f, "no connection: {reason}"),
            Self::TimedOut { after } => write!(f, "no whole answer within {}", seconds(*after)),
            Self::Lost { reason } => write!(f, "the connection ended before the whole answer was here: {reason}"),
            Self::TooLarge { limit } => write!(f, "the answer has more than {limit} bytes, which no such document has"),
            Self::Redirected { status, to } => write!(
                f,
                "status {status} points to `{to}`, which is not followed; name that service as a source if it is meant"
            ),
            Self::NotThere { status } => {
                write!(f, "status {status}: the service has no such document (AMD also says so during outages)")
            }
            Self::Refused { status } => write!(f, "status {status}: the request is refused"),
            Self::Throttled { retry_after } => {
                f.write_str("status 429: too many requests from here; ")?;
                try_again(f, *retry_after)
            }
            Self::Failing { status, retry_after } => {
                write!(f, "status {status}: the service fails; ")?;
                try_again(f, *retry_after)
            }
            Self::LeftAlone { remaining } => {
                f.write_str("not asked, because it wants to be left alone; ")?;
                try_again(f, Some(*remaining))
            }
            Self::OutOfTime => {
                f.write_str("not asked, because the time for all documents together was over; allow more")
            }
            Self::WrongType { found } => {
                write!(
                    f,
                    "the answer is `{found}`, not the document; does a proxy or a login page answer in its place?"
                )
            }
            Self::NotTheDocument { reason } => write!(f, "the answer is not the document that was asked for: {reason}"),
            Self::NotValidNow { now, from, until } => {
                write!(f, "the document holds from {from} until {until}, and not at {now}; is that the time you mean?")
            }
        }
    }
}

fn try_again(f: &mut fmt::Formatter<'_>, after: Option<Duration>) -> fmt::Result {
    match after {
        Some(after) => write!(f, "try again after {}", seconds(after)),
        None => f.write_str("try again later, in minutes rather than seconds"),
    }
}

/// Whole seconds, and shorter times as they are.
fn seconds(duration: Duration) -> String {
    if duration.as_secs() == 0 { format!("{} ms", duration.as_millis()) } else { format!("{} s", duration.as_secs()) }
}
