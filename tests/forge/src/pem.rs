//! PEM (RFC 7468): 64 characters a line.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// One certificate.
pub fn certificate(der: &[u8]) -> String {
    block("CERTIFICATE", der)
}

/// One certificate revocation list.
pub fn crl(der: &[u8]) -> String {
    block("X509 CRL", der)
}

/// Certificates one behind the other.
pub fn chain<C: AsRef<[u8]>>(certificates: &[C]) -> String {
    certificates.iter().map(|der| certificate(der.as_ref())).collect()
}

fn block(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        out.push_str(std::str::from_utf8(line).expect("base64 is ASCII"));
        out.push('\n');
    }
    out + &format!("-----END {label}-----\n")
}
