//! What evidence is appraised against.

use std::time::Duration;

use teegate_verifier::{Endorsements, Policy};

use super::seen::Seen;
use super::vouched::Vouched;

/// What evidence is appraised against. A new policy is a new version; what was judged under another one does not count.
#[derive(Debug)]
pub struct Appraisal {
    /// Counts the policies of this process, from 1.
    pub version: u64,
    /// The appraisal policy.
    pub policy: Policy,
    /// Endorsements that the operator supplies, beside those that travel with the evidence.
    pub endorsements: Endorsements,
    /// What was seen under this policy and those before it; nothing older is accepted.
    pub seen: Seen,
    /// What the verdicts on offered instances rested on, under this policy and those before it.
    pub vouched: Vouched,
}

/// How long statements may live.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// How long a channel check counts.
    pub channel_age: Duration,
    /// The longest life of a manifest that is accepted.
    pub max_manifest_life: Duration,
}
