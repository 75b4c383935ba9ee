//! The requests that wait for a model's workers: bounded, first come, first served, and answered all at once when no worker
//! is left.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

use super::bell::Bell;
use crate::engine::EngineError;
use crate::memory::Purse;
use crate::tensor::Tensor;

/// One request that waits for its run.
pub(super) struct Job {
    pub(super) inputs: Vec<Tensor>,
    /// What the inputs were paid from, and the outputs will be.
    pub(super) purse: Purse,
    pub(super) until: Instant,
    pub(super) answer: oneshot::Sender<Result<(Vec<Tensor>, Purse), EngineError>>,
}

/// Why a job was not taken.
pub(super) enum NotQueued {
    /// As many wait as may.
    Full,
    /// Nobody is left to run it.
    Closed,
}

/// The jobs of one model.
pub(super) struct Queue {
    /// `None` when no thread is left to take a job.
    jobs: Mutex<Option<VecDeque<Job>>>,
    most: usize,
    /// One for each job, and now and then one for a job that is gone.
    bell: Bell,
}

impl Queue {
    /// An empty one for so many.
    pub(super) fn new(most: usize) -> std::io::Result<Self> {
        Ok(Self { jobs: Mutex::new(Some(VecDeque::new())), most, bell: Bell::new(0)? })
    }

    /// Rings for each job.
    pub(super) fn bell(&self) -> &Bell {
        &self.bell
    }

    /// Appends a job.
    pub(super) fn push(&self, job: Job) -> Result<(), NotQueued> {
        let mut jobs = self.jobs();
        let jobs = jobs.as_mut().ok_or(NotQueued::Closed)?;
        if jobs.len() >= self.most {
            // Whoever waited for it is gone.
            jobs.retain(|waiting| !waiting.answer.is_closed());
        }
        if jobs.len() >= self.most {
            return Err(NotQueued::Full);
        }
        jobs.push_back(job);
        self.bell.ring();
        Ok(())
    }

    /// Takes the first job out.
    pub(super) fn pop(&self) -> Option<Job> {
        self.jobs().as_mut().and_then(VecDeque::pop_front)
    }

    /// Drops what waits, and takes nothing more.
    pub(super) fn close(&self) {
        drop(self.jobs().take());
    }

    /// How many wait.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.jobs().as_ref().map_or(0, VecDeque::len)
    }

    fn jobs(&self) -> MutexGuard<'_, Option<VecDeque<Job>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
