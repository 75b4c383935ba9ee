//! Intel's root, as its PCS serves it (`IntelSGXRootCA.der`). Intel has published two certificates of the same root key.

use std::sync::LazyLock;

use crate::roots::{Vendor, embedded};

/// Intel, with the root CA of SGX and TDX.
pub(crate) static INTEL: Vendor = Vendor {
    name: "Intel",
    field: "intel",
    roots: LazyLock::new(|| embedded(&[include_bytes!("intel-sgx-root-ca.der")])),
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::to_hex;
    use crate::signature::sha256;

    /// SHA-256 of certificate and of key, as two independent sources give them.
    #[test]
    fn the_embedded_root_is_intels_and_signs_itself() {
        let [root] = &**INTEL.roots else { panic!("one root") };
        assert_eq!(root.common_name(), Some("Intel SGX Root CA"));
        let certificate = to_hex(&sha256(&[include_bytes!("intel-sgx-root-ca.der")]));
        assert_eq!(certificate, "44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3");
        let key = to_hex(&sha256(&[&root.spki]));
        assert_eq!(key, "a0af031289f5d5d4132f9186068a7fc13628633ba235777472e29b6b6c67a49e");
        assert!(root.is_self_signed());
    }
}
