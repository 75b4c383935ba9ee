//! What went wrong, and what is known to have happened: problems in JSON (RFC 9457), `application/problem+json`.
//!
//! Every problem has a name, `urn:teegate:problem:NAME`, a status, and says whether the request was `executed`: `no`, or `unknown`. *Stale* is
//! told apart from *tampered*, because the one is cured by fetching again and the other is not. A problem outside the seal is a diagnostic and
//! not truth: whoever carries it can write another. A problem inside the seal is the enclave's word.

use crate::json::{JsonError, Object, Value, parse_object};
use crate::limits;
use crate::words::Shown;
use serde::Serialize;
use std::fmt;

/// The kinds of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProblemKind {
    /// Enclave: no key of that id, or not with those algorithms. RFC 9458's own problem. Fetch the keys again.
    OhttpKey,
    /// Gateway: the manifest is past, or unknown. Fetch again.
    StaleManifest,
    /// Gateway: that instance is gone, others are there. Seal again to one of them.
    Reseal,
    /// Gateway: no attested instance within the hold.
    NoAttestedInstance,
    /// Gateway: instances are attested, and none of them serves the model; `detail` names those that are served.
    UnknownModel,
    /// Gateway: the release predicate fell.
    PolicyChanged,
    /// Gateway: the evidence was rejected; `checks` says by which checks.
    EvidenceRejected,
    /// Gateway: no, or unknown, credentials.
    Unauthorised,
    /// Gateway: credentials that do not permit this.
    Forbidden,
    /// Gateway, or sealed: too many requests.
    RateLimited,
    /// Gateway, or sealed: full.
    Busy,
    /// Gateway, or sealed: too many bytes.
    TooLarge,
    /// Gateway: the time of the request ran out.
    Deadline,
    /// Gateway: the connection to the instance was lost after bytes had left.
    UpstreamLost,
    /// Enclave, sealed only: this ciphertext arrived before. What became of the first is unknown.
    Replay,
    /// Enclave, sealed: the request inside the seal is not one that it takes.
    BadRequest,
}

impl ProblemKind {
    /// Every kind.
    pub const ALL: [Self; 16] = [
        Self::OhttpKey,
        Self::StaleManifest,
        Self::Reseal,
        Self::NoAttestedInstance,
        Self::UnknownModel,
        Self::PolicyChanged,
        Self::EvidenceRejected,
        Self::Unauthorised,
        Self::Forbidden,
        Self::RateLimited,
        Self::Busy,
        Self::TooLarge,
        Self::Deadline,
        Self::UpstreamLost,
        Self::Replay,
        Self::BadRequest,
    ];

    /// The row of the table.
    const fn row(self) -> Row {
        use Allowed::{No, NoOrUnknown, Unknown};
        use Where::{Either, Sealed, Unsealed};
        match self {
            Self::OhttpKey => Row(OHTTP_KEY_TYPE, 400, Unsealed, No, "key configuration not known"),
            Self::StaleManifest => Row("urn:teegate:problem:stale-manifest", 409, Unsealed, No, "manifest is stale"),
            Self::Reseal => Row("urn:teegate:problem:reseal", 409, Unsealed, No, "instance is gone"),
            Self::NoAttestedInstance => {
                Row("urn:teegate:problem:no-attested-instance", 503, Unsealed, No, "no attested instance")
            }
            Self::UnknownModel => Row("urn:teegate:problem:unknown-model", 404, Unsealed, No, "model is not served"),
            Self::PolicyChanged => {
                Row("urn:teegate:problem:policy-changed", 409, Unsealed, NoOrUnknown, "policy changed")
            }
            Self::EvidenceRejected => {
                Row("urn:teegate:problem:evidence-rejected", 503, Unsealed, No, "evidence rejected")
            }
            // One name of the table with two statuses: which of them applies is part of the kind.
            Self::Unauthorised => Row(UNAUTHORISED_TYPE, 401, Unsealed, No, "not authenticated"),
            Self::Forbidden => Row(UNAUTHORISED_TYPE, 403, Unsealed, No, "not permitted"),
            Self::RateLimited => Row("urn:teegate:problem:rate-limited", 429, Either, No, "too many requests"),
            Self::Busy => Row("urn:teegate:problem:busy", 503, Either, No, "busy"),
            Self::TooLarge => Row("urn:teegate:problem:too-large", 413, Either, No, "too large"),
            Self::Deadline => Row("urn:teegate:problem:deadline", 504, Unsealed, NoOrUnknown, "deadline passed"),
            Self::UpstreamLost => Row("urn:teegate:problem:upstream-lost", 502, Unsealed, Unknown, "instance was lost"),
            Self::Replay => Row("urn:teegate:problem:replay", 409, Sealed, Unknown, "request arrived before"),
            Self::BadRequest => Row("urn:teegate:problem:bad-request", 400, Sealed, No, "request not understood"),
        }
    }

