//! From the builder to bytes.

use aws_lc_rs::digest::{SHA256, digest};

use super::builder::{PLATFORM_COMPONENTS, PLATFORM_PCESVN, PLATFORM_TEE_TCB_SVN, TdxBuilder};
use super::collateral::{IsvLevel, ModuleIdentity, ModuleSigner, QeIdentity, SignedJson, TcbInfo, TcbLevel};
use super::pki::{self, PckCa};
use super::qe_report::QeReport;
use super::quote::{INTEL_QE_VENDOR_ID, QuoteParts};
use super::sgx_extension::SgxExtension;
use super::td_report::{TdReport, extended};
use crate::edits::Edits;
use crate::json::{object, string};
use crate::keys::Key;
use crate::time::{DAY, YEAR, midnight};
use crate::{coco, pem};

/// A quote and everything that vouches for it; certificates and CRLs in DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TdxSet {
    /// The quote, with whatever was put behind it.
    pub quote: Vec<u8>,
    /// PCK certificate.
    pub pck: Vec<u8>,
    /// PCK Platform CA or Processor CA.
    pub pck_ca: Vec<u8>,
    /// The root.
    pub root: Vec<u8>,
    /// TCB signing certificate.
    pub tcb_signing: Vec<u8>,
    /// The root's CRL.
    pub root_crl: Vec<u8>,
    /// The PCK CA's CRL.
    pub pck_crl: Vec<u8>,
    /// TCB info.
    pub tcb_info: SignedJson,
    /// QE identity.
    pub qe_identity: SignedJson,
    /// The root in PEM, as a policy pins it.
    pub root_pem: String,
}

impl TdxSet {
    /// What a verifier needs besides the quote's own chain: TCB signing certificate and root.
    pub fn certificates(&self) -> Vec<Vec<u8>> {
        vec![self.tcb_signing.clone(), self.root.clone()]
    }

    /// PCK certificate, its CA, root: what certification data of type 3 leaves out.
    pub fn pck_chain(&self) -> Vec<Vec<u8>> {
        vec![self.pck.clone(), self.pck_ca.clone(), self.root.clone()]
    }

    /// Root CRL and PCK CRL.
    pub fn crls(&self) -> Vec<Vec<u8>> {
        vec![self.root_crl.clone(), self.pck_crl.clone()]
    }

    /// The body of Intel's answer to a TCB info request.
    pub fn tcb_info_response(&self) -> String {
        self.tcb_info.response("tcbInfo")
    }

    /// The body of Intel's answer to a QE identity request.
    pub fn qe_identity_response(&self) -> String {
        self.qe_identity.response("enclaveIdentity")
    }

    /// The TCB signing chain in PEM, signer first, as Intel's issuer-chain headers carry it (there percent-encoded).
    pub fn tcb_signing_chain_pem(&self) -> String {
        pem::chain(&self.certificates())
    }

    /// Collateral in one JSON object with the member names of `dcap-qvl`; the PCK chain is added for certification data of type 3.
    pub fn dcap_collateral(&self, with_pck_chain: bool) -> String {
        let signing_chain = string_of_pem(&self.tcb_signing_chain_pem());
        let mut members = vec![
            ("pck_crl_issuer_chain", string_of_pem(&pem::chain(&[&self.pck_ca, &self.root]))),
            ("root_ca_crl", string(&hex::encode(&self.root_crl))),
            ("pck_crl", string(&hex::encode(&self.pck_crl))),
            ("tcb_info_issuer_chain", signing_chain.clone()),
            ("tcb_info", string(&self.tcb_info.body)),
            ("tcb_info_signature", string(&hex::encode(self.tcb_info.signature))),
            ("qe_identity_issuer_chain", signing_chain),
            ("qe_identity", string(&self.qe_identity.body)),
            ("qe_identity_signature", string(&hex::encode(self.qe_identity.signature))),
        ];
        if with_pck_chain {
            members.push(("pck_certificate_chain", string_of_pem(&pem::chain(&self.pck_chain()))));
        }
        object(&members)
    }

    /// The evidence JSON of the CoCo attestation agent.
    pub fn coco_evidence(&self) -> String {
        coco::tdx_evidence(&self.quote)
    }
}

fn string_of_pem(pem: &str) -> String {
    string(pem).replace("\\u000a", "\\n")
}

