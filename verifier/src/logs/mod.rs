//! Event logs: what firmware and guest wrote down as they extended registers, and what it adds up to.
//!
//! A log is hostile bytes. Only a log that adds up to registers which hardware signed says something, and then only that its
//! digests were extended.

pub(crate) mod ccel;
mod read;
mod tcg2;
pub(crate) mod tpm;

pub(crate) use tcg2::{Kind, is_of_a_tpm, kind};

pub use read::{EventLog, LogDefect, LogEvent, LogRegisters, is_event_log, read_event_log};
