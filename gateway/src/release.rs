//! The release predicate: whether one sealed request may go to the instance that it is sealed to, now.
//!
//! > An instance with that manifest digest is attested under the current policy version, its channel check and manifest are
//! > within their time, no identity conflict, and the tenant may use every model of that manifest.
//!
//! [`admit_for`] judges it once; what it hands out is a [`Permit`], which judges it again before every piece of the request that
//! is written, under the lock that a policy change has to take. The model's name is sealed, so admission is by manifest.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use teegate_protocol::manifest::ManifestDigest;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

use crate::admission::Permission;
use crate::balance::choice;
use crate::balance::load::Trip;
use crate::breaker::Trial;
use crate::clock::Now;
use crate::config::Address;
use crate::fleet::{Fleet, Route, Standing, State};
use crate::identity::{Former, identity};
use crate::trust::{Backend, Trusted};

/// What is to become of a request now.
#[derive(Debug)]
pub enum Admission {
    /// It may go.
    Release(Release),
    /// The predicate does not hold, but it may: hold the request. If its time ends like this, the reason is this one.
    Wait(Refusal),
    /// Waiting cannot help.
    Refuse(Refusal),
}

/// A route to the instance, and the permit to use it.
#[derive(Debug)]
pub struct Release {
    /// Where it goes.
    pub address: Address,
    /// The proof on which that rests.
    pub backend: Arc<Trusted<Backend>>,
    /// To be shown before every piece.
    pub permit: Permit,
    /// To be told how it went.
    pub trial: Option<Trial>,
    /// What is measured of it.
    pub trip: Option<Trip>,
}

/// Why a request was not released. Nothing of it was sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The manifest is past, or unknown.
    Stale,
    /// Its instance is gone or refused, and others are attested.
    Reseal,
    /// No instance is attested.
    NoInstance,
    /// Its instance is rejected by these checks, and no other is attested.
    Rejected(Vec<&'static str>),
    /// Its instance has failed several times and is left alone for so long.
    Resting(Duration),
    /// Its instance says that it takes no more, and no other is free.
    Occupied,
    /// Its instance runs a model that its tenant may not use.
    NotPermitted,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stale => f.write_str("the manifest is past or unknown: fetch the instances again"),
            Self::Reseal => f.write_str("the instance is not attested any more, others are: seal to one of them"),
            Self::NoInstance => f.write_str("no instance is attested"),
            Self::Rejected(checks) => write!(f, "the evidence was rejected by {}", checks.join(", ")),
            Self::Occupied => {
                f.write_str("every attested instance that could serve says that it takes no more for now")
            }
            Self::NotPermitted => f.write_str("this tenant may not use the instance that the request is sealed to"),
            Self::Resting(time) => write!(f, "the instance has failed repeatedly and rests for {} s", time.as_secs()),
        }
    }
}

