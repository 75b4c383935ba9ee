//! MRTD of a TD, from the metadata of its firmware (TDVF); its RTMRs, from an event log.
//!
//! *TDX Virtual Firmware Design Guide* 344991, section 11 (metadata); *Intel TDX Module ABI Specification* 348551, TDH.MEM.PAGE.ADD and
//! TDH.MR.EXTEND: each adds a record of 128 bytes to one SHA-384, and the second one 256 bytes of the page as well.

use teegate_verifier::{LogRegisters, Tee, read_event_log};

use super::digest::{DigestAlgorithm, Hash};
use super::input::{Input, PredictError};
use super::launch::{PAGE, PAGE_U64};
use super::ovmf::Firmware;
use super::prediction::{Predicted, Prediction};

/// In which order a VMM adds the pages of a section that is measured. It depends on the VMM and its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageOrder {
    /// Each page is added and its content extended before the next.
    PageByPage,
    /// All pages of a section are added, then the content of each is extended.
    TwoPasses,
}

impl PageOrder {
    /// Both.
    pub const ALL: [Self; 2] = [Self::PageByPage, Self::TwoPasses];

    /// Its name on a command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PageByPage => "page-by-page",
            Self::TwoPasses => "two-passes",
        }
    }
}

/// Recorded firmware has 6 to 8.
const MAX_SECTIONS: usize = 64;
/// Of all sections that are measured: 256 MiB.
const MAX_PAGES: u64 = 1 << 16;
const FOUR_GIB: u64 = 1 << 32;

/// Predicts `mrtd`, once for each of `orders`: an accepting policy takes any of them, as each is of this firmware.
///
/// # Errors
/// Where the firmware has no metadata of TDX; where it is half of an image.
pub fn mrtd(firmware: &[u8], orders: &[PageOrder]) -> Result<Prediction, PredictError> {
    let parsed = Firmware::parse(firmware)?;
    let sections = sections(&parsed)?;
    let sha256 = teegate_encoding::hex::encode(DigestAlgorithm::Sha256.of(&[firmware]));
    let values = orders.iter().map(|order| Predicted {
        field: "mrtd",
        value: measured(&sections, *order),
        of: format!("firmware {sha256}, pages added {}", order.name()),
    });
    let notes = vec![
        "MRTD is of the firmware alone. RTMR0 holds the shape of the machine (memory, ACPI tables, boot variables), which the host \
         chooses; RTMR1 and RTMR2 hold what boots; RTMR3 is of the running guest: none of them follows from the firmware"
            .to_owned(),
        "ACPI tables are code that the host supplies: a value of RTMR0 that was read from a running TD or replayed from its log says \
         that the tables are the same as then, not that somebody has looked at them"
            .to_owned(),
    ];
    Ok(Prediction { kind: "tdx", tee: Some(Tee::Tdx), values: values.collect(), notes })
}

/// The registers to which an event log (CCEL) of a TD's boot adds up.
///
/// # Errors
/// Where the bytes are no such log.
pub fn rtmrs(log: &[u8]) -> Result<Prediction, PredictError> {
    let log = read_event_log(log).map_err(|defect| PredictError::new(format!("event log: {defect}")))?;
    let LogRegisters::Rtmrs(rtmrs) = &log.registers else {
        return Err(PredictError::new("event log: it is the log of a TPM; a TD's (CCEL) has SHA-384 alone"));
    };
    let values = ["rtmr0", "rtmr1", "rtmr2", "rtmr3"].into_iter().zip(rtmrs).map(|(field, value)| Predicted {
        field,
        value: value.to_vec(),
        of: format!("the {} events of a log", log.events.len()),
    });
    let notes = vec![
        "a log adds up to these registers whoever wrote it: this says what the log says, and checks nothing. Take a log from a guest \
         that you built and started yourself, and read what it extends before pinning it"
            .to_owned(),
    ];
    Ok(Prediction { kind: "tdx", tee: Some(Tee::Tdx), values: values.collect(), notes })
}

struct Section<'a> {
    content: &'a [u8],
    gpa: u64,
    pages: u64,
    /// Its pages are added at launch. Others the guest takes itself, when it runs.
    is_added: bool,
    is_extended: bool,
}

fn measured(sections: &[Section<'_>], order: PageOrder) -> Vec<u8> {
    let mut hash = Hash::new(DigestAlgorithm::Sha384);
    for section in sections {
        let pages = || (0..section.pages).zip(section.content.chunks(PAGE).map(Some).chain(std::iter::repeat(None)));
        for (page, content) in pages() {
            if section.is_added {
                record(&mut hash, b"MEM.PAGE.ADD", section.gpa + page * PAGE_U64);
            }
            if section.is_extended && order == PageOrder::PageByPage {
                extend(&mut hash, section.gpa + page * PAGE_U64, content.unwrap_or_default());
            }
        }
        if section.is_extended && order == PageOrder::TwoPasses {
            for (page, content) in pages() {
                extend(&mut hash, section.gpa + page * PAGE_U64, content.unwrap_or_default());
            }
        }
    }
    hash.finish()
}

/// The name of a call, zeros up to 16, the address, and zeros up to 128.
fn record(hash: &mut Hash, call: &[u8], gpa: u64) {
    const ZEROS: [u8; 104] = [0; 104];
    hash.update(call);
    hash.update(ZEROS.get(..16_usize.saturating_sub(call.len())).unwrap_or_default());
    hash.update(&gpa.to_le_bytes());
    hash.update(&ZEROS);
}

/// The content of a page, 256 bytes at a time.
fn extend(hash: &mut Hash, gpa: u64, content: &[u8]) {
    let mut page = [0; PAGE];
    if let Some(place) = page.get_mut(..content.len()) {
        place.copy_from_slice(content);
    }
    for (chunk, at) in page.chunks(256).zip((0_u64..).step_by(256)) {
        record(hash, b"MR.EXTEND", gpa + at);
        hash.update(chunk);
    }
}

/// `TDVF`, length u32, version u32 (1), number u32; for each section: offset u32 and length u32 in the file, address u64 and
/// length u64 in memory, kind u32, attributes u32 (bit 0 extended, bit 1 taken by the guest).
fn sections<'a>(firmware: &Firmware<'a>) -> Result<Vec<Section<'a>>, PredictError> {
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
    if attributes > 3 {
        return Err(
            input.wrong(format_args!("section {index} has attributes {attributes:#x}, of which 1 and 2 are known"))
        );
    }
    let content = input.slice(offset, length, "a section")?;
    let (is_extended, is_added) = (attributes & 1 != 0, attributes & 2 == 0);
    Ok(Read { section: Section { content, gpa, pages: size / PAGE_U64, is_added, is_extended }, is_boot_volume })
}
