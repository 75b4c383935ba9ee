//! AMD's roots, as its key service serves them (`/vcek/v1/PRODUCT/cert_chain`), and what AMD is known to have revoked under
//! them.

use std::sync::LazyLock;

use crate::roots::{Vendor, embedded};
use crate::x509::certificate::Certificate;

/// AMD, with the ARK of each product.
pub(crate) static AMD: Vendor = Vendor {
    name: "AMD",
    field: "amd",
    roots: LazyLock::new(|| {
        embedded(&[
            include_bytes!("amd-ark-milan.der"),
            include_bytes!("amd-ark-genoa.der"),
            include_bytes!("amd-ark-turin.der"),
        ])
    }),
};

/// Whether AMD is known to have revoked this intermediate: the first ASK of Genoa, serial 0x20001, listed by AMD's Genoa
/// CRL since 2022-10-31. A verifier that was given no CRL still knows.
pub(crate) fn is_known_revoked(intermediate: &Certificate) -> bool {
    *intermediate.serial == [0x02, 0x00, 0x01] && intermediate.issuer_name() == Some("ARK-Genoa")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::to_hex;
    use crate::signature::sha256;

    /// SHA-256 of certificate and of key, as two independent sources give them.
    const FINGERPRINTS: [(&str, &str, &str); 3] = [
        (
            "ARK-Milan",
            "69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd",
            "9f056bee44377e29308cb5ffa895bdfb62d18881fa6bed8d6f075b0204089cb9",
        ),
        (
            "ARK-Genoa",
            "4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1",
            "429a69c9422aa258ee4d8db5fcda9c6470ef15f8cd5a9cebd6cbc7d90b863831",
        ),
        (
            "ARK-Turin",
            "1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a",
            "4f125410563a2ab9a50356f9243f6fe0b6f73de98603f53f90339c70e9d7ad08",
        ),
    ];

    #[test]
    fn the_embedded_roots_are_amds_and_sign_themselves() {
        let ders: [&[u8]; 3] = [
            include_bytes!("amd-ark-milan.der"),
            include_bytes!("amd-ark-genoa.der"),
            include_bytes!("amd-ark-turin.der"),
        ];
        assert_eq!(AMD.roots.len(), FINGERPRINTS.len());
        for ((root, der), (name, certificate, key)) in AMD.roots.iter().zip(ders).zip(FINGERPRINTS) {
            assert_eq!(root.common_name(), Some(name));
            assert_eq!(to_hex(&sha256(&[der])), certificate);
            assert_eq!(to_hex(&sha256(&[&root.spki])), key);
            assert!(root.is_self_signed());
        }
    }
}
