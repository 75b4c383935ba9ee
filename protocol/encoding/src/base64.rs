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
    let text = text.as_ref().trim_ascii();
    let mut bytes = room_for(text);
    let (first, rest) = first_lines(text, &mut bytes);
    let rest = other_lines(rest, bytes.get_mut(first..).unwrap_or_default())?;
    bytes.truncate(first.saturating_add(rest));
    Ok(bytes)
}

/// The same of a text that goes on behind its base64, from an `end` on that is no digit: the bytes, and the text from there on.
pub(crate) fn decode_lines_until(text: &[u8], end: u8) -> Option<(Vec<u8>, &[u8])> {
    let text = text.trim_ascii_start();
    let mut bytes = room_for(text);
    let (first, rest) = first_lines(text, &mut bytes);
    let (rest, after) = rest.split_at_checked(rest.iter().position(|byte| *byte == end)?)?;
    let rest = other_lines(rest, bytes.get_mut(first..)?).ok()?;
    bytes.truncate(first.saturating_add(rest));
    bytes.shrink_to_fit();
    Some((bytes, after))
}

fn room_for(text: &[u8]) -> Vec<u8> {
    vec![0; text.len() / 4 * 3 + 3]
}

/// Decodes lines into `room`, as long as they are as long as the first and hold nothing but whole groups of digits: what
/// programs write, but for the last line. How many bytes those are, and the rest of the text.
fn first_lines<'t>(text: &'t [u8], room: &mut [u8]) -> (usize, &'t [u8]) {
    let (mut length, mut rest) = (0_usize, text);
    let Some(width) = text.iter().position(|byte| *byte == b'\n') else { return (0, text) };
    while let Some((line, [b'\n', after @ ..])) = rest.split_at_checked(width)
        && let (groups, []) = line.as_chunks::<4>()
        && let Some((places, _)) = room.get_mut(length..).map(<[u8]>::as_chunks_mut::<3>)
        && let Some(places) = places.get_mut(..groups.len())
        && decode_groups(groups, places)
    {
        length = length.saturating_add(places.as_flattened().len());
        rest = after;
    }
    (length, rest)
}

/// Whether all of these are digits: then `places` are their bytes.
fn decode_groups(groups: &[[u8; 4]], places: &mut [[u8; 3]]) -> bool {
    let [firsts, seconds, thirds, fourths] = &DIGITS;
    let of = |digits: &[u32; 256], digit: u8| digits.get(usize::from(digit)).copied().unwrap_or(NO_DIGIT);
    let mut all = 0;
    for ([first, second, third, fourth], place) in groups.iter().zip(places) {
        let bytes = of(firsts, *first) | of(seconds, *second) | of(thirds, *third) | of(fourths, *fourth);
        let [one, two, three, _] = bytes.to_le_bytes();
        *place = [one, two, three];
        all |= bytes;
    }
    all & NO_DIGIT == 0
}

/// In none of the three bytes of a group.
const NO_DIGIT: u32 = 1 << 31;

/// What each digit adds to the bytes of its group, the first byte lowest, by its place there: one look at a table for each
/// digit of a certificate, which is most of what reading one costs.
const DIGITS: [[u32; 256]; 4] = [digits_at(18), digits_at(12), digits_at(6), digits_at(0)];

#[expect(clippy::indexing_slicing, reason = "the compiler evaluates it")]
const fn digits_at(shift: u32) -> [u32; 256] {
    let (mut values, mut value) = ([NO_DIGIT; 256], 0_u32);
    let mut digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".as_slice();
    while let [digit, rest @ ..] = digits {
        values[*digit as usize] = (value << shift).swap_bytes() >> 8;
        value += 1;
        digits = rest;
    }
    values
}

/// Decodes lines of any length into `room`: how many bytes they are.
fn other_lines(text: &[u8], room: &mut [u8]) -> Result<usize, Base64Error> {
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
        let room = room.get_mut(length..).unwrap_or_default();
        let decoded = PADDED.decode_slice(digits, room).map_err(|error| match error {
            DecodeSliceError::DecodeError(error) => error.into(),
            DecodeSliceError::OutputSliceTooSmall => Base64Error::Length,
        })?;
        length = length.saturating_add(decoded);
        is_padded = digits.ends_with(b"=");
    }
    Ok(length)
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
                let until = [&lines, "-after".as_bytes()].concat();
                let (decoded, after) = decode_lines_until(&until, b'-').unwrap();
                assert_eq!((&*decoded, after), (&bytes[..length], &b"-after"[..]), "{length} in lines of {width}");
            }
        }
    }

    #[test]
    fn no_line_hides_what_is_no_digit() {
        let good = "Zm9vYmFy\nZm9vYmFy\nZg==";
        for (place, byte) in (0..good.len()).flat_map(|place| (0..=u8::MAX).map(move |byte| (place, byte))) {
            let mut text = good.as_bytes().to_vec();
            text[place] = byte;
            // By the reader of lines of any length alone, and by both.
            let mut room = room_for(&text);
            let alone = other_lines(&text, &mut room).map(|length| room[..length].to_vec());
            assert_eq!(decode_lines(&text), alone, "{byte:#x} at {place}");
        }
        let alphabet = STANDARD.as_str();
        assert_eq!(decode_lines(format!("{alphabet}\n{alphabet}\n")), Ok(decode(alphabet).unwrap().repeat(2)));
        assert_eq!(decode_lines_until(b"Zm9v\nYmFy", b'-'), None, "it does not end");
        assert_eq!(decode_lines_until(b"Zm9v\n*mFy-", b'-'), None);
    }
}
