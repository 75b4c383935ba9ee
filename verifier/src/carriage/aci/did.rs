//! `did:x509` (did:x509 method, version 0) as far as an issuer of endorsements is named by it: the digest of a root, and what the
//! signer's certificate must be for.

use crate::signature::sha256;
use crate::x509::certificate::Certificate;

/// Who issues: a root, and extended key usages that the signer's certificate must all have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Did {
    text: String,
    root: [u8; 32],
    /// Each as the content of an object identifier.
    usages: Vec<Vec<u8>>,
}

/// The one form that is read.
const FORM: &str = "did:x509:0:sha256:ROOT::eku:OID, with base64url of the SHA-256 of the root";
/// Longer ones name nothing that is read here.
const MAX_BYTES: usize = 512;
const MAX_USAGES: usize = 4;

impl Did {
    /// Reads one; every policy in it must be an extended key usage, because one that is passed over would name more signers than
    /// its author did.
    ///
    /// # Errors
    /// What is expected.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let expected = || format!("expected {FORM}");
        if text.len() > MAX_BYTES {
            return Err(expected());
        }
        let mut parts = text.split("::");
        let root = parts.next().and_then(|first| first.strip_prefix("did:x509:0:sha256:")).ok_or_else(expected)?;
        let root = digest(root).ok_or_else(expected)?;
        let mut usages = Vec::new();
        for policy in parts {
            let usage = policy.strip_prefix("eku:").and_then(object_identifier);
            let usage = usage.ok_or_else(|| format!("expected `eku` policies alone: {FORM}"))?;
            if usages.len() == MAX_USAGES {
                return Err(format!("more than {MAX_USAGES} policies"));
            }
            usages.push(usage);
        }
        if usages.is_empty() {
            return Err(format!(
                "names a root and no usage, so that whoever it ever certifies may sign: expected {FORM}"
            ));
        }
        Ok(Self { text: text.to_owned(), root, usages })
    }

    /// As it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The SHA-256 of the certificate of its root.
    pub(crate) const fn root(&self) -> &[u8; 32] {
        &self.root
    }

    /// Whether this certificate, all of its bytes given, is its root.
    pub(crate) fn is_rooted_in(&self, der: &[u8]) -> bool {
        sha256(&[der]) == self.root
    }

    /// Whether the signer's certificate is for all that it asks for.
    pub(crate) fn allows(&self, signer: &Certificate) -> bool {
        match signer.extended_key_usages() {
            Ok(Some(found)) => self.usages.iter().all(|usage| found.contains(&usage.as_slice())),
            _ => false,
        }
    }
}

/// Base64url without padding of 32 bytes, in the one spelling that they have.
fn digest(text: &str) -> Option<[u8; 32]> {
    teegate_encoding::base64::decode_url(text).ok()?.try_into().ok()
}

/// The content of an object identifier (X.690, section 8.19) that is written with dots.
fn object_identifier(text: &str) -> Option<Vec<u8>> {
    let arc = |text: &str| -> Option<u64> {
        let number = text.parse().ok()?;
        // One spelling: no sign, no leading zero.
        (number < 1 << 62 && format!("{number}") == text).then_some(number)
    };
    let mut arcs = text.split('.').map(arc);
    let (first, second) = (arcs.next()??, arcs.next()??);
    if first > 2 || (first < 2 && second > 39) {
        return None;
    }
    let mut content = Vec::new();
    base_128(first.checked_mul(40)?.checked_add(second)?, &mut content);
    for arc in arcs {
        base_128(arc?, &mut content);
    }
    Some(content)
}

/// Seven bits a byte, the highest first; all but the last have the top bit.
fn base_128(number: u64, to: &mut Vec<u8>) {
    let mut shift = 63;
    while shift > 0 && number >> shift == 0 {
        shift -= 7;
    }
    loop {
        let digit = u8::try_from(number >> shift & 0x7F).unwrap_or(0);
        to.push(if shift == 0 { digit } else { digit | 0x80 });
        if shift == 0 {
            return;
        }
        shift -= 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &str =
        "did:x509:0:sha256:I__iuL25oXEVFdTP_aBLx_eT1RPHbCQ_ECBQfYZpt9s::eku:1.3.6.1.4.1.311.76.59.1.2";

    #[test]
    fn the_recorded_issuer_is_read() {
        let did = Did::parse(RECORDED).unwrap();
        assert_eq!(did.text(), RECORDED);
        assert_eq!(did.root[..4], [0x23, 0xFF, 0xE2, 0xB8]);
        let usage = [0x2B, 6, 1, 4, 1, 0x82, 0x37, 0x4C, 0x3B, 1, 2];
        assert_eq!(did.usages, [usage]);
    }

    #[test]
    fn an_issuer_that_says_less_or_other_than_is_judged_is_refused() {
        for (from, to, expected) in [
            ("did:x509:0:", "did:x509:1:", "expected did:x509:0:sha256:ROOT"),
            ("sha256", "sha384", "expected did:x509:0:sha256:ROOT"),
            ("I__i", "I_+i", "expected did:x509:0:sha256:ROOT"),
            ("pt9s::", "pt9s=::", "expected did:x509:0:sha256:ROOT"),
            // The same bytes spelt otherwise: the last digit holds two bits that must be 0.
            ("pt9s::", "pt9t::", "expected did:x509:0:sha256:ROOT"),
            ("I__iuL25", "", "expected did:x509:0:sha256:ROOT"),
            ("::eku:1.3.6.1.4.1.311.76.59.1.2", "", "names a root and no usage"),
            ("::eku:1.3", "::eku:01.3", "expected `eku` policies alone"),
            ("::eku:1.3.6", "::eku:1..6", "expected `eku` policies alone"),
            ("::eku:1.3.6", "::eku:3.3.6", "expected `eku` policies alone"),
            ("::eku:1.3.6", "::eku:1.40.6", "expected `eku` policies alone"),
            ("::eku:", "::subject:CN:x::eku:", "expected `eku` policies alone"),
            ("59.1.2", "59.1.2::san:email:x", "expected `eku` policies alone"),
            ("59.1.2", "59.1.2::eku:1.2::eku:1.2::eku:1.2::eku:1.2", "more than 4 policies"),
        ] {
            assert!(RECORDED.contains(from), "{from}");
            let message = Did::parse(&RECORDED.replace(from, to)).unwrap_err();
            assert!(message.contains(expected), "{message}, not {expected}");
        }
    }

    #[test]
    fn numbers_of_every_length_are_written_as_der_writes_them() {
        for (text, content) in [
            ("0.0", &[0][..]),
            ("1.39", &[79]),
            ("2.999", &[0x88, 0x37]),
            ("1.2.127.128", &[0x2A, 0x7F, 0x81, 0]),
            ("1.2.4611686018427387903", &[0x2A, 0xBF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]),
        ] {
            assert_eq!(object_identifier(text).unwrap(), content, "{text}");
        }
        for other in ["1", "", "1.2.", "1.2.4611686018427387904", "1.2.+3", "1.2.3 "] {
            assert_eq!(object_identifier(other), None, "{other}");
        }
    }
}
