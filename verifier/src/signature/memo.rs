//! What a verifier remembers of one verification for the next: which exact statements were authenticated under which exact
//! keys. Never a verdict, a time or a policy: those are judged every time.
//!
//! Several threads may use one memo at once: it is split by the digests that it is asked for, so that they seldom meet.

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::aws_lc::Scheme;

/// Digests are even, and so are points: one of their bytes says which part.
const PARTS: usize = 16;

/// How much a part holds before what was not asked for since makes room. All parts together hold some 32,000 statements, of
/// which a platform has about ten.
const STATEMENTS: usize = 1_024;

/// How many platforms' quoting enclaves a part holds; all parts together, those of some 4,000.
const PLATFORMS: usize = 128;

/// How many reports of the quoting enclaves of one platform are remembered, the last ones: it makes one each time that it
/// starts. Whoever owns a platform and makes many takes no other's place.
const REPORTS: usize = 4;

/// How many keys of one statement are remembered: a real one has a single signer.
const SIGNERS: usize = 4;

/// SHA-256 of a statement, its signature included.
pub(crate) type Digest = [u8; 32];

/// A statement by its digest, of which 64 bits are enough to look it up: nobody makes many digests that are alike in them.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Named(Digest);

impl Hash for Named {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        if let Some(part) = self.0.last_chunk() {
            hasher.write_u64(u64::from_ne_bytes(*part));
        }
    }
}

/// A key, and how it signs.
type Signer = (Scheme, Bytes);

/// A P-256 point, x and y: the key of a platform's PCK certificate.
type Point = [u8; 64];

/// The report of a quoting enclave, and the signature on it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Enclave {
    report: [u8; 384],
    signature: [u8; 64],
}

/// Who a statement comes from, as far as that decides whose place it may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bringer {
    /// The user, or a vendor whom the user had asked.
    User,
    /// Whoever is judged, or stands between. However much they send, it takes no place of the user's.
    Stranger,
}

/// What was authenticated: statements by their digests, and the reports of quoting enclaves by the platforms' keys.
pub(crate) struct Memo {
    users: Parts<Generations<Named, Vec<Signer>>>,
    strangers: Parts<Generations<Named, Vec<Signer>>>,
    enclaves: Parts<Generations<Point, Vec<Enclave>>>,
}

impl Default for Memo {
    fn default() -> Self {
        Self {
            users: Parts::of(|| Generations::new(STATEMENTS)),
            strangers: Parts::of(|| Generations::new(STATEMENTS)),
            enclaves: Parts::of(|| Generations::new(PLATFORMS)),
        }
    }
}

impl fmt::Debug for Memo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let statements = [&self.users, &self.strangers].map(|parts| parts.sum(Generations::len)).iter().sum::<usize>();
        write!(f, "Memo({statements} statements, {} platforms)", self.enclaves.sum(Generations::len))
    }
}

impl Memo {
    /// Whether this key was found to have signed this statement.
    pub(crate) fn has(&self, from: Bringer, statement: &Digest, scheme: Scheme, key: &[u8]) -> bool {
        self.statements(from).with(statement, |known| {
            let signers = known.get(&Named(*statement));
            signers.is_some_and(|signers| signers.iter().any(|(how, who)| *how == scheme && *who == key))
        })
    }

    /// This key was found to have signed this statement.
    pub(crate) fn add(&self, from: Bringer, statement: &Digest, scheme: Scheme, key: &[u8]) {
        self.statements(from).with(statement, |known| {
            let mut signers = known.get(&Named(*statement)).cloned().unwrap_or_default();
            if signers.len() < SIGNERS {
                // A copy: a slice would keep all of the document alive that the key stands in, and strangers send long ones.
                signers.push((scheme, Bytes::copy_from_slice(key)));
            }
            known.put(Named(*statement), signers);
        });
    }

    /// Whether the PCK with this key was found to have signed this report of a quoting enclave.
    pub(crate) fn has_enclave(&self, pck: &Point, report: &[u8; 384], signature: &[u8; 64]) -> bool {
        let is_it = |known: &Enclave| known.report == *report && known.signature == *signature;
        self.enclaves.with(pck, |known| known.get(pck).is_some_and(|reports| reports.iter().any(is_it)))
    }

    /// The PCK with this key was found to have signed this report of a quoting enclave.
    pub(crate) fn add_enclave(&self, pck: &Point, report: &[u8; 384], signature: &[u8; 64]) {
        let enclave = Enclave { report: *report, signature: *signature };
        self.enclaves.with(pck, |known| {
            let mut reports = known.get(pck).cloned().unwrap_or_default();
            if reports.len() == REPORTS {
                reports.remove(0);
            }
            reports.push(enclave);
            known.put(*pck, reports);
        });
    }

    const fn statements(&self, from: Bringer) -> &Parts<Generations<Named, Vec<Signer>>> {
        match from {
            Bringer::User => &self.users,
            Bringer::Stranger => &self.strangers,
        }
    }
}

/// Several of the same, so that threads seldom meet.
struct Parts<T>([Mutex<T>; PARTS]);

impl<T> Parts<T> {
    fn of(part: impl Fn() -> T) -> Self {
        Self(std::array::from_fn(|_| Mutex::new(part())))
    }

