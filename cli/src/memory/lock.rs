//! One run at a time: an exclusive lock on a file beside the memory. The memory itself is replaced with each change, and a lock on
//! it would be a lock on something that is no longer there.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// As long as a verdict takes for many runs, and far longer than for one. It is held while judging and writing, never while
/// asking a vendor.
const PATIENCE: Duration = Duration::from_secs(30);
/// The system tells nobody within a bound that a lock is free, so it is asked.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(5);

/// The lock of one memory. The system lets it go with the process, however that ends.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "what is locked as long as it is open")] File);

impl Lock {
    /// Waits for the lock of the memory at `path`, for as long as a run may take.
    pub(super) fn take(path: &Path) -> Result<Self, String> {
        Self::take_within(path, PATIENCE)
    }

    fn take_within(path: &Path, patience: Duration) -> Result<Self, String> {
        let place = beside(path);
        let cannot = |why: &dyn std::fmt::Display| format!("memory `{}`: `{}` {why}", path.display(), place.display());
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&place)
            .map_err(|cause| cannot(&format_args!("cannot be opened: {cause}")))?;
        let since = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::WouldBlock) if since.elapsed() < patience => sleep(ASK_AGAIN_AFTER),
                Err(TryLockError::WouldBlock) => {
                    return Err(cannot(&format_args!(
                        "is locked by another run for more than {} s; see which program holds it (`fuser`), or name \
                         another memory",
                        patience.as_secs()
                    )));
                }
                Err(TryLockError::Error(cause)) => return Err(cannot(&format_args!("cannot be locked: {cause}"))),
            }
        }
    }
}

/// `FILE.lock`. It stays: a lock file that goes away is locked twice by whoever opened it before.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".lock");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_it_the_next_gets_it_when_it_is_free_and_nobody_waits_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seen.json");
        let held = Lock::take(&path).unwrap();
        let refused = Lock::take_within(&path, Duration::ZERO).unwrap_err();
        assert!(refused.contains("seen.json.lock` is locked by another run for more than 0 s"), "{refused}");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| Lock::take(&path).map(drop));
            drop(held);
            waiting.join().unwrap().unwrap();
        });
        let nowhere = Lock::take(&folder.path().join("no/such/seen.json")).unwrap_err();
        assert!(nowhere.contains("cannot be opened"), "{nowhere}");
    }
}
