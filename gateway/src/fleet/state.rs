//! What the fleet knows at one moment: of each address, and of the instances that were proven to be there.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use teegate_protocol::manifest::{ManifestBytes, ManifestDigest, SpkiDigest};
use teegate_verifier::Check;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::balance::load::Load;
use crate::breaker::Breaker;
use crate::clock::Now;
use crate::config::Address;
use crate::identity::{Claim, Former, Identity, conflicting};
use crate::journal::{Condition, NOT_ASKED, Sight, Silence};
use crate::trust::{Appraisal, Backend, Failed, Offer, Trusted};

/// The check that fails when two parties claim one identity.
pub const CONFLICT: &str = Check::IDENTITY_CONFLICT.id();

/// How many manifests of the past are remembered, so that a client is told what became of its own.
const FORMER_MANIFESTS: usize = 4_096;

/// How long a rejection is remembered. A proof that took longer to come does not count.
pub(super) const REJECTIONS_KEPT: Duration = Duration::from_secs(300);

/// What the fleet knows at one moment.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) appraisal: Arc<Appraisal>,
    pub(crate) routes: BTreeMap<Address, Route>,
    /// The addresses that show a manifest: a request names one, and there may be a thousand addresses.
    pub(super) showing: HashMap<ManifestDigest, Vec<Address>>,
    pub(super) breakers: HashMap<Identity, Arc<Breaker>>,
    /// What is measured of an instance, by all of its routes.
    pub(super) loads: HashMap<Identity, Arc<Load>>,
    pub(super) former: VecDeque<(ManifestDigest, Former)>,
    /// When the peer with a TLS key was rejected last: what was asked before that proves nothing any more.
    pub(super) rejected: HashMap<SpkiDigest, Instant>,
    pub(super) permits: Permits,
}

/// One address.
#[derive(Debug, Default)]
pub(crate) struct Route {
    pub(super) verdict: Verdict,
    /// What is measured of this way to the instance that is proven to be there.
    pub(super) load: Arc<Load>,
    pub(super) claim: Option<Claim>,
    pub(super) offer: Option<Arc<Trusted<Offer>>>,
    /// What the checks say that refused it, and how often they did since its last proof.
    pub(super) failed: Arc<[Failed]>,
    pub(super) refusals: u64,
    pub(super) silence: Option<Silence>,
    /// Whether it has said that it takes no more for now, and over which connection.
    pub(super) full_over: Option<u64>,
    pub(super) is_draining: bool,
    pub(super) is_conflicted: bool,
}

#[derive(Debug, Default)]
pub(super) enum Verdict {
    #[default]
    None,
    Attested(Arc<Trusted<Backend>>),
    Rejected(Vec<&'static str>),
}

/// Where an address stands at one moment.
#[derive(Debug)]
pub(crate) enum Standing<'a> {
    Pending,
    Attested(&'a Arc<Trusted<Backend>>),
    Draining(&'a Arc<Trusted<Backend>>),
    Rejected(&'a [&'static str]),
}

/// Every permit holds a clone of the sender, so the receiver sees the end of the last one.
#[derive(Debug)]
pub(super) struct Permits {
    pub(super) sender: mpsc::Sender<Infallible>,
    pub(super) receiver: mpsc::Receiver<Infallible>,
}

impl Permits {
    pub(super) fn new() -> Self {
        let (sender, receiver) = mpsc::channel(1);
        Self { sender, receiver }
    }
}

impl Route {
    /// Where it stands at `now`, under policy `version`.
    pub(crate) fn standing(&self, now: &Now, version: u64) -> Standing<'_> {
        if self.is_conflicted {
            return Standing::Rejected(&[CONFLICT]);
        }
        match &self.verdict {
            Verdict::Rejected(checks) => Standing::Rejected(checks),
            Verdict::Attested(backend)
                if backend.policy_version() == version && backend.at(now).is_ok_and(|backend| !backend.is_closed()) =>
            {
                if self.is_draining {
                    Standing::Draining(backend)
                } else {
                    Standing::Attested(backend)
                }
            }
            Verdict::Attested(_) | Verdict::None => Standing::Pending,
        }
    }

    /// The newest manifest that this address proved.
    pub(crate) fn newest(&self) -> Option<&Arc<ManifestBytes>> {
        self.claim.as_ref()?.newest()
    }

    /// The epoch evidence that it showed.
    pub(crate) fn offer(&self) -> Option<&Arc<Trusted<Offer>>> {
        self.offer.as_ref()
    }

    /// What is measured of it.
    pub(crate) fn load(&self) -> &Arc<Load> {
        &self.load
    }

    /// Whether it did not answer when it was asked last.
    pub(crate) fn is_silent(&self) -> bool {
        self.silence.is_some()
    }

