//! The fields of a Protocol Buffers message, read as the library that loads the model reads them, or refused.

use super::error::ModelError;

/// A key of 32 bits takes no more.
const MAX_KEY_BYTES: usize = 5;

/// What a field holds.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Number(u64),
    Bytes { bytes: &'a [u8], offset: usize },
}

/// The fields of one message, in the order in which they stand.
#[derive(Clone)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Fields<'a> {
    /// The fields of a whole file.
    pub(super) fn of(message: &'a [u8]) -> Self {
        Self::at(message, 0)
    }

    /// The fields of a message that begins at this byte of the file.
    pub(super) fn at(message: &'a [u8], offset: usize) -> Self {
        Self { rest: message, offset }
    }

    pub(super) fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, ModelError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let start = self.offset;
        let key = self.varint()?;
        // Readers differ in what they make of a longer key: the library that loads the model keeps its low 32 bits, and
        // would see another field than this walk.
        if key > u64::from(u32::MAX) || self.offset - start > MAX_KEY_BYTES {
            return Err(ModelError::Malformed { offset: start, expected: "a field key of at most 32 bits in 5 bytes" });
        }
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8)?,
            2 => {
                let length = self.varint()?;
                self.take(length)?
            }
            5 => self.take(4)?,
            _ => return Err(ModelError::Malformed { offset: start, expected: "a field of wire type 0, 1, 2 or 5" }),
        };
        if key >> 3 == 0 {
            return Err(ModelError::Malformed { offset: start, expected: "a field number from 1" });
        }
        Ok(Some((key >> 3, value)))
    }

    fn varint(&mut self) -> Result<u64, ModelError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let malformed = ModelError::Malformed {
                offset: self.offset,
                expected: "a variable-length integer of at most 10 bytes",
            };
            let Some((byte, rest)) = self.rest.split_first() else { return Err(malformed) };
            self.rest = rest;
            self.offset += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(ModelError::Malformed { offset: self.offset, expected: "a variable-length integer of at most 10 bytes" })
    }

    fn take(&mut self, length: u64) -> Result<Value<'a>, ModelError> {
        let malformed = ModelError::Malformed { offset: self.offset, expected: "a field that ends inside its message" };
        let Ok(length) = usize::try_from(length) else { return Err(malformed) };
        let Some((bytes, rest)) = self.rest.split_at_checked(length) else { return Err(malformed) };
        let offset = self.offset;
        self.rest = rest;
        self.offset += length;
        Ok(Value::Bytes { bytes, offset })
    }
}
