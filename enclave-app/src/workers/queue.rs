//! The requests that wait for a model's workers: bounded, first come, first served, and answered all at once when no worker
//! is left.
//!
//! The bound is on what comes in. What a shared run gives back was in before, so that there can be as many more as a shared
//! run has requests, for each worker.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

use super::bell::Bell;
use crate::batch::Gathering;
use crate::engine::{EngineError, Loss};
use crate::memory::Purse;
use crate::tensor::Tensor;

/// One request that waits for its run.
pub(super) struct Job {
    pub(super) inputs: Vec<Tensor>,
    /// What the inputs were paid from, and the outputs will be.
    pub(super) purse: Purse,
    pub(super) arrived: Instant,
    pub(super) until: Instant,
    pub(super) turn: Turn,
    pub(super) answer: oneshot::Sender<Result<(Vec<Tensor>, Purse), EngineError>>,
}

impl Job {
    /// Itself, if a run is still of use: its caller is there, and its time is not over. Otherwise it is answered.
    pub(super) fn wanted(self) -> Option<Self> {
        if self.answer.is_closed() {
            return None;
        }
        if self.until <= Instant::now() {
            self.answer(Err(EngineError::Lost(Loss::Deadline)));
            return None;
        }
        Some(self)
    }

    /// Answers, when its inputs are wiped.
    pub(super) fn answer(self, result: Result<Vec<Tensor>, EngineError>) {
        let Self { inputs, mut purse, answer, .. } = self;
        let bytes = inputs.iter().map(Tensor::bytes).sum();
        drop(inputs);
        purse.refund(bytes);
        // The caller may be gone; then nobody wants the result.
        let _ = answer.send(result.map(|outputs| (outputs, purse)));
    }
}

/// Which of its runs a job waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// The first, which it may share.
    First,
    /// By itself, because a shared one failed; in its share of the time that is left.
    Again,
    /// By itself and for the last time: it was not through in its share.
    Last,
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

    /// Takes out, in the order of their arrival, what may share the run that is gathered, until there are `most` jobs. What
    /// nobody waits for any more goes on the way, and what has to be through before `least_until` stays.
    pub(super) fn join(
        &self,
        gathering: &mut Gathering<'_>,
        gathered: &mut Vec<Job>,
        most: usize,
        least_until: Instant,
    ) {
        let mut jobs = self.jobs();
        let Some(jobs) = jobs.as_mut() else { return };
        let mut place = 0;
        while gathered.len() < most && !gathering.is_full() {
            let Some(job) = jobs.get(place) else { break };
            let is_gone = job.answer.is_closed();
            let stays = job.turn != Turn::First || job.until < least_until;
            if !is_gone && (stays || !gathering.admit(&job.inputs)) {
                place += 1;
                continue;
            }
            // What has rung for it is taken as well, if nobody else has just done so.
            self.bell.take();
            gathered.extend(jobs.remove(place).filter(|_| !is_gone));
        }
    }

    /// Puts jobs back to the head, in their order.
    pub(super) fn put_back(&self, back: Vec<Job>) {
        let mut jobs = self.jobs();
        // Nobody is left to run them; they are dropped, which is an answer.
        let Some(jobs) = jobs.as_mut() else { return };
        for job in back.into_iter().rev().filter(|job| !job.answer.is_closed()) {
            jobs.push_front(job);
            self.bell.ring();
        }
    }

    /// Puts a job back behind all that wait to be run again, and before what waits for its first run.
    pub(super) fn put_last(&self, job: Job) {
        let mut jobs = self.jobs();
        let Some(jobs) = jobs.as_mut() else { return };
        let place = jobs.iter().rposition(|waiting| waiting.turn != Turn::First).map_or(0, |place| place + 1);
        jobs.insert(place, job);
        self.bell.ring();
    }

    /// Until when a job that runs again may run, so that each of those that wait to be run again gets as much of the time
    /// that the most urgent of them has; `None` when no other waits.
    pub(super) fn share_of(&self, job: &Job, now: Instant) -> Option<Instant> {
        let jobs = self.jobs();
        let waits = |other: &&Job| other.turn != Turn::First && !other.answer.is_closed() && other.until > now;
        let (count, until) = jobs
            .iter()
            .flatten()
            .filter(waits)
            .fold((0_u32, job.until), |(count, until), other| (count.saturating_add(1), until.min(other.until)));
        (count > 0).then(|| now + until.saturating_duration_since(now) / count.saturating_add(1))
    }

    /// Drops what nobody waits for any more.
    pub(super) fn forget_left(&self) {
        if let Some(jobs) = self.jobs().as_mut() {
            jobs.retain(|job| !job.answer.is_closed());
        }
    }

    /// Drops what waits, and takes nothing more.
    pub(super) fn close(&self) {
        drop(self.jobs().take());
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.jobs().as_ref().map_or(0, VecDeque::len)
    }

    /// Whether none waits.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn jobs(&self) -> MutexGuard<'_, Option<VecDeque<Job>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
