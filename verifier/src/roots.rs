//! The vendors' roots that this build pins, and those that a policy pins instead.
//!
//! Each platform's folder has the bytes of its vendor's roots as the vendor publishes them. What is compared is the *key*: a
//! vendor may publish several certificates of one root key.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use serde::Deserialize;

use crate::report::Roots;
use crate::x509::certificate::Certificate;
use crate::x509::pem;

/// Who makes the hardware, and in whose roots the chains of its evidence end.
pub(crate) struct Vendor {
    pub(crate) name: &'static str,
    /// The field of `trust_anchors` that pins others in place of its roots.
    pub(crate) field: &'static str,
    /// Its roots as this build carries them.
    pub(crate) roots: LazyLock<Pinned>,
}

/// Root certificates.
pub(crate) type Pinned = Arc<[Arc<Certificate>]>;

impl fmt::Debug for Vendor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// What is embedded can be read: a test of each vendor sees to it.
pub(crate) fn embedded(ders: &[&'static [u8]]) -> Pinned {
    ders.iter().filter_map(|der| Certificate::parse(&Bytes::from_static(der)).ok().map(Arc::new)).collect()
}

/// Roots that a chain may end in: the vendors', or those that a policy pins in their place.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrustAnchors(Vec<(&'static Vendor, Pinned)>);

impl TrustAnchors {
    /// The roots that a policy pins, each in place of the vendor's where given. Of what is refused, the vendor is named.
    pub(crate) fn pinned(written: &Written, vendors: &[&'static Vendor]) -> Result<Self, (&'static Vendor, String)> {
        let own = vendors.iter().filter_map(|vendor| Some((*vendor, written.0.get(vendor.field)?)));
        own.map(|(vendor, list)| match load(vendor.field, list) {
            Ok(roots) => Ok((vendor, roots)),
            Err(why) => Err((vendor, why)),
        })
        .collect::<Result<_, _>>()
        .map(Self)
    }

    /// Those in which the chains of this vendor's hardware may end.
    pub(crate) fn of(&self, vendor: &'static Vendor) -> PinnedRoots<'_> {
        let own = self.0.iter().find(|(whose, _)| whose.field == vendor.field);
        PinnedRoots { vendor, are_vendors: own.is_none(), roots: own.map_or(&vendor.roots, |(_, roots)| roots) }
    }
}

/// Roots as a policy writes them, PEM, by the vendor in whose place they stand.
#[derive(Default, Deserialize)]
pub(crate) struct Written(BTreeMap<String, Vec<String>>);

/// The roots in which the chains of one TEE may end.
#[derive(Clone, Copy, Debug)]
pub struct PinnedRoots<'a> {
    vendor: &'static Vendor,
    are_vendors: bool,
    roots: &'a Pinned,
}

impl<'a> PinnedRoots<'a> {
    /// The vendor whose evidence it is.
    pub const fn vendor(&self) -> &'static str {
        self.vendor.name
    }

    /// The field of `trust_anchors` that pins others.
    pub const fn field(&self) -> &'static str {
        self.vendor.field
    }

    /// Whether they are the vendor's, as this release carries them; else the policy pins them in their place.
    pub const fn are_vendors(&self) -> bool {
        self.are_vendors
    }

    /// Name and key of each, which tell it from every other.
    pub fn names(&self) -> Vec<String> {
        self.roots.iter().map(|root| root.name_and_key()).collect()
    }

    /// The roots.
    pub(crate) const fn roots(&self) -> &'a Pinned {
        self.roots
    }

    /// Whose this root is, by its key. A policy may pin a vendor's own root by writing it down.
    pub(crate) fn whose(&self, root: &Certificate) -> Roots {
        let is_root = |vendors: &Arc<Certificate>| vendors.spki == root.spki;
        if self.are_vendors || self.vendor.roots.iter().any(is_root) { Roots::Vendors } else { Roots::Policy }
    }
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
    use crate::intel::roots::INTEL;
    use crate::sev_snp::roots::AMD;

    #[test]
    fn a_vendors_root_that_a_policy_writes_down_stays_the_vendors() {
        let [amd, intel] = [&AMD, &INTEL].map(|vendor| (vendor, vendor.roots.clone()));
        let written_down = TrustAnchors(vec![amd, intel]);
        let (amd, intel) = (written_down.of(&AMD), written_down.of(&INTEL));
        assert!(!amd.are_vendors() && !intel.are_vendors());
        assert_eq!(amd.whose(&AMD.roots[1]), Roots::Vendors);
        assert_eq!(intel.whose(&INTEL.roots[0]), Roots::Vendors);
        assert_eq!(amd.whose(&INTEL.roots[0]), Roots::Policy);
        assert_eq!(intel.whose(&AMD.roots[1]), Roots::Policy);
    }

    #[test]
    fn what_is_pinned_for_one_vendor_is_pinned_for_no_other() {
        let anchors = TrustAnchors(vec![(&AMD, INTEL.roots.clone())]);
        assert_eq!(anchors.of(&AMD).names(), INTEL.roots.iter().map(|root| root.name_and_key()).collect::<Vec<_>>());
        assert!(anchors.of(&INTEL).are_vendors() && Arc::ptr_eq(anchors.of(&INTEL).roots(), &INTEL.roots));
    }
}
