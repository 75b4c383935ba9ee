//! From what is to be said to an answer in HTTP.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use teegate_protocol::headers::PROBLEM_JSON;

use crate::answer::AnswerStream;
use crate::problem::Said;

/// The answer that says so.
pub(crate) fn respond(said: &Said) -> Response<AnswerStream> {
    let (status, body, retry_after, allow) = match said {
        Said::Problem(problem) => (problem.status(), problem.to_json(), problem.retry_after, None),
        Said::Plain { status, detail, allow, .. } => {
            let body =
                serde_json::json!({ "type": "about:blank", "status": status, "detail": detail, "executed": "no" });
            (*status, body.to_string().into_bytes(), None, *allow)
        }
    };
    let mut response = Response::new(whole(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(seconds) = retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(methods) = allow {
        headers.insert(ALLOW, HeaderValue::from_static(methods));
    }
    response
}

/// An answer in words.
pub(crate) fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<AnswerStream> {
    let mut response = Response::new(whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// A body that is there.
pub(crate) fn whole(body: impl Into<Bytes>) -> AnswerStream {
    Full::new(body.into()).map_err(|never| match never {}).boxed_unsync()
}
