//! How many requests a second: the generic cell rate algorithm of `governor`, by the clock of the runtime.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, Reference as _};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

/// So many requests a second, and so many at once after a pause.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// In the long run.
    pub per_second: NonZeroU32,
    /// At once.
    pub burst: NonZeroU32,
}

/// Time since the limiter was made.
#[derive(Clone, Debug)]
struct Since(Instant);

impl Clock for Since {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Counts what was asked.
#[derive(Debug)]
pub(crate) struct Limiter {
    rate: Rate,
    clock: Since,
    cells: RateLimiter<NotKeyed, InMemoryState, Since, NoOpMiddleware<Duration>>,
}

impl Limiter {
    pub(crate) fn new(rate: Rate) -> Self {
        let clock = Since(Instant::now());
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        Self { rate, cells: RateLimiter::direct_with_clock(quota, clock.clone()), clock }
    }

    pub(crate) fn rate(&self) -> Rate {
        self.rate
    }

    /// Counts one more, or says how long it has to wait.
    pub(crate) fn take(&self) -> Result<(), Duration> {
        self.cells.check().map_err(|refused| {
            let wait = refused.earliest_possible().duration_since(self.clock.now());
            Duration::from_nanos(wait.as_u64())
        })
    }
}
