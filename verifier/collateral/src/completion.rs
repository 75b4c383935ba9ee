//! Evidence of any kind, completed: what it says that it needs, what of that is at hand, and what the vendors answer beside it.
//!
//! Whoever is judged chooses what comes along with evidence, and whoever relays it what he adds. So neither ever stands in for an
//! answer: every list and every signed collateral is asked for, and of what came along only certificates count beside the
//! answers. What the user supplied counts beside them too, and alone where nobody could be asked.

use teegate_intake::endorsements::Loaded;
use teegate_intake::evidence::OwnedEvidence;
use teegate_intake::{IntakeError, Statement};
use teegate_verifier::{Endorsements, Needs, Policy, Report, TdxNeeds, UnixTime, needs_of, verify};

use crate::fetcher::Fetcher;
use crate::held::Held;
use crate::outcome::{Missing, OUT_OF_REACH, Origin, Outcome};

/// Everything that may vouch for one piece of evidence once the vendors were asked, each as whose it is.
#[derive(Clone, Debug)]
pub struct Completed {
    /// The vendors' answers.
    pub fetched: Endorsements,
    /// What the user supplied; of what could not be asked for it says so.
    pub supplied: Endorsements,
    /// Of what came along, the certificates.
    pub carried: Endorsements,
    /// How many lists and signed collateral came along and do not count.
    pub left_out: usize,
    /// What came of the questions.
    pub outcome: Outcome,
}

impl Completed {
    /// All of them, for the verifier.
    pub fn endorsements(&self) -> Endorsements {
        let mut all = self.fetched.clone();
        all.extend(&self.supplied);
        all.extend(&self.carried);
        all
    }

    /// What the user is to know of it, a line each: what could not be had, and which older answers stand in.
    pub fn notes(&self) -> Vec<String> {
        let Outcome { documents, missing, notes, .. } = &self.outcome;
        let missing = missing.iter().map(|missing| format!("not to be had: {missing}"));
        let stale =
            documents.iter().filter(|document| matches!(document.origin, Origin::Stale { .. })).map(|document| {
                format!("`{}` is {}, and holds until {}", document.file_name, document.origin, document.valid_until)
            });
        notes.iter().cloned().chain(missing).chain(stale).collect()
    }
}

impl Fetcher {
    /// Asks the vendors for what `evidence` needs, beside what is `supplied`. A certificate at hand that vouches for the evidence
    /// under one of `policies` is not asked for. `None`: the evidence is malformed and needs nothing.
    ///
    /// # Errors
    /// None that is expected: every answer was recognised before.
    pub async fn complete_evidence(
        &self,
        evidence: &OwnedEvidence,
        supplied: &Loaded,
        policies: &[Policy],
        now: UnixTime,
    ) -> Result<Option<Completed>, IntakeError> {
        let named = supplied.endorsements();
        let Some(needs) = needs(evidence, &named) else { return Ok(None) };
        let outcome = self.complete(&needs, &held(evidence, &named, policies, now), now).await;
        let along = &evidence.endorsements;
        let carried = along.without_order_in_time();
        Ok(Some(Completed {
            fetched: outcome.endorsements()?,
            supplied: supplied.endorsements_with(|statement| stands_in(statement, &outcome.missing, now)),
            left_out: along.len().saturating_sub(carried.len()),
            carried,
            outcome,
        }))
    }
}

/// What is said of a statement of the user's that counts alone, because nobody could be asked for it.
fn stands_in(statement: &Statement, missing: &[Missing], now: UnixTime) -> Option<String> {
    let mut alone = Endorsements::new();
    statement.clone().add_to(&mut alone);
    let documents = missing.iter().filter_map(|missing| missing.document.as_ref());
    documents.into_iter().any(|document| document.is_claimed_in(&alone, now)).then(|| OUT_OF_REACH.to_owned())
}

/// What evidence says that it needs; `None` where it cannot be read. The PCK certificate of a quote that carries none is the user's,
/// if they named one.
pub fn needs(evidence: &OwnedEvidence, named: &Endorsements) -> Option<Needs> {
    match needs_of(&evidence.as_evidence(named)).ok()? {
        Needs::Tdx(TdxNeeds { platform: None }) => needs_of(&evidence.as_evidence(&evidence.endorsements)).ok(),
        needs => Some(needs),
    }
}

/// What is at hand, after a trial: certificates that vouch for this evidence under one of `policies` need not be asked for. Lists
/// that came along have no part in the trial, so that they change no question.
pub fn held(evidence: &OwnedEvidence, named: &Endorsements, policies: &[Policy], now: UnixTime) -> Held {
    let mut pool = named.clone();
    pool.extend(&evidence.endorsements.without_order_in_time());
    let unverified = Held::unverified(&pool);
    policies.iter().fold(unverified, |held, policy| held.judged(&trial(evidence, &pool, policy, now)))
}

fn trial(evidence: &OwnedEvidence, pool: &Endorsements, policy: &Policy, now: UnixTime) -> Report {
    match verify(&evidence.as_evidence(pool), policy, now) {
        Ok(attested) => attested.report().clone(),
        Err(rejection) => rejection.report().clone(),
    }
}
