//! Receipts: who signs what he did, over exact bytes.
//!
//! *Execution* is signed by the enclave with the receipt key of its manifest: this request, on this model, gave this output. *Release* is signed
//! by the gateway: this ciphertext was let through to this manifest under this policy. Digests of request and output are salted, because
//! prompts are guessable: the salt travels sealed to the client and is not in the receipt.
//!
//! A receipt is JSON, signed with Ed25519 (RFC 8032) over `"teegate/1 execution" || 0x00 || bytes`, or `release`. The signature is detached and
//! covers the exact bytes; the label keeps a receipt of one kind from standing for one of the other.

use crate::NoRandomness;
use crate::aws_lc::{Ed25519Key, ed25519_holds, sha256};
use crate::fixed::hex_bytes;
use crate::json::{JsonError, from_base64url, parse_object, to_base64url};
use crate::limits;
use crate::manifest::{ManifestDigest, ModelDigest, ReceiptPublicKey};
use serde::Serialize;
use std::fmt;

/// The version that this crate reads and writes.
pub const VERSION: u64 = 1;

/// What an enclave executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// The manifest whose key opened the request.
    pub manifest: ManifestDigest,
    /// The client's name for the request, at most 128 visible ASCII characters.
    pub request_id: Option<String>,
    /// [`Salt::digest`] of the sealed plaintext of the request: the Binary HTTP message exactly as it was opened, padding included.
    pub request: SaltedDigest,
    /// [`Salt::digest`] of the content of the answer.
    pub output: SaltedDigest,
    /// The model that ran.
    pub model: ModelDigest,
    /// Unix seconds of the enclave's clock, which its host sets.
    pub claimed_time: u64,
}

/// What a gateway let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// SHA-256 of the encapsulated request.
    pub ciphertext: CiphertextDigest,
    /// The manifest of the instance to which it went.
    pub manifest: ManifestDigest,
    /// SHA-256 of the evidence on which that rests.
    pub evidence: EvidenceDigest,
    /// The policy under which the instance was attested.
    pub policy_version: u64,
    /// Unix seconds of the gateway's clock.
    pub claimed_time: u64,
}

hex_bytes! {
    /// `SHA-256(salt32 || bytes)`, see [`Salt::digest`].
    pub struct SaltedDigest(32);
}

hex_bytes! {
    /// SHA-256 of an encapsulated request.
    pub struct CiphertextDigest(32);
}

hex_bytes! {
    /// SHA-256 of the bytes of TEE evidence.
    pub struct EvidenceDigest(32);
}

impl CiphertextDigest {
    /// Digest of an encapsulated request.
    #[must_use]
    pub fn of(encapsulated_request: &[u8]) -> Self {
        Self(sha256(&[encapsulated_request]))
    }
}

impl EvidenceDigest {
    /// Digest of evidence, without its endorsements.
    #[must_use]
    pub fn of(evidence: &[u8]) -> Self {
        Self(sha256(&[evidence]))
    }
}

/// What keeps the digests of a receipt from being guessed. It goes to the client inside the seal.
#[derive(Clone, PartialEq, Eq)]
pub struct Salt([u8; 32]);

impl Salt {
    /// A fresh salt, one for each answer.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|_| NoRandomness)?;
        Ok(Self(bytes))
    }

    /// `SHA-256(salt || bytes)`.
    #[must_use]
    pub fn digest(&self, bytes: &[u8]) -> SaltedDigest {
        SaltedDigest(sha256(&[&self.0, bytes]))
    }

    /// As the value of the sealed field [`crate::headers::SEALED_RECEIPT_SALT`].
    #[must_use]
    pub fn to_header(&self) -> String {
        to_base64url(&self.0)
    }

    /// Reads that value.
    pub fn parse_header(value: &str) -> Result<Self, ReceiptError> {
        let bytes = if value.len() == 43 { from_base64url(value) } else { None };
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(ReceiptError::Header)
    }
}

/// A receipt as it travels: exact bytes and a detached signature, neither checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The exact bytes that are signed, without the label.
    pub bytes: Vec<u8>,
    /// Ed25519 signature.
    pub signature: [u8; 64],
}

impl Signed {
    /// As the value of a field: base64url of the bytes, `.`, base64url of the signature.
    #[must_use]
    pub fn to_header(&self) -> String {
        format!("{}.{}", to_base64url(&self.bytes), to_base64url(&self.signature))
    }

