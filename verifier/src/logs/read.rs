//! A log for people, and for those who compute what to expect: each event, and the registers at the end.
//!
//! **Nothing of it is judged.** Anybody can write a log that adds up to anything; [`crate::verify()`] compares with what hardware
//! signed.

use std::fmt;

use super::tcg2::{Defect, Kind, Log, SHA256, SHA384, kind};
use super::{ccel, tpm};
use crate::signature::{sha256, sha384};

/// A log, read and replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventLog {
    /// In the order of the log, without the first record, which describes the format. Those that extend nothing
    /// ([`LogEvent::extends`]) are among them.
    pub events: Vec<LogEvent>,
    /// What they add up to.
    pub registers: LogRegisters,
}

impl EventLog {
    /// The events that extend a register.
    pub fn extending(&self) -> impl Iterator<Item = &LogEvent> {
        self.events.iter().filter(|event| event.extends)
    }
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogEvent {
    /// The register as the log counts: of a TD 0 for MRTD and 1 to 4 for RTMR0 to RTMR3, of a TPM the PCR.
    pub register: u32,
    /// Its type.
    pub kind: u32,
    /// The type's name in the TCG's table, without `EV_`; empty for one that is not known.
    pub name: &'static str,
    /// What was extended: of a TD SHA-384, of a TPM SHA-256 where it has that bank, else SHA-384.
    pub digest: Vec<u8>,
    /// Length of its data.
    pub data_bytes: usize,
    /// Whether the digest is over the data, so that a register which is signed covers what the data say.
    pub covers_data: bool,
    /// Whether it extends its register. Others are notes, for which nobody vouches: whatever the registers are, anybody can put one in.
    pub extends: bool,
    /// The data as text, cut to a line, where they are text.
    pub text: Option<String>,
}

/// What a log adds up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogRegisters {
    /// RTMR0 to RTMR3 of a TD.
    Rtmrs([[u8; 48]; 4]),
    /// PCR 0 to 23 of a TPM, in each of the two banks that the log has.
    Pcrs {
        /// The bank of SHA-256.
        sha256: Option<Box<[[u8; 32]; 24]>>,
        /// The bank of SHA-384.
        sha384: Option<Box<[[u8; 48]; 24]>>,
    },
}

/// Why bytes are no log: which record, which field, and what was expected.
#[derive(Clone, PartialEq, Eq)]
pub struct LogDefect(Defect);

impl fmt::Display for LogDefect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for LogDefect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogDefect({})", self.0)
    }
}

impl std::error::Error for LogDefect {}

/// Whether bytes begin as a log does: TCG's first record, with its signature.
pub fn is_event_log(bytes: &[u8]) -> bool {
    bytes.get(4..8) == Some(&[3, 0, 0, 0]) && bytes.get(32..48) == Some(b"Spec ID Event03\0".as_slice())
}

/// Reads a log of a TD (CCEL) or of a TPM, told apart by its first record, and replays it.
///
/// # Errors
/// Where it is neither, is cut in a record, or has more than 1 MiB.
pub fn read_event_log(log: &[u8]) -> Result<EventLog, LogDefect> {
    let kind = kind(log);
    let registers = match kind {
        Kind::Ccel => LogRegisters::Rtmrs(ccel::replay(log).map_err(LogDefect)?.rtmrs.map(|register| register.0)),
        Kind::Tpm => {
            let tpm::Replayed { sha256, sha384, .. } = tpm::replay(log).map_err(LogDefect)?;
            LogRegisters::Pcrs { sha256: sha256.map(Box::new), sha384: sha384.map(Box::new) }
        }
    };
    let mut log = Log::open(log, kind).map_err(LogDefect)?;
    let mut events = Vec::new();
    while let Some(record) = log.next().map_err(LogDefect)? {
        let digest = record.digest(SHA256).or_else(|| record.digest(SHA384)).unwrap_or_default();
        let covers_data = match digest.len() {
            32 => digest == sha256(&[record.data]),
            _ => digest == sha384(&[record.data]),
        };
        events.push(LogEvent {
            register: record.register,
            kind: record.kind,
            name: name(record.kind),
            digest: digest.to_vec(),
            data_bytes: record.data.len(),
            covers_data,
            extends: record.extends() && (kind == Kind::Tpm || record.register != 0),
            text: text(record.data),
        });
    }
    Ok(EventLog { events, registers })
}

/// At most so many characters of data are shown.
const SHOWN: usize = 60;

/// Data that are text, in ASCII or in UTF-16 of it; a zero at their end is left out.
fn text(data: &[u8]) -> Option<String> {
    let is_shown = |byte: &u8| *byte == b' ' || byte.is_ascii_graphic();
    let ascii = data.strip_suffix(&[0]).unwrap_or(data);
    let narrow: Vec<u8> = if ascii.iter().all(is_shown) {
        ascii.to_vec()
    } else {
        let wide = data.strip_suffix(&[0, 0]).unwrap_or(data);
        let is_wide =
            wide.len().is_multiple_of(2) && wide.chunks_exact(2).all(|pair| matches!(pair, [low, 0] if is_shown(low)));
        if !is_wide {
            return None;
        }
        wide.iter().copied().step_by(2).collect()
    };
    let text: String = narrow.iter().take(SHOWN).map(|byte| char::from(*byte)).collect();
    (!text.is_empty()).then_some(text)
}

/// TCG PC Client Platform Firmware Profile 1.05, table 27.
const fn name(kind: u32) -> &'static str {
    match kind {
        0x0000_0001 => "POST_CODE",
        0x0000_0003 => "NO_ACTION",
        0x0000_0004 => "SEPARATOR",
        0x0000_0005 => "ACTION",
        0x0000_0006 => "EVENT_TAG",
        0x0000_0007 => "S_CRTM_CONTENTS",
        0x0000_0008 => "S_CRTM_VERSION",
        0x0000_000A => "PLATFORM_CONFIG_FLAGS",
        0x0000_000C => "COMPACT_HASH",
        0x0000_000D => "IPL",
        0x0000_0011 => "NONHOST_INFO",
        0x8000_0001 => "EFI_VARIABLE_DRIVER_CONFIG",
        0x8000_0002 => "EFI_VARIABLE_BOOT",
        0x8000_0003 => "EFI_BOOT_SERVICES_APPLICATION",
        0x8000_0004 => "EFI_BOOT_SERVICES_DRIVER",
        0x8000_0006 => "EFI_GPT_EVENT",
        0x8000_0007 => "EFI_ACTION",
        0x8000_0008 => "EFI_PLATFORM_FIRMWARE_BLOB",
        0x8000_0009 => "EFI_HANDOFF_TABLES",
        0x8000_000A => "EFI_PLATFORM_FIRMWARE_BLOB2",
        0x8000_000B => "EFI_HANDOFF_TABLES2",
        0x8000_0010 => "EFI_HCRTM_EVENT",
        0x8000_00E0 => "EFI_VARIABLE_AUTHORITY",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_are_shown_where_they_are_text() {
        let wide: Vec<u8> = ".linux\0".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for (data, shown) in [
            (b"ACPI DATA".as_slice(), Some("ACPI DATA")),
            (b"Linux initrd\0", Some("Linux initrd")),
            (&wide, Some(".linux")),
            (b"", None),
            (&[0; 4], None),
            (b"\x1b[2J", None),
            (&[0xFF, 0xFE], None),
        ] {
            assert_eq!(text(data).as_deref(), shown, "{data:?}");
        }
        assert_eq!(text(&[b'a'; 1000]).map(|text| text.len()), Some(SHOWN));
    }
}
