//! COSE_Sign1 (RFC 9052, section 4.2): one signer, whose statement stands in it. The exact bytes of header and payload are kept,
//! because those are what was signed; whose key it is and whether it holds is for the callers.
//!
//! Read strictly where two readers could see two things: a label that stands twice, in whichever header, is refused; so is a
//! header that must be understood (`crit`), and an algorithm that is not protected.

use std::fmt;

use crate::cbor::{CborError, Item, Reader};

/// Tag of a COSE_Sign1 message.
const SIGN1: u64 = 18;
/// Most parameters of one header. Real ones have some ten.
const MAX_PARAMETERS: u64 = 32;
/// Most certificates of one chain.
const MAX_CHAIN: u64 = 8;

/// Why the bytes are no such message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CoseError {
    /// Not the CBOR that is read here.
    Cbor(CborError),
    /// Another item than expected stands in this place.
    Unexpected {
        /// The part of the message.
        place: &'static str,
        /// What stands there in a COSE_Sign1.
        expected: &'static str,
    },
    /// More parameters, or certificates, than are read.
    TooMany {
        /// The part of the message.
        place: &'static str,
        /// The most that are read.
        most: u64,
    },
    /// A label stands twice, in one header or in both.
    Repeated,
    /// `crit` asks for parameters to be understood.
    Critical,
    /// The algorithm is said where no signature covers it, or not at all.
    AlgorithmUnprotected,
    /// The payload stands elsewhere.
    Detached,
}

impl fmt::Display for CoseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cbor(error) => error.fmt(f),
            Self::Unexpected { place, expected } => write!(f, "{place}: expected {expected}"),
            Self::TooMany { place, most } => write!(f, "{place}: more than {most}"),
            Self::Repeated => f.write_str("a label stands twice among the headers"),
            Self::Critical => f.write_str("headers that must be understood (crit), of which none is known here"),
            Self::AlgorithmUnprotected => f.write_str("the protected header names no algorithm"),
            Self::Detached => f.write_str("the payload stands elsewhere: expected it inside"),
        }
    }
}

impl std::error::Error for CoseError {}

impl From<CborError> for CoseError {
    fn from(error: CborError) -> Self {
        Self::Cbor(error)
    }
}

/// A signature algorithm by its number in the registry of COSE (RFC 9053, RFC 8230).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// ECDSA with SHA-256, −7. The curve is that of the key: here P-256.
    Es256,
    /// EdDSA, −8. The curve is that of the key: here Ed25519.
    EdDsa,
    /// ECDSA with SHA-384, −35. The curve is that of the key: here P-384.
    Es384,
    /// RSASSA-PSS with SHA-256, MGF1 with SHA-256, salt of 32 bytes, −37.
    Ps256,
    /// RSASSA-PSS with SHA-384, MGF1 with SHA-384, salt of 48 bytes, −38.
    Ps384,
}

impl Algorithm {
    const ALL: [(i64, Self, &'static str); 5] = [
        (-7, Self::Es256, "ES256"),
        (-8, Self::EdDsa, "EdDSA"),
        (-35, Self::Es384, "ES384"),
        (-37, Self::Ps256, "PS256"),
        (-38, Self::Ps384, "PS384"),
    ];

    /// Its name in the registry.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, own, _)| *own == self).map_or("", |(.., name)| name)
    }
}

/// What a parameter of a header is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label<'a> {
    /// By a number of the registry.
    Number(i64),
    /// By a text.
    Text(&'a str),
}

impl Label<'_> {
    /// The algorithm.
    pub const ALG: Self = Self::Number(1);
    /// Which parameters must be understood.
    pub const CRIT: Self = Self::Number(2);
    /// The media type of the payload.
    pub const CONTENT_TYPE: Self = Self::Number(3);
    /// A chain of certificates, that of the signer first (RFC 9360).
    pub const X5CHAIN: Self = Self::Number(33);
    /// The digest of the signer's certificate (RFC 9360).
    pub const X5T: Self = Self::Number(34);
}

/// One item of CBOR, of which only the extent was read so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value<'a>(&'a [u8]);

