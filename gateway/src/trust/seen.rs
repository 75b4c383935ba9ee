//! What the verdicts of this process rested on: shared by every address, and it outlives every policy and connection.

use std::sync::{Arc, PoisonError, RwLock};

use teegate_verifier::{Attested, Memory};

/// An anti-rollback memory in this process. It learns from accepted verdicts alone, and ends with the process.
#[derive(Clone, Debug, Default)]
pub struct Seen(Arc<RwLock<Memory>>);

impl Seen {
    /// Judges by what was seen so far. Judgements stand beside each other; only learning, which takes no time, stands alone.
    pub(crate) fn with<T>(&self, judge: impl FnOnce(&Memory) -> T) -> T {
        judge(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Remembers what an accepted verdict rested on.
    pub(crate) fn learn(&self, attested: &Attested) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remember(attested.seen());
    }
}
