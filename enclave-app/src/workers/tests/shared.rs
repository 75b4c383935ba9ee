//! Requests that share runs: who gets what, in which order, and what becomes of the others when one of them is poison.

use std::sync::mpsc;

use super::super::*;
use super::{LONG, purse, queued, until};
use crate::engine::{AxisNames, Part, PartOutputs, Readiness, ShapeRule, TensorSignature};
use crate::memory::Memory;
use crate::tensor::{Datatype, Elements, Shape};

/// What an engine does with a request that has this value in it.
const FAILS: i64 = -1;
const CRASHES: i64 = -2;
const HANGS: i64 = -3;
/// It gives one row less.
const SHRINKS: i64 = -4;
/// It needs more than [`SLOWLY`].
const CRAWLS: i64 = -5;
const SLOWLY: Duration = Duration::from_secs(250);

/// A run that an engine was asked for: the first value of each request, and how long it has at most.
#[derive(Debug)]
struct Ran {
    firsts: Vec<i64>,
    patience: Duration,
}

/// `y = 2 x + 1`, row by row, and what the values say.
struct Rows {
    /// Each run waits for one of these, if it waits.
    gate: Option<mpsc::Receiver<()>>,
    ran: mpsc::Sender<Ran>,
    least_time: Duration,
    /// Whether what hangs does so until it is ended.
    takes_its_time: bool,
    is_ready: bool,
}

impl Rows {
    /// What became of all rows of a run.
    fn compute(&mut self, values: Vec<Vec<i64>>, until: Instant) -> Result<Vec<i64>, EngineError> {
        let patience = until.saturating_duration_since(Instant::now());
        let firsts = values.iter().map(|values| values[0]).collect();
        self.ran.send(Ran { firsts, patience }).unwrap();
        if let Some(gate) = &self.gate {
            gate.recv().unwrap();
        }
        let values = values.concat();
        let lost = |loss| Err(EngineError::Lost(loss));
        let is = |poison| values.contains(&poison);
        let result = match () {
            () if is(CRASHES) => lost(Loss::Ended("by signal 6".to_owned())),
            () if is(HANGS) => {
                if self.takes_its_time {
                    std::thread::sleep(until.saturating_duration_since(Instant::now()));
                }
                lost(Loss::Deadline)
            }
            () if is(CRAWLS) && patience < SLOWLY => lost(Loss::Deadline),
            () if is(FAILS) || is(SHRINKS) => Err(EngineError::Failed(format!("of {values:?}"))),
            () => Ok(values.iter().map(|value| 2 * value + 1).collect()),
        };
        self.is_ready = !matches!(result, Err(EngineError::Lost(_)));
        result
    }
}

fn values(inputs: &[Tensor]) -> Vec<i64> {
    let [Tensor { elements: Elements::Int64(values), .. }] = inputs else { panic!("one input of INT64") };
    values.clone()
}

fn output(shape: Shape, values: Vec<i64>) -> Vec<Tensor> {
    vec![Tensor { name: "y".into(), shape, elements: Elements::Int64(values) }]
}

impl Engine for Rows {
    fn load(&mut self) -> Result<Signature, LoadError> {
        self.is_ready = true;
        Ok(signature())
    }

    fn readiness(&mut self) -> Readiness {
        if self.is_ready { Readiness::Ready } else { Readiness::Gone }
    }

    fn run(&mut self, inputs: Vec<Tensor>, until: Instant, purse: &mut Purse) -> Result<Vec<Tensor>, EngineError> {
        let computed = self.compute(vec![values(&inputs)], until)?;
        purse.spend(inputs[0].bytes()).map_err(EngineError::NoMemory)?;
        Ok(output(inputs[0].shape.clone(), computed))
    }

    fn run_kept(&mut self, inputs: &[Tensor], until: Instant, purse: &mut Purse) -> Result<Vec<Tensor>, EngineError> {
        self.run(inputs.to_vec(), until, purse)
    }

    fn least_time(&self) -> Duration {
        self.least_time
    }

