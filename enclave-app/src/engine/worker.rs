//! A worker: this program once more, with one model and nothing else, on the other end of a pair of sockets.
//!
//! The order is the argument: ends with its parent -> has nothing that it should not have -> library loaded -> confined ->
//! *then* the model is read, which is where a stranger's bytes begin to decide what happens here. From there on its parent
//! believes nothing that it says.

use std::fs::File;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use rustix::stdio::stdin;

use super::confinement::{begin, confine};
use super::message::{Kind, MAX_SIGNATURE_BYTES, MAX_TEXT_BYTES, MESSAGE_BYTES, Message};
use super::onnx::OnnxSession;
use super::runtime::Runtime;
use super::shared_memory::SharedMemory;
use super::{Signature, TensorSignature};
use crate::tensor::{Shape, Tensor};

/// Why a worker ends before its parent does. Nobody reads it: the parent has been told, or is gone.
#[derive(Debug)]
pub enum WorkerError {
    /// The pair with the parent is not there, or no longer.
    Pair(std::io::Error),
    /// The parent said something that it does not say.
    Unexpected,
    /// The model was not loaded, and the parent was told why.
    NotLoaded,
}

impl std::fmt::Display for WorkerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pair(error) => write!(f, "worker: the pair with the parent: {error}"),
            Self::Unexpected => f.write_str("worker: the parent said something unexpected"),
            Self::NotLoaded => f.write_str("worker: the model was not loaded"),
        }
    }
}

impl std::error::Error for WorkerError {}

/// What the first message brings.
struct Load {
    sequence: u64,
    library: File,
    model: File,
    model_bytes: u64,
    threads: u64,
    output_bytes: u64,
    memory: SharedMemory,
    parent: u64,
}

/// Serves the parent at the other end of standard input until that is closed.
///
/// # Errors
/// [`WorkerError`] says why it ended before.
pub fn serve() -> Result<(), WorkerError> {
    let begun = begin().map_err(|error| error.to_string());
    let Load { sequence, library, model, model_bytes, threads, output_bytes, memory, parent } = first()?;
    let refuse = |sequence, words: &str| {
        answer(&memory, Kind::Refused, sequence, words);
        WorkerError::NotLoaded
    };
    // Whoever was orphaned before it asked for the signal would not get it.
    let is_orphan =
        rustix::process::getppid().is_none_or(|now| i64::from(now.as_raw_nonzero().get()).cast_unsigned() != parent);
    if is_orphan {
        return Err(WorkerError::NotLoaded);
    }
    begun.map_err(|words| refuse(sequence, &words))?;
    let runtime = Runtime::load(&library).map_err(|error| refuse(sequence, &error.to_string()))?;
    drop(library);
    confine().map_err(|error| refuse(sequence, &error.to_string()))?;
    say(&Message::new(Kind::Confined, sequence))?;

    let parse = receive()?.ok_or(WorkerError::Unexpected)?;
    if parse.kind != Kind::Parse {
        return Err(WorkerError::Unexpected);
    }
    let mut session =
        load(&runtime, &model, model_bytes, threads, output_bytes).map_err(|words| refuse(parse.sequence, &words))?;
    drop(model);
    ready(&memory, parse.sequence, session.signature()).map_err(|words| refuse(parse.sequence, &words))?;
    while let Some(message) = receive()? {
        if message.kind != Kind::Run {
            return Err(WorkerError::Unexpected);
        }
        run(&mut session, &memory, &message)?;
    }
    Ok(())
}

fn load(
    runtime: &Runtime,
    model: &File,
    model_bytes: u64,
    threads: u64,
    output_bytes: u64,
) -> Result<OnnxSession, String> {
    let size = |number: u64| usize::try_from(number).map_err(|_| format!("{number} is too much for this machine"));
    let length = size(model_bytes)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(|_| "there is no memory for the model's file".to_owned())?;
    bytes.resize(length, 0);
    model.read_exact_at(&mut bytes, 0).map_err(|error| format!("the model's file: {error}"))?;
    OnnxSession::load(runtime, &bytes, size(threads)?, size(output_bytes)?).map_err(|error| error.to_string())
}

fn ready(memory: &SharedMemory, sequence: u64, signature: &Signature) -> Result<(), String> {
    let text = serde_json::to_vec(signature).map_err(|error| error.to_string())?;
    if text.len() > MAX_SIGNATURE_BYTES {
        return Err(format!("the names of the model's inputs and outputs have more than {MAX_SIGNATURE_BYTES} bytes"));
    }
    memory.outputs().write(&text).map_err(|error| error.to_string())?;
    let length = text.len() as u64;
    say(&Message { length, ..Message::new(Kind::Ready, sequence) }).map_err(|error| error.to_string())
}