    /// The problem type: a URI.
    #[must_use]
    pub const fn type_uri(self) -> &'static str {
        self.row().0
    }

    /// The short name, as it stands in logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        let uri = self.type_uri();
        uri.rsplit_once([':', '#']).map_or(uri, |(_, name)| name)
    }

    /// The status of the answer that carries it.
    #[must_use]
    pub const fn status(self) -> u16 {
        self.row().1
    }

    /// A sentence of few words.
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.row().4
    }

    /// Whether another seal, to a freshly verified manifest, can help where nothing was executed.
    #[must_use]
    pub const fn asks_to_reseal(self) -> bool {
        match self {
            Self::Reseal | Self::StaleManifest | Self::OhttpKey | Self::PolicyChanged => true,
            Self::NoAttestedInstance
            | Self::EvidenceRejected
            | Self::UnknownModel
            | Self::Unauthorised
            | Self::Forbidden
            | Self::RateLimited
            | Self::Busy
            | Self::TooLarge
            | Self::Deadline
            | Self::UpstreamLost
            | Self::Replay
            | Self::BadRequest => false,
        }
    }

    /// Whether it may come without a seal: one that may not is a forgery there.
    #[must_use]
    pub const fn may_be_unsealed(self) -> bool {
        matches!(self.row().2, Where::Unsealed | Where::Either)
    }

    /// Whether it may come sealed.
    #[must_use]
    pub const fn may_be_sealed(self) -> bool {
        matches!(self.row().2, Where::Sealed | Where::Either)
    }

    /// Whether `executed` can go with it.
    #[must_use]
    pub const fn allows(self, executed: Executed) -> bool {
        match executed {
            Executed::No => matches!(self.row().3, Allowed::No | Allowed::NoOrUnknown),
            Executed::Unknown => matches!(self.row().3, Allowed::Unknown | Allowed::NoOrUnknown),
        }
    }
}

/// RFC 9458 section 5.3.
const OHTTP_KEY_TYPE: &str = "https://iana.org/assignments/http-problem-types#ohttp-key";
const UNAUTHORISED_TYPE: &str = "urn:teegate:problem:unauthorised";

/// Type, status, where it may stand, what may be known, title.
struct Row(&'static str, u16, Where, Allowed, &'static str);

enum Where {
    Unsealed,
    Sealed,
    Either,
}

enum Allowed {
    No,
    Unknown,
    NoOrUnknown,
}

/// What is known of the request's fate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Executed {
    /// It was not executed.
    No,
    /// It may have been.
    Unknown,
}

/// A problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What kind.
    pub kind: ProblemKind,
    /// What is known of the request's fate.
    pub executed: Executed,
    /// What happened this time, for people; never anything of the request's content.
    pub detail: Option<String>,
    /// Seconds after which to try again; also the `Retry-After` of the answer.
    pub retry_after: Option<u32>,
    /// Ids of the checks that failed.
    pub checks: Vec<String>,
}

impl Problem {
    /// A problem with nothing but its kind. Where the table leaves open what is known, it is `no`: see [`Problem::unknown_outcome`].
    #[must_use]
    pub const fn new(kind: ProblemKind) -> Self {
        let executed = if kind.allows(Executed::No) { Executed::No } else { Executed::Unknown };
        Self { kind, executed, detail: None, retry_after: None, checks: Vec::new() }
    }

    /// Says that the request may have been executed, where the kind leaves that open.
    #[must_use]
    pub fn unknown_outcome(mut self) -> Self {
        if self.kind.allows(Executed::Unknown) {
            self.executed = Executed::Unknown;
        }
        self
    }

    /// Says what happened this time.
    #[must_use]
    pub fn with_detail(mut self, detail: impl fmt::Display) -> Self {
        self.detail = Some(detail.to_string());
        self
    }

    /// Says when to try again.
    #[must_use]
    pub const fn with_retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Says which checks failed.
    #[must_use]
    pub fn with_checks<T: Into<String>>(mut self, checks: impl IntoIterator<Item = T>) -> Self {
        self.checks = checks.into_iter().map(Into::into).collect();
        self
    }

