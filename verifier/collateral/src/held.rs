//! What a caller has already. It steers what is asked for, and seldom spares a question: what came along with evidence may add
//! to a question and never replace one.
//!
//! Lists and signed collateral have an order in time, so those are asked for whatever is held. The certificate of a chip's key
//! and its chain have none, and need not be asked for once they have vouched for the very evidence: a verification with
//! what is held says so, and nothing less does.

use teegate_verifier::{Check, Endorsements, FactValue, Hint, Outcome, Report, hints_of};

/// Statements at hand, before anybody is asked.
#[derive(Clone, Debug, Default)]
pub struct Held {
    pub(crate) hints: Vec<Hint>,
    /// The product of AMD's whose certificates, among those held, vouch for the evidence.
    pub(crate) vouches: Option<String>,
}

impl Held {
    /// Nothing.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// These statements, of which nobody has checked anything. They are hints, and spare no question.
    pub fn unverified(pool: &Endorsements) -> Self {
        Self { hints: hints_of(pool).into_iter().flatten().collect(), vouches: None }
    }

    /// The same, after a verification of the evidence with them, whatever its verdict: where the signature of an SEV-SNP
    /// report held under a chain that ends in a trusted root, the certificates of that chain need not be asked for again.
    #[must_use]
    pub fn judged(mut self, report: &Report) -> Self {
        let holds = report.finding(Check::SNP_SIGNATURE).is_some_and(|finding| *finding.outcome() == Outcome::Pass);
        if let (true, Some(FactValue::Text(product))) = (holds, report.fact("product")) {
            self.vouches = Some(product.to_string());
        }
        self
    }
}
