//! What a verifier remembers of one verification for the next: which exact statements were authenticated under which exact
//! keys. Never a verdict, a time or a policy: those are judged every time.
//!
//! Several threads may use one memo at once: it is split by the digests that it is asked for, so that they seldom meet.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::aws_lc::Scheme;

/// Digests are even: the first byte says which part.
const PARTS: usize = 16;

/// How much a part holds before what was not asked for since makes room. All parts together hold some 32,000 statements, of
/// which a platform has about ten.
const STATEMENTS: usize = 1_024;

/// How many keys of one statement are remembered: a real one has a single signer.
const SIGNERS: usize = 4;

/// SHA-256 of a statement, its signature included.
pub(crate) type Digest = [u8; 32];

/// A key, and how it signs.
type Signer = (Scheme, Bytes);

/// Authenticated statements by their digests.
pub(crate) struct Memo {
    parts: [Mutex<Part>; PARTS],
}

struct Part {
    signers: Generations<Vec<Signer>>,
}

impl Default for Memo {
    fn default() -> Self {
        let part = || Mutex::new(Part { signers: Generations::new(STATEMENTS) });
        Self { parts: std::array::from_fn(|_| part()) }
    }
}

impl fmt::Debug for Memo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = |part: &Mutex<Part>| part.lock().unwrap_or_else(PoisonError::into_inner).signers.len();
        write!(f, "Memo({} statements)", self.parts.iter().map(held).sum::<usize>())
    }
}

impl Memo {
    /// Whether this key was found to have signed this statement.
    pub(crate) fn has(&self, statement: &Digest, scheme: Scheme, key: &[u8]) -> bool {
        self.with(statement, |part| {
            let signers = part.signers.get(statement);
            signers.is_some_and(|signers| signers.iter().any(|(how, who)| *how == scheme && *who == key))
        })
    }

    /// This key was found to have signed this statement.
    pub(crate) fn add(&self, statement: &Digest, scheme: Scheme, key: &[u8]) {
        self.with(statement, |part| {
            let mut signers = part.signers.get(statement).cloned().unwrap_or_default();
            if signers.len() < SIGNERS {
                // A copy: a slice would keep all of the document alive that the key stands in, and strangers send long ones.
                signers.push((scheme, Bytes::copy_from_slice(key)));
            }
            part.signers.put(*statement, signers);
        });
    }

    fn with<T>(&self, digest: &Digest, ask: impl FnOnce(&mut Part) -> T) -> T {
        let [first, ..] = digest;
        let [part, ..] = &self.parts;
        let part = self.parts.get(usize::from(*first) % PARTS).unwrap_or(part);
        // Whatever a thread that panicked left behind is still true: an entry is written in one step.
        ask(&mut part.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What was asked for lately, in two halves: as the younger is full, the older goes, and with it what nobody asked for while
/// the younger was filled.
pub(crate) struct Generations<T> {
    young: HashMap<Digest, T>,
    old: HashMap<Digest, T>,
    most: usize,
}

impl<T> Generations<T> {
    pub(crate) fn new(most: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), most }
    }

    /// How much is held.
    fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    pub(crate) fn get(&mut self, name: &Digest) -> Option<&T> {
        if let Some(found) = self.old.remove(name) {
            self.put(*name, found);
        }
        self.young.get(name)
    }

    pub(crate) fn put(&mut self, name: Digest, value: T) {
        if self.young.len() >= self.most && !self.young.contains_key(&name) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u32) -> Digest {
        let mut digest = [0; 32];
        digest[1..5].copy_from_slice(&number.to_be_bytes());
        digest
    }

    #[test]
    fn it_answers_for_the_very_statement_key_and_scheme() {
        let memo = Memo::default();
        let key = b"key";
        memo.add(&digest(1), Scheme::EcdsaP256Der, key);
        assert!(memo.has(&digest(1), Scheme::EcdsaP256Der, b"key"));
        assert!(!memo.has(&digest(2), Scheme::EcdsaP256Der, b"key"));
        assert!(!memo.has(&digest(1), Scheme::EcdsaP256Fixed, b"key"));
        assert!(!memo.has(&digest(1), Scheme::EcdsaP256Der, b"yek"));
        memo.add(&digest(1), Scheme::EcdsaP384Der, key);
        assert!(
            memo.has(&digest(1), Scheme::EcdsaP256Der, b"key") && memo.has(&digest(1), Scheme::EcdsaP384Der, b"key")
        );
    }

    #[test]
    fn a_key_is_kept_without_the_document_that_it_stands_in() {
        let memo = Memo::default();
        let document = Bytes::from(vec![7; 1 << 20]);
        memo.add(&digest(1), Scheme::EcdsaP256Der, &document.slice(..65));
        assert!(memo.has(&digest(1), Scheme::EcdsaP256Der, &[7; 65]));
        assert!(document.is_unique(), "the memo holds a part of it");
    }

    #[test]
    fn what_is_asked_for_stays_and_what_is_not_makes_room() {
        let memo = Memo::default();
        let key = b"key";
        let count = u32::try_from(3 * STATEMENTS).unwrap();
        for number in 0..count {
            memo.add(&digest(number), Scheme::EcdsaP256Der, key);
            assert!(memo.has(&digest(0), Scheme::EcdsaP256Der, b"key"), "asked for at {number}");
        }
        assert!(!memo.has(&digest(1), Scheme::EcdsaP256Der, b"key"), "never asked for again");
        let held: usize = memo
            .parts
            .iter()
            .map(|part| part.lock().unwrap())
            .map(|part| part.signers.young.len() + part.signers.old.len())
            .sum();
        assert!(held <= 2 * STATEMENTS, "{held}");
    }
}
