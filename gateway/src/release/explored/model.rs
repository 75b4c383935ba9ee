//! The sentence at the top of `release.rs`, written down a second time and without any of its code: what a permit may do, kept by
//! following the events one by one. Times are whole seconds, so that both sides round alike.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use teegate_protocol::manifest::{InstanceId, ManifestBytes, ManifestDigest, SpkiDigest};
use tokio::time::Instant;

use crate::trust::testing::START;

/// A wall clock that is further behind than this is not believed.
const TOLERATED: i64 = 60;
/// How long a proof lasts that does not last long.
pub(super) const BRIEFLY: Duration = Duration::from_secs(20);
/// Proofs that took longer to come do not count.
const OLDEST_QUESTION: Duration = Duration::from_secs(300);

/// What was proven about an address.
#[derive(Clone)]
pub(super) struct Proof {
    pub(super) link: u64,
    version: u64,
    fresh_until: Instant,
}

/// An address. A claim outlives the proof, and is what conflicts are about.
#[derive(Default)]
pub(super) struct Place {
    pub(super) proof: Option<Proof>,
    claimed: Vec<Arc<ManifestBytes>>,
    is_conflicted: bool,
    pub(super) is_draining: bool,
}

/// What a permit is for.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    pub(super) place: usize,
    pub(super) digest: ManifestDigest,
    pub(super) link: u64,
    pub(super) version: u64,
}

/// What there was to be said of a state before and after it: states of which everything here is equal go on alike.
pub(super) type Likeness = Vec<u64>;

/// The fleet, as the model keeps it.
pub(super) struct Model {
    pub(super) version: u64,
    pub(super) places: BTreeMap<usize, Place>,
    pub(super) is_permitted: bool,
    /// Connections that are there.
    pub(super) open: BTreeSet<u64>,
    /// Connections to which nothing may be written any more.
    pub(super) shut: BTreeSet<u64>,
    rejected: BTreeSet<SpkiDigest>,
    began: Instant,
    /// How far the wall clock is ahead of `START` and the monotonic clock; the furthest that it was; what ages count on top.
    ahead: i64,
    furthest: i64,
    missed: u64,
}

impl Model {
    pub(super) fn new(places: usize) -> Self {
        Self {
            version: 1,
            places: (0..places).map(|place| (place, Place::default())).collect(),
            is_permitted: true,
            open: BTreeSet::new(),
            shut: BTreeSet::new(),
            rejected: BTreeSet::new(),
            began: Instant::now(),
            ahead: 0,
            furthest: 0,
            missed: 0,
        }
    }

    fn elapsed(&self) -> u64 {
        self.began.elapsed().as_secs()
    }

    pub(super) fn wall(&self) -> u64 {
        (START + self.elapsed()).checked_add_signed(self.ahead).unwrap()
    }

    /// The monotonic clock, and what it has missed.
    pub(super) fn aged(&self) -> Instant {
        Instant::now() + Duration::from_secs(self.missed)
    }

    pub(super) fn is_set_back(&self) -> bool {
        self.furthest - self.ahead > TOLERATED
    }

    /// The wall clock is set to this, and read. What was set forward is believed.
    pub(super) fn sets_wall(&mut self, wall: u64) {
        self.ahead = i64::try_from(wall).unwrap() - i64::try_from(START + self.elapsed()).unwrap();
        if self.ahead > self.furthest {
            self.missed += u64::try_from(self.ahead - self.furthest).unwrap();
            self.furthest = self.ahead;
        }
    }

    /// What the wall clock would say if nobody had set it back.
    pub(super) fn furthest_wall(&self) -> u64 {
        (START + self.elapsed()).checked_add_signed(self.furthest).unwrap()
    }

    /// > An instance with that manifest digest is attested under the current policy version, its channel check and manifest are within
    /// > their time, no identity conflict, and the tenant may use every model of that manifest.
    pub(super) fn holds(&self, terms: &Terms) -> bool {
        terms.version == self.version
            && self.is_attested(terms.place, &terms.digest).is_some_and(|link| link == terms.link)
    }

    /// The connection over which an address is proven to be the instance with this manifest, now and for this tenant.
    pub(super) fn is_attested(&self, place: usize, digest: &ManifestDigest) -> Option<u64> {
        let place = self.places.get(&place)?;
        let proof = place.proof.as_ref()?;
        let manifest = place.claimed.iter().find(|manifest| manifest.digest() == digest)?.manifest();
        let is_in_time = self.aged() < proof.fresh_until && self.wall() < manifest.not_after && !self.is_set_back();
        let is_connected = self.open.contains(&proof.link) && !self.shut.contains(&proof.link);
        let is_so = proof.version == self.version && is_in_time && !place.is_conflicted && is_connected;
        (is_so && self.is_permitted).then_some(proof.link)
    }

