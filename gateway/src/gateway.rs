//! What the endpoints work with.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use teegate_protocol::receipt::ReceiptKey;

use crate::admission::Gatekeeper;
use crate::budget::Budget;
use crate::challenges::Challenges;
use crate::fleet::Fleet;
use crate::hold::Hold;
use crate::metrics::Metrics;
use crate::polls::Polls;
use crate::proxy::ForwardLimits;
use crate::published::Published;
use crate::reloads::Reloads;
use crate::telemetry::Tracer;
use crate::tls::Certificates;

/// What the endpoints work with.
pub struct Gateway {
    /// Who may be sent to.
    pub fleet: Arc<Fleet>,
    /// Who may ask.
    pub gatekeeper: Gatekeeper,
    /// What waits.
    pub hold: Arc<Hold>,
    /// What clients may make the gateway keep.
    pub budget: Arc<Budget>,
    /// Who may wait for an instance.
    pub polls: Polls,
    /// The challenges of clients.
    pub challenges: Challenges,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What is traced.
    pub tracer: Tracer,
    /// Which policy is in force, and whether the last reload succeeded.
    pub reloads: Arc<Reloads>,
    /// What clients are shown, where they speak TLS to the gateway itself.
    pub certificates: Option<Arc<Certificates>>,
    /// What the operator publishes for clients.
    pub published: Published,
    /// Signs release receipts.
    pub receipt_key: ReceiptKey,
    /// The limits of the configuration that apply to requests.
    pub limits: RouteLimits,
    /// Set at shutdown.
    pub is_draining: AtomicBool,
}

/// What a request may take.
#[derive(Clone, Copy, Debug)]
pub struct RouteLimits {
    /// The longest sealed request.
    pub max_sealed_bytes: u64,
    /// How long a request is held when it does not say.
    pub hold: Duration,
    /// The longest hold.
    pub max_hold: Duration,
    /// Forwarding.
    pub forward: ForwardLimits,
}

impl Gateway {
    /// From now on nothing is released and nobody is shown an instance; who waits for that is told at once.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Release);
        self.fleet.announce();
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Acquire)
    }
}
