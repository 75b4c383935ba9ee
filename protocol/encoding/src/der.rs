//! DER (ITU-T X.690), read in place: definite minimal lengths, bounded depth by construction, exact ends.

use std::fmt;

/// What in the encoding is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DerError(pub &'static str);

impl fmt::Display for DerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for DerError {}

/// What a reader of DER gives.
pub type Result<T> = std::result::Result<T, DerError>;

/// Tag of a BOOLEAN.
pub const BOOLEAN: u8 = 0x01;
/// Tag of a INTEGER.
pub const INTEGER: u8 = 0x02;
/// Tag of a BIT STRING.
pub const BIT_STRING: u8 = 0x03;
/// Tag of a OCTET STRING.
pub const OCTET_STRING: u8 = 0x04;
/// Tag of a NULL.
pub const NULL: u8 = 0x05;
/// Tag of a OBJECT IDENTIFIER.
pub const OID: u8 = 0x06;
/// Tag of a ENUMERATED.
pub const ENUMERATED: u8 = 0x0A;
/// Tag of a UTF8String.
pub const UTF8_STRING: u8 = 0x0C;
/// Tag of a PrintableString.
pub const PRINTABLE_STRING: u8 = 0x13;
/// Tag of a IA5String.
pub const IA5_STRING: u8 = 0x16;
/// Tag of a UTCTime.
pub const UTC_TIME: u8 = 0x17;
/// Tag of a GeneralizedTime.
pub const GENERALIZED_TIME: u8 = 0x18;
/// Tag of a SEQUENCE, SEQUENCE OF.
pub const SEQUENCE: u8 = 0x30;
/// Tag of a SET, SET OF.
pub const SET: u8 = 0x31;

/// Context-specific, constructed: `[n]` explicit.
pub const fn context(number: u8) -> u8 {
    0xA0 | number
}

/// One element: its tag, its content, and all of its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Element<'a> {
    /// Its tag.
    pub tag: u8,
    /// What stands between its length and its end.
    pub content: &'a [u8],
    /// All of it, tag and length included.
    pub whole: &'a [u8],
}

/// Reads elements one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Der<'a> {
    rest: &'a [u8],
}

impl<'a> Der<'a> {
    /// A reader of these bytes.
    pub fn new(input: &'a [u8]) -> Self {
        Self { rest: input }
    }

