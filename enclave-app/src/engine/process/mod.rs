//! An engine whose every run happens in another process, which holds one model and nothing of ours.
//!
//! The parent's side of [`super::worker`]. It believes nothing that comes back: a message has to be the answer to the one open
//! question, outputs have to be those of the signature that the first worker of the model gave, and every byte is read once.
//! Whatever else comes, or does not come in time, ends the worker, and a new one takes its place. That costs the one request
//! that it was running, and no key.

mod limits;
mod pair;
mod parts;

use std::borrow::Borrow;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::message::{Kind, MAX_SIGNATURE_BYTES, MAX_TEXT_BYTES, Message};
use super::sealed::opened_again;
use super::shared_memory::{Borrowed, HEAD_BYTES, Head, SharedMemory, TransferError};
use super::{Engine, EngineError, LoadError, Loss, Part, PartOutputs, Readiness, Signature, TensorSignature, Work};
use crate::environment;
use crate::memory::Purse;
use crate::tensor::{Shape, Tensor};
pub use limits::Limits;
use pair::Pair;

/// Inputs and outputs of a model, together.
const MAX_TENSORS: usize = 4096;

/// A process that ends by itself has this long until how is known.
const ENDING: Duration = Duration::from_secs(1);

/// What is started as a worker.
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<String>,
}

/// The argument that makes this program a worker.
pub const WORKER: &str = "--worker";

impl Program {
    /// This very program, whatever has happened to its path.
    pub fn this() -> Self {
        Self::new("/proc/self/exe", &[WORKER])
    }

    /// Another program that speaks as [`super::worker`] does.
    pub fn new(path: impl Into<PathBuf>, arguments: &[&str]) -> Self {
        Self { path: path.into(), arguments: arguments.iter().map(|&argument| argument.to_owned()).collect() }
    }
}

/// A model whose runs happen in a process of their own.
pub struct ModelProcess {
    program: Program,
    library: Arc<File>,
    model: Arc<File>,
    limits: Limits,
    /// What the first worker of the model said; every later one has to say the same.
    signature: Option<Signature>,
    running: Option<Running>,
}

/// A worker that is there.
struct Running {
    child: Child,
    pair: Pair,
    memory: SharedMemory,
    runs: u64,
    /// To be done when it has been asked the next time.
    meanwhile: Option<Work>,
}

impl ModelProcess {
    /// An engine for the model in `model`, with the library in `library`: both sealed. Nothing is started yet.
    pub fn new(program: Program, library: Arc<File>, model: Arc<File>, limits: Limits) -> Self {
        Self { program, library, model, limits, signature: None, running: None }
    }

    /// The process id of the worker, when there is one.
    pub fn process_id(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.child.id())
    }

    fn start(&self, deadline: Instant) -> Result<(Running, Signature), LoadError> {
        let not_started = |error: std::io::Error| LoadError::NotStarted(error.to_string());
        let limits = &self.limits;
        let model_bytes = self.model.metadata().map_err(not_started)?.len();
        let memory = SharedMemory::create(
            limits.input_bytes.saturating_add(MAX_SIGNATURE_BYTES as u64),
            limits.output_bytes.saturating_add(MAX_SIGNATURE_BYTES as u64),
        )
        .map_err(not_started)?;
        let (pair, theirs) = Pair::new().map_err(not_started)?;
        let mut command = Command::new(&self.program.path);
        // What it could write to our log would be whatever it has seen.
        command.stdin(theirs).stdout(Stdio::null()).stderr(Stdio::null());
        command
            .arg0("enclave-app")
            .args(&self.program.arguments)
            .env_clear()
            .envs(environment::OF_WORKERS.iter().copied());
        let child = command.spawn().map_err(not_started)?;
        drop(command);
        let mut running = Running { child, pair, memory, runs: 0, meanwhile: None };

        let sequence = question().map_err(LoadError::Lost)?;
        let numbers = [
            model_bytes,
            limits.threads as u64,
            limits.input_bytes.saturating_add(MAX_SIGNATURE_BYTES as u64),
            limits.output_bytes,
            u64::from(std::process::id()),
        ];
        let load = Message { numbers, ..Message::new(Kind::Load, sequence) };
        let [library, model] = [&self.library, &self.model].map(|file| opened_again(file).map_err(not_started));
        let (library, model) = (library?, model?);
        let files = [library.as_fd(), model.as_fd(), running.memory.file().as_fd()];
        running.pair.send_with(&load, &files).map_err(LoadError::Lost)?;
        let answer = running.ask(sequence, deadline)?;
        running.loading(&answer, Kind::Confined)?;
        limits.while_loading(running.id(), model_bytes).map_err(not_started)?;

        let sequence = question().map_err(LoadError::Lost)?;
        running.pair.send(&Message::new(Kind::Parse, sequence)).map_err(LoadError::Lost)?;
        let answer = running.ask(sequence, deadline)?;
        running.loading(&answer, Kind::Ready)?;
        let signature = running.signature(answer.length).map_err(|what| LoadError::Lost(Loss::Breach(what)))?;
        running.memory.wipe_outputs(answer.length).map_err(|error| LoadError::NotStarted(error.to_string()))?;
        limits.while_running(running.id()).map_err(not_started)?;
        Ok((running, signature))
    }
}

