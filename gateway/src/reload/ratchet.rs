//! What a policy may be followed by: a later version of itself, or itself. An earlier one, or another text under the version of now, is
//! somebody who takes the policy back. So is a policy that claims less about its evidence, unless the configuration says why.
//!
//! Policies without a version follow each other in any order; once one with a version was in force, none without follows. What was
//! in force last outlives the process where there is a `state_dir`.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use teegate_encoding::hex;
use teegate_verifier::{BoundTo, Document, Policy};

use crate::state::StateDir;

/// Where it is kept.
const FILE: &str = "policy.json";

/// The policy in force, as far as the next one has to know it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InForce {
    /// `version` of the policy.
    version: Option<u64>,
    /// SHA-256 of its text.
    sha256: String,
    /// The weakest `bound_to` of its profiles; none where one makes no claim.
    bound_to: Option<String>,
}

impl InForce {
    fn of(policy: &Policy) -> Self {
        Self {
            version: policy.document().version(),
            sha256: sha256(policy.document()),
            bound_to: policy.weakest_bound_to().map(|bound_to| bound_to.name().to_owned()),
        }
    }

    /// What it claims, strongest last. A word that this release does not know claims everything.
    fn claims(&self) -> usize {
        const CLAIMS: [BoundTo; 3] = [BoundTo::Guest, BoundTo::Pod, BoundTo::Workload];
        let Some(word) = &self.bound_to else { return 0 };
        let known = CLAIMS.iter().position(|claim| claim.name() == word);
        known.map_or(usize::MAX, |place| place.saturating_add(1))
    }
}

/// SHA-256 of the text of a policy, in hexadecimal.
pub fn sha256(document: &Document) -> String {
    hex::encode(digest(&SHA256, document.text().as_bytes()))
}

/// Why a policy may not follow the one in force.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refused {
    /// It has a lower version, or none.
    Older {
        /// What it says.
        version: Option<u64>,
        /// What was in force.
        held: u64,
    },
    /// It has the version of the one in force, and is another text.
    SameVersion(u64),
    /// It claims less about its evidence, and nobody said why.
    Weaker {
        /// What it claims.
        claims: String,
        /// What the one in force claims.
        held: String,
    },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Older { version: Some(version), held } => write!(
                f,
                "the policy has `version = {version}`, and version {held} was in force: to go back to what it says, give it a version \
                 above {held}"
            ),
            Self::Older { version: None, held } => {
                write!(f, "the policy has no `version`, and version {held} was in force: give it one above {held}")
            }
            Self::SameVersion(version) => write!(
                f,
                "the policy is another text than the one of `version = {version}` that was in force: a policy that changes gets a higher \
                 version"
            ),
            Self::Weaker { claims, held } => write!(
                f,
                "the policy claims less about its evidence (`bound_to`: {claims}) than the one in force ({held}): where that is meant, \
                 write `weaker = \"why\"` into `[reload]` of the configuration"
            ),
        }
    }
}

impl std::error::Error for Refused {}

/// The highest policy that was in force.
#[derive(Debug)]
pub struct Ratchet {
    state: Option<Arc<StateDir>>,
    held: Mutex<Option<InForce>>,
    /// Whether the folder has what is held.
    is_kept: AtomicBool,
}

