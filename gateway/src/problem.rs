//! From error to answer: one exhaustive match. An unsealed problem is a diagnostic, never truth; it says whether the request may
//! have been executed, so that nobody sends again what may have happened already.

use std::fmt;
use std::time::Duration;

use teegate_protocol::problem::{Problem, ProblemKind};

use crate::admission::{Denied, Limited};
use crate::budget::NoMemory;
use crate::challenges::Unanswered;
use crate::hold::Full;
use crate::offers::NoSuchModel;
use crate::polls::TooMany;
use crate::proxy::NotForwarded;
use crate::release::Refusal;
use crate::trust::NotOpened;
use crate::upload::UploadError;

/// Why a request to the gateway has no answer of an enclave.
#[derive(Debug)]
pub enum RouteError {
    /// It shows no credential that counts.
    Denied(Denied),
    /// Its tenant has as much as it may.
    Limited(Limited),
    /// The release predicate did not hold in time, or cannot.
    Refused(Refusal),
    /// No room to hold it.
    Full(Full),
    /// It could not be received before it was released.
    Upload(UploadError),
    /// No memory for one more request of this client's.
    NoMemory(NoMemory),
    /// As many clients wait for an instance as may.
    Polls(TooMany),
    /// Instances are attested, and none of them serves the model.
    UnknownModel(NoSuchModel),
    /// A challenge was not answered.
    Challenge(Unanswered),
    /// Forwarding failed.
    NotForwarded(NotForwarded),
    /// The request is not what this endpoint takes.
    Malformed(&'static str),
    /// The content type is not the one of a sealed request.
    MediaType,
    /// No such path.
    NotFound,
    /// The path exists, the method does not.
    Method(&'static str),
    /// The gateway is shutting down.
    Draining,
    /// The gateway could not write its answer, which would be a defect.
    Internal,
}

/// What is answered.
#[derive(Debug)]
pub enum Said {
    /// A problem of the protocol.
    Problem(Problem),
    /// A mistake in the use of HTTP itself: RFC 9457's `about:blank`. Nothing was sent.
    Plain {
        /// The status.
        status: u16,
        /// The outcome, as metrics and the audit trail show it.
        name: &'static str,
        /// What was expected.
        detail: &'static str,
        /// The value of `Allow`, where the method is wrong.
        allow: Option<&'static str>,
    },
}

impl Said {
    /// The status of the answer.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Problem(problem) => problem.status(),
            Self::Plain { status, .. } => *status,
        }
    }

    /// The outcome, as metrics and the audit trail show it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Problem(problem) => problem.kind.name(),
            Self::Plain { name, .. } => name,
        }
    }
}

