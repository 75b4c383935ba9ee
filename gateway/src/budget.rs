//! The memory that clients make the gateway keep: one budget in bytes for all of it, charged where it is received.
//!
//! Every connection has an account. What it pays for: the connection itself and its buffers, the window of HTTP/2, each
//! request that is open, each byte that was received and not yet sent on or given up, each byte of an answer that the client has
//! not taken. The first [`FLOOR_BYTES`] of every account are set aside for it, so a small request has room on whatever connection
//! has a place, however much others keep. What is beyond comes out of a pool, in shares that bind when it becomes scarce
//! (`shares.rs`). A connection may ask for several tenants, one after the other or at a time: the floor is the connection's, and
//! what is beyond is the share of the tenant that took it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::caller::{Caller, Tenant};
use crate::shares::{Scarce, Shares};

/// Set aside for each connection: itself, its window, and one small request with its answer.
pub const FLOOR_BYTES: u64 = 256 << 10;
/// A connection without requests: TLS, the buffers of HTTP, a task. Measured with 800 of them, about 36 KB each.
pub(crate) const CONNECTION_BYTES: u64 = 40 << 10;
/// An open request: its head, its task, the state of its stream, a piece on its way.
pub(crate) const STREAM_BYTES: u64 = 16 << 10;
/// What an HTTP/2 client may send before it was read: of one stream, and of all streams of a connection.
pub(crate) const WINDOW_BYTES: u32 = 128 << 10;

/// The budget of the process.
#[derive(Debug)]
pub struct Budget {
    total: u64,
    pool: Shares,
    kept: AtomicU64,
}

/// There is no room for more of this client's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoMemory;

impl fmt::Display for NoMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this gateway keeps as much for this connection, for where it comes from, or for all, as it may")
    }
}

impl Budget {
    /// `bytes` in all, with a floor for so many `connections`.
    pub fn new(bytes: u64, connections: u64) -> Self {
        let pool = bytes.saturating_sub(connections.saturating_mul(FLOOR_BYTES));
        Self { total: bytes, pool: Shares::new(pool), kept: AtomicU64::new(0) }
    }

    /// The account of a new connection.
    pub(crate) fn account(self: &Arc<Self>, caller: Caller) -> Arc<Account> {
        self.kept.fetch_add(CONNECTION_BYTES, Ordering::Relaxed);
        let used = Used { all: CONNECTION_BYTES, from_pool: Vec::new() };
        Arc::new(Account { budget: Arc::clone(self), caller, used: Mutex::new(used) })
    }

    /// Bytes that are kept now.
    pub fn kept(&self) -> u64 {
        self.kept.load(Ordering::Relaxed)
    }

    /// Bytes that may be kept.
    pub fn total(&self) -> u64 {
        self.total
    }
}

/// The bytes that one tenant may have in flight, over all of its connections.
#[derive(Debug)]
pub struct Purse {
    most: AtomicU64,
    spent: AtomicU64,
}

impl Purse {
    /// At most so many.
    pub fn new(most: u64) -> Self {
        Self { most: AtomicU64::new(most), spent: AtomicU64::new(0) }
    }

