//! The chains that quotes carry, read once for each text: what a verifier remembers of them. That a chain was read says nothing
//! of whether it is believed.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::certificate::Certificate;
use crate::signature::Generations;

/// As many chains as a fleet has platforms, twice over; a chain takes some 25 KiB with its text.
const CHAINS: usize = 1_024;

/// The longest text whose chain is kept. Intel's have some 3,700 bytes; whoever sends a longer one has it read every time, so
/// that what is kept stays below some 100 MiB whatever is sent.
const MAX_TEXT: usize = 8 * 1024;

/// By so many bytes at its beginning a text is looked up, and then it is compared. The serial number of the leaf stands in
/// them: of texts that begin alike, which are not two platforms', the last is kept.
const BEGINNING: usize = 128;

/// Certificates by the text that they stand in.
pub(crate) struct Chains(Mutex<Generations<[u8; BEGINNING], Known>>);

/// A text, and what it was read as.
struct Known {
    text: Box<[u8]>,
    chain: Chain,
}

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
        let Some(beginning) = text.first_chunk().filter(|_| text.len() <= MAX_TEXT) else { return read(text) };
        // A thread that panicked has left nothing half done: an entry is written in one step.
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known().get(beginning).filter(|known| *known.text == *text) {
            return Some(known.chain.clone());
        }
        let chain = read(text)?;
        known().put(*beginning, Known { text: text.into(), chain: chain.clone() });
        Some(chain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn a_chain_is_read_once_and_one_that_is_too_long_every_time() {
        let chains = Chains::default();
        for (length, reads) in [(BEGINNING - 1, 2), (BEGINNING, 1), (MAX_TEXT, 1), (MAX_TEXT + 1, 2)] {
            let (text, mut read) = (vec![length.to_le_bytes()[0]; length], 0);
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
        let text = [b'b'; BEGINNING];
        assert!(chains.read(&text, |_| None).is_none() && chains.read(&text, |_| Some([].into())).is_some());
    }

    #[test]
    fn a_text_is_known_by_all_of_its_bytes() {
        let (chains, one) = (Chains::default(), [b'a'; 2 * BEGINNING]);
        let mut other = one;
        other[2 * BEGINNING - 1] = b'b';
        let longer = [one.as_slice(), b"a"].concat();
        let root = Bytes::from_static(include_bytes!("../sev_snp/roots/amd-ark-milan.der"));
        let leaf = || Arc::new(Certificate::parse(&root).unwrap());
        assert_eq!(chains.read(&one, |_| Some([leaf()].into())).unwrap().len(), 1);
        for another in [&other[..], &longer] {
            assert_eq!(chains.read(another, |_| Some([].into())).unwrap().len(), 0);
            assert_eq!(chains.read(another, |_| None).unwrap().len(), 0, "the last is kept");
        }
        assert!(chains.read(&one, |_| None).is_none(), "and of those that begin alike no other");
    }
}
