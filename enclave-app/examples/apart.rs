//! What it costs that a run happens in another process: the same model on the same inputs, in this process and in a worker, in
//! turns. And beside it what this machine takes for a message to another process and back, which does nothing.
//!
//! ```text
//! cargo build --release -p teegate-enclave --example apart
//! target/release/examples/apart LIBRARY MODEL BATCH SEQUENCE [SECONDS]
//! ```

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use teegate_enclave::engine::message::MESSAGE_BYTES;
use teegate_enclave::engine::onnx::OnnxSession;
use teegate_enclave::engine::process::{Limits, ModelProcess, Program, WORKER};
use teegate_enclave::engine::sealed::sealed;
use teegate_enclave::engine::shared_memory::SharedMemory;
use teegate_enclave::engine::{Engine, ShapeRule, Signature, runtime, worker};
use teegate_enclave::environment;
use teegate_enclave::memory::Memory;
use teegate_enclave::tensor::{Elements, Shape, Tensor};

type Error = Box<dyn std::error::Error>;

const OUTPUT_BYTES: usize = 64 << 20;

/// The argument that makes this program send back what it gets.
const ECHO: &str = "--echo";

fn main() -> Result<(), Error> {
    // A worker's environment for both: the allocator is set as it is there.
    environment::enter(environment::OF_WORKERS)?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [WORKER] => Ok(worker::serve()?),
        [ECHO] => echo(),
        [library, model, batch, sequence] => measure(library, model, [batch.parse()?, sequence.parse()?], 20),
        [library, model, batch, sequence, seconds] => {
            measure(library, model, [batch.parse()?, sequence.parse()?], seconds.parse()?)
        }
        _ => Err("usage: apart LIBRARY MODEL BATCH SEQUENCE [SECONDS]".into()),
    }
}

fn measure(library: &str, model: &str, open: [i64; 2], seconds: u64) -> Result<(), Error> {
    let library = Arc::new(runtime::library(library.as_ref())?);
    let bytes = std::fs::read(model)?;
    let (mut here, memory) = here(&library, &bytes)?;
    let mut there = there(&library, &bytes)?;
    let signature = there.load()?;
    let inputs = inputs(&signature, open)?;
    let mut purse = Memory::new(1 << 30, 1 << 30).share().purse();

    let (mut bare, mut echoing) = far_end()?;
    let (mut of_here, mut of_there, mut of_bare) = (Vec::new(), Vec::new(), Vec::new());
    // In turns: long runs one by one, so that what else the machine does meets both; short ones in rows, so that they do not
    // meet each other's cold caches.
    let begun = Instant::now();
    here.run(&inputs, &mut memory.outputs())?;
    let row = if begun.elapsed() > Duration::from_millis(5) { 1 } else { 20 };
    let end = Instant::now() + Duration::from_secs(seconds);
    while of_here.len() < 20 || Instant::now() < end {
        for _ in 0..row {
            let begun = Instant::now();
            here.run(&inputs, &mut memory.outputs())?;
            of_here.push(begun.elapsed());
        }
        for _ in 0..row {
            let inputs = inputs.clone();
            let begun = Instant::now();
            let outputs = there.run(inputs, begun + Duration::from_secs(60), &mut purse);
            of_there.push(begun.elapsed());
            let outputs = outputs.map_err(|error| format!("{error:?}"))?;
            purse.refund(outputs.iter().map(Tensor::bytes).sum());
        }
        for _ in 0..row {
            let (begun, mut message) = (Instant::now(), [7; MESSAGE_BYTES]);
            bare.write_all(&message)?;
            bare.read_exact(&mut message)?;
            of_bare.push(begun.elapsed());
        }
    }
    drop(bare);
    echoing.wait()?;
    let begun = Instant::now();
    there.load()?;
    let replaced = begun.elapsed();
    println!(
        "{model}, {open:?}, {} runs each; a worker is ended and the next one ready in {replaced:?}",
        of_here.len()
    );
    let [here, there, bare] = [&mut of_here, &mut of_there, &mut of_bare].map(|times| {
        times.sort_unstable();
        let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
        (at(10), at(50), at(99), times.iter().sum::<Duration>() / u32::try_from(times.len()).unwrap_or(u32::MAX))
    });
    for (name, (p10, p50, p99, mean)) in [("here ", here), ("there", there), ("bare message", bare)] {
        println!("  {name} p10 {p10:?}, p50 {p50:?}, p99 {p99:?}, mean {mean:?}");
    }
    let ratio = |one: Duration, other: Duration| one.as_secs_f64() / other.as_secs_f64();
    println!(
        "  there / here: p10 {:.3}, p50 {:.3}, mean {:.3}; p50 {:?} more",
        ratio(there.0, here.0),
        ratio(there.1, here.1),
        ratio(there.3, here.3),
        there.1.saturating_sub(here.1)
    );
    Ok(())
}

