//! A forged Intel and a forged TDX platform.
//!
//! The builder starts from a platform that nothing is wrong with: an up-to-date TCB in all three parts, a TD that is not a debug TD, collateral that
//! is fresh. Every method overrides one thing; what Intel would keep in step stays in step (another FMSPC is in the PCK certificate and in the TCB
//! info), and to break such a pair one side of it is edited.

use super::collateral::{QeIdentity, SignedJson, TcbInfo};
use super::pki::PckCa;
use super::qe_report::QeReport;
use super::quote::QuoteParts;
use super::sgx_extension::SgxExtension;
use super::td_report::TdReport;
use crate::certificate::Certificate;
use crate::crl::Crl;
use crate::edits::Edits;
use crate::keys::Key;
use crate::time::AT;

/// Every private key of a forged Intel and its platform.
#[derive(Clone)]
pub struct TdxKeys {
    /// Intel SGX Root CA.
    pub root: Key,
    /// Intel SGX PCK Platform CA or Processor CA.
    pub pck_ca: Key,
    /// The platform's PCK, which signs the QE report.
    pub pck: Key,
    /// The attestation key of the Quoting Enclave, which signs the quote.
    pub attestation: Key,
    /// Intel SGX TCB Signing.
    pub tcb_signing: Key,
}

/// Builds one platform and what vouches for it. A clone is the same platform with the same keys.
#[derive(Clone)]
pub struct TdxBuilder {
    pub(super) at: u64,
    pub(super) version: u16,
    pub(super) body_type: u16,
    pub(super) ca: PckCa,
    pub(super) fmspc: [u8; 6],
    pub(super) pceid: [u8; 2],
    pub(super) auth_data: Vec<u8>,
    pub(super) keys: TdxKeys,
    pub(super) quote_signer: Option<Key>,
    pub(super) qe_report_signer: Option<Key>,
    pub(super) tcb_info_signer: Option<Key>,
    pub(super) qe_identity_signer: Option<Key>,
    pub(super) td_report: Edits<TdReport>,
    pub(super) qe_report: Edits<QeReport>,
    pub(super) parts: Edits<QuoteParts>,
    pub(super) quote_bytes: Edits<Vec<u8>>,
    pub(super) signed_quote_bytes: Edits<Vec<u8>>,
    pub(super) chain: Edits<Vec<Vec<u8>>>,
    pub(super) sgx_extension: Edits<SgxExtension>,
    pub(super) pck: Edits<Certificate>,
    pub(super) pck_ca: Edits<Certificate>,
    pub(super) root: Edits<Certificate>,
    pub(super) tcb_signing: Edits<Certificate>,
    pub(super) root_crl: Edits<Crl>,
    pub(super) pck_crl: Edits<Crl>,
    pub(super) tcb_info: Edits<TcbInfo>,
    pub(super) tcb_info_text: Edits<String>,
    pub(super) signed_tcb_info: Edits<SignedJson>,
    pub(super) qe_identity: Edits<QeIdentity>,
    pub(super) qe_identity_text: Edits<String>,
    pub(super) signed_qe_identity: Edits<SignedJson>,
}

/// Which of the certificates a CRL entry names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// The PCK certificate, on the PCK CRL.
    Pck,
    /// The PCK CA, on the root's CRL.
    PckCa,
    /// The TCB signing certificate, on the root's CRL.
    TcbSigning,
}

