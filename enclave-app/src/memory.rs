//! The memory that requests and answers may take, in every form that they have here: one permit for each byte, shared by
//! all connections.
//!
//! A request pays from a [`Purse`] *before* anything is allocated for it: its ciphertext as it arrives, tensors when their
//! shape is known, outputs, answer. What it no longer needs it spends again, so that a purse is as full as its request
//! ever was large at once, and an answer that is no larger than that never fails for want of memory. No connection can
//! have more than its share, so that one that takes all it can get leaves something to the others.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What is paid for an answer when the first byte of its request arrives, so that whatever becomes of a request, there is
/// memory to say it. Enough for every refusal, padded and then sealed.
pub const ANSWER_BYTES: usize = 10 << 10;

/// The memory of all connections.
pub struct Memory {
    all: Arc<Semaphore>,
    share_bytes: usize,
}

/// What one connection may take of it.
pub struct Share {
    all: Arc<Semaphore>,
    own: Arc<Semaphore>,
    bytes: usize,
}

/// What one request has taken of its connection's share; given back when dropped.
pub struct Purse {
    all: Arc<Semaphore>,
    own: Arc<Semaphore>,
    share_bytes: usize,
    taken: Option<[OwnedSemaphorePermit; 2]>,
    spent: usize,
}

/// Why there is no memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortage {
    /// Others have it now.
    Now,
    /// It is more than one request can ever have.
    Never {
        /// What the request would need at once, in bytes.
        needed: usize,
        /// What it can have.
        most: usize,
    },
}

impl Memory {
    /// `bytes` in all; one connection can have half of it, or `least_share` if that is more.
    pub fn new(bytes: usize, least_share: usize) -> Self {
        let bytes = bytes.max(least_share);
        Self { all: Arc::new(Semaphore::new(bytes)), share_bytes: least_share.max(bytes / 2) }
    }

    /// The share of a new connection.
    pub fn share(&self) -> Share {
        Share { all: Arc::clone(&self.all), own: Arc::new(Semaphore::new(self.share_bytes)), bytes: self.share_bytes }
    }
}

impl Share {
    /// An empty purse for a new request.
    pub fn purse(&self) -> Purse {
        let (all, own) = (Arc::clone(&self.all), Arc::clone(&self.own));
        Purse { all, own, share_bytes: self.bytes, taken: None, spent: 0 }
    }
}

impl Purse {
    /// Pays for `bytes` that are about to be allocated.
    ///
    /// # Errors
    /// [`Shortage`]; then nothing was paid.
    pub fn spend(&mut self, bytes: usize) -> Result<(), Shortage> {
        let needed = self.spent.saturating_add(bytes);
        if needed > self.share_bytes {
            return Err(Shortage::Never { needed, most: self.share_bytes });
        }
        let missing = u32::try_from(needed.saturating_sub(self.taken())).map_err(|_| Shortage::Now)?;
        if missing > 0 {
            // The share first: it is where a greedy connection ends.
            let own = Arc::clone(&self.own).try_acquire_many_owned(missing).map_err(|_| Shortage::Now)?;
            let all = Arc::clone(&self.all).try_acquire_many_owned(missing).map_err(|_| Shortage::Now)?;
            match &mut self.taken {
                Some([taken_own, taken_all]) => {
                    taken_own.merge(own);
                    taken_all.merge(all);
                }
                taken @ None => *taken = Some([own, all]),
            }
        }
        self.spent = needed;
        Ok(())
    }

    /// Takes `bytes` to spend later.
    ///
    /// # Errors
    /// [`Shortage`]; then nothing was taken.
    pub fn reserve(&mut self, bytes: usize) -> Result<(), Shortage> {
        self.spend(bytes)?;
        self.refund(bytes);
        Ok(())
    }

    /// Says that `bytes` that were paid for are allocated no more. They stay in the purse, for what comes next.
    pub fn refund(&mut self, bytes: usize) {
        self.spent = self.spent.saturating_sub(bytes);
    }

    /// Gives back what is in the purse and not spent.
    pub fn shrink(&mut self) {
        let more = self.taken().saturating_sub(self.spent);
        if let Some(taken) = &mut self.taken {
            taken.iter_mut().for_each(|permit| drop(permit.split(more)));
        }
    }

    /// How much has been taken.
    fn taken(&self) -> usize {
        self.taken.as_ref().map_or(0, |[own, _]| own.num_permits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_gets_its_share_and_leaves_the_rest_to_others() {
        let memory = Memory::new(100, 30);
        let (greedy, other) = (memory.share(), memory.share());
        let (mut held, mut more) = (greedy.purse(), greedy.purse());
        held.spend(40).unwrap();
        held.spend(10).unwrap();
        assert_eq!(more.spend(1), Err(Shortage::Now));
        let mut rest = other.purse();
        rest.spend(50).unwrap();
        drop(held);
        assert_eq!(other.purse().spend(1), Err(Shortage::Now), "its share is used up");
        more.spend(50).unwrap();
        drop((more, rest));
        assert_eq!(memory.all.available_permits(), 100);
        assert_eq!(greedy.own.available_permits(), 50);
        // The largest message always fits into a share.
        Memory::new(100, 80).share().purse().spend(80).unwrap();
        Memory::new(10, 80).share().purse().spend(80).unwrap();
    }

    #[test]
    fn a_request_spends_again_what_it_needs_no_more() {
        let memory = Memory::new(100, 30);
        let (share, other) = (memory.share(), memory.share());
        let mut purse = share.purse();
        purse.spend(30).unwrap();
        purse.spend(20).unwrap();
        purse.refund(30);
        // Nobody else can take it meanwhile.
        let mut rest = other.purse();
        rest.spend(50).unwrap();
        assert_eq!(memory.all.available_permits(), 0);
        purse.reserve(30).unwrap();
        purse.spend(30).unwrap();
        assert_eq!(purse.spend(1), Err(Shortage::Never { needed: 51, most: 50 }));
        purse.refund(50);
        purse.spend(10).unwrap();
        purse.shrink();
        assert_eq!(memory.all.available_permits(), 40);
        drop(purse);
        assert_eq!(memory.all.available_permits(), 50);
    }

    #[test]
    fn what_can_never_be_had_is_told_from_what_others_have() {
        let memory = Memory::new(100, 30);
        let (share, other) = (memory.share(), memory.share());
        let mut purse = share.purse();
        assert_eq!(purse.spend(51), Err(Shortage::Never { needed: 51, most: 50 }));
        assert_eq!(purse.spend(usize::MAX), Err(Shortage::Never { needed: usize::MAX, most: 50 }));
        let mut first = other.purse();
        first.spend(50).unwrap();
        let third = memory.share();
        let mut second = third.purse();
        second.spend(30).unwrap();
        assert_eq!(purse.spend(21), Err(Shortage::Now));
        // What failed took nothing.
        assert_eq!((memory.all.available_permits(), share.own.available_permits()), (20, 50));
        purse.spend(20).unwrap();
    }
}