impl<'a> Value<'a> {
    /// All of its bytes.
    pub const fn encoded(self) -> &'a [u8] {
        self.0
    }

    fn only(self) -> Option<Item<'a>> {
        let mut reader = Reader::new(self.0);
        let item = reader.next().ok()?;
        reader.end().is_ok().then_some(item)
    }

    /// A number.
    pub fn number(self) -> Option<i64> {
        self.only().and_then(number)
    }

    /// A text.
    pub fn text(self) -> Option<&'a str> {
        match self.only()? {
            Item::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A byte string.
    pub fn bytes(self) -> Option<&'a [u8]> {
        match self.only()? {
            Item::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// A chain of certificates: a byte string, or an array of at least two (RFC 9360, section 2).
    ///
    /// # Errors
    /// [`CoseError`].
    pub fn chain(self) -> Result<Vec<&'a [u8]>, CoseError> {
        const PLACE: &str = "x5chain";
        const UNEXPECTED: CoseError =
            CoseError::Unexpected { place: PLACE, expected: "one byte string, or an array of two or more" };
        let mut reader = Reader::new(self.0);
        let count = match reader.next()? {
            Item::Bytes(certificate) => return Ok(vec![certificate]),
            Item::Array(count) if count >= 2 => count,
            _ => return Err(UNEXPECTED),
        };
        if count > MAX_CHAIN {
            return Err(CoseError::TooMany { place: PLACE, most: MAX_CHAIN });
        }
        let mut chain = Vec::new();
        for _ in 0..count {
            match reader.next()? {
                Item::Bytes(certificate) => chain.push(certificate),
                _ => return Err(UNEXPECTED),
            }
        }
        reader.end()?;
        Ok(chain)
    }

    /// The digest of a certificate, with the number of its algorithm (RFC 9360, section 2).
    pub fn digest(self) -> Option<(i64, &'a [u8])> {
        let mut reader = Reader::new(self.0);
        let Ok(Item::Array(2)) = reader.next() else { return None };
        let algorithm = number(reader.next().ok()?)?;
        let Ok(Item::Bytes(digest)) = reader.next() else { return None };
        reader.end().is_ok().then_some((algorithm, digest))
    }
}

fn number(item: Item<'_>) -> Option<i64> {
    match item {
        Item::Unsigned(number) => i64::try_from(number).ok(),
        Item::Negative(number) => i64::try_from(number).ok().map(|number| -1 - number),
        _ => None,
    }
}

/// The parameters of one header, in order.
#[derive(Debug, Clone)]
pub struct Header<'a>(Vec<(Label<'a>, Value<'a>)>);

impl<'a> Header<'a> {
    fn read(reader: &mut Reader<'a>, place: &'static str) -> Result<Self, CoseError> {
        let Item::Map(count) = reader.next()? else {
            return Err(CoseError::Unexpected { place, expected: "a map" });
        };
        if count > MAX_PARAMETERS {
            return Err(CoseError::TooMany { place, most: MAX_PARAMETERS });
        }
        let mut parameters: Vec<(Label<'a>, Value<'a>)> = Vec::new();
        for _ in 0..count {
            let label = match reader.next()? {
                Item::Text(text) => Label::Text(text),
                other => match number(other) {
                    Some(number) => Label::Number(number),
                    None => return Err(CoseError::Unexpected { place, expected: "labels that are numbers or texts" }),
                },
            };
            if parameters.iter().any(|(known, _)| *known == label) {
                return Err(CoseError::Repeated);
            }
            parameters.push((label, Value(reader.whole()?)));
        }
        Ok(Self(parameters))
    }

