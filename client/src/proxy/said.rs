//! An answer of the door's own: a status and one sentence, as the Open Inference Protocol writes an error.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;

/// The longest sentence. Words of others are in some.
const MAX_CHARS: usize = 2_000;

/// An answer that nobody else gave.
#[derive(Debug)]
pub(super) struct Said {
    status: StatusCode,
    message: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Said {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), headers: Vec::new() }
    }

    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// `{"error": "…"}`, with its status and its headers.
    pub(super) fn response(self) -> Response<Full<Bytes>> {
        let message: String = self.message.chars().take(MAX_CHARS).collect();
        let body = serde_json::json!({ "error": message }).to_string();
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().extend(self.headers);
        response
    }
}

#[cfg(test)]
impl Said {
    pub(super) fn status(&self) -> u16 {
        self.status.as_u16()
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }
}
