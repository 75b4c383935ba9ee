//! What OVMF firmware says of itself at its end: a table of entries, each under a GUID, from which a VMM learns what to load
//! where. Read backwards, as the VMM reads it.
//!
//! EDK2, `OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.asm` (the table) and `X64/OvmfSevMetadata.asm` (the metadata of SEV).

use super::input::{Input, PredictError};

/// Firmware images have 2 to 16 MiB.
pub const MAX_FIRMWARE_BYTES: usize = 64 << 20;

/// A GUID as it lies in memory: its first three parts little-endian.
const fn guid(first: u32, second: u16, third: u16, rest: [u8; 8]) -> [u8; 16] {
    let ([a, b, c, d], [e, f], [g, h]) = (first.to_le_bytes(), second.to_le_bytes(), third.to_le_bytes());
    let [i, j, k, l, m, n, o, p] = rest;
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}

const FOOTER: [u8; 16] = guid(0x96b5_82de, 0x1fb2, 0x45f7, [0xba, 0xea, 0xa3, 0x66, 0xc5, 0x5a, 0x08, 0x2d]);
const SEV_HASH_TABLE: [u8; 16] = guid(0x7255_371f, 0x3a3b, 0x4b04, [0x92, 0x7b, 0x1d, 0xa6, 0xef, 0xa8, 0xd4, 0x54]);
const SEV_ES_RESET: [u8; 16] = guid(0x00f7_71de, 0x1a7e, 0x4fcb, [0x89, 0x0e, 0x68, 0xc7, 0x7e, 0x2f, 0xb4, 0x4e]);
const SEV_METADATA: [u8; 16] = guid(0xdc88_6566, 0x984a, 0x4798, [0xa7, 0x5e, 0x55, 0x85, 0xa7, 0xbf, 0x67, 0xcc]);
const TDX_METADATA: [u8; 16] = guid(0xe47a_6535, 0x984a, 0x4798, [0x86, 0x5e, 0x46, 0x85, 0xa7, 0xbf, 0x8e, 0xc2]);

/// How far from the end of the file the table ends.
const BEHIND_THE_TABLE: usize = 32;
/// Length u16 and GUID, behind the data of each entry.
const ENTRY_HEAD: usize = 18;

/// Firmware, and the entries of its table that predictions need.
pub(super) struct Firmware<'a> {
    pub(super) input: Input<'a>,
    sev_hash_table: Option<u32>,
    sev_es_reset: Option<u32>,
    sev_metadata: Option<u32>,
    tdx_metadata: Option<u32>,
}

impl<'a> Firmware<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, PredictError> {
        let input = Input::new("firmware", bytes, MAX_FIRMWARE_BYTES)?;
        let end = input.len().checked_sub(BEHIND_THE_TABLE + ENTRY_HEAD).ok_or_else(|| no_table(input))?;
        if input.array::<16>(end + 2, "the table's GUID")? != FOOTER {
            return Err(no_table(input));
        }
        // The length is that of the whole table, this last entry included.
        let total = usize::from(input.u16(end, "the table's length")?);
        let start = total.checked_sub(ENTRY_HEAD).and_then(|length| end.checked_sub(length));
        let Some(start) = start else {
            return Err(input.wrong(format_args!("its table says that it has {total} bytes, which do not fit")));
        };
        let mut firmware =
            Self { input, sev_hash_table: None, sev_es_reset: None, sev_metadata: None, tdx_metadata: None };
        let mut at = end;
        while at > start {
            at = firmware.read_entry(start, at)?;
        }
        Ok(firmware)
    }

    /// Reads the entry that ends at `end`, and gives where it begins.
    fn read_entry(&mut self, start: usize, end: usize) -> Result<usize, PredictError> {
        let input = self.input;
        let bad = || input.wrong(format_args!("an entry of its table, ending at {end:#x}, does not fit"));
        let head = end.checked_sub(ENTRY_HEAD).filter(|head| *head >= start).ok_or_else(bad)?;
        let length = usize::from(input.u16(head, "an entry's length")?);
        let begin = end.checked_sub(length).filter(|begin| *begin >= start && length >= ENTRY_HEAD).ok_or_else(bad)?;
        let place = match input.array::<16>(head + 2, "an entry's GUID")? {
            SEV_HASH_TABLE => &mut self.sev_hash_table,
            SEV_ES_RESET => &mut self.sev_es_reset,
            SEV_METADATA => &mut self.sev_metadata,
            TDX_METADATA => &mut self.tdx_metadata,
            _ => return Ok(begin),
        };
        // Two of a kind: which of them a VMM takes is its own affair.
        if place.is_some() {
            return Err(input.wrong("its table has an entry twice"));
        }
        // All four begin with a number. TDX counts from the end of the entry, as only that number is there.
        *place = Some(input.u32(begin, "an entry of the table")?);
        Ok(begin)
    }

    /// Where the table of kernel hashes lies in guest memory, if the firmware looks for one.
    pub(super) fn sev_hash_table(&self) -> Option<u32> {
        self.sev_hash_table.filter(|gpa| *gpa != 0)
    }

    /// Where processors other than the first begin.
    pub(super) fn sev_es_reset(&self) -> Option<u32> {
        self.sev_es_reset.filter(|start| *start != 0)
    }

    /// Offset of the metadata of SEV in the file.
    pub(super) fn sev_metadata(&self) -> Result<Option<usize>, PredictError> {
        self.offset_from_end(self.sev_metadata, "SEV")
    }

    /// Offset of the metadata of TDX in the file.
    pub(super) fn tdx_metadata(&self) -> Result<Option<usize>, PredictError> {
        self.offset_from_end(self.tdx_metadata, "TDX")
    }

    fn offset_from_end(&self, distance: Option<u32>, of: &str) -> Result<Option<usize>, PredictError> {
        let Some(distance) = distance else { return Ok(None) };
        let offset = usize::try_from(distance).ok().and_then(|distance| self.input.len().checked_sub(distance));
        offset.map(Some).ok_or_else(|| {
            self.input.wrong(format_args!(
                "its metadata of {of} would lie {distance:#x} before the end, and the file is shorter"
            ))
        })
    }
}

fn no_table(input: Input<'_>) -> PredictError {
    // The code of a split image has the table at its end, and its variables have none.
    let joined = input.bytes().windows(FOOTER.len()).any(|window| window == FOOTER);
    let found = if joined {
        "its table of GUIDs stands inside it, and not at its end: code and variables of a split image are joined in the wrong order, or \
         something is behind it"
    } else {
        "no table of GUIDs stands at its end, so it says nothing of SEV-SNP or TDX: expected OVMF (or EDK2-derived firmware), raw, not \
         compressed"
    };
    input.wrong(format_args!(
        "{found}; where it comes in two files, the code is the last: `cat OVMF_VARS.fd OVMF_CODE.fd > OVMF.fd`"
    ))
}
