//! What the first bytes of a report or quote say that it is. Believed by nobody: they choose who judges the rest.

use teegate_protocol::certificate_table::{is_empty_table, looks_like_table};
use teegate_verifier::Tee;

/// The platform that the first bytes name, whether or not the rest is well formed.
pub(crate) fn begins_like(bytes: &[u8]) -> Option<Tee> {
    if is_quote(bytes) {
        return Some(Tee::Tdx);
    }
    is_report(bytes).then_some(Tee::SevSnp)
}

/// Whether nothing in the first bytes speaks against evidence of `tee`.
pub(crate) fn could_be(tee: Tee, bytes: &[u8]) -> bool {
    match tee {
        Tee::SevSnp => is_report(bytes),
        Tee::Tdx => is_quote(bytes) || is_quote_of_any_key(bytes),
        _ => false,
    }
}

/// The platform of bytes that nobody pointed at, if they are a whole report or quote by more than their first bytes: an event log begins
/// with a small number as well.
pub(crate) fn is_whole(bytes: &[u8]) -> Option<Tee> {
    if is_quote(bytes) {
        return (bytes.len() >= SHORTEST_QUOTE).then_some(Tee::Tdx);
    }
    let algorithm = bytes.get(0x34..0x38)?;
    let (_, behind) = bytes.split_at_checked(SNP_REPORT_BYTES)?;
    // Nothing, the host's certificate table, or a buffer's zeros.
    let ends = is_empty_table(behind) || looks_like_table(behind) || behind.iter().all(|byte| *byte == 0);
    (is_report(bytes) && *algorithm == ECDSA_P384 && ends).then_some(Tee::SevSnp)
}

/// `ATTESTATION_REPORT`, every version. AMD 56860 rev. 1.58, table 23.
pub(crate) const SNP_REPORT_BYTES: usize = 1_184;
/// `SIGNATURE_ALGO`, the only one.
const ECDSA_P384: [u8; 4] = [1, 0, 0, 0];
/// Header, TD report and the length of what signs them.
const SHORTEST_QUOTE: usize = 48 + 584 + 4;

/// Whether the bytes begin like a report: with its version, a little-endian u32. Five exist; room is left for versions that do
/// not exist yet and for reports that were cut or extended, because the verifier refuses those by name.
fn is_report(bytes: &[u8]) -> bool {
    matches!(bytes, [1..=15, 0, 0, 0, ..])
}

/// Whether the bytes begin with the header of an Intel quote: version u16, attestation key type u16 (2 or 3), TEE type u32, and
/// at 12 the vendor id of Intel's quoting enclave. Either of the last two is enough: the verifier says what is wrong with the
/// other. The key type tells the header from a report of the same version for a guest of security version 129.
fn is_quote(bytes: &[u8]) -> bool {
    let tdx_type = matches!(bytes, [4 | 5, 0, 2 | 3, 0, 0x81, 0, 0, 0, ..]);
    let vendor = bytes.get(12..28).is_some_and(|id| *id == INTEL_QE_VENDOR_ID);
    tdx_type || vendor
}

/// The header of a TDX quote but for its attestation key type, so that the verifier may refuse an unknown one.
fn is_quote_of_any_key(bytes: &[u8]) -> bool {
    matches!(bytes, [4 | 5, 0, _, _, 0x81, 0, 0, 0, ..])
}

/// 939A7233-F79C-4CA9-940A-0DB3957F0607, bytes as written.
pub(crate) const INTEL_QE_VENDOR_ID: [u8; 16] = *b"\x93\x9a\x72\x33\xf7\x9c\x4c\xa9\x94\x0a\x0d\xb3\x95\x7f\x06\x07";
