//! Bytes that people keep as text: hexadecimal, base64 and base64url, with or without padding, `0x`, colons and line ends. Most tools
//! print a report or quote so, and most services hand one out so.

use teegate_encoding::{base64, hex};

/// What the text spells, and in which way it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decoded {
    pub(crate) bytes: Vec<u8>,
    pub(crate) form: &'static str,
}

pub(crate) const HEXADECIMAL: &str = "hexadecimal text";
pub(crate) const BASE64: &str = "base64 text";

/// The bytes that `text` spells, if it is nothing else than such text. Text that is hexadecimal is base64 as well, and meant as the
/// first.
pub(crate) fn decode(text: &str) -> Option<Decoded> {
    let digits = text.trim().strip_prefix("0x").unwrap_or(text);
    let hexadecimal: Vec<u8> = match colons(digits) {
        Some(pairs) => pairs,
        None => digits.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect(),
    };
    let of = |bytes: Vec<u8>, form| (!bytes.is_empty()).then_some(Decoded { bytes, form });
    if let Ok(bytes) = hex::decode(&hexadecimal) {
        return of(bytes, HEXADECIMAL);
    }
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    base64::decode_any(&digits).ok().and_then(|bytes| of(bytes, BASE64))
}

/// The digits of `04:00:02`, as OpenSSL prints bytes: pairs, with a colon between two and perhaps behind the last of a line.
fn colons(text: &str) -> Option<Vec<u8>> {
    if !text.contains(':') {
        return None;
    }
    let pairs = text.split(|c: char| c == ':' || c.is_ascii_whitespace()).filter(|pair| !pair.is_empty());
    let mut digits = Vec::with_capacity(text.len());
    for pair in pairs {
        if pair.len() != 2 {
            return None;
        }
        digits.extend_from_slice(pair.as_bytes());
    }
    Some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_the_same_bytes_is_read() {
        let bytes = [0xFB, 0xEF, 0xFF, 0x00];
        for (text, form) in [
            ("fbefff00", HEXADECIMAL),
            (" 0xFBEF\r\nFF00\n", HEXADECIMAL),
            ("fb ef ff 00", HEXADECIMAL),
            ("fb:ef:FF:00", HEXADECIMAL),
            ("    fb:ef:\n    ff:00\n", HEXADECIMAL),
            ("++//AA==", BASE64),
            ("++//AA", BASE64),
            ("--__AA==", BASE64),
            ("--__\nAA\n", BASE64),
        ] {
            assert_eq!(decode(text), Some(Decoded { bytes: bytes.to_vec(), form }), "{text}");
        }
        // Two alphabets in one text, a stray character, bits that stand for nothing, half a byte.
        for text in ["++__AA==", "--__AA!=", "--__AB", "--__A", "", " ", "0x", "fb:efff:00", "fb:e:ff", ":"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
