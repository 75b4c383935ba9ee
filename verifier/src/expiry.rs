//! What evidence depends on and that does not cover a time.

use crate::evidence::Evidence;
use crate::platform::Platform;
use crate::platforms::{self, Task};
use crate::policy::Policy;
use crate::time::UnixTime;
use crate::walk;
use crate::windows::{Expired, Windows};

/// Everything that `evidence` could use and that does not cover `now`, the earliest end first.
///
/// Endorsements of one kind stand in for each other (two CRLs of one issuer, a certificate issued again): where one of
/// them covers `now`, the others are not missed and not listed. What is for another platform is not listed either, nor
/// are CRLs that `policy` does not ask for. Malformed evidence needs nothing that could be named.
pub fn expired(evidence: &Evidence<'_>, policy: &Policy, now: UnixTime) -> Vec<Expired> {
    struct Look<'l, 'e>(&'l Evidence<'e>, &'l Policy, Windows);
    impl Task for Look<'_, '_> {
        type Outcome = Windows;

        fn with<P: Platform>(mut self) -> Windows {
            walk::windows::<P>(self.0, self.1, &mut self.2);
            self.2
        }
    }
    platforms::of(evidence.tee, Look(evidence, policy, Windows::at(now))).expired()
}
