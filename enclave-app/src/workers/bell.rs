//! A count that a thread can wait for beside other descriptors: what waits for work notices as well that its engine ends.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

/// A count of things to take, one by one.
pub(super) struct Bell(OwnedFd);

impl Bell {
    /// So many are there from the beginning.
    pub(super) fn new(count: u32) -> std::io::Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK | EventfdFlags::SEMAPHORE;
        Ok(Self(eventfd(count, flags)?))
    }

    /// Readable while there is one.
    #[cfg(test)]
    pub(super) fn file(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// One more. There are never so many that the count is full.
    pub(super) fn ring(&self) {
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Takes one, if there is one.
    pub(super) fn take(&self) -> bool {
        rustix::io::read(&self.0, &mut [0; 8]).is_ok()
    }
}

/// What a thread was woken by.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// One was there, and was taken.
    Rang,
    /// The descriptor that is watched can be read.
    Stirred,
    /// The end.
    Ended,
    /// None of these within the time.
    TimedOut,
}

/// Waits for one of `bell`, for `watched` or for the end: whichever is there first, the end before all. `end` is rung once
/// and never taken, so that everybody hears it.
pub(super) fn wait(
    end: &Bell,
    bell: Option<&Bell>,
    watched: Option<BorrowedFd<'_>>,
    patience: Option<Duration>,
) -> Woken {
    let deadline = patience.map(|patience| Instant::now() + patience);
    // A descriptor that is not there is the end once more, which is looked at first.
    let end = end.0.as_fd();
    let rung = bell.map_or(end, |bell| bell.0.as_fd());
    let watched = watched.unwrap_or(end);
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        let mut files = [&end, &watched, &rung].map(|file| PollFd::new(file, PollFlags::IN));
        match poll(&mut files, timeout.as_ref()) {
            Ok(0) if left.is_none_or(|left| left > Duration::ZERO) => continue,
            Ok(0) => return Woken::TimedOut,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            // It has no descriptors left to poll: nothing will come any more.
            Err(_) => return Woken::Ended,
        }
        let [has_ended, has_stirred, has_rung] = files.map(|file| !file.revents().is_empty());
        if has_ended {
            return Woken::Ended;
        }
        if has_stirred {
            return Woken::Stirred;
        }
        // Others wait for the same, and may have been faster.
        if has_rung && bell.is_some_and(Bell::take) {
            return Woken::Rang;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_taken_by_one_and_the_end_is_heard_by_all() {
        let (end, bell, other) = (Bell::new(0).unwrap(), Bell::new(1).unwrap(), Bell::new(0).unwrap());
        let soon = Some(Duration::from_millis(20));
        assert_eq!(wait(&end, Some(&bell), None, soon), Woken::Rang);
        assert_eq!(wait(&end, Some(&bell), None, soon), Woken::TimedOut);
        bell.ring();
        bell.ring();
        assert_eq!(wait(&end, Some(&bell), None, None), Woken::Rang);
        assert_eq!(wait(&end, None, None, soon), Woken::TimedOut);
        other.ring();
        assert_eq!(wait(&end, Some(&bell), Some(other.0.as_fd()), None), Woken::Stirred);
        assert_eq!(wait(&end, Some(&bell), None, None), Woken::Rang);
        std::thread::scope(|threads| {
            let waiting: Vec<_> = (0..3).map(|_| threads.spawn(|| wait(&end, Some(&bell), None, None))).collect();
            end.ring();
            waiting.into_iter().for_each(|thread| assert_eq!(thread.join().unwrap(), Woken::Ended));
        });
        bell.ring();
        assert_eq!(wait(&end, Some(&bell), Some(other.0.as_fd()), soon), Woken::Ended);
    }
}