    /// What an operator is told of it.
    pub(crate) fn sight(&self, now: &Now, version: u64) -> Sight<'_> {
        let silence = self.silence.as_ref();
        let of = |condition, why, proof| Sight {
            condition,
            why,
            proof,
            checks: &[],
            failed: &[],
            silence,
            refusals: self.refusals,
            is_full: self.is_full(),
        };
        match (self.standing(now, version), &self.verdict, silence) {
            (Standing::Rejected(checks), Verdict::Rejected(_), _) => {
                Sight { checks, failed: &self.failed, ..of(Condition::Rejected, "its evidence was refused", None) }
            }
            (Standing::Rejected(checks), ..) => {
                Sight { checks, ..of(Condition::Rejected, "its identity is held under another TLS key too", None) }
            }
            (Standing::Attested(proof), ..) => of(Condition::Attested, "its evidence was accepted", Some(proof)),
            (Standing::Draining(proof), ..) => of(Condition::Draining, "it is not listed any more", Some(proof)),
            (Standing::Pending, _, Some(_)) => of(Condition::Unreachable, "it does not answer", None),
            (Standing::Pending, Verdict::Attested(proof), None) => {
                let is_closed = proof.once().is_closed();
                let why = if is_closed { "its connection has ended" } else { "its last proof has lapsed" };
                of(Condition::Pending, why, None)
            }
            (Standing::Pending, ..) => of(Condition::Pending, NOT_ASKED, None),
        }
    }

    /// Whether the instance says that it takes no more for now. It speaks for itself over its attested connection, so it can only
    /// take itself out; another connection has to say so again.
    pub(crate) fn is_full(&self) -> bool {
        match &self.verdict {
            Verdict::Attested(backend) => self.full_over == Some(backend.once().link_id()),
            Verdict::Rejected(_) | Verdict::None => false,
        }
    }

    /// The manifest with `digest`, if this address proved it and it is not a thing of the past.
    pub(crate) fn manifest(&self, digest: &ManifestDigest) -> Option<&Arc<ManifestBytes>> {
        self.claim.as_ref()?.manifests.iter().find(|manifest| manifest.digest() == digest)
    }
}

impl State {
    /// The circuit breaker of an instance.
    pub(crate) fn breaker(&self, identity: &Identity) -> Option<&Arc<Breaker>> {
        self.breakers.get(identity)
    }

    /// What is measured of an instance.
    pub(crate) fn load(&self, identity: &Identity) -> Option<&Arc<Load>> {
        self.loads.get(identity)
    }

    /// What became of a manifest that no address shows any more.
    pub(crate) fn former(&self, digest: &ManifestDigest) -> Option<Former> {
        self.former.iter().rev().find(|(former, _)| former == digest).map(|(_, what)| *what)
    }

    /// A token that lives as long as a permit of the current policy version.
    pub(crate) fn permit_token(&self) -> mpsc::Sender<Infallible> {
        self.permits.sender.clone()
    }

    /// Whether the peer was rejected after this proof was asked for, or may have been.
    pub(super) fn is_outdated(&self, backend: &Trusted<Backend>, now: &Now) -> bool {
        let asked = backend.checked_at();
        let rejected = self.rejected.get(&backend.once().manifest().manifest().tls_spki_sha256);
        rejected.is_some_and(|at| asked <= *at) || now.aged.saturating_duration_since(asked) >= REJECTIONS_KEPT
    }

    /// Every address as an operator is told at `now`.
    pub(crate) fn sights(&self, now: &Now) -> impl Iterator<Item = (&Address, Sight<'_>)> {
        let (now, version) = (*now, self.appraisal.version);
        self.routes.iter().map(move |(address, route)| (address, route.sight(&now, version)))
    }

    /// Every address where it stands at `now`.
    pub(crate) fn standings(&self, now: &Now) -> impl Iterator<Item = (&Address, Standing<'_>)> {
        let (now, version) = (*now, self.appraisal.version);
        self.routes.iter().map(move |(address, route)| (address, route.standing(&now, version)))
    }

    pub(super) fn remember(&mut self, manifest: &ManifestBytes, what: Former) {
        if self.former.len() >= FORMER_MANIFESTS {
            self.former.pop_front();
        }
        self.former.push_back((*manifest.digest(), what));
    }

    /// Every address that shows the manifest with `digest`.
    pub(crate) fn showing(&self, digest: &ManifestDigest) -> impl Iterator<Item = (&Address, &Route)> {
        let addresses = self.showing.get(digest).into_iter().flatten();
        addresses.filter_map(|address| self.routes.get_key_value(address))
    }

    /// Finds anew who shows which manifest; after every change of a claim.
    pub(super) fn index(&mut self) {
        self.showing.clear();
        for (address, route) in &self.routes {
            for manifest in route.claim.iter().flat_map(|claim| &claim.manifests) {
                self.showing.entry(*manifest.digest()).or_default().push(address.clone());
            }
        }
    }

    /// Forgets the claim of a route; a manifest that no other route shows is gone.
    pub(super) fn depart(&mut self, claim: Claim, what: Former) {
        for manifest in claim.manifests {
            if self.showing(manifest.digest()).next().is_none() {
                self.remember(&manifest, what);
            }
        }
    }

    /// Judges anew who shares an identity with whom. True when someone is newly in conflict.
    pub(super) fn judge_conflicts(&mut self, now: &Now) -> bool {
        let claims = self.routes.iter().flat_map(|(address, route)| {
            let manifests = route.claim.iter().flat_map(|claim| &claim.manifests);
            let current = manifests.filter(|manifest| now.wall.seconds() < manifest.manifest().not_after);
            current.map(|manifest| (address.clone(), Arc::clone(manifest)))
        });
        let parties = conflicting(claims);
        let mut is_new = false;
        for (address, route) in &mut self.routes {
            let is_conflicted = parties.contains(address);
            is_new |= is_conflicted && !route.is_conflicted;
            route.is_conflicted = is_conflicted;
        }
        is_new
    }
}