impl Ratchet {
    /// What an earlier process left; nothing without a `state_dir`.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(state: Option<Arc<StateDir>>) -> Result<Self, String> {
        let held = state.as_ref().map_or(Ok(None), |state| state.read(FILE))?;
        Ok(Self { state, held: Mutex::new(held), is_kept: AtomicBool::new(true) })
    }

    /// What an earlier process left in a folder that is only looked at.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn look(state: Option<&StateDir>) -> Result<Self, String> {
        let held = state.map_or(Ok(None), |state| state.read(FILE))?;
        Ok(Self { state: None, held: Mutex::new(held), is_kept: AtomicBool::new(true) })
    }

    /// Whether `policy` may come into force now.
    ///
    /// # Errors
    /// Why it may not.
    pub fn check(&self, policy: &Policy, weaker: Option<&str>) -> Result<(), Refused> {
        let (held, next) = (self.held(), InForce::of(policy));
        let Some(held) = held.filter(|held| *held != next) else { return Ok(()) };
        match (next.version, held.version) {
            (version, Some(held)) if version.is_none_or(|version| version < held) => {
                return Err(Refused::Older { version, held });
            }
            (Some(version), Some(held_version)) if version == held_version && next.sha256 != held.sha256 => {
                return Err(Refused::SameVersion(version));
            }
            _ => {}
        }
        if next.claims() < held.claims() && weaker.is_none() {
            let words = |claim: Option<String>| claim.unwrap_or_else(|| "nothing".to_owned());
            return Err(Refused::Weaker { claims: words(next.bound_to), held: words(held.bound_to) });
        }
        Ok(())
    }

    /// `policy` comes into force.
    ///
    /// # Errors
    /// That could not be kept: it holds for this process, and the next one does not know of it.
    pub fn take(&self, policy: &Policy) -> Result<(), String> {
        let next = InForce::of(policy);
        let is_new = self.held().as_ref() != Some(&next);
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(next.clone());
        match &self.state {
            // What could not be kept is tried again the next time that it is taken.
            Some(state) if is_new || !self.is_kept.load(Ordering::SeqCst) => {
                let written = state.write(FILE, &next);
                self.is_kept.store(written.is_ok(), Ordering::SeqCst);
                written
            }
            _ => Ok(()),
        }
    }

    fn held(&self) -> Option<InForce> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::trust::testing::policy_text;

    /// A policy of this version over a measurement, with this claim.
    fn policy(version: Option<u64>, measurement: u8, claim: &str) -> Policy {
        // Each certificate of a forger is another text.
        static ARK: LazyLock<String> = LazyLock::new(|| teegate_forge::snp().ark_pem());
        let text = policy_text(&ARK, &[[measurement; 48]]);
        let text = text.replace("bound_to = \"workload\"", &format!("bound_to = \"{claim}\""));
        let head = version.map_or(String::new(), |version| format!("version = {version}\n"));
        Policy::parse(&format!("{head}{text}")).unwrap()
    }

    fn workload(version: Option<u64>, measurement: u8) -> Policy {
        policy(version, measurement, "workload")
    }

    #[test]
    fn a_policy_is_followed_by_a_later_one_or_by_itself() {
        let ratchet = Ratchet::open(None).unwrap();
        for (next, refused) in [
            (workload(None, 1), None),
            (workload(None, 2), None),
            (workload(Some(7), 1), None),
            (workload(Some(7), 1), None),
            (workload(Some(7), 2), Some(Refused::SameVersion(7))),
            (workload(Some(6), 1), Some(Refused::Older { version: Some(6), held: 7 })),
            (workload(None, 1), Some(Refused::Older { version: None, held: 7 })),
            (workload(Some(9), 2), None),
            (workload(Some(8), 2), Some(Refused::Older { version: Some(8), held: 9 })),
        ] {
            assert_eq!(ratchet.check(&next, None).err(), refused);
            if refused.is_none() {
                ratchet.take(&next).unwrap();
            }
        }
    }

    #[test]
    fn a_weaker_claim_needs_a_reason() {
        let ratchet = Ratchet::open(None).unwrap();
        ratchet.take(&workload(None, 1)).unwrap();
        for claim in ["pod", "guest"] {
            let weaker = policy(None, 1, claim);
            let refused = ratchet.check(&weaker, None).unwrap_err();
            assert_eq!(refused, Refused::Weaker { claims: claim.into(), held: "workload".into() });
            assert!(refused.to_string().contains("write `weaker = \"why\"` into `[reload]`"));
            assert_eq!(ratchet.check(&weaker, Some("one guest for all, since May")), Ok(()));
        }
        ratchet.take(&policy(None, 1, "guest")).unwrap();
        assert_eq!(ratchet.check(&workload(None, 1), None), Ok(()), "a stronger one needs none");
    }

    #[test]
    fn the_next_process_knows_what_was_in_force() {
        let place = tempfile::tempdir().unwrap();
        let open = || Ratchet::open(Some(Arc::new(StateDir::open(place.path()).unwrap()))).unwrap();
        let first = open();
        assert_eq!(first.check(&workload(Some(7), 1), None), Ok(()));
        first.take(&workload(Some(7), 1)).unwrap();
        drop(first);
        let second = open();
        assert_eq!(second.check(&workload(Some(7), 1), None), Ok(()), "itself");
        assert_eq!(second.check(&workload(Some(6), 1), None), Err(Refused::Older { version: Some(6), held: 7 }));
        assert_eq!(second.check(&workload(Some(7), 2), None), Err(Refused::SameVersion(7)));
        drop(second);
        std::fs::write(place.path().join(FILE), "{}").unwrap();
        let spoilt = Ratchet::open(Some(Arc::new(StateDir::open(place.path()).unwrap()))).unwrap_err();
        assert!(spoilt.contains("policy.json` is not what a gateway wrote"), "{spoilt}");
    }

    #[test]
    fn what_could_not_be_kept_is_tried_again_with_the_same_policy() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("state");
        let open = || Ratchet::open(Some(Arc::new(StateDir::open(&folder).unwrap()))).unwrap();
        let ratchet = open();
        std::fs::remove_dir_all(&folder).unwrap();
        let refused = ratchet.take(&workload(Some(7), 1)).unwrap_err();
        assert!(refused.contains("policy.json` cannot be written"), "{refused}");
        let older = Err(Refused::Older { version: Some(6), held: 7 });
        assert_eq!(ratchet.check(&workload(Some(6), 1), None), older, "it holds for this process");
        std::fs::create_dir(&folder).unwrap();
        ratchet.take(&workload(Some(7), 1)).unwrap();
        assert_eq!(open().check(&workload(Some(6), 1), None), older, "and now for the next");
        // What is kept is not written again.
        std::fs::remove_file(folder.join(FILE)).unwrap();
        ratchet.take(&workload(Some(7), 1)).unwrap();
        assert!(!folder.join(FILE).exists());
    }
}
