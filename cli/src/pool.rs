//! Everything that may vouch for evidence, kept apart by who brought it until the verifier has it.

use teegate_intake::bundle;
use teegate_intake::evidence::OwnedEvidence;
use teegate_verifier::{Endorsements, Source};

/// The endorsements of one verification.
#[derive(Debug)]
pub(crate) struct Pool {
    /// What the verifier chooses from.
    pub(crate) endorsements: Endorsements,
    /// Who brought any of it.
    pub(crate) brought_by: Vec<Source>,
    /// What the vendors were asked for and nobody gave, a line each.
    pub(crate) in_vain: Vec<String>,
}

impl Pool {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self { endorsements: Endorsements::new(), brought_by: Vec::new(), in_vain: Vec::new() }
    }

    /// What came along with `evidence`, and nothing else.
    pub(crate) fn of(evidence: &OwnedEvidence) -> Self {
        let mut pool = Self::new();
        pool.add(carrier(evidence), &evidence.endorsements);
        pool
    }

    /// Adds what `source` brought.
    pub(crate) fn add(&mut self, source: Source, statements: &Endorsements) {
        if !statements.is_empty() && !self.brought_by.contains(&source) {
            self.brought_by.push(source);
        }
        self.endorsements.extend(statements);
    }
}

/// Who brings what comes along with evidence.
pub(crate) fn carrier(evidence: &OwnedEvidence) -> Source {
    if evidence.form == bundle::FORM { Source::Bundle } else { Source::Evidence }
}
