//! What a relying party has seen before, so that nobody can roll the vendors' statements, or a platform, back.
//!
//! A CRL or a TCB info stays valid for weeks. Within that time whoever supplies it can go on supplying the older one, which
//! does not list what the newer one revoked; Intel's CRL numbers never grow, so the list itself cannot tell. A platform that
//! has shown a TCB can be run on older firmware for as long as its older key is not revoked. A [`Memory`] answers both, by
//! what the certificate of the platform's key says (AMD's reported TCB, Intel's 16 components and PCESVN; the TDX module's own
//! SVN is not among them, because a TD rightly shows the one that it was launched under): it goes into [`crate::verify_with`],
//! which refuses what is older than what it holds, and [`Memory::remember`] adds what an accepted verdict rested on. It is a
//! value: where it is kept is the caller's affair.
//!
//! It learns from accepted verdicts only, so that nobody can plant a false future: the issue time of lists that were
//! authentic and current, whoever brought them; evaluation numbers only of what the user supplied or fetched, because Intel
//! serves an early and a standard one at the same time, and whoever brings the early one would lock the user out of the other;
//! the TCB of a platform from its own authentic evidence. A memory that is full forgets the platform that it has not seen for
//! longest, and never refuses anything for being full.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::time::UnixTime;
use crate::words::Words;

/// Why the checks against a memory have nothing to judge.
pub(crate) const NO_MEMORY: &str = "the caller handed in no memory of what was seen before";

/// Products, CAs and FMSPCs are few. What would be the next is not learned: statements are never forgotten.
const MAX_STATEMENTS: usize = 1_024;
/// A large fleet.
const MAX_PLATFORMS: usize = 65_536;

/// The newest statements, and the highest TCB of each platform, seen so far. Serialises as a version and two tables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    schema: Schema,
    /// By the name of a statement: when it was issued (Unix seconds), or its evaluation number.
    statements: BTreeMap<String, u64>,
    /// By the name of a chip or platform: what it has shown.
    platforms: BTreeMap<String, Shown>,
}

/// What a platform has shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written")]
struct Shown {
    /// The highest version of each component.
    tcb: Vec<u16>,
    /// The latest time, in Unix seconds, of a verdict about it.
    seen: u64,
}

/// The forms in which that is written: a table from schema 2 on, the bare versions before.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Now { tcb: Vec<u16>, seen: u64 },
    Before(Vec<u16>),
}

impl From<Written> for Shown {
    fn from(written: Written) -> Self {
        match written {
            Written::Now { tcb, seen } => Self { tcb, seen },
            Written::Before(tcb) => Self { tcb, seen: 0 },
        }
    }
}

/// The version of the serialised form: 2. Version 1 is read as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
struct Schema;

impl TryFrom<u32> for Schema {
    type Error = String;

    fn try_from(version: u32) -> Result<Self, String> {
        if matches!(version, 1 | 2) {
            Ok(Self)
        } else {
            Err(format!("memory of schema {version}: this release reads schemas 1 and 2"))
        }
    }
}

impl From<Schema> for u32 {
    fn from(_: Schema) -> Self {
        2
    }
}

/// What one verdict rests on that has an order in time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub(crate) statements: Vec<Statement>,
    pub(crate) platform: Option<Platform>,
}

/// A statement of a vendor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    /// Names the issuer's key too: a root that another policy pins is another issuer.
    pub(crate) name: Words,
    pub(crate) order: Order,
}

/// Where a statement stands among its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Issued at this instant.
    Issued(UnixTime),
    /// The evaluation of this number.
    Evaluation(u32),
    /// Not supplied, where the policy can do without.
    Missing,
}

impl Order {
    fn value(self) -> u64 {
        match self {
            Self::Issued(at) => at.seconds(),
            Self::Evaluation(number) => u64::from(number),
            Self::Missing => 0,
        }
    }

