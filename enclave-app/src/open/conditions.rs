//! What the fields of a request say, inside the seal: conditions that must hold, and how its body is to be read.

use teegate_protocol::bhttp::Fields;
use teegate_protocol::headers::{SEALED_MANIFEST, SEALED_MODEL_SHA256, SEALED_REQUEST_ID};
use teegate_protocol::manifest::{ManifestDigest, ModelDigest};
use teegate_protocol::problem::{Problem, ProblemKind};
use teegate_protocol::receipt::check_request_id;

use crate::oip::{self, OipError};

const CONTENT_ENCODING: &str = "content-encoding";

/// What the client asks to be true.
pub(super) struct Conditions {
    pub(super) manifest: Option<ManifestDigest>,
    pub(super) model: Option<ModelDigest>,
    pub(super) request_id: Option<String>,
}

impl Conditions {
    pub(super) fn read(fields: &Fields) -> Result<Self, Problem> {
        let digest = "64 digits of lower-case hex";
        let request_id = once(fields, SEALED_REQUEST_ID)?.map(str::to_owned);
        check_request_id(request_id.as_deref()).map_err(bad_request)?;
        Ok(Self {
            manifest: once(fields, SEALED_MANIFEST)?
                .map(|value| value.parse().map_err(|_| unreadable(SEALED_MANIFEST, digest)))
                .transpose()?,
            model: once(fields, SEALED_MODEL_SHA256)?
                .map(|value| value.parse().map_err(|_| unreadable(SEALED_MODEL_SHA256, digest)))
                .transpose()?,
            request_id,
        })
    }
}

/// The value of `Inference-Header-Content-Length`.
pub(super) fn json_length(fields: &Fields) -> Result<Option<usize>, Problem> {
    let number = |value: &str| {
        // `parse` would take a sign.
        let digits = Some(value).filter(|value| value.bytes().all(|byte| byte.is_ascii_digit()));
        let number = digits.and_then(|digits| digits.parse().ok());
        number.ok_or_else(|| unreadable(oip::HEADER_LENGTH, "the number of bytes of the JSON part"))
    };
    once(fields, oip::HEADER_LENGTH)?.map(number).transpose()
}

/// A body is taken as it is. One that is compressed would only be taken for broken JSON.
pub(super) fn refuse_encoding(fields: &Fields) -> Result<(), OipError> {
    let is_identity = |value: &[u8]| value.trim_ascii().eq_ignore_ascii_case(b"identity");
    if fields.get_all(CONTENT_ENCODING).all(is_identity) {
        return Ok(());
    }
    Err(OipError::unsupported_media_type(format!(
        "header `{CONTENT_ENCODING}`: bodies are not decompressed here, send it as it is (identity)"
    )))
}

/// The value of a field that may stand there once.
fn once<'a>(fields: &'a Fields, name: &'static str) -> Result<Option<&'a str>, Problem> {
    match fields.get_all(name).count() {
        0 => Ok(None),
        _ => fields.get(name).map(Some).ok_or_else(|| unreadable(name, "one value")),
    }
}

fn unreadable(name: &str, expected: &str) -> Problem {
    bad_request(format!("field `{name}`: expected {expected}"))
}

/// The request is wrong, in words of bounded length.
pub(super) fn bad_request(detail: impl std::fmt::Display) -> Problem {
    let detail: String = detail.to_string().chars().take(MAX_DETAIL_CHARS).collect();
    Problem::new(ProblemKind::BadRequest).with_detail(detail)
}

/// Longer than any of our own sentences; what a request adds to one has no end of its own.
const MAX_DETAIL_CHARS: usize = 300;
