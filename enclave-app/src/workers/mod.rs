//! A model's workers: threads that own one engine each, behind one bounded queue.
//!
//! What the threads do with what waits stands in [`line`]. A full queue answers at once. The deadline counts from the moment of queueing; a run that outlives it is ended by its
//! engine. An engine that was lost, or that has worn out, is loaded again by its own thread, and meanwhile a spare one takes
//! its place. What is ready here is what is alive: a model none of whose engines can run is not.

mod bell;
mod counts;
mod line;
mod queue;
mod restarts;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::batch::{Batching, Joinable, NotJoinable};
use crate::engine::{Engine, EngineError, LoadError, Loss, Signature};
use crate::memory::{Purse, Shortage};
use crate::tensor::Tensor;
use bell::{Woken, wait};
pub use counts::Counts;
use line::{Left, Line};
use queue::{Job, NotQueued, Turn};
use restarts::Restarts;

/// Why there are no outputs.
#[derive(Debug, PartialEq, Eq)]
pub enum RunError {
    /// The queue is full; nothing ran.
    Busy {
        /// When there may be room again, 1 or more.
        retry_after_seconds: u32,
    },
    /// The deadline passed; the run, if it had begun, is ended.
    Deadline,
    /// It ran, and there is no memory for its outputs.
    NoMemory(Shortage),
    /// No worker is left; nothing ran.
    NoWorker,
    /// The worker that ran it is gone; how far the run came is not known.
    Lost,
    /// The engine refused or failed, in its own words. They belong into the sealed answer only.
    Failed(String),
}

/// Why there are no workers.
#[derive(Debug)]
pub enum StartError {
    /// An engine is not ready.
    Load(LoadError),
    /// Two engines of one model say different things of it.
    Differ,
    /// Its requests can share no run, and were to.
    NotJoinable(NotJoinable),
    /// There is no engine, or no thread for one.
    System(std::io::Error),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Load(error) => error.fmt(f),
            Self::Differ => f.write_str("two workers that loaded it say different things of its inputs and outputs"),
            Self::NotJoinable(reason) => reason.fmt(f),
            Self::System(error) => write!(f, "no worker could be started for it: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// How many workers may run at once, how many requests may wait for them, how long, and whether they may share a run.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Runs at once; engines beyond that are spare ones.
    pub places: usize,
    /// Requests that wait.
    pub queue: usize,
    /// Time from a request's arrival to the end of its run.
    pub deadline: Duration,
    /// How requests are joined, if they are.
    pub batching: Option<Batching>,
}

/// The workers of one model.
pub struct Workers {
    signature: Arc<Signature>,
    deadline: Duration,
    shared: Arc<Shared>,
}

/// What the threads of one model share.
struct Shared {
    name: String,
    line: Line,
    threads: AtomicUsize,
    living: AtomicUsize,
    /// Whether the last attempt to replace a worker failed.
    is_failing: AtomicBool,
    /// One model is loaded once at a time: while it is, it takes several times its size.
    loading: Mutex<()>,
    restarts: Mutex<Restarts>,
}

/// Counts an engine while it is ready; a panic unwinds through here.
struct Alive<'s>(&'s AtomicUsize);

impl<'s> Alive<'s> {
    fn count(living: &'s AtomicUsize) -> Self {
        living.fetch_add(1, Ordering::SeqCst);
        Self(living)
    }
}

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A thread that serves; with the last one what waits is answered.
struct Thread(Arc<Shared>);

impl Drop for Thread {
    fn drop(&mut self) {
        if self.0.threads.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.line.queue.close();
        }
    }
}

/// A caller that waits. When it leaves and no worker lives, nobody else would drop what it has left in the queue.
struct Leaving<'s>(&'s Shared);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if self.0.living.load(Ordering::SeqCst) == 0 {
            self.0.line.queue.forget_left();
        }
    }
}

impl Workers {
    /// Starts one thread for each engine, and waits until all have loaded the model.
    ///
    /// # Errors
    /// [`StartError`] says why one has not.
    pub fn start(name: &str, engines: Vec<Box<dyn Engine>>, settings: Settings) -> Result<Self, StartError> {
        let Settings { places, queue, deadline, batching } = settings;
        let places = u32::try_from(places.min(engines.len())).unwrap_or(u32::MAX);
        let line = Line::new(name, queue, places, batching).map_err(StartError::System)?;
        let shared = Shared::new(name, line, engines.len());
        // Whatever fails from here on, the threads end.
        let mut workers = Self { signature: Arc::default(), deadline, shared: Arc::new(shared) };
        let mut loaded = Vec::new();
        for engine in engines {
            let (first, has_loaded) = sync_channel(1);
            let thread = Thread(Arc::clone(&workers.shared));
            std::thread::Builder::new()
                .name(format!("run {name}"))
                .spawn(move || work(engine, &thread.0, batching, &first))
                .map_err(StartError::System)?;
            loaded.push(has_loaded);
        }
        let gone = |_| StartError::System(std::io::Error::other("its thread has ended"));
        let signatures = loaded.into_iter().map(|loaded| loaded.recv().map_err(gone)?.map_err(StartError::Load));
        let signatures = signatures.collect::<Result<Vec<_>, _>>()?;
        let mut signatures = signatures.into_iter();
        let first =
            signatures.next().ok_or_else(|| StartError::System(std::io::Error::other("a model without an engine")))?;
        if signatures.any(|other| other != first) {
            return Err(StartError::Differ);
        }
        if let Some(batching) = batching {
            Joinable::of(&first, batching.max_rows).map_err(StartError::NotJoinable)?;
        }
        workers.signature = Arc::new(first);
        Ok(workers)
    }

