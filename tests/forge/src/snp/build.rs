//! From the builder to bytes.

use super::builder::SnpBuilder;
use super::pki::{self, Leaf, LeafKind};
use super::product::{Product, Tcb};
use super::report::{self, Report};
use crate::keys::{Key, RsaRole};
use crate::{coco, pem};

/// A report and everything that vouches for it; certificates and CRL in DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnpSet {
    /// ATTESTATION_REPORT, 1,184 bytes.
    pub report: Vec<u8>,
    /// VCEK or VLEK.
    pub vek: Vec<u8>,
    /// ASK or ASVK.
    pub intermediate: Vec<u8>,
    /// The root.
    pub ark: Vec<u8>,
    /// The product's CRL.
    pub crl: Option<Vec<u8>>,
    /// The root in PEM, as a policy pins it.
    pub ark_pem: String,
    /// What kind of leaf `vek` is.
    pub kind: LeafKind,
}

impl SnpSet {
    /// Leaf, intermediate, root.
    pub fn certificates(&self) -> Vec<Vec<u8>> {
        vec![self.vek.clone(), self.intermediate.clone(), self.ark.clone()]
    }

    /// Leaf, intermediate and root in PEM.
    pub fn chain_pem(&self) -> String {
        pem::chain(&self.certificates())
    }

    /// The certificate table of an extended report (configfs `auxblob`): entries of GUID, offset and length, ended by zeros, then the certificates.
    /// The GUIDs stand in textual order, not in the mixed-endian form.
    pub fn certificate_table(&self) -> Vec<u8> {
        const VCEK: u128 = 0x63da758d_e664_4564_adc5_f4b93be8accd;
        const VLEK: u128 = 0xa8074bc2_a25a_483e_aae6_39c045a0b8a1;
        const ASK: u128 = 0x4ab7b379_bbac_4fe4_a02f_05aef327c782;
        const ARK: u128 = 0xc0b406a4_a803_4952_9743_3fb6014cd0ae;
        let leaf = if self.kind == LeafKind::Vlek { VLEK } else { VCEK };
        let entries = [(leaf, &self.vek), (ASK, &self.intermediate), (ARK, &self.ark)];
        let mut offset = 24 * (entries.len() + 1);
        let (mut table, mut data) = (Vec::new(), Vec::new());
        for (guid, certificate) in entries {
            table.extend(guid.to_be_bytes());
            table.extend((offset as u32).to_le_bytes());
            table.extend((certificate.len() as u32).to_le_bytes());
            data.extend_from_slice(certificate);
            offset += certificate.len();
        }
        table.extend([0; 24]);
        table.extend(data);
        table
    }

    /// The evidence JSON of the CoCo attestation agent, with the certificates that a host can hand to its guest.
    pub fn coco_evidence(&self) -> String {
        let leaf = if self.kind == LeafKind::Vlek { "VLEK" } else { "VCEK" };
        coco::snp_evidence(&self.report, Some(&[(leaf, &self.vek), ("ASK", &self.intermediate), ("ARK", &self.ark)]))
    }

    /// The same where the host hands over none.
    pub fn coco_evidence_without_chain(&self) -> String {
        coco::snp_evidence(&self.report, None)
    }
}

