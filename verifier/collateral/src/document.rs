//! The documents that evidence can need, and how each is recognised when it comes.

use std::fmt;

use teegate_verifier::{ChipId, Endorsements, Fmspc, Hint, HintKind, SnpTcb, UnixTime, hints_of};

/// One document of a vendor.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Document {
    /// The certificate of one chip's key at one TCB. AMD never changes it: another TCB is another document.
    Vcek {
        /// The chip.
        chip_id: ChipId,
        /// Product and TCB.
        tcb: SnpTcb,
    },
    /// Intermediate and root of AMD: ASK or ASVK, then ARK.
    AmdChain {
        /// Over which kind of key.
        key: AmdKey,
        /// As AMD's key service names it.
        product: &'static str,
    },
    /// What AMD's root has revoked.
    AmdCrl {
        /// Under which kind of key it is served; the content is the same issuer's.
        key: AmdKey,
        /// As AMD's key service names it.
        product: &'static str,
    },
    /// What Intel's Platform CA or Processor CA has revoked.
    PckCrl {
        /// The Platform CA, and not the Processor CA.
        platform_ca: bool,
    },
    /// What Intel's root has revoked.
    IntelRootCrl,
    /// The TCB levels of a TDX platform, with the chain of their signer.
    TcbInfo {
        /// The platform.
        fmspc: Fmspc,
        /// Which evaluation.
        update: Update,
    },
    /// The identity of the TD quoting enclave, with the chain of its signer.
    QeIdentity {
        /// Which evaluation.
        update: Update,
    },
}

/// A kind of key that signs SEV-SNP reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AmdKey {
    /// One chip's.
    Vcek,
    /// A provider's fleet's.
    Vlek,
}

impl AmdKey {
    /// As paths and file names spell it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Vcek => "vcek",
            Self::Vlek => "vlek",
        }
    }
}

/// Which of Intel's evaluations that are served at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// The one that platform owners have had months to act on.
    Standard,
    /// The newest.
    Early,
}

impl Update {
    /// As Intel's parameter `update` spells it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Early => "early",
        }
    }
}

impl Document {
    /// A file name without extension that says what it is; characters of any file system.
    pub(crate) fn stem(&self) -> String {
        match self {
            Self::Vcek { chip_id, tcb } => {
                let chip: String = chip_id.to_string().chars().take(16).collect();
                let fmc = tcb.fmc.map_or_else(String::new, |fmc| format!("{fmc}-"));
                let SnpTcb { bootloader, tee, snp, microcode, .. } = tcb;
                format!("vcek-{}-{chip}-tcb-{fmc}{bootloader}-{tee}-{snp}-{microcode}", lower(tcb.product))
            }
            Self::AmdChain { key, product } => format!("{}-chain-{}", key.name(), lower(product)),
            Self::AmdCrl { key, product } => format!("{}-crl-{}", key.name(), lower(product)),
            Self::PckCrl { platform_ca } => format!("pck-crl-{}", ca_name(*platform_ca)),
            Self::IntelRootCrl => "intel-root-crl".to_owned(),
            Self::TcbInfo { fmspc, update } => format!("tcb-info-tdx-{fmspc}-{}", update.name()),
            Self::QeIdentity { update } => format!("qe-identity-tdx-{}", update.name()),
        }
    }

    /// Whether a statement of `pool` says of itself that it is this document and holds at `now`. Nobody has checked that.
    pub fn is_claimed_in(&self, pool: &Endorsements, now: UnixTime) -> bool {
        let mut hints: Vec<Hint> = hints_of(pool).into_iter().flatten().collect();
        hints.retain(|hint| holds_at(hint, now));
        match self {
            // The chain of the signer may lie elsewhere.
            Self::TcbInfo { fmspc, .. } => hints.iter().any(|hint| is_tcb_info(hint, *fmspc)),
            Self::QeIdentity { .. } => hints.iter().any(is_qe_identity),
            _ => self.is_among(&hints, now),
        }
    }

