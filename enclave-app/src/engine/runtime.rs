//! The ONNX Runtime library: which bytes run, and that they send nothing.
//!
//! The library lies on a file system that the host can choose, so the path proves nothing. Its bytes are written to an
//! anonymous file, which is sealed against change, then compared with the digests compiled in here. That file is handed to
//! each worker, which loads it; the process that holds the keys never does. `ORT_DYLIB_PATH` is not asked. The libraries that it needs in turn (`libstdc++`, `libc` and what comes with them) are
//! the dynamic loader's choice: they are as trustworthy as the measured image that brings them.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ort::environment::Environment;
use ort::logging::LogLevel;
use sha2::{Digest, Sha256};
use teegate_encoding::hex;

use super::sealed::sealed;
use crate::environment;

/// SHA-256 of `libonnxruntime.so.1.31.1` in the PyPI wheels of onnxruntime 1.31.1, by architecture.
const LIBRARY_SHA256: &str = if cfg!(target_arch = "x86_64") {
    "fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3"
} else if cfg!(target_arch = "aarch64") {
    "8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467"
} else {
    "no library is known for this architecture"
};

/// Well above the 30 MB of the library.
const MAX_LIBRARY_BYTES: u64 = 256 << 20;

/// Why the library was not loaded.
#[derive(Debug)]
pub enum RuntimeError {
    /// The environment would let the library send telemetry.
    TelemetryOn,
    /// The file cannot be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The bytes are not those of the release that this program was built for.
    Digest {
        /// The file.
        path: PathBuf,
        /// Its SHA-256, in hex.
        actual: String,
    },
    /// The sealed copy could not be made.
    Seal(std::io::Error),
    /// The sealed copy could not be loaded.
    Load(String),
}

impl std::fmt::Display for RuntimeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TelemetryOn => {
                write!(f, "ONNX Runtime would send telemetry in this environment; `environment::enter` must come first")
            }
            Self::Unreadable { path, source } => {
                write!(f, "ONNX Runtime library `{}` cannot be read: {source}", path.display())
            }
            Self::Digest { path, actual } => write!(
                f,
                "ONNX Runtime library `{}` has SHA-256 {actual}, expected {LIBRARY_SHA256}; take libonnxruntime.so of onnxruntime 1.31.1 from its PyPI wheel",
                path.display()
            ),
            Self::Seal(source) => write!(f, "ONNX Runtime library: sealed copy in memory could not be made: {source}"),
            Self::Load(reason) => write!(f, "ONNX Runtime library could not be loaded: {reason}"),
        }
    }
}

impl std::error::Error for RuntimeError {}

/// ONNX Runtime, loaded and initialised: once in a process.
#[derive(Clone)]
pub struct Runtime {
    environment: Environment,
}

impl Runtime {
    /// Loads a library that [`library`] has judged.
    ///
    /// # Errors
    /// [`RuntimeError`] says which step failed.
    pub fn load(library: &File) -> Result<Self, RuntimeError> {
        if !environment::telemetry_is_off() {
            return Err(RuntimeError::TelemetryOn);
        }
        let path = format!("/proc/self/fd/{}", library.as_raw_fd());
        let builder = ort::init_from(path).map_err(|error| RuntimeError::Load(error.to_string()))?;
        let environment = builder
            .with_name("enclave-app")
            .with_telemetry(false)
            .with_logger(Arc::new(say_nothing))
            .build()
            .map_err(|error| RuntimeError::Load(error.message().to_owned()))?;
        environment.set_log_level(LogLevel::Fatal);
        Ok(Self { environment })
    }

    /// The environment that sessions are made in.
    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }
}

/// A sealed copy of the file at `path`, if its bytes are those of the release.
///
/// # Errors
/// [`RuntimeError`] says why there is none.
pub fn library(path: &Path) -> Result<File, RuntimeError> {
    let file = File::open(path).map_err(|source| RuntimeError::Unreadable { path: path.to_owned(), source })?;
    let copy = sealed("onnxruntime", file.take(MAX_LIBRARY_BYTES)).map_err(RuntimeError::Seal)?;
    // What is hashed is the copy, which nobody can change any more.
    let actual = hex::encode(digest(&copy).map_err(RuntimeError::Seal)?);
    if actual == LIBRARY_SHA256 { Ok(copy) } else { Err(RuntimeError::Digest { path: path.to_owned(), actual }) }
}

/// SHA-256 from the first byte on.
fn digest(mut file: &File) -> std::io::Result<[u8; 32]> {
    file.rewind()?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        let length = file.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..length).filter(|bytes| !bytes.is_empty()) else {
            return Ok(hash.finalize().into());
        };
        hash.update(bytes);
    }
}

/// ONNX Runtime's messages can quote values of a request, and a worker has nobody to tell them to.
fn say_nothing(_: LogLevel, _category: &str, _id: &str, _place: &str, _message: &str) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_library_is_refused_by_its_digest() {
        let path = std::env::current_exe().unwrap();
        let expected = hex::encode(Sha256::digest(std::fs::read(&path).unwrap()));
        match library(&path) {
            Err(RuntimeError::Digest { actual, .. }) => assert_eq!(actual, expected),
            other => panic!("{other:?}"),
        }
        assert!(matches!(library(Path::new("/nonexistent/libonnxruntime.so")), Err(RuntimeError::Unreadable { .. })));
    }
}
