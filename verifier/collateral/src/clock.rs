//! Time as this crate sees it, injected so that a test need not wait: how late it is, how long something took, and waiting.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use teegate_verifier::UnixTime;

/// A clock, and a way to wait by it.
///
/// It paces requests and dates cache files. Whether a document holds is asked of the time that the caller of
/// [`Fetcher::complete`](crate::Fetcher::complete) gives, which may be another. Deadlines of network exchanges run on the
/// timer of the runtime.
pub trait Clock: Debug + Send + Sync {
    /// The time on the wall.
    fn wall(&self) -> UnixTime;
    /// Time since some fixed instant; never goes backwards.
    fn elapsed(&self) -> Duration;
    /// Waits.
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> UnixTime {
        // A clock before 1970 makes everything kept look as if it came from the future, which is never fresh.
        UnixTime::from_seconds(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(tokio::time::sleep(duration))
    }
}
