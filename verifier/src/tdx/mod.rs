//! Intel TDX: quotes, the hierarchy that vouches for them, and Intel's evaluation of their TCB.

mod accept;
mod appraise;
mod authenticate;
mod chain;
mod choose;
mod collateral;
mod log;
mod outlook;
pub(crate) mod pck;
mod quote;
mod shortfall;
mod tcb;
mod windows;
mod words;

pub(crate) use appraise::{Wanted, appraise};
pub(crate) use authenticate::{Given, authenticate};
pub(crate) use collateral::{QeIdentity, TcbInfo};
pub(crate) use quote::{Certification, Quote};
pub(crate) use windows::look_at_windows;
pub(crate) use words::AdvisoryId;

use crate::checks::Tee;
use crate::error::Malformed;
use crate::facts::FactValue;
use crate::findings::Findings;
use crate::policy::Trailing;
use crate::stage::Unverified;
use crate::time::UnixTime;

/// Bytes -> unverified quote, with every field stated as a fact.
pub(crate) fn parse<'a>(
    bytes: &'a [u8],
    trailing: Trailing,
    findings: &mut Findings,
) -> Result<Unverified<Quote<'a>>, Malformed> {
    let quote = quote::parse(bytes, trailing, findings)?;
    quote::state(&quote, findings);
    Ok(Unverified::new(quote))
}

/// What the bytes of a quote say. **Nothing is verified**: anybody can write such bytes.
pub fn inspect(bytes: &[u8]) -> Result<Vec<(&'static str, FactValue)>, Malformed> {
    let mut findings = Findings::new(Tee::Tdx, UnixTime::from_seconds(0));
    parse(bytes, Trailing::Any, &mut findings)?;
    Ok(findings.facts.iter().map(|(name, value)| (name, value.clone())).collect())
}
