//! The chains that quotes carry, read once for each text: what a verifier remembers of them. That a chain was read says nothing
//! of whether it is believed.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::certificate::Certificate;
use crate::signature::{Generations, sha256};

/// As many chains as a fleet has platforms, twice over; a chain takes some 20 KiB.
const CHAINS: usize = 1_024;

/// Certificates by the digest of the text that they stand in.
pub(crate) struct Chains(Mutex<Generations<Chain>>);

/// The certificates of one text, in its order.
pub(crate) type Chain = Arc<[Arc<Certificate>]>;

impl Default for Chains {
    fn default() -> Self {
        Self(Mutex::new(Generations::new(CHAINS)))
    }
}

impl fmt::Debug for Chains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chains")
    }
}

impl Chains {
    /// What `text` is read as; `None` where it cannot be, which is not remembered.
    pub(crate) fn read(&self, text: &[u8], read: impl FnOnce(&[u8]) -> Option<Chain>) -> Option<Chain> {
        let name = sha256(&[text]);
        // A thread that panicked has left nothing half done: an entry is written in one step.
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(chain) = known().get(&name) {
            return Some(chain.clone());
        }
        let chain = read(text)?;
        known().put(name, chain.clone());
        Some(chain)
    }
}
