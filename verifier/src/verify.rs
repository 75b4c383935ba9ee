//! What a caller asks: whether evidence satisfies a policy at a stated time.

use crate::evidence::Evidence;
use crate::memory::Memory;
use crate::platform::Platform;
use crate::platforms::{self, Task};
use crate::policy::Policy;
use crate::report::{Attested, Rejection};
use crate::signature::{Memo, Signatures};
use crate::time::UnixTime;
use crate::walk::{self, Asked};
use crate::x509::chains::Chains;

/// Decides whether `evidence` satisfies `policy` at time `now`.
///
/// Pure: the same arguments give the same verdict on every machine and in every year. Both sides of the result carry
/// the total report: every check that applies to this TEE, as passed, failed, not applicable, not checked (and which
/// field of the policy waives it) or not reached.
///
/// # Errors
/// The evidence is malformed, unauthentic or unacceptable: [`Rejection::stage`] says which, [`Rejection::failures`] why.
pub fn verify(evidence: &Evidence<'_>, policy: &Policy, now: UnixTime) -> Result<Attested, Rejection> {
    judge(evidence, Asked { policy, now, signatures: Signatures::stateless(), chains: None, memory: None })
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
    let memory = Some(memory);
    judge(evidence, Asked { policy, now, signatures: Signatures::stateless(), chains: None, memory })
}

/// [`verify()`] with notes of what it has authenticated: an endorsement that was authenticated once, byte for byte and under the
/// same key, is not authenticated again, nor is the report of a quoting enclave. Everything else, validity windows included, is
/// judged anew on every use; a report or a quote always is.
///
/// Several threads may use one at once.
#[derive(Debug, Default)]
pub struct Verifier {
    memo: Memo,
    chains: Chains,
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
        judge(evidence, self.asked(policy, now, None))
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
        judge(evidence, self.asked(policy, now, Some(memory)))
    }

    fn asked<'a>(&'a self, policy: &'a Policy, now: UnixTime, memory: Option<&'a Memory>) -> Asked<'a, 'a> {
        let (signatures, chains) = (Signatures::remembering(&self.memo), Some(&self.chains));
        Asked { policy, now, signatures, chains, memory }
    }
}

fn judge(evidence: &Evidence<'_>, asked: Asked<'_, '_>) -> Result<Attested, Rejection> {
    struct Walk<'w, 'e, 'a, 'm>(&'w Evidence<'e>, Asked<'a, 'm>);
    impl Task for Walk<'_, '_, '_, '_> {
        type Outcome = Result<Attested, Rejection>;

        fn with<P: Platform>(self) -> Self::Outcome {
            walk::walk::<P>(self.0, self.1)
        }
    }
    platforms::of(evidence.tee, Walk(evidence, asked))
}
