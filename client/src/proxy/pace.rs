//! The pace that a program has to keep with a body: in each window so many bytes, or the end; and all of it has its own limit.
//!
//! Whoever sends a byte now and then would otherwise keep a connection, and the room of what has come, for as long as it likes. The
//! gateway asks for the same of whoever sends to it.

use std::fmt;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

/// How fast.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// In this time...
    pub window: Duration,
    /// ...so many bytes of the body as it travels, or the end...
    pub window_bytes: u64,
    /// ...and all of it in this.
    pub whole: Duration,
}

impl Default for Pace {
    /// 64 KiB in 15 s, that is 4 KiB/s, and all of it in 120 s: programs of this machine are faster by far.
    fn default() -> Self {
        Self { window: Duration::from_secs(15), window_bytes: 64 << 10, whole: Duration::from_secs(120) }
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { window, window_bytes, whole } = self;
        write!(
            f,
            "{window_bytes} bytes in every {} s, and all of it in {} s",
            window.as_secs_f64(),
            whole.as_secs_f64()
        )
    }
}

/// The program did not keep it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TooSlow;

/// One body.
pub(super) struct Meter {
    pace: Pace,
    in_window: u64,
    window_began: Instant,
    began: Instant,
}

impl Meter {
    /// A body that is waited for from now on.
    pub(super) fn start(pace: Pace) -> Self {
        let now = Instant::now();
        Self { pace, in_window: 0, window_began: now, began: now }
    }

    /// Waits for what the program does next.
    pub(super) async fn wait<T>(&self, step: impl Future<Output = T>) -> Result<T, TooSlow> {
        let end = (self.window_began + self.pace.window).min(self.began + self.pace.whole);
        timeout_at(end, step).await.map_err(|_| TooSlow)
    }

    /// So many bytes came.
    pub(super) fn came(&mut self, bytes: usize) {
        self.in_window = self.in_window.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        if self.in_window >= self.pace.window_bytes {
            (self.in_window, self.window_began) = (0, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    /// `bytes` every `seconds`: after how long it is too slow.
    async fn lasts(bytes: usize, seconds: u64) -> u64 {
        let pace = Pace { window: Duration::from_secs(15), window_bytes: 100, whole: Duration::from_secs(60) };
        let (mut meter, start) = (Meter::start(pace), Instant::now());
        while start.elapsed().as_secs() < 1_000 && meter.wait(sleep(Duration::from_secs(seconds))).await.is_ok() {
            meter.came(bytes);
        }
        start.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_drip_is_given_up_after_its_window_and_a_steady_body_at_its_end() {
        assert_eq!(lasts(1, 1).await, 15);
        assert_eq!(lasts(50, 10).await, 15, "half of it in the window");
        assert_eq!(lasts(100, 10).await, 60, "at pace, to the limit of the whole");
        assert_eq!(lasts(0, 1).await, 15, "what is no data is no progress");
    }

    #[test]
    fn it_is_said_with_its_units() {
        assert_eq!(Pace::default().to_string(), "65536 bytes in every 15 s, and all of it in 120 s");
    }
}
