//! AMD's certificates and CRL as templates, shaped like the published ones (AMD 57230 and the certificates themselves).
//!
//! Two oddities of the originals are kept: the ASK's keyUsage counts one unused bit too few, and leaves carry serial number 0.

use super::product::{Product, Tcb};
use crate::certificate::{Certificate, Extension, Name};
use crate::crl::Crl;
use crate::der;
use crate::keys::{Key, SignatureAlgorithm};
use crate::time::{DAY, YEAR};

/// Object identifiers of AMD's extensions.
pub mod oid {
    #![expect(missing_docs, reason = "the names are AMD's")]
    pub const STRUCT_VERSION: &str = "1.3.6.1.4.1.3704.1.1";
    pub const PRODUCT_NAME: &str = "1.3.6.1.4.1.3704.1.2";
    pub const BL_SPL: &str = "1.3.6.1.4.1.3704.1.3.1";
    pub const TEE_SPL: &str = "1.3.6.1.4.1.3704.1.3.2";
    pub const SNP_SPL: &str = "1.3.6.1.4.1.3704.1.3.3";
    pub const SPL_4: &str = "1.3.6.1.4.1.3704.1.3.4";
    pub const SPL_5: &str = "1.3.6.1.4.1.3704.1.3.5";
    pub const SPL_6: &str = "1.3.6.1.4.1.3704.1.3.6";
    pub const SPL_7: &str = "1.3.6.1.4.1.3704.1.3.7";
    pub const UCODE_SPL: &str = "1.3.6.1.4.1.3704.1.3.8";
    pub const FMC_SPL: &str = "1.3.6.1.4.1.3704.1.3.9";
    pub const HWID: &str = "1.3.6.1.4.1.3704.1.4";
    pub const CSP_ID: &str = "1.3.6.1.4.1.3704.1.5";
}

/// Which leaf an intermediate signs, and which leaf a device has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeafKind {
    /// Versioned Chip Endorsement Key, under the ASK.
    Vcek,
    /// Versioned Loaded Endorsement Key, under the ASVK.
    Vlek,
}

impl LeafKind {
    fn url_part(self) -> &'static str {
        match self {
            Self::Vcek => "vcek",
            Self::Vlek => "vlek",
        }
    }

    fn intermediate_name(self, product: Product) -> String {
        match self {
            Self::Vcek => format!("SEV-{}", product.kds_name()),
            Self::Vlek => format!("SEV-VLEK-{}", product.kds_name()),
        }
    }
}

fn ark_name(product: Product) -> Name {
    Name::amd(&format!("ARK-{}", product.kds_name()))
}

fn crl_url(product: Product, kind: LeafKind) -> String {
    format!("https://kdsintf.amd.com/{}/v1/{}/crl", kind.url_part(), product.kds_name())
}

/// AMD Root Key: self-signed, no authority key identifier.
pub(super) fn ark(product: Product, key: &Key, at: u64) -> Certificate {
    Certificate {
        version: Some(2),
        serial: der::unsigned(&product.serial_base().to_be_bytes()),
        issuer: ark_name(product),
        subject: ark_name(product),
        not_before: at - 5 * YEAR,
        not_after: at + 20 * YEAR,
        public_key_info: key.public_key_info(),
        extensions: vec![
            Extension::key_usage(1, 0x06),
            Extension::subject_key_id(&key.key_identifier()),
            Extension::basic_constraints(true, None),
            Extension::crl_distribution_point(&crl_url(product, LeafKind::Vcek)),
        ],
        algorithm: SignatureAlgorithm::PssExplicitTrailer,
        inner_identifier: None,
        outer_identifier: None,
        signer: key.clone(),
        damaged_signature: false,
    }
}

