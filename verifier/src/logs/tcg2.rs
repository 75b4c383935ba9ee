//! The form of an event log, as TPMs and TDs share it.
//!
//! TCG PC Client Platform Firmware Profile 1.05, section 10.2 (`TCG_PCClientPCREvent`, `TCG_EfiSpecIDEvent`,
//! `TCG_PCR_EVENT2`). All numbers are little-endian.

use std::fmt;

use crate::reader::{OutOfBounds, Reader};

/// Recorded logs have 2 to 45 KB of events; firmware sets aside 64 KiB, or some times that, for all of them.
pub(crate) const MAX_LOG_BYTES: usize = 1 << 20;

/// A TPM has four banks, or five.
const MAX_ALGORITHMS: u32 = 8;
/// SHA-512 is the longest digest that a TPM knows.
const MAX_DIGEST: u16 = 64;

pub(crate) const EV_NO_ACTION: u32 = 3;
pub(crate) const SHA256: u16 = 0x000B;
pub(crate) const SHA384: u16 = 0x000C;

/// Why bytes are no log. Record 0 is the first, which describes the format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    TooLong { actual: usize },
    Ends { record: u32, end: OutOfBounds },
    Differs { record: u32, field: &'static str, expected: &'static str, actual: String },
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { actual } => write!(f, "a log of {actual} bytes, where at most {MAX_LOG_BYTES} are read"),
            Self::Ends { record, end: OutOfBounds { offset, wanted, left } } => {
                write!(f, "a log whose record {record} needs {wanted} bytes at offset {offset}, where {left} are left")
            }
            Self::Differs { record, field, expected, actual } => {
                write!(f, "a log whose record {record} has {field} {actual} instead of {expected}")
            }
        }
    }
}

/// Whose log it is, which says what it may hold.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A TD's: SHA-384 alone.
    Ccel,
    /// A TPM's: a digest for each of its banks.
    Tpm,
}

/// Whose log these bytes say that they are: the first record of a TD's stands under register 1, that of a TPM's under 0.
pub(crate) fn kind(log: &[u8]) -> Kind {
    let mut reader = Reader::new(log);
    if reader.u32_le() == Ok(1) { Kind::Ccel } else { Kind::Tpm }
}

impl Kind {
    /// Its name in findings.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ccel => "the event log of a TD (CCEL)",
            Self::Tpm => "the event log of a TPM",
        }
    }
}

/// Whether these bytes begin as a log of a TPM and not as one of a TD.
pub(crate) fn is_of_a_tpm(log: &[u8]) -> bool {
    kind(log) == Kind::Tpm && Log::open(log, Kind::Tpm).is_ok() && Log::open(log, Kind::Ccel).is_err()
}

/// A log whose first record was read.
pub(crate) struct Log<'a> {
    reader: Reader<'a>,
    kind: Kind,
    /// Each with the length of its digests, in the order of the first record.
    algorithms: Vec<(u16, usize)>,
    records: u32,
}

/// One record. What is in it is the log's word, and nobody else's.
pub(crate) struct Record<'a> {
    /// Its place in the log, from 1.
    pub(crate) number: u32,
    pub(crate) register: u32,
    pub(crate) kind: u32,
    /// One for each algorithm of the log.
    pub(crate) digests: Vec<(u16, &'a [u8])>,
    pub(crate) data: &'a [u8],
}

impl<'a> Record<'a> {
    pub(crate) fn digest(&self, algorithm: u16) -> Option<&'a [u8]> {
        self.digests.iter().find(|(own, _)| *own == algorithm).map(|(_, digest)| *digest)
    }

    /// Whether it extends a register.
    pub(crate) fn extends(&self) -> bool {
        self.kind != EV_NO_ACTION
    }
}

impl<'a> Log<'a> {
    pub(crate) fn open(log: &'a [u8], kind: Kind) -> Result<Self, Defect> {
        if log.len() > MAX_LOG_BYTES {
            return Err(Defect::TooLong { actual: log.len() });
        }
        let mut reader = Reader::new(log);
        let algorithms = read_header(&mut reader, kind)?;
        Ok(Self { reader, kind, algorithms, records: 0 })
    }

    /// Whether the log has a digest of this algorithm for each event.
    pub(crate) fn has(&self, algorithm: u16) -> bool {
        self.algorithms.iter().any(|(own, _)| *own == algorithm)
    }