/// Another process that sends back what it gets.
fn far_end() -> Result<(UnixStream, Child), Error> {
    let (ours, theirs) = UnixStream::pair()?;
    let back = theirs.try_clone()?;
    let mut command = Command::new("/proc/self/exe");
    command.arg(ECHO).stdin(OwnedFd::from(theirs)).stdout(OwnedFd::from(back));
    Ok((ours, command.spawn()?))
}

fn echo() -> Result<(), Error> {
    let (mut from, mut to) = (std::io::stdin().lock(), std::io::stdout().lock());
    let mut message = [0; MESSAGE_BYTES];
    while from.read_exact(&mut message).is_ok() {
        to.write_all(&message)?;
        to.flush()?;
    }
    Ok(())
}

/// The model in this process, and somewhere to write its outputs.
fn here(library: &File, model: &[u8]) -> Result<(OnnxSession, SharedMemory), Error> {
    let runtime = runtime::Runtime::load(library)?;
    let session = OnnxSession::load(&runtime, model, 1, OUTPUT_BYTES)?;
    Ok((session, SharedMemory::create(0, 2 * OUTPUT_BYTES as u64)?))
}

/// The model in a worker.
fn there(library: &Arc<File>, model: &[u8]) -> Result<ModelProcess, Error> {
    let limits = Limits {
        threads: 1,
        load_memory_bytes: 64 << 20,
        run_memory_bytes: 1 << 30,
        load_deadline: Duration::from_secs(60),
        grace: Duration::ZERO,
        input_bytes: 256 << 20,
        output_bytes: OUTPUT_BYTES as u64,
        renew_after_runs: u64::MAX,
    };
    let model = Arc::new(sealed("model", model)?);
    Ok(ModelProcess::new(Program::this(), Arc::clone(library), model, limits))
}

/// Ones, with the open dimensions as asked for: the first is the batch, others the sequence.
fn inputs(signature: &Signature, [batch, sequence]: [i64; 2]) -> Result<Vec<Tensor>, Error> {
    let tensor = |input: &teegate_enclave::engine::TensorSignature| {
        let ShapeRule::Dimensions(declared) = &input.shape else { return Err("an input of unknown rank".into()) };
        let open = [batch].into_iter().chain(std::iter::repeat(sequence));
        let dimensions: Vec<i64> =
            declared.iter().zip(open).map(|(&fixed, open)| if fixed < 0 { open } else { fixed }).collect();
        let shape = Shape::new(&dimensions, input.datatype).map_err(|error| error.to_string())?;
        // Ones; of a string it is the length, and there is none.
        let mut one = vec![0; input.datatype.least_size()];
        one.first_mut().into_iter().for_each(|byte| *byte = u8::from(input.datatype.size().is_some()));
        let elements = Elements::from_le_bytes(input.datatype, shape.elements(), &one.repeat(shape.elements()));
        let elements = elements.map_err(|error| error.to_string())?;
        Ok::<_, Error>(Tensor { name: input.name.clone(), shape, elements })
    };
    signature.inputs.iter().map(tensor).collect()
}
