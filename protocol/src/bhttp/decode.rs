//! The reader of Binary HTTP, RFC 9292 sections 3.1 to 3.8.
//!
//! A message may end after any whole section, and what is missing is empty (section 3.8). So each section asks first whether the input is at its
//! end; inside a section the end of the input is an error.

use super::error::BhttpError;
use super::fields::{Budget, Field, Fields};
use super::message::{
    INDETERMINATE_LENGTH_REQUEST, INDETERMINATE_LENGTH_RESPONSE, Informational, KNOWN_LENGTH_REQUEST,
    KNOWN_LENGTH_RESPONSE, Request, Response,
};
use crate::limits;

impl Request {
    /// Reads a request. `max_bytes` bounds the message with its padding, and with it the content.
    pub fn decode(bytes: &[u8], max_bytes: usize) -> Result<Self, BhttpError> {
        request(bytes, max_bytes)
    }

    /// Reads a request as [`Request::decode`] does, and leaves its content where it lies: [`ContentPlace::gather`] makes a
    /// buffer of the content out of the buffer of the message.
    pub fn decode_head(bytes: &[u8], max_bytes: usize) -> Result<(Self, ContentPlace), BhttpError> {
        request_head(bytes, max_bytes)
    }
}

impl Response {
    /// Reads a response. `max_bytes` bounds the message with its padding, and with it the content.
    pub fn decode(bytes: &[u8], max_bytes: usize) -> Result<Self, BhttpError> {
        response(bytes, max_bytes)
    }
}

fn request(bytes: &[u8], max_bytes: usize) -> Result<Request, BhttpError> {
    let (mut request, place) = request_head(bytes, max_bytes)?;
    place.chunks(bytes).for_each(|chunk| request.content.extend_from_slice(chunk));
    Ok(request)
}

/// Everything but the content, and where that lies.
fn request_head(bytes: &[u8], max_bytes: usize) -> Result<(Request, ContentPlace), BhttpError> {
    let (mut reader, framing) = Reader::start(bytes, max_bytes, KNOWN_LENGTH_REQUEST, INDETERMINATE_LENGTH_REQUEST)?;
    let mut request = Request {
        method: reader.control_data("method")?,
        scheme: reader.control_data("scheme")?,
        authority: reader.control_data("authority")?,
        path: reader.control_data("path")?,
        fields: reader.fields(framing, "header section")?,
        ..Request::default()
    };
    let place = ContentPlace { framing, start: bytes.len() - reader.rest.len() };
    reader.skip_content(framing)?;
    request.trailers = reader.fields(framing, "trailer section")?;
    reader.finish()?;
    request.check_control_data()?;
    Ok((request, place))
}

/// Where in a message its content lies, in one piece or in many.
pub struct ContentPlace {
    framing: Framing,
    start: usize,
}

impl ContentPlace {
    /// The content of `message`, which was read to its end.
    fn chunks<'a>(&self, message: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut reader = Reader { rest: message.get(self.start..).unwrap_or_default(), budget: Budget::new() };
        let mut is_over = reader.rest.is_empty();
        let is_one = self.framing == Framing::KnownLength;
        std::iter::from_fn(move || {
            if is_over {
                return None;
            }
            let chunk = reader.prefixed("content").ok().filter(|chunk| !chunk.is_empty());
            is_over = is_one || chunk.is_none();
            chunk
        })
    }

    /// Moves the content to the front of the message that it was found in, and cuts off the rest: what was one buffer of a
    /// message is one of its content, without a copy beside it.
    pub fn gather(self, message: &mut Vec<u8>) {
        let mut length = 0;
        let mut place = self.start;
        loop {
            // The length of the piece and the place where it begins; nothing of it has been overwritten yet, because the
            // front never overtakes it.
            let mut reader = Reader { rest: message.get(place..).unwrap_or_default(), budget: Budget::new() };
            let before = reader.rest.len();
            let Some(chunk) = reader.prefixed("content").ok().filter(|chunk| !chunk.is_empty()) else { break };
            let end = place + (before - reader.rest.len());
            let chunk = end - chunk.len()..end;
            let taken = chunk.len();
            message.copy_within(chunk, length);
            length += taken;
            place = end;
            if self.framing == Framing::KnownLength {
                break;
            }
        }
        message.truncate(length);
    }
}

fn response(bytes: &[u8], max_bytes: usize) -> Result<Response, BhttpError> {
    let (mut reader, framing) = Reader::start(bytes, max_bytes, KNOWN_LENGTH_RESPONSE, INDETERMINATE_LENGTH_RESPONSE)?;
    let mut informational = Vec::new();
    let status = loop {
        let found = reader.varint("status")?;
        let status = u16::try_from(found).map_err(|_| BhttpError::Status { found })?;
        match status {
            100..=199 if informational.len() == limits::BHTTP_INFORMATIONAL => {
                return Err(BhttpError::TooManyInformational);
            }
            100..=199 => {
                let fields = reader.fields(framing, "header section of an informational response")?;
                informational.push(Informational { status, fields });
            }
            200..=599 => break status,
            _ => return Err(BhttpError::Status { found }),
        }
    };
    let response = Response {
        informational,
        status,
        fields: reader.fields(framing, "header section")?,
        content: reader.content(framing)?,
        trailers: reader.fields(framing, "trailer section")?,
    };
    reader.finish()?;
    Ok(response)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    KnownLength,
    IndeterminateLength,
}

