//! What a TDX quote needs of Intel. **Hints, and no more**: anybody can write such bytes.

use super::checks::CHECKS;
use super::profile::Trailing;
use super::quote::{self, Certification};
use crate::bytes::Fmspc;
use crate::check::Tee;
use crate::evidence::Endorsements;
use crate::findings::Findings;
use crate::intel::pck;
use crate::report::Finding;
use crate::time::UnixTime;
use crate::x509::certificate::Certificate;
use crate::x509::pem;

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

/// What a quote says that it needs.
pub(crate) fn tdx_needs(bytes: &[u8], endorsements: &Endorsements) -> Result<TdxNeeds, Box<Finding>> {
    let mut unread = Findings::new(Tee::Tdx, CHECKS, UnixTime::from_seconds(0));
    let quote = match quote::parse(bytes, Trailing::Any, &mut unread) {
        Ok(quote) => quote,
        Err(stop) => return Err(unread.failure(stop)),
    };
    let platform = match &quote.certification {
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
