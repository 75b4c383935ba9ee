//! What a caller asks: whether evidence satisfies a policy at a stated time.

use crate::evidence::Evidence;
use crate::memo::Memo;
use crate::memory::Memory;
use crate::platforms;
use crate::policy::Policy;
use crate::report::{Attested, Rejection};
use crate::signature::{Chain, Signatures};
use crate::time::UnixTime;
use crate::walk::Asked;

/// Decides whether `evidence` satisfies `policy` at time `now`.
///
/// Pure: the same arguments give the same verdict on every machine and in every year. Both sides of the result carry
/// the total report: every check that applies to this TEE, as passed, failed, not applicable, not checked (and which
/// field of the policy waives it) or not reached.
///
/// # Errors
/// The evidence is malformed, unauthentic or unacceptable: [`Rejection::stage`] says which, [`Rejection::failures`] why.
pub fn verify(evidence: &Evidence<'_>, policy: &Policy, now: UnixTime) -> Result<Attested, Rejection> {
    judge(evidence, policy, now, Signatures::stateless(), None)
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
    judge(evidence, policy, now, Signatures::stateless(), Some(memory))
}

/// [`verify()`] with notes of what it has authenticated: an endorsement that was authenticated once, byte for byte and under the same key, is not
/// authenticated again. Everything else, validity windows included, is judged anew on every use; evidence always is.
///
/// Several threads may use one at once.
#[derive(Debug, Default)]
pub struct Verifier {
    memo: Memo<Chain>,
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
    pub fn verify(&self, evidence: &Evidence<'_>, policy: &Policy, now: UnixTime) -> Result<Attested, Rejection> {
        judge(evidence, policy, now, Signatures::remembering(&self.memo), None)
    }

    /// As [`verify_with()`].
    ///
    /// # Errors
    /// As [`verify_with()`].
    pub fn verify_with(
        &self,
        evidence: &Evidence<'_>,
        policy: &Policy,
        now: UnixTime,
        memory: &Memory,
    ) -> Result<Attested, Rejection> {
        judge(evidence, policy, now, Signatures::remembering(&self.memo), Some(memory))
    }
}

fn judge(
    evidence: &Evidence<'_>,
    policy: &Policy,
    now: UnixTime,
    signatures: Signatures<'_>,
    memory: Option<&Memory>,
) -> Result<Attested, Rejection> {
    let walk = platforms::of(evidence.tee).walk;
    walk(evidence, Asked { policy, now, signatures, memory })
}
