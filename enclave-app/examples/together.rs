//! What it brings that requests share runs, and whether a model is one whose requests may: the same callers on the same model,
//! each request by itself and then joined, in turns.
//!
//! Before anything is measured, every caller's request is run by itself and then together with all the others, and each has
//! to get the same answer, up to the last digits of floating-point numbers: a model that lets one row change another is found
//! out here. So is every answer under load.
//!
//! ```text
//! cargo build --release -p teegate-enclave --example together
//! target/release/examples/together LIBRARY MODEL SEQUENCE CALLERS [SECONDS [WORKERS [MAX_DELAY_MICROSECONDS]]]
//! ```

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use teegate_enclave::batch::Batching;
use teegate_enclave::engine::process::{Limits, ModelProcess, Program, WORKER};
use teegate_enclave::engine::sealed::sealed;
use teegate_enclave::engine::{Engine, Part, ShapeRule, Signature, TensorSignature, runtime, worker};
use teegate_enclave::environment;
use teegate_enclave::memory::{Memory, Purse};
use teegate_enclave::tensor::{Datatype, Elements, Shape, Tensor};
use teegate_enclave::workers::{Counts, Settings, Workers};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// How far two answers of one model may be apart, beside the larger of 1 and the number itself: sums in another order.
const TOLERANCE: f64 = 1e-3;

/// Each way has so many turns.
const ROUNDS: u32 = 4;

/// No run of an honest model takes longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is asked for on the command line.
struct Asked {
    library: Arc<File>,
    model: Arc<File>,
    sequence: i64,
    callers: usize,
    time: Duration,
    workers: usize,
    max_delay: Duration,
}

fn main() -> Result<(), Error> {
    environment::enter(environment::OF_WORKERS)?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |place: usize, default: u64| words.get(place).map_or(Ok(default), |word| word.parse::<u64>());
    match words.as_slice() {
        [WORKER] => Ok(worker::serve()?),
        [library, model, sequence, callers, more @ ..] if more.len() <= 3 => measure(&Asked {
            library: Arc::new(runtime::library(library.as_ref())?),
            model: Arc::new(sealed("model", std::fs::read(model)?.as_slice())?),
            sequence: sequence.parse()?,
            callers: callers.parse::<usize>()?.clamp(2, 1024),
            time: Duration::from_secs(number(4, 20)?),
            workers: usize::try_from(number(5, 1)?)?.clamp(1, 64),
            max_delay: Duration::from_micros(number(6, 0)?),
        }),
        _ => Err("usage: together LIBRARY MODEL SEQUENCE CALLERS [SECONDS [WORKERS [MAX_DELAY_MICROSECONDS]]]".into()),
    }
}

fn measure(asked: &Asked) -> Result<(), Error> {
    let mut engine = engine(asked);
    let signature = engine.load()?;
    let requests: Vec<Vec<Tensor>> =
        (0..asked.callers).map(|caller| request(&signature, asked.sequence, caller)).collect::<Result<_, _>>()?;
    let expected = alone(&mut engine, &requests)?;
    let largest = differences(&together(&mut engine, &requests)?, &expected)?;
    println!(
        "{} requests of one row each, one by one and in one run: the largest difference is {largest:.1e}",
        requests.len()
    );
    drop(engine);

    let joins = Batching { max_rows: asked.callers, max_delay: asked.max_delay, pause: Duration::ZERO };
    let mut ways = [Way::new("by itself", asked, None)?, Way::new("joined   ", asked, Some(joins))?];
    let (requests, expected) = (Arc::new(requests), Arc::new(expected));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // In turns, so that what else the machine does meets both.
    for _ in 0..ROUNDS {
        for way in &mut ways {
            let begun = Instant::now();
            way.times.extend(runtime.block_on(load(&way.workers, &requests, &expected, asked.time / (2 * ROUNDS)))?);
            way.measured += begun.elapsed();
        }
    }
    let rates = ways.map(|way| way.report());
    println!("  joined / by itself: {:.3}; every answer was the one that its caller gets alone", rates[1] / rates[0]);
    Ok(())
}

