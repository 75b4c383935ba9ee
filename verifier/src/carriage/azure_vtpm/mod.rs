//! Azure's confidential VMs: a paravisor (HCL) that Microsoft measures into the guest stands between hardware and guest. It runs a
//! vTPM, and what the hardware's report says is the digest of its claims: the vTPM's attestation key and what the guest wrote. The
//! guest's own 64 bytes stand in the quote of that vTPM, and its boot in the quote's registers.
//!
//! `hcl.rs` and `claims.rs` read what the paravisor writes, `quote.rs` what the vTPM signs (TPM 2.0 library, part 2); the layouts
//! are those of recorded machines. `log.rs` holds the guest's event log against the registers.

mod across;
mod appraise;
mod authenticate;
mod checks;
mod claims;
mod fields;
mod hcl;
mod known;
mod log;
mod profile;
mod quote;

pub(crate) use across::undertaken;
pub(crate) use appraise::appraise;
pub(crate) use authenticate::{Vouched, authenticate};
pub(crate) use checks::CHECKS;
pub(crate) use fields::FIELDS;
pub use hcl::AzureVtpm;
pub(crate) use hcl::{Claim, parse};
pub(crate) use known::is_known;
pub(crate) use profile::VtpmProfile;
pub use quote::TpmQuote;

use crate::check::Tee;
use crate::facts::FactValue;
use crate::findings::Findings;
use crate::report::Finding;
use crate::time::UnixTime;

/// What its checks are about, as the catalogue says it.
pub(crate) const TITLE: &str = "Azure vTPM";

/// What the bytes around the evidence of a TEE say, every field by its name. **Nothing is verified**: anybody can write such bytes.
///
/// # Errors
/// They are malformed, as [`crate::verify()`] would say too.
pub fn inspect_azure_vtpm(tee: Tee, vtpm: &AzureVtpm) -> Result<Vec<(&'static str, FactValue)>, Box<Finding>> {
    let mut findings = Findings::new(tee, CHECKS, UnixTime::from_seconds(0));
    match parse(vtpm, tee, &mut findings) {
        Ok(_) => Ok(findings.facts.iter().map(|(name, value)| (name, value.clone())).collect()),
        Err(stop) => Err(findings.failure(stop)),
    }
}
