//! Encapsulated responses, RFC 9458 section 4.4: `response nonce (max(Nn, Nk)) || ciphertext`.
//!
//! Either context works once: it is consumed by the answer that it seals or opens.

use super::exchange::ResponseSecret;
use crate::NoRandomness;
use crate::aws_lc::TAG_BYTES;
use std::fmt;

pub(super) const RESPONSE_LABEL: &[u8] = b"message/bhttp response";

/// What seals the answer to one request. It comes only from a request that opened.
pub struct ServerContext(ResponseSecret);

impl ServerContext {
    pub(super) const fn new(secret: ResponseSecret) -> Self {
        Self(secret)
    }

    /// Seals the answer.
    pub fn seal(self, message: &[u8]) -> Result<Vec<u8>, SealResponseError> {
        let mut nonce = vec![0; self.0.nonce_bytes()];
        getrandom::fill(&mut nonce).map_err(|_| SealResponseError::NoRandomness(NoRandomness))?;
        self.0.seal(&nonce, message).map_err(|_| SealResponseError::Failed)
    }
}

/// What opens the answer to one request. It comes only from sealing that request.
pub struct ClientContext(ResponseSecret);

impl ClientContext {
    pub(super) const fn new(secret: ResponseSecret) -> Self {
        Self(secret)
    }

    /// Opens the answer.
    pub fn open(self, response: &[u8]) -> Result<Vec<u8>, OpenResponseError> {
        let (nonce, ciphertext) =
            response.split_at_checked(self.0.nonce_bytes()).ok_or(OpenResponseError::Malformed)?;
        if ciphertext.len() < TAG_BYTES {
            return Err(OpenResponseError::Malformed);
        }
        self.0.open(nonce, ciphertext).map_err(|_| OpenResponseError::Unauthentic)
    }
}

/// Why an answer was not sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SealResponseError {
    /// No response nonce could be made.
    NoRandomness(NoRandomness),
    /// The AEAD refused, which happens only to a message of many gigabytes.
    Failed,
}

impl fmt::Display for SealResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRandomness(error) => write!(f, "response not sealed: {error}"),
            Self::Failed => f.write_str("response not sealed: the message is longer than the AEAD takes"),
        }
    }
}

impl std::error::Error for SealResponseError {}

/// Why an answer was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenResponseError {
    /// Too short to be an encapsulated response.
    Malformed,
    /// It did not open: not an answer to this request, altered or damaged.
    Unauthentic,
}

impl fmt::Display for OpenResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("encapsulated response ends early"),
            Self::Unauthentic => f.write_str("encapsulated response does not open"),
        }
    }
}

impl std::error::Error for OpenResponseError {}
