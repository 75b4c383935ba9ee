//! Confidential ACI: a container group of Azure in a utility VM of its own. The host binds a security policy at launch, whose SHA-256 is
//! the report's HOST_DATA; what that VM is made of, Microsoft endorses with a signature that comes along with the evidence.
//!
//! The chain of the argument: AMD vouches for the report; the report holds the digest of the policy and the measurement of the VM;
//! an issuer whom the appraisal policy names endorses that measurement, with a version that must be reached.
//!
//! `uvm.rs` reads the endorsement, `did.rs` the name of its issuer. What the security policy says is its author's business: it is
//! known by its digest.

mod across;
mod appraise;
mod authenticate;
mod checks;
mod context;
mod did;
mod fields;
mod profile;
mod uvm;

pub(crate) use across::contradiction;
pub(crate) use appraise::appraise;
pub(crate) use authenticate::{Vouched, authenticate};
pub(crate) use checks::CHECKS;
pub use context::AciContext;
pub(crate) use context::{Claim, parse};
pub(crate) use fields::FIELDS;
pub(crate) use profile::AciProfile;

use crate::check::Tee;
use crate::facts::FactValue;
use crate::findings::Findings;
use crate::report::Finding;
use crate::time::UnixTime;

/// What its checks are about, as the catalogue says it.
pub(crate) const TITLE: &str = "Confidential ACI";

/// What the context of a container group says, every field by its name. **Nothing is verified**: anybody can write such bytes.
///
/// # Errors
/// It is malformed, as [`crate::verify()`] would say too.
pub fn inspect_aci(context: &AciContext) -> Result<Vec<(&'static str, FactValue)>, Box<Finding>> {
    let mut findings = Findings::new(Tee::SevSnp, CHECKS, UnixTime::from_seconds(0));
    match parse(context, &mut findings) {
        Ok(_) => Ok(findings.facts.iter().map(|(name, value)| (name, value.clone())).collect()),
        Err(stop) => Err(findings.failure(stop)),
    }
}