impl SnpBuilder {
    /// The report and everything that vouches for it.
    pub fn build(&self) -> SnpSet {
        // The first to need these keys generates them, side by side: a second or so each.
        let (intermediate_key, ark_key) = std::thread::scope(|scope| {
            let ark_key = scope.spawn(|| self.resolved_ark_key());
            (self.resolved_intermediate_key(), ark_key.join().expect("key generation does not panic"))
        });
        let intermediate_kind = self.resolved_intermediate_kind();

        let ark = self.ark.apply(pki::ark(self.product, &ark_key, self.at)).to_der();
        let intermediate = self.intermediate.apply(pki::intermediate(
            self.product,
            intermediate_kind,
            &intermediate_key,
            &ark_key,
            self.at,
        ));
        let leaf = Leaf {
            product: self.product,
            kind: self.kind,
            issuer_kind: intermediate_kind,
            tcb: self.vek_tcb.unwrap_or(self.resolved_reported_tcb()),
            chip_id: self.resolved_chip_id(),
            csp_id: &self.csp_id,
        };
        let vek = self.vek.apply(pki::leaf(&leaf, &self.vek_key, &intermediate_key, self.at)).to_der();
        let crl = self.has_crl.then(|| {
            let mut crl = pki::crl(self.product, &ark_key, self.at);
            if self.revokes_intermediate {
                crl.revoke(&intermediate.serial);
            }
            self.crl.apply(crl).to_der()
        });
        SnpSet {
            report: self.report(),
            vek,
            intermediate: intermediate.to_der(),
            ark_pem: pem::certificate(&ark),
            ark,
            crl,
            kind: self.kind,
        }
    }

    /// Which product it is.
    pub(crate) fn product_of_device(&self) -> Product {
        self.product
    }

    /// The root in PEM, without making anything else.
    pub fn ark_pem(&self) -> String {
        let key = self.resolved_ark_key();
        pem::certificate(&self.ark.apply(pki::ark(self.product, &key, self.at)).to_der())
    }

    /// The report alone, without the cost of any RSA signature.
    pub fn report(&self) -> Vec<u8> {
        let mut bytes = self.report_bytes.apply(self.report_fields().signed_bytes());
        bytes = report::sign(bytes, &self.vek_key);
        self.signed_report_bytes.apply(bytes)
    }

    /// The report's fields as they will be written.
    pub fn report_fields(&self) -> Report {
        let tcb = self.tcb.to_bytes(self.product);
        let firmware = self.product.firmware();
        let mitigations = if self.version >= 5 { self.product.mitigations() } else { 0 };
        self.report.apply(Report {
            version: self.version,
            guest_svn: 0,
            policy: 0x3_0000,
            family_id: [0; 16],
            image_id: [0; 16],
            vmpl: 0,
            signature_algo: 1,
            current_tcb: tcb,
            platform_info: self.product.platform_info(self.version),
            flags: if self.kind == LeafKind::Vlek { 1 << 2 } else { 0 },
            report_data: [0; 64],
            measurement: [0x4D; 48],
            host_data: [0; 32],
            id_key_digest: [0; 48],
            author_key_digest: [0; 48],
            report_id: [0x1D; 32],
            report_id_ma: [0xFF; 32],
            reported_tcb: self.resolved_reported_tcb().to_bytes(self.product),
            cpuid: if self.version >= 3 { self.product.cpuid() } else { [0; 3] },
            chip_id: if self.kind == LeafKind::Vlek { [0; 64] } else { self.resolved_chip_id() },
            committed_tcb: tcb,
            current_firmware: firmware,
            committed_firmware: firmware,
            launch_tcb: tcb,
            launch_mitigations: mitigations,
            current_mitigations: mitigations,
        })
    }

    fn resolved_intermediate_kind(&self) -> LeafKind {
        self.intermediate_kind.unwrap_or(self.kind)
    }

    fn resolved_ark_key(&self) -> Key {
        self.ark_key.clone().unwrap_or_else(|| Key::rsa(RsaRole::Ark))
    }

    fn resolved_intermediate_key(&self) -> Key {
        self.intermediate_key.clone().unwrap_or_else(|| match self.resolved_intermediate_kind() {
            LeafKind::Vcek => Key::rsa(RsaRole::Ask),
            LeafKind::Vlek => Key::rsa(RsaRole::Asvk),
        })
    }

    fn resolved_reported_tcb(&self) -> Tcb {
        self.reported_tcb.unwrap_or(self.tcb)
    }

    fn resolved_chip_id(&self) -> [u8; 64] {
        self.chip_id.unwrap_or_else(|| {
            let length = self.product.hwid_length();
            std::array::from_fn(|index| if index < length { 0xC1 ^ (index as u8) } else { 0 })
        })
    }
}