    fn run_parts(&mut self, parts: &mut [Part<'_>], until: Instant) -> Result<Vec<PartOutputs>, EngineError> {
        let computed = self.compute(parts.iter().map(|part| values(part.inputs)).collect(), until)?;
        let mut rest = computed.as_slice();
        let outputs = parts.iter_mut().map(|part| {
            let shape = part.inputs[0].shape.clone();
            assert_eq!(shape.rows(), Some(part.rows));
            let (own, others) = rest.split_at(shape.elements());
            rest = others;
            part.purse.spend(part.inputs[0].bytes()).map(|()| output(shape, own.to_vec()))
        });
        let outputs = outputs.collect();
        assert!(rest.is_empty());
        Ok(outputs)
    }
}

fn signature() -> Signature {
    let shape = ShapeRule::Dimensions(vec![-1, -1]);
    let tensor = |name: &str| TensorSignature { name: name.into(), datatype: Datatype::Int64, shape: shape.clone() };
    let axes = AxisNames { first: vec!["n".into()], others: vec![] };
    Signature { inputs: vec![tensor("x")], outputs: vec![tensor("y")], axes, ..Signature::default() }
}

/// So many rows of so many values, the first of them `first` and the others above it.
fn rows(first: i64, rows: i64, length: i64) -> Vec<Tensor> {
    let shape = Shape::new(&[rows, length], Datatype::Int64).unwrap();
    let elements = Elements::Int64((0..rows * length).map(|more| first + more).collect());
    vec![Tensor { name: "x".into(), shape, elements }]
}

/// What these rows come to.
fn expected(inputs: &[Tensor]) -> Vec<Tensor> {
    output(inputs[0].shape.clone(), values(inputs).iter().map(|value| 2 * value + 1).collect())
}

fn poison(value: i64) -> Vec<Tensor> {
    let shape = Shape::new(&[1, 1], Datatype::Int64).unwrap();
    vec![Tensor { name: "x".into(), shape, elements: Elements::Int64(vec![value]) }]
}

/// Joins what waits, up to eight rows, and goes on joining when a shared run has failed.
const JOINS: Batching = Batching { max_rows: 8, max_delay: Duration::ZERO, pause: Duration::ZERO };

impl Rows {
    fn new(gate: Option<mpsc::Receiver<()>>, ran: &mpsc::Sender<Ran>) -> Self {
        Self { gate, ran: ran.clone(), least_time: Duration::ZERO, takes_its_time: false, is_ready: false }
    }
}

/// Workers whose runs wait for a word each.
struct Stage {
    workers: Arc<Workers>,
    gates: Vec<mpsc::Sender<()>>,
    ran: mpsc::Receiver<Ran>,
}

fn stage(engines: usize, settings: Settings) -> Stage {
    stage_of(engines, settings, |engine| engine)
}

/// With engines that are made a little different.
fn stage_of(engines: usize, settings: Settings, made: impl Fn(Rows) -> Rows) -> Stage {
    let (ran, told) = mpsc::channel();
    let (engines, gates): (Vec<_>, Vec<_>) = (0..engines)
        .map(|_| {
            let (gate, opened) = mpsc::channel();
            let engine = made(Rows::new(Some(opened), &ran));
            (Box::new(engine) as Box<dyn Engine>, gate)
        })
        .unzip();
    Stage { workers: Arc::new(Workers::start("m", engines, settings).unwrap()), gates, ran: told }
}

fn settings(batching: Option<Batching>) -> Settings {
    Settings { places: 1, queue: 64, deadline: LONG, batching }
}

type Outcome = Result<Vec<Tensor>, RunError>;

impl Stage {
    fn ask(&self, inputs: Vec<Tensor>) -> tokio::task::JoinHandle<Outcome> {
        let workers = Arc::clone(&self.workers);
        tokio::spawn(async move { workers.run(inputs, purse()).await.map(|(outputs, _)| outputs) })
    }

    /// Asks, and waits until a worker has taken it.
    async fn ask_until_taken(&self, inputs: Vec<Tensor>) -> tokio::task::JoinHandle<Outcome> {
        let (workers, (begun, has_begun)) = (Arc::clone(&self.workers), tokio::sync::oneshot::channel());
        let asked = tokio::spawn(async move {
            let mut run = Box::pin(workers.run(inputs, purse()));
            // It is queued when it was polled once.
            let at_once = tokio::select! {
                biased;
                outcome = &mut run => Some(outcome),
                () = std::future::ready(()) => None,
            };
            begun.send(()).unwrap();
            let outcome = if let Some(outcome) = at_once { outcome } else { run.await };
            outcome.map(|(outputs, _)| outputs)
        });
        has_begun.await.unwrap();
        until("it is taken", || self.workers.shared.line.queue.is_empty());
        asked
    }

