//! Overrides of what vouches for a report: leaf, authorities, revocation list.

use super::{LeafKind, SnpBuilder, oid};
use crate::certificate::{Certificate, Extension};
use crate::crl::Crl;
use crate::der;
use crate::keys::Key;

impl SnpBuilder {
    // ---- the leaf ----

    /// Any change to the VEK certificate.
    pub fn edit_vek(mut self, edit: impl Fn(&mut Certificate) + Send + Sync + 'static) -> Self {
        self.vek.push(edit);
        self
    }

    /// The key that signs the report and stands in the VEK certificate; of any kind.
    pub fn vek_key(mut self, key: Key) -> Self {
        self.vek_key = key;
        self
    }

    /// notBefore and notAfter of the VEK.
    pub fn vek_validity(self, not_before: u64, not_after: u64) -> Self {
        self.edit_vek(move |vek| (vek.not_before, vek.not_after) = (not_before, not_after))
    }

    /// Replaces or adds an extension of the VEK (see [`oid`]); `value` is what stands inside `extnValue`.
    pub fn vek_extension(self, oid: &str, value: Vec<u8>) -> Self {
        let extension = Extension::new(oid, value);
        self.edit_vek(move |vek| vek.set_extension(extension.clone()))
    }

    /// Leaves an extension of the VEK out.
    pub fn drop_vek_extension(self, oid: &'static str) -> Self {
        self.edit_vek(move |vek| vek.drop_extension(oid))
    }

    /// Repeats an extension of the VEK at its end.
    pub fn duplicate_vek_extension(self, oid: &'static str) -> Self {
        self.edit_vek(move |vek| vek.duplicate_extension(oid))
    }

    /// One SPL of the VEK alone.
    pub fn vek_spl(self, oid: &str, value: u64) -> Self {
        self.vek_extension(oid, der::integer(value))
    }

    /// HWID alone, as raw bytes of any length.
    pub fn hwid(self, hwid: &[u8]) -> Self {
        self.vek_extension(oid::HWID, hwid.to_vec())
    }

    /// HWID inside an OCTET STRING, which real leaves do not have.
    pub fn hwid_in_octet_string(self) -> Self {
        self.edit_vek(|vek| {
            let hwid = vek.extensions.iter_mut().find(|extension| extension.oid == oid::HWID);
            let hwid = hwid.expect("a VCEK has an HWID");
            hwid.value = der::octet_string(&hwid.value);
        })
    }

    /// CSP_ID alone.
    pub fn csp_id(self, csp_id: &str) -> Self {
        self.vek_extension(oid::CSP_ID, der::element(der::tag::IA5_STRING, csp_id.as_bytes()))
    }

    /// productName of the VEK.
    pub fn product_name(self, name: &str) -> Self {
        self.vek_extension(oid::PRODUCT_NAME, der::element(der::tag::IA5_STRING, name.as_bytes()))
    }

    // ---- the authorities ----

    /// Any change to the intermediate (ASK or ASVK).
    pub fn edit_intermediate(mut self, edit: impl Fn(&mut Certificate) + Send + Sync + 'static) -> Self {
        self.intermediate.push(edit);
        self
    }

    /// Any change to the ARK certificate.
    pub fn edit_ark(mut self, edit: impl Fn(&mut Certificate) + Send + Sync + 'static) -> Self {
        self.ark.push(edit);
        self
    }

    /// The other intermediate: an ASVK over a VCEK, or an ASK over a VLEK.
    pub fn under_intermediate(mut self, kind: LeafKind) -> Self {
        self.intermediate_kind = Some(kind);
        self
    }

    /// Another root key: the same names, a stranger's chain. The twin's `ark_pem` is what a policy pins.
    pub fn ark_key(mut self, key: Key) -> Self {
        self.ark_key = Some(key);
        self
    }

    /// Another key of the intermediate.
    pub fn intermediate_key(mut self, key: Key) -> Self {
        self.intermediate_key = Some(key);
        self
    }

    // ---- revocation ----

    /// Any change to the CRL.
    pub fn edit_crl(mut self, edit: impl Fn(&mut Crl) + Send + Sync + 'static) -> Self {
        self.crl.push(edit);
        self
    }

    /// No CRL at all.
    pub fn without_crl(mut self) -> Self {
        self.has_crl = false;
        self
    }

    /// thisUpdate and nextUpdate of the CRL.
    pub fn crl_window(self, this_update: u64, next_update: Option<u64>) -> Self {
        self.edit_crl(move |crl| (crl.this_update, crl.next_update) = (this_update, next_update))
    }

    /// Puts a serial number on the CRL.
    pub fn revoke(self, serial: u64) -> Self {
        self.edit_crl(move |crl| crl.revoke(&der::unsigned(&serial.to_be_bytes())))
    }

    /// Puts the intermediate on the CRL, by whatever serial number it has.
    pub fn revoke_intermediate(mut self) -> Self {
        self.revokes_intermediate = true;
        self
    }
}
