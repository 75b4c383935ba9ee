//! What a source knew when it was answered last, and how long that counts without another answer.
//!
//! A name server or an API server that is down, or that says nothing where it said something before, must not empty the fleet:
//! what was found goes on to prove itself, or does not. But it is not kept for ever either: the address of a machine that is gone
//! will be given to another.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::board::{Certainty, Sighting};
use crate::config::Address;

/// What a source knows.
#[derive(Debug)]
pub struct Known {
    keep: Duration,
    addresses: BTreeSet<Address>,
    confirmed: Option<Instant>,
}

impl Known {
    /// Nothing; what is found stays known for `keep` without an answer.
    pub fn new(keep: Duration) -> Self {
        Self { keep, addresses: BTreeSet::new(), confirmed: None }
    }

    /// What a source goes on with that is begun anew: it counts as if it had been found just now.
    pub fn going_on(keep: Duration, addresses: BTreeSet<Address>, now: Instant) -> Self {
        let confirmed = (!addresses.is_empty()).then_some(now);
        Self { keep, addresses, confirmed }
    }

    /// An answer that is whole: it replaces everything.
    pub fn confirm(&mut self, addresses: BTreeSet<Address>, now: Instant) -> Sighting {
        self.addresses = addresses;
        self.confirmed = Some(now);
        Sighting { addresses: self.addresses.clone(), certainty: Certainty::Current }
    }

    /// No answer, or one that is not whole: what was `found` counts beside what was known, until that lapses.
    pub fn doubt(&mut self, found: BTreeSet<Address>, why: String, now: Instant) -> Sighting {
        if self.lapses().is_none_or(|lapses| lapses <= now) {
            self.addresses.clear();
        }
        let addresses = self.addresses.union(&found).cloned().collect();
        let certainty = Certainty::Doubtful(why);
        Sighting { addresses, certainty }
    }

    /// When what is known stops to count, if no answer comes; `None` when nothing is known.
    pub fn lapses(&self) -> Option<Instant> {
        let confirmed = self.confirmed.filter(|_| !self.addresses.is_empty())?;
        Some(confirmed + self.keep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(ports: &[u16]) -> BTreeSet<Address> {
        ports.iter().map(|port| Address::parse(&format!("a:{port}")).unwrap()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_known_outlives_doubt_up_to_its_time() {
        let keep = Duration::from_secs(300);
        let mut known = Known::new(keep);
        let start = Instant::now();
        assert!(known.doubt(BTreeSet::new(), "down".into(), start).addresses.is_empty());
        assert_eq!(known.lapses(), None);
        assert_eq!(known.confirm(addresses(&[1, 2]), start).certainty, Certainty::Current);
        let last = start + keep - Duration::from_millis(1);
        // What is found beside a failure counts as long as it is found.
        assert_eq!(known.doubt(addresses(&[3]), "half".into(), last).addresses, addresses(&[1, 2, 3]));
        assert_eq!(known.doubt(BTreeSet::new(), "down".into(), last).addresses, addresses(&[1, 2]));
        assert_eq!(known.lapses(), Some(start + keep));
        let sighting = known.doubt(addresses(&[3]), "half".into(), start + keep);
        assert_eq!(sighting, Sighting { addresses: addresses(&[3]), certainty: Certainty::Doubtful("half".into()) });
        assert_eq!(known.confirm(addresses(&[2]), start + keep).addresses, addresses(&[2]));
    }
}