    /// The tag of the next element, if there is one.
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// How many bytes were not read yet.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// Whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next element, whatever its tag.
    ///
    /// # Errors
    /// [`DerError`].
    pub fn any(&mut self) -> Result<Element<'a>> {
        const TRUNCATED: DerError = DerError("an element runs past the end");
        let input = self.rest;
        let (&[tag, first], rest) = input.split_first_chunk::<2>().ok_or(TRUNCATED)?;
        if tag & 0x1F == 0x1F {
            return Err(DerError("a tag number above 30"));
        }
        let (length, rest) = match first {
            0..=0x7F => (usize::from(first), rest),
            0x81..=0x84 => {
                let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7F)).ok_or(TRUNCATED)?;
                let length = digits.iter().fold(0_u64, |length, byte| length << 8 | u64::from(*byte));
                // Minimal: the long form only where the short one cannot, and without leading zeros.
                if length < 0x80 || digits.first() == Some(&0) {
                    return Err(DerError("a length that is not minimal"));
                }
                (usize::try_from(length).map_err(|_| DerError("a length beyond this machine"))?, rest)
            }
            _ => return Err(DerError("an indefinite or oversized length")),
        };
        let (content, rest) = rest.split_at_checked(length).ok_or(TRUNCATED)?;
        let whole = input.split_at_checked(input.len() - rest.len()).map_or(input, |(whole, _)| whole);
        self.rest = rest;
        Ok(Element { tag, content, whole })
    }

    /// The next element, which must bear `tag`.
    ///
    /// # Errors
    /// [`DerError`].
    pub fn element(&mut self, tag: u8) -> Result<Element<'a>> {
        match self.any()? {
            element if element.tag == tag => Ok(element),
            _ => Err(DerError("an element of another type than expected")),
        }
    }

    /// The content of the next element, which must bear `tag`.
    ///
    /// # Errors
    /// [`DerError`].
    pub fn content(&mut self, tag: u8) -> Result<&'a [u8]> {
        self.element(tag).map(|element| element.content)
    }

    /// A reader of the content of the next element, which must bear `tag`.
    ///
    /// # Errors
    /// [`DerError`].
    pub fn nested(&mut self, tag: u8) -> Result<Der<'a>> {
        self.content(tag).map(Der::new)
    }

    /// Insists that everything was read.
    ///
    /// # Errors
    /// [`DerError`].
    pub fn end(&self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(DerError("bytes after the last element")) }
    }

    /// The content of an INTEGER, minimal; may be negative.
    ///
    /// # Errors
    /// [`DerError`].
    pub fn integer(&mut self) -> Result<&'a [u8]> {
        integer(self.content(INTEGER)?)
    }

    /// An INTEGER or ENUMERATED of at most 32 bits, not negative.
    ///
    /// # Errors
    /// [`DerError`].
    pub fn unsigned(&mut self, tag: u8) -> Result<u32> {
        let content = integer(self.content(tag)?)?;
        let magnitude = match content {
            [0, rest @ ..] => rest,
            [first, ..] if first & 0x80 != 0 => return Err(DerError("a negative number")),
            other => other,
        };
        if magnitude.len() > 4 {
            return Err(DerError("a number beyond 32 bits"));
        }
        Ok(magnitude.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    }

    /// A BOOLEAN, 0x00 or 0xFF.
    ///
    /// # Errors
    /// [`DerError`].
    pub fn boolean(&mut self) -> Result<bool> {
        match self.content(BOOLEAN)? {
            [0x00] => Ok(false),
            [0xFF] => Ok(true),
            _ => Err(DerError("a boolean that is neither 0x00 nor 0xFF")),
        }
    }

    /// A BIT STRING of whole bytes.
    ///
    /// # Errors
    /// [`DerError`].
    pub fn bit_string(&mut self) -> Result<&'a [u8]> {
        match self.content(BIT_STRING)? {
            [0, bytes @ ..] => Ok(bytes),
            _ => Err(DerError("a bit string that does not end on a byte")),
        }
    }

    /// A `Time`: UTCTime (years 1950 to 2049) or GeneralizedTime, in seconds, UTC (RFC 5280, section 4.1.2.5). Whether there is
    /// such a day is not looked at.
    ///
    /// # Errors
    /// [`DerError`].
    pub fn civil_time(&mut self) -> Result<CivilTime> {
        let element = self.any()?;
        civil_time(element).ok_or(DerError("a time that is not in the form of RFC 5280"))
    }
}

/// A date and a time of day in UTC, as its digits say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CivilTime {
    /// Four digits.
    pub year: u64,
    /// Two digits.
    pub month: u64,
    /// Two digits.
    pub day: u64,
    /// Hour, minute and second, two digits each.
    pub time: [u64; 3],
}

fn integer(content: &[u8]) -> Result<&[u8]> {
    match content {
        [] => Err(DerError("an empty number")),
        [0x00, next, ..] if next & 0x80 == 0 => Err(DerError("a number that is not minimal")),
        [0xFF, next, ..] if next & 0x80 != 0 => Err(DerError("a number that is not minimal")),
        content => Ok(content),
    }
}

