//! The verified instances at hand, used in turn until each ends.

use std::sync::Arc;

use teegate_protocol::manifest::ManifestDigest;
use teegate_verifier::UnixTime;

use crate::instance::Instance;

/// At most as many as a gateway offers at once.
#[derive(Default)]
pub(crate) struct Verified {
    instances: Vec<Arc<Instance>>,
    turn: usize,
    /// How many lists there have been.
    list: u64,
}

impl Verified {
    /// Takes these in place of those, each once.
    pub(crate) fn keep(&mut self, mut instances: Vec<Arc<Instance>>) {
        instances.sort_by_key(|instance| instance.digest().0);
        instances.dedup_by_key(|instance| instance.digest().0);
        self.instances = instances;
        self.list = self.list.wrapping_add(1);
    }

    /// The list that those at hand are from.
    pub(crate) fn list(&self) -> u64 {
        self.list
    }

    /// Forgets all that are from that list. Those of a later one were verified since, because somebody else found out first.
    pub(crate) fn forget_list(&mut self, list: u64) {
        if self.list == list {
            self.instances.clear();
        }
    }

    /// The one whose turn it is, of those that may still be sealed to at `now`; the others are forgotten.
    pub(crate) fn next(&mut self, now: UnixTime) -> Option<Arc<Instance>> {
        self.instances.retain(|instance| instance.may_seal(now));
        let turn = self.turn.checked_rem(self.instances.len())?;
        self.turn = turn.wrapping_add(1);
        self.instances.get(turn).cloned()
    }

    /// Forgets one that is in doubt.
    pub(crate) fn forget(&mut self, manifest: &ManifestDigest) {
        self.instances.retain(|instance| instance.digest() != manifest);
    }
}