/// The answer to `error`.
pub fn say(error: &RouteError) -> Said {
    let plain = |status, name, detail| Said::Plain { status, name, detail, allow: None };
    Said::Problem(match error {
        // Nothing is wrong with the token, as far as anybody can say.
        RouteError::Denied(denied @ Denied::JwtNoKeys) => busy(denied, Duration::from_secs(10)),
        RouteError::Denied(denied) if denied.is_known() => Problem::new(ProblemKind::Forbidden).with_detail(denied),
        RouteError::Denied(denied) => Problem::new(ProblemKind::Unauthorised).with_detail(denied),
        RouteError::Limited(Limited::Rate(wait)) => Problem::new(ProblemKind::RateLimited)
            .with_detail("this tenant asks more often than it may")
            .with_retry_after(in_seconds(*wait)),
        RouteError::Limited(Limited::Running) => busy("this tenant has as many requests at a time as it may", SOON),
        RouteError::Refused(refusal) => refused(refusal),
        RouteError::Full(Full) => busy("the hold is full", SOON),
        RouteError::Upload(error) => return undelivered(*error, false),
        RouteError::NoMemory(error) | RouteError::NotForwarded(NotForwarded::NoMemory(error)) => busy(error, SOON),
        RouteError::Polls(TooMany) => busy("as many clients wait for an instance as may: ask again", SOON),
        RouteError::Challenge(why) => why.problem(),
        RouteError::UnknownModel(model) => Problem::new(ProblemKind::UnknownModel).with_detail(model),
        RouteError::NotForwarded(NotForwarded::NotOpened(NotOpened::Lapsed | NotOpened::Lost(_))) => {
            Problem::new(ProblemKind::NoAttestedInstance)
                .with_detail("the instance did not take the request; nothing was sent")
        }
        RouteError::NotForwarded(NotForwarded::NoRoom) => {
            busy("too many requests wait for their answers from this instance", SOON)
        }
        RouteError::NotForwarded(NotForwarded::Withdrawn { bytes_left }) => {
            let detail = "the instance is not attested any more under the policy in force";
            outcome(Problem::new(ProblemKind::PolicyChanged).with_detail(detail), *bytes_left)
        }
        RouteError::NotForwarded(NotForwarded::Lost(_)) => Problem::new(ProblemKind::UpstreamLost)
            .with_detail("the connection to the instance was lost after bytes had left"),
        RouteError::NotForwarded(NotForwarded::Deadline { bytes_left }) => {
            outcome(Problem::new(ProblemKind::Deadline).with_detail("the instance did not answer in time"), *bytes_left)
        }
        RouteError::NotForwarded(NotForwarded::Late { bytes_left }) => {
            let detail = "the request did not reach the instance in time";
            outcome(Problem::new(ProblemKind::Deadline).with_detail(detail), *bytes_left)
        }
        RouteError::NotForwarded(NotForwarded::Upload { error, bytes_left }) => {
            return undelivered(*error, *bytes_left);
        }
        RouteError::Draining => busy("this gateway is shutting down", SOON),
        RouteError::Malformed(detail) => return plain(400, "malformed", detail),
        RouteError::MediaType => {
            return plain(415, "media-type", "expected one header field `content-type: message/ohttp-req`");
        }
        RouteError::Internal => return plain(500, "internal", "the answer could not be written"),
        RouteError::NotFound => return plain(404, "not-found", "no such path"),
        RouteError::Method(allowed) => {
            return Said::Plain {
                status: 405,
                name: "method",
                detail: "that method does not exist here",
                allow: Some(allowed),
            };
        }
    })
}

fn refused(refusal: &Refusal) -> Problem {
    let problem = |kind| Problem::new(kind).with_detail(refusal);
    match refusal {
        Refusal::Stale => problem(ProblemKind::StaleManifest),
        Refusal::Reseal => problem(ProblemKind::Reseal),
        Refusal::NoInstance => problem(ProblemKind::NoAttestedInstance).with_retry_after(1),
        Refusal::Rejected(checks) => problem(ProblemKind::EvidenceRejected).with_checks(checks.iter().copied()),
        Refusal::Resting(time) => busy("the instance has failed repeatedly and rests", *time),
        Refusal::Occupied => busy(refusal, SOON),
        Refusal::NotPermitted => problem(ProblemKind::Forbidden),
    }
}

/// A sealed request is opened only when its last byte has arrived, so one that did not arrive was not executed; `deadline`
/// leaves the question open all the same where bytes have left.
fn undelivered(error: UploadError, bytes_left: bool) -> Said {
    let malformed = |detail| Said::Plain { status: 400, name: "malformed", detail, allow: None };
    Said::Problem(match error {
        UploadError::TooLarge { .. } => Problem::new(ProblemKind::TooLarge).with_detail(error),
        UploadError::Malformed => return malformed("the framing of the body is malformed: its chunks or its trailers"),
        UploadError::Ended => return malformed("the body ended early"),
        UploadError::TooSlow => outcome(Problem::new(ProblemKind::Deadline).with_detail(error), bytes_left),
        UploadError::Full | UploadError::NoMemory => busy(error, SOON),
    })
}

fn outcome(problem: Problem, bytes_left: bool) -> Problem {
    if bytes_left { problem.unknown_outcome() } else { problem }
}

/// Where nobody can know better.
const SOON: Duration = Duration::from_secs(1);

fn busy(detail: impl fmt::Display, retry_after: Duration) -> Problem {
    let seconds = u32::try_from(retry_after.as_secs()).unwrap_or(u32::MAX).max(1);
    Problem::new(ProblemKind::Busy).with_detail(detail).with_retry_after(seconds)
}

