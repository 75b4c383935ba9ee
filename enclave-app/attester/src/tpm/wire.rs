//! TPM 2.0 structures on the wire, big-endian: what a command is put together from, and a bounded reader of answers.
//!
//! Trusted Platform Module Library, Part 2 (structures), revision 1.59. An answer comes from outside, so every length is
//! checked before it is used, nothing is indexed, and what follows the end of a structure is an error.

use super::error::TpmError;

/// Reads an answer from its beginning. Every step says what it expects, which is what the error says.
pub(super) struct Reader<'a> {
    command: &'static str,
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(command: &'static str, bytes: &'a [u8]) -> Self {
        Self { command, left: bytes }
    }

    pub(super) fn wrong(&self, expected: &'static str) -> TpmError {
        TpmError::Malformed { command: self.command, expected }
    }

    pub(super) fn bytes(&mut self, length: usize, what: &'static str) -> Result<&'a [u8], TpmError> {
        let (bytes, left) = self.left.split_at_checked(length).ok_or_else(|| self.wrong(what))?;
        self.left = left;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], TpmError> {
        let (bytes, left) = self.left.split_first_chunk().ok_or_else(|| self.wrong(what))?;
        self.left = left;
        Ok(*bytes)
    }

    pub(super) fn u8(&mut self, what: &'static str) -> Result<u8, TpmError> {
        self.array::<1>(what).map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self, what: &'static str) -> Result<u16, TpmError> {
        self.array(what).map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, TpmError> {
        self.array(what).map(u32::from_be_bytes)
    }

    /// `TPM2B_…`: a length of 16 bits, and so many bytes.
    pub(super) fn sized(&mut self, what: &'static str) -> Result<&'a [u8], TpmError> {
        let length = self.u16(what)?;
        self.bytes(usize::from(length), what)
    }

    pub(super) fn end(self) -> Result<(), TpmError> {
        if self.left.is_empty() { Ok(()) } else { Err(self.wrong("no bytes after the last member")) }
    }
}

/// The parts of a command, one after the other.
#[derive(Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub(super) fn u16(self, value: u16) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// `TPM2B_…`. What is longer than its length can say is cut, and the TPM refuses what it is then given; no caller has
    /// anything so long.
    pub(super) fn sized(self, bytes: &[u8]) -> Self {
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        self.u16(length).bytes(bytes.get(..usize::from(length)).unwrap_or(bytes))
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }
}
