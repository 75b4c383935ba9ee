//! Shares of something of which there is only so much: they bind when it becomes scarce, and not before.
//!
//! Nobody has a fixed share. Whoever takes something may afterwards hold as much as is still free, as one connection; twice
//! that, as everything from one source; eight times that, as everything of one tenant. Who is alone so gets one half, two
//! thirds, eight ninths of all, and something is always left for whoever comes next: the greedy meet the limit first, and only
//! they. (Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet switches", 1998.)

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::caller::{Caller, Tenant};
use crate::source::Source;

/// How many times what is still free a connection, a source and a tenant may hold.
const CONNECTION: u64 = 1;
const SOURCE: u64 = 2;
const TENANT: u64 = 8;

/// What there is of it, and who has how much.
#[derive(Debug)]
pub(crate) struct Shares {
    total: u64,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: u64,
    tenants: HashMap<Tenant, u64>,
    sources: HashMap<Source, u64>,
    connections: HashMap<u64, u64>,
}

/// There is not enough left for this caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Scarce;

impl Shares {
    /// So much in all.
    pub(crate) fn new(total: u64) -> Self {
        Self { total, taken: Mutex::default() }
    }

    /// Takes `amount` for `caller`, to be given back.
    pub(crate) fn take(&self, caller: &Caller, amount: u64) -> Result<(), Scarce> {
        let mut taken = self.lock();
        let free = self.total.checked_sub(taken.all).and_then(|free| free.checked_sub(amount)).ok_or(Scarce)?;
        let after = |held: Option<&u64>| held.copied().unwrap_or(0).saturating_add(amount);
        let is_fair = after(taken.connections.get(&caller.connection)) <= free.saturating_mul(CONNECTION)
            && after(taken.sources.get(&caller.source)) <= free.saturating_mul(SOURCE)
            && after(taken.tenants.get(&caller.tenant)) <= free.saturating_mul(TENANT);
        if !is_fair {
            return Err(Scarce);
        }
        taken.all = taken.all.saturating_add(amount);
        add(&mut taken.connections, caller.connection, amount);
        add(&mut taken.sources, caller.source, amount);
        add(&mut taken.tenants, caller.tenant, amount);
        Ok(())
    }

    /// Gives back what was taken.
    pub(crate) fn give_back(&self, caller: &Caller, amount: u64) {
        let mut taken = self.lock();
        taken.all = taken.all.saturating_sub(amount);
        subtract(&mut taken.connections, &caller.connection, amount);
        subtract(&mut taken.sources, &caller.source, amount);
        subtract(&mut taken.tenants, &caller.tenant, amount);
    }

    /// Takes one, which is given back when the result is dropped.
    pub(crate) fn one(self: &Arc<Self>, caller: &Caller) -> Result<One, Scarce> {
        self.take(caller, 1)?;
        Ok(One { shares: Arc::clone(self), caller: *caller })
    }

    /// How much is taken.
    pub(crate) fn taken(&self) -> u64 {
        self.lock().all
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of what is shared.
#[derive(Debug)]
pub(crate) struct One {
    shares: Arc<Shares>,
    caller: Caller,
}

impl Drop for One {
    fn drop(&mut self) {
        self.shares.give_back(&self.caller, 1);
    }
}

fn add<K: Eq + Hash>(held: &mut HashMap<K, u64>, key: K, amount: u64) {
    let held = held.entry(key).or_default();
    *held = held.saturating_add(amount);
}

/// Who holds nothing is forgotten: the maps are as large as what is held.
fn subtract<K: Eq + Hash>(held: &mut HashMap<K, u64>, key: &K, amount: u64) {
    if let Some(own) = held.get_mut(key) {
        *own = own.saturating_sub(amount);
        if *own == 0 {
            held.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(source: u8) -> Caller {
        Caller::new(Tenant::DEFAULT, Source::V4([10, 0, 0, source]))
    }

    /// Takes one after the other, round and round, until nobody gets any more; says how many each has.
    fn fill(shares: &Shares, callers: &[Caller]) -> Vec<u64> {
        let mut held = vec![0; callers.len()];
        loop {
            let before = held.clone();
            for (held, caller) in held.iter_mut().zip(callers) {
                *held += u64::from(shares.take(caller, 1).is_ok());
            }
            if held == before {
                return held;
            }
        }
    }

    #[test]
    fn who_is_alone_gets_nearly_everything_and_something_is_always_left() {
        let shares = Shares::new(900);
        let greedy = caller(1);
        assert_eq!(fill(&shares, &[greedy]), [450], "one connection");
        let second = Caller { connection: u64::MAX, ..greedy };
        assert_eq!(fill(&shares, &[second]), [150], "two thirds for one source, over however many connections");
        assert_eq!(fill(&shares, &[caller(1)]), [0]);
        let others: Vec<_> = (2..40).map(caller).collect();
        assert_eq!(fill(&shares, &others).iter().sum::<u64>(), 200, "eight ninths for one tenant");
        let tenant = Caller::new(Tenant::named("other"), Source::V4([10, 0, 1, 0]));
        assert_eq!(fill(&shares, &[tenant]), [50], "and the rest is there for another");
    }

    #[test]
    fn nothing_binds_while_there_is_enough() {
        let shares = Shares::new(900);
        let (one, other) = (caller(1), caller(2));
        assert_eq!(shares.take(&one, 300), Ok(()));
        assert_eq!(shares.take(&other, 300), Ok(()), "as much as the first, though a third is left");
        assert_eq!(shares.take(&one, 1), Err(Scarce));
        shares.give_back(&other, 300);
        assert_eq!(shares.take(&one, 150), Ok(()), "what the other gave back");
        assert_eq!((shares.take(&other, u64::MAX), shares.take(&other, 451)), (Err(Scarce), Err(Scarce)));
    }

    #[test]
    fn all_is_given_back_and_nobody_is_remembered() {
        let shares = Arc::new(Shares::new(90));
        let callers: Vec<_> = (0..9).map(caller).collect();
        let held: Vec<_> = callers.iter().map(|caller| shares.one(caller).unwrap()).collect();
        assert_eq!(shares.taken(), 9);
        drop(held);
        let taken = shares.lock();
        assert_eq!((taken.all, taken.tenants.len(), taken.sources.len(), taken.connections.len()), (0, 0, 0, 0));
    }
}
