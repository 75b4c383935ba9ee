//! What the verdicts of this process rested on: shared by every address, and it outlives every policy and connection; with a
//! `state_dir` it outlives the process too.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use teegate_verifier::{Attested, Memory};

use crate::state::StateDir;

/// Where it is kept.
const FILE: &str = "memory.json";
/// A process that ends without warning forgets what it learnt in so long.
const KEEP_EVERY: Duration = Duration::from_secs(60);

/// An anti-rollback memory. It learns from accepted verdicts alone.
#[derive(Clone, Debug, Default)]
pub struct Seen(Arc<RwLock<Memory>>);

impl Seen {
    /// What an earlier process left.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(state: &StateDir) -> Result<Self, String> {
        Ok(Self(Arc::new(RwLock::new(state.read(FILE)?.unwrap_or_default()))))
    }

    /// Keeps it in the folder, again and again; never resolves.
    pub async fn keep_in(self, state: Arc<StateDir>) {
        let (mut kept, mut is_failing) = (self.with(Memory::clone), false);
        loop {
            tokio::time::sleep(KEEP_EVERY).await;
            let (now, place) = (self.with(Memory::clone), Arc::clone(&state));
            if now == kept {
                continue;
            }
            let written = now.clone();
            let outcome = tokio::task::spawn_blocking(move || place.write(FILE, &written)).await;
            match outcome.unwrap_or_else(|error| Err(error.to_string())) {
                Ok(()) => (kept, is_failing) = (now, false),
                Err(why) if !std::mem::replace(&mut is_failing, true) => {
                    tracing::error!("what was seen is not kept for the next start: {why}");
                }
                Err(_) => {}
            }
        }
    }

    /// Keeps it now.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep(&self, state: &StateDir) -> Result<(), String> {
        state.write(FILE, &self.with(Memory::clone))
    }

    /// Judges by what was seen so far. Judgements stand beside each other; only learning, which takes no time, stands alone.
    pub(crate) fn with<T>(&self, judge: impl FnOnce(&Memory) -> T) -> T {
        judge(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Remembers what an accepted verdict rested on.
    pub(crate) fn learn(&self, attested: &Attested) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remember(attested.seen());
    }
}
