//! The chains that quotes carry, read once for each text: what a verifier remembers of them. That a chain was read says nothing
//! of whether it is believed.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::certificate::Certificate;
use crate::signature::{Generations, sha256};

/// As many chains as a fleet has platforms, twice over; a chain takes some 20 KiB.
const CHAINS: usize = 1_024;

/// The longest text whose chain is kept. Intel's have some 3,700 bytes; whoever sends a longer one has it read every time, so
/// that what is kept stays below some 100 MiB whatever is sent.
const MAX_TEXT: usize = 8 * 1024;

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
        if text.len() > MAX_TEXT {
            return read(text);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_read_once_and_one_that_is_too_long_every_time() {
        let chains = Chains::default();
        for (length, reads) in [(MAX_TEXT, 1), (MAX_TEXT + 1, 2)] {
            let (text, mut read) = (vec![b'a'; length], 0);
            for _ in 0..2 {
                assert!(
                    chains
                        .read(&text, |_| {
                            read += 1;
                            Some([].into())
                        })
                        .is_some()
                );
            }
            assert_eq!(read, reads, "{length}");
        }
        // What cannot be read is not remembered.
        assert!(chains.read(b"b", |_| None).is_none() && chains.read(b"b", |_| Some([].into())).is_some());
    }
}
