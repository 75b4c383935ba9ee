//! Places for connections, and who has to go when all are taken.
//!
//! A newcomer takes a free place. When there is none, the oldest silence makes room: among the sources that hold the most, so
//! that a source which opens many connections displaces its own. A connection that moves goes only where its source holds more
//! than half of all places and the newcomer's does not; one on which an instance works never goes. An eighth of the places is
//! kept from a source that holds half of the others, and as many of the connections that have had an answer of an enclave
//! before go last. The last is a help, not a guarantee: as long as nobody is admitted, everybody can get such an answer.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use crate::activity::{Activity, Patience, Usage};
use crate::caller::{Caller, Tenant};
use crate::metrics::{Listener, Metrics};
use crate::shares::Shares;
use crate::source::Source;

/// Newcomers that wait for a place at a time, over all sources, in shares.
pub(crate) const NEWCOMERS: u64 = 64;
/// And for how long.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a newcomer looks again, beside whenever a place becomes free: silence is a matter of time.
const LOOK: Duration = Duration::from_millis(100);
/// So many connections are looked at for one that has to go, in turn: no newcomer costs more, however many places there are.
const LOOKED_AT: usize = 1_024;
/// Connections that were told to go and have not gone: more of them are not told meanwhile.
pub(crate) const LEAVING: usize = 64;

/// The places of one listener.
#[derive(Debug)]
pub(crate) struct Connections {
    most: usize,
    patience: Patience,
    state: Mutex<State>,
    newcomers: Arc<Shares>,
    freed: Notify,
    metrics: Arc<Metrics>,
    listener: Listener,
}

#[derive(Debug, Default)]
struct State {
    /// By number, which is by age.
    seats: BTreeMap<u64, Seated>,
    sources: HashMap<Source, usize>,
    leaving: usize,
    next: u64,
    /// Where the last look at the seats ended.
    looked_until: u64,
}

#[derive(Debug)]
struct Seated {
    source: Source,
    activity: Arc<Activity>,
}

/// One place, given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    connections: Arc<Connections>,
    number: u64,
    activity: Arc<Activity>,
}

impl Connections {
    /// `most` places.
    pub(crate) fn new(most: usize, patience: Patience, metrics: Arc<Metrics>, listener: Listener) -> Arc<Self> {
        Arc::new(Self {
            most,
            patience,
            state: Mutex::default(),
            newcomers: Arc::new(Shares::new(NEWCOMERS)),
            freed: Notify::new(),
            metrics,
            listener,
        })
    }

    /// A place for a connection from `source`; nothing when none became free in time.
    pub(crate) async fn seat(self: &Arc<Self>, source: Source) -> Option<Seat> {
        let seat = match self.enter(source) {
            Some(seat) => Some(seat),
            None => self.wait(source).await,
        };
        if seat.is_none() {
            self.metrics.refused(self.listener);
        }
        seat
    }

    async fn wait(self: &Arc<Self>, source: Source) -> Option<Seat> {
        let _newcomer = self.newcomers.one(&Caller::new(Tenant::DEFAULT, source)).ok()?;
        let seated = async {
            loop {
                tokio::select! {
                    () = self.freed.notified() => {}
                    () = sleep(LOOK) => {}
                }
                if let Some(seat) = self.enter(source) {
                    return seat;
                }
            }
        };
        timeout(PATIENCE, seated).await.ok()
    }

    fn enter(self: &Arc<Self>, source: Source) -> Option<Seat> {
        let mut state = self.lock();
        self.make_room(&mut state, source)?;
        let (activity, number) = (Activity::new(self.patience), state.next);
        state.next = number.wrapping_add(1);
        state.insert(number, Seated { source, activity: Arc::clone(&activity) });
        self.metrics.seated(self.listener);
        Some(Seat { connections: Arc::clone(self), number, activity })
    }

