//! What a program gets back: what came out of the seal, or why nothing did.
//!
//! Each error says what is known of the request's fate ([`TEEGATE_EXECUTED`]): `no`, and it may be sent again, or `unknown`. Known is
//! what this process or the enclave says: once a request was sent, a gateway's word that it was not executed is only its word. No error
//! leads to another way out.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::Full;
use teegate_intake::envelope::Refused;
use teegate_protocol::headers::{SEALED_RECEIPT, SEALED_RECEIPT_SALT, TEEGATE_MANIFEST};
use teegate_protocol::problem::{Executed, ProblemKind};
use teegate_verifier::BoundTo;

use super::said::Said;
use crate::answer::{ReleaseCheck, Reply};
use crate::client::JSON_LENGTH;
use crate::error::{AnswerError, Error, RequestError};
use crate::link::{AnswerRoom, LinkError};
use crate::remote::RemoteProblem;
use crate::seal::SealError;
use crate::wanted::Wanted;

/// On an answer that was opened: what the evidence of the instance that gave it is bound to, `workload`, `pod`, `guest` or `nothing`.
pub const TEEGATE_BOUND_TO: &str = "teegate-bound-to";
/// On an answer that was opened: `verified` where the gateway signed for the release and its key is pinned, `not-checked` where none is.
pub const TEEGATE_RELEASE_CHECK: &str = "teegate-release-check";
/// On an error: whether the request was executed, `no` or `unknown`. `no` is never on the word of a gateway.
pub const TEEGATE_EXECUTED: &str = "teegate-executed";

/// What to wait before asking again, where nobody says it, in seconds.
const RETRY_SECONDS: u32 = 3;

