//! Base64 (RFC 4648): canonical, so that there is one text for one value in each of its spellings.

use std::fmt;

use base64::Engine as _;
use base64::alphabet::{Alphabet, STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{DecodeError, DecodeSliceError};

/// Why a text is not the base64 that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Base64Error {
    /// A character that is not of the alphabet, or padding in the middle.
    Digit,
    /// A number of digits that spells no whole bytes.
    Length,
    /// Bits behind the last byte.
    LastDigit,
    /// Padding that is missing, too much, or not wanted.
    Padding,
}

impl fmt::Display for Base64Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Digit => "a character stands where a digit is expected",
            Self::Length => "so many digits spell no whole bytes",
            Self::LastDigit => "bits are left over behind the last byte",
            Self::Padding => "padding is missing or not wanted",
        })
    }
}

impl std::error::Error for Base64Error {}

impl From<DecodeError> for Base64Error {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::InvalidByte(..) => Self::Digit,
            DecodeError::InvalidLength(_) => Self::Length,
            DecodeError::InvalidLastSymbol { .. } => Self::LastDigit,
            DecodeError::InvalidPadding => Self::Padding,
        }
    }
}

const fn engine(alphabet: &Alphabet, padding: DecodePaddingMode) -> GeneralPurpose {
    let is_written = matches!(padding, DecodePaddingMode::RequireCanonical);
    let config = GeneralPurposeConfig::new().with_encode_padding(is_written).with_decode_padding_mode(padding);
    GeneralPurpose::new(alphabet, config)
}

const PADDED: GeneralPurpose = engine(&STANDARD, DecodePaddingMode::RequireCanonical);
const URL: GeneralPurpose = engine(&URL_SAFE, DecodePaddingMode::RequireNone);
const LENIENT: GeneralPurpose = engine(&STANDARD, DecodePaddingMode::Indifferent);
const LENIENT_URL: GeneralPurpose = engine(&URL_SAFE, DecodePaddingMode::Indifferent);

/// Base64 with padding (RFC 4648, section 4).
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    PADDED.encode(bytes)
}

/// Base64url without padding (RFC 4648, section 5).
pub fn encode_url(bytes: impl AsRef<[u8]>) -> String {
    URL.encode(bytes)
}

/// The bytes of base64 with padding.
///
/// # Errors
/// [`Base64Error`].
pub fn decode(text: impl AsRef<[u8]>) -> Result<Vec<u8>, Base64Error> {
    Ok(PADDED.decode(text)?)
}

/// The bytes of base64url without padding.
///
/// # Errors
/// [`Base64Error`].
pub fn decode_url(text: impl AsRef<[u8]>) -> Result<Vec<u8>, Base64Error> {
    Ok(URL.decode(text)?)
}

/// The bytes of base64url, with or without padding.
///
/// # Errors
/// [`Base64Error`].
pub fn decode_url_with_any_padding(text: impl AsRef<[u8]>) -> Result<Vec<u8>, Base64Error> {
    Ok(LENIENT_URL.decode(text)?)
}

/// The bytes of base64 or base64url, whichever it is, with or without padding.
///
/// # Errors
/// [`Base64Error`], of base64.
pub fn decode_any(text: impl AsRef<[u8]>) -> Result<Vec<u8>, Base64Error> {
    let text = text.as_ref();
    LENIENT.decode(text).or_else(|error| LENIENT_URL.decode(text).map_err(|_| error.into()))
}

/// The bytes of base64 with padding, in lines or with white space anywhere.
///
/// # Errors
/// [`Base64Error`].
pub fn decode_lines(text: impl AsRef<[u8]>) -> Result<Vec<u8>, Base64Error> {
    let text = text.as_ref();
    // What programs write, first: lines of one length, which are put together and decoded at once.
    if let Some(Ok(bytes)) = even_lines(text.trim_ascii()).map(|digits| PADDED.decode(digits)) {
        return Ok(bytes);
    }
    decode_any_lines(text)
}

/// The digits of lines that are all as long as the first, but for the last, and that end in one line feed each.
fn even_lines(text: &[u8]) -> Option<Vec<u8>> {
    let width = text.iter().position(|byte| *byte == b'\n')?;
    let mut digits = Vec::with_capacity(text.len());
    for line in text.chunks(width.checked_add(1)?) {
        match line.strip_suffix(b"\n") {
            Some(line) => digits.extend_from_slice(line),
            None if line.len() <= width => digits.extend_from_slice(line),
            None => return None,
        }
    }
    Some(digits)
}

