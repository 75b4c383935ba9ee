//! The end of the process while the library still has threads at work.
//!
//! When a program returns from `main`, what its libraries registered for that moment runs, and ONNX Runtime destroys what
//! its own threads still use: a load or a run that hangs would turn the end into a crash (seen with 1.31.1: 21 of 25
//! times). A program that is replaced by another simply loses its threads. So the end is a replacement by this very
//! program, which does nothing but return the status that it is told.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// The argument that asks for nothing but a status.
pub const STATUS: &str = "--status";

/// Ends the process with this status, whatever its other threads do. Returns only if that cannot be done.
pub fn end(status: u8) -> ExitCode {
    // Standard output is line-buffered, and its last line was written long ago.
    let _not_replaced = Command::new("/proc/self/exe").args([STATUS, &status.to_string()]).exec();
    ExitCode::from(status)
}
