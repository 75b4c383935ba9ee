//! The other end of a client's connection: who asks, what his requests may make the gateway keep, and what happens there.

use std::sync::{Arc, Mutex, PoisonError};

use crate::activity::Activity;
use crate::admission::Certificate;
use crate::budget::{Account, Budget, Charge, NoMemory, Purse, WINDOW_BYTES};
use crate::caller::{Caller, Tenant};

/// So many refusals at a time say why in a body. Whoever lets more of them lie gets the status alone, which needs no window.
const REFUSALS: usize = 4;

/// One connection, as its requests see it.
#[derive(Debug)]
pub struct Peer {
    account: Arc<Account>,
    caller: Caller,
    purse: Option<Arc<Purse>>,
    certificate: Certificate,
    activity: Arc<Activity>,
    window: Mutex<Option<Charge>>,
    refusals: Arc<()>,
}

impl Peer {
    pub(crate) fn new(caller: Caller, budget: &Arc<Budget>, activity: Arc<Activity>) -> Self {
        Self {
            account: budget.account(caller),
            caller,
            purse: None,
            certificate: Certificate::None,
            activity,
            window: Mutex::default(),
            refusals: Arc::default(),
        }
    }

    /// The same with what the client showed in the TLS handshake.
    pub(crate) fn with_certificate(self, certificate: Certificate) -> Self {
        Self { certificate, ..self }
    }

    /// The same end of the same connection, asking in the name of `tenant` and out of its purse.
    pub(crate) fn in_the_name_of(&self, tenant: Tenant, purse: Arc<Purse>) -> Self {
        Self {
            account: Arc::clone(&self.account),
            caller: Caller { tenant, ..*self.account.caller() },
            purse: Some(purse),
            certificate: self.certificate.clone(),
            activity: Arc::clone(&self.activity),
            window: Mutex::default(),
            refusals: Arc::default(),
        }
    }

    /// Who asks.
    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// What the client showed in the TLS handshake.
    pub(crate) fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// What happens on the connection.
    pub(crate) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    /// Room for `bytes`.
    pub(crate) fn charge(&self, bytes: u64) -> Result<Charge, NoMemory> {
        self.account.charge_for(self.caller.tenant, self.purse.clone(), bytes)
    }

    /// It speaks HTTP/2: its client may send a window ahead. The floor of its account has room for that.
    pub(crate) fn speaks_http_2(&self) -> Result<(), NoMemory> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.is_none() {
            *window = Some(self.charge(WINDOW_BYTES.into())?);
        }
        Ok(())
    }

    /// Leave to say why in a body that a request is refused, held until that has left.
    pub(crate) fn refusal(&self) -> Option<Arc<()>> {
        (Arc::strong_count(&self.refusals) <= REFUSALS).then(|| Arc::clone(&self.refusals))
    }
}
