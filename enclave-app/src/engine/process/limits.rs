//! How much a worker may have, and for how long. The parent sets what the kernel enforces, and asks the kernel and not the
//! worker what it holds already.

use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit};

use crate::tensor::{Elements, Tensor};

/// Sizes and times of a worker.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Threads of one run.
    pub threads: usize,
    /// Bytes beside three times its file that a model may take while it is loaded.
    pub load_memory_bytes: u64,
    /// Bytes that a run may take beside what the worker holds when its model is loaded.
    pub run_memory_bytes: u64,
    /// The longest load.
    pub load_deadline: Duration,
    /// How long a run may go on when nobody waits for it any more.
    pub grace: Duration,
    /// Bytes that the inputs of a run can have together, their heads not counted.
    pub input_bytes: u64,
    /// Bytes that the outputs of a run may have together.
    pub output_bytes: u64,
    /// After so many runs another worker takes its place.
    pub renew_after_runs: u64,
}

/// What a thread takes of private memory for itself: its stack, and a little for its blocks.
const THREAD_DATA_BYTES: u64 = 16 << 20;

/// What a thread reserves of addresses: a heap of the C library, and its stack.
const THREAD_ADDRESS_BYTES: u64 = 192 << 20;

/// Between the two limits: what is reserved and never written, and what is mapped of files.
const ADDRESS_BYTES: u64 = 512 << 20;

/// A parser that holds a model's file, the messages made of it, and the weights copied out of them.
const COPIES_WHILE_LOADING: u64 = 3;

/// The block of a tensor of strings, a text for each, one that ends with a zero, and the library's own.
const STRING_COPIES: u64 = 4;

/// What a string takes beside its bytes in all of these: headers, a pointer, and what the allocator adds to each block.
const STRING_BYTES: u64 = 224;

impl Limits {
    /// Limits a process that is about to read a model of so many bytes.
    pub(super) fn while_loading(&self, process: Pid, model_bytes: u64) -> std::io::Result<()> {
        let threads = (self.threads as u64).saturating_mul(THREAD_DATA_BYTES);
        let model = model_bytes.saturating_mul(COPIES_WHILE_LOADING);
        self.limit(process, model.saturating_add(self.load_memory_bytes).saturating_add(threads))
    }

    /// Limits a process whose model is loaded.
    pub(super) fn while_running(&self, process: Pid) -> std::io::Result<()> {
        self.limit(process, self.run_memory_bytes)
    }

    /// Lets a process take so many bytes more than it has. `RLIMIT_DATA` counts private memory that can be written;
    /// `RLIMIT_AS` stands behind it.
    fn limit(&self, process: Pid, more: u64) -> std::io::Result<()> {
        let [data, addresses] = held(process)?;
        let reserved = (self.threads as u64).saturating_mul(THREAD_ADDRESS_BYTES).saturating_add(ADDRESS_BYTES);
        set(process, Resource::Data, data.saturating_add(more))?;
        set(process, Resource::As, addresses.saturating_add(more).saturating_add(reserved))
    }

    /// Refuses strings of which a worker would make more copies than it has memory for. It would not fail but end: what
    /// cannot be had there ends a process.
    pub(super) fn admit<'t>(&self, inputs: impl Iterator<Item = &'t Tensor>) -> Result<(), String> {
        let needed = inputs.fold(0_u64, |sum, input| {
            let Elements::Bytes(strings) = &input.elements else { return sum };
            let copies = (strings.block().len() as u64).saturating_mul(STRING_COPIES);
            sum.saturating_add(copies).saturating_add((strings.len() as u64).saturating_mul(STRING_BYTES))
        });
        if needed <= self.run_memory_bytes {
            return Ok(());
        }
        Err(format!(
            "the run needs more than the {} bytes of memory that it may have here: {needed} for copies of its strings",
            self.run_memory_bytes
        ))
    }

    /// Says of words that speak of memory which memory that is.
    pub(super) fn explain(&self, words: String) -> String {
        let is_memory = ["bad_alloc", "allocate memory", "there is no memory"].iter().any(|said| words.contains(said));
        if !is_memory {
            return words;
        }
        format!("the run needs more than the {} bytes of memory that it may have here; {words}", self.run_memory_bytes)
    }
}

/// `VmData` and `VmSize` of a process, in bytes.
fn held(process: Pid) -> std::io::Result<[u64; 2]> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.as_raw_nonzero()))
        .map_err(|error| std::io::Error::new(error.kind(), format!("what a worker holds is not in /proc: {error}")))?;
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    };
    let (data, size) = bytes("VmData:").zip(bytes("VmSize:")).ok_or_else(|| {
        std::io::Error::new(std::io::ErrorKind::InvalidData, "/proc does not say how much memory a worker has")
    })?;
    Ok([data, size])
}

/// The hard limit stays: it is the host's, and the process has no way to ask for more.
fn set(process: Pid, resource: Resource, bytes: u64) -> std::io::Result<()> {
    let maximum = rustix::process::getrlimit(resource).maximum;
    let current = Some(maximum.map_or(bytes, |most| bytes.min(most)));
    rustix::process::prlimit(Some(process), resource, Rlimit { current, maximum })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_holds_is_asked_of_the_kernel() {
        let [data, addresses] = held(rustix::process::getpid()).unwrap();
        assert!(data > 64 << 10 && addresses > data, "{data} {addresses}");
        assert_eq!(held(Pid::from_raw(i32::MAX).unwrap()).unwrap_err().kind(), std::io::ErrorKind::NotFound);
    }
}
