//! The vendors' statements, kept fresh by the gateway itself (`[collateral] online = true`), beside the request path.
//!
//! What evidence needs is asked for when it is first shown, and for attested instances again well before it ends: at half of what is
//! left of it, and at the latest after `refresh_seconds`. An outage is survived as long as what is in hand holds by its own words.
//! Nothing fetched is believed here: the verifier judges it like anything else; and of what evidence brings only certificates count
//! beside it.
//!
//! **What hostile evidence names steers no flood.** It names chips and platforms, and each name is a question to a vendor who counts.
//! So one set of documents is asked for at a time for each address, so many an hour, and so many for all who are not attested
//! together, one after the other. What could not be had is not asked for again until its time. Attested instances wait for nobody.

mod allowance;
pub mod config;
mod seat;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use teegate_collateral::{Fetcher, Limits, Patience, Settings, needs};
use teegate_intake::endorsements::Loaded;
use teegate_intake::evidence::{self, OwnedEvidence};
use teegate_verifier::{Endorsements, Policy, UnixTime};
use tokio::sync::Semaphore;

use self::allowance::Allowance;
use self::config::CollateralSettings;
use self::seat::Seat;
use crate::config::Address;
use crate::metrics::Metrics;
use crate::telemetry::{Attribute, Task, Tracer};

/// For one set of documents. A channel check waits no longer for the first one.
const PATIENCE: Duration = Duration::from_secs(20);
/// The largest document in use has 25 KB.
const MAX_DOCUMENT_BYTES: usize = 256 << 10;

/// Asks the vendors, for whoever is at the desk's addresses.
#[derive(Debug)]
pub struct Desk {
    fetcher: Fetcher,
    limits: CollateralSettings,
    metrics: Arc<Metrics>,
    tracer: Tracer,
    /// What the operator has: it counts beside the answers, and may spare questions for certificates.
    supplied: Mutex<Arc<Loaded>>,
    seats: Mutex<HashMap<Address, Seat>>,
    /// What all who are not attested have caused together.
    strangers: Mutex<Allowance>,
    /// And they are served one after the other.
    turn: Semaphore,
}

/// The settings of a fetcher for a gateway. A document that many instances need is asked for once in half of `refresh`.
pub fn settings(limits: &CollateralSettings, cache: PathBuf) -> Settings {
    let defaults = Settings::default();
    Settings {
        sources: limits.sources.clone(),
        cache: Some(cache),
        limits: Limits {
            max_body_bytes: MAX_DOCUMENT_BYTES,
            max_cache_files: limits.cache_files,
            max_cache_bytes: limits.cache_bytes,
            ..Limits::default()
        },
        patience: Patience { overall: PATIENCE, attempts: 2, max_age: limits.refresh / 2, ..defaults.patience },
        ..defaults
    }
}

impl Desk {
    /// A desk at which nobody has been.
    pub fn new(fetcher: Fetcher, limits: CollateralSettings, metrics: Arc<Metrics>) -> Self {
        Self {
            fetcher,
            limits,
            metrics,
            tracer: Tracer::default(),
            supplied: Mutex::default(),
            seats: Mutex::default(),
            strangers: Mutex::default(),
            turn: Semaphore::new(1),
        }
    }

    /// The same, whose questions are traced.
    #[must_use]
    pub fn traced(self, tracer: Tracer) -> Self {
        Self { tracer, ..self }
    }

    /// What the operator has from now on.
    pub fn supply(&self, supplied: Arc<Loaded>) {
        *self.supplied.lock().unwrap_or_else(PoisonError::into_inner) = supplied;
    }

