//! How often what happened to the workers of a model: numbers, and nothing of a request.
//!
//! There is no exporter, because whoever runs the host would choose where to: the numbers go to the log when a worker is lost
//! and when the program ends.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::Loss;

/// What has happened since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Runs that an engine was asked for, one for each shared run.
    pub runs: u64,
    /// Of these, the ones that requests shared.
    pub shared_runs: u64,
    /// The requests in shared runs, all together.
    pub shared_requests: u64,
    /// The shared runs that failed.
    pub failed_shared_runs: u64,
    /// The requests that were run again by themselves because of that.
    pub run_again: u64,
    /// Workers that were ended because a run did not end.
    pub lost_past_deadline: u64,
    /// Workers that were lost for any other reason.
    pub lost_otherwise: u64,
    /// Requests that found the queue full.
    pub refused: u64,
}

/// What is counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    runs: AtomicU64,
    shared_runs: AtomicU64,
    shared_requests: AtomicU64,
    failed_shared_runs: AtomicU64,
    run_again: AtomicU64,
    lost_past_deadline: AtomicU64,
    lost_otherwise: AtomicU64,
    refused: AtomicU64,
}

impl Tally {
    pub(super) fn ran(&self) {
        add(&self.runs, 1);
    }

    pub(super) fn shared(&self, requests: usize) {
        add(&self.shared_runs, 1);
        add(&self.shared_requests, requests);
    }

    pub(super) fn failed_together(&self, requests: usize) {
        add(&self.failed_shared_runs, 1);
        add(&self.run_again, requests);
    }

    pub(super) fn lost(&self, loss: &Loss) {
        add(if *loss == Loss::Deadline { &self.lost_past_deadline } else { &self.lost_otherwise }, 1);
    }

    pub(super) fn refused(&self) {
        add(&self.refused, 1);
    }

    /// The numbers of now.
    pub(super) fn counts(&self) -> Counts {
        let get = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Counts {
            runs: get(&self.runs),
            shared_runs: get(&self.shared_runs),
            shared_requests: get(&self.shared_requests),
            failed_shared_runs: get(&self.failed_shared_runs),
            run_again: get(&self.run_again),
            lost_past_deadline: get(&self.lost_past_deadline),
            lost_otherwise: get(&self.lost_otherwise),
            refused: get(&self.refused),
        }
    }
}

fn add(number: &AtomicU64, more: usize) {
    number.fetch_add(more as u64, Ordering::Relaxed);
}