    /// The status of the answer that carries it.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.kind.status()
    }

    /// Writes the problem.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let Self { kind, executed, detail, retry_after, checks } = self;
        let wire = Wire {
            type_uri: kind.type_uri(),
            title: kind.title(),
            status: kind.status(),
            detail: detail.as_deref(),
            executed: match executed {
                Executed::No => "no",
                Executed::Unknown => "unknown",
            },
            retry_after: *retry_after,
            checks,
        };
        // Strings and numbers only, written into memory: there is nothing that could fail.
        serde_json::to_vec(&wire).unwrap_or_default()
    }

    /// Reads a problem. Members that RFC 9457 lets others add are passed over; what contradicts the table is refused, so that a lost request
    /// cannot be passed off as one that was not executed.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProblemError> {
        let mut object = parse_object(bytes, limits::PROBLEM_BYTES, DEPTH)?;
        let type_uri = object.text("type")?;
        let status = object.unsigned("status")?;
        let known = |kind: &ProblemKind| kind.type_uri() == type_uri && u64::from(kind.status()) == status;
        let Some(kind) = ProblemKind::ALL.into_iter().find(known) else {
            return Err(ProblemError::UnknownType { type_uri, status });
        };
        let executed = parse_executed(&mut object, kind)?;
        let detail = object.optional_text("detail")?;
        let retry_after = match object.take_optional("retry_after") {
            None => None,
            Some(Value::Integer(seconds)) => u32::try_from(seconds).ok(),
            Some(_) => return Err(object.invalid("retry_after", "an integer").into()),
        };
        let checks = match object.take_optional("checks") {
            None => Vec::new(),
            Some(Value::Array(ids)) => {
                let text = |id| if let Value::Text(id) = id { Some(id) } else { None };
                let checks: Option<Vec<String>> = ids.into_iter().map(text).collect();
                checks.ok_or_else(|| object.invalid("checks", "an array of strings"))?
            }
            Some(_) => return Err(object.invalid("checks", "an array of strings").into()),
        };
        Ok(Self { kind, executed, detail, retry_after, checks })
    }
}

/// Levels that a problem may have: members of others are passed over, so there is some room.
const DEPTH: usize = 8;

fn parse_executed(object: &mut Object, kind: ProblemKind) -> Result<Executed, ProblemError> {
    let executed = match object.optional_text("executed")?.as_deref() {
        Some("no") => Executed::No,
        Some("unknown") => Executed::Unknown,
        Some(_) => return Err(object.invalid("executed", "`no` or `unknown`").into()),
        // A stock server's `ohttp-key` problem does not have our member; that problem always means that nothing was opened.
        None if kind == ProblemKind::OhttpKey => Executed::No,
        None => Executed::Unknown,
    };
    if kind.allows(executed) { Ok(executed) } else { Err(ProblemError::Contradiction { kind, executed }) }
}

#[derive(Serialize)]
struct Wire<'a> {
    #[serde(rename = "type")]
    type_uri: &'a str,
    title: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    executed: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u32>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    checks: &'a [String],
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.kind.name(), self.kind.status(), self.kind.title())?;
        if let Some(detail) = &self.detail {
            write!(f, ": {}", detail.escape_debug())?;
        }
        if !self.checks.is_empty() {
            write!(f, " [{}]", self.checks.join(", ").escape_debug())?;
        }
        match self.executed {
            Executed::No => f.write_str("; not executed"),
            Executed::Unknown => f.write_str("; whether it was executed is unknown"),
        }
    }
}

impl std::error::Error for Problem {}

/// Why a problem was not read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProblemError {
    /// Not JSON of the members that a problem of ours has.
    Json(JsonError),
    /// A type that this version does not know, or not with that status.
    UnknownType {
        /// The type.
        type_uri: String,
        /// The status.
        status: u64,
    },
    /// It says of the request's fate what its kind cannot know.
    Contradiction {
        /// The kind.
        kind: ProblemKind,
        /// What it says.
        executed: Executed,
    },
}

impl fmt::Display for ProblemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "problem: {error}"),
            Self::UnknownType { type_uri, status } => {
                write!(f, "problem: type `{}` with status {status} is not known", Shown(type_uri))
            }
            Self::Contradiction { kind, executed } => {
                write!(f, "problem: `{}` cannot say that `executed` is {executed:?}", kind.name())
            }
        }
    }
}

impl std::error::Error for ProblemError {}

impl From<JsonError> for ProblemError {
    fn from(error: JsonError) -> Self {
        Self::Json(error)
    }
}

#[cfg(test)]
mod tests;
