//! A DER writer (X.690), just enough for certificates, CRLs and vendor extensions.
//!
//! It writes what it is told: nothing here checks that the result is strict DER, because some tests need it not to be.

use crate::time::Civil;

/// Tags used by certificates and CRLs.
pub mod tag {
    #![expect(missing_docs, reason = "the names are the ASN.1 types")]
    pub const BOOLEAN: u8 = 0x01;
    pub const INTEGER: u8 = 0x02;
    pub const BIT_STRING: u8 = 0x03;
    pub const OCTET_STRING: u8 = 0x04;
    pub const NULL: u8 = 0x05;
    pub const OBJECT_IDENTIFIER: u8 = 0x06;
    pub const ENUMERATED: u8 = 0x0A;
    pub const UTF8_STRING: u8 = 0x0C;
    pub const PRINTABLE_STRING: u8 = 0x13;
    pub const IA5_STRING: u8 = 0x16;
    pub const UTC_TIME: u8 = 0x17;
    pub const GENERALIZED_TIME: u8 = 0x18;
    pub const SEQUENCE: u8 = 0x30;
    pub const SET: u8 = 0x31;
}

/// One element: tag, definite length in its shortest form, content.
pub fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len();
    if length < 0x80 {
        out.push(length as u8);
    } else {
        let bytes = length.to_be_bytes();
        let significant: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
        out.push(0x80 | significant.len() as u8);
        out.extend(significant);
    }
    out.extend_from_slice(content);
    out
}

/// `SEQUENCE` of already encoded elements.
pub fn sequence<P: AsRef<[u8]>>(parts: &[P]) -> Vec<u8> {
    element(tag::SEQUENCE, &concat(parts))
}

/// `SET` of already encoded elements, in the order given.
pub fn set<P: AsRef<[u8]>>(parts: &[P]) -> Vec<u8> {
    element(tag::SET, &concat(parts))
}

/// Encoded elements, one behind the other.
pub fn concat<P: AsRef<[u8]>>(parts: &[P]) -> Vec<u8> {
    let mut out = Vec::with_capacity(parts.iter().map(|part| part.as_ref().len()).sum());
    for part in parts {
        out.extend_from_slice(part.as_ref());
    }
    out
}

/// The content octets of a non-negative `INTEGER` with this big-endian magnitude.
pub fn unsigned(magnitude: &[u8]) -> Vec<u8> {
    let mut content: Vec<u8> = magnitude.iter().copied().skip_while(|byte| *byte == 0).collect();
    if content.first().is_none_or(|byte| byte & 0x80 != 0) {
        content.insert(0, 0);
    }
    content
}

/// A non-negative `INTEGER`.
pub fn integer(value: u64) -> Vec<u8> {
    element(tag::INTEGER, &unsigned(&value.to_be_bytes()))
}

/// `BOOLEAN`; true is 0xFF.
pub fn boolean(value: bool) -> Vec<u8> {
    element(tag::BOOLEAN, &[if value { 0xFF } else { 0 }])
}

/// `NULL`.
pub fn null() -> Vec<u8> {
    element(tag::NULL, &[])
}

/// `OCTET STRING`.
pub fn octet_string(bytes: &[u8]) -> Vec<u8> {
    element(tag::OCTET_STRING, bytes)
}

/// `BIT STRING` with this many unused bits in its last octet.
pub fn bit_string(unused: u8, bytes: &[u8]) -> Vec<u8> {
    element(tag::BIT_STRING, &[&[unused], bytes].concat())
}

/// `[number] EXPLICIT`.
pub fn explicit(number: u8, content: &[u8]) -> Vec<u8> {
    element(0xA0 | number, content)
}

/// `[number] IMPLICIT` of a primitive type.
pub fn implicit(number: u8, content: &[u8]) -> Vec<u8> {
    element(0x80 | number, content)
}

/// `OBJECT IDENTIFIER` from its dotted form.
pub fn oid(dotted: &str) -> Vec<u8> {
    let arcs: Vec<u64> = dotted.split('.').map(|arc| arc.parse().expect("an arc is a number")).collect();
    let mut content = base128(arcs[0] * 40 + arcs[1]);
    for arc in &arcs[2..] {
        content.extend(base128(*arc));
    }
    element(tag::OBJECT_IDENTIFIER, &content)
}

/// `UTCTime` until 2049, `GeneralizedTime` from 2050 on, as RFC 5280 wants it.
pub fn time(unix: u64) -> Vec<u8> {
    let t = Civil::from_unix(unix);
    let tail = format!("{:02}{:02}{:02}{:02}{:02}Z", t.month, t.day, t.hour, t.minute, t.second);
    if t.year < 2050 {
        element(tag::UTC_TIME, format!("{:02}{tail}", t.year % 100).as_bytes())
    } else {
        element(tag::GENERALIZED_TIME, format!("{:04}{tail}", t.year).as_bytes())
    }
}

fn base128(value: u64) -> Vec<u8> {
    let mut out = vec![(value & 0x7F) as u8];
    let mut rest = value >> 7;
    while rest != 0 {
        out.insert(0, 0x80 | (rest & 0x7F) as u8);
        rest >>= 7;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_their_shortest_form() {
        assert_eq!(element(4, &[0; 0x7F])[..2], [4, 0x7F]);
        assert_eq!(element(4, &[0; 0x80])[..3], [4, 0x81, 0x80]);
        assert_eq!(element(4, &[0; 0x100])[..4], [4, 0x82, 1, 0]);
    }

    #[test]
    fn integers_are_minimal_and_not_negative() {
        assert_eq!(integer(0), [2, 1, 0]);
        assert_eq!(integer(0x7F), [2, 1, 0x7F]);
        assert_eq!(integer(0xDC), [2, 2, 0, 0xDC]);
    }

    #[test]
    fn object_identifiers_as_the_vendors_write_them() {
        assert_eq!(oid("1.3.6.1.4.1.3704.1.3.1"), [6, 10, 0x2B, 6, 1, 4, 1, 0x9C, 0x78, 1, 3, 1]);
        assert_eq!(oid("1.2.840.113741.1.13.1"), [6, 9, 0x2A, 0x86, 0x48, 0x86, 0xF8, 0x4D, 1, 0x0D, 1]);
    }

    #[test]
    fn times_change_their_type_in_2050() {
        assert_eq!(time(1_780_272_000), element(tag::UTC_TIME, b"260601000000Z"));
        assert_eq!(time(2_524_607_999), element(tag::UTC_TIME, b"491231235959Z"));
        assert_eq!(time(2_524_608_000), element(tag::GENERALIZED_TIME, b"20500101000000Z"));
    }
}
