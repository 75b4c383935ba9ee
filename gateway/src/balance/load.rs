//! What is measured of one place that requests go to: an address, or an instance by all of its addresses.
//!
//! Requests are counted from their admission to the end of their answer. The time of an answer runs from the last byte of the request to
//! the head of the answer, so that a client that sends slowly makes no instance look slow.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A new time counts so much: one in eight.
const SHARE: u64 = 8;

/// What is measured of one place.
#[derive(Debug, Default)]
pub struct Load {
    in_flight: AtomicU64,
    measured: Mutex<Measured>,
}

/// Beside the count.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Measured {
    /// The moving average of answers' times.
    pub(super) micros: Option<u64>,
    /// Of so many answers.
    pub(super) answers: u64,
    /// In a row.
    pub(super) failures: u64,
    /// The last of these.
    pub(super) failed_at: Option<Instant>,
    /// Left out until then.
    pub(super) out_until: Option<Instant>,
    /// So many times in a row.
    pub(super) times_out: u32,
}

/// How it looks at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reading {
    /// Requests between admission and the end of their answer.
    pub in_flight: u64,
    /// The average time of an answer in microseconds, once there was one.
    pub micros: Option<u64>,
    /// When it failed last, if it has not answered since.
    pub failed_at: Option<Instant>,
}

impl Load {
    /// How it looks now.
    pub fn reading(&self) -> Reading {
        let Measured { micros, failed_at, .. } = *self.measured();
        Reading { in_flight: self.in_flight.load(Ordering::Relaxed), micros, failed_at }
    }

    fn answered(&self, took: Option<Duration>) {
        let mut measured = self.measured();
        (measured.failures, measured.failed_at) = (0, None);
        let Some(took) = took else { return };
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        measured.answers = measured.answers.saturating_add(1);
        measured.micros = Some(match measured.micros {
            None => took,
            Some(before) => (before / SHARE).saturating_mul(SHARE - 1).saturating_add(took / SHARE),
        });
    }

    fn failed(&self, now: Instant) {
        let mut measured = self.measured();
        measured.failures = measured.failures.saturating_add(1);
        measured.failed_at = Some(now);
    }

    pub(super) fn measured(&self) -> MutexGuard<'_, Measured> {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request on its way: it counts at the instance, and at the address by which it goes there. Dropped, it is over.
#[derive(Debug)]
pub struct Trip {
    places: [Arc<Load>; 2],
}

impl Trip {
    /// Begins now.
    pub fn new(instance: &Arc<Load>, route: &Arc<Load>) -> Self {
        let places = [Arc::clone(instance), Arc::clone(route)];
        for place in &places {
            place.in_flight.fetch_add(1, Ordering::Relaxed);
        }
        Self { places }
    }

    /// The head of an answer came, so long after the whole request was sent; not known for one that was not sent whole.
    pub fn answered(&self, took: Option<Duration>) {
        for place in &self.places {
            place.answered(took);
        }
    }

    /// The instance was lost, or did not answer, or could not do it.
    pub fn failed(&self, now: Instant) {
        for place in &self.places {
            place.failed(now);
        }
    }
}

impl Drop for Trip {
    fn drop(&mut self) {
        for place in &self.places {
            place.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_count_while_they_are_on_their_way_and_times_move_the_average() {
        let (instance, route, other) = (Arc::default(), Arc::default(), Arc::default());
        let trips = [Trip::new(&instance, &route), Trip::new(&instance, &other)];
        let in_flight = |load: &Arc<Load>| load.reading().in_flight;
        assert_eq!((in_flight(&instance), in_flight(&route), in_flight(&other)), (2, 1, 1));
        trips[0].answered(Some(Duration::from_micros(8_000)));
        trips[0].answered(Some(Duration::from_micros(16_000)));
        assert_eq!(route.reading().micros, Some(9_000));
        assert_eq!(other.reading().micros, None);
        let now = Instant::now();
        trips[1].failed(now);
        assert_eq!((instance.reading().failed_at, route.reading().failed_at), (Some(now), None));
        trips[1].answered(None);
        assert_eq!((instance.reading().failed_at, other.reading().micros), (None, None));
        drop(trips);
        assert_eq!((in_flight(&instance), in_flight(&route), in_flight(&other)), (0, 0, 0));
    }
}
