//! The less loaded of two random candidates.
//!
//! Whoever takes the least loaded of all sends everybody to the same place until that is measured; of two random ones, the better is
//! nearly as good and never the same for all.

use std::time::Duration;

use tokio::time::Instant;

use super::load::Reading;

/// A failure speaks against a candidate for so long.
const FAILURE_COUNTS: Duration = Duration::from_secs(10);

/// Which of `readings` is taken; `None` of none.
pub fn one(readings: &[Reading], now: Instant) -> Option<usize> {
    let first = below(readings.len())?;
    // Of the others, without the first.
    let Some(other) = below(readings.len().saturating_sub(1)) else { return Some(first) };
    let second = if other >= first { other.saturating_add(1) } else { other };
    let (one, two) = (readings.get(first)?, readings.get(second)?);
    Some(if is_better(two, one, now) { second } else { first })
}

/// Up to `most` of `items`, each the better of two of those that are left.
pub fn some<T>(mut items: Vec<T>, most: usize, reading: impl Fn(&T) -> Reading, now: Instant) -> Vec<T> {
    let mut readings: Vec<Reading> = items.iter().map(reading).collect();
    let mut taken = Vec::with_capacity(most.min(items.len()));
    while taken.len() < most {
        let Some(index) = one(&readings, now) else { break };
        readings.swap_remove(index);
        taken.push(items.swap_remove(index));
    }
    taken
}

/// Whether `one` is to be preferred to `other`: where it has not failed lately, or has less to do. Where times are known of both,
/// what is in flight weighs as much as an answer takes.
fn is_better(one: &Reading, other: &Reading, now: Instant) -> bool {
    let has_failed =
        |reading: &Reading| reading.failed_at.is_some_and(|at| now.saturating_duration_since(at) < FAILURE_COUNTS);
    let work = |reading: &Reading| u128::from(reading.in_flight).saturating_add(1);
    let (mut mine, mut theirs) = (work(one), work(other));
    if let (Some(my_time), Some(their_time)) = (one.micros, other.micros) {
        mine = mine.saturating_mul(u128::from(my_time).max(1));
        theirs = theirs.saturating_mul(u128::from(their_time).max(1));
    }
    (has_failed(one), mine) < (has_failed(other), theirs)
}

/// A random number below `bound`; the first without randomness, which costs balance and nothing else.
fn below(bound: usize) -> Option<usize> {
    let bound = u64::try_from(bound).ok().filter(|bound| *bound > 0)?;
    usize::try_from(getrandom::u64().unwrap_or(0) % bound).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(in_flight: u64, micros: Option<u64>) -> Reading {
        Reading { in_flight, micros, failed_at: None }
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_the_less_loaded_is_taken() {
        let now = Instant::now();
        let (idle, busy) = (reading(0, None), reading(3, None));
        let failed = Reading { failed_at: Some(now), ..idle };
        for (one, other) in [
            (idle, busy),
            // 4 x 10 ms against 1 x 50 ms.
            (reading(3, Some(10_000)), reading(0, Some(50_000))),
            // Unknown times do not count.
            (reading(0, Some(50_000)), reading(1, None)),
            (busy, failed),
        ] {
            assert!(is_better(&one, &other, now) && !is_better(&other, &one, now), "{one:?} {other:?}");
            for _ in 0..32 {
                assert_eq!(super::one(&[one, other], now), Some(0));
                assert_eq!(super::one(&[other, one], now), Some(1));
            }
        }
        assert!(is_better(&failed, &busy, now + FAILURE_COUNTS), "it returns after a time");
    }

    #[tokio::test(start_paused = true)]
    async fn the_most_loaded_is_taken_only_when_nobody_else_is_left_and_equals_share() {
        let now = Instant::now();
        assert_eq!(one(&[], now), None);
        assert_eq!(one(&[reading(9, None)], now), Some(0));
        let loads = [0, 0, 0, 0, 9];
        let mut taken = [0; 5];
        for _ in 0..1_000 {
            let items: Vec<usize> = (0..5).collect();
            let chosen = some(items, 3, |item| reading(loads[*item], None), now);
            assert_eq!(chosen.len(), 3);
            for item in chosen {
                taken[item] += 1;
            }
        }
        assert_eq!(taken[4], 0, "there is always a better one beside it");
        // 750 each by chance; seven standard deviations are about 100.
        assert!(taken[..4].iter().all(|count| (600..900).contains(count)), "{taken:?}");
        assert_eq!(some(vec![1, 2], 3, |_| reading(0, None), now).len(), 2);
    }
}
