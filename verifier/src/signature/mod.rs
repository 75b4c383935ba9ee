//! Signatures, and who pays for the work on them.
//!
//! A public-key operation costs some hundred times what everything around it costs. A [`Memo`] therefore remembers which
//! exact endorsements were authenticated under which exact key; that evidence was signed is never remembered, but for the
//! reports of Intel's quoting enclaves, which vouch for many quotes. And the number
//! of operations is bounded for each source of statements, so that junk costs little and denies nothing to others.

mod aws_lc;
mod memo;

use std::sync::OnceLock;

use bytes::Bytes;

pub(crate) use aws_lc::{Scheme, holds, rsa_pkcs1_sha256_holds, sha256, sha384};
use memo::Bringer;
pub(crate) use memo::{Digest, Generations, Memo};

use crate::statement::Source;

/// Out of whose share the work on a statement is paid: that of whoever brought it, one for each kind of statement, so that
/// many certificates never leave a list unread that takes one of them back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Share {
    /// Of its certificates.
    Certificates(Source),
    /// Of its revocation lists.
    Lists(Source),
    /// Of its signed texts: TCB infos and QE identities.
    Texts(Source),
    /// Of the few certificates that stand in a quote itself, which nothing else that came along with it may starve.
    Carried,
}

impl Share {
    const COUNT: usize = 3 * Source::ALL.len() + 1;

    const fn index(self) -> usize {
        match self {
            Self::Certificates(source) => source as usize,
            Self::Lists(source) => Source::ALL.len() + source as usize,
            Self::Texts(source) => 2 * Source::ALL.len() + source as usize,
            Self::Carried => 3 * Source::ALL.len(),
        }
    }

    /// Whose place in the memory it may take.
    const fn from(self) -> Bringer {
        match self {
            Self::Certificates(source) | Self::Lists(source) | Self::Texts(source) if source.is_the_users() => {
                Bringer::User
            }
            _ => Bringer::Stranger,
        }
    }

    /// How many signatures are tried in one verification: enough for every statement that a real pool holds of one platform,
    /// and some 50 ms of work at the most. Statements are compared by what they say before any of it is spent.
    const fn trials(self) -> u16 {
        match self {
            Self::Certificates(_) | Self::Carried => 256,
            Self::Lists(_) | Self::Texts(_) => 128,
        }
    }
}

/// A statement, its signature, and where the digest of both is kept: it is made once for each statement that is loaded, and
/// only where something is remembered.
#[derive(Clone, Copy)]
pub(crate) struct Statement<'s> {
    pub(crate) message: &'s [u8],
    pub(crate) signature: &'s [u8],
    pub(crate) name: &'s OnceLock<Digest>,
}

impl<'s> Statement<'s> {
    /// Lengths stand before the parts, so that no two statements share a name.
    fn name(self) -> &'s Digest {
        let Self { message, signature, name } = self;
        name.get_or_init(|| {
            let lengths =
                [message.len(), signature.len()].map(|length| u64::try_from(length).unwrap_or(u64::MAX).to_be_bytes());
            sha256(&[lengths.as_flattened(), message, signature])
        })
    }
}

/// Verifies signatures, with or without a memory, and pays for each out of the share of whoever brought the statement. A
/// source that has spent its share has its further statements passed over, and costs no other source its turn.
pub(crate) struct Signatures<'m> {
    memo: Option<&'m Memo>,
    spent: [u16; Share::COUNT],
}

impl<'m> Signatures<'m> {
    /// Every signature is verified.
    pub(crate) fn stateless() -> Self {
        Self { memo: None, spent: [0; Share::COUNT] }
    }

    /// An endorsement whose exact bytes were authenticated before, under the same key, is not authenticated again.
    pub(crate) fn remembering(memo: &'m Memo) -> Self {
        Self { memo: Some(memo), ..Self::stateless() }
    }

