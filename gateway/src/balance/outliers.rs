//! Who does much worse than the others is not offered for a time: after failures in a row, or with answers that take several times
//! as long as the median of those that serve the same models.
//!
//! At most a share of the fleet is left out, and never the last one: what looks like many bad instances is mostly something that
//! they have in common. Nobody is refused by this, and whoever returns is measured anew.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use teegate_protocol::limits::{Limit, OutOfBounds};
use tokio::time::Instant;

use super::load::Load;

const fn bound(name: &'static str, default: u64, least: u64, most: u64) -> Limit {
    Limit { name, default, least, most }
}

const FAILURES: Limit = bound("outliers.failures", 5, 1, 1_000);
const FACTOR: Limit = bound("outliers.latency_factor", 4, 2, 1_000);
const FLOOR: Limit = bound("outliers.latency_floor_milliseconds", 100, 1, 60_000);
const SHARE: Limit = bound("outliers.share_percent", 50, 0, 90);
const TIME: Limit = bound("outliers.seconds", 30, 1, 3_600);

/// Every number of the table, for documentation and tests.
pub const BOUNDS: &[Limit] = &[FAILURES, FACTOR, FLOOR, SHARE, TIME];

/// An average of fewer answers says nothing yet.
const ENOUGH_ANSWERS: u64 = 16;
/// A median of fewer says nothing of the third.
const ENOUGH_PEERS: usize = 3;
/// Each time in a row doubles the time, this often.
const MOST_DOUBLINGS: u32 = 3;

/// When somebody is left out, and for how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutlierLimits {
    /// Failures in a row.
    pub failures: u64,
    /// Answers that take so many times the median.
    pub factor: u64,
    /// Answers that take no longer than this are never too slow.
    pub floor: Duration,
    /// At most so many of a hundred are left out at a time.
    pub share_percent: u64,
    /// For so long, the first time.
    pub time: Duration,
}

/// The table `[outliers]` as written.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Table {
    failures: Option<u64>,
    latency_factor: Option<u64>,
    latency_floor_milliseconds: Option<u64>,
    share_percent: Option<u64>,
    seconds: Option<u64>,
}

impl Table {
    /// Checks it.
    pub(crate) fn check(&self) -> Result<OutlierLimits, OutOfBounds> {
        Ok(OutlierLimits {
            failures: FAILURES.resolve(self.failures)?,
            factor: FACTOR.resolve(self.latency_factor)?,
            floor: Duration::from_millis(FLOOR.resolve(self.latency_floor_milliseconds)?),
            share_percent: SHARE.resolve(self.share_percent)?,
            time: Duration::from_secs(TIME.resolve(self.seconds)?),
        })
    }
}

impl Default for OutlierLimits {
    fn default() -> Self {
        Self {
            failures: FAILURES.default,
            factor: FACTOR.default,
            floor: Duration::from_millis(FLOOR.default),
            share_percent: SHARE.default,
            time: Duration::from_secs(TIME.default),
        }
    }
}

/// Somebody who could be offered, and whom he is compared with: those of the same `group` serve the same models.
#[derive(Clone, Debug)]
pub struct Peer<G> {
    /// What is measured of him.
    pub load: Arc<Load>,
    /// Whom he is compared with.
    pub group: G,
}

/// Why somebody is left out from now on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Reason {
    /// Failures in a row.
    Failures,
    /// Answers that take much longer than others'.
    Latency,
}

impl Reason {
    /// As log and metrics call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Failures => "failures",
            Self::Latency => "latency",
        }
    }
}

/// What became of one peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Judged {
    /// He can be offered.
    In,
    /// He is left out, and was before.
    Out,
    /// He is left out from now on.
    OutNow(Reason),
}

/// Judges all peers at `now`, in their order. Who is left out, and until when, is kept with what is measured of him.
pub fn judge<G: PartialEq>(peers: &[Peer<G>], limits: &OutlierLimits, now: Instant) -> Vec<Judged> {
    let mut judged: Vec<Judged> = peers.iter().map(|peer| still_out(&peer.load, now)).collect();
    let out = judged.iter().filter(|judged| **judged == Judged::Out).count();
    let share = usize::try_from(limits.share_percent).unwrap_or(0);
    let most = (peers.len().saturating_mul(share) / 100).min(peers.len().saturating_sub(1));
    let mut suspects: Vec<(Reason, Reverse<u64>, usize)> = Vec::new();
    for (index, (peer, place)) in peers.iter().zip(&judged).enumerate() {
        if *place == Judged::In
            && let Some((reason, weight)) = suspicion(peer, peers, limits)
        {
            suspects.push((reason, Reverse(weight), index));
        }
    }
    // The worst first, where not all of them can be left out.
    suspects.sort_unstable();
    for (reason, _, index) in suspects.into_iter().take(most.saturating_sub(out)) {
        if let (Some(peer), Some(place)) = (peers.get(index), judged.get_mut(index)) {
            leave_out(&peer.load, limits, now);
            *place = Judged::OutNow(reason);
        }
    }
    judged
}

/// Whether somebody is still left out; whoever returns is measured anew.
fn still_out(load: &Load, now: Instant) -> Judged {
    let mut measured = load.measured();
    match measured.out_until {
        Some(until) if now < until => return Judged::Out,
        Some(_) => {
            (measured.out_until, measured.failures, measured.failed_at) = (None, 0, None);
            (measured.micros, measured.answers) = (None, 0);
        }
        None => {}
    }
    Judged::In
}

fn leave_out(load: &Load, limits: &OutlierLimits, now: Instant) {
    let mut measured = load.measured();
    let doublings = measured.times_out.min(MOST_DOUBLINGS);
    measured.out_until = Some(now + limits.time.saturating_mul(1 << doublings));
    measured.times_out = measured.times_out.saturating_add(1);
}

/// What speaks against a peer, and how much.
fn suspicion<G: PartialEq>(peer: &Peer<G>, peers: &[Peer<G>], limits: &OutlierLimits) -> Option<(Reason, u64)> {
    let mut measured = *peer.load.measured();
    if measured.failures >= limits.failures {
        return Some((Reason::Failures, measured.failures));
    }
    let average = settled(&mut measured)?;
    let floor = u64::try_from(limits.floor.as_micros()).unwrap_or(u64::MAX);
    if average > floor && average > median(&peer.group, peers)?.saturating_mul(limits.factor) {
        return Some((Reason::Latency, average));
    }
    // He has served well for a while: another time will be a first time.
    peer.load.measured().times_out = 0;
    None
}

/// The average, once it is one of enough answers.
fn settled(measured: &mut super::load::Measured) -> Option<u64> {
    measured.micros.filter(|_| measured.answers >= ENOUGH_ANSWERS)
}

/// The middle average of a group, the lower one of an even number.
fn median<G: PartialEq>(group: &G, peers: &[Peer<G>]) -> Option<u64> {
    let of_group = peers.iter().filter(|peer| peer.group == *group);
    let mut averages: Vec<u64> = of_group.filter_map(|peer| settled(&mut peer.load.measured())).collect();
    if averages.len() < ENOUGH_PEERS {
        return None;
    }
    averages.sort_unstable();
    averages.get(averages.len().saturating_sub(1) / 2).copied()
}

#[cfg(test)]
mod tests;
