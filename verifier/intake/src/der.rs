//! Tells an X.509 certificate from a certificate revocation list by the shape of its DER (RFC 5280, sections 4.1 and 5.1).
//!
//! Only the outermost elements are looked at, enough to hand the bytes to the right shelf. The verifier parses them.

use crate::error::Defect;

/// What a DER document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Certificate,
    Crl,
}

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;
/// `version [0] EXPLICIT` of a certificate; a revocation list has none.
pub(crate) const EXPLICIT_0: u8 = 0xA0;

/// Whether `bytes` begin like a DER SEQUENCE. Text never does by accident: `0x30` is the digit zero, but a length follows it.
pub(crate) fn looks_like_der(bytes: &[u8]) -> bool {
    matches!(bytes, [SEQUENCE, length, ..] if *length >= 0x80 || usize::from(*length) + 2 == bytes.len())
}

/// The kind of the document, which must fill `bytes` to the last one.
pub(crate) fn kind(bytes: &[u8]) -> Result<Kind, Defect> {
    let (SEQUENCE, document, rest) = element(bytes)? else {
        return Err(broken("does not begin with a SEQUENCE"));
    };
    if !rest.is_empty() {
        return Err(broken(format!("{} bytes follow the end of the DER document", rest.len())));
    }
    let (SEQUENCE, to_be_signed, _) = element(document)? else {
        return Err(broken("the part to be signed is not a SEQUENCE"));
    };
    let (first, _, after_first) = element(to_be_signed)?;
    if first == EXPLICIT_0 {
        return Ok(Kind::Certificate);
    }
    // Both remaining shapes go on `algorithm, issuer`; then a certificate has its validity, a list the time of its issue.
    let after_version = if first == INTEGER { after_first } else { to_be_signed };
    let (_, _, after_algorithm) = element(after_version)?;
    let (_, _, after_issuer) = element(after_algorithm)?;
    match element(after_issuer)? {
        (UTC_TIME | GENERALIZED_TIME, _, _) => Ok(Kind::Crl),
        (SEQUENCE, _, _) => Ok(Kind::Certificate),
        (tag, _, _) => Err(broken(format!("tag 0x{tag:02x} stands where a validity or a time is expected"))),
    }
}

/// The first element: its tag, its content, and what follows it.
pub(crate) fn element(bytes: &[u8]) -> Result<(u8, &[u8], &[u8]), Defect> {
    let (&[tag, first], rest) = bytes.split_first_chunk::<2>().ok_or_else(|| broken("ends inside an element"))?;
    let (length, rest) = match first {
        0..=0x7F => (usize::from(first), rest),
        0x81..=0x83 => {
            let (digits, rest) =
                rest.split_at_checked(usize::from(first & 0x0F)).ok_or_else(|| broken("ends inside a length"))?;
            (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
        }
        _ => return Err(broken("an element has an indefinite or oversized length")),
    };
    let (content, rest) = rest.split_at_checked(length).ok_or_else(|| {
        broken(format!("an element announces {length} bytes, {} are left; the file may have been cut", rest.len()))
    })?;
    Ok((tag, content, rest))
}

fn broken(defect: impl Into<String>) -> Defect {
    Defect::Broken {
        kind: "DER certificate or revocation list",
        defect: defect.into(),
        remedy: "fetch it again (`teegate fetch EVIDENCE --into DIR`), and convert it with no other tool than a copy",
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
            assert!(matches!(kind(&CRL_V2[..length]), Err(Defect::Broken { .. })), "{length}");
        }
        let longer = [CRL_V2, &[0]].concat();
        assert!(kind(&longer).unwrap_err().to_string().contains("1 bytes follow"));
    }

    #[test]
    fn indefinite_and_absurd_lengths_are_broken() {
        for bytes in [&[0x30, 0x80, 0, 0][..], &[0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF], &[0x30, 0x83, 0xFF, 0xFF, 0xFF]] {
            assert!(matches!(kind(bytes), Err(Defect::Broken { .. })));
        }
    }
}
