//! From what is to be said to an answer in HTTP.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame, SizeHint};
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
    // RFC 9110 section 11.6.1: with every 401. There is no scheme that names client certificates.
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"teegate\""));
    }
    let headers = response.headers_mut();
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

/// A body of parts that are there, and shared with other bodies.
pub(crate) fn parts(parts: impl IntoIterator<Item = Bytes>) -> AnswerStream {
    Parts(parts.into_iter().collect()).map_err(|never| match never {}).boxed_unsync()
}

struct Parts(VecDeque<Bytes>);

impl Body for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.get_mut().0.pop_front().map(|part| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let lengths = self.0.iter().map(|part| u64::try_from(part.len()).unwrap_or(u64::MAX));
        SizeHint::with_exact(lengths.fold(0, u64::saturating_add))
    }
}

/// A body without a byte.
pub(crate) fn nothing() -> AnswerStream {
    parts([])
}
