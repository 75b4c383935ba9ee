//! The memory that requests and answers may take: one permit for each byte, shared by all connections.
//!
//! No connection can have more than its share of it, so that one that takes all it can get leaves something to the
//! others.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The memory of all connections.
pub struct Memory {
    all: Arc<Semaphore>,
    share_bytes: usize,
}

/// What one connection may take of it.
pub struct Share {
    all: Arc<Semaphore>,
    own: Arc<Semaphore>,
}

/// Bytes that were taken; given back when dropped.
pub struct Charge {
    all: OwnedSemaphorePermit,
    own: OwnedSemaphorePermit,
}

impl Memory {
    /// `bytes` in all. The largest message has `message_bytes`, and one connection can have half of everything, or one
    /// such message if that is more.
    pub fn new(bytes: usize, message_bytes: usize) -> Self {
        let bytes = bytes.max(message_bytes);
        Self { all: Arc::new(Semaphore::new(bytes)), share_bytes: message_bytes.max(bytes / 2) }
    }

    /// The share of a new connection.
    pub fn share(&self) -> Share {
        Share { all: Arc::clone(&self.all), own: Arc::new(Semaphore::new(self.share_bytes)) }
    }
}

impl Share {
    /// Takes `bytes`, if they are there.
    pub fn charge(&self, bytes: usize) -> Option<Charge> {
        let bytes = u32::try_from(bytes).ok()?;
        let own = Arc::clone(&self.own).try_acquire_many_owned(bytes).ok()?;
        let all = Arc::clone(&self.all).try_acquire_many_owned(bytes).ok()?;
        Some(Charge { all, own })
    }
}

impl Charge {
    /// Adds what was taken from the same share.
    pub fn merge(&mut self, other: Self) {
        self.all.merge(other.all);
        self.own.merge(other.own);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_gets_its_share_and_leaves_the_rest_to_others() {
        let memory = Memory::new(100, 30);
        let (greedy, other) = (memory.share(), memory.share());
        let mut held = greedy.charge(40).unwrap();
        held.merge(greedy.charge(10).unwrap());
        assert!(greedy.charge(1).is_none());
        let rest = other.charge(50).unwrap();
        drop(held);
        assert!(other.charge(1).is_none());
        assert!(greedy.charge(50).is_some());
        drop(rest);
        assert_eq!(memory.all.available_permits(), 100);
        // The largest message always fits into a share.
        assert!(Memory::new(100, 80).share().charge(80).is_some());
    }
}