/// Judges the predicate for the manifest with `digest`, for who may use what `permission` says.
pub fn admit_for(fleet: &Arc<Fleet>, digest: &ManifestDigest, permission: &Arc<Permission>) -> Admission {
    let now = fleet.clock().now();
    let state = fleet.read();
    let version = state.appraisal.version;
    let mut rejected: Option<Vec<&'static str>> = None;
    let mut resting: Option<Duration> = None;
    let (mut is_known, mut is_draining, mut is_pending, mut is_silent) = (false, false, false, true);
    let mut is_occupied = false;
    let mut ways: Vec<(&Address, &Route, &Arc<Trusted<Backend>>)> = Vec::new();
    let mut instance = None;
    for (address, route) in state.showing(digest) {
        let Some(manifest) = route.manifest(digest) else { continue };
        // Whoever has the digest of a manifest has seen it.
        if !permission.admits(manifest.manifest()) {
            return Admission::Refuse(Refusal::NotPermitted);
        }
        if now.wall.seconds() >= manifest.manifest().not_after {
            return Admission::Refuse(Refusal::Stale);
        }
        is_known = true;
        match route.standing(&now, version) {
            Standing::Attested(_) if route.is_full() => is_occupied = true,
            Standing::Attested(backend) => {
                // Whoever shows this manifest is this instance: it names its TLS key and its id.
                instance = Some(identity(manifest));
                ways.push((address, route, backend));
            }
            Standing::Draining(_) => is_draining = true,
            Standing::Pending => {
                is_pending = true;
                is_silent &= route.is_silent();
            }
            Standing::Rejected(checks) => rejected = Some(checks.to_vec()),
        }
    }
    let readings: Vec<_> = ways.iter().map(|(_, route, _)| route.load().reading()).collect();
    let way = choice::one(&readings, now.mono).and_then(|index| ways.get(index));
    if let (Some((address, route, backend)), Some(instance)) = (way, instance) {
        match state.breaker(&instance).map(|breaker| breaker.admit(now.mono)).transpose() {
            Ok(trial) => {
                let permit = Permit {
                    fleet: Arc::clone(fleet),
                    changes: fleet.changes(),
                    address: (*address).clone(),
                    link: backend.once().link_id(),
                    digest: *digest,
                    permission: Arc::clone(permission),
                    version,
                    _token: state.permit_token(),
                };
                return Admission::Release(Release {
                    address: (*address).clone(),
                    backend: Arc::clone(backend),
                    permit,
                    trial,
                    trip: state.load(&instance).map(|load| Trip::new(load, route.load())),
                });
            }
            Err(time) => resting = Some(time),
        }
    }
    let others = Others::of(&state, &now, digest, permission);
    let elsewhere = others.elsewhere();
    if let Some(time) = resting {
        return Admission::Refuse(if others.any_free { Refusal::Reseal } else { Refusal::Resting(time) });
    }
    if is_occupied {
        return Admission::Refuse(if others.any_free { Refusal::Reseal } else { Refusal::Occupied });
    }
    match (is_known, state.former(digest), elsewhere) {
        (false, Some(Former::Past), _) => Admission::Refuse(Refusal::Stale),
        // A key that died with its instance does not come back, but the client can be told only where to go instead.
        (false, Some(Former::Gone), Some(elsewhere)) => Admission::Refuse(elsewhere),
        (false, None, Some(_)) => Admission::Refuse(Refusal::Stale),
        // Nobody is attested: what the client asks for may be among those to come.
        (false, Some(Former::Gone) | None, None) => Admission::Wait(others.none()),
        // It has been asked and does not answer: whoever can should go elsewhere.
        (true, _, Some(elsewhere)) if is_pending && is_silent => Admission::Refuse(elsewhere),
        // Its connection was lost or its proof has lapsed: the next check may be a moment away.
        (true, _, elsewhere) if is_pending => Admission::Wait(elsewhere.unwrap_or_else(|| others.none())),
        (true, _, Some(elsewhere)) if rejected.is_some() || is_draining => Admission::Refuse(elsewhere),
        (true, _, _) => Admission::Wait(rejected.map_or_else(|| others.none(), Refusal::Rejected)),
    }
}

/// The same for who may use everything.
#[cfg(test)]
pub(crate) fn admit(fleet: &Arc<Fleet>, digest: &ManifestDigest) -> Admission {
    admit_for(fleet, digest, &Arc::new(Permission::everything()))
}

/// When holding a request for the manifest with `digest` becomes pointless, as far as that is known: its keys are gone then.
pub fn pointless_after(fleet: &Fleet, digest: &ManifestDigest) -> Option<Instant> {
    let now = fleet.clock().now();
    let state = fleet.read();
    let manifest = state.showing(digest).find_map(|(_, route)| route.manifest(digest))?;
    Some(now.mono + Duration::from_secs(manifest.manifest().not_after.saturating_sub(now.wall.seconds())))
}

/// What the fleet offers a tenant beside the instance with one manifest, and why it offers nothing where it does not.
struct Others {
    any_attested: bool,
    /// Of these, whether any takes requests and does not rest.
    any_free: bool,
    any_pending: bool,
    rejected: Vec<&'static str>,
}

