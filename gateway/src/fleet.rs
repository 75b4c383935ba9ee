//! The fleet: which addresses there are, who was proven to be there, and until when.
//!
//! An address goes `pending -> attested(until) -> draining -> gone`, or is `rejected` with the checks that failed. A failed
//! check rejects at once; silence lets the last proof lapse. An address says nothing about identity: only its channel check
//! does, so two addresses that prove the same TLS key and `instance_id` are two routes to one instance, and one identity
//! proven under two TLS keys is a conflict that rejects everyone who takes part in it.

mod state;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use teegate_intake::forecast::Forecast;
use teegate_verifier::{Endorsements, Policy};
use tokio::sync::watch;

pub use self::state::CONFLICT;
use self::state::{Permits, REJECTIONS_KEPT, Verdict};
pub(crate) use self::state::{Route, Standing, State};
use crate::balance::outliers::OutlierLimits;
use crate::breaker::{Breaker, BreakerLimits};
use crate::clock::Clock;
use crate::config::Address;
use crate::identity::{Claim, Former, Identity, identity, succeed};
use crate::journal::{Journal, Silence, compare};
use crate::metrics::Metrics;
use crate::trust::{Appraisal, Backend, Distrust, Offer, Seen, Trusted, Vouched};

/// All addresses, and what was proven about each.
#[derive(Debug)]
pub struct Fleet {
    clock: Clock,
    breaker_limits: BreakerLimits,
    pub(crate) outlier_limits: OutlierLimits,
    pub(crate) metrics: Arc<Metrics>,
    changes: watch::Sender<u64>,
    /// Of these changes the few that concern who attests an address: another policy, other endorsements, other addresses.
    orders: watch::Sender<u64>,
    state: RwLock<State>,
    /// Taken before `state`, never while that is held.
    journal: Journal,
}

impl Fleet {
    /// A fleet of `addresses`, of which nothing is known yet, under its first policy.
    pub fn new(
        addresses: &[Address],
        policy: Policy,
        endorsements: Endorsements,
        clock: Clock,
        breaker_limits: BreakerLimits,
        metrics: Arc<Metrics>,
    ) -> Self {
        let state = State {
            appraisal: Arc::new(Appraisal {
                version: 1,
                policy,
                endorsements,
                seen: Seen::default(),
                vouched: Vouched::default(),
            }),
            routes: addresses.iter().map(|address| (address.clone(), Route::default())).collect(),
            showing: HashMap::new(),
            breakers: HashMap::new(),
            loads: HashMap::new(),
            former: VecDeque::new(),
            rejected: HashMap::new(),
            permits: Permits::new(),
        };
        let state = RwLock::new(state);
        Self {
            clock,
            breaker_limits,
            outlier_limits: OutlierLimits::default(),
            metrics,
            changes: watch::Sender::new(0),
            orders: watch::Sender::new(0),
            state,
            journal: Journal::default(),
        }
    }

    /// The same with other limits of who is left out of offers.
    #[must_use]
    pub fn with_outliers(self, outlier_limits: OutlierLimits) -> Self {
        Self { outlier_limits, ..self }
    }

    /// The same, which remembers what an earlier process has seen.
    #[must_use]
    pub fn remembering(self, seen: Seen) -> Self {
        {
            let mut state = self.write();
            let Appraisal { version, policy, endorsements, vouched, .. } = &*state.appraisal;
            let (version, policy, endorsements) = (*version, policy.clone(), endorsements.clone());
            let vouched = vouched.clone();
            state.appraisal = Arc::new(Appraisal { version, policy, endorsements, seen, vouched });
        }
        self
    }

    /// Of every address that is attested now: until when its evidence is accepted by what is in hand, and what refuses it then.
    pub fn forecasts(&self) -> Vec<(Address, Arc<Forecast>)> {
        let now = self.clock.now();
        let state = self.read();
        let attested = state.standings(&now).filter_map(|(address, standing)| match standing {
            Standing::Attested(backend) => Some((address.clone(), Arc::clone(backend.once().forecast()?))),
            _ => None,
        });
        attested.collect()
    }

    /// The clocks by which everything here is judged.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Wakes after every change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Wakes when who attests an address may have something else to do: after each of [`Fleet::set_policy`],
    /// [`Fleet::set_endorsements`] and [`Fleet::set_addresses`] that changed anything. What others prove does not wake it: with a
    /// thousand addresses each of them would be told of a thousand proofs every round.
    pub(crate) fn orders(&self) -> watch::Receiver<u64> {
        self.orders.subscribe()
    }

