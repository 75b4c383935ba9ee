//! A fleet and the model of it, side by side, and the events that both go through.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use teegate_protocol::manifest::{ManifestBytes, ManifestDigest};
use teegate_verifier::{Endorsements, Policy};
use tokio::time::{Instant, advance};

use self::Event::{
    Admitted, AdmittedBefore, ClaimedByAnother, Disconnected, Ended, Expired, Gone, ListChanged, PermissionChanged,
    PolicyChanged, Proven, ProvenBriefly, ProvenBySecond, ProvenLate, Refused, RefusedAtSecond, Rotated, SetBack,
    SetRight, TimePassed,
};
use super::model::{BRIEFLY, Likeness, Model, Terms};
use crate::admission::{Models, Permission};
use crate::breaker::BreakerLimits;
use crate::config::Address;
use crate::fleet::Fleet;
use crate::metrics::Metrics;
use crate::release::{Admission, Permit, admit_for};
use crate::trust::Distrust;
use crate::trust::testing::{START, Who, Wire, any_policy, clock, set_wall};

const PLACES: usize = 2;
const EPOCHS: usize = 3;
/// Permits at a time.
const PERMITS: usize = 2;
/// How long a proof lasts that does not end soon.
const LONG: Duration = Duration::from_secs(360_000);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Event {
    /// The first address proves the instance in its present epoch, for a long time or a short one, or in its next epoch.
    Proven,
    ProvenBriefly,
    Rotated,
    /// The second address proves the same instance, over a connection of its own.
    ProvenBySecond,
    /// The second address proves the instance's id under another TLS key.
    ClaimedByAnother,
    /// A proof of the first address arrives that was asked for before anything else.
    ProvenLate,
    /// Evidence of the instance is refused, at the first address or at the second.
    Refused,
    RefusedAtSecond,
    /// The connection of the first address ends.
    Disconnected,
    PolicyChanged,
    SetBack,
    SetRight,
    /// The wall clock goes to the end of the manifests.
    Expired,
    TimePassed,
    /// The tenant may not use the models any more, or may again.
    PermissionChanged,
    /// The first address is not listed any more, or is again; and is gone when it has drained.
    ListChanged,
    Gone,
    /// A request gets a permit, for the present epoch or for the one before.
    Admitted,
    AdmittedBefore,
    /// The request that has its permit for the longest is over.
    Ended,
}

pub(super) const EVENTS: [Event; 20] = [
    Admitted,
    AdmittedBefore,
    Ended,
    Proven,
    ProvenBriefly,
    Rotated,
    ProvenBySecond,
    ClaimedByAnother,
    ProvenLate,
    Refused,
    RefusedAtSecond,
    Disconnected,
    PolicyChanged,
    SetBack,
    SetRight,
    Expired,
    TimePassed,
    PermissionChanged,
    ListChanged,
    Gone,
];

/// What every exploration begins with: an instance that is attested, and a request that has a permit.
pub(super) const BEGINNING: [Event; 2] = [Proven, Admitted];

/// What is the same in every order.
pub(super) struct Cast {
    /// The instance in its epochs, then whoever claims to be it.
    manifests: Vec<Arc<ManifestBytes>>,
    policy: Policy,
    metrics: Arc<Metrics>,
}

impl Cast {
    pub(super) fn new() -> Self {
        let (who, mut another) = (Who::new(1), Who::new(3));
        another.instance = 1;
        let mut manifests: Vec<Arc<ManifestBytes>> = Vec::new();
        for epoch in 0..EPOCHS {
            let prev = manifests.last().map(|manifest| *manifest.digest());
            manifests.push(who.manifest(u64::try_from(epoch).unwrap(), prev.as_ref()));
        }
        manifests.push(another.manifest(0, None));
        Self { manifests, policy: any_policy(), metrics: Arc::default() }
    }
}

fn address(place: usize) -> Address {
    Address::parse(&format!("enclave:{}", place + 1)).unwrap()
}

struct Held {
    permit: Permit,
    terms: Terms,
}

/// A fleet, the model of it, and what is under way.
pub(super) struct World<'a> {
    cast: &'a Cast,
    fleet: Arc<Fleet>,
    model: Model,
    began: Instant,
    epoch: usize,
    wires: [Option<Wire>; PLACES],
    held: Vec<Held>,
    permission: Arc<Permission>,
    /// A change of policy that has not returned.
    changing: Option<Pin<Box<dyn Future<Output = u64>>>>,
    pub(super) counts: Counts,
}

/// That the exploration explores.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Counts {
    pub(super) written: u64,
    pub(super) withdrawn: u64,
    pub(super) admitted: u64,
    pub(super) changed: u64,
    pub(super) waited: u64,
    pub(super) conflicts: u64,
}

