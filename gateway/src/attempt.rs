//! One try of one instance: what it says to the circuit breaker and to the metrics.

use std::sync::Arc;

use tokio::time::Instant;

use crate::breaker::Trial;
use crate::config::Address;
use crate::metrics::Metrics;

/// One try of one instance, to be told how it went. Dropped untold, it was a client's doing, or nobody's.
pub struct Attempt {
    /// Which instance.
    pub address: Address,
    /// Its circuit breaker's leave.
    pub trial: Option<Trial>,
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
}

impl Attempt {
    pub(crate) fn answered(self) {
        self.metrics.upstream(&self.address, "answered");
        if let Some(trial) = self.trial {
            trial.answered();
        }
    }

    pub(crate) fn failed(self, outcome: &'static str) {
        self.metrics.upstream(&self.address, outcome);
        if let Some(trial) = self.trial {
            trial.failed(Instant::now());
        }
    }
}