    /// The next record; none at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Record<'a>>, Defect> {
        if is_filling(self.reader.rest()) {
            return Ok(None);
        }
        self.records = self.records.saturating_add(1);
        self.read_record().map(Some)
    }

    /// Register u32, type u32, number of digests u32, for each the algorithm u16 and the digest, length u32, data.
    fn read_record(&mut self) -> Result<Record<'a>, Defect> {
        let number = self.records;
        let ends = |end| Defect::Ends { record: number, end };
        let reader = &mut self.reader;
        let register = reader.u32_le().map_err(ends)?;
        let kind = reader.u32_le().map_err(ends)?;
        let count = reader.u32_le().map_err(ends)?;
        let wanted = self.algorithms.len();
        let expected = match self.kind {
            Kind::Ccel => "1 (SHA-384)",
            Kind::Tpm => "one for each algorithm of record 0",
        };
        require(usize::try_from(count) == Ok(wanted), number, "number of digests", expected, count)?;
        let mut digests: Vec<(u16, &'a [u8])> = Vec::with_capacity(wanted);
        for _ in 0..wanted {
            let algorithm = reader.u16_le().map_err(ends)?;
            let length = self.algorithms.iter().find(|(own, _)| *own == algorithm).map(|(_, length)| *length);
            let length = length.filter(|_| digests.iter().all(|(other, _)| *other != algorithm));
            let expected = match self.kind {
                Kind::Ccel => "0x000c (SHA-384)",
                Kind::Tpm => "one of record 0, each once",
            };
            let length =
                length.ok_or_else(|| differs(number, "algorithm", expected, format_args!("{algorithm:#06x}")))?;
            digests.push((algorithm, reader.bytes(length).map_err(ends)?));
        }
        let length = reader.u32_le().map_err(ends)?;
        let data = reader.bytes(usize::try_from(length).unwrap_or(usize::MAX)).map_err(ends)?;
        Ok(Record { number, register, kind, digests, data })
    }
}

/// What stands behind the last record: nothing, or the buffer as the firmware found it, all 0xFF or all zero. No record
/// begins like either: 0xFFFFFFFF is no register, and a record without a digest is refused.
pub(crate) fn is_filling(rest: &[u8]) -> bool {
    rest.iter().all(|byte| *byte == 0xFF) || rest.iter().all(|byte| *byte == 0)
}

/// The first record has the form of TPM 1.2, and its data name the form of all others:
///
/// | offset | bytes | |
/// |---|---|---|
/// | 0 | 4 | register: 0 as TCG has it; every recorded CCEL has 1 |
/// | 4 | 4 | type: EV_NO_ACTION |
/// | 8 | 20 | digest: zero |
/// | 28 | 4 | length of the data |
/// | 32 | 16 | signature: `Spec ID Event03` and a zero |
/// | 48 | 4 | platform class |
/// | 52 | 4 | minor version, major version, errata, size of UINTN |
/// | 56 | 4 | number of algorithms: of a TD 1, because it has registers of one |
/// | 60 | 2, 2 | for each the algorithm, and the length of its digests |
/// | | 1 | length of what the vendor adds, which ends the data |
fn read_header(reader: &mut Reader<'_>, kind: Kind) -> Result<Vec<(u16, usize)>, Defect> {
    let ends = |end| Defect::Ends { record: 0, end };
    let index = reader.u32_le().map_err(ends)?;
    require(index <= 1, 0, "register", "0 or 1", index)?;
    let event = reader.u32_le().map_err(ends)?;
    require(event == EV_NO_ACTION, 0, "type", "3 (EV_NO_ACTION)", event)?;
    let digest: &[u8; 20] = reader.array().map_err(ends)?;
    require(*digest == [0; 20], 0, "digest", "20 zero bytes", "another")?;
    let length = reader.u32_le().map_err(ends)?;
    let signature: &[u8; 16] = reader.array().map_err(ends)?;
    require(signature == b"Spec ID Event03\0", 0, "signature", "`Spec ID Event03`", "another")?;
    reader.bytes(4).map_err(ends)?;
    let [minor, major, _errata, _uintn] = *reader.array().map_err(ends)?;
    require((major, minor) == (2, 0), 0, "version", "2.0", format_args!("{major}.{minor}"))?;
    let count = reader.u32_le().map_err(ends)?;
    match kind {
        Kind::Ccel => require(count == 1, 0, "number of algorithms", "1 (SHA-384)", count)?,
        Kind::Tpm => require((1..=MAX_ALGORITHMS).contains(&count), 0, "number of algorithms", "1 to 8", count)?,
    }
    let mut algorithms: Vec<(u16, usize)> = Vec::new();
    for _ in 0..count {
        let (algorithm, length) = (reader.u16_le().map_err(ends)?, reader.u16_le().map_err(ends)?);
        let named = format_args!("{algorithm:#06x} of {length} bytes");
        let known = match algorithm {
            SHA256 => length == 32,
            SHA384 => length == 48,
            _ => (1..=MAX_DIGEST).contains(&length),
        };
        match kind {
            Kind::Ccel => {
                let expected = "0x000c (SHA-384) of 48 bytes";
                require((algorithm, length) == (SHA384, 48), 0, "algorithm", expected, named)?;
            }
            Kind::Tpm => {
                let once = algorithms.iter().all(|(other, _)| *other != algorithm);
                require(known && once, 0, "algorithm", "one of its own length, each once", named)?;
            }
        }
        algorithms.push((algorithm, usize::from(length)));
    }
    let vendor_length = reader.u8().map_err(ends)?;
    reader.bytes(usize::from(vendor_length)).map_err(ends)?;
    let fields = u32::from(vendor_length) + 29 + 4 * count;
    require(length == fields, 0, "length", "that of its fields", format_args!("{length} (its fields have {fields})"))?;
    Ok(algorithms)
}

fn require(
    holds: bool,
    record: u32,
    field: &'static str,
    expected: &'static str,
    actual: impl fmt::Display,
) -> Result<(), Defect> {
    if holds { Ok(()) } else { Err(differs(record, field, expected, actual)) }
}

pub(crate) fn differs(record: u32, field: &'static str, expected: &'static str, actual: impl fmt::Display) -> Defect {
    Defect::Differs { record, field, expected, actual: actual.to_string() }
}
