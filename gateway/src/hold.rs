//! The hold: sealed requests that may not be released yet wait here, bounded in number and bytes for each tenant, until the
//! release predicate holds or their time is over. Nothing of a held request has been sent. The memory is that
//! of whoever sent it ([`crate::budget`]).
//!
//! Waiting is woken by changes of the fleet, never by polling.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::caller::{Caller, Tenant};
use crate::source::Source;

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub struct HoldLimits {
    /// Requests of one tenant.
    pub tenant_requests: u64,
    /// Sealed bytes of one tenant.
    pub tenant_bytes: u64,
}

/// There is no room for another request, or for more bytes of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

/// The bookkeeping of everything that waits.
#[derive(Debug)]
pub struct Hold {
    limits: HoldLimits,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    tenants: HashMap<Tenant, Share>,
}

#[derive(Debug, Default)]
struct Share {
    requests: u64,
    bytes: u64,
    sources: HashMap<Source, u64>,
}

impl Hold {
    /// An empty hold.
    pub fn new(limits: HoldLimits) -> Self {
        Self { limits, used: Mutex::default() }
    }

    /// Takes a place for a request of which `bytes` have come; dropping the place gives it back. Of the places of its tenant a
    /// source may have twice as many as are still free: there is one for whoever comes from elsewhere.
    pub fn enter(self: &Arc<Self>, caller: &Caller, bytes: u64) -> Result<Place, Full> {
        let Caller { tenant, source, .. } = *caller;
        {
            let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
            let share = used.tenants.entry(tenant).or_default();
            let requests = share.requests.saturating_add(1);
            let free = self.limits.tenant_requests.checked_sub(requests).ok_or(Full)?;
            let own = share.sources.entry(source).or_default();
            let after = own.saturating_add(1);
            if after > 1 && after > free.saturating_mul(2) {
                return Err(Full);
            }
            (*own, share.requests) = (after, requests);
        }
        let mut place = Place { hold: Arc::clone(self), tenant, source, bytes: 0 };
        place.grow_to(bytes)?;
        Ok(place)
    }

    /// Requests and bytes that wait now.
    pub fn usage(&self) -> (u64, u64) {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let shares = used.tenants.values();
        shares.fold((0, 0), |(requests, bytes), share| (requests + share.requests, bytes + share.bytes))
    }
}

/// A place in the hold.
#[derive(Debug)]
pub struct Place {
    hold: Arc<Hold>,
    tenant: Tenant,
    source: Source,
    bytes: u64,
}

impl Place {
    /// Makes room for `bytes` in all, as more of the request comes.
    pub fn grow_to(&mut self, bytes: u64) -> Result<(), Full> {
        let more = bytes.saturating_sub(self.bytes);
        let mut used = self.hold.used.lock().unwrap_or_else(PoisonError::into_inner);
        let share = used.tenants.entry(self.tenant).or_default();
        if share.bytes.saturating_add(more) > self.hold.limits.tenant_bytes {
            return Err(Full);
        }
        share.bytes = share.bytes.saturating_add(more);
        self.bytes = self.bytes.saturating_add(more);
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut used = self.hold.used.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(share) = used.tenants.get_mut(&self.tenant) else { return };
        share.bytes = share.bytes.saturating_sub(self.bytes);
        share.requests = share.requests.saturating_sub(1);
        if let Some(own) = share.sources.get_mut(&self.source) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                share.sources.remove(&self.source);
            }
        }
        if share.requests == 0 {
            used.tenants.remove(&self.tenant);
        }
    }
}

/// Waits until `judge` has an answer, asking it again after every change; `None` once `deadline` has passed without one.
pub async fn wait_until<T>(
    changes: &mut watch::Receiver<u64>,
    deadline: Instant,
    mut judge: impl FnMut() -> Option<T>,
) -> Option<T> {
    loop {
        // What changes from here on wakes the wait below, so nothing is missed between judging and waiting.
        changes.borrow_and_update();
        if let Some(answer) = judge() {
            return Some(answer);
        }
        match timeout_at(deadline, changes.changed()).await {
            Ok(Ok(())) => {}
            // The fleet is gone or the time is over: nothing can change the answer any more.
            Ok(Err(_)) | Err(_) => return None,
        }
    }
}

/// Waits until `has_changed` says so, asking it again after every change.
pub async fn wait_until_changed(changes: &mut watch::Receiver<u64>, has_changed: impl Fn() -> bool) {
    loop {
        changes.borrow_and_update();
        if has_changed() || changes.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn hold(tenant_requests: u64) -> Arc<Hold> {
        Arc::new(Hold::new(HoldLimits { tenant_requests, tenant_bytes: 100 }))
    }

    fn caller(tenant: Tenant, source: u8) -> Caller {
        Caller::new(tenant, Source::V4([10, 0, 0, source]))
    }

    #[test]
    fn number_and_bytes_are_bounded_and_given_back() {
        let hold = hold(2);
        let enter = |source, bytes| hold.enter(&caller(Tenant::DEFAULT, source), bytes);
        let first = enter(1, 60).unwrap();
        assert_eq!(enter(2, 41).unwrap_err(), Full, "bytes of the tenant");
        assert_eq!(hold.usage(), (1, 60), "a refused request leaves no trace");
        let mut second = enter(2, 0).unwrap();
        assert_eq!(enter(3, 0).unwrap_err(), Full, "number of the tenant");
        assert_eq!(second.grow_to(41), Err(Full));
        assert_eq!(second.grow_to(40), Ok(()));
        let third = hold.enter(&caller(Tenant::named("other"), 1), 100).unwrap();
        assert_eq!(hold.usage(), (3, 200), "another tenant has its own");
        drop((first, second, third));
        assert_eq!(hold.usage(), (0, 0));
        assert!(hold.used.lock().unwrap().tenants.is_empty());
    }

    #[test]
    fn one_source_leaves_places_to_another() {
        let hold = hold(90);
        let fill = |source| {
            let places = std::iter::from_fn(|| hold.enter(&caller(Tenant::DEFAULT, source), 0).ok());
            places.collect::<Vec<_>>()
        };
        let (greedy, other, last) = (fill(1), fill(2), fill(3));
        assert_eq!((greedy.len(), other.len(), last.len()), (60, 20, 6));
        drop(greedy);
        assert_eq!(fill(3).len(), 40, "beside the 6 that it has");
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_with_the_change_that_makes_the_predicate_hold() {
        let (sender, mut changes) = watch::channel(0_u64);
        let deadline = Instant::now() + Duration::from_secs(30);
        let watched = sender.subscribe();
        let waiting = tokio::spawn(async move {
            let mut asked = 0;
            let answer = wait_until(&mut changes, deadline, || {
                asked += 1;
                (*watched.borrow() == 2).then_some("released")
            })
            .await;
            (answer, asked)
        });
        tokio::task::yield_now().await;
        sender.send(1).unwrap();
        tokio::task::yield_now().await;
        sender.send(2).unwrap();
        assert_eq!(waiting.await.unwrap(), (Some("released"), 3), "asked once a change, not on a timer");
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_at_the_deadline() {
        let (_sender, mut changes) = watch::channel(0_u64);
        let start = Instant::now();
        let deadline = start + Duration::from_secs(30);
        assert_eq!(wait_until(&mut changes, deadline, || None::<()>).await, None);
        assert_eq!(start.elapsed(), Duration::from_secs(30));
    }
}