    fn supplied(&self) -> Arc<Loaded> {
        Arc::clone(&self.supplied.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn seats(&self) -> MutexGuard<'_, HashMap<Address, Seat>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the vendors say of the evidence that `address` shows. At hand, it comes at once; else it is asked for now, if that may be.
    pub async fn endorsements(
        &self,
        address: &Address,
        envelope: &[u8],
        policy: &Policy,
        now: UnixTime,
    ) -> Endorsements {
        let supplied = self.supplied();
        // What is no evidence needs nothing; the judgement says what is wrong with it.
        let Ok(evidence) = evidence::recognise(envelope, None) else { return Endorsements::new() };
        let Some(needs) = needs(&evidence, &supplied.endorsements()) else { return Endorsements::new() };
        let is_attested = {
            let mut seats = self.seats();
            let seat = seats.entry(address.clone()).or_default();
            let is_known = seat.shown.as_ref().is_some_and(|(_, known)| *known == needs);
            // An attested instance is served beside its checks.
            if seat.is_asking || is_known && (seat.is_attested || !seat.is_due(now)) {
                return if is_known { seat.pool().clone() } else { Endorsements::new() };
            }
            if !seat.allowance.take(self.limits.sets_an_hour, now) {
                self.metrics.asked_vendors("refused");
                return if is_known { seat.pool().clone() } else { Endorsements::new() };
            }
            seat.begin(envelope, &needs);
            seat.is_asking = true;
            seat.is_attested
        };
        let asking = Asking { desk: self, address };
        if is_attested {
            self.ask(address, &evidence, policy, &supplied, now).await;
        } else if self.strangers.lock().unwrap_or_else(PoisonError::into_inner).take(self.limits.strangers_an_hour, now)
        {
            // Nobody closes it.
            let _turn = self.turn.acquire().await;
            self.ask(address, &evidence, policy, &supplied, now).await;
        } else {
            self.metrics.asked_vendors("refused");
        }
        drop(asking);
        self.seats().get(address).map_or_else(Endorsements::new, |seat| seat.pool().clone())
    }

    /// The evidence of an address was judged.
    pub fn judged(&self, address: &Address, is_accepted: bool) {
        if let Some(seat) = self.seats().get_mut(address) {
            seat.is_attested = is_accepted;
        }
    }

    /// Asks again for every attested instance whose time has come; forgets addresses that are not among `addresses`.
    pub async fn refresh(&self, addresses: &HashSet<Address>, policy: &Policy, now: UnixTime) {
        let supplied = self.supplied();
        let due: Vec<_> = {
            let mut seats = self.seats();
            seats.retain(|address, _| addresses.contains(address));
            let due = seats.iter_mut().filter(|(_, seat)| seat.is_attested && !seat.is_asking && seat.is_due(now));
            let due = due.filter_map(|(address, seat)| {
                let (envelope, _) = seat.shown.as_ref()?;
                seat.is_asking = true;
                Some((address.clone(), envelope.clone()))
            });
            due.collect()
        };
        for (address, envelope) in due {
            let _asking = Asking { desk: self, address: &address };
            if let Ok(evidence) = evidence::recognise(&envelope, None) {
                self.ask(&address, &evidence, policy, &supplied, now).await;
            }
        }
    }

    /// One set of documents.
    async fn ask(
        &self,
        address: &Address,
        evidence: &OwnedEvidence,
        policy: &Policy,
        supplied: &Loaded,
        now: UnixTime,
    ) {
        let mut span = self.tracer.begin(Task::Collateral);
        span.note(|| Attribute::Address(address.clone()));
        let completed = self.fetcher.complete_evidence(evidence, supplied, std::slice::from_ref(policy), now).await;
        let outcome = match completed {
            Ok(Some(completed)) => completed.outcome,
            // It needed something a moment ago.
            Ok(None) => return span.ended("nothing-to-ask"),
            Err(error) => {
                span.failed("unusable");
                tracing::error!(%address, "an answer of a vendor's cannot be used: {error}");
                return;
            }
        };
        let (is_complete, missing) = (outcome.is_complete(), outcome.missing.clone());
        let word = if is_complete { "complete" } else { "incomplete" };
        self.metrics.asked_vendors(word);
        span.ended(word);
        if !is_complete {
            span.failed(word);
        }
        drop(span);
        let mut seats = self.seats();
        let Some(seat) = seats.get_mut(address) else { return };
        let was_lacking = seat.is_lacking();
        seat.take(outcome, self.limits.refresh, now);
        // Once for each change, not for each try.
        match (was_lacking, seat.is_lacking()) {
            (false, true) => {
                let missing: Vec<_> = missing.iter().map(ToString::to_string).collect();
                tracing::warn!(
                    %address, missing = missing.join("; "),
                    "the vendors could not be asked for all of it: what is in hand serves as long as it holds"
                );
            }
            (true, false) => tracing::info!(%address, "the vendors answer again"),
            _ => {}
        }
    }
}

/// Somebody asks for an address, until this ends.
struct Asking<'d> {
    desk: &'d Desk,
    address: &'d Address,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if let Some(seat) = self.desk.seats().get_mut(self.address) {
            seat.is_asking = false;
        }
    }
}

#[cfg(test)]
mod tests;
