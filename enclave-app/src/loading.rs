//! A deadline for what cannot be stopped.
//!
//! The library that parses a model offers no way to end it, and a hostile file can keep it busy for as long as it likes:
//! [`crate::model`] refuses what is known to do so, and this bounds the rest. The thread that hangs is left behind; the
//! program is to end.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

/// Why there is no result.
#[derive(Debug, PartialEq, Eq)]
pub enum LoadingError {
    /// It took longer than this.
    TooLong(Duration),
    /// It ended without a result: a panic, or no thread.
    Ended,
}

impl std::fmt::Display for LoadingError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLong(patience) => write!(
                f,
                "it was not loaded within {} s (`limits.load_deadline_seconds`); a model that is no larger than others and takes so long may be hostile",
                patience.as_secs()
            ),
            Self::Ended => f.write_str("loading it ended without a result"),
        }
    }
}

impl std::error::Error for LoadingError {}

/// Runs `load` on a thread of its own, and waits for it no longer than `patience`.
///
/// # Errors
/// [`LoadingError`] when there is no result.
pub fn within<T: Send + 'static>(
    patience: Duration,
    load: impl FnOnce() -> T + Send + 'static,
) -> Result<T, LoadingError> {
    let (sender, receiver) = sync_channel(1);
    // Nobody may be waiting any more; then the result is dropped.
    let work = move || drop(sender.send(load()));
    std::thread::Builder::new().name("load".to_owned()).spawn(work).map_err(|_| LoadingError::Ended)?;
    receiver.recv_timeout(patience).map_err(|error| match error {
        RecvTimeoutError::Timeout => LoadingError::TooLong(patience),
        RecvTimeoutError::Disconnected => LoadingError::Ended,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn what_hangs_is_given_up_and_what_ends_is_not() {
        const SOON: Duration = Duration::from_millis(50);
        const NEVER: Duration = Duration::from_secs(600);
        assert_eq!(within(NEVER, || 7), Ok(7));
        assert_eq!(
            within(NEVER, || std::panic::resume_unwind(Box::new("a defect"))),
            Err::<(), _>(LoadingError::Ended)
        );
        let (_hold, held) = mpsc::channel::<()>();
        assert_eq!(within(SOON, move || held.recv().is_ok()), Err(LoadingError::TooLong(SOON)));
    }
}
