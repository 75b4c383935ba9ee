//! Event logs: what firmware and guest wrote down as they extended registers, and what it adds up to.
//!
//! A log is hostile bytes. Only a log that adds up to registers which hardware signed says something, and then only which digests
//! were extended into each of them, in which order. A record that extends nothing adds up to nothing: it is counted apart, and a
//! log of such records alone is none.

pub(crate) mod ccel;
mod read;
mod tcg2;
pub(crate) mod tpm;

pub(crate) use tcg2::{Kind, is_of_a_tpm, kind};

/// What a log has to have, whoever judges it. Registers that nothing was extended into agree with a log that extends nothing, and
/// such a log shows nothing.
pub(crate) const AN_EVENT: &str = "an event log with an event that extends a register";

/// What a log without such an event has.
pub(crate) fn only_notes(notes: u32) -> String {
    match notes {
        0 => "no record but the first, which describes the format".to_owned(),
        1 => "no event that extends a register, and 1 record that extends nothing".to_owned(),
        _ => format!("no event that extends a register, and {notes} records that extend nothing"),
    }
}

/// What is said of the records that extend nothing, behind the number of events that do.
pub(crate) fn beside(notes: u32) -> String {
    match notes {
        0 => String::new(),
        1 => "; 1 record extends nothing, and nobody vouches for it".to_owned(),
        _ => format!("; {notes} records extend nothing, and nobody vouches for those"),
    }
}

pub use read::{EventLog, LogDefect, LogEvent, LogRegisters, is_event_log, read_event_log};
