//! Reference values out of a file of either form, told apart by content.

use teegate_verifier::{Signer, UnixTime};

use crate::reference::ReferenceValues;

use crate::corim;

/// Reads reference values in TOML or, where they begin as CBOR does, an unsigned CoRIM that is valid at `now`. They are believed for
/// whoever gave the file.
pub fn reference_values(bytes: &[u8], now: UnixTime) -> Result<ReferenceValues, String> {
    match bytes.first() {
        // The head of a CBOR tag. TOML begins with ASCII: a name, a bracket, a comment or space.
        Some(0xC0..=0xDB) => corim::read(bytes, None, now).map_err(|error| format!("CoRIM: {error}")),
        _ => {
            let text = std::str::from_utf8(bytes)
                .map_err(|_| "neither TOML (UTF-8 text) nor CoRIM (CBOR, tag 501)".to_owned())?;
            ReferenceValues::parse(text).map_err(|error| error.to_string())
        }
    }
}

/// Reads reference values that `signer` signed: a signed CoRIM, valid at `now`. Anything else is refused.
pub fn signed_reference_values(bytes: &[u8], signer: &Signer, now: UnixTime) -> Result<ReferenceValues, String> {
    match bytes.first() {
        Some(0xC0..=0xDB) => corim::read(bytes, Some(signer), now).map_err(|error| format!("CoRIM: {error}")),
        _ => Err("not signed, and a signer was named: expected a signed CoRIM (CBOR tag 18)".to_owned()),
    }
}