impl Engine for ModelProcess {
    fn load(&mut self) -> Result<Signature, LoadError> {
        self.running = None;
        let patience = self.limits.load_deadline;
        let (running, signature) = self.start(Instant::now() + patience).map_err(|error| match error {
            LoadError::Lost(Loss::Deadline) => LoadError::TooLong(patience),
            other => other,
        })?;
        if self.signature.as_ref().is_some_and(|first| *first != signature) {
            return Err(LoadError::Lost(Loss::Breach("another signature than that of the first worker")));
        }
        self.signature = Some(signature.clone());
        self.running = Some(running);
        Ok(signature)
    }

    fn readiness(&mut self) -> Readiness {
        let Some(running) = &mut self.running else { return Readiness::Gone };
        if !running.pair.is_silent() {
            // It has ended, or says something that nobody asked for: then it ends now.
            self.running = None;
            return Readiness::Gone;
        }
        if running.runs < self.limits.renew_after_runs { Readiness::Ready } else { Readiness::WornOut }
    }

    fn least_time(&self) -> Duration {
        self.limits.grace
    }

    fn watched(&self) -> Option<BorrowedFd<'_>> {
        self.running.as_ref().map(|running| running.pair.as_fd())
    }

    fn meanwhile(&mut self, work: Work) {
        match &mut self.running {
            Some(running) => running.meanwhile = Some(work),
            None => work(),
        }
    }

    fn run(&mut self, inputs: Vec<Tensor>, until: Instant, purse: &mut Purse) -> Result<Vec<Tensor>, EngineError> {
        let (Some(running), Some(signature)) = (&mut self.running, &self.signature) else {
            return Err(EngineError::Lost(Loss::Ended("before the run".to_owned())));
        };
        let result = running.run(inputs, until + self.limits.grace, signature, &self.limits, purse);
        self.survived(result)
    }

    fn run_kept(&mut self, inputs: &[Tensor], until: Instant, purse: &mut Purse) -> Result<Vec<Tensor>, EngineError> {
        let (Some(running), Some(signature)) = (&mut self.running, &self.signature) else {
            return Err(EngineError::Lost(Loss::Ended("before the run".to_owned())));
        };
        let kill_at = until.max(Instant::now() + self.limits.grace);
        let result = running.run(inputs.iter().collect(), kill_at, signature, &self.limits, purse);
        self.survived(result)
    }

    fn run_parts(&mut self, parts: &mut [Part<'_>], until: Instant) -> Result<Vec<PartOutputs>, EngineError> {
        let (Some(running), Some(signature)) = (&mut self.running, &self.signature) else {
            return Err(EngineError::Lost(Loss::Ended("before the run".to_owned())));
        };
        // Nobody is answered late because of it: each part is run again by itself.
        let kill_at = until.max(Instant::now() + self.limits.grace);
        let result = running.run_parts(parts, kill_at, signature, &self.limits);
        self.survived(result)
    }
}

impl ModelProcess {
    /// What a run came to; a worker that it did not survive is ended.
    fn survived<T>(&mut self, result: Result<T, EngineError>) -> Result<T, EngineError> {
        if let Some(running) = &mut self.running {
            running.do_meanwhile();
        }
        match result {
            Err(EngineError::Lost(loss)) => {
                let ended = self.running.take().map(|mut running| running.end(loss.clone()));
                Err(EngineError::Lost(ended.unwrap_or(loss)))
            }
            other => other,
        }
    }
}

impl Running {
    fn do_meanwhile(&mut self) {
        if let Some(work) = self.meanwhile.take() {
            work();
        }
    }