    /// The policy and endorsements of now.
    pub fn appraisal(&self) -> Arc<Appraisal> {
        Arc::clone(&self.read().appraisal)
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody holds its state, so that nothing about it changes.
    #[cfg(test)]
    pub(crate) fn is_locked(&self) -> bool {
        self.state.try_write().is_err()
    }

    /// Writes into the log what has changed since it was asked last, if anything has.
    pub fn note(&self) {
        let now = self.clock.now();
        let mut entries = self.journal.entries();
        let lines = {
            let state = self.read();
            compare(&mut entries, state.sights(&now), &now, state.appraisal.version)
        };
        for line in lines {
            line.write();
        }
    }

    /// Where every address stands, and since when.
    pub(crate) fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Tells everyone who waits to judge again.
    pub fn announce(&self) {
        self.note();
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// The same, and tells who attests an address.
    fn order(&self) {
        self.orders.send_modify(|count| *count = count.wrapping_add(1));
        self.announce();
    }

    /// Takes a new policy into force. When this returns, no permit of an older version exists, and what was queued under one
    /// has left this process or never will: the connection on which it was stuck is shut. Every address has to prove itself
    /// under the new policy.
    pub async fn set_policy(&self, policy: Policy, endorsements: Endorsements) -> u64 {
        let (version, old) = {
            // Whoever is writing under a permit holds the other side of this lock.
            let mut state = self.write();
            let version = state.appraisal.version.saturating_add(1);
            let (seen, vouched) = (state.appraisal.seen.clone(), state.appraisal.vouched.clone());
            state.appraisal = Arc::new(Appraisal { version, policy, endorsements, seen, vouched });
            for route in state.routes.values_mut() {
                route.verdict = Verdict::None;
                route.offer = None;
            }
            (version, std::mem::replace(&mut state.permits, Permits::new()))
        };
        self.order();
        let Permits { sender, mut receiver } = old;
        drop(sender);
        while receiver.recv().await.is_some() {}
        tracing::info!(target: "audit", policy_version = version, "policy in force");
        version
    }

    /// Takes other endorsements under the same policy. What was proven stays proven, and every address is judged again at once.
    pub fn set_endorsements(&self, endorsements: Endorsements) {
        {
            let mut state = self.write();
            let Appraisal { version, policy, seen, vouched, .. } = &*state.appraisal;
            let (version, policy, seen, vouched) = (*version, policy.clone(), seen.clone(), vouched.clone());
            state.appraisal = Arc::new(Appraisal { version, policy, endorsements, seen, vouched });
        }
        self.order();
    }

    /// An address passed its channel check. False when that came too late to count: under another policy, for an address that
    /// is gone, or for a peer that was rejected after the challenge was sent.
    pub fn accept(&self, address: &Address, backend: Trusted<Backend>) -> bool {
        let now = self.clock.now();
        let is_conflict_new = {
            let mut state = self.write();
            if backend.policy_version() != state.appraisal.version || state.is_outdated(&backend, &now) {
                return false;
            }
            let Some(mut route) = state.routes.remove(address) else { return false };
            let newest = Arc::clone(backend.once().manifest());
            let claimed = route.claim.as_ref().and_then(Claim::newest);
            // Round after round it shows the same manifest: then nothing is judged anew that rests on who shows what.
            let is_known = claimed.is_some_and(|claimed| claimed.digest() == newest.digest());
            if claimed.map(|claimed| identity(claimed)) != Some(identity(&newest)) {
                route.load = Arc::default();
            }
            let (claim, departed) = succeed(route.claim.take(), newest.clone());
            route.claim = Some(claim);
            route.offer = route.offer.filter(|offer| offer.once().manifest().digest() == newest.digest());
            route.verdict = Verdict::Attested(Arc::new(backend));
            (route.silence, route.refusals) = (None, 0);
            state.routes.insert(address.clone(), route);
            if !is_known {
                state.index();
                for (claim, what) in departed {
                    state.depart(claim, what);
                }
                let limits = self.breaker_limits;
                state.breakers.entry(identity(&newest)).or_insert_with(|| Arc::new(Breaker::new(limits)));
                state.loads.entry(identity(&newest)).or_default();
                let claimed: HashSet<Identity> =
                    state.routes.values().filter_map(|route| route.claim.as_ref()?.identity()).collect();
                state.breakers.retain(|identity, _| claimed.contains(identity));
                state.loads.retain(|identity, _| claimed.contains(identity));
            }
            // A conflict ends by itself, when a manifest of it is past.
            let is_to_be_judged = !is_known || state.routes.values().any(|route| route.is_conflicted);
            is_to_be_judged && state.judge_conflicts(&now)
        };
        if is_conflict_new {
            self.metrics.conflicted();
            self.metrics.failed_check(CONFLICT);
            tracing::error!(
                target: "audit",
                %address,
                "identity conflict: an instance id, receipt key or OHTTP key is held under two TLS keys; every party is rejected"
            );
        }
        self.announce();
        true
    }

    /// An address showed epoch evidence that clients may be given.
    pub fn accept_offer(&self, address: &Address, offer: Trusted<Offer>) {
        let mut state = self.write();
        if offer.policy_version() != state.appraisal.version {
            return;
        }
        if let Some(route) = state.routes.get_mut(address) {
            route.offer = Some(Arc::new(offer));
        }
        drop(state);
        self.announce();
    }

    /// The evidence of an address was refused under policy `version`: it is rejected at once, and so is every other route to
    /// the peer that showed it. When this returns, nothing more is written to their connections.
    pub fn reject(&self, address: &Address, distrust: &Distrust, version: u64) {
        {
            let mut state = self.write();
            if version != state.appraisal.version {
                return;
            }
            let now = self.clock.now().aged;
            state.rejected.retain(|_, at| now.saturating_duration_since(*at) < REJECTIONS_KEPT);
            state.rejected.insert(distrust.tls_spki, now);
            for (other, route) in &mut state.routes {
                let spki = route.claim.as_ref().and_then(Claim::identity).map(|(spki, _)| spki);
                if other == address || spki == Some(distrust.tls_spki) {
                    if let Verdict::Attested(backend) = &route.verdict {
                        backend.once().outlet().shut();
                    }
                    route.verdict = Verdict::Rejected(distrust.checks.clone());
                    route.failed = Arc::clone(&distrust.failed);
                    route.refusals = route.refusals.saturating_add(1);
                    route.silence = None;
                    route.offer = None;
                }
            }
        }
        for check in &distrust.checks {
            self.metrics.failed_check(check);
        }
        self.announce();
    }

    /// An address did not answer. Its last proof, if there is one, lapses by itself.
    pub fn silent(&self, address: &Address, kind: &'static str, words: String) {
        if let Some(route) = self.write().routes.get_mut(address) {
            let tries = route.silence.as_ref().map_or(1, |silence| silence.tries.saturating_add(1));
            route.silence = Some(Silence { kind, words, tries });
        }
        self.announce();
    }

    /// The instance at an address says over connection `link` whether it takes requests. True when that is news.
    pub fn heard(&self, address: &Address, link: u64, is_full: bool) -> bool {
        let is_news = {
            let mut state = self.write();
            let Some(route) = state.routes.get_mut(address) else { return false };
            let was_full = route.full_over == Some(link);
            route.full_over = is_full.then_some(link);
            was_full != is_full
        };
        if is_news {
            self.announce();
        }
        is_news
    }

    /// Takes a new set of addresses: what is new is pending, what is missing drains, and who stays notices nothing. Returns what
    /// is new.
    pub fn set_addresses(&self, addresses: &[Address]) -> Vec<Address> {
        let mut added = Vec::new();
        let mut is_changed = false;
        {
            let mut state = self.write();
            let wanted: BTreeSet<&Address> = addresses.iter().collect();
            for (address, route) in &mut state.routes {
                let is_draining = !wanted.contains(address);
                is_changed |= route.is_draining != is_draining;
                route.is_draining = is_draining;
            }
            for address in addresses {
                if !state.routes.contains_key(address) {
                    state.routes.insert(address.clone(), Route::default());
                    added.push(address.clone());
                }
            }
        }
        if is_changed || !added.is_empty() {
            self.order();
        }
        added
    }

    /// Every address, and whether it drains.
    pub fn addresses(&self) -> BTreeMap<Address, bool> {
        self.read().routes.iter().map(|(address, route)| (address.clone(), route.is_draining)).collect()
    }

    /// Whether an address is to be left.
    pub fn is_draining(&self, address: &Address) -> bool {
        self.read().routes.get(address).is_none_or(|route| route.is_draining)
    }

    /// An address that has drained is gone. False when it was listed again meanwhile.
    pub fn remove_if_draining(&self, address: &Address) -> bool {
        {
            let mut state = self.write();
            if state.routes.get(address).is_some_and(|route| !route.is_draining) {
                return false;
            }
            let Some(route) = state.routes.remove(address) else { return true };
            state.index();
            if let Some(claim) = route.claim {
                state.depart(claim, Former::Gone);
            }
            let now = self.clock.now();
            state.judge_conflicts(&now);
            // Addresses come and go: what was counted of those that are gone must not add up.
            self.metrics.keep_addresses(|address| state.routes.contains_key(address));
        }
        self.announce();
        true
    }
}

#[cfg(test)]
mod tests;