impl<'a> World<'a> {
    pub(super) fn new(cast: &'a Cast) -> Self {
        let addresses: Vec<Address> = (0..PLACES).map(address).collect();
        let limits = BreakerLimits { failures: 2, open: Duration::from_secs(10) };
        let (policy, metrics) = (cast.policy.clone(), Arc::clone(&cast.metrics));
        let clock = clock();
        set_wall(START);
        let model = Model::new(PLACES);
        let began = model.aged();
        Self {
            cast,
            fleet: Arc::new(Fleet::new(&addresses, policy, Endorsements::new(), clock, limits, metrics)),
            model,
            began,
            epoch: 0,
            wires: [None, None],
            held: Vec::new(),
            permission: Arc::new(Permission::everything()),
            changing: None,
            counts: Counts::default(),
        }
    }

    /// Follows one event on both sides, and looks whether they agree. `None` where it cannot happen or would change nothing.
    pub(super) async fn step(&mut self, event: Event) -> Option<Result<(), String>> {
        if let Err(why) = self.follow(event).await? {
            return Some(Err(why));
        }
        // Connections notice their end; pings come back. And what is looked at below is not told to come again for its budget.
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
        Some(self.agrees())
    }

    async fn follow(&mut self, event: Event) -> Option<Result<(), String>> {
        let first = &self.cast.manifests[0];
        let (instance, end) = (first.manifest().tls_spki_sha256, first.manifest().not_after);
        match event {
            Proven => return Some(self.proves(0, self.epoch, LONG, false).await),
            ProvenBriefly => return Some(self.proves(0, self.epoch, BRIEFLY, false).await),
            Rotated if self.epoch + 1 < EPOCHS => {
                self.epoch += 1;
                return Some(self.proves(0, self.epoch, LONG, false).await);
            }
            ProvenBySecond => return Some(self.proves(1, self.epoch, LONG, false).await),
            ClaimedByAnother => return Some(self.proves(1, EPOCHS, LONG, false).await),
            ProvenLate => return Some(self.proves(0, self.epoch, LONG, true).await),
            Refused | RefusedAtSecond => {
                let place = usize::from(event == RefusedAtSecond);
                let (checks, explanation) = (vec!["snp.policy.debug"], "debug".to_owned());
                let distrust = Distrust { checks, explanation, failed: [].into(), tls_spki: instance };
                self.fleet.reject(&address(place), &distrust, self.model.version);
                self.model.rejects(place, instance);
                let is_open = |wire: &&Wire| self.model.shut.contains(&wire.link_id()) && !wire.is_shut();
                if self.wires.iter().flatten().any(|wire| is_open(&wire)) {
                    return Some(Err("a connection to who was refused is open after that has returned".to_owned()));
                }
            }
            Disconnected => {
                let wire = self.wires[0].take_if(|wire| !wire.is_closed())?;
                self.model.open.remove(&wire.link_id());
                wire.ended().await;
            }
            // One at a time, as they are reloaded.
            PolicyChanged if self.changing.is_none() => {
                let (fleet, policy) = (Arc::clone(&self.fleet), self.cast.policy.clone());
                self.changing = Some(Box::pin(async move { fleet.set_policy(policy, Endorsements::new()).await }));
                self.model.changes_policy();
                self.counts.changed += 1;
            }
            SetBack if !self.model.is_set_back() => self.sets_wall(self.model.furthest_wall() - 61),
            SetRight if self.model.is_set_back() => self.sets_wall(self.model.furthest_wall()),
            Expired if self.model.furthest_wall() < end => self.sets_wall(end),
            TimePassed => advance(BRIEFLY).await,
            PermissionChanged => {
                self.model.is_permitted ^= true;
                let models = ["model".to_owned()].into_iter().take(usize::from(self.model.is_permitted)).collect();
                self.permission.set(Models::Named(models));
            }
            ListChanged => {
                let is_listed = self.model.places.get(&0).is_some_and(|place| !place.is_draining);
                let listed: Vec<Address> = (usize::from(is_listed)..PLACES).map(address).collect();
                self.fleet.set_addresses(&listed);
                self.model.places.entry(0).or_default().is_draining = is_listed;
            }
            Gone => {
                self.fleet.remove_if_draining(&address(0));
                self.model.forgets(0);
            }
            Admitted => return self.admits(self.epoch),
            AdmittedBefore => return self.admits(self.epoch.checked_sub(1)?),
            Ended if !self.held.is_empty() => drop(self.held.remove(0)),
            Rotated | PolicyChanged | SetBack | SetRight | Expired | Ended => return None,
        }
        Some(Ok(()))
    }

    fn sets_wall(&mut self, wall: u64) {
        self.model.sets_wall(wall);
        set_wall(wall);
        // Whoever runs a gateway reads its clock all the time.
        self.fleet.clock().now();
    }