impl TdxBuilder {
    pub(crate) fn new() -> Self {
        Self {
            at: AT,
            version: 4,
            body_type: 2,
            ca: PckCa::Platform,
            fmspc: [0xB0, 0xC0, 0x6F, 0, 0, 0],
            pceid: [0, 0],
            auth_data: (0..32).collect(),
            keys: TdxKeys {
                root: Key::p256(),
                pck_ca: Key::p256(),
                pck: Key::p256(),
                attestation: Key::p256(),
                tcb_signing: Key::p256(),
            },
            quote_signer: None,
            qe_report_signer: None,
            tcb_info_signer: None,
            qe_identity_signer: None,
            td_report: Edits::default(),
            qe_report: Edits::default(),
            parts: Edits::default(),
            quote_bytes: Edits::default(),
            signed_quote_bytes: Edits::default(),
            chain: Edits::default(),
            sgx_extension: Edits::default(),
            pck: Edits::default(),
            pck_ca: Edits::default(),
            root: Edits::default(),
            tcb_signing: Edits::default(),
            root_crl: Edits::default(),
            pck_crl: Edits::default(),
            tcb_info: Edits::default(),
            tcb_info_text: Edits::default(),
            signed_tcb_info: Edits::default(),
            qe_identity: Edits::default(),
            qe_identity_text: Edits::default(),
            signed_qe_identity: Edits::default(),
        }
    }

    // ---- the platform ----

    /// Centres every validity window on this instant.
    pub fn at(mut self, unix: u64) -> Self {
        self.at = unix;
        self
    }

    /// A version 4 quote: TD report 1.0, no body descriptor. The default.
    pub fn version_4(mut self) -> Self {
        (self.version, self.body_type) = (4, 2);
        self
    }

    /// A version 5 quote with a body of this type: 2 (TD report 1.0), 3 (1.5) or 4 (1.5-EX).
    pub fn version_5(mut self, body_type: u16) -> Self {
        (self.version, self.body_type) = (5, body_type);
        self
    }

    /// Who issued the PCK certificate: its names, its CRL, the members of its SGX extension.
    pub fn pck_issuer(mut self, ca: PckCa) -> Self {
        self.ca = ca;
        self
    }

    /// FMSPC of the PCK certificate and of the TCB info.
    pub fn fmspc(mut self, fmspc: [u8; 6]) -> Self {
        self.fmspc = fmspc;
        self
    }

    /// PCEID of the PCK certificate and of the TCB info.
    pub fn pceid(mut self, pceid: [u8; 2]) -> Self {
        self.pceid = pceid;
        self
    }

    /// QE authentication data of any length, bound by the QE report.
    pub fn auth_data(mut self, bytes: &[u8]) -> Self {
        self.auth_data = bytes.to_vec();
        self
    }

    /// The private keys, to sign something with the wrong one.
    pub fn keys(&self) -> TdxKeys {
        self.keys.clone()
    }

    /// Other private keys, in step with the certificates.
    pub fn with_keys(mut self, edit: impl FnOnce(&mut TdxKeys)) -> Self {
        edit(&mut self.keys);
        self
    }

    // ---- the quote ----

    /// Any change to the TD report.
    pub fn edit_td_report(mut self, edit: impl Fn(&mut TdReport) + Send + Sync + 'static) -> Self {
        self.td_report.push(edit);
        self
    }

    /// Any change to the QE report, before the PCK signs it.
    pub fn edit_qe_report(mut self, edit: impl Fn(&mut QeReport) + Send + Sync + 'static) -> Self {
        self.qe_report.push(edit);
        self
    }

    /// Any change to the parts of the quote, before the attestation key signs it: type words, declared lengths, keys, signatures.
    pub fn edit_quote(mut self, edit: impl Fn(&mut QuoteParts) + Send + Sync + 'static) -> Self {
        self.parts.push(edit);
        self
    }

    /// Overwrites bytes of header, descriptor or body before they are signed.
    pub fn patch_before_signing(mut self, offset: usize, bytes: &[u8]) -> Self {
        self.quote_bytes.push(patch(offset, bytes));
        self
    }

    /// Overwrites bytes of the finished quote.
    pub fn patch_after_signing(mut self, offset: usize, bytes: &[u8]) -> Self {
        self.signed_quote_bytes.push(patch(offset, bytes));
        self
    }

    /// REPORTDATA.
    pub fn report_data(self, report_data: [u8; 64]) -> Self {
        self.edit_td_report(move |td| td.report_data = report_data)
    }

    /// MRTD.
    pub fn mrtd(self, mrtd: [u8; 48]) -> Self {
        self.edit_td_report(move |td| td.mrtd = mrtd)
    }