struct Reader<'a> {
    rest: &'a [u8],
    budget: Budget,
}

impl<'a> Reader<'a> {
    fn start(bytes: &'a [u8], max_bytes: usize, known: u8, indeterminate: u8) -> Result<(Self, Framing), BhttpError> {
        if bytes.len() > max_bytes {
            return Err(BhttpError::TooLarge { actual: bytes.len(), limit: max_bytes });
        }
        let mut reader = Self { rest: bytes, budget: Budget::new() };
        let found = reader.varint("framing indicator")?;
        let framing = if found == u64::from(known) {
            Framing::KnownLength
        } else if found == u64::from(indeterminate) {
            Framing::IndeterminateLength
        } else {
            return Err(BhttpError::Framing { found });
        };
        Ok((reader, framing))
    }

    fn control_data(&mut self, part: &'static str) -> Result<String, BhttpError> {
        let bytes = self.prefixed(part)?;
        if bytes.len() > limits::BHTTP_CONTROL_BYTES {
            return Err(BhttpError::ControlDataTooLarge { actual: bytes.len() });
        }
        let text = std::str::from_utf8(bytes).map_err(|_| BhttpError::ControlData { part })?;
        Ok(text.to_owned())
    }

    fn fields(&mut self, framing: Framing, part: &'static str) -> Result<Fields, BhttpError> {
        let mut fields = Fields::default();
        if self.rest.is_empty() {
            return Ok(fields);
        }
        match framing {
            Framing::KnownLength => {
                let mut section = Self { rest: self.prefixed(part)?, budget: Budget::new() };
                while !section.rest.is_empty() {
                    let name = section.prefixed(part)?;
                    self.add_field(&mut fields, name, section.prefixed(part)?)?;
                }
            }
            Framing::IndeterminateLength => loop {
                let name = self.prefixed(part)?;
                if name.is_empty() {
                    break;
                }
                let value = self.prefixed(part)?;
                self.add_field(&mut fields, name, value)?;
            },
        }
        Ok(fields)
    }

    fn add_field(&mut self, fields: &mut Fields, name: &[u8], value: &[u8]) -> Result<(), BhttpError> {
        // The budget is asked before the field is copied.
        if value.len() > limits::BHTTP_FIELD_BYTES || name.len() > limits::BHTTP_FIELD_BYTES {
            return Err(BhttpError::FieldsTooLarge);
        }
        let field = Field::new(name, value)?;
        self.budget.spend(&field)?;
        fields.push_field(field);
        Ok(())
    }

    fn content(&mut self, framing: Framing) -> Result<Vec<u8>, BhttpError> {
        if self.rest.is_empty() {
            return Ok(Vec::new());
        }
        match framing {
            Framing::KnownLength => Ok(self.prefixed("content")?.to_vec()),
            Framing::IndeterminateLength => {
                let mut content = Vec::new();
                loop {
                    let chunk = self.prefixed("content")?;
                    if chunk.is_empty() {
                        return Ok(content);
                    }
                    content.extend_from_slice(chunk);
                }
            }
        }
    }

    /// Passes over the content, which [`ContentPlace`] then finds again.
    fn skip_content(&mut self, framing: Framing) -> Result<(), BhttpError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        match framing {
            Framing::KnownLength => self.prefixed("content").map(drop),
            Framing::IndeterminateLength => {
                while !self.prefixed("content")?.is_empty() {}
                Ok(())
            }
        }
    }

    /// What is left is padding.
    fn finish(&self) -> Result<(), BhttpError> {
        if self.rest.iter().all(|byte| *byte == 0) { Ok(()) } else { Err(BhttpError::Padding) }
    }

    fn prefixed(&mut self, part: &'static str) -> Result<&'a [u8], BhttpError> {
        let length = self.varint(part)?;
        // A length that does not fit the platform is longer than the input.
        let length = usize::try_from(length).map_err(|_| BhttpError::Truncated { part })?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(BhttpError::Truncated { part })?;
        self.rest = rest;
        Ok(bytes)
    }

    /// A variable-length integer, RFC 9000 section 16; RFC 9292 does not ask for the shortest form.
    fn varint(&mut self, part: &'static str) -> Result<u64, BhttpError> {
        let (first, rest) = self.rest.split_first().ok_or(BhttpError::Truncated { part })?;
        let following = match first >> 6 {
            0 => 0,
            1 => 1,
            2 => 3,
            _ => 7,
        };
        let (tail, rest) = rest.split_at_checked(following).ok_or(BhttpError::Truncated { part })?;
        self.rest = rest;
        Ok(tail.iter().fold(u64::from(first & 0x3f), |value, byte| (value << 8) | u64::from(*byte)))
    }
}
