//! The other end of a client's connection: who asks, what his requests may make the gateway keep, and what happens there.

use std::sync::{Arc, Mutex, PoisonError};

use crate::activity::Activity;
use crate::budget::{Account, Budget, Charge, NoMemory, WINDOW_BYTES};
use crate::caller::Caller;

/// So many refusals at a time say why in a body. Whoever lets more of them lie gets the status alone, which needs no window.
const REFUSALS: usize = 4;

/// One connection, as its requests see it.
#[derive(Debug)]
pub struct Peer {
    account: Arc<Account>,
    activity: Arc<Activity>,
    window: Mutex<Option<Charge>>,
    refusals: Arc<()>,
}

impl Peer {
    pub(crate) fn new(caller: Caller, budget: &Arc<Budget>, activity: Arc<Activity>) -> Self {
        Self { account: budget.account(caller), activity, window: Mutex::default(), refusals: Arc::default() }
    }

    /// Who asks.
    pub(crate) fn caller(&self) -> &Caller {
        self.account.caller()
    }

    /// What happens on the connection.
    pub(crate) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    /// Room for `bytes`.
    pub(crate) fn charge(&self, bytes: u64) -> Result<Charge, NoMemory> {
        self.account.charge(bytes)
    }

    /// It speaks HTTP/2: its client may send a window ahead. The floor of its account has room for that.
    pub(crate) fn speaks_http_2(&self) -> Result<(), NoMemory> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.is_none() {
            *window = Some(self.account.charge(WINDOW_BYTES.into())?);
        }
        Ok(())
    }

    /// Leave to say why in a body that a request is refused, held until that has left.
    pub(crate) fn refusal(&self) -> Option<Arc<()>> {
        (Arc::strong_count(&self.refusals) <= REFUSALS).then(|| Arc::clone(&self.refusals))
    }
}
