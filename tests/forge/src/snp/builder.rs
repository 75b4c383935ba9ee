//! A forged AMD and a forged SEV-SNP device.
//!
//! The builder starts from a platform that nothing is wrong with; every method overrides one thing. What a real firmware would keep in step stays in
//! step (a lower REPORTED_TCB also gives a VCEK of that TCB); to break such a pair, edit one side of it.

use super::pki::LeafKind;
use super::product::{Product, Tcb};
use super::report::Report;
use crate::certificate::Certificate;
use crate::crl::Crl;
use crate::edits::Edits;
use crate::keys::Key;
use crate::time::AT;

/// Builds one device and what vouches for it. A clone is the same device with the same keys.
#[derive(Clone)]
pub struct SnpBuilder {
    pub(super) product: Product,
    pub(super) version: u32,
    pub(super) at: u64,
    pub(super) kind: LeafKind,
    pub(super) intermediate_kind: Option<LeafKind>,
    pub(super) csp_id: String,
    pub(super) tcb: Tcb,
    pub(super) reported_tcb: Option<Tcb>,
    pub(super) vek_tcb: Option<Tcb>,
    pub(super) chip_id: Option<[u8; 64]>,
    pub(super) vek_key: Key,
    pub(super) ark_key: Option<Key>,
    pub(super) intermediate_key: Option<Key>,
    pub(super) has_crl: bool,
    pub(super) revokes_intermediate: bool,
    pub(super) report: Edits<Report>,
    pub(super) report_bytes: Edits<Vec<u8>>,
    pub(super) signed_report_bytes: Edits<Vec<u8>>,
    pub(super) vek: Edits<Certificate>,
    pub(super) intermediate: Edits<Certificate>,
    pub(super) ark: Edits<Certificate>,
    pub(super) crl: Edits<Crl>,
}

impl SnpBuilder {
    pub(crate) fn new() -> Self {
        let product = Product::Genoa;
        Self {
            product,
            version: 5,
            at: AT,
            kind: LeafKind::Vcek,
            intermediate_kind: None,
            csp_id: String::new(),
            tcb: product.tcb(),
            reported_tcb: None,
            vek_tcb: None,
            chip_id: None,
            vek_key: Key::p384(),
            ark_key: None,
            intermediate_key: None,
            has_crl: true,
            revokes_intermediate: false,
            report: Edits::default(),
            report_bytes: Edits::default(),
            signed_report_bytes: Edits::default(),
            vek: Edits::default(),
            intermediate: Edits::default(),
            ark: Edits::default(),
            crl: Edits::default(),
        }
    }

    // ---- the platform ----

    /// Another product, with a TCB that is current for it. Call it first: overrides of a TCB are laid out for the product of that moment.
    pub fn product(mut self, product: Product) -> Self {
        self.product = product;
        self.tcb = product.tcb();
        self
    }

    /// Another version of the report (2, 3 and 5 exist); fields that this version does not have stay zero.
    pub fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// Centres every validity window on this instant.
    pub fn at(mut self, unix: u64) -> Self {
        self.at = unix;
        self
    }

    /// Signs with a VLEK of this provider instead of a VCEK: CSP_ID, ASVK, SIGNING_KEY 1, CHIP_ID zero.
    pub fn vlek(mut self, csp_id: &str) -> Self {
        self.kind = LeafKind::Vlek;
        self.csp_id = csp_id.to_owned();
        self
    }

    /// Every TCB of the report, and the VEK's.
    pub fn tcb(mut self, tcb: Tcb) -> Self {
        self.tcb = tcb;
        self
    }

    /// REPORTED_TCB, and the VEK of that TCB.
    pub fn reported_tcb(mut self, tcb: Tcb) -> Self {
        self.reported_tcb = Some(tcb);
        self
    }

    /// The SPLs in the VEK alone.
    pub fn vek_tcb(mut self, tcb: Tcb) -> Self {
        self.vek_tcb = Some(tcb);
        self
    }

    /// CHIP_ID, and the HWID in the VCEK.
    pub fn chip_id(mut self, chip_id: [u8; 64]) -> Self {
        self.chip_id = Some(chip_id);
        self
    }

    // ---- the report ----

    /// Any change to the report's fields.
    pub fn edit_report(mut self, edit: impl Fn(&mut Report) + Send + Sync + 'static) -> Self {
        self.report.push(edit);
        self
    }

    /// Overwrites bytes of the report before it is signed.
    pub fn patch_before_signing(mut self, offset: usize, bytes: &[u8]) -> Self {
        self.report_bytes.push(patch(offset, bytes));
        self
    }

    /// Overwrites bytes of the finished report.
    pub fn patch_after_signing(mut self, offset: usize, bytes: &[u8]) -> Self {
        self.signed_report_bytes.push(patch(offset, bytes));
        self
    }

    /// CURRENT_TCB alone.
    pub fn current_tcb(self, tcb: Tcb) -> Self {
        let product = self.product;
        self.edit_report(move |report| report.current_tcb = tcb.to_bytes(product))
    }

    /// COMMITTED_TCB alone.
    pub fn committed_tcb(self, tcb: Tcb) -> Self {
        let product = self.product;
        self.edit_report(move |report| report.committed_tcb = tcb.to_bytes(product))
    }