    /// Whether the signature holds under `key`, over `label` and the exact bytes.
    pub(crate) fn holds(&self, label: &[u8], key: &ReceiptPublicKey) -> Result<(), ReceiptError> {
        check_signature(self, label, key)
    }

    /// Reads that value.
    pub fn parse_header(value: &str) -> Result<Self, ReceiptError> {
        // Base64 makes four characters of three bytes.
        if value.len() > limits::RECEIPT_BYTES * 4 / 3 + 128 {
            return Err(ReceiptError::Header);
        }
        let (bytes, signature) = value.split_once('.').ok_or(ReceiptError::Header)?;
        let bytes = from_base64url(bytes).ok_or(ReceiptError::Header)?;
        let signature = from_base64url(signature).and_then(|bytes| bytes.try_into().ok());
        Ok(Self { bytes, signature: signature.ok_or(ReceiptError::Header)? })
    }
}

/// The private key that signs receipts. Zeroised when dropped; it has no `Debug` and no `Clone`.
pub struct ReceiptKey(Ed25519Key);

impl ReceiptKey {
    /// Makes a key.
    pub fn generate() -> Result<Self, NoRandomness> {
        Ed25519Key::generate().map(Self)
    }

    /// Takes a key that is kept elsewhere, as a gateway does whose clients pin it. An enclave's key is always [generated](Self::generate).
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(Ed25519Key::from_seed(seed))
    }

    /// The public key, as it stands in the manifest.
    #[must_use]
    pub fn public(&self) -> ReceiptPublicKey {
        ReceiptPublicKey(self.0.public())
    }

    pub(crate) fn sign(&self, label: &[u8], bytes: Vec<u8>) -> Result<Signed, ReceiptError> {
        let signature = self.0.sign(&labelled(label, &bytes)).map_err(|_| ReceiptError::Signing)?;
        Ok(Signed { bytes, signature })
    }
}

const EXECUTION_LABEL: &[u8] = b"teegate/1 execution\0";
const RELEASE_LABEL: &[u8] = b"teegate/1 release\0";

fn labelled(label: &[u8], bytes: &[u8]) -> Vec<u8> {
    [label, bytes].concat()
}

/// Checks the signature over the exact bytes, by the strict rules: a key of small order, which signs everything, is refused.
fn check_signature(signed: &Signed, label: &[u8], key: &ReceiptPublicKey) -> Result<(), ReceiptError> {
    let holds = ed25519_holds(key.as_bytes(), &labelled(label, &signed.bytes), &signed.signature);
    if holds { Ok(()) } else { Err(ReceiptError::Unauthentic) }
}

const DEPTH: usize = 1;

impl Execution {
    /// Writes and signs the receipt.
    pub fn sign(&self, key: &ReceiptKey) -> Result<Signed, ReceiptError> {
        let Self { manifest, request_id, request, output, model, claimed_time } = self;
        check_request_id(request_id.as_deref())?;
        let wire = ExecutionWire {
            v: VERSION,
            kind: "execution",
            manifest: *manifest,
            request_id: request_id.as_deref(),
            request: *request,
            output: *output,
            model: *model,
            claimed_time: *claimed_time,
        };
        let bytes = serde_json::to_vec(&wire).map_err(|_| ReceiptError::Encoding)?;
        key.sign(EXECUTION_LABEL, bytes)
    }

    /// The receipt, once its signature holds under `key`. Whether it speaks of *this* request and answer is for the caller to compare:
    /// manifest, request id and, with the [`Salt`], both digests.
    pub fn verify(signed: &Signed, key: &ReceiptPublicKey) -> Result<Self, ReceiptError> {
        check_signature(signed, EXECUTION_LABEL, key)?;
        let mut object = parse_object(&signed.bytes, limits::RECEIPT_BYTES, DEPTH)?;
        check_version(object.unsigned("v")?)?;
        if object.text("kind")? != "execution" {
            return Err(object.invalid("kind", "`execution`").into());
        }
        let receipt = Self {
            manifest: ManifestDigest(object.hex("manifest")?),
            request_id: object.text_or_null("request_id")?,
            request: SaltedDigest(object.hex("request")?),
            output: SaltedDigest(object.hex("output")?),
            model: ModelDigest(object.hex("model")?),
            claimed_time: object.unsigned("claimed_time")?,
        };
        object.finish()?;
        check_request_id(receipt.request_id.as_deref())?;
        Ok(receipt)
    }
}

