//! The whole argument, in one place.

use crate::checks::Tee;
use crate::error::{Reason, Unacceptable};
use crate::evidence::{Endorsements, Evidence};
use crate::findings::{Attested, Findings, Rejection};
use crate::memory::Memory;
use crate::policy::{Policy, Trailing};
use crate::signature::{Memo, Signatures};
use crate::time::UnixTime;
use crate::{sev_snp, tdx};

/// Decides whether `evidence` satisfies `policy` at time `now`.
///
/// Pure: the same arguments give the same verdict on every machine and in every year. Both sides of the result carry
/// the total report: every check that applies to this TEE, as passed, failed, not applicable, not checked (and which
/// field of the policy waives it) or not reached.
///
/// # Errors
/// The evidence is malformed, unauthentic or unacceptable; see [`crate::Reason`].
pub fn verify(evidence: &Evidence<'_>, policy: &Policy, now: UnixTime) -> Result<Attested, Rejection> {
    walk(evidence, policy, now, Signatures::stateless(), None)
}

/// [`verify()`], which also refuses what is older than what `memory` holds: CRLs, evaluations, and the TCB that this chip or
/// platform has shown. Afterwards [`Memory::remember`] what was accepted.
///
/// # Errors
/// As [`verify()`], and where something was rolled back.
pub fn verify_with(
    evidence: &Evidence<'_>,
    policy: &Policy,
    now: UnixTime,
    memory: &Memory,
) -> Result<Attested, Rejection> {
    walk(evidence, policy, now, Signatures::stateless(), Some(memory))
}

/// [`verify()`] with notes of what it has authenticated: an endorsement that was authenticated once, byte for byte and under the same key, is not
/// authenticated again. Everything else, validity windows included, is judged anew on every use; evidence always is.
#[derive(Clone, Debug, Default)]
pub struct Verifier {
    memo: Memo,
}

impl Verifier {
    /// Remembers nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// As [`verify()`].
    ///
    /// # Errors
    /// As [`verify()`].
    pub fn verify(&mut self, evidence: &Evidence<'_>, policy: &Policy, now: UnixTime) -> Result<Attested, Rejection> {
        walk(evidence, policy, now, Signatures::remembering(&mut self.memo), None)
    }

    /// As [`verify_with()`].
    ///
    /// # Errors
    /// As [`verify_with()`].
    pub fn verify_with(
        &mut self,
        evidence: &Evidence<'_>,
        policy: &Policy,
        now: UnixTime,
        memory: &Memory,
    ) -> Result<Attested, Rejection> {
        walk(evidence, policy, now, Signatures::remembering(&mut self.memo), Some(memory))
    }
}

/// The type of the evidence selects the path; each path is parse, authenticate, appraise.
fn walk(
    evidence: &Evidence<'_>,
    policy: &Policy,
    now: UnixTime,
    signatures: Signatures<'_>,
    memory: Option<&Memory>,
) -> Result<Attested, Rejection> {
    let asked = Asked { policy, now, signatures, memory };
    match *evidence {
        Evidence::SevSnp { report, endorsements } => sev_snp(report, endorsements, asked),
        Evidence::Tdx { quote, endorsements, event_log } => tdx(quote, endorsements, event_log, asked),
    }
}

/// What evidence is held against, beside its endorsements.
struct Asked<'a, 'm> {
    policy: &'a Policy,
    now: UnixTime,
    signatures: Signatures<'m>,
    memory: Option<&'a Memory>,
}

fn sev_snp(
    bytes: &[u8],
    endorsements: &Endorsements,
    Asked { policy, now, signatures, memory }: Asked<'_, '_>,
) -> Result<Attested, Rejection> {
    let mut findings = Findings::new(Tee::SevSnp, now);
    let unverified = match sev_snp::parse(bytes, &mut findings) {
        Ok(unverified) => unverified,
        Err(malformed) => return Err(findings.refuse(malformed.into())),
    };
    let Some((name, profile)) = policy.sev_snp() else { return Err(no_profile(Tee::SevSnp, findings)) };
    findings.judge(true, Unacceptable::PolicyProfile { tee: Tee::SevSnp.name(), profile: Some(name.to_owned()) });
    findings.appraised_by(name, profile.bound_to.required().copied());
    let given = sev_snp::Given { endorsements, anchors: policy.anchors(), profile, now, signatures, memory };
    let vouched = match sev_snp::authenticate(unverified, given, &mut findings) {
        Ok(vouched) => vouched,
        Err(unauthentic) => return Err(findings.refuse(unauthentic.into())),
    };
    sev_snp::appraise(&vouched, sev_snp::Wanted { profile, policy, memory }, &mut findings);
    findings.conclude()
}

fn tdx(
    bytes: &[u8],
    endorsements: &Endorsements,
    event_log: Option<&[u8]>,
    Asked { policy, now, signatures, memory }: Asked<'_, '_>,
) -> Result<Attested, Rejection> {
    let mut findings = Findings::new(Tee::Tdx, now);
    let trailing = policy.tdx().map_or(Trailing::Zero, |(_, profile)| profile.trailing_bytes);
    let unverified = match tdx::parse(bytes, trailing, &mut findings) {
        Ok(unverified) => unverified,
        Err(malformed) => return Err(findings.refuse(malformed.into())),
    };
    let Some((name, profile)) = policy.tdx() else { return Err(no_profile(Tee::Tdx, findings)) };
    findings.judge(true, Unacceptable::PolicyProfile { tee: Tee::Tdx.name(), profile: Some(name.to_owned()) });
    findings.appraised_by(name, profile.bound_to.required().copied());
    let given = tdx::Given { endorsements, anchors: policy.anchors(), profile, now, signatures, memory };
    let vouched = match tdx::authenticate(unverified, given, &mut findings) {
        Ok(vouched) => vouched,
        Err(unauthentic) => return Err(findings.refuse(unauthentic.into())),
    };
    tdx::appraise(&vouched, event_log, tdx::Wanted { profile, policy, memory }, &mut findings);
    findings.conclude()
}

fn no_profile(tee: Tee, mut findings: Findings) -> Rejection {
    let missing = Unacceptable::PolicyProfile { tee: tee.name(), profile: None };
    findings.judge(false, missing.clone());
    findings.refuse(Reason::Unacceptable(vec![missing]))
}
