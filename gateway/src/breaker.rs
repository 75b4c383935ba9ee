//! The circuit breaker of one instance: after several failures in a row it is left alone for a while, then tried with one
//! request. It guards availability only; whether a request *may* be sent is the release predicate's question.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct BreakerLimits {
    /// Failures in a row that open it.
    pub failures: u64,
    /// How long it stays open before one request may try.
    pub open: Duration,
}

/// Counts failures in a row.
#[derive(Debug)]
pub struct Breaker {
    limits: BreakerLimits,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    failures: u64,
    open_until: Option<Instant>,
}

impl Breaker {
    /// A closed breaker.
    pub fn new(limits: BreakerLimits) -> Self {
        Self { limits, state: Mutex::default() }
    }

    /// Whether a request may try now; while the breaker is open, how long it will stay so. The one request that tries
    /// after that time holds off the others for another turn.
    pub fn admit(&self, now: Instant) -> Result<(), Duration> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.open_until {
            Some(until) if now < until => Err(until.duration_since(now)),
            Some(_) => {
                state.open_until = Some(now + self.limits.open);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The instance answered.
    pub fn answered(&self) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State::default();
    }

    /// The instance was lost or did not answer in time.
    pub fn failed(&self, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failures = state.failures.saturating_add(1);
        if state.failures >= self.limits.failures {
            state.open_until = Some(now + self.limits.open);
        }
    }

    /// Whether requests are being refused at `now`.
    pub fn is_open(&self, now: Instant) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.open_until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn opens_after_failures_in_a_row_and_lets_one_try() {
        let open = Duration::from_secs(10);
        let breaker = Breaker::new(BreakerLimits { failures: 2, open });
        let start = Instant::now();
        breaker.failed(start);
        breaker.answered();
        breaker.failed(start);
        assert_eq!(breaker.admit(start), Ok(()), "an answer in between starts the count again");
        breaker.failed(start);
        assert_eq!(breaker.admit(start), Err(open));
        let later = start + open;
        assert_eq!(breaker.admit(later), Ok(()), "one may try");
        assert_eq!(breaker.admit(later), Err(open), "the next waits for the first");
        breaker.answered();
        assert_eq!(breaker.admit(later), Ok(()));
    }
}