fn decode_any_lines(text: &[u8]) -> Result<Vec<u8>, Base64Error> {
    let mut bytes = vec![0; text.len() / 4 * 3 + 3];
    let mut length = 0_usize;
    let mut lines = text.split(u8::is_ascii_whitespace).filter(|line| !line.is_empty());
    let mut is_padded = false;
    while let Some(line) = lines.next() {
        if is_padded {
            return Err(Base64Error::Padding);
        }
        // Lines of whole groups, as everybody writes them, are decoded where they lie; others are gathered first.
        let gathered;
        let digits = if line.len().is_multiple_of(4) {
            line
        } else {
            gathered = std::iter::once(line).chain(lines.by_ref()).collect::<Vec<_>>().concat();
            &gathered
        };
        let room = bytes.get_mut(length..).unwrap_or_default();
        let decoded = PADDED.decode_slice(digits, room).map_err(|error| match error {
            DecodeSliceError::DecodeError(error) => error.into(),
            DecodeSliceError::OutputSliceTooSmall => Base64Error::Length,
        })?;
        length = length.saturating_add(decoded);
        is_padded = digits.ends_with(b"=");
    }
    bytes.truncate(length);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_spelling_is_read_by_its_reader_alone() {
        let bytes = [0xFB, 0xEF, 0xFF, 0x00];
        assert_eq!((encode(bytes), encode_url(bytes)), ("++//AA==".to_owned(), "--__AA".to_owned()));
        let all = |text: &str| {
            [decode(text), decode_url(text), decode_url_with_any_padding(text), decode_any(text)]
                .map(|read| read.is_ok())
        };
        assert_eq!(all("++//AA=="), [true, false, false, true]);
        assert_eq!(all("++//AA"), [false, false, false, true]);
        assert_eq!(all("--__AA"), [false, true, true, true]);
        assert_eq!(all("--__AA=="), [false, false, true, true]);
        // Two alphabets, a stray character, bits behind the last byte, half a group, half a padding.
        for text in ["++__AA==", "--__AA!=", "--__AB", "++//AB==", "--__A", "++//A=", "A", " ++//AA=="] {
            assert_eq!(all(text), [false; 4], "{text}");
        }
        // Who does not ask for padding does not count it.
        assert_eq!(all("++//AA="), [false, false, false, true]);
        assert_eq!(all(""), [true; 4]);
        assert_eq!(decode_any("--__AA"), Ok(bytes.to_vec()));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, wrong) in [
            ("Zm9*", Base64Error::Digit),
            ("Zm9vY", Base64Error::Length),
            ("Zm9vYh==", Base64Error::LastDigit),
            ("Zm9vYg", Base64Error::Padding),
        ] {
            assert_eq!(decode(text), Err(wrong), "{text}");
        }
    }

    #[test]
    fn one_text_for_one_value_in_lines_too() {
        assert_eq!(decode_lines("Zm9v\nYmFy").unwrap(), b"foobar");
        assert_eq!(decode_lines("\r\nZm9vYmE=\r\n").unwrap(), b"fooba");
        assert_eq!(decode_lines("Zm9vYg==").unwrap(), b"foob");
        assert_eq!(decode_lines("Z m\t9\nvYg=\n= ").unwrap(), b"foob");
        assert_eq!(decode_lines("").unwrap(), b"");
        for wrong in [
            "Zm9vYh==",
            "Zm9vYg=",
            "Zm9vYg",
            "Zm9vYm=F",
            "Zm9v=",
            "Zm9v-_==",
            "Z",
            "Zg==\nZg==",
            "Zg==\nZ",
            "Zg\n==\nZg==",
            "=",
            "====",
        ] {
            assert!(decode_lines(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn lines_of_any_length_are_the_same_text() {
        let bytes: Vec<u8> = (0..=u8::MAX).collect();
        for length in 0..bytes.len() {
            let text = encode(&bytes[..length]);
            for width in 1..=70 {
                let lines = text.as_bytes().chunks(width).collect::<Vec<_>>().join(&b'\n');
                assert_eq!(decode_lines(&lines).as_deref(), Ok(&bytes[..length]), "{length} in lines of {width}");
                assert_eq!(decode_any_lines(&lines).as_deref(), Ok(&bytes[..length]), "{length} in lines of {width}");
            }
        }
    }
}
