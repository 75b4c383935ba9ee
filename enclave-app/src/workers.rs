//! A model's workers: threads that own one engine each, behind one bounded queue.
//!
//! A full queue answers at once. The deadline counts from the moment of queueing and ends the run itself, not only the
//! waiting for it; so does a caller who goes away. A worker that loses its engine to a panic is gone, and when the last
//! is gone the model is no longer ready.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::engine::{Engine, EngineError, Signature, Stop};
use crate::memory::{Purse, Shortage};
use crate::secret::scrubbed;
use crate::tensor::Tensor;

/// Why there are no outputs.
#[derive(Debug, PartialEq, Eq)]
pub enum RunError {
    /// The queue is full; nothing ran.
    Busy,
    /// The deadline passed; the run, if it had begun, was terminated.
    Deadline,
    /// It ran, and there is no memory for its outputs.
    NoMemory(Shortage),
    /// No worker is left; nothing ran, or it is not known what ran.
    NoWorker,
    /// The engine refused or failed, in its own words. They belong into the sealed answer only.
    Failed(String),
}

struct Job {
    inputs: Vec<Tensor>,
    /// What the inputs were paid from, and the outputs will be.
    purse: Purse,
    stop: Arc<Stop>,
    answer: oneshot::Sender<Result<(Vec<Tensor>, Purse), EngineError>>,
}

/// The workers of one model.
pub struct Workers {
    signature: Arc<Signature>,
    queue: SyncSender<Job>,
    deadline: Duration,
    living: Arc<AtomicUsize>,
}

/// Counts a worker while it lives; a panic unwinds through here.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn count(living: &Arc<AtomicUsize>) -> Self {
        living.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(living))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Ends the run when its caller is gone.
struct StopOnDrop(Arc<Stop>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl Workers {
    /// Starts one thread for each engine. All engines must have loaded the same model; the signature is the first
    /// one's.
    ///
    /// # Errors
    /// When there is no engine, or a thread cannot be started.
    pub fn start(name: &str, engines: Vec<Box<dyn Engine>>, queue: usize, deadline: Duration) -> std::io::Result<Self> {
        let signature = engines
            .first()
            .map(|engine| Arc::new(engine.signature().clone()))
            .ok_or_else(|| std::io::Error::other("a model without an engine"))?;
        let (sender, receiver) = sync_channel(queue);
        let receiver = Arc::new(Mutex::new(receiver));
        let living = Arc::default();
        for engine in engines {
            let (receiver, alive) = (Arc::clone(&receiver), Alive::count(&living));
            std::thread::Builder::new().name(format!("run {name}")).spawn(move || {
                let _alive = alive;
                work(engine, &receiver);
            })?;
        }
        Ok(Self { signature, queue: sender, deadline, living })
    }

    /// Whether a worker is left.
    pub fn is_ready(&self) -> bool {
        self.living.load(Ordering::SeqCst) > 0
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
        let (answer, answered) = oneshot::channel();
        let stop = StopOnDrop(Arc::new(Stop::default()));
        let job = Job { inputs, purse, stop: Arc::clone(&stop.0), answer };
        self.queue.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(_) => RunError::Busy,
            TrySendError::Disconnected(_) => RunError::NoWorker,
        })?;
        match tokio::time::timeout(self.deadline, answered).await {
            Ok(Ok(Ok(outputs))) => Ok(outputs),
            Ok(Ok(Err(EngineError::Failed(words)))) => Err(RunError::Failed(words)),
            Ok(Ok(Err(EngineError::NoMemory(shortage)))) => Err(RunError::NoMemory(shortage)),
            Ok(Ok(Err(EngineError::Stopped))) | Err(_) => Err(RunError::Deadline),
            Ok(Err(_)) => Err(RunError::NoWorker),
        }
    }
}

