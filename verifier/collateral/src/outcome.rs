//! What came of it: the documents, where each is from and how long it holds; what is missing, and why; what else to know.

use std::fmt;
use std::time::Duration;

use teegate_intake::{IntakeError, endorsements};
use teegate_verifier::{Endorsements, Source, UnixTime};

use crate::document::Document;
use crate::failure::Tried;

/// What evidence needed, as far as it could be had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The documents, each once.
    pub documents: Vec<Obtained>,
    /// What was held already and had vouched for the evidence, so that nobody was asked.
    pub held: Vec<Document>,
    /// What could not be had.
    pub missing: Vec<Missing>,
    /// What the caller should know and need not act on: spoilt files of the cache, answers that could not be kept.
    pub notes: Vec<String>,
}

impl Outcome {
    /// Whether nothing is missing.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }

    /// The documents as the verifier takes them: fetched, each from where and how long ago.
    ///
    /// # Errors
    /// None that is expected: every document was recognised before it got here.
    pub fn endorsements(&self) -> Result<Endorsements, IntakeError> {
        let mut pool = Endorsements::brought_by(Source::Fetched);
        for document in &self.documents {
            pool = pool.found_in(&document.place());
            endorsements::recognise(&document.file_name, &document.bytes, &mut pool)?;
        }
        Ok(pool)
    }
}

/// One document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obtained {
    /// What it was needed as; where it is more than one of the needed documents, all of them.
    pub serves_as: Vec<Document>,
    /// A name under which to keep it, which says what it is.
    pub file_name: String,
    /// As intake reads it: the body of the answer, and before it the header that carried the chain of its signer, if one did.
    pub bytes: Vec<u8>,
    /// What was asked.
    pub url: String,
    /// How it came.
    pub origin: Origin,
    /// How long ago it was asked for.
    pub age: Duration,
    /// From when everything in it holds, by its own words.
    pub valid_from: UnixTime,
    /// Until when.
    pub valid_until: UnixTime,
    /// Who was asked first, in vain.
    pub tried: Vec<Tried>,
}

impl Obtained {
    /// From where, and how old: what a report says of it.
    pub fn place(&self) -> String {
        let (url, age) = (&self.url, ago(self.age));
        match self.origin {
            Origin::Service => format!("{url}, asked now"),
            Origin::Cache { .. } => format!("{url}, asked {age}"),
            Origin::Stale { .. } => format!("{url}, asked {age}, {OUT_OF_REACH}"),
        }
    }
}

/// What a report says of a statement that stands in for an answer which could not be had.
pub const OUT_OF_REACH: &str = "the vendor could not be reached";

/// A time that has passed, in the largest unit that it fills.
fn ago(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// How a document came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// From the service, now.
    Service,
    /// From the cache: recent enough, so that nobody was asked.
    Cache {
        /// When it was fetched.
        fetched_at: UnixTime,
    },
    /// From the cache, although it should have been asked for again: nobody answered. It still holds by its own words.
    Stale {
        /// When it was fetched.
        fetched_at: UnixTime,
    },
}

impl Origin {
    /// How long ago the document was asked for, at `wall`.
    pub(crate) fn age(self, wall: UnixTime) -> Duration {
        match self {
            Self::Service => Duration::ZERO,
            Self::Cache { fetched_at } | Self::Stale { fetched_at } => {
                Duration::from_secs(wall.seconds().saturating_sub(fetched_at.seconds()))
            }
        }
    }
}

/// One document that could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Which, where somebody could be asked for it.
    pub document: Option<Document>,
    /// What.
    pub what: String,
    /// What to do, where nobody can be asked for it.
    pub remedy: Option<&'static str>,
    /// Who was asked, and what came of it.
    pub tried: Vec<Tried>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        if let Some(remedy) = self.remedy {
            write!(f, ": {remedy}")?;
        }
        self.tried.iter().try_for_each(|tried| write!(f, "\n  {tried}"))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service => f.write_str("fetched now"),
            Self::Cache { fetched_at } => write!(f, "from the cache, fetched at {fetched_at}"),
            Self::Stale { fetched_at } => write!(f, "STALE, from the cache, fetched at {fetched_at}"),
        }
    }
}

/// The extension that goes with what a document looks like.
pub(crate) fn extension(bytes: &[u8]) -> &'static str {
    match bytes {
        [b'H', b'T', b'T', b'P', b'/', ..] => "http",
        [b'{', ..] => "json",
        [b'-', ..] => "pem",
        [0x30, length, ..] if *length >= 0x80 => "der",
        _ => "txt",
    }
}
