//! How many challenges of clients are handed on, and how often: state that the gateway keeps for `challenge.rs`.
//!
//! Each instance is asked four times at once and then once a second, as it would allow itself, and a source half as often.

mod buckets;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use teegate_protocol::problem::{Problem, ProblemKind};
use tokio::time::Instant;

use self::buckets::Buckets;
use crate::caller::Caller;
use crate::identity::Identity;
use crate::shares::{One, Scarce, Shares};
use crate::source::Source;

/// So many challenges may be under way, in shares: each may take as long as evidence takes, and keeps an envelope.
const UNDER_WAY: u64 = 16;
/// After those that are had at once one in this time, of one instance...
const INSTANCE_INTERVAL: Duration = Duration::from_secs(1);
/// ...and from one source.
const SOURCE_INTERVAL: Duration = Duration::from_secs(2);

/// Why a challenge was not answered. Nothing of a request was sent to anybody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unanswered {
    /// Too many under way.
    Busy,
    /// Asked too often: there is one again after so many seconds.
    TooOften(u32),
    /// The instance did not answer with evidence.
    Silent,
}

impl Unanswered {
    /// What the client is told.
    pub(crate) fn problem(self) -> Problem {
        match self {
            Self::Busy => Problem::new(ProblemKind::Busy)
                .with_detail("too many challenges are under way: ask again")
                .with_retry_after(1),
            Self::TooOften(seconds) => Problem::new(ProblemKind::RateLimited)
                .with_detail("fresh evidence is scarce: four challenges at once, then one a second of an instance, half as many from a source")
                .with_retry_after(seconds),
            Self::Silent => Problem::new(ProblemKind::NoAttestedInstance)
                .with_detail("the instance did not answer the challenge with evidence")
                .with_retry_after(1),
        }
    }
}

/// The challenges of clients, bounded in number and in time.
#[derive(Debug)]
pub struct Challenges {
    under_way: Arc<Shares>,
    buckets: Mutex<(Buckets<Source>, Buckets<Identity>)>,
}

impl Default for Challenges {
    fn default() -> Self {
        let buckets = (Buckets::new(SOURCE_INTERVAL), Buckets::new(INSTANCE_INTERVAL));
        Self { under_way: Arc::new(Shares::new(UNDER_WAY)), buckets: Mutex::new(buckets) }
    }
}

impl Challenges {
    /// Leave to hand one on, until the result is dropped.
    pub(crate) fn enter(&self, caller: &Caller) -> Result<One, Unanswered> {
        self.under_way.one(caller).map_err(|Scarce| Unanswered::Busy)
    }

    /// Takes one challenge of the source and of the first of these instances that has one left, or says after how many seconds
    /// there will be one. Who is refused costs nobody anything.
    pub(crate) fn take<'a, T>(
        &self,
        source: Source,
        instances: &'a [(Identity, T)],
        now: Instant,
    ) -> Result<&'a T, u32> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let (sources, of_instances) = &mut *buckets;
        sources.forget(now);
        of_instances.forget(now);
        let source_full_at = sources.after_one(&source, now)?;
        let mut soonest = u32::MAX;
        for (identity, instance) in instances {
            match of_instances.after_one(identity, now) {
                Ok(full_at) => {
                    of_instances.fills(*identity, full_at);
                    sources.fills(source, source_full_at);
                    return Ok(instance);
                }
                Err(seconds) => soonest = soonest.min(seconds),
            }
        }
        Err(soonest)
    }
}