    /// Asks one after the other, while the worker is busy with another request, and waits until they are queued.
    async fn queue(&self, requests: &[Vec<Tensor>]) -> Vec<tokio::task::JoinHandle<Outcome>> {
        let mut asked = Vec::new();
        for request in requests {
            let before = queued(&self.workers);
            asked.push(self.ask(request.clone()));
            until("it is queued", || queued(&self.workers) == before + 1);
            tokio::task::yield_now().await;
        }
        asked
    }

    /// Lets every engine run so many times.
    fn open(&self, runs: usize) {
        for gate in self.gates.iter().cycle().take(self.gates.len() * runs) {
            gate.send(()).unwrap();
        }
    }

    fn next(&self) -> Ran {
        self.ran.recv_timeout(Duration::from_secs(10)).expect("a run begins")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_and_is_alike_shares_a_run_and_each_gets_its_own_rows() {
    let stage = stage(1, settings(Some(JOINS)));
    let first = stage.ask(rows(1000, 1, 1));
    assert_eq!(stage.next().firsts, [1000]);
    let requests = [rows(10, 2, 1), rows(20, 1, 3), rows(30, 3, 1), rows(40, 1, 1), rows(50, 4, 1), rows(60, 2, 1)];
    let asked = stage.queue(&requests).await;
    stage.open(5);
    // In order, eight rows at most; another form and what does not fit wait for their own turn.
    let ran: Vec<Vec<i64>> = (0..3).map(|_| stage.next().firsts).collect();
    assert_eq!(ran, [vec![10, 30, 40, 60], vec![20], vec![50]]);
    assert_eq!(first.await.unwrap(), Ok(expected(&rows(1000, 1, 1))));
    for (asked, request) in asked.into_iter().zip(&requests) {
        assert_eq!(asked.await.unwrap(), Ok(expected(request)));
    }
    let counts = Counts { runs: 4, shared_runs: 1, shared_requests: 4, ..Counts::default() };
    assert_eq!(stage.workers.counts(), counts);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_shared_unless_somebody_says_so() {
    let stage = stage(1, settings(None));
    let requests = [rows(10, 1, 1), rows(20, 1, 1), rows(30, 1, 1)];
    let first = stage.ask(rows(1000, 1, 1));
    assert_eq!(stage.next().firsts, [1000]);
    let asked = stage.queue(&requests).await;
    stage.open(4);
    let ran: Vec<Vec<i64>> = (0..3).map(|_| stage.next().firsts).collect();
    assert_eq!(ran, [[10], [20], [30]]);
    first.await.unwrap().unwrap();
    for (asked, request) in asked.into_iter().zip(&requests) {
        assert_eq!(asked.await.unwrap(), Ok(expected(request)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_costs_its_own_request_and_nobody_elses() {
    for (value, error, counts) in [
        (FAILS, RunError::Failed("of [-1]".to_owned()), Counts::default()),
        (SHRINKS, RunError::Failed("of [-4]".to_owned()), Counts::default()),
        (CRASHES, RunError::Lost, Counts { lost_otherwise: 2, ..Counts::default() }),
        (HANGS, RunError::Deadline, Counts { lost_past_deadline: 3, ..Counts::default() }),
    ] {
        let stage = stage(1, settings(Some(JOINS)));
        let first = stage.ask(rows(1000, 1, 1));
        assert_eq!(stage.next().firsts, [1000]);
        let requests = [rows(10, 2, 1), poison(value), rows(30, 1, 1)];
        let asked = stage.queue(&requests).await;
        stage.open(6);
        // Together, and then each by itself, in the same order, once; what is not through in its share goes last once more.
        let once = [vec![10, value, 30], vec![10], vec![value], vec![30]];
        let expected_runs = [&once[..], &[vec![value]][usize::from(value != HANGS)..]].concat();
        let ran: Vec<Vec<i64>> = expected_runs.iter().map(|_| stage.next().firsts).collect();
        assert_eq!(ran, expected_runs);
        first.await.unwrap().unwrap();
        for (asked, request) in asked.into_iter().zip(&requests) {
            let outcome = asked.await.unwrap();
            if values(request) == [value] {
                // Words that speak of others' values reach nobody.
                assert_eq!(outcome.as_ref(), Err(&error));
            } else {
                assert_eq!(outcome, Ok(expected(request)), "{value}");
            }
        }
        let runs = 1 + expected_runs.len() as u64;
        let shared = Counts { runs, shared_runs: 1, shared_requests: 3, failed_shared_runs: 1, run_again: 3, ..counts };
        until("it is counted", || stage.workers.counts() == shared);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_never_ends_and_comes_first_costs_nobody_else_an_answer_with_one_worker() {
    let deadline = Duration::from_secs(3);
    let settings = Settings { deadline, ..settings(Some(JOINS)) };
    let stage = stage_of(1, settings, |engine| Rows { takes_its_time: true, ..engine });
    let first = stage.ask(rows(1000, 1, 1));
    assert_eq!(stage.next().firsts, [1000]);
    let requests = [poison(HANGS), rows(10, 1, 1), rows(20, 1, 1), rows(30, 1, 1)];
    let asked = stage.queue(&requests).await;
    stage.open(7);
    let ran: Vec<Ran> = (0..6).map(|_| stage.next()).collect();
    let firsts: Vec<&[i64]> = ran.iter().map(|ran| &ran.firsts[..]).collect();
    assert_eq!(firsts, [&[HANGS, 10, 20, 30][..], &[HANGS], &[10], &[20], &[30], &[HANGS]]);
    // A quarter of what the shared run has left.
    assert!(ran[1].patience <= deadline / 8, "{:?}", ran[1]);
    first.await.unwrap().unwrap();
    for (asked, request) in asked.into_iter().zip(&requests) {
        let wanted = if values(request) == [HANGS] { Err(RunError::Deadline) } else { Ok(expected(request)) };
        assert_eq!(asked.await.unwrap(), wanted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_through_in_its_share_goes_last_with_what_is_left() {
    let stage = stage(1, settings(Some(JOINS)));
    let first = stage.ask(rows(1000, 1, 1));
    assert_eq!(stage.next().firsts, [1000]);
    let requests = [poison(HANGS), poison(CRAWLS), rows(10, 1, 1)];
    let asked = stage.queue(&requests).await;
    // What has come since waits until they are through.
    let fresh = stage.queue(&[rows(20, 1, 1)]).await;
    stage.open(1);
    assert_eq!(stage.next().firsts, [HANGS, CRAWLS, 10, 20]);
    let later = stage.queue(&[rows(30, 1, 1)]).await;
    stage.open(9);
    let ran: Vec<Vec<i64>> = (0..7).map(|_| stage.next().firsts).collect();
    assert_eq!(ran, [[HANGS], [CRAWLS], [10], [20], [HANGS], [CRAWLS], [30]]);
    for (asked, request) in asked.into_iter().zip(&requests) {
        let wanted = if values(request) == [HANGS] { Err(RunError::Deadline) } else { Ok(expected(request)) };
        assert_eq!(asked.await.unwrap(), wanted);
    }
    for asked in [first].into_iter().chain(fresh).chain(later) {
        asked.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_too_little_time_left_to_run_twice_shares_no_run() {
    for (least_time, shared_time, shares) in [
        (LONG / 3, Duration::ZERO, true),
        (LONG / 2, Duration::ZERO, false),
        (Duration::ZERO, LONG / 3, true),
        // The run of the first, which shares nothing, takes an eighth off it.
        (Duration::ZERO, LONG / 2, true),
        (Duration::ZERO, LONG, false),
    ] {
        let stage = stage_of(1, settings(Some(JOINS)), |engine| Rows { least_time, ..engine });
        let first = stage.ask(rows(1000, 1, 1));
        assert_eq!(stage.next().firsts, [1000]);
        let asked = stage.queue(&[rows(10, 1, 1), rows(20, 1, 1)]).await;
        let micros = u64::try_from(shared_time.as_micros()).unwrap();
        stage.workers.shared.line.shared_time.store(micros, Ordering::SeqCst);
        stage.open(3);
        let expected = if shares { vec![10, 20] } else { vec![10] };
        assert_eq!(stage.next().firsts, expected, "{least_time:?} {shared_time:?}");
        for asked in [first].into_iter().chain(asked) {
            asked.await.unwrap().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_others_is_run_while_there_is_time() {
    let patient = Batching { max_delay: LONG, ..JOINS };
    let settings = Settings { deadline: Duration::from_secs(2), ..settings(Some(patient)) };
    let stage = stage_of(1, settings, |engine| Rows { least_time: Duration::from_millis(500), ..engine });
    stage.open(1);
    assert_eq!(stage.ask(rows(10, 1, 1)).await.unwrap(), Ok(expected(&rows(10, 1, 1))));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_run_for_nobody() {
    // Nobody waits any more when the worker has waited for others.
    let patient = Batching { max_rows: 2, max_delay: LONG, ..JOINS };
    let stage = stage(1, Settings { deadline: Duration::from_millis(50), ..settings(Some(patient)) });
    stage.open(1);
    assert_eq!(stage.ask(rows(10, 1, 1)).await.unwrap(), Err(RunError::Deadline));
    assert_eq!(stage.workers.counts().runs, 0);
    // One of two has left meanwhile.
    let stage = stage_of(1, settings(Some(patient)), |engine| engine);
    stage.open(1);
    let mut left = Box::pin(stage.workers.run(rows(10, 1, 1), purse()));
    tokio::select! {
        biased;
        result = &mut left => panic!("{:?}", result.map(drop)),
        () = std::future::ready(()) => {}
    }
    until("it is taken", || stage.workers.shared.line.queue.is_empty());
    drop(left);
    assert_eq!(stage.ask(rows(20, 1, 1)).await.unwrap(), Ok(expected(&rows(20, 1, 1))));
    assert_eq!(stage.next().firsts, [20]);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failed_run_nothing_is_shared_for_a_while() {
    let stage = stage(1, settings(Some(Batching { pause: LONG, ..JOINS })));
    let first = stage.ask(rows(1000, 1, 1));
    assert_eq!(stage.next().firsts, [1000]);
    let asked = stage.queue(&[rows(10, 1, 1), poison(FAILS), rows(30, 1, 1)]).await;
    stage.open(1);
    assert_eq!(stage.next().firsts, [10, FAILS, 30]);
    let later = stage.queue(&[rows(40, 1, 1), rows(50, 1, 1)]).await;
    stage.open(6);
    let ran: Vec<Vec<i64>> = (0..5).map(|_| stage.next().firsts).collect();
    assert_eq!(ran, [[10], [FAILS], [30], [40], [50]]);
    let outcomes = [first].into_iter().chain(asked).chain(later);
    let mut failed = 0;
    for outcome in outcomes {
        failed += usize::from(outcome.await.unwrap().is_err());
    }
    assert_eq!(failed, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_left_takes_no_part() {
    let stage = stage(1, settings(Some(JOINS)));
    let first = stage.ask(rows(1000, 1, 1));
    assert_eq!(stage.next().firsts, [1000]);
    let mut asked = stage.queue(&[rows(10, 1, 1), rows(20, 1, 1), rows(30, 1, 1)]).await;
    let left = asked.remove(1);
    left.abort();
    assert!(left.await.unwrap_err().is_cancelled());
    stage.open(2);
    assert_eq!(stage.next().firsts, [10, 30]);
    first.await.unwrap().unwrap();
    for (asked, request) in asked.into_iter().zip([rows(10, 1, 1), rows(30, 1, 1)]) {
        assert_eq!(asked.await.unwrap(), Ok(expected(&request)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_run_leaves_each_of_its_requests_time_to_run_alone() {
    let deadline = Duration::from_secs(60);
    let stage = stage(1, Settings { deadline, ..settings(Some(JOINS)) });
    let first = stage.ask(rows(1000, 1, 1));
    assert!(stage.next().patience > Duration::from_secs(31));
    let asked = stage.queue(&[rows(10, 1, 1), rows(20, 1, 1)]).await;
    stage.open(2);
    let Ran { firsts, patience } = stage.next();
    assert_eq!(firsts, [10, 20]);
    assert!(patience <= deadline / 2 && patience > Duration::from_secs(5), "{patience:?}");
    for asked in [first].into_iter().chain(asked) {
        asked.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_cannot_pay_for_its_outputs_is_alone_in_that() {
    let stage = stage(1, settings(Some(JOINS)));
    let first = stage.ask(rows(1000, 1, 1));
    assert_eq!(stage.next().firsts, [1000]);
    let asked = stage.queue(&[rows(10, 1, 1)]).await;
    // Sixteen bytes at most, twelve of which are taken by something else.
    let mut poor = Memory::new(16, 16).share().purse();
    poor.spend(12).unwrap();
    let workers = Arc::clone(&stage.workers);
    let beside = tokio::spawn(async move { workers.run(rows(20, 1, 1), poor).await.map(drop) });
    until("it is queued", || queued(&stage.workers) == 2);
    stage.open(2);
    assert_eq!(stage.next().firsts, [10, 20]);
    first.await.unwrap().unwrap();
    assert_eq!(beside.await.unwrap(), Err(RunError::NoMemory(Shortage::Never { needed: 20, most: 16 })));
    for asked in asked {
        assert_eq!(asked.await.unwrap(), Ok(expected(&rows(10, 1, 1))));
    }
    assert_eq!(stage.workers.counts().failed_shared_runs, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_wait_for_others_waits_until_there_are_enough_and_two_workers_do_not_part_them() {
    let patient = Batching { max_rows: 3, max_delay: LONG, ..JOINS };
    let stage = stage(2, Settings { places: 2, ..settings(Some(patient)) });
    stage.open(4);
    let requests = [rows(10, 1, 1), rows(20, 1, 1), rows(30, 1, 1)];
    let mut asked = Vec::new();
    for (request, waiting) in requests.iter().zip([2_usize, 1, 0]) {
        assert!(stage.ran.try_recv().is_err(), "it waits for {} more", waiting + 1);
        asked.push(stage.ask_until_taken(request.clone()).await);
    }
    let mut firsts = stage.next().firsts;
    firsts.sort_unstable();
    assert_eq!(firsts, [10, 20, 30]);
    for (asked, request) in asked.into_iter().zip(&requests) {
        assert_eq!(asked.await.unwrap(), Ok(expected(request)));
    }
    // One of another form is not kept waiting, and neither is the one that waited for its like.
    let one = stage.ask_until_taken(rows(40, 1, 1)).await;
    let other = stage.ask(rows(50, 3, 2));
    let mut firsts = [stage.next().firsts, stage.next().firsts].concat();
    firsts.sort_unstable();
    assert_eq!(firsts, [40, 50]);
    assert_eq!(one.await.unwrap(), Ok(expected(&rows(40, 1, 1))));
    assert_eq!(other.await.unwrap(), Ok(expected(&rows(50, 3, 2))));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_others_longer_than_the_delay() {
    let delay = Duration::from_millis(30);
    let stage = stage(1, settings(Some(Batching { max_delay: delay, ..JOINS })));
    stage.open(1);
    let begun = Instant::now();
    assert_eq!(stage.ask(rows(10, 1, 1)).await.unwrap(), Ok(expected(&rows(10, 1, 1))));
    assert!(begun.elapsed() >= delay, "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_queue_says_when_it_may_have_room() {
    let stage = stage(1, Settings { queue: 2, ..settings(None) });
    let first = stage.ask(rows(10, 1, 1));
    stage.next();
    let asked = stage.queue(&[rows(20, 1, 1), rows(30, 1, 1)]).await;
    assert_eq!(stage.ask(rows(40, 1, 1)).await.unwrap(), Err(RunError::Busy { retry_after_seconds: 1 }));
    // Had each of them taken three seconds, two were through after six.
    stage.workers.shared.line.pace.store(3_000_000, Ordering::SeqCst);
    assert_eq!(stage.ask(rows(40, 1, 1)).await.unwrap(), Err(RunError::Busy { retry_after_seconds: 7 }));
    // Nobody waits longer than the deadline.
    stage.workers.shared.line.pace.store(u64::MAX, Ordering::SeqCst);
    let refused = stage.ask(rows(40, 1, 1)).await.unwrap();
    assert_eq!(refused, Err(RunError::Busy { retry_after_seconds: 601 }));
    assert_eq!(stage.workers.counts().refused, 3);
    stage.open(3);
    for asked in [first].into_iter().chain(asked) {
        asked.await.unwrap().unwrap();
    }
}

#[test]
fn a_model_whose_requests_cannot_share_a_run_does_not_start_as_if_they_could() {
    let start = |batching| {
        let (engine, tell) = super::untold();
        tell.loads.send(Ok(super::other())).unwrap();
        Workers::start("m", vec![engine], settings(batching)).map(drop)
    };
    start(None).unwrap();
    let Err(StartError::NotJoinable(reason)) = start(Some(JOINS)) else { panic!("it starts") };
    assert_eq!(reason, NotJoinable::Nothing);
}

/// Numbers that look like any, the same ones each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: u64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((self.0 >> 33) % most).unwrap()
    }
}

/// What one caller of many asks for.
fn asked_by(caller: u64) -> Vec<Vec<Tensor>> {
    let mut numbers = Numbers(caller);
    (0..25)
        .map(|request| match (caller, request, numbers.below(20)) {
            (3, 12, _) => poison(CRASHES),
            // One of those who stay: what is left behind may run too.
            (6, 17, _) => poison(HANGS),
            (_, _, 0) => poison(FAILS),
            (_, _, 1) => poison(SHRINKS),
            (_, _, first) => rows(1 + 1000 * first, 1 + numbers.below(5), 1 + numbers.below(2)),
        })
        .collect()
}

/// Runs a request for as long as the queue has no room for it; whether it was refused.
async fn insist(workers: &Workers, request: &[Tensor]) -> (Outcome, u64) {
    let mut refused = 0;
    loop {
        let outcome = workers.run(request.to_vec(), purse()).await.map(|(outputs, _)| outputs);
        let waiting = workers.shared.line.queue.len();
        // Eight waiting, and at most one shared run given back by each of two workers.
        assert!(waiting <= 8 + 2 * 8, "{waiting} wait");
        if !matches!(outcome, Err(RunError::Busy { .. })) {
            return (outcome, refused);
        }
        refused += 1;
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_callers_each_gets_its_own_answer_once_whatever_becomes_of_the_others() {
    for max_delay in [Duration::ZERO, Duration::from_micros(300)] {
        let (ran, told) = mpsc::channel();
        let engine = || Box::new(Rows::new(None, &ran)) as Box<dyn Engine>;
        let settings = Settings { places: 2, queue: 8, ..settings(Some(Batching { max_delay, ..JOINS })) };
        let workers = Arc::new(Workers::start("m", vec![engine(), engine(), engine()], settings).unwrap());
        let callers: Vec<_> = (0..32_u64)
            .map(|caller| {
                let workers = Arc::clone(&workers);
                tokio::spawn(async move {
                    let mut refused = 0;
                    for request in asked_by(caller) {
                        if caller % 4 == 1 {
                            // Some go away at once and leave what they asked for behind.
                            tokio::select! {
                                biased;
                                _ = workers.run(request.clone(), purse()) => {}
                                () = std::future::ready(()) => {}
                            }
                        }
                        let (outcome, times) = insist(&workers, &request).await;
                        refused += times;
                        let wanted = match values(&request)[0] {
                            poison @ (FAILS | SHRINKS) => Err(RunError::Failed(format!("of [{poison}]"))),
                            CRASHES => Err(RunError::Lost),
                            HANGS => Err(RunError::Deadline),
                            _ => Ok(expected(&request)),
                        };
                        assert_eq!(outcome, wanted, "caller {caller}");
                    }
                    refused
                })
            })
            .collect();
        let mut refused = 0;
        for caller in callers {
            refused += caller.await.unwrap();
        }
        let counts = workers.counts();
        assert!(counts.refused >= refused && refused > 0, "{counts:?}");
        assert!(counts.shared_runs > 0 && counts.failed_shared_runs > 0, "{counts:?}");
        // What crashes is not run a third time.
        let ran: Vec<Ran> = told.try_iter().collect();
        assert_eq!(ran.len() as u64, counts.runs);
        let crashes = ran.iter().filter(|ran| ran.firsts == [CRASHES]).count();
        assert_eq!(crashes, 1, "it is charged once, and alone");
        assert!((1..=2).contains(&counts.lost_otherwise) && (1..=3).contains(&counts.lost_past_deadline), "{counts:?}");
    }
}
