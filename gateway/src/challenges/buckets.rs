//! Buckets of tokens by their owner: so many at once, then one in each interval. A full one is not kept, so that nobody is remembered
//! for longer than it takes to fill it.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// So many at once.
const BURST: u32 = 4;
/// So many owners are kept at a time; who comes beyond that waits until one is forgotten.
const OWNERS: usize = 4_096;

/// Buckets by their owner.
#[derive(Debug)]
pub(super) struct Buckets<K> {
    interval: Duration,
    /// The instant at which each will be full again.
    full_at: HashMap<K, Instant>,
}

impl<K: Eq + Hash> Buckets<K> {
    /// Nobody has taken any. One comes back in each `interval`.
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, full_at: HashMap::new() }
    }

    /// When the owner's bucket will be full again after one more was taken; or the seconds until there is one.
    pub(super) fn after_one(&self, owner: &K, now: Instant) -> Result<Instant, u32> {
        if self.full_at.len() >= OWNERS && !self.full_at.contains_key(owner) {
            return Err(1);
        }
        let next = self.full_at.get(owner).copied().unwrap_or(now).max(now) + self.interval;
        let excess = next.saturating_duration_since(now).saturating_sub(self.interval.saturating_mul(BURST));
        if excess.is_zero() {
            return Ok(next);
        }
        Err(u32::try_from(excess.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX).max(1))
    }

    /// What was taken: it will be full again then.
    pub(super) fn fills(&mut self, owner: K, full_at: Instant) {
        self.full_at.insert(owner, full_at);
    }

    /// Forgets those that are full.
    pub(super) fn forget(&mut self, now: Instant) {
        self.full_at.retain(|_, full_at| *full_at > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(2);

    fn take(buckets: &mut Buckets<u32>, owner: u32, now: Instant) -> Result<(), u32> {
        buckets.forget(now);
        let full_at = buckets.after_one(&owner, now)?;
        buckets.fills(owner, full_at);
        Ok(())
    }

    #[test]
    fn four_at_once_then_one_in_each_interval_and_to_each_owner_his_own() {
        let (mut buckets, start) = (Buckets::new(INTERVAL), Instant::now());
        for _ in 0..4 {
            assert_eq!(take(&mut buckets, 1, start), Ok(()));
        }
        assert_eq!(take(&mut buckets, 1, start), Err(2));
        assert_eq!(take(&mut buckets, 2, start), Ok(()), "what one takes costs no other anything");
        assert_eq!(take(&mut buckets, 1, start + Duration::from_millis(1_999)), Err(1));
        assert_eq!(take(&mut buckets, 1, start + INTERVAL), Ok(()));
        assert_eq!(take(&mut buckets, 1, start + INTERVAL), Err(2));
        buckets.forget(start + Duration::from_secs(60));
        assert!(buckets.full_at.is_empty(), "a full one is forgotten");
    }

    #[test]
    fn owners_are_bounded_and_make_room_by_themselves() {
        let (mut buckets, start) = (Buckets::new(INTERVAL), Instant::now());
        for owner in 0..u32::try_from(OWNERS).unwrap() {
            assert_eq!(take(&mut buckets, owner, start), Ok(()));
        }
        assert_eq!(take(&mut buckets, u32::MAX, start), Err(1));
        assert_eq!(take(&mut buckets, 7, start), Ok(()), "who is known goes on");
        assert_eq!(take(&mut buckets, u32::MAX, start + INTERVAL), Ok(()));
    }
}
