use std::sync::mpsc;

mod shared;

use super::bell::Bell;
use super::*;
use crate::engine::Readiness;
use crate::memory::Memory;
use crate::tensor::{Datatype, Elements, Shape};

/// An empty one, of a memory without end.
fn purse() -> Purse {
    Memory::new(1 << 30, 1 << 30).share().purse()
}

fn settings(places: usize, queue: usize, deadline: Duration) -> Settings {
    Settings { places, queue, deadline, batching: None }
}

const LONG: Duration = Duration::from_secs(600);

/// Waits, without sleeping, for what another thread is about to do.
fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

/// What an engine of these tests does, told by whoever holds the other ends.
struct Told {
    /// What each load comes to, when it is told.
    loads: mpsc::Receiver<Result<Signature, LoadError>>,
    /// Where it says that a run began, and how long that has at most.
    began: mpsc::Sender<Duration>,
    /// How each run ends.
    runs: mpsc::Receiver<Result<Vec<Tensor>, EngineError>>,
    /// Readable when it has ended with nothing to do.
    idle: Arc<Bell>,
    /// Whether the next run is its last.
    wears_out: Arc<AtomicBool>,
    is_ready: bool,
}

/// The other ends.
struct Tell {
    loads: mpsc::Sender<Result<Signature, LoadError>>,
    began: mpsc::Receiver<Duration>,
    runs: mpsc::Sender<Result<Vec<Tensor>, EngineError>>,
    idle: Arc<Bell>,
    wears_out: Arc<AtomicBool>,
}

/// An engine whose first load goes well.
fn told() -> (Box<dyn Engine>, Tell) {
    let (engine, tell) = untold();
    tell.loads.send(Ok(Signature::default())).unwrap();
    (engine, tell)
}

fn untold() -> (Box<dyn Engine>, Tell) {
    let ((loads, told_loads), (say_began, began)) = (mpsc::channel(), mpsc::channel());
    let ((runs, told_runs), idle) = (mpsc::channel(), Arc::new(Bell::new(0).unwrap()));
    let wears_out = Arc::<AtomicBool>::default();
    let engine = Told {
        loads: told_loads,
        began: say_began,
        runs: told_runs,
        idle: Arc::clone(&idle),
        wears_out: Arc::clone(&wears_out),
        is_ready: false,
    };
    (Box::new(engine), Tell { loads, began, runs, idle, wears_out })
}

impl Told {
    fn has_ended(&self) -> bool {
        let file = self.idle.file();
        let mut files = [rustix::event::PollFd::new(&file, rustix::event::PollFlags::IN)];
        let at_once = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::event::poll(&mut files, Some(&at_once)).unwrap() > 0
    }
}

impl Engine for Told {
    fn load(&mut self) -> Result<Signature, LoadError> {
        let gone = LoadError::NotStarted("the test is over".to_owned());
        let loaded = self.loads.recv().unwrap_or(Err(gone));
        self.is_ready = loaded.is_ok();
        loaded
    }

    fn readiness(&mut self) -> Readiness {
        match (self.has_ended(), self.is_ready, self.wears_out.load(Ordering::SeqCst)) {
            (false, true, _) => Readiness::Ready,
            (false, false, true) => Readiness::WornOut,
            _ => Readiness::Gone,
        }
    }

    fn watched(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        Some(self.idle.file())
    }

    fn run(&mut self, _: Vec<Tensor>, until: Instant, _: &mut Purse) -> Result<Vec<Tensor>, EngineError> {
        self.began.send(until.saturating_duration_since(Instant::now())).unwrap();
        match self.runs.recv() {
            Ok(result) => {
                self.is_ready = !matches!(result, Err(EngineError::Lost(_))) && !self.wears_out.load(Ordering::SeqCst);
                result
            }
            Err(_) => std::panic::resume_unwind(Box::new("the engine is gone")),
        }
    }
}

fn crashed() -> Result<Vec<Tensor>, EngineError> {
    Err(EngineError::Lost(Loss::Ended("signal: 6".to_owned())))
}

