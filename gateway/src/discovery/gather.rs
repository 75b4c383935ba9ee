//! Out of what the sources know, one set of addresses for the fleet.
//!
//! Whoever stays keeps his place and notices nothing, however much comes and goes beside him. The number of addresses is
//! bounded, those that drain included: what does not fit waits, and is said.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::board::{Board, Certainty, Post, Sighting};
use super::config::Settings;
use super::kubernetes::NoCluster;
use super::sources::{Prepared, Sources};
use crate::config::Address;
use crate::fleet::Fleet;
use crate::metrics::Metrics;
use crate::trust::LinkSettings;
use crate::watch::{WatchSettings, watch};

/// All sources of addresses, and the task that follows them.
#[derive(Debug)]
pub struct Discovery {
    list: Post,
    board: Arc<Board>,
    sources: Mutex<Sources>,
    most: Arc<AtomicUsize>,
    link: LinkSettings,
}

impl Discovery {
    /// Watches the addresses of `list`, and from now on those of every source of `settings`, too. The fleet has none yet. A Service
    /// of Kubernetes can be followed only from within a cluster.
    pub fn start(
        list: &[Address],
        settings: &Settings,
        fleet: &Arc<Fleet>,
        watching: &WatchSettings,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, NoCluster> {
        let board = Board::new(Arc::clone(metrics));
        let prepared = Prepared::of(settings)?;
        let discovery = Self {
            list: board.post("list"),
            sources: Mutex::new(Sources::new(Arc::clone(&board))),
            board: Arc::clone(&board),
            most: Arc::default(),
            link: watching.link.clone(),
        };
        discovery.take(list, &prepared);
        let most = Arc::clone(&discovery.most);
        let gathering = Gathering { board, fleet: Arc::clone(fleet), most, was_left_out: 0 };
        let (fleet, watching, metrics) = (Arc::clone(fleet), watching.clone(), Arc::clone(metrics));
        tokio::spawn(gathering.run(move |address| {
            tokio::spawn(watch(address, Arc::clone(&fleet), watching.clone(), Arc::clone(&metrics)));
        }));
        Ok(discovery)
    }

    /// Takes a new list: what is new is watched, what is missing drains unless another source knows it.
    pub fn set_list(&self, list: &[Address]) {
        let addresses = list.iter().cloned().collect();
        self.list.put_up(Sighting { addresses, certainty: Certainty::Current });
    }

    /// Takes a new list, and follows these sources from now on, by these settings. A source that stays notices nothing, unless it is to be
    /// asked in another way; who goes over from a source to the list stays where he is.
    pub fn take(&self, list: &[Address], prepared: &Prepared) {
        self.link.admit(prepared.settings.admit.clone());
        self.most.store(prepared.settings.most_watched(MAX_LISTED), Ordering::Relaxed);
        self.set_list(list);
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).follow(prepared);
        // There may be room for more, or for fewer.
        self.board.touch();
    }
}

/// The configuration bounds the list by itself.
const MAX_LISTED: usize = usize::MAX;

/// Follows the board.
struct Gathering {
    board: Arc<Board>,
    fleet: Arc<Fleet>,
    /// At most so many addresses are in use, and as many may drain beside them.
    most: Arc<AtomicUsize>,
    was_left_out: usize,
}

impl Gathering {
    async fn run(mut self, watch: impl Fn(Address)) {
        let (mut sightings, mut places) = (self.board.changes(), self.fleet.changes());
        loop {
            sightings.borrow_and_update();
            places.borrow_and_update();
            let left_out = self.apply(&watch);
            let ended = tokio::select! {
                changed = sightings.changed() => changed,
                // Where one has drained there is room for another.
                changed = places.changed(), if left_out > 0 => changed,
            };
            if ended.is_err() {
                return;
            }
        }
    }

    /// Brings the fleet to what the board says now; how many addresses had no room.
    fn apply(&mut self, watch: &impl Fn(Address)) -> usize {
        let (present, most) = (self.fleet.addresses(), self.most.load(Ordering::Relaxed));
        let Chosen { addresses, left_out } = choose(&self.board.sightings(), &present, most);
        for address in self.fleet.set_addresses(&addresses) {
            tracing::info!(target: "audit", %address, "discovered");
            watch(address);
        }
        if left_out > self.was_left_out {
            tracing::warn!(
                target: "audit", left_out, most,
                "discovery: more addresses than may be watched: some are left out (`discovery.max_instances`)"
            );
        }
        self.was_left_out = left_out;
        left_out
    }
}

/// What is to be watched.
#[derive(PartialEq, Eq, Debug)]
struct Chosen {
    addresses: Vec<Address>,
    left_out: usize,
}

/// Of all that the sources know: the list, which stands first, then who is there already, then who is new; `present` says of each
/// address of the fleet whether it drains.
fn choose(sightings: &[Sighting], present: &BTreeMap<Address, bool>, most: usize) -> Chosen {
    let mut seen = BTreeSet::new();
    let mut known: Vec<(u8, &Address)> = Vec::new();
    for (source, sighting) in sightings.iter().enumerate() {
        for address in &sighting.addresses {
            if seen.insert(address) {
                let rank = match (source, present.get(address)) {
                    (0, _) => 0,
                    (_, Some(false)) => 1,
                    (_, Some(true)) => 2,
                    (_, None) => 3,
                };
                known.push((rank, address));
            }
        }
    }
    known.sort();
    let all = known.len();
    known.truncate(most);
    // Who is there needs no new place, and those who drain keep theirs until they are gone.
    let mut room = most.saturating_mul(2).saturating_sub(present.len());
    let mut addresses = Vec::with_capacity(known.len());
    for (_, address) in known {
        if present.contains_key(address) {
            addresses.push(address.clone());
        } else if let Some(left) = room.checked_sub(1) {
            room = left;
            addresses.push(address.clone());
        }
    }
    Chosen { left_out: all.saturating_sub(addresses.len()), addresses }
}

#[cfg(test)]
mod tests;
