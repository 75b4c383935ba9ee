//! Confidential ACI: a container group of Azure in a utility VM of its own. The host binds a security policy at launch, whose SHA-256 is
//! the report's HOST_DATA; what that VM is made of, Microsoft endorses with a signature that comes along with the evidence.
//!
//! The chain of the argument: AMD vouches for the report; the report holds the digest of the policy and the measurement of the VM;
//! an issuer whom the appraisal policy names endorses that measurement, with a version that must be reached.
//!
//! `uvm.rs` reads the endorsement, `did.rs` the name of its issuer. What the security policy says is its author's business: it is
//! known by its digest.

mod appraise;
mod authenticate;
mod checks;
mod did;
mod fields;
mod profile;
mod uvm;

pub(crate) use appraise::appraise;
pub(crate) use authenticate::{Vouched, authenticate};
pub(crate) use checks::CHECKS;
pub(crate) use fields::FIELDS;
pub(crate) use profile::AciProfile;

use crate::check::{Check, Tee};
use crate::facts::FactValue;
use crate::findings::{Comparison, Findings, Stop};
use crate::report::Finding;
use crate::signature::sha256;
use crate::time::UnixTime;
use uvm::Endorsement;

/// What its checks are about, as the catalogue says it.
pub(crate) const TITLE: &str = "Confidential ACI";

/// What lies around the report of a container group, as received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AciContext {
    /// The security policy, as it is once its base64 is taken off: its digest is what the host bound.
    pub security_policy: Vec<u8>,
    /// The endorsement of the utility VM, a COSE_Sign1; empty where none came along.
    pub reference_info: Vec<u8>,
}

/// What it says, believed by nobody.
pub(crate) struct Claim<'a> {
    /// The digest of the security policy that came along.
    policy: [u8; 32],
    /// What came along as an endorsement of the VM.
    endorsement: Option<Endorsement<'a>>,
}

/// Bytes -> claim, with what it says stated as facts.
pub(crate) fn parse<'a>(context: &'a AciContext, findings: &mut Findings) -> Result<Claim<'a>, Stop> {
    let policy = sha256(&[&context.security_policy]);
    findings.facts.bytes("security_policy_sha256", &policy);
    if context.reference_info.is_empty() {
        findings.not_applicable(Check::UVM_FORM, "no endorsement came along");
        for name in ["uvm_issuer", "uvm_feed", "uvm_launch_measurement", "uvm_svn"] {
            findings.facts.absent(name);
        }
        return Ok(Claim { policy, endorsement: None });
    }
    let read = Endorsement::parse(&context.reference_info);
    let actual = read.as_ref().err().map_or_else(|| "one".into(), |fault| fault.clone().into());
    let expected = "an endorsement of a utility VM (COSE_Sign1, PS384, JSON)".into();
    let endorsement = findings.require_some(read.ok(), Comparison { check: Check::UVM_FORM, expected, actual })?;
    findings.facts.text("uvm_issuer", uvm::shown(endorsement.issuer));
    findings.facts.text("uvm_feed", uvm::shown(endorsement.feed));
    findings.facts.bytes("uvm_launch_measurement", &endorsement.measurement.0);
    findings.facts.number("uvm_svn", endorsement.svn);
    Ok(Claim { policy, endorsement: Some(endorsement) })
}

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