fn run(workers: &Arc<Workers>) -> tokio::task::JoinHandle<Result<(), RunError>> {
    let workers = Arc::clone(workers);
    tokio::spawn(async move { workers.run(vec![], purse()).await.map(drop) })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_knows_when_nobody_waits_for_it_any_more_and_whoever_waits_is_answered() {
    let (engine, tell) = told();
    let workers = Workers::start("m", vec![engine], settings(1, 1, Duration::from_millis(50))).unwrap();
    assert_eq!(workers.run(vec![], purse()).await.map(drop), Err(RunError::Deadline));
    assert!(tell.began.recv().unwrap() <= Duration::from_millis(50));
    // The engine says so too, and then it is loaded again.
    tell.runs.send(Err(EngineError::Lost(Loss::Deadline))).unwrap();
    tell.runs.send(Ok(vec![])).unwrap();
    tell.loads.send(Ok(Signature::default())).unwrap();
    until("it is there again", || workers.is_ready());
    let workers = Arc::new(workers);
    assert_eq!(run(&workers).await.unwrap(), Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_answers_busy_and_a_caller_who_left_is_passed_over() {
    let (engine, tell) = told();
    let workers = Arc::new(Workers::start("m", vec![engine], settings(1, 1, LONG)).unwrap());
    let first = run(&workers);
    tell.began.recv().unwrap();
    // The worker is taken; one more fits into the queue, and the next does not. Which of the two the queue takes is
    // the scheduler's choice.
    let (mut second, mut third) = (run(&workers), run(&workers));
    let (refused, queued) = tokio::select! { r = &mut second => (r, third), r = &mut third => (r, second) };
    assert_eq!(refused.unwrap(), Err(RunError::Busy { retry_after_seconds: 1 }));
    queued.abort();
    assert!(queued.await.unwrap_err().is_cancelled());
    tell.runs.send(Ok(vec![])).unwrap();
    assert_eq!(first.await.unwrap(), Ok(()));
    // Had the one in the queue been run, this one's turn would not have come.
    tell.runs.send(Ok(vec![])).unwrap();
    assert_eq!(run(&workers).await.unwrap(), Ok(()));
    tell.began.recv().unwrap();
    assert_eq!(tell.began.try_recv(), Err(mpsc::TryRecvError::Empty));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_inputs_hold_is_given_back_with_them_and_not_with_their_caller() {
    let (engine, tell) = told();
    let workers = Arc::new(Workers::start("m", vec![engine], settings(1, 2, LONG)).unwrap());
    let memory = Memory::new(100, 100);
    let share = memory.share();
    let first = run(&workers);
    tell.began.recv().unwrap();
    let mut purse = share.purse();
    purse.spend(60).unwrap();
    // Asked once, which queues it, and then left.
    tokio::select! {
        biased;
        result = workers.run(vec![], purse) => panic!("{:?}", result.map(drop)),
        () = std::future::ready(()) => {}
    }
    assert_eq!(share.purse().spend(41), Err(Shortage::Now), "what the one who left had paid for is still there");
    tell.runs.send(Ok(vec![])).unwrap();
    assert_eq!(first.await.unwrap(), Ok(()));
    until("the inputs are dropped", || share.purse().spend(100).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_worker_costs_the_request_that_it_ran_and_a_spare_one_takes_its_place() {
    let (engines, tells): (Vec<_>, Vec<_>) = [told(), told()].into_iter().unzip();
    let workers = Arc::new(Workers::start("m", engines, settings(1, 8, LONG)).unwrap());
    assert_eq!(workers.living(), 2);
    let first = run(&workers);
    // Which of the two has the place is the scheduler's choice; there is one place.
    until("one of them begins", || tells.iter().any(|tell| tell.began.try_recv().is_ok()));
    let waiting = run(&workers);
    // It stays away until it is told what its next load comes to.
    tells.iter().for_each(|tell| tell.runs.send(crashed()).unwrap());
    assert_eq!(first.await.unwrap(), Err(RunError::Lost));
    // The spare one ran what was waiting, and was lost too.
    assert_eq!(waiting.await.unwrap(), Err(RunError::Lost));
    until("nobody is there", || !workers.is_ready());
    // Waited for, because nothing says that it will not come.
    let patient = run(&workers);
    until("it is queued", || queued(&workers) == 1);
    for tell in &tells {
        tell.runs.send(Ok(vec![])).unwrap();
        tell.loads.send(Ok(Signature::default())).unwrap();
    }
    assert_eq!(patient.await.unwrap(), Ok(()));
    until("both are there again", || workers.living() == 2);
}

fn queued(workers: &Workers) -> usize {
    workers.shared.line.queue.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_ends_with_nothing_to_do_is_noticed_and_replaced() {
    let (engine, tell) = told();
    let workers = Arc::new(Workers::start("m", vec![engine], settings(1, 8, LONG)).unwrap());
    tell.idle.ring();
    until("it is noticed", || !workers.is_ready());
    tell.loads.send(Err(LoadError::NotStarted("no process".to_owned()))).unwrap();
    until("it is noticed that it cannot be replaced", || workers.shared.is_failing.load(Ordering::SeqCst));
    // Not queued behind something that may never come.
    assert_eq!(run(&workers).await.unwrap(), Err(RunError::NoWorker));
    // It says something else than before: that is no replacement either.
    tell.loads.send(Ok(other())).unwrap();
    // The engine is a new one.
    assert!(tell.idle.take());
    tell.loads.send(Ok(Signature::default())).unwrap();
    until("it is replaced at last", || workers.is_ready());
    tell.runs.send(Ok(vec![])).unwrap();
    assert_eq!(run(&workers).await.unwrap(), Ok(()));
}

/// A signature that differs from the usual one.
fn other() -> Signature {
    let shape = crate::engine::ShapeRule::AnyRank;
    let tensor = crate::engine::TensorSignature { name: "y".into(), datatype: Datatype::Bool, shape };
    Signature { outputs: vec![tensor], ..Signature::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_has_worn_out_has_answered_and_is_replaced() {
    let (engine, tell) = told();
    let workers = Arc::new(Workers::start("m", vec![engine], settings(1, 8, LONG)).unwrap());
    tell.wears_out.store(true, Ordering::SeqCst);
    tell.runs.send(Ok(vec![])).unwrap();
    assert_eq!(run(&workers).await.unwrap(), Ok(()));
    until("it is being replaced", || !workers.is_ready());
    tell.wears_out.store(false, Ordering::SeqCst);
    tell.loads.send(Ok(Signature::default())).unwrap();
    until("it is replaced", || workers.is_ready());
    // Which is no loss, and is not counted as one.
    assert_eq!(workers.shared.restarts.lock().unwrap().lost(Instant::now()), Duration::ZERO);
    tell.runs.send(Ok(vec![])).unwrap();
    assert_eq!(run(&workers).await.unwrap(), Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_answers_and_ends_is_a_loss_and_counted_as_one() {
    let (engine, tell) = told();
    let workers = Arc::new(Workers::start("m", vec![engine], settings(1, 8, LONG)).unwrap());
    let first = run(&workers);
    tell.began.recv().unwrap();
    tell.idle.ring();
    tell.runs.send(Ok(vec![])).unwrap();
    assert_eq!(first.await.unwrap(), Ok(()));
    until("it is counted", || workers.counts().lost_otherwise == 1);
    // What is lost too often in a minute is waited for; one of six was.
    until("it is being replaced", || !workers.is_ready());
    assert!(tell.idle.take());
    tell.loads.send(Ok(Signature::default())).unwrap();
    until("it is replaced", || workers.is_ready());
    let mut restarts = workers.shared.restarts.lock().unwrap();
    assert!((0..6).any(|_| restarts.lost(Instant::now()) > Duration::ZERO));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_while_no_worker_lives_leaves_nothing_behind() {
    let (engine, tell) = told();
    let workers = Arc::new(Workers::start("m", vec![engine], settings(1, 8, LONG)).unwrap());
    let memory = Memory::new(100, 100);
    let share = memory.share();
    let asks_and_leaves = async || {
        let mut purse = share.purse();
        purse.spend(60).unwrap();
        tokio::select! {
            biased;
            result = workers.run(vec![], purse) => panic!("{:?}", result.map(drop)),
            () = std::future::ready(()) => {}
        }
    };
    // Before the worker is lost.
    let first = run(&workers);
    tell.began.recv().unwrap();
    asks_and_leaves().await;
    assert_eq!(share.purse().spend(41), Err(Shortage::Now));
    tell.runs.send(crashed()).unwrap();
    assert_eq!(first.await.unwrap(), Err(RunError::Lost));
    until("it is dropped", || share.purse().spend(100).is_ok());
    // And while it is being replaced, for as long as that takes.
    assert!(!workers.is_ready());
    asks_and_leaves().await;
    share.purse().spend(100).unwrap();
    tell.loads.send(Ok(Signature::default())).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_run_at_once_as_there_are_places() {
    let (engines, tells): (Vec<_>, Vec<_>) = [told(), told(), told()].into_iter().unzip();
    let workers = Arc::new(Workers::start("m", engines, settings(2, 8, LONG)).unwrap());
    let runs: Vec<_> = (0..3).map(|_| run(&workers)).collect();
    let began = std::cell::Cell::new(0);
    until("two begin", || {
        began.set(began.get() + tells.iter().filter(|tell| tell.began.try_recv().is_ok()).count());
        began.get() == 2
    });
    until("the third waits, though a spare worker is there", || queued(&workers) == 1);
    assert_eq!((workers.living(), tells.iter().filter(|tell| tell.began.try_recv().is_ok()).count()), (3, 0));
    for tell in &tells {
        tell.runs.send(Ok(vec![])).unwrap();
        tell.runs.send(Ok(vec![])).unwrap();
    }
    for run in runs {
        assert_eq!(run.await.unwrap(), Ok(()));
    }
}

#[test]
fn what_cannot_be_loaded_or_differs_ends_the_start() {
    let start = |loads: [Result<Signature, LoadError>; 2]| {
        let (engines, tells): (Vec<_>, Vec<_>) = [untold(), untold()].into_iter().unzip();
        for (tell, load) in tells.iter().zip(loads) {
            tell.loads.send(load).unwrap();
        }
        Workers::start("m", engines, settings(1, 1, LONG)).map(|workers| workers.living())
    };
    match start([Ok(Signature::default()), Err(LoadError::Refused("why".to_owned()))]) {
        Err(StartError::Load(LoadError::Refused(words))) => assert_eq!(words, "why"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(start([Ok(other()), Ok(Signature::default())]), Err(StartError::Differ)));
    start([Ok(other()), Ok(other())]).unwrap();
    assert!(matches!(Workers::start("m", vec![], settings(1, 1, LONG)), Err(StartError::System(_))));
}

/// Gives one output of eight bytes, which it pays for.
struct Pays;

impl Engine for Pays {
    fn load(&mut self) -> Result<Signature, LoadError> {
        Ok(Signature::default())
    }

    fn readiness(&mut self) -> Readiness {
        Readiness::Ready
    }

    fn run(&mut self, _: Vec<Tensor>, _: Instant, purse: &mut Purse) -> Result<Vec<Tensor>, EngineError> {
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
    let workers = Workers::start("pays", vec![Box::new(Pays)], settings(1, 1, LONG)).unwrap();
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

#[tokio::test(flavor = "multi_thread")]
async fn without_workers_nothing_runs() {
    let (engine, tell) = told();
    let workers = Arc::new(Workers::start("panics", vec![engine], settings(1, 4, LONG)).unwrap());
    assert!(workers.is_ready());
    let first = run(&workers);
    tell.began.recv().unwrap();
    let waiting = run(&workers);
    until("it is queued", || queued(&workers) == 1);
    // The engine panics.
    drop(tell.runs);
    assert_eq!(first.await.unwrap(), Err(RunError::NoWorker));
    assert_eq!(waiting.await.unwrap(), Err(RunError::NoWorker));
    assert_eq!(run(&workers).await.unwrap(), Err(RunError::NoWorker));
    assert!(!workers.is_ready());
}

/// Computes elsewhere: what is to be done meanwhile is done when the run is under way. Says of each run whether there was
/// something, and ends it when it is told.
struct Elsewhere {
    began: mpsc::Sender<bool>,
    end: mpsc::Receiver<()>,
    meanwhile: Option<crate::engine::Work>,
}

impl Engine for Elsewhere {
    fn load(&mut self) -> Result<Signature, LoadError> {
        Ok(Signature::default())
    }

    fn readiness(&mut self) -> Readiness {
        Readiness::Ready
    }

    fn meanwhile(&mut self, work: crate::engine::Work) {
        assert!(self.meanwhile.replace(work).is_none());
    }

    fn run(&mut self, _: Vec<Tensor>, _: Instant, _: &mut Purse) -> Result<Vec<Tensor>, EngineError> {
        self.began.send(self.meanwhile.is_some()).unwrap();
        if let Some(work) = self.meanwhile.take() {
            work();
        }
        self.end.recv().unwrap();
        Ok(vec![])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_through_is_answered_when_the_next_runs_or_at_once_when_nobody_waits() {
    let ((say_began, began), (end, told_to_end)) = (mpsc::channel(), mpsc::channel());
    let engine = Elsewhere { began: say_began, end: told_to_end, meanwhile: None };
    let workers = Arc::new(Workers::start("m", vec![Box::new(engine)], settings(1, 4, LONG)).unwrap());
    let first = run(&workers);
    assert!(!began.recv().unwrap(), "nobody is through");
    let next = [run(&workers), run(&workers)];
    until("they are queued", || queued(&workers) == 2);
    end.send(()).unwrap();
    assert!(began.recv().unwrap(), "the engine is not kept waiting for the answer to the first");
    // While the second runs, and before it ends.
    assert_eq!(first.await.unwrap(), Ok(()));
    end.send(()).unwrap();
    assert!(began.recv().unwrap());
    end.send(()).unwrap();
    // And the last although no run follows.
    for waiting in next {
        assert_eq!(waiting.await.unwrap(), Ok(()));
    }

    // Nobody waits until much is handed over.
    let first = run(&workers);
    began.recv().unwrap();
    let large = {
        let workers = Arc::clone(&workers);
        tokio::spawn(async move { workers.run(vec![tensor(1 << 20)], purse()).await.map(drop) })
    };
    until("it is queued", || queued(&workers) == 1);
    end.send(()).unwrap();
    assert!(!began.recv().unwrap());
    assert_eq!(first.await.unwrap(), Ok(()));
    end.send(()).unwrap();
    assert_eq!(large.await.unwrap(), Ok(()));
}
