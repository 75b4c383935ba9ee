//! What comes beside the report of a container group: bytes, and what they say, believed by nobody.

use super::uvm::{self, Endorsement};
use crate::check::Check;
use crate::findings::{Comparison, Findings, Stop};
use crate::signature::sha256;

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
    pub(super) policy: [u8; 32],
    /// What came along as an endorsement of the VM.
    pub(super) endorsement: Option<Endorsement<'a>>,
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