    /// Whether this document, holding at `now`, is among statements that say this of themselves.
    pub(crate) fn is_among(&self, hints: &[Hint], now: UnixTime) -> bool {
        let hints = || hints.iter().filter(|hint| holds_at(hint, now));
        let certificate = |name: &str| hints().any(|hint| is_certificate(hint) && hint.name == name);
        let list = |issuer: &str| hints().any(|hint| hint.kind == HintKind::Crl && hint.name == issuer);
        match self {
            Self::Vcek { chip_id, tcb } => hints().any(|hint| match &hint.kind {
                HintKind::Certificate { leaf: Some(leaf) } => {
                    let hwid = chip_id.0.get(..tcb.hwid_bytes);
                    hint.name == "SEV-VCEK" && leaf.tcb == *tcb && leaf.hwid.as_deref() == hwid
                }
                _ => false,
            }),
            Self::AmdChain { key: AmdKey::Vcek, product } => certificate(&format!("SEV-{product}")),
            Self::AmdChain { key: AmdKey::Vlek, product } => certificate(&format!("SEV-VLEK-{product}")),
            Self::AmdCrl { product, .. } => list(&format!("ARK-{product}")),
            Self::PckCrl { platform_ca: true } => list("Intel SGX PCK Platform CA"),
            Self::PckCrl { platform_ca: false } => list("Intel SGX PCK Processor CA"),
            Self::IntelRootCrl => list("Intel SGX Root CA"),
            Self::TcbInfo { fmspc, .. } => hints().any(|hint| is_tcb_info(hint, *fmspc)) && certificate(TCB_SIGNING),
            Self::QeIdentity { .. } => hints().any(is_qe_identity) && certificate(TCB_SIGNING),
        }
    }

    /// Whether the vendor never says anything newer under the same name.
    pub(crate) const fn is_immutable(&self) -> bool {
        matches!(self, Self::Vcek { .. })
    }
}

/// Without the certificate of its signer, signed JSON is of no use.
const TCB_SIGNING: &str = "Intel SGX TCB Signing";

fn holds_at(hint: &Hint, now: UnixTime) -> bool {
    hint.from <= now && hint.until.is_some_and(|until| now < until)
}

fn is_tcb_info(hint: &Hint, fmspc: Fmspc) -> bool {
    hint.kind == HintKind::TcbInfo(fmspc) && hint.name == "TDX"
}

fn is_qe_identity(hint: &Hint) -> bool {
    hint.kind == HintKind::QeIdentity && hint.name == "TD_QE"
}

fn is_certificate(hint: &Hint) -> bool {
    matches!(hint.kind, HintKind::Certificate { .. })
}

fn lower(product: &str) -> String {
    product.to_ascii_lowercase()
}

/// As Intel's parameter `ca` spells it.
pub(crate) const fn ca_name(platform_ca: bool) -> &'static str {
    if platform_ca { "platform" } else { "processor" }
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vcek { tcb, .. } => write!(f, "VCEK of this chip and TCB ({})", tcb.product),
            Self::AmdChain { key: AmdKey::Vcek, product } => write!(f, "ASK and ARK of {product}"),
            Self::AmdChain { key: AmdKey::Vlek, product } => write!(f, "ASVK and ARK of {product}"),
            Self::AmdCrl { product, .. } => write!(f, "CRL of ARK-{product}"),
            Self::PckCrl { platform_ca } => {
                write!(f, "CRL of Intel's PCK {} CA", if *platform_ca { "Platform" } else { "Processor" })
            }
            Self::IntelRootCrl => f.write_str("CRL of Intel's SGX root CA"),
            Self::TcbInfo { fmspc, update } => write!(f, "TCB info (TDX, FMSPC {fmspc}, {} update)", update.name()),
            Self::QeIdentity { update } => write!(f, "QE identity (TD_QE, {} update)", update.name()),
        }
    }
}
