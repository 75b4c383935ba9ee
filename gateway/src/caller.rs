//! Who asks: the keys of every share.
//!
//! What a client makes scarce it should make scarce for itself. So whatever is shared out (bytes, places, waits) is counted for
//! the connection that takes it, for the source that the connection comes from, and for the tenant in whose name it asks.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::source::Source;

/// In whose name a request is held, limited and counted. Version 1 has one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tenant(&'static str);

impl Tenant {
    /// Everyone, as long as requests carry no admission credential.
    pub const DEFAULT: Self = Self("default");

    /// Its name, as metrics and the audit trail show it.
    pub fn name(self) -> &'static str {
        self.0
    }

    /// Another tenant, which only a test can have.
    #[cfg(test)]
    pub(crate) const fn named(name: &'static str) -> Self {
        Self(name)
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
