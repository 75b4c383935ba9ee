//! One try of one instance: what it says to the circuit breaker and to the metrics.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use crate::balance::load::Trip;
use crate::breaker::Trial;
use crate::config::Address;
use crate::metrics::Metrics;

/// One try of one instance, to be told how it went. Dropped untold, it was a client's doing, or nobody's.
pub struct Attempt {
    /// Which instance.
    pub address: Address,
    /// Its circuit breaker's leave.
    pub trial: Option<Trial>,
    /// What is measured of it, until it is dropped.
    pub trip: Option<Trip>,
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
}

impl Attempt {
    /// The head of the answer is there, so long after the request was sent whole. An instance that cannot do its work says so at once:
    /// that must not look like speed.
    pub(crate) fn headed(&self, status: StatusCode, took: Option<Duration>) {
        let Some(trip) = &self.trip else { return };
        if status.is_server_error() {
            trip.failed(Instant::now());
        } else {
            trip.answered(took);
        }
    }

    pub(crate) fn answered(self) {
        self.metrics.upstream(&self.address, "answered");
        if let Some(trial) = self.trial {
            trial.answered();
        }
    }

    pub(crate) fn failed(self, outcome: &'static str) {
        self.metrics.upstream(&self.address, outcome);
        if let Some(trip) = &self.trip {
            trip.failed(Instant::now());
        }
        if let Some(trial) = self.trial {
            trial.failed(Instant::now());
        }
    }
}
