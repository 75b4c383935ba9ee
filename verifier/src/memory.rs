//! What a relying party has seen before, so that nobody can roll the vendors' statements, or a platform, back.
//!
//! A CRL or a TCB info stays valid for weeks. Within that time whoever supplies it can go on supplying the older one, which
//! does not list what the newer one revoked; Intel's CRL numbers never grow, so the list itself cannot tell. A platform that
//! has shown a TCB can be run on older firmware for as long as its older key is not revoked. A [`Memory`] answers both, by
//! what the certificate of the platform's key says (AMD's reported TCB, Intel's 16 components and PCESVN; the TDX module's own
//! SVN is not among them, because a TD rightly shows the one that it was launched under): it goes into [`crate::verify_with`], which refuses what is older than what it holds, and [`Memory::remember`] adds what an
//! accepted verdict rested on. It is a value: where it is kept is the caller's affair. Only accepted evidence is
//! remembered, so that nobody can plant a false future.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::time::UnixTime;

/// Why the checks against a memory have nothing to judge.
pub(crate) const NO_MEMORY: &str = "the caller handed in no memory of what was seen before";

/// Products, CAs and FMSPCs are few.
const MAX_STATEMENTS: usize = 1_024;
/// A large fleet. Whoever verifies more than this has a place of its own to keep them in.
const MAX_PLATFORMS: usize = 65_536;

/// The newest statements, and the highest TCB of each platform, seen so far. Serialises as a version and two tables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    schema: Schema,
    /// By the name of a statement: when it was issued (Unix seconds), or its evaluation number.
    statements: BTreeMap<String, u64>,
    /// By the name of a chip or platform: the highest version of each component that it has shown.
    platforms: BTreeMap<String, Vec<u16>>,
}

/// The version of the serialised form: 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
struct Schema;

impl TryFrom<u32> for Schema {
    type Error = String;

    fn try_from(version: u32) -> Result<Self, String> {
        if version == 1 { Ok(Self) } else { Err(format!("memory of schema {version}: this release reads schema 1")) }
    }
}

impl From<Schema> for u32 {
    fn from(_: Schema) -> Self {
        1
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
    pub(crate) name: String,
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
    pub(crate) name: String,
    /// The security version of each component, always in the same order.
    pub(crate) tcb: Vec<u16>,
}

impl Memory {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what an accepted verdict rested on ([`crate::Attested::seen`]). What is older than what is held changes nothing.
    ///
    /// # Errors
    /// When it is full: 1,024 statements or 65,536 platforms are held, and this verdict brings another. Nothing is changed.
    pub fn remember(&mut self, seen: &Seen) -> Result<(), MemoryFull> {
        let supplied = || seen.statements.iter().filter(|statement| statement.order != Order::Missing);
        let new_statements = supplied().filter(|statement| !self.statements.contains_key(&statement.name)).count();
        let new_platforms =
            seen.platform.iter().filter(|platform| !self.platforms.contains_key(&platform.name)).count();
        if self.statements.len() + new_statements > MAX_STATEMENTS {
            return Err(MemoryFull { held: MAX_STATEMENTS, what: "statements" });
        }
        if self.platforms.len() + new_platforms > MAX_PLATFORMS {
            return Err(MemoryFull { held: MAX_PLATFORMS, what: "platforms" });
        }
        for statement in supplied() {
            let held = self.statements.entry(statement.name.clone()).or_default();
            *held = statement.order.value().max(*held);
        }
        if let Some(platform) = &seen.platform {
            let held = self.platforms.entry(platform.name.clone()).or_insert_with(|| platform.tcb.clone());
            held.iter_mut().zip(&platform.tcb).for_each(|(held, seen)| *held = (*seen).max(*held));
        }
        Ok(())
    }

    /// The evaluation that was seen of this statement.
    pub(crate) fn evaluation(&self, name: &str) -> Option<u32> {
        self.statements.get(name).and_then(|seen| u32::try_from(*seen).ok())
    }

    /// Which of `statements` is older than one that was seen, in words; `None` where none is.
    pub(crate) fn older_statement(&self, statements: &[Statement]) -> Option<String> {
        statements.iter().find_map(|Statement { name, order }| {
            let seen = self.statements.get(name).copied().filter(|seen| order.value() < *seen)?;
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
        let held = self.platforms.get(&platform.name)?;
        if held.len() != platform.tcb.len() {
            return Some(format!("{} components, and {} were seen before", platform.tcb.len(), held.len()));
        }
        let lower = platform.tcb.iter().zip(held).any(|(now, held)| now < held);
        lower.then(|| format!("{:?}, and {held:?} was seen before", platform.tcb))
    }
}

/// A memory holds as much as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryFull {
    held: usize,
    what: &'static str,
}

impl std::fmt::Display for MemoryFull {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the memory holds {} {} and takes no more: keep one for each fleet or policy", self.held, self.what)
    }
}

impl std::error::Error for MemoryFull {}