    /// Whoever shows one instance id under two TLS keys.
    fn judge_conflicts(&mut self) {
        let wall = self.wall();
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

    pub(super) fn is_in_conflict(&self) -> bool {
        self.places.values().any(|place| place.is_conflicted)
    }

    /// A channel check passed that was asked for at `asked`. Whether it counts.
    pub(super) fn accepts(
        &mut self,
        place: usize,
        manifest: &Arc<ManifestBytes>,
        link: u64,
        asked: Instant,
        fresh: Duration,
    ) -> bool {
        let is_late = self.aged().duration_since(asked) >= OLDEST_QUESTION
            || asked == self.began && self.rejected.contains(&manifest.manifest().tls_spki_sha256);
        let version = self.version;
        let Some(state) = self.places.get_mut(&place).filter(|_| !is_late) else { return false };
        let newest = state.claimed.first().cloned();
        state.claimed = match newest {
            // Seen already, or the next epoch of the same: the one before it may still be sealed to.
            Some(newest) if newest.digest() == manifest.digest() => std::mem::take(&mut state.claimed),
            Some(newest) if manifest.manifest().prev == Some(*newest.digest()) => vec![Arc::clone(manifest), newest],
            _ => vec![Arc::clone(manifest)],
        };
        state.proof = Some(Proof { link, version, fresh_until: asked + fresh });
        self.judge_conflicts();
        true
    }

    /// The routes to a peer fall with it, and so does the address where it was refused.
    pub(super) fn rejects(&mut self, place: usize, spki: SpkiDigest) {
        self.rejected.insert(spki);
        for (number, state) in &mut self.places {
            let is_peer = state.claimed.first().is_some_and(|manifest| manifest.manifest().tls_spki_sha256 == spki);
            if *number == place || is_peer {
                self.shut.extend(state.proof.take().map(|proof| proof.link));
            }
        }
    }

    pub(super) fn changes_policy(&mut self) {
        self.version += 1;
        self.places.values_mut().for_each(|place| place.proof = None);
    }

    /// An address that drains is gone.
    pub(super) fn forgets(&mut self, place: usize) {
        if self.places.get(&place).is_some_and(|place| place.is_draining) {
            self.places.remove(&place);
            self.judge_conflicts();
        }
    }

    /// Everything that decides how this state and these permits go on, in numbers that do not grow with what was before.
    pub(super) fn likeness(&self, held: &[Terms], manifests: &[Arc<ManifestBytes>]) -> Likeness {
        let number = |digest: &ManifestDigest| {
            let at = manifests.iter().position(|manifest| manifest.digest() == digest);
            u64::try_from(at.unwrap()).unwrap()
        };
        let first_end = manifests.first().map(|manifest| manifest.manifest().not_after).unwrap();
        let mut links: Vec<u64> = Vec::new();
        // Connections by the order in which they occur.
        let mut link_number = |link: u64| {
            let known = links.iter().position(|known| *known == link).unwrap_or_else(|| {
                links.push(link);
                links.len() - 1
            });
            let is_open = self.open.contains(&link) && !self.shut.contains(&link);
            u64::try_from(known).unwrap() * 2 + u64::from(is_open)
        };
        let is_long_ago = self.aged().duration_since(self.began) >= OLDEST_QUESTION;
        let clocks = [self.furthest_wall() >= first_end, self.is_set_back(), is_long_ago, self.is_permitted];
        let mut all: Likeness = clocks.map(u64::from).to_vec();
        all.push(u64::try_from(self.rejected.len()).unwrap());
        all.extend(self.rejected.iter().map(|spki| u64::from(spki.as_bytes()[0])));
        for (number_of_place, place) in &self.places {
            all.extend([
                u64::MAX,
                u64::try_from(*number_of_place).unwrap(),
                u64::from(place.is_conflicted),
                u64::from(place.is_draining),
            ]);
            all.extend(place.claimed.iter().map(|manifest| number(manifest.digest())));
            if let Some(proof) = &place.proof {
                // Nothing, a short time, a long one: what passes takes the short ones, and nothing the long ones.
                let left = proof.fresh_until.saturating_duration_since(self.aged());
                let left = u64::from(!left.is_zero()) + u64::from(left > BRIEFLY);
                all.extend([u64::MAX - 1, link_number(proof.link), left, self.version - proof.version]);
            }
        }
        for terms in held {
            let place = u64::try_from(terms.place).unwrap();
            let age = (self.version - terms.version).min(2);
            all.extend([u64::MAX - 2, place, number(&terms.digest), link_number(terms.link), age]);
        }
        all
    }
}
