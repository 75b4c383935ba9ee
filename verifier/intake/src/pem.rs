//! Certificates and revocation lists in textual encoding (RFC 7468), also percent-encoded, as Intel's service sends issuer
//! chains in its HTTP headers.
//!
//! Text around the blocks is passed over, so a file of saved headers or a chain with comments reads as it stands. Blocks with
//! other labels (keys) are passed over too; an unfinished or undecodable block is an error, never silently less than was given.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::error::Defect;

const BEGIN: &str = "-----BEGIN ";
const ENCODED_BEGIN: &str = "-----BEGIN%20";
const DASHES: &str = "-----";

/// Whether the text holds at least one block, encoded or not.
pub(crate) fn looks_like_pem(text: &str) -> bool {
    text.contains(BEGIN) || text.contains(ENCODED_BEGIN)
}

/// The DER of every certificate and revocation list in the text, in order.
pub(crate) fn documents(text: &str) -> Result<Vec<Vec<u8>>, Defect> {
    let decoded;
    let text = if text.contains(ENCODED_BEGIN) {
        decoded = percent_decode(text)?;
        &decoded
    } else {
        text
    };
    let mut documents = Vec::new();
    let mut rest = text;
    while let Some((_, block)) = rest.split_once(BEGIN) {
        let number = documents.len() + 1;
        let (label, body) =
            block.split_once(DASHES).ok_or_else(|| broken(format!("block {number} has no end of its first line")))?;
        let end = format!("{DASHES}END {label}{DASHES}");
        let (body, after) = body
            .split_once(&end)
            .ok_or_else(|| broken(format!("block {number}, `{}`, has no matching end line", printable(label))))?;
        if matches!(label, "CERTIFICATE" | "X509 CRL") {
            let digits: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
            let der =
                STANDARD.decode(digits).map_err(|cause| broken(format!("block {number} is not base64: {cause}")))?;
            documents.push(der);
        }
        rest = after;
    }
    Ok(documents)
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

/// A label short and plain enough to repeat in a message.
fn printable(label: &str) -> String {
    label.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(32).collect()
}

fn broken(defect: impl Into<String>) -> Defect {
    Defect::Broken { kind: "PEM file", defect: defect.into(), remedy: "save it again, from `-----BEGIN` to `-----END`" }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "chain of two\r\n-----BEGIN CERTIFICATE-----\r\nAQID\r\n-----END CERTIFICATE-----\r\n\
                       -----BEGIN PUBLIC KEY-----\nBAUG\n-----END PUBLIC KEY-----\n\
                       -----BEGIN X509 CRL-----\n+/8=\n-----END X509 CRL-----\n";

    #[test]
    fn reads_certificates_and_lists_and_passes_over_the_rest() {
        assert_eq!(documents(TWO).unwrap(), [vec![1, 2, 3], vec![0xFB, 0xFF]]);
    }

    #[test]
    fn reads_a_header_value_and_keeps_plus_signs() {
        let encoded = "TCB-Info-Issuer-Chain: -----BEGIN%20X509%20CRL-----%0A+/8%3D%0A-----END%20X509%20CRL-----%0A";
        assert_eq!(documents(encoded).unwrap(), [vec![0xFB, 0xFF]]);
        assert!(documents(&encoded.replace("%3D", "%3")).unwrap_err().to_string().contains("hexadecimal"));
    }

    #[test]
    fn half_a_block_is_an_error_and_not_half_a_chain() {
        let cut = TWO.strip_suffix("-----END X509 CRL-----\n").unwrap();
        assert!(documents(cut).unwrap_err().to_string().contains("block 2, `X509 CRL`, has no matching end line"));
        assert!(documents("-----BEGIN CERTIFICATE").unwrap_err().to_string().contains("block 1 has no end"));
        let wrong = TWO.replace("AQID", "AQ*D");
        assert!(documents(&wrong).unwrap_err().to_string().contains("block 1 is not base64"));
    }
}
