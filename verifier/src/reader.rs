//! A bounded cursor over hostile bytes: every read is checked, nothing is copied, nothing is indexed.

/// Fewer bytes are left than a field needs, or bytes are left where none may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfBounds {
    /// Offset of the field from the start of the input.
    pub(crate) offset: usize,
    /// Bytes that the field needs; 0 where the input should have ended.
    pub(crate) wanted: usize,
    /// Bytes that are left.
    pub(crate) left: usize,
}

/// Reads fields one after the other.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self { rest: input, offset: 0 }
    }

    /// The next `length` bytes.
    pub(crate) fn bytes(&mut self, length: usize) -> Result<&'a [u8], OutOfBounds> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(OutOfBounds {
            offset: self.offset,
            wanted: length,
            left: self.rest.len(),
        })?;
        self.rest = rest;
        self.offset = self.offset.saturating_add(length);
        Ok(taken)
    }

    /// The next `N` bytes, as an array.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], OutOfBounds> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(OutOfBounds {
            offset: self.offset,
            wanted: N,
            left: self.rest.len(),
        })?;
        self.rest = rest;
        self.offset = self.offset.saturating_add(N);
        Ok(taken)
    }

    /// One byte.
    pub(crate) fn u8(&mut self) -> Result<u8, OutOfBounds> {
        self.array::<1>().map(|[byte]| *byte)
    }

    /// Two bytes, little-endian.
    pub(crate) fn u16_le(&mut self) -> Result<u16, OutOfBounds> {
        self.array().map(|bytes| u16::from_le_bytes(*bytes))
    }

    /// Four bytes, little-endian.
    pub(crate) fn u32_le(&mut self) -> Result<u32, OutOfBounds> {
        self.array().map(|bytes| u32::from_le_bytes(*bytes))
    }

    /// Eight bytes, little-endian.
    pub(crate) fn u64_le(&mut self) -> Result<u64, OutOfBounds> {
        self.array().map(|bytes| u64::from_le_bytes(*bytes))
    }

    /// What has not been read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Insists that everything was read.
    pub(crate) fn end(&self) -> Result<(), OutOfBounds> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(OutOfBounds { offset: self.offset, wanted: 0, left: self.rest.len() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_up_to_the_end_and_no_further() {
        let mut reader = Reader::new(&[1, 2, 0, 3, 0, 0, 0]);
        assert_eq!(reader.u8(), Ok(1));
        assert_eq!(reader.u16_le(), Ok(2));
        assert_eq!(reader.end(), Err(OutOfBounds { offset: 3, wanted: 0, left: 4 }));
        assert_eq!(reader.u64_le(), Err(OutOfBounds { offset: 3, wanted: 8, left: 4 }));
        assert_eq!(reader.u32_le(), Ok(3));
        assert_eq!(reader.end(), Ok(()));
        assert_eq!(reader.bytes(usize::MAX), Err(OutOfBounds { offset: 7, wanted: usize::MAX, left: 0 }));
    }
}
