//! `teegate inspect` of an event log: each event, and the registers that they add up to. Nothing is verified.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::{Value, json};
use teegate_encoding::hex;
use teegate_verifier::{EventLog, LogEvent, LogRegisters, is_event_log, read_event_log};

use crate::exit::{self, Stop};
use crate::output::{self, plain};
use crate::screen::{Screen, Tone};
use crate::verify::Format;

/// What a log may have, and one byte to tell that there is more.
const MOST: u64 = (1 << 20) + 1;

/// The log in this file, if it begins as one; evidence is none of them.
pub(crate) fn found(path: &Path) -> Option<Vec<u8>> {
    if !path.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    let mut file = File::open(path).ok()?.take(MOST);
    file.by_ref().take(48).read_to_end(&mut bytes).ok()?;
    if !is_event_log(&bytes) {
        return None;
    }
    file.read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// What it says, and the status.
pub(crate) fn shown(path: &Path, bytes: &[u8], format: Format) -> Result<(String, u8), Stop> {
    let log = read_event_log(bytes)
        .map_err(|defect| Stop { status: exit::MALFORMED, message: format!("`{}`: {defect}", path.display()) })?;
    let text = match format {
        Format::Text => text(&log, bytes.len(), Screen::of_stdout(None)),
        Format::Json => output::to_json(&document(&log, bytes.len()))?,
    };
    Ok((text, exit::ACCEPTED))
}

fn text(log: &EventLog, length: usize, screen: Screen) -> String {
    let warning = screen.style.paint(Tone::Caution, "NOT VERIFIED.");
    let kind = match log.registers {
        LogRegisters::Rtmrs(_) => "event log of a TD (CCEL)",
        LogRegisters::Pcrs { .. } => "event log of a TPM",
    };
    let events = log.extending().count();
    let notes = match log.events.len().saturating_sub(events) {
        0 => String::new(),
        1 => ", and 1 record that extends nothing".to_owned(),
        notes => format!(", and {notes} records that extend nothing"),
    };
    let mut text = format!(
        "{warning} Anybody can write a log that adds up to anything. It says something only beside evidence that states the\n\
         registers: `teegate verify EVIDENCE --event-log LOG`. `=` stands where the digest is over the data that are shown;\n\
         elsewhere nothing says that the data belong to it. For what extends nothing no evidence vouches.\n\n\
         \x20 {kind}, {length} bytes, {events} events{notes}\n\n",
    );
    for event in &log.events {
        let digest = if event.extends { hex::encode(&event.digest) } else { "extends nothing".to_owned() };
        let covers = if event.covers_data && event.extends { "=" } else { " " };
        let says = event.text.as_deref().map_or_else(|| format!("{} bytes", event.data_bytes), plain);
        text += &format!("  {:<6} {:<28} {covers} {}  {says}\n", register(log, event), kind_of(event), short(&digest));
    }
    text += "\n";
    for (name, value) in registers(log) {
        text += &format!("  {name:<14} {value}\n");
    }
    text
}

fn short(digest: &str) -> String {
    digest.chars().take(16).collect()
}

fn kind_of(event: &LogEvent) -> String {
    if event.name.is_empty() { format!("{:#x}", event.kind) } else { event.name.to_owned() }
}

fn register(log: &EventLog, event: &LogEvent) -> String {
    match (&log.registers, event.register) {
        (LogRegisters::Rtmrs(_), 0) => "MRTD".to_owned(),
        (LogRegisters::Rtmrs(_), number) => format!("RTMR{}", number.saturating_sub(1)),
        (LogRegisters::Pcrs { .. }, number) => format!("PCR{number}"),
    }
}

/// Those that something was extended into.
fn registers(log: &EventLog) -> Vec<(String, String)> {
    fn bank<const N: usize>(name: &str, registers: Option<&[[u8; N]; 24]>) -> Vec<(String, String)> {
        let each = registers.into_iter().flatten().enumerate();
        each.filter(|(_, value)| **value != [0; N] && **value != [0xFF; N])
            .map(|(number, value)| (format!("{name}.pcr{number}"), hex::encode(value)))
            .collect()
    }
    match &log.registers {
        LogRegisters::Rtmrs(rtmrs) => {
            rtmrs.iter().enumerate().map(|(number, value)| (format!("rtmr{number}"), hex::encode(value))).collect()
        }
        LogRegisters::Pcrs { sha256, sha384 } => {
            [bank("sha256", sha256.as_deref()), bank("sha384", sha384.as_deref())].concat()
        }
    }
}

/// Schema `teegate/event-log/1`.
fn document(log: &EventLog, length: usize) -> Value {
    let kind = match log.registers {
        LogRegisters::Rtmrs(_) => "ccel",
        LogRegisters::Pcrs { .. } => "tpm",
    };
    let events: Vec<_> = log
        .events
        .iter()
        .map(|event| {
            json!({
                "register": register(log, event),
                "type": event.kind,
                "name": event.name,
                "extends": event.extends,
                "digest": hex::encode(&event.digest),
                "digest_covers_data": event.covers_data,
                "data_bytes": event.data_bytes,
                "text": event.text,
            })
        })
        .collect();
    let registers: serde_json::Map<_, _> =
        registers(log).into_iter().map(|(name, value)| (name, Value::String(value))).collect();
    json!({
        "schema": "teegate/event-log/1", "verified": false, "kind": kind, "bytes": length, "registers": registers,
        "events": events,
    })
}