/// AMD SEV Key or AMD SEV VLEK Key.
pub(super) fn intermediate(product: Product, kind: LeafKind, key: &Key, ark: &Key, at: u64) -> Certificate {
    let serial = match kind {
        LeafKind::Vcek if product.kds_name() == "Genoa" => product.serial_base() + 0x002,
        LeafKind::Vcek => product.serial_base() + 0x001,
        LeafKind::Vlek => product.serial_base() + 0x101,
    };
    Certificate {
        version: Some(2),
        serial: der::unsigned(&serial.to_be_bytes()),
        issuer: ark_name(product),
        subject: Name::amd(&kind.intermediate_name(product)),
        not_before: at - 4 * YEAR,
        not_after: at + 20 * YEAR,
        public_key_info: key.public_key_info(),
        extensions: vec![
            Extension::subject_key_id(&key.key_identifier()),
            Extension::authority_key_id(&ark.key_identifier()),
            Extension::basic_constraints(true, Some(0)),
            Extension::key_usage(1, 0x04),
            Extension::crl_distribution_point(&crl_url(product, kind)),
        ],
        algorithm: SignatureAlgorithm::PssExplicitTrailer,
        inner_identifier: None,
        outer_identifier: None,
        signer: ark.clone(),
        damaged_signature: false,
    }
}

/// What a leaf says about its device.
pub(super) struct Leaf<'a> {
    pub(super) product: Product,
    pub(super) kind: LeafKind,
    pub(super) issuer_kind: LeafKind,
    pub(super) tcb: Tcb,
    pub(super) chip_id: [u8; 64],
    pub(super) csp_id: &'a str,
}

/// VCEK or VLEK: serial 0, AMD's extensions and no others, none critical, in AMD's order.
pub(super) fn leaf(leaf: &Leaf<'_>, key: &Key, issuer: &Key, at: u64) -> Certificate {
    let Leaf { product, kind, tcb, .. } = *leaf;
    let (common_name, product_name, life) = match kind {
        LeafKind::Vcek => ("SEV-VCEK", product.vcek_product_name(), 7 * YEAR),
        LeafKind::Vlek => ("SEV-VLEK", product.kds_name(), YEAR),
    };
    let spl = |oid: &str, value: u8| Extension::new(oid, der::integer(value.into()));
    let ia5 = |text: &str| der::element(der::tag::IA5_STRING, text.as_bytes());
    let is_turin = product == Product::Turin;

    let mut extensions = vec![
        Extension::new(oid::STRUCT_VERSION, der::integer(is_turin.into())),
        Extension::new(oid::PRODUCT_NAME, ia5(product_name)),
    ];
    if is_turin {
        extensions.extend([
            spl(oid::FMC_SPL, tcb.fmc),
            spl(oid::BL_SPL, tcb.bootloader),
            spl(oid::TEE_SPL, tcb.tee),
            spl(oid::SNP_SPL, tcb.snp),
            spl(oid::SPL_5, 0),
            spl(oid::SPL_6, 0),
            spl(oid::SPL_7, 0),
            spl(oid::UCODE_SPL, tcb.microcode),
        ]);
    } else {
        extensions.extend([
            spl(oid::BL_SPL, tcb.bootloader),
            spl(oid::TEE_SPL, tcb.tee),
            spl(oid::SPL_4, 0),
            spl(oid::SPL_5, 0),
            spl(oid::SPL_6, 0),
            spl(oid::SPL_7, 0),
            spl(oid::SNP_SPL, tcb.snp),
            spl(oid::UCODE_SPL, tcb.microcode),
        ]);
    }
    extensions.push(match kind {
        LeafKind::Vcek => Extension::new(oid::HWID, leaf.chip_id[..product.hwid_length()].to_vec()),
        LeafKind::Vlek => Extension::new(oid::CSP_ID, ia5(leaf.csp_id)),
    });

    let not_before = at - life / 7;
    Certificate {
        version: Some(2),
        serial: vec![0],
        issuer: Name::amd(&leaf.issuer_kind.intermediate_name(product)),
        subject: Name::amd(common_name),
        not_before,
        not_after: not_before + life,
        public_key_info: key.public_key_info(),
        extensions,
        algorithm: SignatureAlgorithm::Pss,
        inner_identifier: None,
        outer_identifier: None,
        signer: issuer.clone(),
        damaged_signature: false,
    }
}

/// The product's CRL, signed by the ARK, empty.
pub(super) fn crl(product: Product, ark: &Key, at: u64) -> Crl {
    Crl {
        version: Some(1),
        issuer: ark_name(product),
        this_update: at - 30 * DAY,
        next_update: Some(at + 335 * DAY),
        entries: Vec::new(),
        extensions: vec![Extension::authority_key_id(&ark.key_identifier()), Crl::number(4)],
        algorithm: SignatureAlgorithm::Pss,
        inner_identifier: None,
        outer_identifier: None,
        signer: ark.clone(),
        damaged_signature: false,
    }
}
