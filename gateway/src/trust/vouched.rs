//! What the verdicts on offered instances rested on, by digest: clients complete their own with it.
//!
//! Only what authenticated is here, never the pool that it was found in. Each statement is signed by its vendor, so handing it on
//! asks nobody for trust. It is kept once, however many instances rest on it, and as long as one of them is offered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use teegate_protocol::evidence::EndorsementDigest;
use teegate_verifier::{Report, Source};

/// One statement.
#[derive(Debug)]
pub(crate) struct Statement {
    /// SHA-256 of its bytes.
    pub(crate) digest: EndorsementDigest,
    /// `application/pkix-cert`, `application/pkix-crl` or `application/json`.
    pub(crate) media_type: &'static str,
    /// As its vendor answers it.
    pub(crate) bytes: Bytes,
}

/// The statements at hand; all its clones are one.
#[derive(Clone, Debug, Default)]
pub struct Vouched(Arc<Mutex<HashMap<EndorsementDigest, Weak<Statement>>>>);

impl Vouched {
    /// What this verdict rested on and does not come with its envelope.
    pub(crate) fn keep(&self, report: &Report) -> Vec<Arc<Statement>> {
        let beside = report.endorsements().iter().filter(|one| one.source != Source::Evidence);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, statement| statement.strong_count() > 0);
        let mut kept: Vec<Arc<Statement>> = Vec::new();
        for endorsement in beside {
            let Some(document) = endorsement.document() else { continue };
            let digest = EndorsementDigest::of(&document);
            let statement = known.get(&digest).and_then(Weak::upgrade).unwrap_or_else(|| {
                let media_type = match endorsement.kind {
                    "certificate" => "application/pkix-cert",
                    "crl" => "application/pkix-crl",
                    _ => "application/json",
                };
                let statement = Arc::new(Statement { digest, media_type, bytes: document.into() });
                known.insert(digest, Arc::downgrade(&statement));
                statement
            });
            if kept.iter().all(|other| other.digest != digest) {
                kept.push(statement);
            }
        }
        kept
    }

    /// A statement that nobody signed, kept as long as it is held.
    #[cfg(test)]
    pub(crate) fn keep_bytes(&self, bytes: &'static [u8]) -> Arc<Statement> {
        let digest = EndorsementDigest::of(bytes);
        let bytes = Bytes::from_static(bytes);
        let statement = Arc::new(Statement { digest, media_type: "application/pkix-crl", bytes });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, Arc::downgrade(&statement));
        statement
    }

    /// The statement of this digest.
    pub(crate) fn find(&self, digest: &EndorsementDigest) -> Option<Arc<Statement>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(digest)?.upgrade()
    }
}
