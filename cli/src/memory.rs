//! The file that `--memory` names: what earlier runs have seen. Runs share it: whatever changes it reads, judges and writes
//! under one lock, so that no run forgets what another has seen, and none judges against less than was seen before it began.

mod lock;

use std::path::Path;

use teegate_verifier::Memory;

use crate::atomic::{self, Existing};
use crate::file;
use crate::output::short;
use lock::Lock;

/// A full memory, 65,536 platforms, takes less.
const MAX_BYTES: usize = 64 << 20;

/// What earlier runs have seen; nothing, if this is the first.
pub(crate) fn read(path: &Path) -> Result<Memory, String> {
    if std::fs::metadata(path).is_err_and(|missing| missing.kind() == std::io::ErrorKind::NotFound) {
        return Ok(Memory::new());
    }
    let bytes = file::read(path, MAX_BYTES).map_err(|what| format!("memory `{}` {what}", path.display()))?;
    serde_json::from_slice(&bytes).map_err(|error| {
        format!(
            "`{}` is not the memory of an earlier run: {}; name another file, or remove it to forget what was seen",
            path.display(),
            short(&error.to_string())
        )
    })
}

/// Judges against what is in the file now, and writes down what that taught. Nobody else changes the file meanwhile.
pub(crate) fn update<T>(path: &Path, judge: impl FnOnce(&mut Memory) -> Result<T, String>) -> Result<T, String> {
    let _until_the_end = Lock::take(path)?;
    let held = read(path)?;
    let mut memory = held.clone();
    let outcome = judge(&mut memory)?;
    if memory != held {
        store(path, &memory)?;
    }
    Ok(outcome)
}

/// Adds `memory` to what is in the file now: of everything the newer, and the higher.
pub(crate) fn write(path: &Path, memory: &Memory) -> Result<(), String> {
    update(path, |held| {
        held.merge(memory);
        Ok(())
    })
}

/// Written beside the old one and renamed over it, so that no reader ever sees half of it.
fn store(path: &Path, memory: &Memory) -> Result<(), String> {
    let cannot = |cause: std::io::Error| format!("memory `{}` cannot be written: {cause}", path.display());
    let bytes = serde_json::to_vec_pretty(memory).map_err(|cause| cannot(cause.into()))?;
    atomic::write(path, &bytes, Existing::Replace)
}
