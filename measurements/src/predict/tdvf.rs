//! The metadata of a TD's firmware (TDVF): what of the image lies where in the TD's memory.
//!
//! *TDX Virtual Firmware Design Guide* 344991, section 11.

use super::input::{Input, PredictError};
use super::launch::PAGE_U64;
use super::ovmf::Firmware;

/// Recorded firmware has 6 to 8.
const MAX_SECTIONS: usize = 64;
/// Of all sections that are measured: 256 MiB.
const MAX_PAGES: u64 = 1 << 16;
const FOUR_GIB: u64 = 1 << 32;

/// What a section is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Code (BFV, 0).
    Code,
    /// Variables as they are at the first start (CFV, 1).
    Variables,
    /// Where the VMM writes what memory there is (`TD_HOB`, 2).
    TdHob,
    /// Memory that the firmware needs at once (`TEMP_MEM`, 3).
    Temporary,
    /// Something else.
    Other,
}

/// A section of the image: what of it comes where in memory.
pub(super) struct Section<'a> {
    pub(super) kind: Kind,
    pub(super) content: &'a [u8],
    pub(super) gpa: u64,
    pub(super) pages: u64,
    /// Its pages are added at launch. Others the guest takes itself, when it runs.
    pub(super) is_added: bool,
    pub(super) is_extended: bool,
}

/// `TDVF`, length u32, version u32 (1), number u32; for each section: offset u32 and length u32 in the file, address u64 and
/// length u64 in memory, kind u32, attributes u32 (bit 0 extended, bit 1 taken by the guest).
pub(super) fn sections<'a>(firmware: &Firmware<'a>) -> Result<Vec<Section<'a>>, PredictError> {
    let input = firmware.input;
    let start = firmware.tdx_metadata()?.ok_or_else(|| {
        input.wrong("it has no metadata of TDX: no TD can start from it; take the build for TDX (TDVF), whole")
    })?;
    let (signature, version) = (input.array::<4>(start, "the metadata of TDX")?, input.u32(start + 8, "its version")?);
    if signature != *b"TDVF" || version != 1 {
        return Err(
            input.wrong(format_args!("where its metadata of TDX should be is no `TDVF` of version 1 (at {start:#x})"))
        );
    }
    let number = input.size(start + 12, "the number of sections")?;
    if number == 0 || number > MAX_SECTIONS {
        return Err(
            input.wrong(format_args!("its metadata of TDX name {number} sections: expected 1 to {MAX_SECTIONS}"))
        );
    }
    let mut sections = Vec::with_capacity(number);
    let (mut pages, mut has_boot_volume) = (0_u64, false);
    for index in 0..number {
        let read = read_section(input, start + 16 + 32 * index, index)?;
        has_boot_volume |= read.is_boot_volume;
        if read.section.is_added || read.section.is_extended {
            pages = pages.saturating_add(read.section.pages);
            sections.push(read.section);
        }
    }
    if !has_boot_volume {
        return Err(input.wrong("its metadata of TDX name no boot firmware volume (BFV)"));
    }
    if pages > MAX_PAGES {
        return Err(
            input.wrong(format_args!("its metadata of TDX measure {pages} pages: at most {MAX_PAGES} are read"))
        );
    }
    Ok(sections)
}

struct Read<'a> {
    section: Section<'a>,
    is_boot_volume: bool,
}

fn read_section(input: Input<'_>, at: usize, index: usize) -> Result<Read<'_>, PredictError> {
    let (offset, length) = (input.size(at, "a section")?, input.size(at + 4, "a section")?);
    let (gpa, size) = (input.u64(at + 8, "a section")?, input.u64(at + 16, "a section")?);
    let (kind, attributes) = (input.u32(at + 24, "a section")?, input.u32(at + 28, "a section")?);
    let end = offset.saturating_add(length);
    if end > input.len() {
        return Err(input.wrong(format_args!(
            "section {index} ends at {end:#x} and the file at {:#x}: this is half of an image, whose metadata speak of the whole; join \
             them (`cat OVMF_VARS.fd OVMF_CODE.fd > OVMF.fd`)",
            input.len()
        )));
    }
    let is_boot_volume = kind == 0;
    if is_boot_volume && (end != input.len() || gpa.checked_add(size) != Some(FOUR_GIB)) {
        return Err(input.wrong(format_args!(
            "its boot firmware volume ends at {end:#x} of {:#x} bytes: it must end the file, and memory at 4 GiB; is the file the whole \
             image and nothing more?",
            input.len()
        )));
    }
    if !gpa.is_multiple_of(PAGE_U64) || !size.is_multiple_of(PAGE_U64) || gpa.checked_add(size).is_none() {
        return Err(input.wrong(format_args!("section {index} ({gpa:#x}, {size:#x} bytes) is not whole pages")));
    }
    if u64::try_from(length).unwrap_or(u64::MAX) > size {
        return Err(input.wrong(format_args!("section {index} has {length:#x} bytes for {size:#x} bytes of memory")));
    }
    // A page that the guest takes itself is not there when the VMM extends.
    if attributes > 2 {
        return Err(input.wrong(format_args!("section {index} has attributes {attributes:#x}: expected 0, 1 or 2")));
    }
    let content = input.slice(offset, length, "a section")?;
    let named = match kind {
        0 => Kind::Code,
        1 => Kind::Variables,
        2 => Kind::TdHob,
        3 => Kind::Temporary,
        _ => Kind::Other,
    };
    let (is_extended, is_added) = (attributes & 1 != 0, attributes & 2 == 0);
    Ok(Read {
        section: Section { kind: named, content, gpa, pages: size / PAGE_U64, is_added, is_extended },
        is_boot_volume,
    })
}