    /// What it remembers, for another that pays for its own.
    pub(crate) const fn memo(&self) -> Option<&'m Memo> {
        self.memo
    }

    /// Whether `key` signed `message`, which with its signature has the digest `name`. False as well where the share is spent
    /// that pays for it.
    pub(crate) fn endorsement_holds(
        &mut self,
        share: Share,
        scheme: Scheme,
        key: &Bytes,
        statement: Statement<'_>,
    ) -> bool {
        // What is remembered costs nothing.
        let name = self.memo.map(|memo| (memo, statement.name()));
        if name.is_some_and(|(memo, name)| memo.has(share.from(), name, scheme, key)) {
            return true;
        }
        let Some(spent) = self.spent.get_mut(share.index()).filter(|spent| **spent < share.trials()) else {
            return false;
        };
        *spent += 1;
        let holds = holds(scheme, key, statement.message, statement.signature);
        if let (true, Some((memo, name))) = (holds, name) {
            memo.add(share.from(), name, scheme, key);
        }
        holds
    }

    /// Whether the PCK with this key signed this report of a quoting enclave. Whoever asks has traced the key to an anchor:
    /// of a platform that nobody vouches for nothing is remembered.
    pub(crate) fn enclave_holds(&self, pck: &[u8], report: &[u8; 384], signature: &[u8; 64]) -> bool {
        // A platform is known by the coordinates of its key.
        let name = self.memo.zip(pck.last_chunk());
        if name.is_some_and(|(memo, pck)| memo.has_enclave(pck, report, signature)) {
            return true;
        }
        let holds = holds(Scheme::EcdsaP256Fixed, pck, report, signature);
        if let (true, Some((memo, pck))) = (holds, name) {
            memo.add_enclave(pck, report, signature);
        }
        holds
    }

    /// Which of the user's certificates were not all looked at, in words.
    pub(crate) fn too_many_certificates(&self) -> Option<String> {
        let mut chosen = Source::ALL.into_iter().filter(|source| source.is_the_users());
        let source = chosen.find(|source| self.is_spent(Share::Certificates(*source)))?;
        let most = Share::Certificates(source).trials();
        Some(format!("more than {most} certificates {}: supply those of this platform only", source.name()))
    }

    /// Whether nothing further is paid out of `share`: what was passed over since may have been signed.
    pub(crate) fn is_spent(&self, share: Share) -> bool {
        self.spent.get(share.index()).is_none_or(|spent| *spent >= share.trials())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair};

    /// A statement that is asked about once.
    fn asked(signatures: &mut Signatures<'_>, share: Share, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        let statement = Statement { message, signature, name: &OnceLock::new() };
        signatures.endorsement_holds(share, Scheme::EcdsaP384Fixed, &Bytes::copy_from_slice(key), statement)
    }

    #[test]
    fn a_memo_answers_only_for_the_very_same_bytes() {
        let [pair, other] = [(); 2].map(|()| EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap());
        let (key, other) = (pair.public_key().as_ref(), other.public_key().as_ref());
        let signature = pair.sign(&SystemRandom::new(), b"message").unwrap();
        let memo = Memo::default();
        let share = Share::Texts(Source::Supplied);
        for _ in 0..2 {
            let mut signatures = Signatures::remembering(&memo);
            assert!(asked(&mut signatures, share, key, b"message", signature.as_ref()));
            assert!(!asked(&mut signatures, share, key, b"massage", signature.as_ref()));
            assert!(!asked(&mut signatures, share, other, b"message", signature.as_ref()), "another key of one length");
        }
    }

    #[test]
    fn strangers_are_remembered_apart_from_the_user() {
        let shares = |source| [Share::Certificates(source), Share::Lists(source), Share::Texts(source)];
        for source in Source::ALL {
            let bringer = if source.is_the_users() { Bringer::User } else { Bringer::Stranger };
            assert_eq!(shares(source).map(Share::from), [bringer; 3], "{source:?}");
        }
        assert_eq!(Share::Carried.from(), Bringer::Stranger);
    }

    #[test]
    fn a_source_spends_its_own_share_and_nobody_elses_and_no_other_of_its_own() {
        let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
        let key = pair.public_key().as_ref();
        let good = pair.sign(&SystemRandom::new(), b"message").unwrap();
        let holds = |signatures: &mut Signatures<'_>, share: Share, signature: &[u8]| {
            asked(signatures, share, key, b"message", signature)
        };
        let (memo, junk) = (Memo::default(), Share::Certificates(Source::Evidence));
        let mut stateless = Signatures::stateless();
        for _ in 0..junk.trials() {
            assert!(!stateless.is_spent(junk));
            assert!(!holds(&mut stateless, junk, &[0; 96]));
        }
        assert!(stateless.is_spent(junk) && !holds(&mut stateless, junk, good.as_ref()), "its share is spent");
        let of_evidence = [Share::Lists(Source::Evidence), Share::Texts(Source::Evidence), Share::Carried];
        for other in of_evidence.into_iter().chain(Source::ALL.map(Share::Certificates)).filter(|share| *share != junk)
        {
            assert!(holds(&mut stateless, other, good.as_ref()), "{other:?}");
        }
        let mut remembering = Signatures::remembering(&memo);
        assert!(holds(&mut remembering, junk, good.as_ref()));
        (0..junk.trials()).for_each(|_| assert!(!holds(&mut remembering, junk, &[0; 96])));
        assert!(holds(&mut remembering, junk, good.as_ref()), "what is remembered costs nothing");
    }
}