/// What the instance answered, whatever its status, and who it was: the manifest whose key the request was sealed to, and the
/// execution receipt as it was signed.
pub(super) fn opened(reply: Reply) -> Response<Full<Bytes>> {
    let Reply { response, instance, release, room, .. } = reply;
    let carried = [CONTENT_TYPE.as_str(), JSON_LENGTH, SEALED_RECEIPT, SEALED_RECEIPT_SALT];
    let mut answer = Response::new(Full::default());
    // What is no final status was refused when the answer was decoded.
    *answer.status_mut() = StatusCode::from_u16(response.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let headers = answer.headers_mut();
    for name in carried {
        let value = response.fields.get(name).and_then(|value| HeaderValue::from_str(value).ok());
        if let Some(value) = value {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    if let Ok(digest) = HeaderValue::from_str(&instance.digest().to_string()) {
        headers.insert(TEEGATE_MANIFEST, digest);
    }
    let bound_to = match instance.attested().bound_to() {
        Some(BoundTo::Workload) => "workload",
        Some(BoundTo::Pod) => "pod",
        Some(BoundTo::Guest) => "guest",
        None => "nothing",
    };
    headers.insert(TEEGATE_BOUND_TO, HeaderValue::from_static(bound_to));
    let release = match release {
        ReleaseCheck::Verified(_) => "verified",
        ReleaseCheck::NotChecked => "not-checked",
    };
    headers.insert(TEEGATE_RELEASE_CHECK, HeaderValue::from_static(release));
    *answer.body_mut() = Full::new(Bytes::from_owner(Content { bytes: response.content, _room: room }));
    answer
}

/// An answer on its way to the program, and the room that it takes until it is there.
struct Content {
    bytes: Vec<u8>,
    _room: Option<AnswerRoom>,
}

impl AsRef<[u8]> for Content {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Why there is no answer.
pub(super) fn failed(error: &Error) -> Said {
    let (status, retry_after) = status(error);
    let said = Said::new(status, sentence(error)).with(HeaderName::from_static(TEEGATE_EXECUTED), executed(error));
    match retry_after {
        Some(seconds) => said.with(RETRY_AFTER, HeaderValue::from(seconds)),
        None => said,
    }
}

fn executed(error: &Error) -> HeaderValue {
    let is_hearsay = match error {
        Error::Remote(problem) => !problem.sealed,
        Error::NotResealed { .. } => true,
        _ => false,
    };
    HeaderValue::from_static(match error.executed() {
        Executed::No if !is_hearsay => "no",
        Executed::No | Executed::Unknown => "unknown",
    })
}

/// The error, and what of the request left this process.
fn sentence(error: &Error) -> String {
    // The words are for whoever sealed the request, and this is who asked for that.
    let words = match error {
        Error::Remote(RemoteProblem { words: Some(words), .. }) => format!(": {}", words.as_str()),
        _ => String::new(),
    };
    let left = match error {
        Error::Request(_)
        | Error::Unlisted(_)
        | Error::Listing(_)
        | Error::NotOffered(_)
        | Error::NotChallenged { .. }
        | Error::NoCandidate { .. } => "; nothing was sealed and nothing of the request was sent",
        Error::Answer(_) => "; the request was sent sealed, and whether it was executed is unknown",
        // Their own words say it.
        Error::Relay(_) | Error::Remote(_) | Error::NotResealed { .. } => "",
    };
    format!("{error}{words}{left}")
}

/// The status, and after how many seconds to ask again.
fn status(error: &Error) -> (StatusCode, Option<u32>) {
    let again = Some(RETRY_SECONDS);
    match error {
        Error::Request(RequestError::Seal(SealError::TooLarge { .. })) => (StatusCode::PAYLOAD_TOO_LARGE, None),
        Error::Request(
            RequestError::Tensors(_) | RequestError::Field { .. } | RequestError::RunsModel | RequestError::Seal(_),
        ) => (StatusCode::BAD_REQUEST, None),
        Error::Request(RequestError::NoRandomness | RequestError::Unwritable(_)) => {
            (StatusCode::INTERNAL_SERVER_ERROR, None)
        }
        Error::Unlisted(_) => (StatusCode::SERVICE_UNAVAILABLE, again),
        Error::Listing(_) => (StatusCode::BAD_GATEWAY, None),
        Error::NotOffered(problem) => not_offered(problem),
        // A door challenges nobody.
        Error::NotChallenged { .. } => (StatusCode::BAD_GATEWAY, None),
        Error::NoCandidate { refused } => not_acceptable(refused),
        Error::Relay(link) if !link.sent() => (StatusCode::SERVICE_UNAVAILABLE, again),
        Error::Relay(LinkError::TimedOut { .. }) => (StatusCode::GATEWAY_TIMEOUT, None),
        Error::Relay(_) => (StatusCode::BAD_GATEWAY, None),
        Error::Remote(problem) => remote(problem),
        Error::NotResealed { problem, .. } => match problem.executed() {
            Executed::No => (StatusCode::SERVICE_UNAVAILABLE, again),
            Executed::Unknown => (StatusCode::BAD_GATEWAY, None),
        },
        Error::Answer(AnswerError::Declined { status, .. }) => {
            (StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_GATEWAY), None)
        }
        Error::Answer(_) => (StatusCode::BAD_GATEWAY, None),
    }
}

/// The gateway had nobody to offer.
fn not_offered(problem: &RemoteProblem) -> (StatusCode, Option<u32>) {
    match problem.problem.as_ref().map(|problem| problem.kind) {
        Some(ProblemKind::UnknownModel) => (StatusCode::NOT_FOUND, None),
        Some(ProblemKind::RateLimited) => (StatusCode::TOO_MANY_REQUESTS, Some(after(problem))),
        // Its credentials are between this door and the gateway: to the program it is a gateway that does not work.
        Some(ProblemKind::Unauthorised | ProblemKind::Forbidden) | None => (StatusCode::BAD_GATEWAY, None),
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, Some(after(problem))),
    }
}

/// The policy of this door refused everybody who was offered, or nobody was offered.
fn not_acceptable(refused: &[Refused]) -> (StatusCode, Option<u32>) {
    if refused.is_empty() {
        return (StatusCode::SERVICE_UNAVAILABLE, Some(RETRY_SECONDS));
    }
    if refused.iter().all(Wanted::is_all_that_is_missing) {
        return (StatusCode::NOT_FOUND, None);
    }
    (StatusCode::FORBIDDEN, None)
}

/// What the gateway, or the enclave, says of a request that was sent.
fn remote(problem: &RemoteProblem) -> (StatusCode, Option<u32>) {
    let Some(kind) = problem.problem.as_ref().map(|problem| problem.kind) else {
        return (StatusCode::BAD_GATEWAY, None);
    };
    match kind {
        ProblemKind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, None),
        ProblemKind::RateLimited => (StatusCode::TOO_MANY_REQUESTS, Some(after(problem))),
        ProblemKind::BadRequest => (StatusCode::BAD_REQUEST, None),
        ProblemKind::UnknownModel => (StatusCode::NOT_FOUND, None),
        ProblemKind::Deadline => (StatusCode::GATEWAY_TIMEOUT, None),
        _ if problem.executed() == Executed::Unknown => (StatusCode::BAD_GATEWAY, None),
        ProblemKind::Unauthorised | ProblemKind::Forbidden => (StatusCode::BAD_GATEWAY, None),
        _ => (StatusCode::SERVICE_UNAVAILABLE, Some(after(problem))),
    }
}

fn after(problem: &RemoteProblem) -> u32 {
    problem.problem.as_ref().and_then(|problem| problem.retry_after).unwrap_or(RETRY_SECONDS)
}
