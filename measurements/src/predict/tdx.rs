//! MRTD of a TD, from the metadata of its firmware (TDVF); its RTMRs, from an event log.
//!
//! *TDX Virtual Firmware Design Guide* 344991, section 11 (metadata); *Intel TDX Module ABI Specification* 348551, TDH.MEM.PAGE.ADD and
//! TDH.MR.EXTEND: each adds a record of 128 bytes to one SHA-384, and the second one 256 bytes of the page as well.

use teegate_verifier::{LogRegisters, Tee, read_event_log};

use super::digest::{DigestAlgorithm, Hash};
use super::input::PredictError;
use super::launch::{PAGE, PAGE_U64};
use super::ovmf::Firmware;
use super::prediction::{Predicted, Prediction};
use super::tdvf::{Section, sections};

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
/// Where the bytes are no such log, and where it extends nothing.
pub fn rtmrs(log: &[u8]) -> Result<Prediction, PredictError> {
    let log = read_event_log(log).map_err(|defect| PredictError::new(format!("event log: {defect}")))?;
    let LogRegisters::Rtmrs(rtmrs) = &log.registers else {
        return Err(PredictError::new("event log: it is the log of a TPM; a TD's (CCEL) has SHA-384 alone"));
    };
    if rtmrs.iter().flatten().all(|byte| *byte == 0) {
        return Err(PredictError::new(
            "event log: none of its events extends an RTMR, so it adds up to zeros, which are no boot's; take the log of a guest that \
             has booted (`/sys/firmware/acpi/tables/data/CCEL`)",
        ));
    }
    let values = ["rtmr0", "rtmr1", "rtmr2", "rtmr3"].into_iter().zip(rtmrs).map(|(field, value)| Predicted {
        field,
        value: value.to_vec(),
        of: format!("the {} events of a log", log.extending().count()),
    });
    let notes = vec![
        "a log adds up to these registers whoever wrote it: this says what the log says, and checks nothing. Take a log from a guest \
         that you built and started yourself, and read what it extends before pinning it"
            .to_owned(),
    ];
    Ok(Prediction { kind: "tdx", tee: Some(Tee::Tdx), values: values.collect(), notes })
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
