//! Who asks: the keys of every share.
//!
//! What a client makes scarce it should make scarce for itself. So whatever is shared out (bytes, places, waits) is counted for
//! the connection that takes it, for the source that the connection comes from, and for the tenant in whose name it asks.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::source::Source;

/// In whose name a request is held, limited and counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Tenant(&'static str);

impl Tenant {
    /// Everyone, where the configuration says that nobody is asked for a credential.
    pub const DEFAULT: Self = Self("default");
    /// Whoever has shown no credential that counts. No configured tenant can be called so.
    pub const STRANGER: Self = Self("-");

    /// The tenant of this name. Names come out of the configuration and of nothing else: each is kept once, for as long as the
    /// process lives, so that it costs nothing to hand on and can be a label of a metric.
    pub(crate) fn named(name: &str) -> Self {
        static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
        let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names.get(name) {
            return Self(known);
        }
        let kept: &'static str = Box::leak(name.into());
        names.insert(kept);
        Self(kept)
    }

    /// Its name, as metrics and the audit trail show it.
    pub fn name(self) -> &'static str {
        self.0
    }
}

/// One connection, whose it is and where it comes from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Caller {
    /// In whose name it asks.
    pub tenant: Tenant,
    /// Where it comes from.
    pub source: Source,
    /// Tells it from every other connection of this process.
    pub connection: u64,
}

impl Caller {
    /// A new connection.
    pub fn new(tenant: Tenant, source: Source) -> Self {
        static CONNECTIONS: AtomicU64 = AtomicU64::new(0);
        Self { tenant, source, connection: CONNECTIONS.fetch_add(1, Ordering::Relaxed) }
    }
}
