//! The elements of a `BYTES` tensor: ONNX's strings, which are text.
//!
//! They stand in one block, as the binary tensor extension has them: before each its length, a little-endian `u32`. So they
//! are as large in memory as they are on the wire, are paid for by one number and wiped in one piece. Every length is
//! checked when the block is taken, and never again.

use teegate_protocol::oip::BYTES_PREFIX;
use zeroize::{Zeroize, Zeroizing};

/// Strings, each of them UTF-8; wiped when they are told to.
#[derive(Clone, PartialEq)]
pub struct Strings {
    block: Vec<u8>,
    count: usize,
}

/// Their number: what they say is nobody's but the client's.
impl std::fmt::Debug for Strings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Strings({})", self.count)
    }
}

/// Why a block is none of so many strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StringsError {
    /// It ends inside an element, or before it.
    Ends {
        /// Which element, from 0.
        element: usize,
    },
    /// Bytes follow the last element.
    Rest {
        /// How many.
        bytes: usize,
        /// How many elements there are.
        elements: usize,
    },
    /// An element is not UTF-8.
    NotText {
        /// Which element, from 0.
        element: usize,
    },
}

impl std::fmt::Display for StringsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ends { element } => {
                write!(
                    f,
                    "element {element}: the data ends before it, expected {BYTES_PREFIX} bytes of length and as many bytes"
                )
            }
            Self::Rest { bytes, elements } => {
                write!(f, "{bytes} bytes stand after the last of the {elements} elements of the shape")
            }
            Self::NotText { element } => write!(f, "element {element}: is not UTF-8, which a string of ONNX is"),
        }
    }
}

impl Strings {
    /// The strings of a block, exactly `count` of them.
    ///
    /// # Errors
    /// [`StringsError`] names the element; the block is wiped.
    pub fn from_block(block: Vec<u8>, count: usize) -> Result<Self, StringsError> {
        let mut block = Zeroizing::new(block);
        let mut rest = block.as_slice();
        for element in 0..count {
            let (string, after) = split(rest).ok_or(StringsError::Ends { element })?;
            std::str::from_utf8(string).map_err(|_| StringsError::NotText { element })?;
            rest = after;
        }
        if !rest.is_empty() {
            return Err(StringsError::Rest { bytes: rest.len(), elements: count });
        }
        Ok(Self { block: std::mem::take(&mut block), count })
    }

    /// These texts, in one allocation; `None` when there is no memory for it, or one is longer than its length can say.
    pub fn of(texts: &[String]) -> Option<Self> {
        let mut block = Vec::new();
        block.try_reserve_exact(block_bytes(texts)).ok()?;
        let mut block = Zeroizing::new(block);
        for text in texts {
            block.extend_from_slice(&u32::try_from(text.len()).ok()?.to_le_bytes());
            block.extend_from_slice(text.as_bytes());
        }
        Some(Self { block: std::mem::take(&mut block), count: texts.len() })
    }

    /// The block: binary data of the tensor.
    pub fn block(&self) -> &[u8] {
        &self.block
    }

    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.block.capacity()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// One after the other.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        let mut rest = self.block.as_slice();
        (0..self.count).map(move |_| {
            // Both were checked when the block was taken.
            let (string, after) = split(rest).unwrap_or_default();
            rest = after;
            std::str::from_utf8(string).unwrap_or_default()
        })
    }
}

/// Bytes of the block of these texts.
pub fn block_bytes(texts: &[String]) -> usize {
    texts.iter().fold(0, |sum: usize, text| sum.saturating_add(BYTES_PREFIX).saturating_add(text.len()))
}

/// The first string of a block, and what follows it.
fn split(block: &[u8]) -> Option<(&[u8], &[u8])> {
    let (prefix, rest) = block.split_first_chunk::<BYTES_PREFIX>()?;
    rest.split_at_checked(usize::try_from(u32::from_le_bytes(*prefix)).ok()?)
}

impl Zeroize for Strings {
    fn zeroize(&mut self) {
        self.block.zeroize();
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &[u8] = b"\x02\0\0\0hi\0\0\0\0";

    #[test]
    fn a_block_is_exactly_its_strings() {
        let strings = Strings::from_block(TWO.to_vec(), 2).unwrap();
        assert_eq!(strings.iter().collect::<Vec<_>>(), ["hi", ""]);
        assert_eq!((strings.len(), strings.is_empty(), strings.block()), (2, false, TWO));
        let texts = ["hi".to_owned(), String::new()];
        assert!(Strings::of(&texts).unwrap() == strings);
        assert_eq!(block_bytes(&texts), TWO.len());
        assert!(Strings::from_block(vec![], 0).unwrap().is_empty());
        assert_eq!(Strings::from_block(b"\x04\0\0\0str\xc3".to_vec(), 1), Err(StringsError::NotText { element: 0 }));
        assert_eq!(Strings::from_block("\u{7}\0\0\0strähn".into(), 1).unwrap().iter().next(), Some("strähn"));
    }

    #[test]
    fn lengths_that_lie_are_found() {
        for (block, count, error) in [
            (&[][..], 1, StringsError::Ends { element: 0 }),
            (&TWO[..3], 1, StringsError::Ends { element: 0 }),
            (&TWO[..5], 1, StringsError::Ends { element: 0 }),
            (&TWO[..9], 2, StringsError::Ends { element: 1 }),
            (TWO, 3, StringsError::Ends { element: 2 }),
            (TWO, 1, StringsError::Rest { bytes: 4, elements: 1 }),
            (TWO, 0, StringsError::Rest { bytes: 10, elements: 0 }),
            (&[0xff, 0xff, 0xff, 0xff, 1], 1, StringsError::Ends { element: 0 }),
            (&[1, 0, 0, 0, 0xff], 1, StringsError::NotText { element: 0 }),
            (TWO, usize::MAX, StringsError::Ends { element: 2 }),
        ] {
            assert_eq!(Strings::from_block(block.to_vec(), count), Err(error), "{block:?} {count}");
        }
    }

    #[test]
    fn strings_are_wiped() {
        let mut strings = Strings::from_block(TWO.to_vec(), 2).unwrap();
        strings.zeroize();
        assert!(strings.is_empty() && strings.block().is_empty());
        assert_eq!(strings.iter().count(), 0);
    }
}
