//! The release predicate under whatever order of events: what a permit may do is held against a model of the sentence at the top of
//! `release.rs`, written down here a second time and without any of its code.
//!
//! In the first test one thread makes random steps, each of which the model follows exactly. In the second, threads write under permits
//! while policies change and instances are rejected: what may not happen is observed from inside of each write.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use teegate_protocol::manifest::{InstanceId, ManifestBytes, ManifestDigest, SpkiDigest};
use teegate_verifier::Endorsements;
use tokio::time::{Instant, advance};

use crate::breaker::BreakerLimits;
use crate::config::Address;
use crate::fleet::Fleet;
use crate::metrics::Metrics;
use crate::release::{Admission, Permit, admit};
use crate::trust::Distrust;
use crate::trust::testing::{START, Who, Wire, any_policy, clock, set_wall};

/// Steps of the first test; `TEEGATE_TESTS=full` takes ten times as many.
const STEPS: u64 = 100_000;
/// After so many steps it begins anew, with another fleet.
const EPISODE: u64 = 1_000;
const ADDRESSES: usize = 3;
const EPOCHS: usize = 3;

fn steps() -> u64 {
    if std::env::var("TEEGATE_TESTS").is_ok_and(|size| size == "full") { STEPS * 10 } else { STEPS }
}

/// Numbers that are the same in every run (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound).unwrap()).unwrap()
    }
}

fn address(number: usize) -> Address {
    Address::parse(&format!("enclave:{}", number + 1)).unwrap()
}

fn fleet_of(addresses: usize) -> Arc<Fleet> {
    let addresses: Vec<Address> = (0..addresses).map(address).collect();
    let limits = BreakerLimits { failures: 2, open: Duration::from_secs(10) };
    Arc::new(Fleet::new(&addresses, any_policy(), Endorsements::new(), clock(), limits, Arc::new(Metrics::default())))
}

/// What was proven about an address, as the model keeps it.
struct Proof {
    link: u64,
    version: u64,
    fresh_until: Instant,
}

/// An address, as the model keeps it. A claim outlives the proof, and is what conflicts are about.
#[derive(Default)]
struct Place {
    proof: Option<Proof>,
    claimed: Vec<Arc<ManifestBytes>>,
    is_conflicted: bool,
    is_draining: bool,
}

/// The fleet, as the model keeps it.
struct Model {
    version: u64,
    places: BTreeMap<usize, Place>,
}

/// A permit, and what it is for.
struct Held {
    permit: Permit,
    place: usize,
    digest: ManifestDigest,
    link: u64,
    version: u64,
}

impl Model {
    fn new() -> Self {
        Self { version: 1, places: (0..ADDRESSES).map(|place| (place, Place::default())).collect() }
    }

    /// > An instance with that manifest digest is attested under the current policy version, its channel check and manifest are within
    /// > their time, no identity conflict.
    fn holds(&self, held: &Held, fleet: &Fleet, links: &Links) -> bool {
        let now = fleet.clock().now();
        let Some(place) = self.places.get(&held.place) else { return false };
        let Some(proof) = &place.proof else { return false };
        let Some(manifest) = place.claimed.iter().find(|manifest| *manifest.digest() == held.digest) else {
            return false;
        };
        let is_current = held.version == self.version && proof.version == self.version;
        let is_in_time =
            now.aged < proof.fresh_until && now.wall.seconds() < manifest.manifest().not_after && !now.is_set_back;
        is_current && is_in_time && !place.is_conflicted && proof.link == held.link && links.is_open(held.link)
    }

    /// Whoever shows one instance id under two TLS keys.
    fn judge_conflicts(&mut self, wall: u64) {
        let shown: Vec<(usize, InstanceId, SpkiDigest)> = self
            .places
            .iter()
            .flat_map(|(place, state)| state.claimed.iter().map(move |manifest| (*place, manifest.manifest())))
            .filter(|(_, manifest)| wall < manifest.not_after)
            .map(|(place, manifest)| (place, manifest.instance_id, manifest.tls_spki_sha256))
            .collect();
        for (place, state) in &mut self.places {
            let own = shown.iter().filter(|(shown, _, _)| shown == place);
            let mut others = own.flat_map(|own| shown.iter().map(move |other| (own, other)));
            state.is_conflicted = others.any(|(own, other)| own.1 == other.1 && own.2 != other.2);
        }
    }

