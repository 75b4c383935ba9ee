//! AMD SEV-SNP: attestation reports and the hierarchy that vouches for them.

mod appraise;
mod authenticate;
mod choose;
pub(crate) mod leaf;
mod report;
mod tcb;

pub use report::ReportBytes;

pub(crate) use appraise::appraise;
pub(crate) use authenticate::{Given, authenticate};
pub(crate) use report::{Report, SigningKey};
pub(crate) use tcb::{Product, TcbVersion};

use crate::checks::Tee;
use crate::error::Malformed;
use crate::facts::FactValue;
use crate::findings::Findings;
use crate::stage::Unverified;
use crate::time::UnixTime;

/// Bytes -> unverified report, with every field stated as a fact.
pub(crate) fn parse<'a>(bytes: &'a [u8], findings: &mut Findings) -> Result<Unverified<Report<'a>>, Malformed> {
    let report = report::parse(bytes, findings)?;
    report::state(&report, findings);
    Ok(Unverified::new(report))
}

/// What the bytes of a report say. **Nothing is verified**: anybody can write such bytes.
pub fn inspect(bytes: &[u8]) -> Result<Vec<(&'static str, FactValue)>, Malformed> {
    let mut findings = Findings::new(Tee::SevSnp, UnixTime::from_seconds(0));
    parse(bytes, &mut findings)?;
    Ok(findings.facts.iter().map(|(name, value)| (name, value.clone())).collect())
}
