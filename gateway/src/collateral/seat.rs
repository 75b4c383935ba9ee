//! What the vendors answered for the evidence of one address, and when to ask again.

use std::time::Duration;

use teegate_collateral::{Obtained, Origin, Outcome};
use teegate_intake::endorsements;
use teegate_verifier::{Endorsements, Needs, Source, UnixTime};

use super::allowance::Allowance;

/// After an answer that did not come; doubled from one to the next.
const FIRST_WAIT: Duration = Duration::from_secs(60);
/// And never longer.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// One address.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    /// Its last evidence, as it came, and what that says that it needs.
    pub(crate) shown: Option<(Vec<u8>, Needs)>,
    /// What is in hand for it.
    documents: Vec<Obtained>,
    /// The same, for the verifier.
    pool: Endorsements,
    /// When to ask again, in Unix seconds.
    due: u64,
    /// How often in a row something could not be had.
    failures: u32,
    /// What it has caused in the last hour.
    pub(crate) allowance: Allowance,
    /// Whether its evidence was accepted last.
    pub(crate) is_attested: bool,
    /// Whether somebody is asking for it right now.
    pub(crate) is_asking: bool,
}

impl Seat {
    /// What is in hand.
    pub(crate) fn pool(&self) -> &Endorsements {
        &self.pool
    }

    /// Whether it is time to ask again.
    pub(crate) fn is_due(&self, now: UnixTime) -> bool {
        self.due <= now.seconds()
    }

    /// Whether something could not be had when it was asked for last.
    pub(crate) fn is_lacking(&self) -> bool {
        self.failures > 0
    }

    /// Other evidence: what is in hand may be for another chip, and is not believed to be for this one.
    pub(crate) fn begin(&mut self, envelope: &[u8], needs: &Needs) {
        if self.shown.as_ref().is_none_or(|(_, known)| known != needs) {
            (self.documents, self.pool) = (Vec::new(), Endorsements::new());
            (self.due, self.failures) = (0, 0);
        }
        self.shown = Some((envelope.to_vec(), needs.clone()));
    }

    /// Takes what came of the questions. What could not be had stays as it was, as long as it holds by its own words.
    pub(crate) fn take(&mut self, outcome: Outcome, refresh: Duration, now: UnixTime) {
        // What nobody can be asked for is no reason to ask sooner.
        let is_lacking = outcome.missing.iter().any(|missing| missing.document.is_some())
            || outcome.documents.iter().any(|one| matches!(one.origin, Origin::Stale { .. }));
        let missing: Vec<_> = outcome.missing.iter().filter_map(|missing| missing.document.clone()).collect();
        let old = std::mem::replace(&mut self.documents, outcome.documents);
        let stays =
            |one: &Obtained| one.valid_until > now && one.serves_as.iter().any(|document| missing.contains(document));
        self.documents.extend(old.into_iter().filter(stays));
        self.pool = pool(&self.documents);
        self.failures = if is_lacking { self.failures.saturating_add(1) } else { 0 };
        self.due = now.seconds().saturating_add(self.pause(refresh, now).as_secs());
    }

    /// Half of what is left of the first end, within bounds; sooner and then later where something could not be had.
    fn pause(&self, refresh: Duration, now: UnixTime) -> Duration {
        if let Some(before) = self.failures.checked_sub(1) {
            return FIRST_WAIT.saturating_mul(1_u32.checked_shl(before).unwrap_or(u32::MAX)).min(LONGEST_WAIT);
        }
        let first_end = self.documents.iter().map(|document| document.valid_until.seconds()).min();
        let left = first_end.map_or(u64::MAX, |end| end.saturating_sub(now.seconds()));
        Duration::from_secs(left / 2).clamp(FIRST_WAIT, refresh.max(FIRST_WAIT))
    }
}

/// The documents as the verifier takes them. Each was recognised when it came.
fn pool(documents: &[Obtained]) -> Endorsements {
    let mut pool = Endorsements::brought_by(Source::Fetched);
    for document in documents {
        pool = pool.found_in(&document.place());
        if let Err(error) = endorsements::recognise(&document.file_name, &document.bytes, &mut pool) {
            tracing::error!("an answer of a vendor's was recognised once and is not now: {error}");
        }
    }
    pool
}
