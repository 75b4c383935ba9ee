//! The pace that a client has to keep, with what it sends and with what it takes.
//!
//! Only the time counts in which the gateway waits for the client: one that is held up by an instance is not slow. In each window
//! of such time so many bytes must move, or the end must come; and all of it has its own limit.

use std::time::Duration;

use tokio::time::{Instant, timeout};

/// How fast.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// In this time...
    pub window: Duration,
    /// ...so many bytes, or the end...
    pub window_bytes: u64,
    /// ...and all of it in this.
    pub whole: Duration,
}

/// So many bytes in every window: enclave-app asks for the same of the gateway. In the default window of 15 s that is 4 KiB/s,
/// slower than any network that carries a tensor.
pub const WINDOW_BYTES: u64 = 64 << 10;

/// The client did not keep it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooSlow;

/// One body, and how long it has been waited for.
#[derive(Debug)]
pub(crate) struct Meter {
    pace: Pace,
    in_window: u64,
    waited: Duration,
    waited_in_all: Duration,
}

impl Meter {
    pub(crate) fn new(pace: Pace) -> Self {
        Self { pace, in_window: 0, waited: Duration::ZERO, waited_in_all: Duration::ZERO }
    }

    /// Waits for what the client does next. The time counts even if nobody waits to the end of it.
    pub(crate) async fn wait<T>(&mut self, step: impl Future<Output = T>) -> Result<T, TooSlow> {
        let left = self.pace.window.saturating_sub(self.waited);
        let left = left.min(self.pace.whole.saturating_sub(self.waited_in_all));
        let counts = Counts { since: Instant::now(), meter: self };
        let came = timeout(left, step).await;
        drop(counts);
        came.map_err(|_| TooSlow)
    }

    /// So many bytes moved.
    pub(crate) fn moved(&mut self, bytes: u64) {
        self.in_window = self.in_window.saturating_add(bytes);
        if self.in_window >= self.pace.window_bytes {
            (self.in_window, self.waited) = (0, Duration::ZERO);
        }
    }
}

/// A wait that is being counted.
struct Counts<'a> {
    since: Instant,
    meter: &'a mut Meter,
}

impl Drop for Counts<'_> {
    fn drop(&mut self) {
        let time = self.since.elapsed();
        self.meter.waited = self.meter.waited.saturating_add(time);
        self.meter.waited_in_all = self.meter.waited_in_all.saturating_add(time);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    const PACE: Pace = Pace { window: Duration::from_secs(15), window_bytes: 100, whole: Duration::from_secs(60) };

    /// `bytes` every `seconds`: after how long it is too slow.
    async fn lasts(bytes: u64, seconds: u64) -> u64 {
        let (mut meter, start) = (Meter::new(PACE), Instant::now());
        while start.elapsed().as_secs() < 1_000 && meter.wait(sleep(Duration::from_secs(seconds))).await.is_ok() {
            meter.moved(bytes);
        }
        start.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_drip_is_given_up_after_its_window_and_a_steady_body_at_its_end() {
        assert_eq!(lasts(1, 1).await, 15);
        assert_eq!(lasts(50, 10).await, 15, "half of it in the window");
        assert_eq!(lasts(100, 10).await, 60, "at pace, to the limit of the whole");
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_time_that_the_client_takes_counts() {
        let mut meter = Meter::new(PACE);
        for _ in 0..10 {
            sleep(Duration::from_secs(100)).await;
            assert_eq!(meter.wait(sleep(Duration::from_secs(1))).await, Ok(()));
        }
        // A wait that was broken off counts as well, or asking often would stop the clock.
        let broken_off = timeout(Duration::from_secs(3), meter.wait(std::future::pending::<()>())).await;
        assert!(matches!(broken_off, Err(tokio::time::error::Elapsed { .. })), "{broken_off:?}");
        let start = Instant::now();
        assert_eq!(meter.wait(std::future::pending::<()>()).await, Err(TooSlow));
        assert_eq!(start.elapsed().as_secs(), 2);
    }
}