    /// The words for this and for an earlier value of the same kind.
    fn shown(self, value: u64) -> String {
        match self {
            Self::Evaluation(_) => format!("evaluation {value}"),
            Self::Issued(_) | Self::Missing => format!("of {}", UnixTime::from_seconds(value)),
        }
    }
}

/// The TCB that a chip or platform has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Platform {
    pub(crate) name: Words,
    /// The security version of each component, always in the same order.
    pub(crate) tcb: Vec<u16>,
    /// When the verdict was.
    pub(crate) at: UnixTime,
}

impl Memory {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what an accepted verdict rested on ([`crate::Attested::seen`]). What is older than what is held changes nothing.
    ///
    /// It holds 1,024 statements, and learns no further one; and 65,536 platforms, of which the one that was not seen for
    /// longest makes room.
    pub fn remember(&mut self, seen: &Seen) {
        for Statement { name, order } in seen.statements.iter().filter(|statement| statement.order != Order::Missing) {
            self.learn_statement(name, order.value());
        }
        if let Some(Platform { name, tcb, at }) = &seen.platform {
            self.learn_platform(name, tcb, at.seconds());
        }
        self.make_room();
    }

    /// Adds everything that `other` holds, the newer and higher of each.
    pub fn merge(&mut self, other: &Memory) {
        other.statements.iter().for_each(|(name, value)| self.learn_statement(name, *value));
        other.platforms.iter().for_each(|(name, shown)| self.learn_platform(name, &shown.tcb, shown.seen));
        self.make_room();
    }

    fn learn_statement(&mut self, name: &str, value: u64) {
        if let Some(held) = self.statements.get_mut(name) {
            *held = value.max(*held);
        } else if self.statements.len() < MAX_STATEMENTS {
            self.statements.insert(name.to_owned(), value);
        }
    }

    fn learn_platform(&mut self, name: &str, tcb: &[u16], seen: u64) {
        if let Some(held) = self.platforms.get_mut(name) {
            held.seen = seen.max(held.seen);
            held.tcb.iter_mut().zip(tcb).for_each(|(held, seen)| *held = (*seen).max(*held));
            return;
        }
        self.platforms.insert(name.to_owned(), Shown { tcb: tcb.to_vec(), seen });
    }

    /// Forgets the platforms that were not seen for longest, where there are more than it holds.
    fn make_room(&mut self) {
        let excess = self.platforms.len().saturating_sub(MAX_PLATFORMS);
        if excess == 0 {
            return;
        }
        let mut by_age: Vec<_> = self.platforms.iter().map(|(name, shown)| (shown.seen, name.clone())).collect();
        by_age.sort_unstable();
        for (_, name) in by_age.iter().take(excess) {
            self.platforms.remove(name);
        }
    }

    /// The evaluation that was seen of this statement.
    pub(crate) fn evaluation(&self, name: &str) -> Option<u32> {
        self.statements.get(name).and_then(|seen| u32::try_from(*seen).ok())
    }

    /// Which of `statements` is older than one that was seen, in words; `None` where none is.
    pub(crate) fn older_statement(&self, statements: &[Statement]) -> Option<String> {
        statements.iter().find_map(|Statement { name, order }| {
            let seen = self.statements.get(name.as_str()).copied().filter(|seen| order.value() < *seen)?;
            Some(match order {
                Order::Missing => format!("no {name}, and one {} was seen before", order.shown(seen)),
                order => {
                    format!("{name} {}, and one {} was seen before", order.shown(order.value()), order.shown(seen))
                }
            })
        })
    }

    /// Which component of `platform` is below what it has shown, in words; `None` where none is.
    pub(crate) fn lower_component(&self, platform: &Platform) -> Option<String> {
        let held = &self.platforms.get(platform.name.as_str())?.tcb;
        if held.len() != platform.tcb.len() {
            return Some(format!("{} components, and {} were seen before", platform.tcb.len(), held.len()));
        }
        let lower = platform.tcb.iter().zip(held).any(|(now, held)| now < held);
        lower.then(|| format!("{:?}, and {held:?} was seen before", platform.tcb))
    }
}
