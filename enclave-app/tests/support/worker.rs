//! Engines whose workers are real processes of the program, without the rest of it around them.

#![allow(dead_code, reason = "each test binary uses some of them")]

use std::fs::File;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use teegate_enclave::engine::process::{Limits, ModelProcess, Program, WORKER};
use teegate_enclave::engine::sealed::sealed;
use teegate_enclave::engine::{Engine, EngineError, LoadError, Signature, runtime};
use teegate_enclave::memory::{Memory, Purse};
use teegate_enclave::model::ModelFile;
use teegate_enclave::tensor::{Elements, Shape, Tensor};

use super::library;

/// The library, compared and sealed once; `None`, said aloud, when it is not there.
pub(crate) fn sealed_library() -> Option<Arc<File>> {
    static LIBRARY: OnceLock<Arc<File>> = OnceLock::new();
    let path = library::library()?;
    Some(Arc::clone(LIBRARY.get_or_init(|| Arc::new(runtime::library(&path).unwrap()))))
}

/// The program as it is started as a worker.
pub(crate) fn program() -> Program {
    Program::new(env!("CARGO_BIN_EXE_enclave-app"), &[WORKER])
}

/// Limits in which every model of these tests runs.
pub(crate) fn limits() -> Limits {
    Limits {
        threads: 1,
        load_memory_bytes: 64 << 20,
        run_memory_bytes: 256 << 20,
        load_deadline: Duration::from_secs(60),
        grace: Duration::ZERO,
        input_bytes: 64 << 20,
        output_bytes: 64 << 20,
        renew_after_runs: u64::MAX,
    }
}

/// An engine for a model, not loaded.
pub(crate) fn engine_with(library: &Arc<File>, model: Vec<u8>, limits: Limits) -> ModelProcess {
    let file = ModelFile::from_bytes(model).unwrap();
    let model = Arc::new(sealed("model", file.bytes()).unwrap());
    ModelProcess::new(program(), Arc::clone(library), model, limits)
}

/// An engine that has loaded a model.
pub(crate) struct Loaded {
    pub(crate) process: ModelProcess,
    pub(crate) signature: Signature,
}

pub(crate) fn load_with(library: &Arc<File>, model: Vec<u8>, limits: Limits) -> Result<Loaded, LoadError> {
    let mut process = engine_with(library, model, limits);
    let signature = process.load()?;
    Ok(Loaded { process, signature })
}

pub(crate) fn load(library: &Arc<File>, model: Vec<u8>) -> Result<Loaded, LoadError> {
    load_with(library, model, limits())
}

impl Loaded {
    /// Runs, with a minute for it.
    pub(crate) fn run(&mut self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, EngineError> {
        self.run_until(inputs, Instant::now() + Duration::from_secs(60))
    }

    pub(crate) fn run_until(&mut self, inputs: Vec<Tensor>, until: Instant) -> Result<Vec<Tensor>, EngineError> {
        self.process.run(inputs, until, &mut purse())
    }
}

/// An empty purse, of a memory without end.
pub(crate) fn purse() -> Purse {
    Memory::new(1 << 40, 1 << 40).share().purse()
}

pub(crate) fn tensor(name: &str, shape: &[i64], elements: Elements) -> Tensor {
    Tensor { name: name.into(), shape: Shape::new(shape, elements.datatype()).unwrap(), elements }
}