    /// Asks the part that holds what is called `name`.
    fn with<A>(&self, name: &[u8], ask: impl FnOnce(&mut T) -> A) -> A {
        let Self([part, ..]) = self;
        let number = name.first().map_or(0, |first| usize::from(*first) % PARTS);
        let part = self.0.get(number).unwrap_or(part);
        // Whatever a thread that panicked left behind is still true: an entry is written in one step.
        ask(&mut part.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn sum(&self, count: impl Fn(&T) -> usize) -> usize {
        self.0.iter().map(|part| count(&part.lock().unwrap_or_else(PoisonError::into_inner))).sum()
    }
}

/// What was asked for lately, in two halves: as the younger is full, the older goes, and with it what nobody asked for while
/// the younger was filled.
pub(crate) struct Generations<K, T> {
    young: HashMap<K, T>,
    old: HashMap<K, T>,
    most: usize,
}

impl<K: Eq + Hash + Copy, T> Generations<K, T> {
    pub(crate) fn new(most: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), most }
    }

    /// How much is held.
    fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    pub(crate) fn get(&mut self, name: &K) -> Option<&T> {
        if !self.old.is_empty()
            && !self.young.contains_key(name)
            && let Some(found) = self.old.remove(name)
        {
            self.put(*name, found);
        }
        self.young.get(name)
    }

    pub(crate) fn put(&mut self, name: K, value: T) {
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
        memo.add(Bringer::User, &digest(1), Scheme::EcdsaP256Der, key);
        assert!(memo.has(Bringer::User, &digest(1), Scheme::EcdsaP256Der, b"key"));
        assert!(!memo.has(Bringer::User, &digest(2), Scheme::EcdsaP256Der, b"key"));
        assert!(!memo.has(Bringer::User, &digest(1), Scheme::EcdsaP256Fixed, b"key"));
        assert!(!memo.has(Bringer::User, &digest(1), Scheme::EcdsaP256Der, b"yek"));
        memo.add(Bringer::User, &digest(1), Scheme::EcdsaP384Der, key);
        assert!(
            memo.has(Bringer::User, &digest(1), Scheme::EcdsaP256Der, b"key")
                && memo.has(Bringer::User, &digest(1), Scheme::EcdsaP384Der, b"key")
        );
    }

    #[test]
    fn a_key_is_kept_without_the_document_that_it_stands_in() {
        let memo = Memo::default();
        let document = Bytes::from(vec![7; 1 << 20]);
        memo.add(Bringer::User, &digest(1), Scheme::EcdsaP256Der, &document.slice(..65));
        assert!(memo.has(Bringer::User, &digest(1), Scheme::EcdsaP256Der, &[7; 65]));
        assert!(document.is_unique(), "the memo holds a part of it");
    }

    #[test]
    fn what_is_asked_for_stays_and_what_is_not_makes_room() {
        let memo = Memo::default();
        let key = b"key";
        let count = u32::try_from(3 * STATEMENTS).unwrap();
        for number in 0..count {
            memo.add(Bringer::User, &digest(number), Scheme::EcdsaP256Der, key);
            assert!(memo.has(Bringer::User, &digest(0), Scheme::EcdsaP256Der, b"key"), "asked for at {number}");
        }
        assert!(!memo.has(Bringer::User, &digest(1), Scheme::EcdsaP256Der, b"key"), "never asked for again");
        let held = memo.users.sum(Generations::len);
        assert!(held <= 2 * STATEMENTS, "{held}");
    }

    #[test]
    fn what_strangers_bring_takes_no_place_of_the_users() {
        let memo = Memo::default();
        memo.add(Bringer::User, &digest(0), Scheme::EcdsaP256Der, b"key");
        for number in 1..u32::try_from(3 * STATEMENTS).unwrap() {
            memo.add(Bringer::Stranger, &digest(number), Scheme::EcdsaP256Der, b"key");
        }
        assert!(memo.has(Bringer::User, &digest(0), Scheme::EcdsaP256Der, b"key"));
        assert!(!memo.has(Bringer::User, &digest(3_000), Scheme::EcdsaP256Der, b"key"), "each its own");
        assert!(memo.has(Bringer::Stranger, &digest(3_000), Scheme::EcdsaP256Der, b"key"));
    }

    #[test]
    fn of_a_platform_the_last_reports_are_known_and_of_no_other_platform() {
        let memo = Memo::default();
        let report = |number: u8| ([number; 384], [number; 64]);
        let (first, signature) = report(0);
        // Alike up to the last byte, so that both are in one part.
        let mut other = [7; 64];
        other[63] = 8;
        memo.add_enclave(&other, &first, &signature);
        for number in 0..=u8::try_from(REPORTS).unwrap() {
            let (bytes, signature) = report(number);
            assert!(!memo.has_enclave(&[7; 64], &bytes, &signature));
            memo.add_enclave(&[7; 64], &bytes, &signature);
            assert!(memo.has_enclave(&[7; 64], &bytes, &signature));
        }
        assert!(!memo.has_enclave(&[7; 64], &first, &signature), "the oldest made room");
        assert!(memo.has_enclave(&other, &first, &signature), "and none of another platform");
        assert!(!memo.has_enclave(&other, &first, &[1; 64]) && !memo.has_enclave(&other, &[1; 384], &signature));
    }
}