    /// Sees to it that there is a place for a connection from `source`.
    fn make_room(&self, state: &mut State, source: Source) -> Option<()> {
        let own = state.held_by(source);
        let is_kept_from_it = own > self.most / 2 && state.seats.len() >= self.most - self.most / 8;
        if state.seats.len() < self.most && !is_kept_from_it {
            return Some(());
        }
        if state.leaving >= LEAVING {
            return None;
        }
        let number = state.most_dispensable(source, self.most)?;
        state.remove(number)?.activity.dismiss();
        state.leaving = state.leaving.saturating_add(1);
        self.metrics.displaced(self.listener);
        Some(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn held_by(&self, source: Source) -> usize {
        self.sources.get(&source).copied().unwrap_or(0)
    }

    fn insert(&mut self, number: u64, seated: Seated) {
        let held = self.sources.entry(seated.source).or_default();
        *held = held.saturating_add(1);
        self.seats.insert(number, seated);
    }

    fn remove(&mut self, number: u64) -> Option<Seated> {
        let seated = self.seats.remove(&number)?;
        if let Some(held) = self.sources.get_mut(&seated.source) {
            *held = held.saturating_sub(1);
            if *held == 0 {
                self.sources.remove(&seated.source);
            }
        }
        Some(seated)
    }

    /// Who goes for a newcomer from `source`, if anybody does.
    fn most_dispensable(&mut self, source: Source, most: usize) -> Option<u64> {
        let own = self.held_by(source);
        let (mut silent, mut moving) = (Vec::new(), Vec::new());
        let (from, mut until) = (self.looked_until, self.looked_until);
        for (number, seated) in self.seats.range(from..).chain(self.seats.range(..from)).take(LOOKED_AT) {
            until = number.wrapping_add(1);
            let held = self.held_by(seated.source);
            // Nobody makes room for somebody who holds more.
            if seated.source != source && held < own {
                continue;
            }
            match seated.activity.usage() {
                Usage::Silent { since, has_relayed } => {
                    silent.push(Dispensable { held, since, has_relayed, number: *number })
                }
                Usage::Moving { since } if held > most / 2 && own < most / 2 => {
                    moving.push(Dispensable { held, since, has_relayed: false, number: *number });
                }
                Usage::Moving { .. } | Usage::Working => {}
            }
        }
        self.looked_until = until;
        let kept_since = last_kept(&silent, most / 8);
        let (kept, silent): (Vec<_>, Vec<_>) =
            silent.into_iter().partition(|one| one.has_relayed && kept_since.is_some_and(|since| one.since >= since));
        [silent, moving, kept].into_iter().find_map(|candidates| {
            let first = candidates.into_iter().max_by_key(|one| (one.held, Reverse((one.since, one.number))));
            first.map(|one| one.number)
        })
    }
}

/// One that could go.
struct Dispensable {
    held: usize,
    since: Instant,
    has_relayed: bool,
    number: u64,
}

/// Since when a silent connection that has relayed must have been silent at most, to be among the `kept` latest of them.
fn last_kept(silent: &[Dispensable], kept: usize) -> Option<Instant> {
    let mut relayed: Vec<Instant> = silent.iter().filter(|one| one.has_relayed).map(|one| one.since).collect();
    let last = kept.checked_sub(1)?.min(relayed.len().checked_sub(1)?);
    let (_, since, _) = relayed.select_nth_unstable_by(last, |one, other| other.cmp(one));
    Some(*since)
}

impl Seat {
    /// What happens on the connection.
    pub(crate) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    /// Where the connection comes from, now that its proxy has said so: it keeps its place if it would get one. False when it
    /// has to go.
    #[must_use]
    pub(crate) fn comes_from(&self, source: Source) -> bool {
        let connections = &self.connections;
        let mut state = connections.lock();
        let Some(seated) = state.remove(self.number) else { return false };
        if seated.source == source || connections.make_room(&mut state, source).is_some() {
            state.insert(self.number, Seated { source, ..seated });
            return true;
        }
        state.leaving = state.leaving.saturating_add(1);
        connections.metrics.refused(connections.listener);
        false
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        {
            let mut state = self.connections.lock();
            if state.remove(self.number).is_none() {
                state.leaving = state.leaving.saturating_sub(1);
            }
        }
        self.connections.metrics.left(self.connections.listener);
        self.connections.freed.notify_one();
    }
}

#[cfg(test)]
mod tests;
