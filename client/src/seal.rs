//! One request, sealed to one key, and the one answer that opens it.
//!
//! A request is encoded as Binary HTTP, padded, and encapsulated (RFC 9458); only [`Sealed`] opens its answer, and only once.
//! This layer knows nothing of attestation: any key configuration will do, so that it can be held against other
//! implementations. Inside this crate the key comes from a verified [`crate::Instance`] and from nowhere else.

use std::fmt;

use bytes::Bytes;
use teegate_protocol::bhttp::{BhttpError, Request, Response};
use teegate_protocol::ohttp::request::SealFailed;
use teegate_protocol::ohttp::response::OpenResponseError;
use teegate_protocol::ohttp::{self, ClientContext, KeyConfig};
use zeroize::Zeroizing;

/// What an encapsulated request has on top of its plaintext: header, encapsulated key, tag. Generous: the exact number
/// depends on the KEM.
pub(crate) const OVERHEAD_BYTES: usize = 4 * 1024;

/// A sealed request, waiting for its answer. No `Debug` and no `Clone`: it holds the plaintext and the answer's key.
pub struct Sealed {
    bytes: Bytes,
    plaintext: Zeroizing<Vec<u8>>,
    context: ClientContext,
}

/// An opened answer.
pub struct Opened {
    /// The answer that was inside the seal.
    pub response: Response,
    /// The plaintext of the request, padding included: what an execution receipt is about.
    pub(crate) request: Zeroizing<Vec<u8>>,
}

/// Encodes, pads and seals `request` to `key`. `limit` bounds the sealed bytes.
pub fn seal(key: &KeyConfig, request: &Request, limit: usize) -> Result<Sealed, SealError> {
    let plaintext = Zeroizing::new(request.encode_padded().map_err(SealError::Encoding)?);
    let sealed_bytes = plaintext.len().saturating_add(OVERHEAD_BYTES);
    if sealed_bytes > limit {
        return Err(SealError::TooLarge { bytes: sealed_bytes, limit });
    }
    let (bytes, context) = ohttp::seal(key, &plaintext).map_err(SealError::Seal)?;
    Ok(Sealed { bytes: bytes.into(), plaintext, context })
}

impl Sealed {
    /// The encapsulated request, `message/ohttp-req`: everything that leaves the machine.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same, to keep.
    pub(crate) fn to_bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// Opens the answer to this request. `limit` bounds the answer with its padding.
    pub fn open(self, answer: &[u8], limit: usize) -> Result<Opened, OpenError> {
        let plaintext = Zeroizing::new(self.context.open(answer).map_err(OpenError::Seal)?);
        let response = Response::decode(&plaintext, limit).map_err(OpenError::Decoding)?;
        Ok(Opened { response, request: self.plaintext })
    }
}

/// Why a request was not sealed. Nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SealError {
    /// The request cannot be written as Binary HTTP.
    Encoding(BhttpError),
    /// It is larger than the instance opens, or than this client sends.
    TooLarge {
        /// Its size once sealed.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The key is not one that can be sealed to.
    Seal(SealFailed),
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encoding(e) => write!(f, "the request cannot be sealed: {e}"),
            Self::TooLarge { bytes, limit } => {
                write!(
                    f,
                    "the request has {bytes} bytes once padded and sealed, and at most {limit} may be sent; split it"
                )
            }
            Self::Seal(e) => write!(f, "the request cannot be sealed: {e}"),
        }
    }
}

impl std::error::Error for SealError {}

/// Why an answer was not opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// The holder of the key did not seal this answer, or not to this request, or it was altered on the way.
    Seal(OpenResponseError),
    /// It opened, and what was inside is no HTTP message.
    Decoding(BhttpError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seal(e) => write!(f, "the answer does not open: {e}"),
            Self::Decoding(e) => write!(f, "the answer opened, but what is inside is no HTTP message: {e}"),
        }
    }
}

impl std::error::Error for OpenError {}

#[cfg(test)]
mod tests {
    use super::*;
    use teegate_protocol::ohttp::{EncapsulatedRequest, KeyPair};

    const LIMIT: usize = 1 << 20;

    fn request() -> Request {
        let mut request = Request::new("POST", "enclave", "/v2/models/m/infer");
        request.content = b"private".to_vec();
        request
    }

    fn answer(key: &KeyPair, sealed: &Sealed) -> Vec<u8> {
        let (plaintext, context) = EncapsulatedRequest::parse(sealed.bytes()).unwrap().open(key).unwrap();
        assert_eq!(Request::decode(&plaintext, LIMIT).unwrap().content, b"private");
        let mut response = Response::new(200);
        response.content = b"answer".to_vec();
        context.seal(&response.encode_padded().unwrap()).unwrap()
    }

    #[test]
    fn a_request_travels_sealed_and_its_answer_opens() {
        let key = KeyPair::generate(3).unwrap();
        let sealed = seal(key.config(), &request(), LIMIT).unwrap();
        assert!(!sealed.bytes().windows(7).any(|w| w == b"private"));
        assert!(sealed.bytes().len() > 1024, "padded");
        let answer = answer(&key, &sealed);
        let opened = sealed.open(&answer, LIMIT).unwrap();
        assert_eq!(opened.response.content, b"answer");
        assert_eq!(Request::decode(&opened.request, LIMIT).unwrap(), request());
    }

    #[test]
    fn an_altered_answer_and_the_answer_to_another_request_do_not_open() {
        let key = KeyPair::generate(3).unwrap();
        let sealed = seal(key.config(), &request(), LIMIT).unwrap();
        let mut altered = answer(&key, &sealed);
        *altered.last_mut().unwrap() ^= 1;
        assert!(matches!(sealed.open(&altered, LIMIT), Err(OpenError::Seal(_))));
        let first = seal(key.config(), &request(), LIMIT).unwrap();
        let other = answer(&key, &seal(key.config(), &request(), LIMIT).unwrap());
        assert!(matches!(first.open(&other, LIMIT), Err(OpenError::Seal(_))));
    }

    #[test]
    fn a_request_over_the_limit_is_refused_before_sealing() {
        let key = KeyPair::generate(3).unwrap();
        let fits = 1024 + OVERHEAD_BYTES;
        assert!(seal(key.config(), &request(), fits).is_ok());
        let refused = seal(key.config(), &request(), fits - 1).err().unwrap();
        assert_eq!(refused, SealError::TooLarge { bytes: fits, limit: fits - 1 });
    }

    #[test]
    fn two_seals_of_one_request_share_nothing() {
        let key = KeyPair::generate(3).unwrap();
        let (a, b) = (seal(key.config(), &request(), LIMIT).unwrap(), seal(key.config(), &request(), LIMIT).unwrap());
        assert_ne!(a.bytes()[7..39], b.bytes()[7..39], "the encapsulated key is fresh");
    }
}