fn work(mut engine: Box<dyn Engine>, queue: &Mutex<Receiver<Job>>) {
    loop {
        // The guard is a temporary: it is held while waiting for a job, never while running one.
        let Ok(job) = queue.lock().unwrap_or_else(PoisonError::into_inner).recv() else { return };
        let Job { inputs, mut purse, stop, answer } = job;
        if stop.is_stopped() {
            continue;
        }
        let result = scrubbed(|| engine.run(&inputs, &stop, &mut purse));
        purse.refund(inputs.iter().map(Tensor::bytes).sum());
        drop(inputs);
        // The caller may be gone; then nobody wants the result.
        let _ = answer.send(result.map(|outputs| (outputs, purse)));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::memory::Memory;
    use crate::tensor::{Datatype, Elements, Shape};

    /// An empty one, of a memory without end.
    fn purse() -> Purse {
        Memory::new(1 << 30, 1 << 30).share().purse()
    }

    /// Blocks in every run until it is stopped, and says when a run begins and ends.
    struct Endless {
        signature: Signature,
        began: mpsc::Sender<()>,
        ended: mpsc::Sender<()>,
    }

    impl Engine for Endless {
        fn signature(&self) -> &Signature {
            &self.signature
        }

        fn run(&mut self, _: &[Tensor], stop: &Stop, _: &mut Purse) -> Result<Vec<Tensor>, EngineError> {
            let (stopped, wait) = mpsc::channel();
            stop.on_stop(Box::new(move || stopped.send(()).unwrap()));
            self.began.send(()).unwrap();
            wait.recv().unwrap();
            self.ended.send(()).unwrap();
            Err(EngineError::Stopped)
        }
    }

    fn endless(queue: usize, deadline: Duration) -> (Arc<Workers>, mpsc::Receiver<()>, mpsc::Receiver<()>) {
        let (began, has_begun) = mpsc::channel();
        let (ended, has_ended) = mpsc::channel();
        let engine = Endless { signature: Signature::default(), began, ended };
        (Arc::new(Workers::start("endless", vec![Box::new(engine)], queue, deadline).unwrap()), has_begun, has_ended)
    }

    #[tokio::test]
    async fn the_deadline_ends_the_run_itself() {
        let (workers, began, ended) = endless(1, Duration::from_millis(50));
        assert_eq!(workers.run(vec![], purse()).await.map(drop), Err(RunError::Deadline));
        began.recv().unwrap();
        ended.recv_timeout(Duration::from_secs(10)).unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_full_queue_answers_busy_and_a_caller_who_leaves_ends_the_run() {
        let (workers, began, ended) = endless(1, Duration::from_secs(600));
        let run = |workers: &Arc<Workers>| {
            let workers = Arc::clone(workers);
            tokio::spawn(async move { workers.run(vec![], purse()).await.map(drop) })
        };
        let first = run(&workers);
        began.recv().unwrap();
        // The worker is taken; one more fits into the queue, and the next does not. Which of the two the queue takes is
        // the scheduler's choice.
        let second = run(&workers);
        let third = run(&workers);
        let refused = tokio::select! { r = second => r, r = third => r };
        assert_eq!(refused.unwrap(), Err(RunError::Busy));
        first.abort();
        ended.recv_timeout(Duration::from_secs(10)).unwrap();
        began.recv_timeout(Duration::from_secs(10)).unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_inputs_hold_is_given_back_with_them_and_not_with_their_caller() {
        let (workers, began, _ended) = endless(2, Duration::from_secs(600));
        let memory = Memory::new(100, 100);
        let share = memory.share();
        let first = {
            let (workers, purse) = (Arc::clone(&workers), share.purse());
            tokio::spawn(async move { workers.run(vec![], purse).await.map(drop) })
        };
        began.recv().unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        let mut purse = share.purse();
        purse.spend(60).unwrap();
        // Asked once, which queues it, and then left.
        tokio::select! {
            biased;
            result = workers.run(vec![], purse) => panic!("{:?}", result.map(drop)),
            () = std::future::ready(()) => {}
        }
        assert!(share.purse().spend(41).is_err());
        first.abort();
        while share.purse().spend(100).is_err() {
            assert!(std::time::Instant::now() < deadline);
            tokio::task::yield_now().await;
        }
    }

    /// Gives one output of eight bytes, which it pays for.
    struct Pays(Signature);

    impl Engine for Pays {
        fn signature(&self) -> &Signature {
            &self.0
        }

        fn run(&mut self, _: &[Tensor], _: &Stop, purse: &mut Purse) -> Result<Vec<Tensor>, EngineError> {
            purse.spend(8).map_err(EngineError::NoMemory)?;
            Ok(vec![tensor(8)])
        }
    }

    fn tensor(bytes: i64) -> Tensor {
        let shape = Shape::new(&[bytes], Datatype::Uint8).unwrap();
        let elements = Elements::Uint8(vec![1; shape.elements()]);
        Tensor { name: "t".into(), shape, elements }
    }

    #[tokio::test]
    async fn outputs_are_paid_from_what_the_inputs_no_longer_need() {
        let workers =
            Workers::start("pays", vec![Box::new(Pays(Signature::default()))], 1, Duration::from_secs(600)).unwrap();
        let memory = Memory::new(40, 20);
        let share = memory.share();
        let mut purse = share.purse();
        purse.spend(12).unwrap();
        let (outputs, mut purse) = workers.run(vec![tensor(12)], purse).await.unwrap();
        assert_eq!(outputs, [tensor(8)]);
        // Eight of twenty are spent: those of the outputs.
        assert_eq!(purse.spend(13), Err(Shortage::Never { needed: 21, most: 20 }));
        purse.spend(12).unwrap();
        drop((outputs, purse));
        let mut purse = share.purse();
        purse.spend(13).unwrap();
        let shortage = Shortage::Never { needed: 21, most: 20 };
        assert_eq!(workers.run(vec![tensor(13)], purse).await.map(drop), Err(RunError::NoMemory(shortage)));
    }

    #[tokio::test]
    async fn without_workers_nothing_runs() {
        struct Panics(Signature);
        impl Engine for Panics {
            fn signature(&self) -> &Signature {
                &self.0
            }
            fn run(&mut self, _: &[Tensor], _: &Stop, _: &mut Purse) -> Result<Vec<Tensor>, EngineError> {
                std::panic::resume_unwind(Box::new("the engine is gone"))
            }
        }
        let engine = Box::new(Panics(Signature::default()));
        let workers = Workers::start("panics", vec![engine], 1, Duration::from_secs(600)).unwrap();
        assert!(workers.is_ready());
        assert_eq!(workers.run(vec![], purse()).await.map(drop), Err(RunError::NoWorker));
        // The thread drops the receiving end when it has unwound.
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while workers.run(vec![], purse()).await.map(drop) != Err(RunError::NoWorker) || workers.is_ready() {
            assert!(std::time::Instant::now() < deadline);
        }
    }
}
