//! No ciphertext is executed twice under one key.
//!
//! A place is *reserved* before anything is opened, so that nothing opens that could not be remembered: without a place
//! the answer is `busy`, unsealed. If the
//! request does not open, the place is given back: whoever copies the outer bytes of a request and damages the rest
//! must not be able to spend its one execution; so it is if what opened runs nothing. The first request that opens and
//! will run takes the place for good, until the key is zeroised; what opens after it is a replay. Which of two copies that
//! open at once is the first is decided in one step.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use teegate_protocol::ohttp::request::ReplayKey;

/// The requests that arrived under one key.
pub struct Replay {
    capacity: usize,
    places: Mutex<HashMap<ReplayKey, Place>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// So many copies are being opened; none has.
    Reserved(u32),
    /// One copy has opened.
    Taken,
}

/// The right to open one request. Given back when dropped, unless [`Reservation::take`] made it final.
pub struct Reservation<'a> {
    replay: &'a Replay,
    key: ReplayKey,
}

/// Whether a request that opened is the first of its kind.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It may be executed.
    First,
    /// One like it opened before.
    Again,
}

impl Replay {
    /// Room for `capacity` requests.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, places: Mutex::default() }
    }

    /// Reserves a place before the request is opened; `None` when there is no room for one more.
    pub fn reserve(&self, key: ReplayKey) -> Option<Reservation<'_>> {
        let mut places = self.places();
        if places.len() >= self.capacity && !places.contains_key(&key) {
            return None;
        }
        if let Place::Reserved(copies) = places.entry(key).or_insert(Place::Reserved(0)) {
            *copies = copies.checked_add(1)?;
        }
        Some(Reservation { replay: self, key })
    }

    /// Whether three quarters are used, so that the next epoch should begin.
    pub fn is_crowded(&self) -> bool {
        self.places().len() >= self.capacity - self.capacity / 4
    }

    /// Whether there is no place left.
    pub fn is_full(&self) -> bool {
        self.places().len() >= self.capacity
    }

    fn places(&self) -> MutexGuard<'_, HashMap<ReplayKey, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reservation<'_> {
    /// The request has opened: the place is taken until the key is gone.
    pub fn take(self) -> Arrival {
        // The drop that follows finds the place taken and leaves it.
        match self.replay.places().insert(self.key, Place::Taken) {
            Some(Place::Taken) => Arrival::Again,
            Some(Place::Reserved(_)) | None => Arrival::First,
        }
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let mut places = self.replay.places();
        if let Some(Place::Reserved(copies)) = places.get_mut(&self.key) {
            *copies -= 1;
            if *copies == 0 {
                places.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ReplayKey = ReplayKey([1; 32]);
    const B: ReplayKey = ReplayKey([2; 32]);

    #[test]
    fn what_opened_stays_and_what_did_not_is_given_back() {
        let replay = Replay::new(4);
        drop(replay.reserve(A).unwrap());
        assert!(replay.places().is_empty());
        assert_eq!(replay.reserve(A).unwrap().take(), Arrival::First);
        assert_eq!(replay.reserve(A).unwrap().take(), Arrival::Again);
        drop(replay.reserve(A).unwrap());
        assert_eq!(replay.reserve(A).unwrap().take(), Arrival::Again);
        assert_eq!(replay.places().len(), 1);
    }

    #[test]
    fn a_damaged_copy_cannot_spend_the_execution_of_the_genuine_one() {
        let replay = Replay::new(4);
        let damaged = replay.reserve(A).unwrap();
        let genuine = replay.reserve(A).unwrap();
        // The damaged copy came first and fails while the genuine one is being opened.
        drop(damaged);
        assert_eq!(replay.places()[&A], Place::Reserved(1), "its place is still kept");
        assert_eq!(genuine.take(), Arrival::First);
        // And the other way round.
        let (damaged, genuine) = (replay.reserve(B).unwrap(), replay.reserve(B).unwrap());
        assert_eq!(genuine.take(), Arrival::First);
        drop(damaged);
        assert_eq!(replay.places()[&B], Place::Taken);
    }

    #[test]
    fn of_copies_that_open_at_once_one_is_the_first() {
        let replay = Replay::new(4);
        let firsts = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| replay.reserve(A).unwrap().take())).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .filter(|arrival| *arrival == Arrival::First)
                .count()
        });
        assert_eq!(firsts, 1);
    }

    #[test]
    fn full_means_full_and_crowded_comes_before() {
        let replay = Replay::new(4);
        let mut held = Vec::new();
        for n in 0..4 {
            assert_eq!(replay.is_crowded(), n >= 3);
            held.push(replay.reserve(ReplayKey([n; 32])).unwrap());
        }
        assert!(replay.is_full());
        assert!(replay.reserve(ReplayKey([9; 32])).is_none());
        // A copy of one that is there needs no room.
        assert!(replay.reserve(ReplayKey([0; 32])).is_some());
        held.pop();
        assert!(!replay.is_full());
        assert!(replay.reserve(ReplayKey([9; 32])).is_some());
    }
}
