//! The vendors' roots that this build pins, and those that a policy pins instead.
//!
//! The bytes are the vendors' own publications: AMD's ARKs as its key service serves them (`/vcek/v1/PRODUCT/cert_chain`),
//! Intel's root as its PCS serves it (`IntelSGXRootCA.der`). What is compared is the *key*: Intel has published two
//! certificates of the same root key. A test holds each file against the fingerprints below.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use serde::Deserialize;

use crate::check::Tee;
use crate::report::Roots;
use crate::x509::certificate::Certificate;
use crate::x509::pem;

/// Roots that a chain may end in.
#[derive(Clone, Debug)]
pub(crate) struct TrustAnchors {
    /// ARKs, DER.
    pub(crate) amd: Arc<[Arc<Certificate>]>,
    /// SGX root CAs, DER.
    pub(crate) intel: Arc<[Arc<Certificate>]>,
    /// Whether the ARKs are AMD's; a report says so when they are not.
    pub(crate) amd_is_vendors: bool,
    /// Whether the root CAs are Intel's.
    pub(crate) intel_is_vendors: bool,
}

static AMD: LazyLock<Arc<[Arc<Certificate>]>> = LazyLock::new(|| {
    embedded(&[
        include_bytes!("amd-ark-milan.der"),
        include_bytes!("amd-ark-genoa.der"),
        include_bytes!("amd-ark-turin.der"),
    ])
});
static INTEL: LazyLock<Arc<[Arc<Certificate>]>> =
    LazyLock::new(|| embedded(&[include_bytes!("intel-sgx-root-ca.der")]));

/// What is embedded can be read: a test sees to it.
fn embedded(ders: &[&'static [u8]]) -> Arc<[Arc<Certificate>]> {
    ders.iter().filter_map(|der| Certificate::parse(&Bytes::from_static(der)).ok().map(Arc::new)).collect()
}

impl TrustAnchors {
    /// The vendors' roots.
    pub(crate) fn vendors() -> Self {
        Self { amd: AMD.clone(), intel: INTEL.clone(), amd_is_vendors: true, intel_is_vendors: true }
    }

    /// The roots that a policy pins, each in place of the vendor's where given. Of what is refused, the vendor is named.
    pub(crate) fn pinned(written: &Written) -> Result<Self, (&'static str, String)> {
        let own = |vendor: &'static str, vendors: &Arc<[_]>, list: &Option<Vec<String>>| match list {
            None => Ok(vendors.clone()),
            Some(list) => load(vendor, list).map_err(|why| (vendor, why)),
        };
        Ok(Self {
            amd: own("amd", &AMD, &written.amd)?,
            intel: own("intel", &INTEL, &written.intel)?,
            amd_is_vendors: written.amd.is_none(),
            intel_is_vendors: written.intel.is_none(),
        })
    }

    /// Those in which the chains of a TEE may end.
    pub(crate) fn of(&self, tee: Tee) -> PinnedRoots<'_> {
        match tee {
            Tee::SevSnp => {
                PinnedRoots { vendor: "AMD", field: "amd", are_vendors: self.amd_is_vendors, roots: &self.amd }
            }
            Tee::Tdx => {
                PinnedRoots { vendor: "Intel", field: "intel", are_vendors: self.intel_is_vendors, roots: &self.intel }
            }
        }
    }
}

/// Roots as a policy writes them, PEM.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    amd: Option<Vec<String>>,
    intel: Option<Vec<String>>,
}

/// The roots in which the chains of one TEE may end.
#[derive(Clone, Copy, Debug)]
pub struct PinnedRoots<'a> {
    vendor: &'static str,
    field: &'static str,
    are_vendors: bool,
    roots: &'a [Arc<Certificate>],
}

impl PinnedRoots<'_> {
    /// The vendor whose evidence it is.
    pub const fn vendor(&self) -> &'static str {
        self.vendor
    }

    /// The field of `trust_anchors` that pins others.
    pub const fn field(&self) -> &'static str {
        self.field
    }

    /// Whether they are the vendor's, as this release carries them; else the policy pins them in their place.
    pub const fn are_vendors(&self) -> bool {
        self.are_vendors
    }

    /// Name and key of each, which tell it from every other.
    pub fn names(&self) -> Vec<String> {
        self.roots.iter().map(|root| root.name_and_key()).collect()
    }
}

