//! The circuit breaker of one instance: after several failures in a row it is left alone for a while, then tried with one
//! request. It guards availability only; whether a request *may* be sent is the release predicate's question.

use std::sync::{Arc, Mutex, PoisonError};
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

    /// How it stands at `now`, in a word: `closed`, `open`, or `half-open` when one request may try.
    pub fn word(&self, now: Instant) -> &'static str {
        match self.state.lock().unwrap_or_else(PoisonError::into_inner).open_until {
            None => "closed",
            Some(until) if now < until => "open",
            Some(_) => "half-open",
        }
    }

    /// Whether nobody may try now.
    pub fn is_open(&self, now: Instant) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.open_until.is_some_and(|until| now < until)
    }

    /// Whether a request may try now; while the breaker is open, how long it will stay so. The one request that tries
    /// after that time holds off the others for another turn, or until it gives its trial back.
    pub fn admit(self: &Arc<Self>, now: Instant) -> Result<Trial, Duration> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let half_open = match state.open_until {
            Some(until) if now < until => return Err(until.duration_since(now)),
            Some(until) => {
                let held_off = now + self.limits.open;
                state.open_until = Some(held_off);
                Some(Turn { before: until, held_off })
            }
            None => None,
        };
        Ok(Trial { breaker: Arc::clone(self), half_open })
    }
}

/// One request that tries. Dropped without an outcome it was a client's doing, or nobody's: as if it had not tried.
#[derive(Debug)]
pub struct Trial {
    breaker: Arc<Breaker>,
    half_open: Option<Turn>,
}

#[derive(Clone, Copy, Debug)]
struct Turn {
    before: Instant,
    held_off: Instant,
}

impl Trial {
    /// The instance answered.
    pub fn answered(mut self) {
        self.half_open = None;
        *self.breaker.state.lock().unwrap_or_else(PoisonError::into_inner) = State::default();
    }

    /// The instance was lost, or did not answer in time, or broke off its answer.
    pub fn failed(mut self, now: Instant) {
        self.half_open = None;
        let limits = self.breaker.limits;
        let mut state = self.breaker.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failures = state.failures.saturating_add(1);
        if state.failures >= limits.failures {
            state.open_until = Some(now + limits.open);
        }
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        let Some(Turn { before, held_off }) = self.half_open else { return };
        let mut state = self.breaker.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Unless somebody else has had his turn meanwhile.
        if state.open_until == Some(held_off) {
            state.open_until = Some(before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn opens_after_failures_in_a_row_and_lets_one_try() {
        let open = Duration::from_secs(10);
        let breaker = Arc::new(Breaker::new(BreakerLimits { failures: 2, open }));
        let start = Instant::now();
        let admit = |now| breaker.admit(now);
        admit(start).unwrap().failed(start);
        admit(start).unwrap().answered();
        admit(start).unwrap().failed(start);
        admit(start).expect("an answer in between starts the count again").failed(start);
        assert_eq!(admit(start).unwrap_err(), open);
        assert!(breaker.is_open(start));
        let later = start + open;
        assert!(!breaker.is_open(later));
        let trial = admit(later).expect("one may try");
        assert_eq!(admit(later).unwrap_err(), open, "the next waits for the first");
        trial.answered();
        assert!(admit(later).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_trial_that_never_reached_the_instance_is_given_back() {
        let open = Duration::from_secs(10);
        let breaker = Arc::new(Breaker::new(BreakerLimits { failures: 1, open }));
        let start = Instant::now();
        breaker.admit(start).unwrap().failed(start);
        let later = start + open;
        drop(breaker.admit(later).unwrap());
        let next = breaker.admit(later).expect("the client that went away has not used up the turn");
        next.failed(later);
        assert_eq!(breaker.admit(later).unwrap_err(), open, "a failure has");
    }
}
