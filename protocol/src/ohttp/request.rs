//! Encapsulated requests, RFC 9458 section 4.3.
//!
//! ```text
//! key id (1) || KEM id (2) || KDF id (2) || AEAD id (2) || enc (Nenc) || ciphertext
//! info = "message/bhttp request" || 0x00 || the seven bytes of the header
//! ```

use super::config::{KeyConfig, KeyPair};
use super::exchange;
use super::response::{ClientContext, RESPONSE_LABEL, ServerContext};
use super::suite::{Aead, HKDF_SHA256, Kem};
use crate::aws_lc::{TAG_BYTES, sha256};
use crate::fixed::hex_bytes;
use std::fmt;

const REQUEST_LABEL: &[u8] = b"message/bhttp request";
const HEADER_BYTES: usize = 7;

/// Seals a Binary HTTP message to `config`, with the AEAD that the server prefers: the encapsulated request, and what opens its answer.
pub fn seal(config: &KeyConfig, message: &[u8]) -> Result<(Vec<u8>, ClientContext), SealFailed> {
    let aead = config.aeads().first().ok_or(SealFailed)?;
    seal_with(config, *aead, message)
}

/// [`seal`] with an AEAD of one's own choice, which has to stand in `config`.
pub fn seal_with(config: &KeyConfig, aead: Aead, message: &[u8]) -> Result<(Vec<u8>, ClientContext), SealFailed> {
    if !config.aeads().contains(&aead) {
        return Err(SealFailed);
    }
    let header = encode_header(config.key_id(), config.kem(), aead);
    let suite = (config.kem(), aead);
    let sealed = exchange::seal(suite, config.public_key(), (&header, &info(&header)), message, RESPONSE_LABEL);
    let (request, secret) = sealed.map_err(|_| SealFailed)?;
    Ok((request, ClientContext::new(secret)))
}

fn encode_header(key_id: u8, kem: Kem, aead: Aead) -> [u8; HEADER_BYTES] {
    let [kem_high, kem_low] = kem.id().to_be_bytes();
    let [kdf_high, kdf_low] = HKDF_SHA256.to_be_bytes();
    let [aead_high, aead_low] = aead.id().to_be_bytes();
    [key_id, kem_high, kem_low, kdf_high, kdf_low, aead_high, aead_low]
}

fn info(header: &[u8; HEADER_BYTES]) -> Vec<u8> {
    let mut info = REQUEST_LABEL.to_vec();
    info.push(0);
    info.extend_from_slice(header);
    info
}

hex_bytes! {
    /// Name of one sealing: `SHA-256(key id || enc)`. `enc` is fresh in every sealing, so a second request with the same name is a replay,
    /// whatever its ciphertext.
    pub struct ReplayKey(32);
}

/// An encapsulated request whose outer parts have been read and whose inside has not been opened.
#[derive(Debug, Clone, Copy)]
pub struct EncapsulatedRequest<'a> {
    header: [u8; HEADER_BYTES],
    key_id: u8,
    kem: Kem,
    aead: Aead,
    enc: &'a [u8],
    ciphertext: &'a [u8],
}

