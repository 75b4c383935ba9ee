//! How often something may be done in an hour.

use std::collections::VecDeque;

use teegate_verifier::UnixTime;

const HOUR_SECONDS: u64 = 3_600;

/// What was done in the last hour.
#[derive(Debug, Default)]
pub(crate) struct Allowance(VecDeque<u64>);

impl Allowance {
    /// Takes one of `most` an hour; false where none is left.
    pub(crate) fn take(&mut self, most: u64, now: UnixTime) -> bool {
        let now = now.seconds();
        while self.0.front().is_some_and(|at| at.saturating_add(HOUR_SECONDS) <= now) {
            self.0.pop_front();
        }
        let is_left = u64::try_from(self.0.len()).unwrap_or(u64::MAX) < most;
        if is_left {
            self.0.push_back(now);
        }
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_holds_so_many_and_begins_with_each() {
        let (mut allowance, start) = (Allowance::default(), 1_000_000);
        let takes = [(0, true), (10, true), (11, false), (3_599, false), (3_600, true), (3_601, false), (3_610, true)];
        for (after, is_left) in takes {
            assert_eq!(allowance.take(2, UnixTime::from_seconds(start + after)), is_left, "after {after} s");
        }
    }
}