impl Release {
    /// Writes and signs the receipt.
    pub fn sign(&self, key: &ReceiptKey) -> Result<Signed, ReceiptError> {
        let Self { ciphertext, manifest, evidence, policy_version, claimed_time } = *self;
        let wire =
            ReleaseWire { v: VERSION, kind: "release", ciphertext, manifest, evidence, policy_version, claimed_time };
        let bytes = serde_json::to_vec(&wire).map_err(|_| ReceiptError::Encoding)?;
        key.sign(RELEASE_LABEL, bytes)
    }

    /// The receipt, once its signature holds under `key`. Whether it speaks of *this* ciphertext is for the caller to compare.
    pub fn verify(signed: &Signed, key: &ReceiptPublicKey) -> Result<Self, ReceiptError> {
        check_signature(signed, RELEASE_LABEL, key)?;
        let mut object = parse_object(&signed.bytes, limits::RECEIPT_BYTES, DEPTH)?;
        check_version(object.unsigned("v")?)?;
        if object.text("kind")? != "release" {
            return Err(object.invalid("kind", "`release`").into());
        }
        let receipt = Self {
            ciphertext: CiphertextDigest(object.hex("ciphertext")?),
            manifest: ManifestDigest(object.hex("manifest")?),
            evidence: EvidenceDigest(object.hex("evidence")?),
            policy_version: object.unsigned("policy_version")?,
            claimed_time: object.unsigned("claimed_time")?,
        };
        object.finish()?;
        Ok(receipt)
    }
}

pub(crate) fn check_version(found: u64) -> Result<(), ReceiptError> {
    if found == VERSION { Ok(()) } else { Err(ReceiptError::Version { found }) }
}

/// Whether a client's name for its request can stand in a receipt: 1 to 128 visible ASCII characters.
pub fn check_request_id(request_id: Option<&str>) -> Result<(), ReceiptError> {
    match request_id {
        None => Ok(()),
        Some(id) if (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(()),
        Some(_) => Err(ReceiptError::RequestId),
    }
}

#[derive(Serialize)]
struct ExecutionWire<'a> {
    v: u64,
    kind: &'static str,
    manifest: ManifestDigest,
    request_id: Option<&'a str>,
    request: SaltedDigest,
    output: SaltedDigest,
    model: ModelDigest,
    claimed_time: u64,
}

#[derive(Serialize)]
struct ReleaseWire {
    v: u64,
    kind: &'static str,
    ciphertext: CiphertextDigest,
    manifest: ManifestDigest,
    evidence: EvidenceDigest,
    policy_version: u64,
    claimed_time: u64,
}

/// Why a receipt was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReceiptError {
    /// A field value that is not a receipt, or not a salt.
    Header,
    /// The signature does not hold under that key for that kind of receipt.
    Unauthentic,
    /// Signed, but not strict JSON of the members of version 1.
    Json(JsonError),
    /// Another version than the one this crate reads.
    Version {
        /// The version that stands there.
        found: u64,
    },
    /// A request id that is not 1 to 128 visible ASCII characters.
    RequestId,
    /// The receipt could not be written as JSON.
    Encoding,
    /// The receipt could not be signed: the library had no memory for it.
    Signing,
}

impl fmt::Display for ReceiptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("receipt: not base64url parts of the expected lengths"),
            Self::Unauthentic => f.write_str("receipt: the signature does not hold under the expected key"),
            Self::Json(error) => write!(f, "receipt: {error}"),
            Self::Version { found } => write!(f, "receipt: version {found}, this build reads version {VERSION}"),
            Self::RequestId => f.write_str("receipt: the request id is not 1 to 128 visible ASCII characters"),
            Self::Encoding => f.write_str("receipt: could not be written as JSON"),
            Self::Signing => f.write_str("receipt: could not be signed"),
        }
    }
}

impl std::error::Error for ReceiptError {}

impl From<JsonError> for ReceiptError {
    fn from(error: JsonError) -> Self {
        Self::Json(error)
    }
}

#[cfg(test)]
mod tests;
