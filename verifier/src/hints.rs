//! What evidence and endorsements say of themselves, read by the parsers that judge them and judged by nobody here.
//!
//! **Hints, and no more.** They tell which endorsements to look for, and until when a document claims to hold; anybody can
//! write such bytes. Nothing that this file returns is evidence of anything, and [`crate::verify()`] reads none of it.

use crate::bytes::{ChipId, Fmspc};
use crate::check::Tee;
use crate::evidence::{Endorsements, Evidence};
use crate::findings::Findings;
use crate::intel::collateral::{QeIdentity, TcbInfo};
use crate::intel::pck;
use crate::report::Finding;
use crate::sev_snp::{self, Product, SigningKey, TcbVersion, leaf};
use crate::statement::Item;
use crate::tdx::profile::Trailing;
use crate::tdx::{self, Certification};
use crate::time::UnixTime;
use crate::x509::certificate::{Certificate, common_name};
use crate::x509::crl::Crl;
use crate::x509::pem;

/// What has to be asked of a vendor before evidence can be authenticated. Unverified hints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Of an SEV-SNP report.
    SevSnp(SnpNeeds),
    /// Of a TDX quote.
    Tdx(TdxNeeds),
}

/// What an SEV-SNP report says of the key that signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnpNeeds {
    /// Signed with the key of a provider's fleet (VLEK), and not of one chip (VCEK).
    pub vlek: bool,
    /// `CHIP_ID`; `None` where the host masks it, and under a VLEK.
    pub chip_id: Option<ChipId>,
    /// `REPORTED_TCB` in the layout of each product that it may be of. One from version 3 on, which names the processor;
    /// none when that processor has no name here; several in version 2, as far as layout and chip id fit.
    pub candidates: Vec<SnpTcb>,
}

/// The security patch levels that a VCEK or VLEK is issued for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnpTcb {
    /// The product, as AMD's key service names it: `Milan`, `Genoa`, `Turin`.
    pub product: &'static str,
    /// Bytes of the chip id in the key's certificate: 8 on Turin, 64 before.
    pub hwid_bytes: usize,
    /// Turin alone has one.
    pub fmc: Option<u8>,
    /// Boot loader.
    pub bootloader: u8,
    /// PSP operating system.
    pub tee: u8,
    /// SNP firmware.
    pub snp: u8,
    /// Microcode.
    pub microcode: u8,
}

/// What a TDX quote says of its platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TdxNeeds {
    /// From the PCK certificate that the quote carries, or that the endorsements hold for it; `None` where there is none.
    pub platform: Option<TdxPlatform>,
}

/// Whose platform it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TdxPlatform {
    /// Which TCB info describes it.
    pub fmspc: Fmspc,
    /// The PCK certificate is by the Platform CA, and not by the Processor CA.
    pub platform_ca: bool,
}

/// What the evidence says that it needs. The endorsements beside it are consulted for one thing: the PCK certificate of a
/// quote that carries none.
///
/// # Errors
/// The evidence is malformed, as [`crate::verify()`] would say too.
pub fn needs_of(evidence: &Evidence<'_>) -> Result<Needs, Box<Finding>> {
    match evidence.tee {
        Tee::SevSnp => snp_needs(evidence.bytes).map(Needs::SevSnp),
        Tee::Tdx => tdx_needs(evidence.bytes, evidence.endorsements).map(Needs::Tdx),
    }
}

/// One statement of a pool: what it claims to be, and from when to when it claims to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// Its kind.
    pub kind: HintKind,
    /// Subject of a certificate, issuer of a CRL (common names), `id` of signed JSON. Empty where there is none.
    pub name: String,
    /// notBefore, thisUpdate, issueDate.
    pub from: UnixTime,
    /// notAfter, nextUpdate; `None` in a CRL without end.
    pub until: Option<UnixTime>,
}

/// The kind of a statement, with what distinguishes it from others of its kind and name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HintKind {
    /// An X.509 certificate.
    Certificate {
        /// For whom, where it is a VCEK or VLEK that can be read.
        leaf: Option<SnpLeaf>,
    },
    /// A certificate revocation list.
    Crl,
    /// A TCB info of this FMSPC.
    TcbInfo(Fmspc),
    /// A QE identity.
    QeIdentity,
}

/// For whom a VCEK or VLEK was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnpLeaf {
    /// The chip; `None` in a VLEK.
    pub hwid: Option<Vec<u8>>,
    /// Product and security patch levels.
    pub tcb: SnpTcb,
}

/// What every statement of the pool says of itself, in no order; `None` stands for one that cannot be read.
pub fn hints_of(endorsements: &Endorsements) -> Vec<Option<Hint>> {
    let certificates = endorsements.certificates.iter().map(|brought| certificate_hint(&brought.item));
    let lists = endorsements.crls.iter().map(|brought| crl_hint(&brought.item));
    let infos = endorsements.tcb_infos.iter().map(|brought| tcb_info_hint(&brought.item));
    let identities = endorsements.qe_identities.iter().map(|brought| qe_identity_hint(&brought.item));
    certificates.chain(lists).chain(infos).chain(identities).collect()
}