    /// The parameter of this label.
    pub fn get(&self, label: Label<'_>) -> Option<Value<'a>> {
        self.0.iter().find(|(known, _)| *known == label).map(|(_, value)| *value)
    }
}

/// A message of one signer. Nothing says yet that its signature holds.
#[derive(Debug, Clone)]
pub struct Sign1<'a> {
    protected: &'a [u8],
    header: Header<'a>,
    unprotected: Header<'a>,
    payload: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Sign1<'a> {
    /// Reads the message that fills `bytes`, tagged as one.
    ///
    /// # Errors
    /// [`CoseError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, CoseError> {
        let unexpected = |place, expected| CoseError::Unexpected { place, expected };
        let mut reader = Reader::new(bytes);
        if reader.next()? != Item::Tag(SIGN1) {
            return Err(unexpected("message", "a COSE_Sign1 (CBOR tag 18)"));
        }
        if reader.next()? != Item::Array(4) {
            return Err(unexpected("message", "an array of four"));
        }
        let Item::Bytes(protected) = reader.next()? else {
            return Err(unexpected("protected header", "a byte string"));
        };
        // A header without parameters is an empty string (RFC 9052, section 3).
        let header = if protected.is_empty() {
            Header(Vec::new())
        } else {
            let mut inner = Reader::new(protected);
            let header = Header::read(&mut inner, "protected header")?;
            inner.end()?;
            header
        };
        let unprotected = Header::read(&mut reader, "unprotected header")?;
        if header.0.iter().any(|(label, _)| unprotected.get(*label).is_some()) {
            return Err(CoseError::Repeated);
        }
        if [&header, &unprotected].iter().any(|header| header.get(Label::CRIT).is_some()) {
            return Err(CoseError::Critical);
        }
        if header.get(Label::ALG).is_none() {
            return Err(CoseError::AlgorithmUnprotected);
        }
        if reader.rest().first() == Some(&NULL) {
            return Err(CoseError::Detached);
        }
        let Item::Bytes(payload) = reader.next()? else {
            return Err(unexpected("payload", "a byte string"));
        };
        let Item::Bytes(signature) = reader.next()? else {
            return Err(unexpected("signature", "a byte string"));
        };
        reader.end()?;
        Ok(Self { protected, header, unprotected, payload, signature })
    }

    /// What the signature covers, beside the payload.
    pub const fn protected(&self) -> &Header<'a> {
        &self.header
    }

    /// What no signature covers.
    pub const fn unprotected(&self) -> &Header<'a> {
        &self.unprotected
    }

    /// The algorithm; `None` for one that is not known here.
    pub fn algorithm(&self) -> Option<Algorithm> {
        let number = self.header.get(Label::ALG)?.number()?;
        Algorithm::ALL.iter().find(|(known, ..)| *known == number).map(|(_, algorithm, _)| *algorithm)
    }

    /// The statement.
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The signature, in the form of the algorithm.
    pub const fn signature(&self) -> &'a [u8] {
        self.signature
    }

    /// The bytes that are signed: `Sig_structure` (RFC 9052, section 4.4), with nothing supplied from outside.
    pub fn signed(&self) -> Vec<u8> {
        const CONTEXT: &[u8] = b"\x84\x6aSignature1";
        let mut signed = Vec::with_capacity(self.protected.len().saturating_add(self.payload.len()).saturating_add(32));
        signed.extend_from_slice(CONTEXT);
        for bytes in [self.protected, &[], self.payload] {
            byte_string_head(bytes.len(), &mut signed);
            signed.extend_from_slice(bytes);
        }
        signed
    }
}

const NULL: u8 = 0xF6;