    /// Whether a worker can run.
    pub fn is_ready(&self) -> bool {
        self.shared.living.load(Ordering::SeqCst) > 0
    }

    /// How many workers can run, spare ones included.
    pub fn living(&self) -> usize {
        self.shared.living.load(Ordering::SeqCst)
    }

    /// How often what happened.
    pub fn counts(&self) -> Counts {
        self.shared.line.tally.counts()
    }

    /// The model's inputs and outputs.
    pub fn signature(&self) -> &Arc<Signature> {
        &self.signature
    }

    /// Queues one run and waits for it, no longer than the deadline. The purse goes with the inputs, which a caller who
    /// goes away leaves behind for a while, and comes back with the outputs.
    ///
    /// # Errors
    /// [`RunError`] says what happened to the run.
    pub async fn run(&self, inputs: Vec<Tensor>, purse: Purse) -> Result<(Vec<Tensor>, Purse), RunError> {
        // One that is being replaced is waited for; one that cannot be replaced is not.
        if !self.is_ready() && self.shared.is_failing.load(Ordering::SeqCst) {
            return Err(RunError::NoWorker);
        }
        let (answer, answered) = oneshot::channel();
        let arrived = Instant::now();
        let job = Job { inputs, purse, arrived, until: arrived + self.deadline, turn: Turn::First, answer };
        self.shared.line.queue.push(job).map_err(|reason| match reason {
            NotQueued::Full => self.busy(),
            NotQueued::Closed => RunError::NoWorker,
        })?;
        let _leaving = Leaving(&self.shared);
        match tokio::time::timeout(self.deadline, answered).await {
            Ok(Ok(Ok(outputs))) => Ok(outputs),
            Ok(Ok(Err(EngineError::Failed(words)))) => Err(RunError::Failed(words)),
            Ok(Ok(Err(EngineError::NoMemory(shortage)))) => Err(RunError::NoMemory(shortage)),
            Ok(Ok(Err(EngineError::Lost(Loss::Deadline)))) | Err(_) => Err(RunError::Deadline),
            Ok(Ok(Err(EngineError::Lost(_)))) => Err(RunError::Lost),
            Ok(Err(_)) => Err(RunError::NoWorker),
        }
    }

    /// When what waits now is through, and no later than its deadline, there is room.
    fn busy(&self) -> RunError {
        let line = &self.shared.line;
        line.tally.refused();
        let patience = line.patience().min(self.deadline);
        RunError::Busy { retry_after_seconds: u32::try_from(patience.as_secs()).unwrap_or(u32::MAX).saturating_add(1) }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        let (model, counts) = (&self.shared.name, self.counts());
        if counts != Counts::default() {
            tracing::info!(model, ?counts, "the workers of a model end");
        }
        self.shared.line.end.ring();
    }
}

impl Shared {
    fn new(name: &str, line: Line, threads: usize) -> Self {
        Self {
            name: name.to_owned(),
            line,
            threads: AtomicUsize::new(threads),
            living: AtomicUsize::default(),
            is_failing: AtomicBool::default(),
            loading: Mutex::default(),
            restarts: Mutex::default(),
        }
    }

    fn load(&self, engine: &mut dyn Engine) -> Result<Signature, LoadError> {
        let _one = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        engine.load()
    }
}

/// The life of a thread: load, wait for a place, run, and load again.
fn work(
    mut engine: Box<dyn Engine>,
    shared: &Shared,
    batching: Option<Batching>,
    first: &SyncSender<Result<Signature, LoadError>>,
) {
    let loaded = shared.load(&mut *engine);
    let signature = loaded.as_ref().ok().cloned();
    let mut alive = signature.is_some().then(|| Alive::count(&shared.living));
    // Nobody may be waiting any more; then the end has been rung.
    let _ = first.send(loaded);
    let Some(signature) = signature else { return };
    // One that may not be joined has ended the start.
    let model = batching.and_then(|batching| Joinable::of(&signature, batching.max_rows).ok());
    loop {
        let Err(left) = shared.line.serve(&mut *engine, model.as_ref());
        drop(alive.take());
        shared.line.queue.forget_left();
        match left {
            Left::Ended => return,
            Left::WornOut => tracing::debug!(model = shared.name, "a worker has worn out and is replaced"),
            Left::Lost(loss) => {
                let tally = &shared.line.tally;
                tally.lost(&loss);
                let Counts { lost_past_deadline, lost_otherwise, .. } = tally.counts();
                tracing::warn!(
                    model = shared.name,
                    reason = %loss,
                    lost_past_deadline,
                    lost_otherwise,
                    "a worker was lost and is replaced"
                );
                if !pause(shared) {
                    return;
                }
            }
        }
        while let Err(error) = shared.load(&mut *engine).and_then(|again| same(&signature, &again)) {
            shared.is_failing.store(true, Ordering::SeqCst);
            tracing::error!(model = shared.name, reason = error.without_words(), "a worker could not be replaced");
            shared.line.queue.forget_left();
            if !pause(shared) {
                return;
            }
        }
        alive = Some(Alive::count(&shared.living));
        shared.is_failing.store(false, Ordering::SeqCst);
    }
}

fn same(first: &Signature, again: &Signature) -> Result<(), LoadError> {
    let other = LoadError::Lost(Loss::Breach("another signature than that of the first worker"));
    if first == again { Ok(()) } else { Err(other) }
}

/// Waits before the next start, if it has to; `false` at the end.
fn pause(shared: &Shared) -> bool {
    let pause = shared.restarts.lock().unwrap_or_else(PoisonError::into_inner).lost(Instant::now());
    pause.is_zero() || wait(&shared.line.end, None, None, Some(pause)) != Woken::Ended
}

#[cfg(test)]
mod tests;
