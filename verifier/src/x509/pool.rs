//! The certificates that were handed in: read once, each once, and with whoever brought it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::certificate::{Certificate, PublicKey};
use crate::report::{Endorsement, Text};
use crate::signature::{Share, Signatures};
use crate::statement::{Brought, Readable, Source, Stated};

/// A certificate that somebody brought. Nothing about it is believed yet.
#[derive(Clone)]
pub(crate) struct Candidate {
    pub(crate) certificate: Arc<Certificate>,
    source: Source,
    share: Share,
    from: Option<Arc<str>>,
    /// What was handed in; of a certificate that stood in the evidence, that.
    statement: Option<Stated>,
}

/// So many documents are compared with each other; more are looked up, so that a long pool costs no more than its length.
const FEW: usize = 8;

/// The documents of a pool, what the user chose first. The same bytes from two sources are one document, of the first.
pub(crate) fn each_once<T: Readable>(pool: &[Brought<T>]) -> Vec<&Brought<T>> {
    let mut sorted: Vec<_> = pool.iter().collect();
    sorted.sort_by_key(|brought| brought.source);
    if sorted.len() > FEW {
        let mut seen = BTreeSet::new();
        sorted.retain(|brought| seen.insert((&*brought.item.bytes, &brought.item.signature)));
        return sorted;
    }
    let mut next = 1;
    while let Some((before, [brought, ..])) = sorted.split_at_checked(next) {
        let is_it = |other: &&Brought<T>| {
            other.item.bytes == brought.item.bytes && other.item.signature == brought.item.signature
        };
        if before.iter().any(is_it) {
            sorted.remove(next);
        } else {
            next += 1;
        }
    }
    sorted
}

/// Whatever in a pool is a certificate, in that order; and how many could not be read.
pub(crate) fn candidates(pool: &[Brought<Certificate>]) -> (Vec<Candidate>, usize) {
    let documents = each_once(pool);
    let read: Vec<_> = documents
        .iter()
        .filter_map(|brought| {
            let certificate = brought.item.read().ok()?.clone();
            let (source, from) = (brought.source, brought.from.clone());
            let statement = Some((&brought.item).into());
            Some(Candidate { certificate, source, share: Share::Certificates(source), from, statement })
        })
        .collect();
    let unreadable = documents.len() - read.len();
    (read, unreadable)
}

impl Candidate {
    /// A certificate that stood in the evidence itself.
    pub(crate) fn carried(certificate: Arc<Certificate>) -> Self {
        Self { certificate, source: Source::Evidence, share: Share::Carried, from: None, statement: None }
    }

    /// Whether `issuer` signed it; paid out of the share of whoever brought it.
    pub(crate) fn is_signed_by(&self, issuer: &PublicKey, signatures: &mut Signatures<'_>) -> bool {
        self.certificate.is_signed_by(self.share, issuer, signatures)
    }

    /// The line of the report for a verdict that rests on it.
    pub(crate) fn line(&self) -> Endorsement {
        Endorsement {
            kind: "certificate",
            name: self.certificate.name_or("?").into(),
            source: self.source,
            from: self.from.clone().map(|place| Text::from(place).into()),
            until: Some(self.certificate.not_after),
            statement: self.statement.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Endorsements;

    #[test]
    fn few_and_many_are_each_looked_at_once_and_the_users_first() {
        for kinds in [1_u8, 2, 4, 5, 100] {
            let mut pool = Endorsements::brought_by(Source::Evidence);
            (0..kinds).for_each(|kind| pool.add_certificate(vec![kind]));
            let mut chosen = Endorsements::new();
            chosen.add_certificate(vec![kinds - 1]);
            chosen.add_certificate(vec![kinds - 1]);
            pool.extend(&chosen);
            let found = each_once(&pool.certificates);
            let found: Vec<_> = found.iter().map(|brought| (brought.source, brought.item.bytes[0])).collect();
            let others = (0..kinds - 1).map(|kind| (Source::Evidence, kind));
            let expected: Vec<_> = std::iter::once((Source::Supplied, kinds - 1)).chain(others).collect();
            assert_eq!(found, expected, "{kinds}");
        }
    }

    #[test]
    fn one_text_under_two_signatures_is_two_documents() {
        for times in [1, 10] {
            let mut pool = Endorsements::new();
            for _ in 0..times {
                [1, 2].into_iter().for_each(|byte| pool.add_tcb_info("{}".to_owned(), [byte; 64]));
            }
            assert_eq!(each_once(&pool.tcb_infos).len(), 2, "{times}");
        }
    }
}
