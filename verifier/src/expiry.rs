//! What evidence depends on and that does not cover a time.

use crate::evidence::Evidence;
use crate::platforms;
use crate::policy::Policy;
use crate::time::UnixTime;
use crate::windows::{Expired, Windows};

/// Everything that `evidence` could use and that does not cover `now`, the earliest end first.
///
/// Endorsements of one kind stand in for each other (two CRLs of one issuer, a certificate issued again): where one of
/// them covers `now`, the others are not missed and not listed. What is for another platform is not listed either, nor
/// are CRLs that `policy` does not ask for. Malformed evidence needs nothing that could be named.
pub fn expired(evidence: &Evidence<'_>, policy: &Policy, now: UnixTime) -> Vec<Expired> {
    let mut windows = Windows::at(now);
    (platforms::of(evidence.tee).windows)(evidence, policy, &mut windows);
    windows.expired()
}
