//! CBOR (RFC 8949) as far as evidence is wrapped in it: integers, strings, arrays, maps and tags, all of definite length. Items are
//! read one head at a time from bounded bytes; no length is believed before the bytes for it are there.

use std::fmt;

/// Why the bytes are not such CBOR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CborError {
    /// Nothing is left where an item is expected.
    Ended,
    /// An item is longer than what is left.
    Cut {
        /// The length that it announces.
        announced: u64,
        /// What is left.
        left: usize,
    },
    /// A text string that is not UTF-8.
    NotText,
    /// A simple value or a number with a fraction.
    Simple,
    /// A length that is indefinite or reserved.
    Indefinite,
    /// Bytes behind the last item.
    Trailing {
        /// How many.
        length: usize,
    },
}

impl fmt::Display for CborError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("ends where an item is expected"),
            Self::Cut { announced, left } => {
                write!(f, "an item announces {announced} bytes, {left} are left; the file may have been cut")
            }
            Self::NotText => f.write_str("a text string is not UTF-8"),
            Self::Simple => f.write_str("a simple value or a number with a fraction stands where none is expected"),
            Self::Indefinite => f.write_str("an item of indefinite or reserved length"),
            Self::Trailing { length } => write!(f, "{length} bytes follow its end"),
        }
    }
}

impl std::error::Error for CborError {}

/// What one head announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    /// A number.
    Unsigned(u64),
    /// `-1 - n`, given as n.
    Negative(u64),
    /// A byte string.
    Bytes(&'a [u8]),
    /// A text string.
    Text(&'a str),
    /// So many items follow.
    Array(u64),
    /// So many pairs of items follow.
    Map(u64),
    /// One item follows, of this type.
    Tag(u64),
}

/// Reads items in order.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader of these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next item.
    ///
    /// # Errors
    /// [`CborError`], after which what follows is not to be relied on.
    #[expect(clippy::should_implement_trait, reason = "an end that is not expected is an error here")]
    pub fn next(&mut self) -> Result<Item<'a>, CborError> {
        let (&first, rest) = self.rest.split_first().ok_or(CborError::Ended)?;
        self.rest = rest;
        let argument = self.argument(first & 0x1F)?;
        Ok(match first >> 5 {
            0 => Item::Unsigned(argument),
            1 => Item::Negative(argument),
            2 => Item::Bytes(self.take(argument)?),
            3 => Item::Text(std::str::from_utf8(self.take(argument)?).map_err(|_| CborError::NotText)?),
            4 => Item::Array(argument),
            5 => Item::Map(argument),
            6 => Item::Tag(argument),
            _ => return Err(CborError::Simple),
        })
    }

    /// What was not read yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// All bytes of the next item, with whatever it holds; how deep that is nested costs nothing.
    ///
    /// # Errors
    /// [`CborError`], after which what follows is not to be relied on.
    pub fn whole(&mut self) -> Result<&'a [u8], CborError> {
        let from = self.rest;
        let mut due = 1_u64;
        while let Some(left) = due.checked_sub(1) {
            let more = match self.next()? {
                Item::Array(count) => count,
                Item::Map(count) => count.saturating_mul(2),
                Item::Tag(_) => 1,
                _ => 0,
            };
            due = left.saturating_add(more);
            // An item has at least one byte: what announces more than there are is refused before any of it is read.
            if usize::try_from(due).map_or(true, |due| due > self.rest.len()) {
                return Err(CborError::Cut { announced: due, left: self.rest.len() });
            }
        }
        let length = from.len().saturating_sub(self.rest.len());
        Ok(from.split_at_checked(length).map_or(from, |(whole, _)| whole))
    }

    /// Insists that everything was read.
    ///
    /// # Errors
    /// [`CborError::Trailing`].
    pub fn end(&self) -> Result<(), CborError> {
        match self.rest.len() {
            0 => Ok(()),
            length => Err(CborError::Trailing { length }),
        }
    }

    fn argument(&mut self, short: u8) -> Result<u64, CborError> {
        let width = match short {
            0..=23 => return Ok(u64::from(short)),
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            _ => return Err(CborError::Indefinite),
        };
        let digits = self.take(width)?;
        Ok(digits.iter().fold(0, |sum, digit| sum << 8 | u64::from(*digit)))
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], CborError> {
        let split = usize::try_from(length).ok().and_then(|length| self.rest.split_at_checked(length));
        let (taken, rest) = split.ok_or(CborError::Cut { announced: length, left: self.rest.len() })?;
        self.rest = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex;

    #[test]
    fn every_kind_of_head_is_read_with_every_width() {
        let bytes = hex::decode(
            "17180119010220 1a00010000 1b0000000100000000 43010203 62c3a9 82 b803 da63740101 d9d9f7".replace(' ', ""),
        )
        .unwrap();
        let mut reader = Reader::new(&bytes);
        for expected in [
            Item::Unsigned(23),
            Item::Unsigned(1),
            Item::Unsigned(0x102),
            Item::Negative(0),
            Item::Unsigned(0x10000),
            Item::Unsigned(1 << 32),
            Item::Bytes(&[1, 2, 3]),
            Item::Text("é"),
            Item::Array(2),
            Item::Map(3),
            Item::Tag(0x6374_0101),
            Item::Tag(55_799),
        ] {
            assert_eq!(reader.next().unwrap(), expected);
        }
        reader.end().unwrap();
        assert!(reader.next().unwrap_err().to_string().contains("ends where an item is expected"));
    }

    #[test]
    fn an_item_is_passed_over_with_all_that_it_holds() {
        for (bytes, length) in
            [("00 ff", 1), ("83 01 a1 02 82 03 04 c1 05 00", 9), ("80 00", 1), ("c6 c6 c6 41 00 07", 5), ("a0", 1)]
        {
            let bytes = hex::decode(bytes.replace(' ', "")).unwrap();
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.whole().unwrap(), &bytes[..length]);
            assert_eq!(reader.rest(), &bytes[length..]);
        }
        for (bytes, expected) in [
            ("9bffffffffffffffff00", "announces 18446744073709551615 bytes, 1 are left"),
            ("bb8000000000000000", "announces 18446744073709551615 bytes, 0 are left"),
            ("83 01 02", "announces 3 bytes, 2 are left"),
            ("82 01 f5", "a simple value"),
            ("c1", "announces 1 bytes, 0 are left"),
            ("", "ends where an item is expected"),
        ] {
            let bytes = hex::decode(bytes.replace(' ', "")).unwrap();
            let message = Reader::new(&bytes).whole().unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        let deep = [vec![0x81; 100_000], vec![0]].concat();
        assert_eq!(Reader::new(&deep).whole().unwrap().len(), deep.len());
    }

    #[test]
    fn lengths_are_held_against_the_bytes_that_are_there() {
        for (bytes, expected) in [
            ("5b0000000040000000ff", "an item announces 1073741824 bytes, 1 are left"),
            ("7bffffffffffffffff", "announces 18446744073709551615 bytes, 0 are left"),
            ("19ff", "announces 2 bytes, 1 are left"),
            ("5f", "indefinite or reserved length"),
            ("1c", "indefinite or reserved length"),
            ("f5", "a simple value"),
            ("61ff", "not UTF-8"),
        ] {
            let bytes = hex::decode(bytes).unwrap();
            let message = Reader::new(&bytes).next().unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        assert!(Reader::new(&[0]).end().unwrap_err().to_string().contains("1 bytes follow its end"));
    }
}