impl TdxBuilder {
    /// The quote and everything that vouches for it.
    pub fn build(&self) -> TdxSet {
        let keys = &self.keys;
        let root = self.root.apply(pki::root(&keys.root, self.at)).to_der();
        let pck_ca = self.pck_ca.apply(pki::pck_ca(self.ca, &keys.pck_ca, &keys.root, self.at)).to_der();
        let sgx = self.sgx_extension.apply(self.sgx_extension_template());
        let pck = self.pck.apply(pki::pck(self.ca, &sgx, &keys.pck, &keys.pck_ca, self.at)).to_der();
        let tcb_signing = self.tcb_signing.apply(pki::tcb_signing(&keys.tcb_signing, &keys.root, self.at)).to_der();
        let root_crl = self.root_crl.apply(pki::root_crl(&keys.root, self.at)).to_der();
        let pck_crl = self.pck_crl.apply(pki::pck_crl(self.ca, &keys.pck_ca, self.at)).to_der();

        let tcb_info = self.tcb_info_text.apply(self.tcb_info.apply(self.tcb_info_template()).to_json());
        let tcb_info = self.sign_json(tcb_info, self.tcb_info_signer.as_ref(), &self.signed_tcb_info);
        let qe_identity = self.qe_identity_text.apply(self.qe_identity.apply(self.qe_identity_template()).to_json());
        let qe_identity = self.sign_json(qe_identity, self.qe_identity_signer.as_ref(), &self.signed_qe_identity);

        let mut set = TdxSet {
            quote: Vec::new(),
            pck,
            pck_ca,
            root_pem: pem::certificate(&root),
            root,
            tcb_signing,
            root_crl,
            pck_crl,
            tcb_info,
            qe_identity,
        };
        set.quote = self.quote_under(&set);
        set
    }

    /// Which PCK CA vouches for the platform, and its FMSPC: what its collateral is asked for by.
    pub(crate) fn platform(&self) -> (PckCa, [u8; 6]) {
        (self.ca, self.fmspc)
    }

    /// Another quote of the same platform, carrying the certificates of a set that was built before.
    pub fn quote_under(&self, set: &TdxSet) -> Vec<u8> {
        let chain = self.chain.apply(set.pck_chain());
        let parts = self.parts.apply(self.quote_template(&chain));
        let bytes = self.quote_bytes.apply(parts.signed_bytes());
        let signature = self.quote_signer.as_ref().unwrap_or(&self.keys.attestation).sign(&bytes);
        self.signed_quote_bytes.apply(parts.to_bytes(bytes, &signature))
    }

    /// The TD report's fields as they will be written.
    pub fn td_report_fields(&self) -> TdReport {
        self.td_report.apply(self.td_report_template())
    }

    fn quote_template(&self, chain: &[Vec<u8>]) -> QuoteParts {
        let attestation_key = self.keys.attestation.point();
        let bound = digest(&SHA256, &[&attestation_key[..], &self.auth_data].concat());
        let qe_report = self.qe_report.apply(qe_report_template(bound.as_ref())).to_bytes();
        let qe_report_signature = self.qe_report_signer.as_ref().unwrap_or(&self.keys.pck).sign(&qe_report);
        QuoteParts {
            version: self.version,
            attestation_key_type: 2,
            tee_type: 0x81,
            reserved: [0; 4],
            qe_vendor_id: INTEL_QE_VENDOR_ID,
            user_data: [0x1F, 0x85, 0xFC, 0xC1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0, 0, 0],
            body_type: self.body_type,
            body_size: None,
            body: self.td_report_fields().to_bytes(self.body_type),
            signature_data_length: None,
            signature: None,
            attestation_key: attestation_key.try_into().expect("a P-256 point has 64 bytes"),
            outer_type: 6,
            outer_length: None,
            qe_report,
            qe_report_signature: fixed_signature(&qe_report_signature),
            auth_data: self.auth_data.clone(),
            auth_data_length: None,
            inner_type: 5,
            inner_length: None,
            inner_data: pem::chain(chain).into_bytes(),
            inner_trailing: Vec::new(),
            trailing: Vec::new(),
        }
    }

    fn td_report_template(&self) -> TdReport {
        let mut extension = [0; 237];
        extension[extended::TD_ID..extended::TD_ID + 32].fill(0x1D);
        TdReport {
            tee_tcb_svn: PLATFORM_TEE_TCB_SVN,
            mrseam: [0x5E; 48],
            mrsignerseam: [0; 48],
            seam_attributes: 0,
            attributes: 1 << 28,
            xfam: 0x0006_02E7,
            mrtd: [0x7D; 48],
            mrconfigid: [0; 48],
            mrowner: [0; 48],
            mrownerconfig: [0; 48],
            rtmr: [[0xA0; 48], [0xA1; 48], [0xA2; 48], [0xA3; 48]],
            report_data: [0; 64],
            tee_tcb_svn2: PLATFORM_TEE_TCB_SVN,
            mrservicetd: [0; 48],
            extended: extension,
        }
    }

    fn sgx_extension_template(&self) -> SgxExtension {
        let is_platform = self.ca == PckCa::Platform;
        SgxExtension {
            ppid: vec![0x99; 16],
            components: PLATFORM_COMPONENTS,
            pcesvn: PLATFORM_PCESVN,
            cpusvn: PLATFORM_COMPONENTS.to_vec(),
            pceid: self.pceid.to_vec(),
            fmspc: self.fmspc.to_vec(),
            sgx_type: u8::from(is_platform),
            platform_instance_id: is_platform.then(|| vec![0x77; 16]),
            configuration: is_platform.then_some([true, true, true]),
            dropped: Vec::new(),
            duplicated: Vec::new(),
            replaced: Vec::new(),
            appended: Vec::new(),
        }
    }

