//! Overrides of what vouches for a quote: certificates, revocation lists, signed collateral.

use super::{QeIdentity, Revoked, SgxExtension, SignedJson, TcbInfo, TdxBuilder};
use crate::certificate::Certificate;
use crate::crl::Crl;
use crate::der;
use crate::keys::Key;

impl TdxBuilder {
    // ---- certificates ----

    /// Any change to the SGX extension of the PCK certificate.
    pub fn edit_sgx_extension(mut self, edit: impl Fn(&mut SgxExtension) + Send + Sync + 'static) -> Self {
        self.sgx_extension.push(edit);
        self
    }

    /// CPUSVN and the equal components of the PCK certificate, and its PCESVN.
    pub fn platform_tcb(self, components: [u8; 16], pcesvn: u16) -> Self {
        self.edit_sgx_extension(move |sgx| {
            (sgx.components, sgx.cpusvn, sgx.pcesvn) = (components, components.to_vec(), pcesvn);
        })
    }

    /// Any change to the PCK certificate.
    pub fn edit_pck(mut self, edit: impl Fn(&mut Certificate) + Send + Sync + 'static) -> Self {
        self.pck.push(edit);
        self
    }

    /// Any change to the PCK CA's certificate.
    pub fn edit_pck_ca(mut self, edit: impl Fn(&mut Certificate) + Send + Sync + 'static) -> Self {
        self.pck_ca.push(edit);
        self
    }

    /// Any change to the root certificate.
    pub fn edit_root(mut self, edit: impl Fn(&mut Certificate) + Send + Sync + 'static) -> Self {
        self.root.push(edit);
        self
    }

    /// Any change to the TCB signing certificate.
    pub fn edit_tcb_signing(mut self, edit: impl Fn(&mut Certificate) + Send + Sync + 'static) -> Self {
        self.tcb_signing.push(edit);
        self
    }

    // ---- revocation ----

    /// Any change to the root's CRL.
    pub fn edit_root_crl(mut self, edit: impl Fn(&mut Crl) + Send + Sync + 'static) -> Self {
        self.root_crl.push(edit);
        self
    }

    /// Any change to the PCK CRL.
    pub fn edit_pck_crl(mut self, edit: impl Fn(&mut Crl) + Send + Sync + 'static) -> Self {
        self.pck_crl.push(edit);
        self
    }

    /// Puts a certificate on the CRL of its issuer.
    pub fn revoke(self, which: Revoked) -> Self {
        let key = match which {
            Revoked::Pck => &self.keys.pck,
            Revoked::PckCa => &self.keys.pck_ca,
            Revoked::TcbSigning => &self.keys.tcb_signing,
        };
        let serial = der::unsigned(&key.key_identifier());
        match which {
            Revoked::Pck => self.edit_pck_crl(move |crl| crl.revoke(&serial)),
            Revoked::PckCa | Revoked::TcbSigning => self.edit_root_crl(move |crl| crl.revoke(&serial)),
        }
    }

    // ---- collateral ----

    /// Any change to the TCB info.
    pub fn edit_tcb_info(mut self, edit: impl Fn(&mut TcbInfo) + Send + Sync + 'static) -> Self {
        self.tcb_info.push(edit);
        self
    }

    /// Any change to the text of the TCB info before it is signed.
    pub fn edit_tcb_info_text(mut self, edit: impl Fn(&mut String) + Send + Sync + 'static) -> Self {
        self.tcb_info_text.push(edit);
        self
    }

    /// Any change to the TCB info after it was signed.
    pub fn edit_signed_tcb_info(mut self, edit: impl Fn(&mut SignedJson) + Send + Sync + 'static) -> Self {
        self.signed_tcb_info.push(edit);
        self
    }

    /// Signs the TCB info with another key.
    pub fn tcb_info_signed_by(mut self, key: Key) -> Self {
        self.tcb_info_signer = Some(key);
        self
    }

    /// Any change to the QE identity.
    pub fn edit_qe_identity(mut self, edit: impl Fn(&mut QeIdentity) + Send + Sync + 'static) -> Self {
        self.qe_identity.push(edit);
        self
    }

    /// Any change to the text of the QE identity before it is signed.
    pub fn edit_qe_identity_text(mut self, edit: impl Fn(&mut String) + Send + Sync + 'static) -> Self {
        self.qe_identity_text.push(edit);
        self
    }

    /// Any change to the QE identity after it was signed.
    pub fn edit_signed_qe_identity(mut self, edit: impl Fn(&mut SignedJson) + Send + Sync + 'static) -> Self {
        self.signed_qe_identity.push(edit);
        self
    }

    /// Signs the QE identity with another key.
    pub fn qe_identity_signed_by(mut self, key: Key) -> Self {
        self.qe_identity_signer = Some(key);
        self
    }

    /// issueDate and nextUpdate of the TCB info.
    pub fn tcb_info_window(self, issue_date: u64, next_update: u64) -> Self {
        self.edit_tcb_info(move |info| (info.issue_date, info.next_update) = (issue_date, next_update))
    }

    /// issueDate and nextUpdate of the QE identity.
    pub fn qe_identity_window(self, issue_date: u64, next_update: u64) -> Self {
        self.edit_qe_identity(move |identity| (identity.issue_date, identity.next_update) = (issue_date, next_update))
    }

    /// tcbEvaluationDataNumber of both.
    pub fn evaluation_number(self, number: u32) -> Self {
        self.edit_tcb_info(move |info| info.evaluation_number = number)
            .edit_qe_identity(move |identity| identity.evaluation_number = number)
    }

    /// Status of the level that the platform matches.
    pub fn platform_status(self, status: &str) -> Self {
        let status = status.to_owned();
        self.edit_tcb_info(move |info| info.levels[0].status.clone_from(&status))
    }

    /// Advisories of the level that the platform matches.
    pub fn platform_advisories(self, ids: &[&str]) -> Self {
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        self.edit_tcb_info(move |info| info.levels[0].advisories.clone_from(&ids))
    }

    /// Status of the level that the TDX module matches.
    pub fn module_status(self, status: &str) -> Self {
        let status = status.to_owned();
        self.edit_tcb_info(move |info| {
            let identity = info.module_identities.as_mut().and_then(|identities| identities.first_mut());
            identity.expect("the TCB info names the module").levels[0].status.clone_from(&status);
        })
    }

    /// Status of the level that the QE matches.
    pub fn qe_status(self, status: &str) -> Self {
        let status = status.to_owned();
        self.edit_qe_identity(move |identity| identity.levels[0].status.clone_from(&status))
    }
}
