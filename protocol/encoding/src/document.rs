//! Tells an X.509 certificate from a certificate revocation list by the shape of its DER (RFC 5280, sections 4.1 and 5.1).
//!
//! Only the outermost elements are looked at, enough to hand the bytes to the right shelf. The verifier parses them.

use crate::der::{Der, DerError, GENERALIZED_TIME, INTEGER, SEQUENCE, UTC_TIME, context};

/// What a DER document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A certificate.
    Certificate,
    /// A revocation list.
    Crl,
}

/// Whether `bytes` begin like a DER SEQUENCE. Text never does by accident: `0x30` is the digit zero, but a length follows it.
pub fn looks_like_der(bytes: &[u8]) -> bool {
    matches!(bytes, [SEQUENCE, length, ..] if *length >= 0x80 || usize::from(*length) + 2 == bytes.len())
}

/// The kind of the document, which must fill `bytes` to the last one.
///
/// # Errors
/// [`DerError`], where it is neither.
pub fn kind(bytes: &[u8]) -> Result<Kind, DerError> {
    let mut outer = Der::new(bytes);
    let mut document = outer.nested(SEQUENCE)?;
    outer.end()?;
    let mut fields = document.nested(SEQUENCE)?;
    // A revocation list has no `version [0] EXPLICIT`.
    let first = fields.any()?.tag;
    if first == context(0) {
        return Ok(Kind::Certificate);
    }
    // Both remaining shapes go on `algorithm, issuer`; then a certificate has its validity, a list the time of its issue.
    if first == INTEGER {
        fields.any()?;
    }
    fields.any()?;
    match fields.any()?.tag {
        UTC_TIME | GENERALIZED_TIME => Ok(Kind::Crl),
        SEQUENCE => Ok(Kind::Certificate),
        _ => Err(DerError("neither a validity nor a time where one is expected")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// version [0], serial, algorithm, issuer, validity: the beginning of a version 3 certificate.
    const CERTIFICATE_V3: &[u8] = &[0x30, 0x0E, 0x30, 0x0C, 0xA0, 3, 2, 1, 2, 2, 1, 7, 0x30, 0, 0x30, 0];
    const CERTIFICATE_V1: &[u8] = &[0x30, 0x0B, 0x30, 0x09, 2, 1, 7, 0x30, 0, 0x30, 0, 0x30, 0];
    const CRL_V2: &[u8] = &[0x30, 0x0C, 0x30, 0x0A, 2, 1, 1, 0x30, 0, 0x30, 0, 0x17, 1, b'2'];
    const CRL_V1: &[u8] = &[0x30, 0x09, 0x30, 0x07, 0x30, 0, 0x30, 0, 0x18, 1, b'2'];

    #[test]
    fn tells_certificates_from_lists() {
        for (bytes, expected) in [
            (CERTIFICATE_V3, Kind::Certificate),
            (CERTIFICATE_V1, Kind::Certificate),
            (CRL_V2, Kind::Crl),
            (CRL_V1, Kind::Crl),
        ] {
            assert!(looks_like_der(bytes));
            assert_eq!(kind(bytes).unwrap(), expected);
        }
    }

    #[test]
    fn a_cut_or_extended_document_is_broken_and_says_how() {
        for length in 0..CRL_V2.len() {
            assert_eq!(kind(&CRL_V2[..length]), Err(DerError("an element runs past the end")), "{length}");
        }
        let longer = [CRL_V2, &[0]].concat();
        assert_eq!(kind(&longer), Err(DerError("bytes after the last element")));
        let other = [&[0x30, 0x0B, 0x30, 0x09, 2, 1, 7, 0x30, 0, 0x30, 0][..], &[0x04, 0]].concat();
        assert_eq!(kind(&other), Err(DerError("neither a validity nor a time where one is expected")));
    }

    #[test]
    fn indefinite_and_absurd_lengths_are_broken() {
        for (bytes, reason) in [
            (&[0x30, 0x80, 0, 0][..], "an indefinite or oversized length"),
            (&[0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF], "an element runs past the end"),
            (&[0x30, 0x83, 0xFF, 0xFF, 0xFF], "an element runs past the end"),
        ] {
            assert_eq!(kind(bytes), Err(DerError(reason)));
        }
    }
}