    fn accepts(&mut self, place: usize, manifest: &Arc<ManifestBytes>, link: u64, fresh_until: Instant, wall: u64) {
        let version = self.version;
        let Some(state) = self.places.get_mut(&place) else { return };
        let newest = state.claimed.first().cloned();
        state.claimed = match newest {
            // Seen already, or the next epoch of the same: the one before it may still be sealed to.
            Some(newest) if newest.digest() == manifest.digest() => std::mem::take(&mut state.claimed),
            Some(newest) if manifest.manifest().prev == Some(*newest.digest()) => vec![Arc::clone(manifest), newest],
            _ => vec![Arc::clone(manifest)],
        };
        state.proof = Some(Proof { link, version, fresh_until });
        self.judge_conflicts(wall);
    }

    /// The routes to a peer fall with it, and so does the address where it was refused. Returns the links that are shut.
    fn rejects(&mut self, place: usize, spki: SpkiDigest) -> Vec<u64> {
        let mut shut = Vec::new();
        for (number, state) in &mut self.places {
            let is_peer = state.claimed.first().is_some_and(|manifest| manifest.manifest().tls_spki_sha256 == spki);
            if *number == place || is_peer {
                shut.extend(state.proof.take().map(|proof| proof.link));
            }
        }
        shut
    }
}

/// The connections that are there.
#[derive(Default)]
struct Links(Vec<Wire>);

impl Links {
    fn is_open(&self, link: u64) -> bool {
        self.0.iter().any(|wire| wire.link_id() == link && !wire.is_closed())
    }

    /// One of them, or a new one.
    async fn any(&mut self, random: &mut Random) -> &Wire {
        self.0.retain(|wire| !wire.is_closed());
        if self.0.len() < 4 {
            self.0.push(Wire::connect().await);
        }
        &self.0[random.below(self.0.len())]
    }

    /// Ends one, and waits until that is known.
    async fn end(&mut self, link: u64) {
        if let Some(at) = self.0.iter().position(|wire| wire.link_id() == link) {
            self.0.swap_remove(at).ended().await;
        }
    }
}