impl<'a> EncapsulatedRequest<'a> {
    /// Reads the outer parts. Nothing is authenticated yet.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, OpenError> {
        let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or(OpenError::Malformed)?;
        let [key_id, kem_high, kem_low, kdf_high, kdf_low, aead_high, aead_low] = *header;
        let kem_id = u16::from_be_bytes([kem_high, kem_low]);
        let kdf_id = u16::from_be_bytes([kdf_high, kdf_low]);
        let aead_id = u16::from_be_bytes([aead_high, aead_low]);
        let unsupported = OpenError::UnsupportedSuite { kem_id, kdf_id, aead_id };
        let (Some(kem), HKDF_SHA256, Some(aead)) = (Kem::from_id(kem_id), kdf_id, Aead::from_id(aead_id)) else {
            return Err(unsupported);
        };
        let (enc, ciphertext) = rest.split_at_checked(kem.enc_bytes()).ok_or(OpenError::Malformed)?;
        if ciphertext.len() < TAG_BYTES {
            return Err(OpenError::Malformed);
        }
        Ok(Self { header: *header, key_id, kem, aead, enc, ciphertext })
    }

    /// The key that the request asks for.
    #[must_use]
    pub const fn key_id(&self) -> u8 {
        self.key_id
    }

    /// The encapsulated key.
    #[must_use]
    pub const fn enc(&self) -> &'a [u8] {
        self.enc
    }

    /// The sealed bytes, with their tag.
    #[must_use]
    pub const fn ciphertext(&self) -> &'a [u8] {
        self.ciphertext
    }

    /// What to reserve before opening. Release it if opening fails, keep it until the key is zeroised if it succeeds.
    #[must_use]
    pub fn replay_key(&self) -> ReplayKey {
        ReplayKey(sha256(&[&[self.key_id], self.enc]))
    }

    /// Opens the request: its plaintext, and the context in which every answer to it is sealed, a refusal too.
    pub fn open(&self, key_pair: &KeyPair) -> Result<(Vec<u8>, ServerContext), OpenError> {
        let mut plaintext = Vec::with_capacity(HEADER_BYTES + self.enc.len() + self.ciphertext.len());
        plaintext.extend_from_slice(&self.header);
        plaintext.extend_from_slice(self.enc);
        plaintext.extend_from_slice(self.ciphertext);
        let context = open_in_place(&mut plaintext, key_pair)?;
        Ok((plaintext, context))
    }

    fn check_suite(&self, config: &KeyConfig) -> Result<(), OpenError> {
        if config.key_id() != self.key_id {
            return Err(OpenError::UnknownKeyId { key_id: self.key_id });
        }
        if config.kem() != self.kem || !config.aeads().contains(&self.aead) {
            return Err(OpenError::UnsupportedSuite {
                kem_id: self.kem.id(),
                kdf_id: HKDF_SHA256,
                aead_id: self.aead.id(),
            });
        }
        Ok(())
    }
}

/// Opens an encapsulated request in the buffer that holds it, so that there is one copy of it and one place to wipe:
/// afterwards the buffer holds the plaintext, or, after an error, nothing that means anything.
pub fn open_in_place(buffer: &mut Vec<u8>, key_pair: &KeyPair) -> Result<ServerContext, OpenError> {
    let request = EncapsulatedRequest::parse(buffer)?;
    request.check_suite(key_pair.config())?;
    let (aead, info, enc) = (request.aead, info(&request.header), request.enc.to_vec());
    let start = HEADER_BYTES + enc.len();
    let end = buffer.len().checked_sub(TAG_BYTES).ok_or(OpenError::Malformed)?;
    let (sealed, tag) = buffer.split_at_mut_checked(end).ok_or(OpenError::Malformed)?;
    let text = sealed.get_mut(start..).ok_or(OpenError::Malformed)?;
    let secret = exchange::open_in_place(aead, key_pair.secret(), &enc, &info, (text, tag), RESPONSE_LABEL)
        .map_err(|_| OpenError::Unauthentic)?;
    buffer.truncate(end);
    buffer.drain(..start);
    Ok(ServerContext::new(secret))
}

/// Why an encapsulated request was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// No key of that id: the client has to fetch the keys again (`ohttp-key`).
    UnknownKeyId {
        /// The id that the request asks for.
        key_id: u8,
    },
    /// The key does not go with those algorithms: the client has to fetch the keys again (`ohttp-key`).
    UnsupportedSuite {
        /// KEM that the request asks for.
        kem_id: u16,
        /// KDF that the request asks for.
        kdf_id: u16,
        /// AEAD that the request asks for.
        aead_id: u16,
    },
    /// Too short to be an encapsulated request.
    Malformed,
    /// It did not open: sealed to another key, altered or damaged. Which of them cannot be told.
    Unauthentic,
}

impl OpenError {
    /// Whether RFC 9458's `ohttp-key` problem is the answer: fetching the keys again helps.
    #[must_use]
    pub const fn is_key_problem(self) -> bool {
        match self {
            Self::UnknownKeyId { .. } | Self::UnsupportedSuite { .. } => true,
            Self::Malformed | Self::Unauthentic => false,
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKeyId { key_id } => {
                write!(f, "no key has the id {key_id}: fetch the key configurations again")
            }
            Self::UnsupportedSuite { kem_id, kdf_id, aead_id } => write!(
                f,
                "KEM 0x{kem_id:04x}, KDF 0x{kdf_id:04x}, AEAD 0x{aead_id:04x} is not offered: fetch the key configurations again"
            ),
            Self::Malformed => f.write_str("encapsulated request ends early"),
            Self::Unauthentic => f.write_str("encapsulated request does not open"),
        }
    }
}

impl std::error::Error for OpenError {}

/// A request could not be sealed: the public key is not one, the AEAD is not offered, or there are no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealFailed;

impl fmt::Display for SealFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request could not be sealed to this key configuration")
    }
}

impl std::error::Error for SealFailed {}
