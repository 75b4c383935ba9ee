//! When a service may be asked next: what it said itself, and what AMD asks of those who want the same certificate again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::source::Ask;

/// Instants, in the time of [`Clock::elapsed`](crate::Clock::elapsed), before which nothing is asked.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    not_before: Mutex<HashMap<String, Duration>>,
}

impl Pace {
    /// When `ask` may be asked, at `now` at the earliest.
    pub(crate) fn earliest(&self, ask: &Ask, now: Duration) -> Duration {
        let not_before = self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |key: String| not_before.get(&key).copied().unwrap_or_default();
        now.max(of(ask.url.base().authority())).max(of(ask.url.to_string()))
    }

    /// `ask` is being asked at `now`; where AMD's rule holds for it, not again for `interval`.
    pub(crate) fn asked(&self, ask: &Ask, now: Duration, interval: Duration) {
        if ask.is_paced {
            self.hold(ask.url.to_string(), now, now.saturating_add(interval));
        }
    }

    /// The service wants to be left alone until then, whatever the question.
    pub(crate) fn told_to_wait(&self, ask: &Ask, now: Duration, until: Duration) {
        self.hold(ask.url.base().authority(), now, until);
    }

    fn hold(&self, key: String, now: Duration, until: Duration) {
        let mut not_before = self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
        not_before.retain(|_, instant| *instant > now);
        let instant = not_before.entry(key).or_default();
        *instant = until.max(*instant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{AmdKey, Document};
    use crate::source::Source;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_service_that_said_later_is_left_alone_and_its_neighbour_is_not() {
        let ask = |source: &str, key| {
            Source::parse(source).unwrap().ask(&Document::AmdChain { key, product: "Milan" }).unwrap()
        };
        let (kds, vlek, other) = (
            ask("kds=http://h:1", AmdKey::Vcek),
            ask("kds=http://h:1", AmdKey::Vlek),
            ask("kds=http://h:2", AmdKey::Vcek),
        );
        let pace = Pace::default();
        pace.told_to_wait(&kds, at(5), at(35));
        pace.told_to_wait(&kds, at(6), at(16));
        for (ask, earliest) in [(&kds, at(35)), (&vlek, at(35)), (&other, at(7))] {
            assert_eq!(pace.earliest(ask, at(7)), earliest);
        }
        assert_eq!(pace.earliest(&kds, at(40)), at(40));
        let paced = Ask { is_paced: true, ..other.clone() };
        pace.asked(&other, at(40), at(10));
        assert_eq!(pace.earliest(&other, at(41)), at(41));
        pace.asked(&paced, at(40), at(10));
        assert_eq!(pace.earliest(&paced, at(41)), at(50));
    }
}
