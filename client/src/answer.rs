//! Whether an answer is accepted: sealed, opened, and with an execution receipt that speaks of this request and this answer.
//!
//! The seal shows that the holder of the manifest's key answered *this* request. The receipt, signed by another key of the
//! same manifest, can be shown to somebody else later: this request, on this model, gave this output. Both are held against
//! the manifest that was verified before anything was sent.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use teegate_protocol::bhttp::Response;
use teegate_protocol::headers::{OHTTP_RESPONSE, SEALED_RECEIPT, SEALED_RECEIPT_SALT, TEEGATE_RELEASE};
use teegate_protocol::manifest::{ModelEntry, ReceiptPublicKey};
use teegate_protocol::receipt::{CiphertextDigest, Execution, ReceiptError, Release, Salt, Signed};

use crate::error::{AnswerError, Error};
use crate::instance::Instance;
use crate::link::AnswerRoom;
use crate::remote;
use crate::seal::{Opened, Sealed};

/// An accepted answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// What was inside the seal.
    pub response: Response,
    /// The execution receipt, verified; a request that runs no model has none.
    pub receipt: Option<Execution>,
    /// The gateway's release receipt.
    pub release: ReleaseCheck,
    /// The verified instance that answered.
    pub instance: Arc<Instance>,
    /// Bytes of the sealed request, as they left.
    pub sealed_bytes: usize,
    /// Bytes of the sealed answer, as they came.
    pub answer_bytes: usize,
    /// The room that it takes, where that is bounded.
    pub(crate) room: Option<AnswerRoom>,
}

/// What became of the gateway's release receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReleaseCheck {
    /// It holds under a key that the caller pinned, for this ciphertext and this manifest.
    Verified(Release),
    /// The caller pinned no key of the gateway, so nothing was checked.
    NotChecked,
}

/// What an answer is held against.
pub(crate) struct Expected<'a> {
    pub(crate) instance: &'a Arc<Instance>,
    pub(crate) request_id: &'a str,
    /// The model that has to have run, where the caller asked for one.
    pub(crate) model: Option<&'a ModelEntry>,
    /// Those that the caller pinned.
    pub(crate) gateway_keys: &'a [ReceiptPublicKey],
    pub(crate) limit: usize,
}

/// Accepts or refuses what came back for `sealed`.
pub(crate) fn accept(answer: &http::Response<Bytes>, sealed: Sealed, expected: &Expected<'_>) -> Result<Reply, Error> {
    let status = answer.status();
    let media_type = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !status.is_success() {
        return Err(Error::Remote(remote::unsealed(answer)));
    }
    if !remote::is_media_type(media_type, OHTTP_RESPONSE) {
        return Err(Error::Answer(AnswerError::Unsealed { status: status.as_u16() }));
    }
    let sealed_bytes = sealed.bytes().len();
    let release = check_release(answer, &sealed, expected).map_err(Error::Answer)?;
    let opened = sealed.open(answer.body(), expected.limit).map_err(|e| Error::Answer(AnswerError::Open(e)))?;
    if let Some(problem) = remote::sealed(&opened.response) {
        return Err(Error::Remote(problem));
    }
    let receipt = check_execution(&opened, expected).map_err(Error::Answer)?;
    let Opened { response, .. } = opened;
    Ok(Reply {
        response,
        receipt,
        release,
        instance: Arc::clone(expected.instance),
        sealed_bytes,
        answer_bytes: answer.body().len(),
        room: answer.extensions().get().cloned(),
    })
}

/// The execution receipt: its signature under the manifest's key, and every one of its members against what is known here.
fn check_execution(opened: &Opened, expected: &Expected<'_>) -> Result<Option<Execution>, AnswerError> {
    let fields = &opened.response.fields;
    let (signed, salt) = match (fields.get(SEALED_RECEIPT), fields.get(SEALED_RECEIPT_SALT)) {
        (Some(signed), Some(salt)) => (signed, salt),
        (None, None) => return Ok(None),
        _ => return Err(AnswerError::Receipt(ReceiptError::Header)),
    };
    let signed = Signed::parse_header(signed).map_err(AnswerError::Receipt)?;
    let salt = Salt::parse_header(salt).map_err(AnswerError::Receipt)?;
    let key = &expected.instance.manifest().receipt_key;
    let receipt = Execution::verify(&signed, key).map_err(AnswerError::Receipt)?;
    let differs = |what| Err(AnswerError::ReceiptOf { what });
    if receipt.manifest != *expected.instance.digest() {
        return differs("manifest");
    }
    if receipt.request_id.as_deref() != Some(expected.request_id) {
        return differs("request id");
    }
    if receipt.request != salt.digest(&opened.request) {
        return differs("request");
    }
    if receipt.output != salt.digest(&opened.response.content) {
        return differs("output");
    }
    let models = &expected.instance.manifest().models;
    let is_served = models.iter().any(|model| model.sha256 == receipt.model);
    if expected.model.map_or(!is_served, |model| model.sha256 != receipt.model) {
        return differs("model");
    }
    Ok(Some(receipt))
}

/// The release receipt, if the caller pinned keys of the gateway.
fn check_release(
    answer: &http::Response<Bytes>,
    sealed: &Sealed,
    expected: &Expected<'_>,
) -> Result<ReleaseCheck, AnswerError> {
    if expected.gateway_keys.is_empty() {
        return Ok(ReleaseCheck::NotChecked);
    }
    let wrong = |what: String| AnswerError::Release { what };
    let header = answer.headers().get(TEEGATE_RELEASE).and_then(|value| value.to_str().ok());
    let header = header.ok_or_else(|| wrong("there is none".to_owned()))?;
    let signed = Signed::parse_header(header).map_err(|e| wrong(e.to_string()))?;
    // Under a key that did not sign it, it is unauthentic.
    let mut tried = expected.gateway_keys.iter().map(|key| Release::verify(&signed, key));
    let release =
        tried.find(|release| *release != Err(ReceiptError::Unauthentic)).unwrap_or(Err(ReceiptError::Unauthentic));
    let release = release.map_err(|e| wrong(e.to_string()))?;
    if release.ciphertext != CiphertextDigest::of(sealed.bytes()) {
        return Err(wrong("it is about another ciphertext".to_owned()));
    }
    if release.manifest != *expected.instance.digest() {
        return Err(wrong("it is about another manifest".to_owned()));
    }
    Ok(ReleaseCheck::Verified(release))
}