fn snp_needs(bytes: &[u8]) -> Result<SnpNeeds, Box<Finding>> {
    let mut unread = Findings::new(Tee::SevSnp, sev_snp::CHECKS, UnixTime::from_seconds(0));
    let unverified = match sev_snp::parse(bytes, &mut unread) {
        Ok(unverified) => unverified,
        Err(stop) => return Err(unread.failure(stop)),
    };
    let report = unverified.hints();
    let vlek = report.signing_key == SigningKey::Vlek;
    let chip_id = (!vlek && !report.has_masked_chip_id()).then_some(report.chip_id);
    let products = match report.cpuid {
        Some([family, model, _]) => Product::from_cpuid(family, model).into_iter().collect(),
        None => vec![Product::Milan, Product::Genoa, Product::Turin],
    };
    let has_short_id = report.chip_id.0.iter().skip(SHORT_HWID_BYTES).all(|byte| *byte == 0);
    // Where the processor is not named, the length of the chip id tells Turin from its elders.
    let fits = |product: &Product| {
        report.cpuid.is_some() || chip_id.is_none() || has_short_id == (hwid_bytes(*product) == SHORT_HWID_BYTES)
    };
    let candidates = products
        .into_iter()
        .filter(fits)
        .filter_map(|product| TcbVersion::read(report.reported_tcb, product).map(|tcb| named(product, tcb)))
        .collect();
    Ok(SnpNeeds { vlek, chip_id, candidates })
}

/// HWID of Turin; AMD 57230.
const SHORT_HWID_BYTES: usize = 8;

const fn hwid_bytes(product: Product) -> usize {
    match product {
        Product::Milan | Product::Genoa => 64,
        Product::Turin => SHORT_HWID_BYTES,
    }
}

const fn named(product: Product, tcb: TcbVersion) -> SnpTcb {
    let TcbVersion { fmc, bootloader, tee, snp, microcode } = tcb;
    SnpTcb { product: product.name(), hwid_bytes: hwid_bytes(product), fmc, bootloader, tee, snp, microcode }
}

fn tdx_needs(bytes: &[u8], endorsements: &Endorsements) -> Result<TdxNeeds, Box<Finding>> {
    let mut unread = Findings::new(Tee::Tdx, tdx::CHECKS, UnixTime::from_seconds(0));
    let unverified = match tdx::parse(bytes, Trailing::Any, &mut unread) {
        Ok(unverified) => unverified,
        Err(stop) => return Err(unread.failure(stop)),
    };
    let platform = match &unverified.hints().certification {
        Certification::Chain(text) => {
            let carried = pem::certificates(text).unwrap_or_default();
            let carried = carried.into_iter().filter_map(|der| Certificate::parse(&der.into()).ok());
            carried.into_iter().find_map(|certificate| platform(&certificate, |_| true))
        }
        Certification::Platform { cpu_svn, pce_svn, pce_id } => {
            let is_its = |pck: &pck::Pck| pck.cpu_svn == **cpu_svn && pck.pce_svn == *pce_svn && pck.pce_id == **pce_id;
            endorsements.certificates.iter().find_map(|brought| platform(brought.item.read().ok()?, is_its))
        }
    };
    Ok(TdxNeeds { platform })
}

/// The platform of a PCK certificate; nothing of any other certificate.
fn platform(certificate: &Certificate, is_wanted: impl FnOnce(&pck::Pck) -> bool) -> Option<TdxPlatform> {
    let pck = pck::parse(certificate).ok().filter(is_wanted)?;
    let platform_ca = match certificate.issuer_name()? {
        "Intel SGX PCK Platform CA" => true,
        "Intel SGX PCK Processor CA" => false,
        _ => return None,
    };
    Some(TdxPlatform { fmspc: pck.fmspc, platform_ca })
}

fn certificate_hint(item: &Item<Certificate>) -> Option<Hint> {
    let certificate = item.read().ok()?;
    let leaf = leaf::product_name(certificate).and_then(Product::from_name).and_then(|product| {
        let tcb = leaf::tcb(certificate, product).ok()?;
        let (hwid, _) = leaf::identity(certificate);
        Some(SnpLeaf { hwid: hwid.map(<[u8]>::to_vec), tcb: named(product, tcb) })
    });
    Some(Hint {
        kind: HintKind::Certificate { leaf },
        name: certificate.common_name().unwrap_or_default().to_owned(),
        from: certificate.not_before,
        until: Some(certificate.not_after),
    })
}

fn crl_hint(item: &Item<Crl>) -> Option<Hint> {
    let list = item.read().ok()?;
    let name = common_name(&list.issuer).unwrap_or_default().to_owned();
    Some(Hint { kind: HintKind::Crl, name, from: list.this_update, until: list.next_update })
}

fn tcb_info_hint(item: &Item<TcbInfo>) -> Option<Hint> {
    let info = item.hint()?;
    let kind = HintKind::TcbInfo(Fmspc(info.fmspc.0));
    Some(Hint { kind, name: info.id.clone(), from: info.issue_date.0, until: Some(info.next_update.0) })
}

fn qe_identity_hint(item: &Item<QeIdentity>) -> Option<Hint> {
    let identity = item.hint()?;
    let (from, until) = (identity.issue_date.0, Some(identity.next_update.0));
    Some(Hint { kind: HintKind::QeIdentity, name: identity.id.clone(), from, until })
}
