//! What an SEV-SNP report needs of AMD, and for whom a certificate of AMD was issued. **Hints, and no more**: anybody can write
//! such bytes.

use super::checks::CHECKS;
use super::leaf;
use super::report::{self, SigningKey};
use super::tcb::{Product, TcbVersion};
use crate::bytes::ChipId;
use crate::check::Tee;
use crate::findings::Findings;
use crate::report::Finding;
use crate::time::UnixTime;
use crate::x509::certificate::Certificate;

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

/// For whom a VCEK or VLEK was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnpLeaf {
    /// The chip; `None` in a VLEK.
    pub hwid: Option<Vec<u8>>,
    /// Product and security patch levels.
    pub tcb: SnpTcb,
}

/// What a report says that it needs.
pub(crate) fn snp_needs(bytes: &[u8]) -> Result<SnpNeeds, Box<Finding>> {
    let mut unread = Findings::new(Tee::SevSnp, CHECKS, UnixTime::from_seconds(0));
    let report = match report::parse(bytes, &mut unread) {
        Ok(report) => report,
        Err(stop) => return Err(unread.failure(stop)),
    };
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

/// For whom a certificate was issued, where it is a VCEK or VLEK that can be read.
pub(crate) fn issued_for(certificate: &Certificate) -> Option<SnpLeaf> {
    let product = leaf::product_name(certificate).and_then(Product::from_name)?;
    let tcb = leaf::tcb(certificate, product).ok()?;
    let (hwid, _) = leaf::identity(certificate);
    Some(SnpLeaf { hwid: hwid.map(<[u8]>::to_vec), tcb: named(product, tcb) })
}
