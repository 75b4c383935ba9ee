//! Certificates and revocation lists in textual encoding (RFC 7468), also percent-encoded, as Intel's service sends issuer
//! chains in its HTTP headers.
//!
//! Text around the blocks is passed over, so a file of saved headers or a chain with comments reads as it stands. Blocks with
//! other labels (keys) are passed over too; an unfinished or undecodable block is an error, never silently less than was given, and
//! so is one that holds a certificate or list under another label than RFC 7468 gives it.

use teegate_encoding::hex;
use teegate_encoding::pem::{self, PemError};

use crate::error::Defect;
use crate::words::shown;

const BEGIN: &str = "-----BEGIN ";
const ENCODED_BEGIN: &str = "-----BEGIN%20";

/// Whether the text holds at least one block, encoded or not.
pub(crate) fn looks_like_pem(text: &str) -> bool {
    text.contains(BEGIN) || text.contains(ENCODED_BEGIN)
}

/// What the blocks of a text hold.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Blocks {
    /// The DER of every certificate and revocation list, in order.
    pub(crate) documents: Vec<Vec<u8>>,
    /// The labels of the blocks that were passed over, each cut.
    pub(crate) others: Vec<String>,
}

/// Labels under which other tools write what is read here, and what to do about each.
const OTHER_LABELS: [(&str, &str); 5] = [
    ("X509 CERTIFICATE", "an old name for `CERTIFICATE`: rename the label"),
    ("X.509 CERTIFICATE", "an old name for `CERTIFICATE`: rename the label"),
    ("TRUSTED CERTIFICATE", "OpenSSL's own form: `openssl x509 -in FILE` writes a `CERTIFICATE`"),
    ("CRL", "another name for `X509 CRL`: rename the label"),
    ("PKCS7", "a container: `openssl pkcs7 -in FILE -print_certs` writes `CERTIFICATE`s"),
];

/// Labels of a file of keys and the like that are repeated in an error.
const MAX_OTHERS: usize = 4;

/// The certificates and revocation lists in the text, and what else it holds.
pub(crate) fn blocks(text: &str) -> Result<Blocks, Defect> {
    let decoded;
    let text = if text.contains(ENCODED_BEGIN) {
        decoded = percent_decode(text)?;
        &decoded
    } else {
        text
    };
    let mut blocks = Blocks::default();
    for (number, block) in (1_usize..).zip(pem::Blocks::new(text)) {
        let block = block.map_err(|error| match error {
            PemError::LastLine { label } => {
                broken(format!("block {number}, `{}`, has no matching end line", shown(label)))
            }
            _ => broken(format!("block {number} has no end of its first line")),
        })?;
        let label = block.label;
        if matches!(label, "CERTIFICATE" | "X509 CRL") {
            let der = block.decode().map_err(|cause| broken(format!("block {number} is not base64: {cause}")))?;
            blocks.documents.push(der);
        } else if let Some((_, remedy)) = OTHER_LABELS.iter().find(|(other, _)| *other == label) {
            return Err(broken(format!("block {number} is a `{label}`, {remedy}")));
        } else if blocks.others.len() < MAX_OTHERS {
            blocks.others.push(shown(label));
        }
    }
    Ok(blocks)
}

/// Percent-decoding as in a URI (RFC 3986): a plus sign stays a plus sign, which base64 needs.
fn percent_decode(text: &str) -> Result<String, Defect> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes();
    while let Some((&byte, rest)) = bytes.split_first() {
        bytes = rest;
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let (digits, rest) =
            rest.split_first_chunk::<2>().ok_or_else(|| broken("ends inside a percent-encoded byte"))?;
        let mut value = [0];
        hex::decode_to_slice(digits, &mut value)
            .map_err(|_| broken("`%` is not followed by two hexadecimal digits"))?;
        decoded.extend_from_slice(&value);
        bytes = rest;
    }
    String::from_utf8(decoded).map_err(|_| broken("is not text after percent-decoding"))
}

fn broken(defect: impl Into<String>) -> Defect {
    Defect::Broken {
        kind: "PEM file",
        defect: defect.into(),
        remedy: "save it again, from `-----BEGIN` to `-----END`, or get it with `teegate fetch EVIDENCE --into DIR`",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "chain of two\r\n-----BEGIN CERTIFICATE-----\r\nAQID\r\n-----END CERTIFICATE-----\r\n\
                       -----BEGIN PUBLIC KEY-----\nBAUG\n-----END PUBLIC KEY-----\n\
                       -----BEGIN X509 CRL-----\n+/8=\n-----END X509 CRL-----\n";

    #[test]
    fn reads_certificates_and_lists_and_passes_over_the_rest() {
        let blocks = blocks(TWO).unwrap();
        assert_eq!(
            (blocks.documents, blocks.others),
            (vec![vec![1, 2, 3], vec![0xFB, 0xFF]], vec!["PUBLIC KEY".to_owned()])
        );
    }

    #[test]
    fn reads_a_header_value_and_keeps_plus_signs() {
        let encoded = "TCB-Info-Issuer-Chain: -----BEGIN%20X509%20CRL-----%0A+/8%3D%0A-----END%20X509%20CRL-----%0A";
        assert_eq!(blocks(encoded).unwrap().documents, [vec![0xFB, 0xFF]]);
        assert!(blocks(&encoded.replace("%3D", "%3")).unwrap_err().to_string().contains("hexadecimal"));
    }

    /// A certificate under another label is there and not read: that is said, with what to do, and is not silently less.
    #[test]
    fn a_certificate_under_another_label_is_named() {
        for (label, remedy) in [
            ("X509 CERTIFICATE", "rename the label"),
            ("X.509 CERTIFICATE", "rename the label"),
            ("TRUSTED CERTIFICATE", "`openssl x509 -in FILE` writes a `CERTIFICATE`"),
            ("CRL", "another name for `X509 CRL`"),
            ("PKCS7", "-print_certs"),
        ] {
            let text = format!("{TWO}-----BEGIN {label}-----\nAQID\n-----END {label}-----\n");
            let message = blocks(&text).unwrap_err().to_string();
            assert!(message.contains(&format!("block 4 is a `{label}`, ")) && message.contains(remedy), "{message}");
        }
    }

    #[test]
    fn half_a_block_is_an_error_and_not_half_a_chain() {
        let cut = TWO.strip_suffix("-----END X509 CRL-----\n").unwrap();
        assert!(blocks(cut).unwrap_err().to_string().contains("block 3, `X509 CRL`, has no matching end line"));
        assert!(blocks("-----BEGIN CERTIFICATE").unwrap_err().to_string().contains("block 1 has no end"));
        let wrong = TWO.replace("AQID", "AQ*D");
        assert!(blocks(&wrong).unwrap_err().to_string().contains("block 1 is not base64"));
    }
}