    /// Three platform levels (current, a year older, very old) and two each of module and QE; dates are midnights before the centre.
    fn tcb_info_template(&self) -> TcbInfo {
        let [current, old] = self.level_dates();
        let advisories = ["INTEL-SA-01192", "INTEL-SA-01245"].map(str::to_owned).to_vec();
        let module = |id: &str, isvsvn: u16| ModuleIdentity {
            id: id.to_owned(),
            signer: ModuleSigner::intel(),
            levels: vec![
                IsvLevel::new(isvsvn, current, "UpToDate"),
                IsvLevel { advisories: advisories.clone(), ..IsvLevel::new(2, old, "OutOfDate") },
            ],
        };
        let level = |sgx: [u8; 16], pcesvn, patch, date, status: &str, advisories: &[String]| TcbLevel {
            sgx,
            pcesvn,
            tdx: Some([5, 0, patch, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            date,
            status: status.to_owned(),
            advisories: advisories.to_vec(),
        };
        let older = [3, 3, 2, 2, 4, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0];
        let oldest = [2, 2, 2, 2, 3, 1, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0];
        TcbInfo {
            id: "TDX".to_owned(),
            version: 3,
            issue_date: self.at - 10 * DAY,
            next_update: self.at + 20 * DAY,
            fmspc: self.fmspc.to_vec(),
            pce_id: self.pceid.to_vec(),
            tcb_type: 0,
            evaluation_number: 20,
            module: Some(ModuleSigner::intel()),
            module_identities: Some(vec![module("TDX_01", 11), module("TDX_03", 5)]),
            levels: vec![
                level(PLATFORM_COMPONENTS, PLATFORM_PCESVN, 4, current, "UpToDate", &[]),
                level(older, PLATFORM_PCESVN, 3, old, "OutOfDate", &advisories),
                level(oldest, 5, 2, old - YEAR, "OutOfDate", &advisories),
            ],
        }
    }

    fn qe_identity_template(&self) -> QeIdentity {
        let [current, old] = self.level_dates();
        QeIdentity {
            id: "TD_QE".to_owned(),
            version: 2,
            issue_date: self.at - 10 * DAY,
            next_update: self.at + 20 * DAY,
            evaluation_number: 20,
            miscselect: vec![0; 4],
            miscselect_mask: vec![0xFF; 4],
            attributes: [&[0x11][..], &[0; 15]].concat(),
            attributes_mask: [&[0xFB][..], &[0xFF; 7], &[0; 8]].concat(),
            mrsigner: TD_QE_MRSIGNER.to_vec(),
            isvprodid: 2,
            levels: vec![
                IsvLevel::new(8, current, "UpToDate"),
                IsvLevel { advisories: vec!["INTEL-SA-01313".to_owned()], ..IsvLevel::new(4, old, "OutOfDate") },
            ],
        }
    }

    fn level_dates(&self) -> [u64; 2] {
        let current = midnight(self.at - 100 * DAY);
        [current, current - YEAR]
    }

    fn sign_json(&self, body: String, signer: Option<&Key>, after: &Edits<SignedJson>) -> SignedJson {
        let signature = signer.unwrap_or(&self.keys.tcb_signing).sign(body.as_bytes());
        after.apply(SignedJson { body, signature: fixed_signature(&signature) })
    }
}

/// MRSIGNER of Intel's TD Quoting Enclave.
pub const TD_QE_MRSIGNER: [u8; 32] = [
    0xDC, 0x9E, 0x2A, 0x7C, 0x6F, 0x94, 0x8F, 0x17, 0x47, 0x4E, 0x34, 0xA7, 0xFC, 0x43, 0xED, 0x03, 0x0F, 0x7C, 0x15,
    0x63, 0xF1, 0xBA, 0xBD, 0xDF, 0x63, 0x40, 0xC8, 0x2E, 0x0E, 0x54, 0xA8, 0xC5,
];

fn qe_report_template(bound: &[u8]) -> QeReport {
    let mut report_data = [0; 64];
    report_data[..32].copy_from_slice(bound);
    QeReport {
        cpusvn: PLATFORM_COMPONENTS,
        miscselect: [0; 4],
        attributes: [0x15, 0, 0, 0, 0, 0, 0, 0, 0xE7, 0, 0, 0, 0, 0, 0, 0],
        mrenclave: [0xE1; 32],
        mrsigner: TD_QE_MRSIGNER,
        isvprodid: 2,
        isvsvn: 8,
        report_data,
    }
}

/// A signature cut or filled to 64 bytes, so that a key of another curve can be tried.
fn fixed_signature(signature: &[u8]) -> [u8; 64] {
    std::array::from_fn(|index| signature.get(index).copied().unwrap_or(0))
}
