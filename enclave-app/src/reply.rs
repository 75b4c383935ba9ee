//! The answers that exist outside the seal: problems, a few plain words, and evidence.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use teegate_attester::AttesterError;
use teegate_protocol::headers::{CMW_JSON, PROBLEM_JSON};
use teegate_protocol::problem::{Problem, ProblemKind};

use crate::epoch::EpochError;
use crate::upload::Refused;

/// Says why a body of at most `limit` bytes was not read.
pub(crate) fn refusal(refused: &Refused, limit: usize) -> Response<Full<Bytes>> {
    match refused {
        Refused::TooLarge => {
            problem(&Problem::new(ProblemKind::TooLarge).with_detail(format!("at most {limit} bytes are accepted")))
        }
        Refused::NoMemory => {
            problem(&Problem::new(ProblemKind::Busy).with_retry_after(1).with_detail("no memory for one more request"))
        }
        Refused::TooSlow => plain(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time\n"),
        Refused::Ended => plain(StatusCode::BAD_REQUEST, "the body ended early, or its framing is malformed\n"),
    }
}

/// No request more can be remembered, so none is opened.
pub(crate) fn full() -> Response<Full<Bytes>> {
    let busy = Problem::new(ProblemKind::Busy).with_retry_after(5);
    problem(&busy.with_detail("this key has opened as many requests as it may"))
}

pub(crate) fn rate_limited(seconds: u32) -> Response<Full<Bytes>> {
    problem(&Problem::new(ProblemKind::RateLimited).with_retry_after(seconds))
}

pub(crate) fn answer(envelope: Result<Bytes, EpochError>) -> Response<Full<Bytes>> {
    envelope.map_or_else(|error| not_available(&error), |envelope| content(CMW_JSON, envelope))
}

/// There is no evidence now; what the source said stays in the log.
pub(crate) fn not_available(error: &EpochError) -> Response<Full<Bytes>> {
    let (seconds, detail) = match error {
        EpochError::Evidence(AttesterError::Busy { seconds }) => (*seconds, "too many orders for evidence are waiting"),
        _ => {
            tracing::warn!(%error, "no evidence to give");
            (1, "there is no evidence at the moment")
        }
    };
    problem(&Problem::new(ProblemKind::Busy).with_retry_after(seconds).with_detail(detail))
}

pub(crate) fn problem(problem: &Problem) -> Response<Full<Bytes>> {
    let mut response = content(PROBLEM_JSON, problem.to_json().into());
    *response.status_mut() = StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(seconds) = problem.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

pub(crate) fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = content("text/plain; charset=utf-8", Bytes::from_static(text.as_bytes()));
    *response.status_mut() = status;
    response
}

pub(crate) fn content(media_type: &'static str, bytes: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(bytes));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