/// Not before it: whole seconds, rounded up.
fn in_seconds(wait: Duration) -> u32 {
    let whole = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
    u32::try_from(whole).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use teegate_protocol::problem::Executed;

    use super::*;

    fn problem(error: RouteError) -> Problem {
        match say(&error) {
            Said::Problem(problem) => problem,
            Said::Plain { status, .. } => panic!("a plain {status}"),
        }
    }

    #[test]
    fn every_row_of_the_table_that_is_the_gateways() {
        let lost = || h2::Error::from(h2::Reason::CANCEL);
        for (error, name, status, executed) in [
            (RouteError::Denied(Denied::Nothing), "unauthorised", 401, Executed::No),
            (RouteError::Denied(Denied::TwoTenants), "unauthorised", 401, Executed::No),
            (RouteError::Denied(Denied::NoTenant), "unauthorised", 403, Executed::No),
            (RouteError::Denied(Denied::JwtNoKeys), "busy", 503, Executed::No),
            (RouteError::Limited(Limited::Rate(Duration::from_millis(1_001))), "rate-limited", 429, Executed::No),
            (RouteError::Limited(Limited::Running), "busy", 503, Executed::No),
            (RouteError::Refused(Refusal::NotPermitted), "unauthorised", 403, Executed::No),
            (RouteError::Refused(Refusal::Stale), "stale-manifest", 409, Executed::No),
            (RouteError::Refused(Refusal::Reseal), "reseal", 409, Executed::No),
            (RouteError::Refused(Refusal::NoInstance), "no-attested-instance", 503, Executed::No),
            (RouteError::Refused(Refusal::Rejected(vec!["snp.policy.debug"])), "evidence-rejected", 503, Executed::No),
            (RouteError::Refused(Refusal::Resting(Duration::from_secs(9))), "busy", 503, Executed::No),
            (RouteError::Full(Full), "busy", 503, Executed::No),
            (RouteError::Refused(Refusal::Occupied), "busy", 503, Executed::No),
            (RouteError::NoMemory(NoMemory), "busy", 503, Executed::No),
            (RouteError::Polls(TooMany), "busy", 503, Executed::No),
            (RouteError::UnknownModel(NoSuchModel::default()), "unknown-model", 404, Executed::No),
            (RouteError::Upload(UploadError::TooLarge { most: 1 }), "too-large", 413, Executed::No),
            (RouteError::Upload(UploadError::TooSlow), "deadline", 504, Executed::No),
            (RouteError::Upload(UploadError::NoMemory), "busy", 503, Executed::No),
            (
                RouteError::NotForwarded(NotForwarded::Withdrawn { bytes_left: false }),
                "policy-changed",
                409,
                Executed::No,
            ),
            (
                RouteError::NotForwarded(NotForwarded::Withdrawn { bytes_left: true }),
                "policy-changed",
                409,
                Executed::Unknown,
            ),
            (RouteError::NotForwarded(NotForwarded::Deadline { bytes_left: false }), "deadline", 504, Executed::No),
            (RouteError::NotForwarded(NotForwarded::Deadline { bytes_left: true }), "deadline", 504, Executed::Unknown),
            (RouteError::NotForwarded(NotForwarded::Lost(lost())), "upstream-lost", 502, Executed::Unknown),
            (
                RouteError::NotForwarded(NotForwarded::NotOpened(NotOpened::Lost(lost()))),
                "no-attested-instance",
                503,
                Executed::No,
            ),
        ] {
            let problem = problem(error);
            assert_eq!((problem.kind.name(), problem.status(), problem.executed), (name, status, executed));
        }
    }

    #[test]
    fn a_wait_is_rounded_up_and_never_nothing() {
        for (wait, seconds) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2)] {
            let limited = RouteError::Limited(Limited::Rate(Duration::from_millis(wait)));
            assert_eq!(problem(limited).retry_after, Some(seconds), "{wait}");
        }
    }

    #[test]
    fn failed_checks_are_named() {
        let problem = problem(RouteError::Refused(Refusal::Rejected(vec!["snp.policy.debug", "identity.conflict"])));
        assert_eq!(problem.checks, ["snp.policy.debug", "identity.conflict"]);
    }
}
