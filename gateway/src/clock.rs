//! The two clocks of the gateway: the monotonic one tells ages, the wall clock tells validity.
//!
//! Certificates, manifests and collateral are dated by the wall clock. Someone who sets it back makes expired statements
//! valid again, so a backward step of more than [`TOLERATED_STEP_SECONDS`] against the monotonic clock takes the gateway
//! out of service until the wall clock has caught up.
//!
//! The monotonic clock stands still while the machine is suspended. Proofs do not: where the wall clock has come further than
//! the monotonic one, ages count the difference. An operator who sets the clock forward makes proofs older, which costs a check.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use teegate_verifier::UnixTime;
use tokio::time::Instant;

/// How far the wall clock may fall behind the monotonic clock, in all, before the gateway is not ready.
pub const TOLERATED_STEP_SECONDS: u64 = 60;

/// Two readings in whole seconds may differ by so much without meaning anything.
const ROUNDING_SECONDS: u64 = 1;

/// More than any proof may live.
const LONGEST_MISSED: Duration = Duration::from_secs(10 * 365 * 86_400);

/// One instant, read on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For deadlines of what this process does.
    pub mono: Instant,
    /// For ages of proofs: `mono`, and the time that it has missed.
    pub aged: Instant,
    /// For validity.
    pub wall: UnixTime,
    /// The wall clock was set back further than is tolerated: `wall` must not be believed.
    pub is_set_back: bool,
}

/// Reads both clocks and remembers how far the wall clock has come.
#[derive(Debug)]
pub struct Clock {
    wall: fn() -> UnixTime,
    furthest: Mutex<Reading>,
    /// What the monotonic clock has missed so far, in seconds.
    missed: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    mono: Instant,
    wall: UnixTime,
}

impl Clock {
    /// The clocks of this machine.
    pub fn system() -> Self {
        Self::reading_wall_from(|| {
            let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            UnixTime::from_seconds(since_epoch.as_secs())
        })
    }

    /// A clock whose wall time comes from `wall`; the monotonic time is tokio's, which a test can pause.
    pub fn reading_wall_from(wall: fn() -> UnixTime) -> Self {
        Self { wall, furthest: Mutex::new(Reading { mono: Instant::now(), wall: wall() }), missed: AtomicU64::new(0) }
    }

    /// Reads both clocks.
    pub fn now(&self) -> Now {
        let reading = Reading { mono: Instant::now(), wall: (self.wall)() };
        let mut furthest = self.furthest.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = reading.mono.saturating_duration_since(furthest.mono).as_secs();
        let expected = furthest.wall.seconds().saturating_add(elapsed);
        let behind = expected.saturating_sub(reading.wall.seconds());
        let ahead = reading.wall.seconds().saturating_sub(expected);
        if ahead > ROUNDING_SECONDS {
            self.missed.fetch_add(ahead, Ordering::Relaxed);
        }
        if behind == 0 {
            *furthest = reading;
        }
        // A step that no instant can hold makes everything as old as can be.
        let missed = Duration::from_secs(self.missed.load(Ordering::Relaxed)).min(LONGEST_MISSED);
        let aged = reading.mono + missed;
        Now { mono: reading.mono, aged, wall: reading.wall, is_set_back: behind > TOLERATED_STEP_SECONDS }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! { static WALL: Cell<u64> = const { Cell::new(0) }; }

    fn wall() -> UnixTime {
        UnixTime::from_seconds(WALL.get())
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_back_is_noticed_and_ends_when_the_wall_clock_has_caught_up() {
        WALL.set(1_000_000);
        let clock = Clock::reading_wall_from(wall);
        WALL.set(1_000_000 - TOLERATED_STEP_SECONDS);
        assert!(!clock.now().is_set_back, "a step of exactly the tolerance");
        WALL.set(1_000_000 - TOLERATED_STEP_SECONDS - 1);
        assert!(clock.now().is_set_back, "one second more");
        WALL.set(1_000_001);
        assert!(!clock.now().is_set_back, "caught up");
    }

    #[tokio::test(start_paused = true)]
    async fn small_steps_add_up() {
        WALL.set(1_000_000);
        let clock = Clock::reading_wall_from(wall);
        for is_set_back in [false, true] {
            // The monotonic clock goes on, the wall clock does not.
            tokio::time::advance(Duration::from_secs(40)).await;
            assert_eq!(clock.now().is_set_back, is_set_back);
        }
        // A step forward is the operator's business: it is believed, and measured from.
        WALL.set(2_000_000);
        assert!(!clock.now().is_set_back);
        WALL.set(1_999_000);
        assert!(clock.now().is_set_back);
    }

    #[tokio::test(start_paused = true)]
    async fn time_that_the_monotonic_clock_has_missed_makes_proofs_older() {
        WALL.set(1_000_000);
        let clock = Clock::reading_wall_from(wall);
        let start = clock.now().aged;
        let age = |clock: &Clock| clock.now().aged.duration_since(start).as_secs();
        WALL.set(1_000_001);
        assert_eq!(age(&clock), 0, "rounding");
        // Suspended for 400 s.
        WALL.set(1_000_401);
        assert_eq!(age(&clock), 400);
        tokio::time::advance(Duration::from_secs(5)).await;
        WALL.set(1_000_406);
        assert_eq!(age(&clock), 405, "from there both go on");
    }
}
