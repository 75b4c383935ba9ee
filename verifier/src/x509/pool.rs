//! The certificates that were handed in: read once, each once, and with whoever brought it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::certificate::{Certificate, PublicKey};
use crate::report::{Endorsement, Text};
use crate::signature::{Share, Signatures};
use crate::statement::{Brought, Readable, Source};

/// A certificate that somebody brought. Nothing about it is believed yet.
#[derive(Clone)]
pub(crate) struct Candidate {
    pub(crate) certificate: Arc<Certificate>,
    source: Source,
    share: Share,
    from: Option<Arc<str>>,
}

/// The documents of a pool, what the user chose first. The same bytes from two sources are one document, of the first.
pub(crate) fn each_once<T: Readable>(pool: &[Brought<T>]) -> Vec<&Brought<T>> {
    let mut sorted: Vec<_> = pool.iter().collect();
    sorted.sort_by_key(|brought| brought.source);
    let mut seen = BTreeSet::new();
    if sorted.len() > 1 {
        sorted.retain(|brought| seen.insert((&*brought.item.bytes, &brought.item.signature)));
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
            Some(Candidate { certificate, source, share: Share::Certificates(source), from })
        })
        .collect();
    let unreadable = documents.len() - read.len();
    (read, unreadable)
}

impl Candidate {
    /// A certificate that stood in the evidence itself.
    pub(crate) fn carried(certificate: Arc<Certificate>) -> Self {
        Self { certificate, source: Source::Evidence, share: Share::Carried, from: None }
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
        }
    }
}