    fn id(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// The answer to this question, while a model is loaded.
    fn ask(&mut self, sequence: u64, deadline: Instant) -> Result<Message, LoadError> {
        match self.pair.receive(deadline).and_then(|answer| is_of(&answer, sequence)) {
            Ok(answer) => Ok(answer),
            Err(loss) => Err(LoadError::Lost(self.end(loss))),
        }
    }

    /// Whether the answer is the one that should come, or says why it does not.
    fn loading(&self, answer: &Message, expected: Kind) -> Result<(), LoadError> {
        if answer.kind == expected {
            return Ok(());
        }
        if answer.kind == Kind::Refused {
            return Err(match self.text(answer.length) {
                // They are written to a terminal and to the log.
                Ok(words) => LoadError::Refused(words.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()),
                Err(loss) => LoadError::Lost(loss),
            });
        }
        Err(LoadError::Lost(Loss::Breach("an answer of another kind while loading")))
    }

    /// Words, of which nothing is believed but that they are words.
    fn text(&self, length: u64) -> Result<String, Loss> {
        let length = usize::try_from(length).ok().filter(|length| *length <= MAX_TEXT_BYTES);
        let length = length.ok_or(Loss::Breach("a text that is too long"))?;
        let bytes = self.memory.outputs().read_vec(length).map_err(|error| Loss::System(error.to_string()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn signature(&self, length: u64) -> Result<Signature, &'static str> {
        let length = usize::try_from(length).ok().filter(|length| *length <= MAX_SIGNATURE_BYTES);
        let bytes = self.memory.outputs().read_vec(length.ok_or("a signature that is too long")?);
        let bytes = bytes.map_err(|_| "a signature that is not there")?;
        let signature: Signature = serde_json::from_slice(&bytes).map_err(|_| "a signature that cannot be read")?;
        let count = signature.inputs.len() + signature.defaults.len() + signature.outputs.len();
        if count > MAX_TENSORS {
            return Err("a signature of too many tensors");
        }
        Ok(signature)
    }

    fn run<T: Borrow<Tensor>>(
        &mut self,
        inputs: Vec<T>,
        kill_at: Instant,
        signature: &Signature,
        limits: &Limits,
        purse: &mut Purse,
    ) -> Result<Vec<Tensor>, EngineError> {
        limits.admit(inputs.iter().map(Borrow::borrow)).map_err(EngineError::Failed)?;
        let count = inputs.len();
        let written = self.write(inputs, signature);
        self.exchange(count, written, kill_at, |running, answer| running.read(answer, signature, limits, purse))
    }

    /// Has the worker run on the inputs that were written, and reads what it answers.
    fn exchange<T>(
        &mut self,
        count: usize,
        written: Result<u64, TransferError>,
        kill_at: Instant,
        read: impl FnOnce(&Self, &Message) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        self.runs += 1;
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let length = match written {
            Ok(length) => length,
            Err(TransferError::Outside) => {
                return Err(EngineError::Failed("the inputs are larger than a worker takes".to_owned()));
            }
            // How far they got is not known, and what was written goes with the worker.
            Err(error) => return Err(EngineError::Lost(Loss::System(error.to_string()))),
        };
        let sequence = question().map_err(EngineError::Lost)?;
        let run = Message { count, length, ..Message::new(Kind::Run, sequence) };
        let sent = self.pair.send(&run);
        self.do_meanwhile();
        let answer = sent.and_then(|()| self.pair.receive(kill_at));
        let answer = answer.and_then(|answer| is_of(&answer, sequence));
        let result = match &answer {
            Ok(answer) => read(self, answer),
            Err(loss) => Err(EngineError::Lost(loss.clone())),
        };
        if matches!(result, Err(EngineError::Lost(_))) {
            // The memory file goes with the worker.
            return result;
        }
        let wiped = self.memory.wipe_inputs(length).and_then(|()| match answer {
            Ok(Message { kind: Kind::Outputs, length, .. }) => self.memory.wipe_outputs(length),
            // What was written before it failed, nobody has said.
            _ => self.memory.wipe_all_outputs(),
        });
        match wiped {
            Ok(()) => result,
            Err(error) => Err(EngineError::Lost(Loss::System(error.to_string()))),
        }
    }

    /// Hands the inputs over, one after the other, each wiped when it is written unless it is kept. Nothing is written of
    /// what is too much.
    fn write<T: Borrow<Tensor>>(&self, inputs: Vec<T>, signature: &Signature) -> Result<u64, TransferError> {
        let mut to = self.memory.inputs();
        let all: usize = inputs.iter().map(|tensor| tensor.borrow().bytes().saturating_add(HEAD_BYTES)).sum();
        if to.left() < all as u64 {
            return Err(TransferError::Outside);
        }
        let head = |tensor: &Tensor| {
            let known = signature.inputs.iter().chain(&signature.defaults);
            let index = known.zip(0..).find_map(|(known, index)| (known.name == tensor.name).then_some(index));
            Head::new(index?, tensor.elements.datatype(), tensor.shape.dimensions(), tensor.bytes())
        };
        let heads: Option<Vec<Head>> = inputs.iter().map(|input| head(input.borrow())).collect();
        for (input, head) in inputs.into_iter().zip(heads.ok_or(TransferError::Outside)?) {
            to.write_head(&head)?;
            to.write_elements(&Borrowed::from(&input.borrow().elements))?;
        }
        Ok(to.since(&self.memory.inputs()))
    }

    /// The outputs that an answer speaks of, judged by the signature.
    fn read(
        &self,
        answer: &Message,
        signature: &Signature,
        limits: &Limits,
        purse: &mut Purse,
    ) -> Result<Vec<Tensor>, EngineError> {
        let breach = |what| EngineError::Lost(Loss::Breach(what));
        self.outputs_follow(answer, signature, limits)?;
        let mut from = self.memory.outputs().limit(answer.length);
        let mut left = limits.output_bytes;
        let mut outputs = Vec::with_capacity(signature.outputs.len());
        for (index, expected) in (0..).zip(&signature.outputs) {
            let head = from.read_head().map_err(|_| breach("outputs that end too early"))?;
            let shape = judge(&head, index, expected).map_err(breach)?;
            let bytes = head.bytes(expected.datatype, shape.elements());
            let bytes = bytes.ok_or_else(|| breach("an output of another length than its elements"))?;
            left = left.checked_sub(bytes as u64).ok_or_else(|| breach("outputs larger than they may be"))?;
            // Where they lie is known before there is memory for them.
            if from.left() < bytes as u64 {
                return Err(breach("outputs that end too early"));
            }
            purse.spend(bytes).map_err(EngineError::NoMemory)?;
            let elements = from.read_elements(expected.datatype, shape.elements(), bytes);
            let elements = elements.map_err(|error| match error {
                TransferError::Outside => breach("outputs that end too early"),
                TransferError::Strings(_) => breach("strings of other lengths than they have, or that are no text"),
                other => EngineError::Lost(Loss::System(other.to_string())),
            })?;
            outputs.push(Tensor { name: expected.name.clone(), shape, elements });
        }
        if from.left() > 0 {
            return Err(breach("bytes after the last output"));
        }
        Ok(outputs)
    }

    /// Whether the answer speaks of as many outputs as the model has, or says why there are none.
    fn outputs_follow(&self, answer: &Message, signature: &Signature, limits: &Limits) -> Result<(), EngineError> {
        let breach = |what| Err(EngineError::Lost(Loss::Breach(what)));
        match answer.kind {
            Kind::Outputs if usize::try_from(answer.count) == Ok(signature.outputs.len()) => Ok(()),
            Kind::Outputs => breach("another number of outputs than the model has"),
            Kind::Failed => {
                let words = self.text(answer.length).map_err(EngineError::Lost)?;
                Err(EngineError::Failed(limits.explain(words)))
            }
            _ => breach("an answer of another kind to a run"),
        }
    }

    /// Ends the worker, whatever it does, and says how it was.
    fn end(&mut self, loss: Loss) -> Loss {
        let by_itself = matches!(loss, Loss::Ended(_)).then(|| self.ended_by_itself()).flatten();
        // Both fail only when it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        by_itself.map_or(loss, |status| Loss::Ended(how(status)))
    }

    /// The status of a process whose end of the pair is closed: it is there in a moment, or the process lives on.
    fn ended_by_itself(&mut self) -> Option<ExitStatus> {
        let process = pidfd_open(self.id(), PidfdFlags::empty()).ok()?;
        pair::wait_for(process.as_fd(), Instant::now() + ENDING).ok()?;
        self.child.try_wait().ok().flatten()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a process has ended. It chooses the number of its exit, which would be eight bits of whatever it has seen, so that is not
/// said.
fn how(status: ExitStatus) -> String {
    status.signal().map_or_else(|| "by an exit of its own".to_owned(), |signal| format!("by signal {signal}"))
}

/// The number of a question, which nobody can answer before it is asked.
fn question() -> Result<u64, Loss> {
    getrandom::u64().map_err(|error| Loss::System(error.to_string()))
}

/// An answer, if it is one to this question.
fn is_of(answer: &Message, sequence: u64) -> Result<Message, Loss> {
    if answer.sequence == sequence { Ok(*answer) } else { Err(Loss::Breach("an answer to another question")) }
}

/// The shape of an output, if it is the one that the model gives at this place.
fn judge(head: &Head, index: u32, expected: &TensorSignature) -> Result<Shape, &'static str> {
    if head.index != index {
        return Err("outputs in another order than the model's");
    }
    if head.datatype() != Some(expected.datatype) {
        return Err("an output of another type than the model's");
    }
    let dimensions = head.dimensions().ok_or("an output of too many dimensions")?;
    let shape = Shape::new(dimensions, expected.datatype).map_err(|_| "an output of an impossible shape")?;
    if expected.shape.fits(dimensions) { Ok(shape) } else { Err("an output of another shape than the model's") }
}
