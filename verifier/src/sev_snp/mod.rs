//! AMD SEV-SNP: attestation reports and the hierarchy that vouches for them.

mod appraise;
mod authenticate;
mod baseline;
mod choose;
pub(crate) mod leaf;
mod report;
mod tcb;
mod windows;

pub use report::ReportBytes;

pub(crate) use appraise::{Wanted, appraise};
pub(crate) use authenticate::{Given, authenticate};
pub(crate) use report::{Report, SigningKey};
pub(crate) use tcb::{Product, TcbVersion};
pub(crate) use windows::look_at_windows;

use crate::checks::Tee;
use crate::error::Malformed;
use crate::facts::FactValue;
use crate::findings::Findings;
use crate::stage::Unverified;
use crate::time::UnixTime;

/// The table of AMD's bulletins in Markdown: the middle of `BASELINE.md`.
pub fn bulletin_table() -> String {
    baseline::table()
}

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