/// Two instances, and one that claims to be the first under a TLS key of its own; each with a row of epochs.
fn instances() -> Vec<Vec<Arc<ManifestBytes>>> {
    let mut false_one = Who::new(3);
    false_one.instance = 1;
    [Who::new(1), Who::new(2), false_one]
        .into_iter()
        .map(|who| {
            let mut row: Vec<Arc<ManifestBytes>> = Vec::new();
            for epoch in 0..EPOCHS {
                let prev = row.last().map(|manifest| *manifest.digest());
                row.push(who.manifest(u64::try_from(epoch).unwrap(), prev.as_ref()));
            }
            row
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn no_order_of_events_lets_a_permit_write_when_the_predicate_does_not_hold() {
    let (mut random, instances) = (Random(0x9e37_79b9_7f4a_7c15), instances());
    let mut links = Links::default();
    let (mut written, mut withdrawn, mut admitted, mut changed, mut conflicts) = (0_u64, 0_u64, 0_u64, 0_u64, 0_u64);
    for _ in 0..steps() / EPISODE {
        let (fleet, mut model, mut permits) = (fleet_of(ADDRESSES), Model::new(), Vec::<Held>::new());
        set_wall(START);
        for _ in 0..EPISODE {
            let place = random.below(ADDRESSES);
            match random.below(100) {
                // A piece is written, or is not.
                0..=64 if !permits.is_empty() => {
                    let held = &permits[random.below(permits.len())];
                    let expected = model.holds(held, &fleet, &links);
                    let wrote = held.permit.exercise(|| ()).is_ok();
                    assert_eq!(wrote, expected, "place {}, version {} of {}", held.place, held.version, model.version);
                    if wrote { written += 1 } else { withdrawn += 1 }
                }
                0..=79 => {
                    let manifest = &instances[random.below(instances.len())][random.below(EPOCHS)];
                    if let Admission::Release(release) = admit(&fleet, manifest.digest()) {
                        let place = (0..ADDRESSES).find(|place| address(*place) == release.address).unwrap();
                        let (link, version) = (release.permit.link_id(), fleet.appraisal().version);
                        let held = Held { permit: release.permit, place, digest: *manifest.digest(), link, version };
                        assert!(model.holds(&held, &fleet, &links), "admitted what the predicate forbids");
                        assert!(!model.places[&place].is_draining, "admitted to an address that drains");
                        admitted += 1;
                        permits.push(held);
                    }
                }
                80..=84 if !permits.is_empty() => drop(permits.swap_remove(random.below(permits.len()))),
                // A channel check passes, of anybody at any address, in any epoch.
                80..=88 => {
                    advance(Duration::from_millis(1)).await;
                    let wire = links.any(&mut random).await;
                    let manifest = &instances[random.below(instances.len())][random.below(EPOCHS)];
                    let fresh = Duration::from_millis(u64::try_from(random.below(20_000)).unwrap());
                    let now = fleet.clock().now();
                    let proof = wire.trusted_since(manifest, model.version, fresh, now.aged);
                    let is_accepted = fleet.accept(&address(place), proof);
                    assert_eq!(is_accepted, model.places.contains_key(&place));
                    model.accepts(place, manifest, wire.link_id(), now.aged + fresh, now.wall.seconds());
                    conflicts += u64::from(model.places.values().any(|place| place.is_conflicted));
                }
                // It fails.
                89 => {
                    let spki = instances[random.below(instances.len())][0].manifest().tls_spki_sha256;
                    let distrust = Distrust {
                        checks: vec!["snp.policy.debug"],
                        explanation: "debug".into(),
                        failed: [].into(),
                        tls_spki: spki,
                    };
                    fleet.reject(&address(place), &distrust, model.version);
                    for link in model.rejects(place, spki) {
                        links.end(link).await;
                    }
                }
                // The connection breaks.
                90 => {
                    let link = links.any(&mut random).await.link_id();
                    links.end(link).await;
                }
                // The policy changes: that returns when no permit of an older version is left, and not before.
                91 => {
                    // With a whole budget of tokio's, or it might be told to come again for that alone.
                    tokio::task::yield_now().await;
                    let mut changing = std::pin::pin!(fleet.set_policy(any_policy(), Endorsements::new()));
                    let is_held = !permits.is_empty();
                    let first = futures_poll(changing.as_mut());
                    assert_eq!(first.is_none(), is_held, "{} permits are left", permits.len());
                    model.version += 1;
                    changed += 1;
                    for place in model.places.values_mut() {
                        place.proof = None;
                    }
                    while let Some(held) = permits.pop() {
                        assert!(held.permit.exercise(|| ()).is_err(), "a permit of an older version wrote");
                        assert!(first.is_some() || futures_poll(changing.as_mut()).is_none(), "it is still held");
                        drop(held);
                    }
                    let version = match first {
                        Some(version) => version,
                        None => changing.await,
                    };
                    assert_eq!(version, model.version);
                }
                92..=96 => {
                    advance(Duration::from_millis(u64::try_from(random.below(5_000)).unwrap())).await;
                    // The pings of the connections have to come back meanwhile.
                    for _ in 0..8 {
                        tokio::task::yield_now().await;
                    }
                }
                // Clocks: set back, set forward, and near the end of the manifests.
                97 => set_wall(START + u64::try_from(random.below(4_300)).unwrap()),
                // Addresses come and go.
                98 => {
                    let listed: Vec<usize> = (0..ADDRESSES).filter(|_| random.below(4) > 0).collect();
                    fleet.set_addresses(&listed.iter().map(|place| address(*place)).collect::<Vec<_>>());
                    for place in 0..ADDRESSES {
                        if listed.contains(&place) {
                            model.places.entry(place).or_default().is_draining = false;
                        } else if let Some(state) = model.places.get_mut(&place) {
                            state.is_draining = true;
                        }
                    }
                }
                _ => {
                    if fleet.remove_if_draining(&address(place)) && model.places.remove(&place).is_some() {
                        model.judge_conflicts(fleet.clock().now().wall.seconds());
                    }
                }
            }
        }
    }
    for (what, count) in [("written", written), ("withdrawn", withdrawn), ("admitted", admitted), ("policies", changed)]
    {
        assert!(count > steps() / 2_000, "only {count} {what}: this explores nothing");
    }
    assert!(conflicts > steps() / 2_000, "only {conflicts} times in conflict");
}

/// One look at a future.
fn futures_poll<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Option<T> {
    match future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}

/// What the writers of the second test see from inside of a write.
#[derive(Default)]
struct Watched {
    /// The version of the last policy whose change has returned.
    in_force: AtomicU64,
    /// The newest connection whose rejection has returned: it and all older ones are dead. Beginning at one, zero is none.
    dead: AtomicU64,
    /// Permits of each version that are held.
    held: Mutex<BTreeMap<u64, u64>>,
    written: AtomicU64,
    /// Something was written.
    wrote: tokio::sync::Notify,
    is_over: AtomicBool,
}

/// A permit that is counted. The count falls before the permit ends.
struct Counted<'a> {
    watched: &'a Watched,
    version: u64,
    permit: Option<Permit>,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        *self.watched.held.lock().unwrap().entry(self.version).or_default() -= 1;
        drop(self.permit.take());
    }
}

/// Takes permits and writes under each until it is withdrawn.
fn write_until_over(fleet: &Arc<Fleet>, digest: &ManifestDigest, watched: &Watched) {
    while !watched.is_over.load(Ordering::SeqCst) {
        let Admission::Release(release) = admit(fleet, digest) else {
            std::thread::yield_now();
            continue;
        };
        let version = release.permit.version;
        *watched.held.lock().unwrap().entry(version).or_default() += 1;
        let counted = Counted { watched, version, permit: Some(release.permit) };
        let permit = counted.permit.as_ref().unwrap();
        for number in 0..64 {
            let wrote = permit.exercise(|| {
                // Now and then long enough for the other side to come in between, if it can.
                if number % 16 == 0 {
                    std::thread::yield_now();
                }
                assert!(watched.in_force.load(Ordering::SeqCst) <= version, "written under an older policy");
                assert!(watched.dead.load(Ordering::SeqCst) < permit.link_id() + 1, "written to a rejected instance");
            });
            if wrote.is_err() {
                break;
            }
            watched.written.fetch_add(1, Ordering::Relaxed);
            watched.wrote.notify_one();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads_that_write_are_through_when_a_change_of_policy_or_a_rejection_returns() {
    let (fleet, manifest, watched) = (fleet_of(1), Who::new(1).manifest(0, None), Arc::new(Watched::default()));
    let writers: Vec<_> = (0..2)
        .map(|_| {
            let (fleet, watched, digest) = (Arc::clone(&fleet), Arc::clone(&watched), *manifest.digest());
            std::thread::spawn(move || write_until_over(&fleet, &digest, &watched))
        })
        .collect();
    let mut wires = Vec::new();
    for round in 0..200_u64 {
        let wire = Wire::connect().await;
        let version = fleet.appraisal().version;
        assert!(fleet.accept(&address(0), wire.trusted(&manifest, version, Duration::from_secs(300))));
        let before = watched.written.load(Ordering::Relaxed);
        while watched.written.load(Ordering::Relaxed) < before + 8 {
            assert!(writers.iter().all(|writer| !writer.is_finished()), "a writer saw what may not be");
            // A writer that fails tells nobody.
            let _waited = tokio::time::timeout(Duration::from_millis(100), watched.wrote.notified()).await;
        }
        if round % 2 == 0 {
            let version = fleet.set_policy(any_policy(), Endorsements::new()).await;
            watched.in_force.store(version, Ordering::SeqCst);
            let held = watched.held.lock().unwrap();
            let old: u64 = held.range(..version).map(|(_, count)| count).sum();
            assert_eq!(old, 0, "a permit of an older version is left");
        } else {
            let spki = manifest.manifest().tls_spki_sha256;
            let distrust = Distrust {
                checks: vec!["snp.policy.debug"],
                explanation: "debug".into(),
                failed: [].into(),
                tls_spki: spki,
            };
            fleet.reject(&address(0), &distrust, version);
            watched.dead.store(wire.link_id() + 1, Ordering::SeqCst);
        }
        wires.push(wire);
    }
    watched.is_over.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.join().unwrap();
    }
    assert!(watched.written.load(Ordering::Relaxed) > 1_000, "they wrote all the time");
}