/// The head of a byte string, in the shortest form.
fn byte_string_head(length: usize, to: &mut Vec<u8>) {
    match (u8::try_from(length), u16::try_from(length), u32::try_from(length)) {
        (Ok(length @ 0..=23), ..) => to.push(0x40 | length),
        (Ok(length), ..) => to.extend([0x58, length]),
        (_, Ok(length), _) => {
            to.push(0x59);
            to.extend(length.to_be_bytes());
        }
        (_, _, Ok(length)) => {
            to.push(0x5A);
            to.extend(length.to_be_bytes());
        }
        _ => {
            to.push(0x5B);
            to.extend(u64::try_from(length).unwrap_or(u64::MAX).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex;

    fn bytes(text: &str) -> Vec<u8> {
        hex::decode(text.replace(' ', "")).unwrap()
    }

    /// RFC 9052, appendix C.2.1, from its diagnostic notation: ES256, key identifier "11".
    const RFC_9052: &str = "d2 84 43 a10126 a1 04 42 3131 54 546869732069732074686520636f6e74656e742e 42 0102";

    #[test]
    fn the_example_of_the_rfc_is_read_and_what_it_signs() {
        let message = bytes(RFC_9052);
        let read = Sign1::parse(&message).unwrap();
        assert_eq!((read.algorithm(), read.payload()), (Some(Algorithm::Es256), &b"This is the content."[..]));
        assert_eq!(read.algorithm().unwrap().name(), "ES256");
        assert_eq!(
            (read.signature(), read.unprotected().get(Label::Number(4)).unwrap().bytes()),
            (&[1, 2][..], Some(&b"11"[..]))
        );
        let signed = bytes("84 6a5369676e617475726531 43 a10126 40 54 546869732069732074686520636f6e74656e742e");
        assert_eq!(read.signed(), signed);
    }

    #[test]
    fn lengths_of_what_is_signed_are_written_in_their_shortest_form() {
        for (length, head) in
            [(0, "40"), (23, "57"), (24, "5818"), (255, "58ff"), (256, "590100"), (65_536, "5a00010000")]
        {
            let mut written = Vec::new();
            byte_string_head(length, &mut written);
            assert_eq!(hex::encode(&written), head);
        }
    }

    #[test]
    fn parameters_are_read_by_their_labels() {
        let inner = bytes("a5 01 3825 03 61 6a 1821 82 41 01 42 0203 1822 82 2f 42 aabb 66 697373756572 63 646964");
        let message = [bytes("d2 84 58"), vec![u8::try_from(inner.len()).unwrap()], inner, bytes("a0 40 40")].concat();
        let read = Sign1::parse(&message).unwrap();
        let header = read.protected();
        assert_eq!(read.algorithm(), Some(Algorithm::Ps384));
        assert_eq!(header.get(Label::CONTENT_TYPE).unwrap().text(), Some("j"));
        assert_eq!(header.get(Label::X5CHAIN).unwrap().chain().unwrap(), [&[1][..], &[2, 3]]);
        assert_eq!(header.get(Label::X5T).unwrap().digest(), Some((-16, &[0xAA, 0xBB][..])));
        assert_eq!(header.get(Label::Text("issuer")).unwrap().text(), Some("did"));
        assert_eq!(header.get(Label::Text("other")), None);
        assert_eq!(header.get(Label::X5T).unwrap().text(), None);
        assert_eq!(header.get(Label::X5T).unwrap().encoded(), bytes("822f42aabb"));
    }

    #[test]
    fn what_two_readers_could_read_in_two_ways_is_refused() {
        for (message, expected) in [
            // No tag, another, or one within another.
            ("84 43 a10126 a0 40 40", "message: expected a COSE_Sign1 (CBOR tag 18)"),
            ("d1 84 43 a10126 a0 40 40", "message: expected a COSE_Sign1 (CBOR tag 18)"),
            ("d2 d2 84 43 a10126 a0 40 40", "message: expected an array of four"),
            ("d2 83 43 a10126 a0 40", "message: expected an array of four"),
            ("d2 84 a10126 a0 40 40", "protected header: expected a byte string"),
            ("d2 84 41 01 a0 40 40", "protected header: expected a map"),
            ("d2 84 44 a1012600 a0 40 40", "1 bytes follow its end"),
            ("d2 84 43 a10126 80 40 40", "unprotected header: expected a map"),
            ("d2 84 43 a10126 a0 40 40 00", "1 bytes follow its end"),
            ("d2 84 43 a10126 a0 01 40", "payload: expected a byte string"),
            ("d2 84 43 a10126 a0 f6 40", "the payload stands elsewhere"),
            ("d2 84 43 a10126 a0 40 01", "signature: expected a byte string"),
            ("d2 84 45 a201260126 a0 40 40", "a label stands twice"),
            // The same label in another width.
            ("d2 84 46 a20126180126 a0 40 40", "a label stands twice"),
            ("d2 84 43 a10126 a1 01 26 40 40", "a label stands twice"),
            ("d2 84 40 a1 01 26 40 40", "names no algorithm"),
            ("d2 84 41 a0 a0 40 40", "names no algorithm"),
            ("d2 84 46 a20126028103 a0 40 40", "must be understood (crit)"),
            ("d2 84 45 a201268026 a0 40 40", "labels that are numbers or texts"),
            ("d2 84 42 b821 a0 40 40", "protected header: more than 32"),
            ("d2 84 43 a10126 bbffffffffffffffff 40 40", "unprotected header: more than 32"),
            ("d2 84 43 a10126 a0 5bffffffffffffffff 40", "announces 18446744073709551615 bytes"),
            ("d2 84 4c a2 0126 02 9bffffffffffffff a0 40 40", "left"),
            ("d2", "ends where an item is expected"),
            ("", "ends where an item is expected"),
        ] {
            let message = Sign1::parse(&bytes(message)).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}, not {expected}");
        }
    }

    #[test]
    fn a_chain_is_one_certificate_or_an_array_of_more() {
        let chain =
            |text: &str| Value(&bytes(text)).chain().map(|chain| chain.len()).map_err(|error| error.to_string());
        assert_eq!((chain("41 01"), chain("82 41 01 41 02")), (Ok(1), Ok(2)));
        for (text, expected) in [
            ("80", "one byte string, or an array"),
            ("81 41 01", "one byte string, or an array"),
            ("82 41 01 61 61", "one byte string, or an array"),
            ("c1 41 01", "one byte string, or an array"),
            ("89 40 40 40 40 40 40 40 40 40", "x5chain: more than 8"),
        ] {
            let message = chain(text).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn an_algorithm_is_one_of_the_five() {
        for (number, name) in
            [("26", "ES256"), ("27", "EdDSA"), ("3822", "ES384"), ("3824", "PS256"), ("3825", "PS384")]
        {
            let header = bytes(&format!("a101{number}"));
            let length = u8::try_from(header.len()).unwrap();
            let message = [bytes("d2 84"), vec![0x40 | length], header, bytes("a0 40 40")].concat();
            assert_eq!(Sign1::parse(&message).unwrap().algorithm().unwrap().name(), name);
        }
        // RS256, and a text.
        for other in ["d2 84 45 a101390100 a0 40 40", "d2 84 44 a1016161 a0 40 40"] {
            assert_eq!(Sign1::parse(&bytes(other)).unwrap().algorithm(), None);
        }
    }
}
