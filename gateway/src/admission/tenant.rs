//! A tenant at work: what it may use, and how much of it at a time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::config::TenantSettings;
use super::permission::Permission;
use super::rate::Limiter;
use crate::budget::Purse;
use crate::caller::Tenant;

/// One tenant, for as long as it is configured: a reload changes what it may, and keeps what it has.
#[derive(Debug)]
pub struct Member {
    tenant: Tenant,
    permission: Arc<Permission>,
    purse: Arc<Purse>,
    most_running: AtomicU64,
    running: AtomicU64,
    rate: RwLock<Option<Arc<Limiter>>>,
}

/// A tenant has as much as it may.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limited {
    /// Of requests a second; how long until the next.
    Rate(Duration),
    /// Of requests at a time.
    Running,
}

impl Member {
    pub(crate) fn new(tenant: Tenant, settings: &TenantSettings) -> Self {
        Self {
            tenant,
            permission: Arc::new(Permission::new(settings.models.clone())),
            purse: Arc::new(Purse::new(settings.bytes)),
            most_running: AtomicU64::new(settings.requests),
            running: AtomicU64::new(0),
            rate: RwLock::new(settings.rate.map(|rate| Arc::new(Limiter::new(rate)))),
        }
    }

    /// What it may from now on.
    pub(crate) fn set(&self, settings: &TenantSettings) {
        self.permission.set(settings.models.clone());
        self.purse.set_most(settings.bytes);
        self.most_running.store(settings.requests, Ordering::Relaxed);
        let mut rate = self.rate.write().unwrap_or_else(PoisonError::into_inner);
        // A limiter that stays the same keeps its count: a reload is no fresh burst.
        if rate.as_ref().map(|limiter| limiter.rate()) != settings.rate {
            *rate = settings.rate.map(|rate| Arc::new(Limiter::new(rate)));
        }
    }

    /// Who it is.
    pub fn tenant(&self) -> Tenant {
        self.tenant
    }

    /// What it may use.
    pub fn permission(&self) -> &Arc<Permission> {
        &self.permission
    }

    /// What it may have in flight, in bytes.
    pub fn purse(&self) -> &Arc<Purse> {
        &self.purse
    }

    /// Requests that are being relayed for it.
    pub fn running(&self) -> u64 {
        self.running.load(Ordering::Relaxed)
    }

    /// Counts a request against its rate.
    pub(crate) fn ask(&self) -> Result<(), Limited> {
        let rate = self.rate.read().unwrap_or_else(PoisonError::into_inner).clone();
        rate.map_or(Ok(()), |limiter| limiter.take().map_err(Limited::Rate))
    }

    /// Leave to have one more request relayed, until the result is dropped.
    pub(crate) fn run(self: &Arc<Self>) -> Result<Running, Limited> {
        let most = self.most_running.load(Ordering::Relaxed);
        let one_more = |running: u64| running.checked_add(1).filter(|after| *after <= most);
        match self.running.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more) {
            Ok(_) => Ok(Running(Arc::clone(self))),
            Err(_) => Err(Limited::Running),
        }
    }
}

/// A request that is being relayed, from its head to the end of its answer.
#[derive(Debug)]
pub struct Running(Arc<Member>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::admission::permission::Models;
    use crate::admission::rate::Rate;

    fn settings(per_second: u32, burst: u32, requests: u64) -> TenantSettings {
        let number = |number| NonZeroU32::new(number).unwrap();
        TenantSettings {
            rate: Some(Rate { per_second: number(per_second), burst: number(burst) }),
            requests,
            ..TenantSettings::everything()
        }
    }

    fn member(settings: &TenantSettings) -> Arc<Member> {
        Arc::new(Member::new(Tenant::named("one"), settings))
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_lets_a_burst_through_and_then_its_number() {
        let member = member(&settings(2, 3, 1));
        assert_eq!([0; 3].map(|_| member.ask()), [Ok(()); 3]);
        assert_eq!(member.ask(), Err(Limited::Rate(Duration::from_millis(500))));
        tokio::time::advance(Duration::from_millis(499)).await;
        assert_eq!(member.ask(), Err(Limited::Rate(Duration::from_millis(1))), "a refusal costs nothing");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!((member.ask(), member.ask().is_err()), (Ok(()), true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reload_that_changes_nothing_is_no_fresh_burst() {
        let same = settings(1, 1, 1);
        let member = member(&same);
        member.ask().unwrap();
        member.set(&same);
        assert_eq!(member.ask(), Err(Limited::Rate(Duration::from_secs(1))));
        member.set(&settings(1, 2, 1));
        assert_eq!(member.ask(), Ok(()), "the passing twin: a new limit");
    }

    #[test]
    fn so_many_run_at_a_time() {
        let member = member(&settings(1, 1, 2));
        let running = [member.run().unwrap(), member.run().unwrap()];
        assert_eq!(member.run().map(|_| ()), Err(Limited::Running));
        drop(running);
        assert_eq!((member.running(), member.run().is_ok()), (0, true));
        member.set(&TenantSettings { models: Models::All, ..settings(1, 1, 0) });
        assert!(member.run().is_err(), "none from now on");
    }
}