impl Others {
    fn of(state: &State, now: &Now, digest: &ManifestDigest, permission: &Permission) -> Self {
        let mut others = Self { any_attested: false, any_free: false, any_pending: false, rejected: Vec::new() };
        for route in state.routes.values() {
            // What an address may turn out to be is open before it has proven anything.
            if route.newest().is_some_and(|claimed| !permission.admits(claimed.manifest())) {
                continue;
            }
            match route.standing(now, state.appraisal.version) {
                Standing::Attested(_) => {
                    let is_other = route.manifest(digest).is_none();
                    others.any_attested |= is_other;
                    let breaker = route.newest().and_then(|manifest| state.breaker(&identity(manifest)));
                    let rests = breaker.is_some_and(|breaker| breaker.is_open(now.mono));
                    others.any_free |= is_other && !route.is_full() && !rests;
                }
                Standing::Pending | Standing::Draining(_) => others.any_pending = true,
                Standing::Rejected(checks) => {
                    for check in checks {
                        if !others.rejected.contains(check) {
                            others.rejected.push(check);
                        }
                    }
                }
            }
        }
        others
    }

    /// Where a client may go instead, or that whoever is there takes no more; nothing where nobody is attested.
    fn elsewhere(&self) -> Option<Refusal> {
        self.any_attested.then_some(if self.any_free { Refusal::Reseal } else { Refusal::Occupied })
    }

    /// Why nobody can be sent to.
    fn none(&self) -> Refusal {
        if self.any_attested && !self.any_free {
            Refusal::Occupied
        } else if self.rejected.is_empty() || self.any_pending {
            Refusal::NoInstance
        } else {
            Refusal::Rejected(self.rejected.clone())
        }
    }
}

/// Why there is no instance that could be offered to who may use what `permission` says, when there is none.
pub fn why_none(fleet: &Fleet, permission: &Permission) -> Refusal {
    let now = fleet.clock().now();
    Others::of(&fleet.read(), &now, &ManifestDigest([0; 32]), permission).none()
}

/// How long a step of the wall clock may go unnoticed by what waits under a permit.
const LOOK_AT_CLOCKS: Duration = Duration::from_secs(1);

/// The right to write one request to one connection, as long as the predicate holds.
#[derive(Clone)]
pub struct Permit {
    fleet: Arc<Fleet>,
    changes: watch::Receiver<u64>,
    address: Address,
    link: u64,
    digest: ManifestDigest,
    permission: Arc<Permission>,
    version: u64,
    _token: mpsc::Sender<Infallible>,
}

/// The predicate does not hold any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Withdrawn;

impl Permit {
    /// Runs `write` if the predicate holds, and keeps it from falling meanwhile. What `write` queues may leave later: whoever
    /// gives the permit back before that lets the connection's outlet answer for it.
    pub fn exercise<T>(&self, write: impl FnOnce() -> T) -> Result<T, Withdrawn> {
        let state = self.fleet.read();
        if self.holds(&state).is_some() { Ok(write()) } else { Err(Withdrawn) }
    }

    /// Resolves when the predicate has fallen, by a change of the fleet or by time; by a step of the wall clock, a second later.
    pub async fn withdrawn(&mut self) {
        loop {
            self.changes.borrow_and_update();
            let Some(rest) = self.holds(&self.fleet.read()) else { return };
            // Nobody tells of a clock that was set.
            if let Ok(Err(_)) = timeout(rest.min(LOOK_AT_CLOCKS), self.changes.changed()).await {
                return;
            }
        }
    }

    /// The connection that it is for.
    pub fn link_id(&self) -> u64 {
        self.link
    }

    /// How long the predicate will hold if nothing changes; `None` when it does not.
    fn holds(&self, state: &State) -> Option<Duration> {
        let now = self.fleet.clock().now();
        let route = state.routes.get(&self.address)?;
        if state.appraisal.version != self.version {
            return None;
        }
        let manifest = route.manifest(&self.digest)?.manifest();
        if !self.permission.admits(manifest) {
            return None;
        }
        let not_after = manifest.not_after;
        match route.standing(&now, self.version) {
            Standing::Attested(backend) | Standing::Draining(backend) => {
                let is_same = backend.once().link_id() == self.link;
                let left = Duration::from_secs(not_after.saturating_sub(now.wall.seconds())).min(backend.lasts(&now));
                (is_same && !left.is_zero()).then_some(left)
            }
            Standing::Pending | Standing::Rejected(_) => None,
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("address", &self.address)
            .field("digest", &self.digest)
            .field("version", &self.version)
            .finish()
    }
}

#[cfg(test)]
mod explored;
#[cfg(test)]
mod threads;
