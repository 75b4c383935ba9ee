//! Messages, how they are written, and why bytes are none.

use super::error::BhttpError;
use super::fields::{Budget, Fields, is_token};
use crate::limits;
use crate::padding;
use std::fmt;
use zeroize::Zeroize;

/// A request: control data, header section, content, trailer section.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// Method, as in `:method` of HTTP/2.
    pub method: String,
    /// Scheme, as in `:scheme`.
    pub scheme: String,
    /// Authority, as in `:authority`; empty if there is none.
    pub authority: String,
    /// Path and query, as in `:path`.
    pub path: String,
    /// Header section.
    pub fields: Fields,
    /// Content.
    pub content: Vec<u8>,
    /// Trailer section.
    pub trailers: Fields,
}

impl Request {
    /// A request for `path` of `authority` over `https`, with no fields and no content.
    #[must_use]
    pub fn new(method: &str, authority: &str, path: &str) -> Self {
        Self {
            method: method.to_owned(),
            scheme: "https".to_owned(),
            authority: authority.to_owned(),
            path: path.to_owned(),
            ..Self::default()
        }
    }

    /// Writes the request, known-length.
    pub fn encode(&self) -> Result<Vec<u8>, BhttpError> {
        self.check_control_data()?;
        check_fields([&self.fields, &self.trailers])?;
        let mut head = vec![KNOWN_LENGTH_REQUEST];
        for part in [&self.method, &self.scheme, &self.authority, &self.path] {
            write_prefixed(&mut head, part.as_bytes());
        }
        write_fields(&mut head, &self.fields);
        Ok(assemble(head, &self.content, &self.trailers))
    }

    /// Writes the request and pads it, ready to be sealed.
    pub fn encode_padded(&self) -> Result<Vec<u8>, BhttpError> {
        let mut bytes = self.encode()?;
        padding::pad(&mut bytes);
        Ok(bytes)
    }

    pub(super) fn check_control_data(&self) -> Result<(), BhttpError> {
        let Self { method, scheme, authority, path, .. } = self;
        let length = method.len() + scheme.len() + authority.len() + path.len();
        if length > limits::BHTTP_CONTROL_BYTES {
            return Err(BhttpError::ControlDataTooLarge { actual: length });
        }
        if !is_token(method.as_bytes()) {
            return Err(BhttpError::ControlData { part: "method" });
        }
        let scheme_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        if scheme.is_empty() || !scheme.bytes().all(scheme_byte) {
            return Err(BhttpError::ControlData { part: "scheme" });
        }
        if !authority.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(BhttpError::ControlData { part: "authority" });
        }
        if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(BhttpError::ControlData { part: "path" });
        }
        Ok(())
    }
}

/// Wipes all of it, fields included.
impl Zeroize for Request {
    fn zeroize(&mut self) {
        let Self { method, scheme, authority, path, fields, content, trailers } = self;
        [method, scheme, authority, path].into_iter().for_each(Zeroize::zeroize);
        fields.zeroize();
        content.zeroize();
        trailers.zeroize();
    }
}

/// A response: informational responses, status, header section, content, trailer section.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// Informational responses that came before; read and never written by us.
    pub informational: Vec<Informational>,
    /// Final status, 200 to 599.
    pub status: u16,
    /// Header section.
    pub fields: Fields,
    /// Content.
    pub content: Vec<u8>,
    /// Trailer section.
    pub trailers: Fields,
}

/// An informational response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Informational {
    /// Status, 100 to 199.
    pub status: u16,
    /// Header section.
    pub fields: Fields,
}

impl Response {
    /// A response with no fields and no content.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self {
            informational: Vec::new(),
            status,
            fields: Fields::default(),
            content: Vec::new(),
            trailers: Fields::default(),
        }
    }

    /// Writes the response, known-length.
    pub fn encode(&self) -> Result<Vec<u8>, BhttpError> {
        let informational = self.informational.iter().map(|response| &response.fields);
        check_fields(informational.chain([&self.fields, &self.trailers]))?;
        if self.informational.len() > limits::BHTTP_INFORMATIONAL {
            return Err(BhttpError::TooManyInformational);
        }
        let mut bytes = vec![KNOWN_LENGTH_RESPONSE];
        for Informational { status, fields } in &self.informational {
            if !(100..=199).contains(status) {
                return Err(BhttpError::Status { found: (*status).into() });
            }
            write_varint(&mut bytes, (*status).into());
            write_fields(&mut bytes, fields);
        }
        if !(200..=599).contains(&self.status) {
            return Err(BhttpError::Status { found: self.status.into() });
        }
        write_varint(&mut bytes, self.status.into());
        write_fields(&mut bytes, &self.fields);
        Ok(assemble(bytes, &self.content, &self.trailers))
    }

    /// Writes the response and pads it, ready to be sealed.
    pub fn encode_padded(&self) -> Result<Vec<u8>, BhttpError> {
        let mut bytes = self.encode()?;
        padding::pad(&mut bytes);
        Ok(bytes)
    }
}

