//! How soon a worker that was lost is replaced: at once, unless a model has lost several in the last minute. Otherwise a
//! request that kills its worker could keep the machine busy with starting new ones.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// So many in a minute are replaced at once.
const FREE: usize = 6;

/// How long a loss counts.
const MINUTE: Duration = Duration::from_secs(60);

/// The first wait, which doubles with each further loss...
const FIRST: Duration = Duration::from_millis(100);

/// ...up to the longest.
const LONGEST: Duration = Duration::from_secs(5);

/// The losses of the last minute.
#[derive(Debug, Default)]
pub(super) struct Restarts(VecDeque<Instant>);

impl Restarts {
    /// Counts a loss, and says how long to wait before the worker is replaced.
    pub(super) fn lost(&mut self, now: Instant) -> Duration {
        self.0.retain(|at| now.saturating_duration_since(*at) < MINUTE);
        self.0.push_back(now);
        let Some(beyond) = self.0.len().checked_sub(FREE + 1) else { return Duration::ZERO };
        // More of them would say nothing more.
        if self.0.len() > 4 * FREE {
            self.0.pop_front();
        }
        u32::try_from(beyond)
            .ok()
            .and_then(|beyond| FIRST.checked_mul(1 << beyond.min(16)))
            .map_or(LONGEST, |wait| wait.min(LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_in_a_minute_are_waited_for_and_later_ones_are_not() {
        let mut restarts = Restarts::default();
        let start = Instant::now();
        let waits: Vec<u128> = (0..40).map(|_| restarts.lost(start).as_millis()).collect();
        assert_eq!(waits[..6], [0; 6]);
        assert_eq!(waits[6..13], [100, 200, 400, 800, 1600, 3200, 5000]);
        assert!(waits[13..].iter().all(|wait| *wait == 5000));
        assert!(restarts.0.len() <= 25);
        assert_eq!(restarts.lost(start + MINUTE), Duration::ZERO);
        assert_eq!(restarts.0.len(), 1);
    }
}