fn civil_time(element: Element<'_>) -> Option<CivilTime> {
    let (digits, after) = element.content.as_chunks::<2>();
    if after != b"Z" {
        return None;
    }
    // Lists have a time for each of many entries: what is no digit is noted here, and looked at once.
    let mut greatest = 0;
    let mut number = |digits: &[u8; 2]| {
        let [tens, ones] = digits.map(|digit| digit.wrapping_sub(b'0'));
        greatest = tens.max(ones).max(greatest);
        u64::from(tens) * 10 + u64::from(ones)
    };
    let (year, rest) = match (element.tag, digits) {
        (UTC_TIME, [year, rest @ ..]) => match number(year) {
            short @ 0..=49 => (2000 + short, rest),
            short => (1900 + short, rest),
        },
        (GENERALIZED_TIME, [century, year, rest @ ..]) => (number(century) * 100 + number(year), rest),
        _ => return None,
    };
    let [month, day, hour, minute, second] = rest else { return None };
    let (month, day, time) = (number(month), number(day), [number(hour), number(minute), number(second)]);
    (greatest <= 9).then_some(CivilTime { year, month, day, time })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_minimal_and_end_where_they_say() {
        assert_eq!(Der::new(&[0x04, 0x02, 1, 2]).content(OCTET_STRING), Ok(&[1_u8, 2][..]));
        for (bytes, wrong) in [
            (&[0x04, 0x81, 0x02, 1, 2][..], "a length that is not minimal"),
            (&[0x04, 0x82, 0x00, 0x80], "a length that is not minimal"),
            (&[0x04, 0x80, 0, 0], "an indefinite or oversized length"),
            (&[0x04, 0x85, 1, 0, 0, 0, 0], "an indefinite or oversized length"),
            (&[0x04, 0x84, 0x40, 0, 0, 0], "an element runs past the end"),
            (&[0x1F, 0x81, 0x01, 0], "a tag number above 30"),
            (&[], "an element runs past the end"),
            (&[0x04], "an element runs past the end"),
        ] {
            assert_eq!(Der::new(bytes).content(OCTET_STRING), Err(DerError(wrong)), "{bytes:02x?}");
        }
    }

    #[test]
    fn numbers_are_minimal_and_bounded() {
        assert_eq!(Der::new(&[2, 2, 0, 0xD1]).unsigned(INTEGER), Ok(0xD1));
        for (bytes, wrong) in [
            (&[2, 2, 0, 0x51][..], "a number that is not minimal"),
            (&[2, 1, 0xD1], "a negative number"),
            (&[2, 0], "an empty number"),
            (&[2, 6, 0, 0xFF, 0, 0, 0, 0], "a number beyond 32 bits"),
        ] {
            assert_eq!(Der::new(bytes).unsigned(INTEGER), Err(DerError(wrong)));
        }
    }

    #[test]
    fn times_are_read_as_rfc_5280_says() {
        let time = |tag: u8, text: &str| {
            let mut der = vec![tag, u8::try_from(text.len()).unwrap()];
            der.extend(text.as_bytes());
            Der::new(&der).civil_time()
        };
        let last = CivilTime { year: 2049, month: 12, day: 31, time: [23, 59, 58] };
        assert_eq!(time(UTC_TIME, "491231235958Z"), Ok(last));
        assert_eq!(time(GENERALIZED_TIME, "20491231235958Z"), Ok(last));
        assert_eq!(time(UTC_TIME, "501231235958Z"), Ok(CivilTime { year: 1950, ..last }));
        for text in ["4912312359Z", "491231235959", "491231235959+0100", "49123123595xZ", "20491231235958Z"] {
            assert_eq!(time(UTC_TIME, text), Err(DerError("a time that is not in the form of RFC 5280")), "{text}");
        }
        for (tag, text) in [(UTC_TIME, "491231235958Z"), (GENERALIZED_TIME, "20491231235958Z")] {
            for (place, digit) in (0..text.len() - 1).flat_map(|place| (0..0x80).map(move |digit| (place, digit))) {
                let mut other = text.as_bytes().to_vec();
                other[place] = digit;
                let read = time(tag, std::str::from_utf8(&other).unwrap());
                assert_eq!(read.is_ok(), digit.is_ascii_digit(), "{digit:#x} at {place} of {text}");
            }
        }
    }
}
