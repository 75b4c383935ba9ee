//! Reference values out of a file of either form, told apart by content.

use teegate_verifier::UnixTime;

use crate::reference::ReferenceValues;

use crate::corim;

/// Reads reference values in TOML or, where they begin as CBOR does, an unsigned CoRIM that is valid at `now`.
pub fn reference_values(bytes: &[u8], now: UnixTime) -> Result<ReferenceValues, String> {
    match bytes.first() {
        // The head of a CBOR tag. TOML begins with ASCII: a name, a bracket, a comment or space.
        Some(0xC0..=0xDB) => corim::read(bytes, now).map_err(|error| format!("CoRIM: {error}")),
        _ => {
            let text = std::str::from_utf8(bytes)
                .map_err(|_| "neither TOML (UTF-8 text) nor CoRIM (CBOR, tag 501)".to_owned())?;
            ReferenceValues::parse(text).map_err(|error| error.to_string())
        }
    }
}