    /// One RTMR.
    pub fn rtmr(self, index: usize, value: [u8; 48]) -> Self {
        self.edit_td_report(move |td| td.rtmr[index] = value)
    }

    /// MRCONFIGID.
    pub fn mrconfigid(self, value: [u8; 48]) -> Self {
        self.edit_td_report(move |td| td.mrconfigid = value)
    }

    /// TDATTRIBUTES.
    pub fn attributes(self, attributes: u64) -> Self {
        self.edit_td_report(move |td| td.attributes = attributes)
    }

    /// TDATTRIBUTES.DEBUG (bit 0).
    pub fn debug(self) -> Self {
        self.edit_td_report(|td| td.attributes |= 1)
    }

    /// XFAM.
    pub fn xfam(self, xfam: u64) -> Self {
        self.edit_td_report(move |td| td.xfam = xfam)
    }

    /// MRSERVICETD (body types 3 and 4).
    pub fn mrservicetd(self, value: [u8; 48]) -> Self {
        self.edit_td_report(move |td| td.mrservicetd = value)
    }

    /// TEE_TCB_SVN: module minor, module major, last SEAM patch. TEE_TCB_SVN2 stays.
    pub fn tee_tcb_svn(self, minor: u8, major: u8, patch: u8) -> Self {
        self.edit_td_report(move |td| td.tee_tcb_svn[..3].copy_from_slice(&[minor, major, patch]))
    }

    /// TEE_TCB_SVN2 (body types 3 and 4).
    pub fn tee_tcb_svn2(self, minor: u8, major: u8, patch: u8) -> Self {
        self.edit_td_report(move |td| td.tee_tcb_svn2[..3].copy_from_slice(&[minor, major, patch]))
    }

    /// ISVSVN of the QE.
    pub fn qe_isvsvn(self, isvsvn: u16) -> Self {
        self.edit_qe_report(move |qe| qe.isvsvn = isvsvn)
    }

    /// Bytes behind the quote.
    pub fn trailing(self, bytes: &[u8]) -> Self {
        let bytes = bytes.to_vec();
        self.edit_quote(move |quote| quote.trailing = bytes.clone())
    }

    /// Signs header and body with another key than the one in the quote.
    pub fn quote_signed_by(mut self, key: Key) -> Self {
        self.quote_signer = Some(key);
        self
    }

    /// Signs the QE report with another key than the PCK.
    pub fn qe_report_signed_by(mut self, key: Key) -> Self {
        self.qe_report_signer = Some(key);
        self
    }

    /// The certificates inside the quote (DER: leaf, intermediate, root), to reorder, drop or add.
    pub fn edit_chain(mut self, edit: impl Fn(&mut Vec<Vec<u8>>) + Send + Sync + 'static) -> Self {
        self.chain.push(edit);
        self
    }

    /// Certification data of type 3, an encrypted PPID, instead of the PEM chain.
    pub fn certification_data_3(self) -> Self {
        self.edit_quote(|quote| {
            let mut data = vec![0xEE; 384];
            data.extend(PLATFORM_COMPONENTS);
            data.extend(PLATFORM_PCESVN.to_le_bytes());
            data.extend([0, 0]);
            (quote.inner_type, quote.inner_data) = (3, data);
        })
    }
}

/// The SGX components of the default platform: CPUSVN, and the level that it matches.
pub const PLATFORM_COMPONENTS: [u8; 16] = [4, 4, 2, 2, 4, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0];

/// The PCESVN of the default platform.
pub const PLATFORM_PCESVN: u16 = 11;

/// TEE_TCB_SVN of the default platform: module 1, SVN 11, SEAM patch 4.
pub const PLATFORM_TEE_TCB_SVN: [u8; 16] = [11, 1, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn patch(offset: usize, bytes: &[u8]) -> impl Fn(&mut Vec<u8>) + Send + Sync + 'static {
    let bytes = bytes.to_vec();
    move |target| target[offset..offset + bytes.len()].copy_from_slice(&bytes)
}