/// Whose this ARK is, by its key.
pub(crate) fn whose_amd(pinned: &TrustAnchors, ark: &Certificate) -> Roots {
    whose(pinned.amd_is_vendors, &AMD, ark)
}

/// Whose this root CA is, by its key.
pub(crate) fn whose_intel(pinned: &TrustAnchors, root: &Certificate) -> Roots {
    whose(pinned.intel_is_vendors, &INTEL, root)
}

/// A policy may pin a vendor's own root by writing it down.
fn whose(are_vendors: bool, vendors: &[Arc<Certificate>], root: &Certificate) -> Roots {
    let is_root = |vendors: &Arc<Certificate>| vendors.spki == root.spki;
    if are_vendors || vendors.iter().any(is_root) { Roots::Vendors } else { Roots::Policy }
}

/// Whether AMD is known to have revoked this intermediate: the first ASK of Genoa, serial 0x20001, listed by AMD's Genoa
/// CRL since 2022-10-31. A verifier that was given no CRL still knows.
pub(crate) fn is_known_revoked(intermediate: &Certificate) -> bool {
    *intermediate.serial == [0x02, 0x00, 0x01] && intermediate.issuer_name() == Some("ARK-Genoa")
}

fn load(field: &str, list: &[String]) -> Result<Arc<[Arc<Certificate>]>, String> {
    let mut anchors = Vec::new();
    for text in list {
        let ders = pem::certificates(text.as_bytes())
            .filter(|ders| !ders.is_empty())
            .ok_or_else(|| format!("trust_anchors.{field}: expected certificates in PEM"))?;
        for der in ders {
            let root = Certificate::parse(&der.into())
                .map_err(|error| format!("trust_anchors.{field}: not a certificate: {}", error.0))?;
            if !root.is_self_signed() {
                return Err(format!(
                    "trust_anchors.{field}: `{}` is not self-signed: expected a root",
                    root.common_name().unwrap_or("?")
                ));
            }
            anchors.push(Arc::new(root));
        }
    }
    Ok(anchors.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::to_hex;
    use crate::signature::sha256;

    /// SHA-256 of certificate and of key, as two independent sources give them.
    const FINGERPRINTS: [(&str, &str, &str); 4] = [
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
        (
            "Intel SGX Root CA",
            "44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3",
            "a0af031289f5d5d4132f9186068a7fc13628633ba235777472e29b6b6c67a49e",
        ),
    ];

    #[test]
    fn the_embedded_roots_are_the_vendors_and_sign_themselves() {
        let anchors = TrustAnchors::vendors();
        let roots: Vec<_> = anchors.amd.iter().chain(anchors.intel.iter()).collect();
        let ders: [&[u8]; 4] = [
            include_bytes!("amd-ark-milan.der"),
            include_bytes!("amd-ark-genoa.der"),
            include_bytes!("amd-ark-turin.der"),
            include_bytes!("intel-sgx-root-ca.der"),
        ];
        assert_eq!(roots.len(), FINGERPRINTS.len());
        for ((root, der), (name, certificate, key)) in roots.into_iter().zip(ders).zip(FINGERPRINTS) {
            assert_eq!(root.common_name(), Some(name));
            assert_eq!(to_hex(&sha256(&[der])), certificate);
            assert_eq!(to_hex(&sha256(&[&root.spki])), key);
            assert!(root.is_self_signed());
        }
    }

    #[test]
    fn a_vendors_root_that_a_policy_writes_down_stays_the_vendors() {
        let written_down = TrustAnchors { amd_is_vendors: false, intel_is_vendors: false, ..TrustAnchors::vendors() };
        let (amd, intel) = (&AMD[1], &INTEL[0]);
        assert_eq!(whose_amd(&written_down, amd), Roots::Vendors);
        assert_eq!(whose_intel(&written_down, intel), Roots::Vendors);
        assert_eq!(whose_amd(&written_down, intel), Roots::Policy);
        assert_eq!(whose_intel(&written_down, amd), Roots::Policy);
    }
}