    /// LAUNCH_TCB alone.
    pub fn launch_tcb(self, tcb: Tcb) -> Self {
        let product = self.product;
        self.edit_report(move |report| report.launch_tcb = tcb.to_bytes(product))
    }

    /// POLICY.
    pub fn policy(self, policy: u64) -> Self {
        self.edit_report(move |report| report.policy = policy)
    }

    /// POLICY.DEBUG (bit 19).
    pub fn debug(self) -> Self {
        self.edit_report(|report| report.policy |= 1 << 19)
    }

    /// POLICY.MIGRATE_MA (bit 18).
    pub fn migration_agent(self) -> Self {
        self.edit_report(|report| report.policy |= 1 << 18)
    }

    /// GUEST_SVN.
    pub fn guest_svn(self, guest_svn: u32) -> Self {
        self.edit_report(move |report| report.guest_svn = guest_svn)
    }

    /// FAMILY_ID.
    pub fn family_id(self, family_id: [u8; 16]) -> Self {
        self.edit_report(move |report| report.family_id = family_id)
    }

    /// IMAGE_ID.
    pub fn image_id(self, image_id: [u8; 16]) -> Self {
        self.edit_report(move |report| report.image_id = image_id)
    }

    /// VMPL.
    pub fn vmpl(self, vmpl: u32) -> Self {
        self.edit_report(move |report| report.vmpl = vmpl)
    }

    /// SIGNATURE_ALGO.
    pub fn signature_algo(self, algorithm: u32) -> Self {
        self.edit_report(move |report| report.signature_algo = algorithm)
    }

    /// PLATFORM_INFO.
    pub fn platform_info(self, info: u64) -> Self {
        self.edit_report(move |report| report.platform_info = info)
    }

    /// FLAGS as a whole.
    pub fn flags(self, flags: u32) -> Self {
        self.edit_report(move |report| report.flags = flags)
    }

    /// FLAGS.SIGNING_KEY alone; the leaf stays what it is.
    pub fn signing_key(self, number: u32) -> Self {
        self.edit_report(move |report| report.flags = report.flags & !(7 << 2) | (number & 7) << 2)
    }

    /// FLAGS.MASK_CHIP_KEY; CHIP_ID stays what it is.
    pub fn mask_chip_key(self) -> Self {
        self.edit_report(|report| report.flags |= 2)
    }

    /// CHIP_ID zero while the VCEK keeps its HWID, as a host with masking shows it.
    pub fn masked_chip_id(self) -> Self {
        self.edit_report(|report| report.chip_id = [0; 64])
    }

    /// REPORT_DATA.
    pub fn report_data(self, report_data: [u8; 64]) -> Self {
        self.edit_report(move |report| report.report_data = report_data)
    }

    /// MEASUREMENT.
    pub fn measurement(self, measurement: [u8; 48]) -> Self {
        self.edit_report(move |report| report.measurement = measurement)
    }

    /// HOST_DATA.
    pub fn host_data(self, host_data: [u8; 32]) -> Self {
        self.edit_report(move |report| report.host_data = host_data)
    }

    /// ID_KEY_DIGEST.
    pub fn id_key_digest(self, digest: [u8; 48]) -> Self {
        self.edit_report(move |report| report.id_key_digest = digest)
    }

    /// AUTHOR_KEY_DIGEST together with FLAGS.AUTHOR_KEY_EN.
    pub fn author_key(self, digest: [u8; 48]) -> Self {
        self.edit_report(move |report| {
            report.author_key_digest = digest;
            report.flags |= 1;
        })
    }

    /// REPORT_ID.
    pub fn report_id(self, id: [u8; 32]) -> Self {
        self.edit_report(move |report| report.report_id = id)
    }

    /// REPORT_ID_MA.
    pub fn report_id_ma(self, id: [u8; 32]) -> Self {
        self.edit_report(move |report| report.report_id_ma = id)
    }

    /// CPUID family, model and stepping alone; chain and TCB layout stay those of the product.
    pub fn cpuid(self, family: u8, model: u8, stepping: u8) -> Self {
        self.edit_report(move |report| report.cpuid = [family, model, stepping])
    }

    /// CURRENT_MAJOR, _MINOR, _BUILD.
    pub fn current_firmware(self, major: u8, minor: u8, build: u8) -> Self {
        self.edit_report(move |report| report.current_firmware = [major, minor, build])
    }

    /// COMMITTED_MAJOR, _MINOR, _BUILD.
    pub fn committed_firmware(self, major: u8, minor: u8, build: u8) -> Self {
        self.edit_report(move |report| report.committed_firmware = [major, minor, build])
    }

    /// LAUNCH_MIT_VECTOR and CURRENT_MIT_VECTOR.
    pub fn mitigation_vectors(self, launch: u64, current: u64) -> Self {
        self.edit_report(move |report| (report.launch_mitigations, report.current_mitigations) = (launch, current))
    }
}

fn patch(offset: usize, bytes: &[u8]) -> impl Fn(&mut Vec<u8>) + Send + Sync + 'static {
    let bytes = bytes.to_vec();
    move |target| target[offset..offset + bytes.len()].copy_from_slice(&bytes)
}