    /// At most so many from now on.
    pub fn set_most(&self, most: u64) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// How many there are.
    pub fn spent(&self) -> u64 {
        self.spent.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64) -> Result<(), NoMemory> {
        let most = self.most.load(Ordering::Relaxed);
        let fits = |spent: u64| spent.checked_add(bytes).filter(|after| *after <= most);
        self.spent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).map(|_| ()).map_err(|_| NoMemory)
    }

    fn give_back(&self, bytes: u64) {
        self.spent.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What one connection makes the gateway keep.
#[derive(Debug)]
pub(crate) struct Account {
    budget: Arc<Budget>,
    caller: Caller,
    used: Mutex<Used>,
}

#[derive(Debug)]
struct Used {
    all: u64,
    /// Whose share what is beyond the floor is. As many as there are tenants, at most.
    from_pool: Vec<(Tenant, u64)>,
}

impl Account {
    /// Who pays.
    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Room for `bytes` of the connection itself, given back when the result is dropped.
    #[cfg(test)]
    pub(crate) fn charge(self: &Arc<Self>, bytes: u64) -> Result<Charge, NoMemory> {
        self.charge_for(self.caller.tenant, None, bytes)
    }

    /// Room for `bytes` of `tenant`, out of its purse if it has one, given back when the result is dropped.
    pub(crate) fn charge_for(
        self: &Arc<Self>,
        tenant: Tenant,
        purse: Option<Arc<Purse>>,
        bytes: u64,
    ) -> Result<Charge, NoMemory> {
        let mut charge = Charge { account: Arc::clone(self), tenant, purse, bytes: 0 };
        charge.grow_to(bytes)?;
        Ok(charge)
    }

    fn take(&self, tenant: Tenant, bytes: u64) -> Result<(), NoMemory> {
        let mut used = self.lock();
        let after = used.all.saturating_add(bytes);
        let from_pool = beyond(after).saturating_sub(beyond(used.all));
        if from_pool > 0 {
            self.budget.pool.take(&self.as_caller(tenant), from_pool).map_err(|Scarce| NoMemory)?;
            match used.from_pool.iter_mut().find(|(known, _)| *known == tenant) {
                Some((_, taken)) => *taken = taken.saturating_add(from_pool),
                None => used.from_pool.push((tenant, from_pool)),
            }
        }
        used.all = after;
        self.budget.kept.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    fn give_back(&self, tenant: Tenant, bytes: u64) {
        let mut used = self.lock();
        let after = used.all.saturating_sub(bytes);
        let mut to_pool = beyond(used.all).saturating_sub(beyond(after));
        if to_pool > 0 {
            // Its own share first. Where that was inside the floor, the floor is free for what others took from the pool.
            if let Some(own) = used.from_pool.iter().position(|(known, _)| *known == tenant) {
                used.from_pool.swap(0, own);
            }
            for (whose, taken) in &mut used.from_pool {
                let part = to_pool.min(*taken);
                self.budget.pool.give_back(&self.as_caller(*whose), part);
                (*taken, to_pool) = (taken.saturating_sub(part), to_pool.saturating_sub(part));
            }
            used.from_pool.retain(|(_, taken)| *taken > 0);
        }
        used.all = after;
        self.budget.kept.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn as_caller(&self, tenant: Tenant) -> Caller {
        Caller { tenant, ..self.caller }
    }

    fn lock(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.budget.kept.fetch_sub(CONNECTION_BYTES, Ordering::Relaxed);
    }
}

/// What of an account's use is not set aside for it.
fn beyond(used: u64) -> u64 {
    used.saturating_sub(FLOOR_BYTES)
}

/// Room for some bytes.
#[derive(Debug)]
pub(crate) struct Charge {
    account: Arc<Account>,
    tenant: Tenant,
    purse: Option<Arc<Purse>>,
    bytes: u64,
}

impl Charge {
    /// Makes room for `bytes` in all. If there is none, what there was stays.
    pub(crate) fn grow_to(&mut self, bytes: u64) -> Result<(), NoMemory> {
        let Some(more) = bytes.checked_sub(self.bytes) else { return Ok(()) };
        if let Some(purse) = &self.purse {
            purse.take(more)?;
        }
        if let Err(error) = self.account.take(self.tenant, more) {
            self.purse.iter().for_each(|purse| purse.give_back(more));
            return Err(error);
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Gives back what is beyond `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: u64) {
        if let Some(less) = self.bytes.checked_sub(bytes) {
            self.account.give_back(self.tenant, less);
            self.purse.iter().for_each(|purse| purse.give_back(less));
            self.bytes = bytes;
        }
    }

    /// How many.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.account.give_back(self.tenant, self.bytes);
        self.purse.iter().for_each(|purse| purse.give_back(self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;

    const KIB: u64 = 1 << 10;

    fn account(budget: &Arc<Budget>, source: u8) -> Arc<Account> {
        budget.account(Caller::new(Tenant::DEFAULT, Source::V4([10, 0, 0, source])))
    }

    #[test]
    fn a_small_request_has_room_however_much_others_keep() {
        // Four floors, and a pool of 900 KiB.
        let budget = Arc::new(Budget::new(4 * FLOOR_BYTES + 900 * KIB, 4));
        let greedy: Vec<_> = (0..3).map(|_| account(&budget, 1)).collect();
        let mut held = Vec::new();
        for account in &greedy {
            while let Ok(charge) = account.charge(KIB) {
                held.push(charge);
            }
        }
        assert_eq!(budget.pool.taken(), 600 * KIB, "one source gets two thirds of the pool, and each its floor");
        assert_eq!(budget.kept(), 600 * KIB + 3 * FLOOR_BYTES);
        let other = account(&budget, 1);
        let small = other.charge(FLOOR_BYTES - CONNECTION_BYTES);
        assert!(small.is_ok(), "another connection of the same source has its floor");
        assert_eq!(other.charge(1).map(|_| ()), Err(NoMemory), "and no more");
        let elsewhere = account(&budget, 2);
        assert!(elsewhere.charge(FLOOR_BYTES + 100 * KIB).is_ok());
        assert!(budget.kept() <= budget.total());
    }

    #[test]
    fn everything_is_given_back() {
        let budget = Arc::new(Budget::new(FLOOR_BYTES + 900 * KIB, 1));
        let account = account(&budget, 1);
        assert_eq!(budget.kept(), CONNECTION_BYTES);
        let mut first = account.charge(200 * KIB).unwrap();
        let second = account.charge(200 * KIB).unwrap();
        assert_eq!((budget.kept(), budget.pool.taken()), (440 * KIB, 184 * KIB));
        first.shrink_to(100 * KIB);
        assert_eq!((budget.kept(), budget.pool.taken()), (340 * KIB, 84 * KIB));
        assert_eq!(first.grow_to(900 * KIB), Err(NoMemory));
        assert_eq!((first.bytes(), budget.kept()), (100 * KIB, 340 * KIB), "a refusal leaves no trace");
        drop(second);
        assert_eq!(budget.pool.taken(), 0, "what is left is inside the floor");
        drop(first);
        drop(account);
        assert_eq!((budget.kept(), budget.pool.taken()), (0, 0));
    }

    #[test]
    fn tenants_of_one_connection_share_its_floor_and_pay_the_rest_each_for_itself() {
        let budget = Arc::new(Budget::new(FLOOR_BYTES + 900 * KIB, 1));
        let account = account(&budget, 1);
        let [one, other] = ["one", "other"].map(Tenant::named);
        let charge = |tenant, bytes| account.charge_for(tenant, None, bytes).unwrap();
        let in_floor = charge(one, 216 * KIB);
        let (first, second) = (charge(one, 100 * KIB), charge(other, 60 * KIB));
        assert_eq!(account.lock().from_pool, [(one, 100 * KIB), (other, 60 * KIB)]);
        drop(first);
        assert_eq!(account.lock().from_pool, [(other, 60 * KIB)], "its own share, not the other's");
        drop(in_floor);
        assert_eq!((account.lock().from_pool.len(), budget.pool.taken()), (0, 0), "the floor is free for the other");
        drop(second);
        assert_eq!(budget.kept(), CONNECTION_BYTES);
    }

    #[test]
    fn a_purse_bounds_one_tenant_over_all_connections() {
        let budget = Arc::new(Budget::new(2 * FLOOR_BYTES + 900 * KIB, 2));
        let purse = Arc::new(Purse::new(100 * KIB));
        let [one, other] = [account(&budget, 1), account(&budget, 2)];
        let tenant = Tenant::named("one");
        let charge = |account: &Arc<Account>, bytes| account.charge_for(tenant, Some(Arc::clone(&purse)), bytes);
        let mut first = charge(&one, 60 * KIB).unwrap();
        assert_eq!(charge(&other, 41 * KIB).map(|_| ()), Err(NoMemory));
        let second = charge(&other, 40 * KIB).unwrap();
        assert_eq!((first.grow_to(61 * KIB), first.bytes()), (Err(NoMemory), 60 * KIB));
        drop(second);
        assert_eq!(first.grow_to(61 * KIB), Ok(()));
        // What the budget refuses is given back to the purse.
        purse.set_most(u64::MAX);
        assert_eq!((first.grow_to(5_000 * KIB), purse.spent()), (Err(NoMemory), 61 * KIB));
        drop(first);
        assert_eq!(purse.spent(), 0);
    }
}
