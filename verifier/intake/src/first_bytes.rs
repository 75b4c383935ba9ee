//! What the first bytes of a report or quote say that it is. Believed by nobody: they choose who judges the rest.

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
    }
}

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
