//! Protocol Buffers on the wire: the fields of one message, one after the other, each with its place in the file.
//!
//! Readers differ in what they make of a key of more than 32 bits and of a number of more than 64, so neither is read here.

use std::fmt;

/// A key of 32 bits takes no more.
const MAX_KEY_BYTES: usize = 5;

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// A number of variable length.
    Number(u64),
    /// Bytes with their length in front: bytes, text, a message, packed numbers.
    Bytes {
        /// What they are.
        bytes: &'a [u8],
        /// Where they begin.
        offset: usize,
    },
    /// Four or eight bytes.
    Fixed(&'a [u8]),
}

/// Why the bytes are no message, with the place of the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtobufError {
    /// A number that does not end, or is longer than 64 bits.
    Number {
        /// Where it ends.
        offset: usize,
    },
    /// A key of more than 32 bits, or written longer than such a key is.
    Key {
        /// Where the field begins.
        offset: usize,
    },
    /// A field number of zero.
    Zero {
        /// Where the field begins.
        offset: usize,
    },
    /// A group, or a wire type that does not exist.
    WireType {
        /// Where the field begins.
        offset: usize,
        /// The type.
        wire_type: u8,
    },
    /// A field that is longer than what is left.
    Cut {
        /// Where its content would begin.
        offset: usize,
        /// The length that it announces.
        announced: u64,
        /// What is left.
        left: usize,
    },
}

impl ProtobufError {
    /// The byte at which the defect was seen.
    pub fn offset(&self) -> usize {
        match *self {
            Self::Number { offset }
            | Self::Key { offset }
            | Self::Zero { offset }
            | Self::WireType { offset, .. }
            | Self::Cut { offset, .. } => offset,
        }
    }

    /// What was expected there.
    pub fn expected(&self) -> &'static str {
        match self {
            Self::Number { .. } => "a variable-length integer of at most 64 bits in 10 bytes",
            Self::Key { .. } => "a field key of at most 32 bits in 5 bytes",
            Self::Zero { .. } => "a field number from 1",
            Self::WireType { .. } => "a field of wire type 0, 1, 2 or 5",
            Self::Cut { .. } => "a field that ends inside its message",
        }
    }
}

impl fmt::Display for ProtobufError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number { .. } => f.write_str("it ends inside a number, or holds one of more than 64 bits"),
            Self::WireType { wire_type, .. } => write!(f, "it has a field of wire type {wire_type}"),
            Self::Cut { announced, left, .. } => write!(f, "a field announces {announced} bytes, {left} are left"),
            Self::Key { .. } | Self::Zero { .. } => write!(f, "expected {}", self.expected()),
        }?;
        write!(f, " (byte {})", self.offset())
    }
}

impl std::error::Error for ProtobufError {}

/// The fields of one message, in the order in which they stand.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Fields<'a> {
    /// The fields of a whole file.
    pub fn of(message: &'a [u8]) -> Self {
        Self::at(message, 0)
    }

    /// The fields of a message that begins at this byte of the file.
    pub fn at(message: &'a [u8], offset: usize) -> Self {
        Self { rest: message, offset }
    }

    /// Number and value of the next field; `None` at the end of the message.
    ///
    /// # Errors
    /// [`ProtobufError`], after which what follows is not to be relied on.
    #[expect(
        clippy::should_implement_trait,
        reason = "an error ends the message, and must not be passed over by a `for`"
    )]
    pub fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, ProtobufError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let start = self.offset;
        let key = self.number()?;
        // Readers that keep the low 32 bits of a longer key would see another field.
        if key > u64::from(u32::MAX) || self.offset.saturating_sub(start) > MAX_KEY_BYTES {
            return Err(ProtobufError::Key { offset: start });
        }
        let value = match key & 7 {
            0 => Value::Number(self.number()?),
            1 => Value::Fixed(self.take(8)?),
            2 => {
                let length = self.number()?;
                let offset = self.offset;
                Value::Bytes { bytes: self.take(length)?, offset }
            }
            5 => Value::Fixed(self.take(4)?),
            other => {
                let wire_type = u8::try_from(other).unwrap_or(u8::MAX);
                return Err(ProtobufError::WireType { offset: start, wire_type });
            }
        };
        if key >> 3 == 0 {
            return Err(ProtobufError::Zero { offset: start });
        }
        Ok(Some((key >> 3, value)))
    }

    fn number(&mut self) -> Result<u64, ProtobufError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or(ProtobufError::Number { offset: self.offset })?;
            self.rest = rest;
            self.offset = self.offset.saturating_add(1);
            if shift == 63 && *byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(ProtobufError::Number { offset: self.offset })
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], ProtobufError> {
        let split = usize::try_from(length).ok().and_then(|length| self.rest.split_at_checked(length));
        let (bytes, rest) =
            split.ok_or(ProtobufError::Cut { offset: self.offset, announced: length, left: self.rest.len() })?;
        self.rest = rest;
        self.offset = self.offset.saturating_add(bytes.len());
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_field_is_read_with_its_place() {
        let bytes =
            [&[0x08, 0xAC, 0x02, 0x12, 2, 7, 8, 0x1D, 1, 2, 3, 4, 0x21][..], &[9; 8], &[0x28], &[0xFF; 9], &[1]];
        let bytes = bytes.concat();
        let mut fields = Fields::at(&bytes, 100);
        for expected in [
            (1, Value::Number(300)),
            (2, Value::Bytes { bytes: &[7, 8], offset: 105 }),
            (3, Value::Fixed(&[1, 2, 3, 4])),
            (4, Value::Fixed(&[9; 8])),
            (5, Value::Number(u64::MAX)),
        ] {
            assert_eq!(fields.next(), Ok(Some(expected)));
        }
        assert_eq!((fields.next(), Fields::of(b"").next()), (Ok(None), Ok(None)));
    }

    #[test]
    fn lengths_and_numbers_are_held_against_the_bytes_that_are_there() {
        let cut = |offset, announced, left| ProtobufError::Cut { offset, announced, left };
        for (bytes, error) in [
            (&[0x0A, 0x80, 0x80, 0x80, 0x80, 4, 1][..], cut(6, 1 << 30, 1)),
            (&[0x0A, 1], cut(2, 1, 0)),
            (&[0x0D, 1, 2, 3], cut(1, 4, 3)),
            (&[0x0A], ProtobufError::Number { offset: 1 }),
            (&[0x08, 0xFF], ProtobufError::Number { offset: 2 }),
            (&[0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2], ProtobufError::Number { offset: 11 }),
            (&[0xFF; 11], ProtobufError::Number { offset: 10 }),
            (&[0x0B], ProtobufError::WireType { offset: 0, wire_type: 3 }),
            (&[0x0F], ProtobufError::WireType { offset: 0, wire_type: 7 }),
            (&[0, 0], ProtobufError::Zero { offset: 0 }),
            (&[0xF0, 0x80, 0x80, 0x80, 0x10, 1], ProtobufError::Key { offset: 0 }),
            (&[0xF0, 0x80, 0x80, 0x80, 0x80, 0, 1], ProtobufError::Key { offset: 0 }),
        ] {
            assert_eq!(Fields::of(bytes).next(), Err(error), "{bytes:02x?}");
            assert!(error.offset() <= bytes.len(), "{error}");
        }
        // The twin: the same number in five bytes.
        assert_eq!(Fields::of(&[0xF0, 0x80, 0x80, 0x80, 0, 1]).next(), Ok(Some((14, Value::Number(1)))));
    }
}
