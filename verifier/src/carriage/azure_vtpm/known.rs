//! Launch measurements of paravisors that were recorded. The list is not what vouches for one (a policy does, by naming it): it is
//! there so that none is taken for a guest that speaks for itself.

use teegate_encoding::hex;

/// In hexadecimal: of SEV-SNP, then of TDX.
const KNOWN: &[&str] = &[
    "5a71e4ba7e0b83e44c8e853130a65557db0a7782cdb2d906c54b0bf5878202805ab159bfe0cf7d5749aa6f62b7094508",
    "9ac48fcac8a2d88aeeff8d427ad4f2be0e3917c748a18bdf52cc317e7fe20308b459d5ef1a12e0c22944eb386d17c315",
    "6a063be9dd79f6371c842e480f8dc3b5c725961344e57130e88c5adf49e8f7f6c79b75a5eb77fc769959f4aeb2f9401e",
    "5b0ce64ad1c1f6375dbda5f760b98526ca1bcf91b8195091afc28e7b024251d68fe32e05af34048d6607678cd23283ff",
    "f57dc09a507c6ecd82369bffb600f0003792f4d99bc26e985ec0c266fc34faf3706faf814c9e61065768a6ff917c89ae",
    "024a32b070383331181619fa387cb4d55d1e38879f989933055ccad5bc2db795d1737b66205949d15469dc8c1ba7ab7b",
];

/// Whether this is one of them.
pub(crate) fn is_known(measurement: &[u8]) -> bool {
    let text = hex::encode(measurement);
    KNOWN.contains(&text.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_known_and_its_neighbour_is_not() {
        for text in KNOWN {
            let mut bytes = hex::decode(text).unwrap();
            assert!(is_known(&bytes) && bytes.len() == 48, "{text}");
            bytes[47] ^= 1;
            assert!(!is_known(&bytes), "{text}");
        }
        assert!(!is_known(&[]));
    }
}