    /// The address passes its channel check, over the connection that is there or a new one.
    async fn proves(&mut self, place: usize, who: usize, fresh: Duration, is_late: bool) -> Result<(), String> {
        // What is asked later is asked at another time.
        advance(Duration::from_secs(1)).await;
        let manifest = &self.cast.manifests[who];
        let wire = match self.wires[place].take_if(|wire| !wire.is_closed()) {
            Some(wire) => wire,
            None => Wire::connect().await,
        };
        let (link, asked) = (wire.link_id(), if is_late { self.began } else { self.model.aged() });
        let proof = wire.trusted_since(manifest, self.model.version, fresh, asked);
        self.model.open.insert(link);
        self.wires[place] = Some(wire);
        let expected = self.model.accepts(place, manifest, link, asked, fresh);
        self.counts.conflicts += u64::from(self.model.is_in_conflict());
        let is_accepted = self.fleet.accept(&address(place), proof);
        if is_accepted == expected { Ok(()) } else { Err(format!("the proof counts: {is_accepted}, not {expected}")) }
    }

    fn admits(&mut self, epoch: usize) -> Option<Result<(), String>> {
        if self.held.len() >= PERMITS {
            return None;
        }
        let digest = *self.cast.manifests[epoch].digest();
        // Of two ways either may be taken; here it is always the first, or an order would not be the same the next time.
        let ways = self.ways(&digest);
        for _ in 0..100 {
            let Admission::Release(release) = admit_for(&self.fleet, &digest, &self.permission) else { return None };
            let place = (0..PLACES).find(|place| address(*place) == release.address)?;
            if ways.first().is_none_or(|(first, _)| *first == place) {
                let (link, version) = (release.permit.link_id(), self.model.version);
                let terms = Terms { place, digest, link, version };
                self.held.push(Held { permit: release.permit, terms });
                self.counts.admitted += 1;
                return Some(Ok(()));
            }
        }
        Some(Err("one way is never taken".to_owned()))
    }

    /// The addresses by which a request for this manifest may go, and the connections.
    fn ways(&self, digest: &ManifestDigest) -> Vec<(usize, u64)> {
        let to_offer = self.model.places.iter().filter(|(_, place)| !place.is_draining);
        to_offer.filter_map(|(place, _)| Some((*place, self.model.is_attested(*place, digest)?))).collect()
    }

    /// Every permit writes exactly where the predicate holds, whoever may be admitted is, and a change of policy has returned exactly
    /// when no older permit is left.
    fn agrees(&mut self) -> Result<(), String> {
        // The first look at a change of policy begins it.
        if let Some(changing) = &mut self.changing {
            let is_held = self.held.iter().any(|held| held.terms.version < self.model.version);
            match changing.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(_) if is_held => {
                    return Err("a change of policy returned before its older permits".to_owned());
                }
                Poll::Ready(version) if version != self.model.version => return Err(format!("version {version}")),
                Poll::Ready(_) => self.changing = None,
                Poll::Pending if !is_held => return Err("a change of policy waits for nobody".to_owned()),
                Poll::Pending => self.counts.waited += 1,
            }
        }
        for (number, held) in self.held.iter().enumerate() {
            let expected = self.model.holds(&held.terms);
            let wrote = held.permit.exercise(|| self.fleet.is_locked());
            if wrote == Ok(false) {
                return Err(format!("permit {number} writes while the fleet may change"));
            }
            if wrote.is_ok() != expected {
                return Err(format!("permit {number} may write: {}, not {expected}", wrote.is_ok()));
            }
            self.counts.written += u64::from(expected);
            self.counts.withdrawn += u64::from(!expected);
        }
        for manifest in &self.cast.manifests {
            let ways = self.ways(manifest.digest());
            match admit_for(&self.fleet, manifest.digest(), &self.permission) {
                Admission::Release(release) => {
                    let place = (0..PLACES).find(|place| address(*place) == release.address);
                    if !ways.iter().any(|(way, link)| Some(*way) == place && *link == release.permit.link_id()) {
                        return Err(format!("a request is admitted at {}, not at {ways:?}", release.address));
                    }
                }
                refused if !ways.is_empty() => {
                    return Err(format!("a request is not admitted at {ways:?}: {refused:?}"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn likeness(&self) -> Likeness {
        let held: Vec<Terms> = self.held.iter().map(|held| held.terms).collect();
        let mut all = self.model.likeness(&held, &self.cast.manifests);
        all.extend([u64::try_from(self.epoch).unwrap(), u64::from(self.changing.is_some())]);
        for (place, wire) in self.wires.iter().enumerate() {
            // Which connection the next proof comes over: the one that was proven, another, or a new one.
            let link = wire.as_ref().filter(|wire| !wire.is_closed()).map(Wire::link_id);
            let proven = self.model.places.get(&place).and_then(|place| Some(place.proof.as_ref()?.link));
            let is_held = self.held.iter().map(|held| u64::from(Some(held.terms.link) == link));
            all.extend(is_held);
            all.push(link.map_or(2, |link| u64::from(proven == Some(link))));
        }
        all
    }
}
