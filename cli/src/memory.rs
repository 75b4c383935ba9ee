//! The file that `--memory` names: what earlier runs have seen, read before a verification and written after it.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use teegate_verifier::{Memory, Seen};

use crate::atomic::{self, Existing};

/// A full memory, 65,536 platforms, takes less.
const MAX_BYTES: u64 = 64 << 20;

/// What earlier runs have seen; nothing, if this is the first.
pub(crate) fn read(path: &Path) -> Result<Memory, String> {
    let cannot = |why: &dyn std::fmt::Display| format!("memory `{}` cannot be read: {why}", path.display());
    let file = match File::open(path) {
        Ok(file) => file,
        Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => return Ok(Memory::new()),
        Err(cause) => return Err(cannot(&cause)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|cause| cannot(&cause))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_BYTES) {
        return Err(cannot(&format_args!("more than {MAX_BYTES} bytes")));
    }
    serde_json::from_slice(&bytes).map_err(|error| {
        format!(
            "`{}` is not the memory of an earlier run: {error}; name another file, or remove it to forget what was seen",
            path.display()
        )
    })
}

/// Written beside the old one and renamed over it, so that no reader ever sees half of it.
pub(crate) fn write(path: &Path, memory: &Memory) -> Result<(), String> {
    let cannot = |cause: std::io::Error| format!("memory `{}` cannot be written: {cause}", path.display());
    let bytes = serde_json::to_vec_pretty(memory).map_err(|cause| cannot(cause.into()))?;
    atomic::write(path, &bytes, Existing::Replace)
}

/// Adds what an accepted verdict rested on, and writes it down.
pub(crate) fn remember(path: &Path, mut memory: Memory, seen: &Seen) -> Result<(), String> {
    memory.remember(seen);
    write(path, &memory)
}
