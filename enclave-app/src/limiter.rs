//! A bucket of tokens: `BURST` at once, then one each second.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Fresh evidence that may be asked for at once.
const BURST: u32 = 4;

/// Time after which one more may be asked for.
const INTERVAL: Duration = Duration::from_secs(1);

/// Limits how often fresh evidence is taken: the platform serialises it, and an epoch's must not wait behind
/// strangers'.
pub struct Limiter {
    /// The instant at which the bucket will be full again.
    full_at: Mutex<Instant>,
}

impl Limiter {
    /// A full bucket.
    pub fn new(now: Instant) -> Self {
        Self { full_at: Mutex::new(now) }
    }

    /// Takes a token, or says after how many seconds there will be one.
    ///
    /// # Errors
    /// The seconds to wait, at least 1.
    pub fn take(&self, now: Instant) -> Result<(), u32> {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let next = (*full_at).max(now) + INTERVAL;
        let excess = next.saturating_duration_since(now).saturating_sub(INTERVAL * BURST);
        if excess.is_zero() {
            *full_at = next;
            return Ok(());
        }
        Err(u32::try_from(excess.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_at_once_then_one_a_second() {
        let start = Instant::now();
        let limiter = Limiter::new(start);
        for _ in 0..4 {
            assert_eq!(limiter.take(start), Ok(()));
        }
        assert_eq!(limiter.take(start), Err(1));
        assert_eq!(limiter.take(start + Duration::from_millis(999)), Err(1));
        assert_eq!(limiter.take(start + Duration::from_secs(1)), Ok(()));
        assert_eq!(limiter.take(start + Duration::from_secs(1)), Err(1));
        for _ in 0..4 {
            assert_eq!(limiter.take(start + Duration::from_secs(60)), Ok(()));
        }
        assert_eq!(limiter.take(start + Duration::from_secs(60)), Err(1));
    }
}