/// Lengths: what is sealed is not repeated, not even by accident in a log.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, scheme, authority, path, fields, content, trailers } = self;
        let control =
            method.len().saturating_add(scheme.len()).saturating_add(authority.len()).saturating_add(path.len());
        f.debug_struct("Request")
            .field("control_bytes", &control)
            .field("fields", fields)
            .field("content_bytes", &content.len())
            .field("trailers", trailers)
            .finish()
    }
}

/// The status, and lengths: what is sealed is not repeated, not even by accident in a log.
impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { informational, status, fields, content, trailers } = self;
        f.debug_struct("Response")
            .field("informational", informational)
            .field("status", status)
            .field("fields", fields)
            .field("content_bytes", &content.len())
            .field("trailers", trailers)
            .finish()
    }
}

/// Framing indicators, RFC 9292 section 3.3.
pub(super) const KNOWN_LENGTH_REQUEST: u8 = 0;
pub(super) const KNOWN_LENGTH_RESPONSE: u8 = 1;
pub(super) const INDETERMINATE_LENGTH_REQUEST: u8 = 2;
pub(super) const INDETERMINATE_LENGTH_RESPONSE: u8 = 3;

/// The bounds that the reader has hold for the writer too.
fn check_fields<'a>(sections: impl IntoIterator<Item = &'a Fields>) -> Result<(), BhttpError> {
    let mut budget = Budget::new();
    sections.into_iter().flat_map(Fields::iter).try_for_each(|field| budget.spend(field))
}

/// The whole message in one allocation, which has room for its padding as well: a buffer that grows leaves what it held
/// behind, wherever it was.
pub(super) fn assemble(mut head: Vec<u8>, content: &[u8], trailers: &Fields) -> Vec<u8> {
    let mut tail = Vec::new();
    write_fields(&mut tail, trailers);
    let parts = [head.len(), varint_bytes(content.len()), content.len(), tail.len()];
    let length = parts.into_iter().fold(0, usize::saturating_add);
    let mut bytes = Vec::with_capacity(padding::padded_len(length));
    bytes.extend_from_slice(&head);
    write_prefixed(&mut bytes, content);
    bytes.extend_from_slice(&tail);
    head.zeroize();
    tail.zeroize();
    bytes
}

pub(super) fn write_fields(bytes: &mut Vec<u8>, fields: &Fields) {
    let mut section = Vec::new();
    for field in fields.iter() {
        write_prefixed(&mut section, field.name().as_bytes());
        write_prefixed(&mut section, field.value());
    }
    write_prefixed(bytes, &section);
}

pub(super) fn write_prefixed(bytes: &mut Vec<u8>, content: &[u8]) {
    // A `usize` is at most 64 bits on every platform that Rust has.
    write_varint(bytes, u64::try_from(content.len()).unwrap_or(u64::MAX));
    bytes.extend_from_slice(content);
}

/// Length of a variable-length integer.
pub(super) fn varint_bytes(value: usize) -> usize {
    match value {
        0..=0x3f => 1,
        0x40..=0x3fff => 2,
        0x4000..=0x3fff_ffff => 4,
        _ => 8,
    }
}

/// Writes a variable-length integer, RFC 9000 section 16, in the shortest form. No length in memory reaches 2^62.
pub(super) fn write_varint(bytes: &mut Vec<u8>, value: u64) {
    let encoded = value.to_be_bytes();
    let (length, mark) = match value {
        0..=0x3f => (1, 0x00),
        0x40..=0x3fff => (2, 0x40),
        0x4000..=0x3fff_ffff => (4, 0x80),
        _ => (8, 0xc0),
    };
    let start = bytes.len();
    bytes.extend(encoded.iter().skip(8 - length));
    if let Some(first) = bytes.get_mut(start) {
        *first |= mark;
    }
}
