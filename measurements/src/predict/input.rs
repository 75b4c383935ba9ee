//! The bytes of one input file, read by offset, and why there is no prediction.

use std::fmt;

/// Why there is no prediction: which input, where in it, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PredictError {
    input: Option<&'static str>,
    what: String,
}

impl PredictError {
    /// One that is about no input: a number, or who starts the guest.
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { input: None, what: what.into() }
    }

    /// One about the input of this name.
    pub(super) fn about(input: &'static str, what: impl fmt::Display) -> Self {
        Self { input: Some(input), what: format!("{input}: {what}") }
    }

    /// The name of the input that it is about, with which it begins: `firmware`, `the kernel`. None where it is about no input.
    pub const fn input(&self) -> Option<&'static str> {
        self.input
    }
}

impl fmt::Display for PredictError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for PredictError {}

/// The bytes of an input, by the name that errors call it.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    what: &'static str,
    bytes: &'a [u8],
}

impl<'a> Input<'a> {
    /// No input is longer than `most`; what it allocates is bounded by that.
    pub(super) fn new(what: &'static str, bytes: &'a [u8], most: usize) -> Result<Self, PredictError> {
        let input = Self { what, bytes };
        if bytes.len() > most {
            return Err(input.wrong(format_args!("{} bytes, where at most {most} are read", bytes.len())));
        }
        Ok(input)
    }

    pub(super) fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    pub(super) fn len(self) -> usize {
        self.bytes.len()
    }

    /// An error about this input.
    pub(super) fn wrong(self, what: impl fmt::Display) -> PredictError {
        PredictError::about(self.what, what)
    }

    /// `length` bytes at `offset`.
    pub(super) fn slice(self, offset: usize, length: usize, field: &str) -> Result<&'a [u8], PredictError> {
        let end = offset.checked_add(length);
        end.and_then(|end| self.bytes.get(offset..end)).ok_or_else(|| {
            let held = self.bytes.len();
            self.wrong(format_args!("{field} needs {length} bytes at offset {offset:#x}, and the file has {held:#x}"))
        })
    }

    pub(super) fn array<const N: usize>(self, offset: usize, field: &str) -> Result<[u8; N], PredictError> {
        let slice = self.slice(offset, N, field)?;
        slice.try_into().map_err(|_| self.wrong(format_args!("{field} is not of {N} bytes")))
    }

    /// Two bytes, little-endian.
    pub(super) fn u16(self, offset: usize, field: &str) -> Result<u16, PredictError> {
        self.array(offset, field).map(u16::from_le_bytes)
    }

    /// Four bytes, little-endian.
    pub(super) fn u32(self, offset: usize, field: &str) -> Result<u32, PredictError> {
        self.array(offset, field).map(u32::from_le_bytes)
    }

    /// Eight bytes, little-endian.
    pub(super) fn u64(self, offset: usize, field: &str) -> Result<u64, PredictError> {
        self.array(offset, field).map(u64::from_le_bytes)
    }

    /// Four bytes, little-endian, as an offset or a length of this file.
    pub(super) fn size(self, offset: usize, field: &str) -> Result<usize, PredictError> {
        let number = self.u32(offset, field)?;
        usize::try_from(number).map_err(|_| self.wrong(format_args!("{field} is {number}")))
    }
}
