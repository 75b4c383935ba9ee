//! Hexadecimal: two digits a byte, in either case, and nothing else.

use std::fmt;

/// Why a text is not the hexadecimal that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HexError {
    /// Half a byte is left over.
    Odd,
    /// A character that is no digit.
    Digit {
        /// Bytes before it.
        position: usize,
    },
    /// Another number of bytes.
    Length {
        /// The number expected.
        expected: usize,
    },
}

impl fmt::Display for HexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Odd => f.write_str("an odd number of hexadecimal digits"),
            Self::Digit { position } => write!(f, "no hexadecimal digit at position {position}"),
            Self::Length { expected } => write!(f, "expected {expected} bytes in hexadecimal"),
        }
    }
}

impl std::error::Error for HexError {}

/// Lower-case hexadecimal of `bytes`.
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    let bytes = bytes.as_ref();
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        for nibble in [byte >> 4, byte & 0xF] {
            text.push(char::from(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }));
        }
    }
    text
}

/// The bytes that `text` spells.
///
/// # Errors
/// [`HexError`], where it is not an even number of digits.
pub fn decode(text: impl AsRef<[u8]>) -> Result<Vec<u8>, HexError> {
    let text = text.as_ref();
    let mut bytes = vec![0; text.len() / 2];
    decode_to_slice(text, &mut bytes)?;
    Ok(bytes)
}

/// Exactly `N` bytes.
///
/// # Errors
/// As [`decode_to_slice`].
pub fn array<const N: usize>(text: impl AsRef<[u8]>) -> Result<[u8; N], HexError> {
    let mut bytes = [0; N];
    decode_to_slice(text, &mut bytes)?;
    Ok(bytes)
}

/// Exactly as many bytes as `bytes` has room for. What stands there after an error is of no use.
///
/// # Errors
/// [`HexError`], where it is not so many digits.
pub fn decode_to_slice(text: impl AsRef<[u8]>, bytes: &mut [u8]) -> Result<(), HexError> {
    let text = text.as_ref();
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(HexError::Odd);
    }
    if pairs.len() != bytes.len() {
        return Err(HexError::Length { expected: bytes.len() });
    }
    for ([high, low], byte) in pairs.iter().zip(bytes) {
        let (Some(high), Some(low)) = (nibble(*high), nibble(*low)) else {
            let position = text.iter().position(|digit| nibble(*digit).is_none()).unwrap_or_default();
            return Err(HexError::Digit { position });
        };
        *byte = high << 4 | low;
    }
    Ok(())
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_case_is_read_and_lower_case_written() {
        assert_eq!(encode([0x00, 0x9a, 0xBC, 0xFF]), "009abcff");
        assert_eq!(decode("009aBcFF"), Ok(vec![0x00, 0x9a, 0xBC, 0xFF]));
        assert_eq!((decode(""), encode([])), (Ok(vec![]), String::new()));
        for byte in 0..=u8::MAX {
            assert_eq!(decode(encode([byte])), Ok(vec![byte]));
            let is_digit = byte.is_ascii_hexdigit();
            assert_eq!(decode([b'0', byte]).is_ok(), is_digit, "{byte}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        assert_eq!(decode("abc"), Err(HexError::Odd));
        assert_eq!(decode("0g"), Err(HexError::Digit { position: 1 }));
        assert_eq!(decode("00 0"), Err(HexError::Digit { position: 2 }));
        assert_eq!(decode("é"), Err(HexError::Digit { position: 0 }));
        assert_eq!(array::<2>("0aff"), Ok([0x0a, 0xff]));
        for wrong in ["0a", "0aff00", ""] {
            assert_eq!(array::<2>(wrong), Err(HexError::Length { expected: 2 }));
        }
    }
}