/// One of the two ways to serve.
struct Way {
    name: &'static str,
    workers: Arc<Workers>,
    times: Vec<Duration>,
    measured: Duration,
}

impl Way {
    fn new(name: &'static str, asked: &Asked, batching: Option<Batching>) -> Result<Self, Error> {
        let settings = Settings { places: asked.workers, queue: 4096, deadline: PATIENCE, batching };
        let engines = (0..asked.workers).map(|_| Box::new(engine(asked)) as Box<dyn Engine>).collect();
        let workers = Arc::new(Workers::start("model", engines, settings)?);
        Ok(Self { name, workers, times: Vec::new(), measured: Duration::ZERO })
    }

    /// Says what it came to, and gives the requests a second.
    fn report(mut self) -> f64 {
        self.times.sort_unstable();
        let at = |share: usize| self.times.get(self.times.len() * share / 100).copied().unwrap_or_default();
        let (p50, p99, Counts { runs, failed_shared_runs, .. }) = (at(50), at(99), self.workers.counts());
        let requests = count(self.times.len());
        let rate = requests / self.measured.as_secs_f64();
        println!(
            "  {} {rate:.1} requests/s, p50 {p50:?}, p99 {p99:?}; {:.2} requests a run, {failed_shared_runs} runs failed",
            self.name,
            requests / count(usize::try_from(runs.max(1)).unwrap_or(usize::MAX)),
        );
        rate
    }
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

/// All callers, each with one request at a time, for so long. How long each request took.
async fn load(
    workers: &Arc<Workers>,
    requests: &Arc<Vec<Vec<Tensor>>>,
    expected: &Arc<Vec<Vec<Tensor>>>,
    time: Duration,
) -> Result<Vec<Duration>, Error> {
    let end = Instant::now() + time;
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..requests.len() {
        let (workers, requests, expected) = (Arc::clone(workers), Arc::clone(requests), Arc::clone(expected));
        callers.spawn(async move {
            let (Some(request), Some(expected)) = (requests.get(caller), expected.get(caller)) else {
                return Err(Error::from("a caller without a request"));
            };
            let mut times = Vec::new();
            while Instant::now() < end {
                let begun = Instant::now();
                let outcome = workers.run(request.clone(), purse()).await;
                times.push(begun.elapsed());
                let (outputs, _) = outcome.map_err(|error| format!("caller {caller}: {error:?}"))?;
                difference(&outputs, expected).map_err(|error| format!("caller {caller}: {error}"))?;
            }
            Ok(times)
        });
    }
    let mut times = Vec::new();
    while let Some(caller) = callers.join_next().await {
        times.extend(caller??);
    }
    Ok(times)
}

/// A worker as enclave-app starts one.
fn engine(asked: &Asked) -> ModelProcess {
    let limits = Limits {
        threads: 1,
        load_memory_bytes: 64 << 20,
        run_memory_bytes: 4 << 30,
        load_deadline: PATIENCE,
        grace: Duration::from_millis(500),
        input_bytes: 256 << 20,
        output_bytes: 64 << 20,
        renew_after_runs: u64::MAX,
    };
    ModelProcess::new(Program::this(), Arc::clone(&asked.library), Arc::clone(&asked.model), limits)
}

/// A row of noughts and ones that is this caller's own, and begins with a one: such token ids, masks and numbers every model
/// takes.
fn request(signature: &Signature, sequence: i64, caller: usize) -> Result<Vec<Tensor>, Error> {
    let tensor = |input: &TensorSignature| {
        let ShapeRule::Dimensions(declared) = &input.shape else { return Err("an input of unknown rank".into()) };
        let open = [1].into_iter().chain(std::iter::repeat(sequence));
        let dimensions: Vec<i64> =
            declared.iter().zip(open).map(|(&fixed, open)| if fixed < 0 { open } else { fixed }).collect();
        let shape = Shape::new(&dimensions, input.datatype).map_err(|error| error.to_string())?;
        let bit = |place: usize| place == 0 || caller.wrapping_add(1) >> (place % 10) & 1 == 1;
        let bytes: Vec<u8> = (0..shape.elements()).flat_map(|place| number(bit(place), input.datatype)).collect();
        let elements = Elements::from_le_bytes(input.datatype, shape.elements(), &bytes);
        let elements = elements.map_err(|error| format!("`{}`: {error:?}", input.name))?;
        Ok::<_, Error>(Tensor { name: input.name.clone(), shape, elements })
    };
    signature.inputs.iter().map(tensor).collect()
}

/// Nought or one.
fn number(is_one: bool, datatype: Datatype) -> Vec<u8> {
    match datatype {
        Datatype::Fp32 => f32::from(u8::from(is_one)).to_le_bytes().to_vec(),
        Datatype::Fp64 => f64::from(u8::from(is_one)).to_le_bytes().to_vec(),
        _ => {
            let mut bytes = vec![0; datatype.size().unwrap_or_default()];
            bytes.first_mut().into_iter().for_each(|byte| *byte = u8::from(is_one));
            bytes
        }
    }
}

fn purse() -> Purse {
    Memory::new(1 << 30, 1 << 30).share().purse()
}

/// What each request gets by itself.
fn alone(engine: &mut ModelProcess, requests: &[Vec<Tensor>]) -> Result<Vec<Vec<Tensor>>, Error> {
    let mut run = |request: &Vec<Tensor>| engine.run(request.clone(), Instant::now() + PATIENCE, &mut purse());
    requests.iter().map(|request| run(request).map_err(|error| format!("{error:?}").into())).collect()
}

/// What each request gets when all of them share one run.
fn together(engine: &mut ModelProcess, requests: &[Vec<Tensor>]) -> Result<Vec<Vec<Tensor>>, Error> {
    let mut purses: Vec<Purse> = requests.iter().map(|_| purse()).collect();
    let parts = requests.iter().zip(&mut purses).map(|(inputs, purse)| Part { inputs, rows: 1, purse });
    let outputs = engine.run_parts(&mut parts.collect::<Vec<_>>(), Instant::now() + PATIENCE);
    let outputs = outputs.map_err(|error| format!("joined: {error:?}"))?;
    outputs.into_iter().map(|outputs| outputs.map_err(|shortage| format!("joined: {shortage:?}").into())).collect()
}

/// The largest difference between any two answers to one request.
fn differences(actual: &[Vec<Tensor>], expected: &[Vec<Tensor>]) -> Result<f64, Error> {
    let each = actual.iter().zip(expected).enumerate();
    let each = each.map(|(caller, (actual, expected))| {
        difference(actual, expected).map_err(|error| Error::from(format!("request {caller}, joined: {error}")))
    });
    each.collect::<Result<Vec<_>, _>>().map(|all| all.into_iter().fold(0.0, f64::max))
}

/// The largest difference between two answers, if they are the same but for the last digits.
fn difference(actual: &[Tensor], expected: &[Tensor]) -> Result<f64, Error> {
    let mut largest = 0.0_f64;
    if actual.len() != expected.len() {
        return Err("another number of outputs than by itself".into());
    }
    for (actual, expected) in actual.iter().zip(expected) {
        let apart = match (&actual.elements, &expected.elements) {
            _ if actual.shape != expected.shape => f64::INFINITY,
            (Elements::Fp32(a), Elements::Fp32(b)) => {
                a.iter().zip(b).map(|(a, b)| distance(f64::from(*a), f64::from(*b))).fold(0.0, f64::max)
            }
            (Elements::Fp64(a), Elements::Fp64(b)) => {
                a.iter().zip(b).map(|(a, b)| distance(*a, *b)).fold(0.0, f64::max)
            }
            (a, b) if a == b => 0.0,
            _ => f64::INFINITY,
        };
        if apart > TOLERANCE {
            let words = "is another one than by itself: requests to this model must not share runs";
            return Err(format!("output `{}` {words}", expected.name).into());
        }
        largest = largest.max(apart);
    }
    Ok(largest)
}

/// Beside the larger of 1 and the number itself; two that are no number are the same.
fn distance(actual: f64, expected: f64) -> f64 {
    if actual.is_nan() && expected.is_nan() {
        return 0.0;
    }
    let apart = (actual - expected).abs() / expected.abs().max(1.0);
    if apart.is_nan() { f64::INFINITY } else { apart }
}