fn run(session: &mut OnnxSession, memory: &SharedMemory, message: &Message) -> Result<(), WorkerError> {
    let result = inputs(memory, message, session.signature()).and_then(|inputs| {
        let mut to = memory.outputs();
        session.run(&inputs, &mut to)?;
        Ok(to.since(&memory.outputs()))
    });
    match result {
        Ok(length) => {
            let count = u32::try_from(session.signature().outputs.len()).unwrap_or(u32::MAX);
            say(&Message { count, length, ..Message::new(Kind::Outputs, message.sequence) })
        }
        Err(words) => {
            answer(memory, Kind::Failed, message.sequence, &words);
            Ok(())
        }
    }
}

fn inputs(memory: &SharedMemory, message: &Message, signature: &Signature) -> Result<Vec<Tensor>, String> {
    let mut from = memory.inputs().limit(message.length);
    (0..message.count)
        .map(|_| {
            let head = from.read_head().map_err(|error| error.to_string())?;
            let known: Option<&TensorSignature> = signature
                .inputs
                .iter()
                .chain(&signature.defaults)
                .nth(usize::try_from(head.index).unwrap_or(usize::MAX));
            let (Some(known), Some(datatype), Some(dimensions)) = (known, head.datatype(), head.dimensions()) else {
                return Err("the input is none of the model's".to_owned());
            };
            let shape = Shape::new(dimensions, datatype).map_err(|error| error.to_string())?;
            let bytes =
                head.bytes(datatype, shape.elements()).ok_or("the input has another length than its elements")?;
            let elements = from
                .read_elements(datatype, shape.elements(), bytes)
                .map_err(|error| format!("input `{}`: {error}", known.name))?;
            Ok(Tensor { name: known.name.clone(), shape, elements })
        })
        .collect()
}

/// Says that something did not come about, and why. Whether that reaches the parent, it notices itself.
fn answer(memory: &SharedMemory, kind: Kind, sequence: u64, words: &str) {
    let text = words.as_bytes();
    let text = text.get(..MAX_TEXT_BYTES).unwrap_or(text);
    let length = if memory.outputs().write(text).is_ok() { text.len() as u64 } else { 0 };
    let _ = say(&Message { length, ..Message::new(kind, sequence) });
}

fn say(message: &Message) -> Result<(), WorkerError> {
    let bytes = message.encode();
    let mut left = bytes.as_slice();
    while !left.is_empty() {
        let written = rustix::io::write(stdin(), left).map_err(|error| WorkerError::Pair(error.into()))?;
        left = left.get(written..).unwrap_or_default();
    }
    Ok(())
}

/// The next message; `None` when the parent is gone.
fn receive() -> Result<Option<Message>, WorkerError> {
    let mut bytes = [0; MESSAGE_BYTES];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match rustix::io::read(stdin(), rest) {
            Ok(0) => return Ok(None),
            Ok(read) => filled += read,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(WorkerError::Pair(error.into())),
        }
    }
    Message::decode(&bytes).map(Some).ok_or(WorkerError::Unexpected)
}

/// The first message, and the three files that come with it: library, model, memory file.
fn first() -> Result<Load, WorkerError> {
    let mut bytes = [0; MESSAGE_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::net::recvmsg(
        stdin(),
        &mut [IoSliceMut::new(&mut bytes)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC | RecvFlags::WAITALL,
    );
    let received = received.map_err(|error| WorkerError::Pair(error.into()))?;
    let files: Vec<OwnedFd> = control
        .drain()
        .flat_map(|message| match message {
            RecvAncillaryMessage::ScmRights(files) => files.collect(),
            _ => Vec::new(),
        })
        .collect();
    let message =
        Message::decode(&bytes).filter(|message| received.bytes == MESSAGE_BYTES && message.kind == Kind::Load);
    let (Some(message), Ok([library, model, memory])) = (message, <[OwnedFd; 3]>::try_from(files)) else {
        return Err(WorkerError::Unexpected);
    };
    let [model_bytes, threads, input_bytes, output_bytes, parent] = message.numbers;
    // What the outputs may have is less than their region, which holds their heads too.
    let memory =
        SharedMemory::of(File::from(memory), input_bytes, output_bytes.saturating_add(MAX_SIGNATURE_BYTES as u64));
    Ok(Load {
        sequence: message.sequence,
        library: File::from(library),
        model: File::from(model),
        model_bytes,
        threads,
        output_bytes,
        memory,
        parent,
    })
}
