//! The launch digest of an SEV-SNP guest that starts from an IGVM file.
//!
//! An IGVM file says page by page what a VMM loads, registers included, so nothing of the VMM is assumed. Microsoft, *Independent
//! Guest Virtual Machine (IGVM) file format*, versions 1 and 2. A page without data in the file is a normal page of zeros.

use std::collections::BTreeMap;

use teegate_verifier::Tee;

use super::digest::{DigestAlgorithm, sha384};
use super::input::{Input, PredictError};
use super::launch::{KVM_VMSA_GPA, LaunchDigest, PAGE, PAGE_U64, PageType};
use super::prediction::{Predicted, Prediction};

/// Paravisors have some 20 to 60 MiB.
pub const MAX_BYTES: usize = 512 << 20;
/// Of all pages together: 4 GiB of memory.
const MAX_PAGES: u64 = 1 << 20;
const PAGES_OF_2_MIB: u64 = 512;

const SUPPORTED_PLATFORM: u32 = 0x1;
const PARAMETER_AREA: u32 = 0x301;
const PAGE_DATA: u32 = 0x302;
const PARAMETER_INSERT: u32 = 0x303;
const VP_CONTEXT: u32 = 0x304;
const SNP_ID_BLOCK: u32 = 0x30B;
const PLATFORM_SEV_SNP: u8 = 2;

/// Predicts `measurement`.
///
/// # Errors
/// Where the bytes are no IGVM file, or name no SEV-SNP; where an ID block in it states another digest.
pub fn igvm(bytes: &[u8]) -> Result<Prediction, PredictError> {
    let input = Input::new("IGVM file", bytes, MAX_BYTES)?;
    let headers = headers(input)?;
    let mask = platform(input, &headers)?;
    let mut loader = Loader {
        input,
        mask,
        digest: LaunchDigest::new(),
        areas: BTreeMap::new(),
        pages: 0,
        save_areas: Vec::new(),
        stated: None,
    };
    headers.iter().try_for_each(|header| loader.load(header))?;
    if loader.save_areas.is_empty() {
        return Err(
            input.wrong("it has no registers (VP context) for SEV-SNP: what they hold would be the VMM's choice")
        );
    }
    let value = loader.digest.value();
    if let Some(stated) = loader.stated.filter(|stated| *stated != value) {
        return Err(input.wrong(format_args!(
            "its ID block states the digest {}, and its pages add up to {}: no processor would start it",
            teegate_encoding::hex::encode(stated),
            teegate_encoding::hex::encode(value)
        )));
    }
    let sha256 = teegate_encoding::hex::encode(DigestAlgorithm::Sha256.of(&[bytes]));
    let of = format!("IGVM file {sha256}, {} measured pages", loader.pages);
    let mut notes = vec![
        "a VMM that departs from the file departs from the digest: QEMU on KVM enters the save area of the first processor alone, \
         last of all, at 0xfffffffff000"
            .to_owned(),
    ];
    if loader.save_areas.as_slice() != [KVM_VMSA_GPA] {
        let number = loader.save_areas.len();
        notes.push(format!("{number} save areas, not one at that address: this file was not made for QEMU on KVM"));
    }
    let values = vec![Predicted { field: "measurement", value: value.to_vec(), of }];
    Ok(Prediction { kind: "sev-snp", tee: Some(Tee::SevSnp), values, notes })
}

/// One variable header: its type, and where its fields begin and how long they are.
struct Header {
    kind: u32,
    at: usize,
    length: usize,
}

/// The fixed header: `IGVM`, format version u32, offset u32 and length u32 of the variable headers, length of the file u32,
/// checksum u32; version 2 adds the architecture u32 and the page size u32.
fn headers(input: Input<'_>) -> Result<Vec<Header>, PredictError> {
    if input.array::<4>(0, "the header")? != *b"IGVM" {
        return Err(input.wrong("it does not begin with `IGVM`"));
    }
    let version = input.u32(4, "the format version")?;
    let fixed = match version {
        1 => 24,
        2 if input.u32(24, "the architecture")? == 0 && input.u32(28, "the page size")? == 4096 => 32,
        2 => return Err(input.wrong("it is not for x86-64 with pages of 4 KiB")),
        other => return Err(input.wrong(format_args!("format version {other}, where 1 and 2 are known"))),
    };
    let (offset, length) = (input.size(8, "the headers' offset")?, input.size(12, "the headers' length")?);
    let total = input.size(16, "the file's length")?;
    if total != input.len() || offset < fixed {
        return Err(input.wrong(format_args!(
            "its header says {total} bytes, with headers from {offset} on, and it has {}: is it whole?",
            input.len()
        )));
    }
    let variable = input.slice(offset, length, "the variable headers")?;
    let (before, behind) = (input.slice(0, 20, "the header")?, input.slice(24, fixed - 24, "the header")?);
    let (stated, actual) = (input.u32(20, "the checksum")?, crc32(&[before, &[0; 4], behind, variable]));
    if stated != actual {
        return Err(
            input.wrong(format_args!("its checksum is {stated:#010x}, and its headers add up to {actual:#010x}"))
        );
    }
    let mut headers = Vec::new();
    let (mut at, end) = (offset, offset + length);
    while at < end {
        let kind = input.u32(at, "a header's type")?;
        let length = input.size(at + 4, "a header's length")?;
        let next = (at + 8).checked_add(length).and_then(|end| end.checked_next_multiple_of(8));
        let Some(next) = next.filter(|next| *next <= end) else {
            return Err(input.wrong(format_args!("a header of type {kind:#x} at {at:#x} does not fit")));
        };
        headers.push(Header { kind, at: at + 8, length });
        at = next;
    }
    Ok(headers)
}

/// The compatibility mask under which the file speaks of SEV-SNP: mask u32, VTL u8, platform u8, version u16, boundary u64.
fn platform(input: Input<'_>, headers: &[Header]) -> Result<u32, PredictError> {
    let mut found = None;
    for header in headers.iter().filter(|header| header.kind == SUPPORTED_PLATFORM) {
        let [platform] = input.array(header.at + 5, "a platform")?;
        if platform == PLATFORM_SEV_SNP && found.replace(input.u32(header.at, "a platform")?).is_some() {
            return Err(input.wrong("it speaks of SEV-SNP twice"));
        }
    }
    found.filter(|mask| mask.is_power_of_two()).ok_or_else(|| input.wrong("it does not speak of SEV-SNP"))
}

struct Loader<'a> {
    input: Input<'a>,
    mask: u32,
    digest: LaunchDigest,
    /// Pages of each parameter area that was not inserted yet.
    areas: BTreeMap<u32, u64>,
    pages: u64,
    /// Where the save areas lie.
    save_areas: Vec<u64>,
    /// What an ID block says.
    stated: Option<[u8; 48]>,
}

impl Loader<'_> {
    fn load(&mut self, header: &Header) -> Result<(), PredictError> {
        let (input, at) = (self.input, header.at);
        let least = match header.kind {
            PARAMETER_AREA | PARAMETER_INSERT => 16,
            PAGE_DATA => 24,
            VP_CONTEXT => 20,
            SNP_ID_BLOCK => 56,
            _ => return Ok(()),
        };
        if header.length < least {
            return Err(input.wrong(format_args!("a header of type {:#x} has {} bytes", header.kind, header.length)));
        }
        // Where the mask of the platform stands differs; a parameter area has none.
        let mask = match header.kind {
            PARAMETER_AREA => self.mask,
            SNP_ID_BLOCK => input.u32(at, "an ID block")?,
            _ => input.u32(at + 8, "a directive")?,
        };
        if mask & self.mask == 0 {
            return Ok(());
        }
        match header.kind {
            PARAMETER_AREA => {
                let bytes = input.u64(at, "a parameter area")?;
                let index = input.u32(at + 8, "a parameter area")?;
                if !bytes.is_multiple_of(PAGE_U64) || self.areas.insert(index, bytes / PAGE_U64).is_some() {
                    return Err(input.wrong(format_args!("parameter area {index} is there twice, or not whole pages")));
                }
                Ok(())
            }
            PAGE_DATA => self.page(at),
            PARAMETER_INSERT => {
                let (gpa, index) = (self.gpa(at)?, input.u32(at + 12, "a parameter area")?);
                let pages = self.areas.remove(&index);
                let pages = pages.ok_or_else(|| input.wrong(format_args!("parameter area {index} is not there")))?;
                self.count(pages)?;
                self.digest.add_bare(PageType::Unmeasured, gpa, pages);
                Ok(())
            }
            VP_CONTEXT => {
                let (gpa, offset) = (self.gpa(at)?, input.size(at + 12, "a save area")?);
                let content = input.slice(offset, PAGE, "a save area")?;
                self.count(1)?;
                self.digest.add_content(PageType::Vmsa, gpa, content);
                self.save_areas.push(gpa);
                Ok(())
            }
            _ => {
                // Mask u32, author's key u8 and three bytes, digest.
                self.stated = Some(input.array(at + 8, "an ID block")?);
                Ok(())
            }
        }
    }

    /// Address u64, mask u32, offset in the file u32, flags u32 (2 MiB, unmeasured, shared), kind u16.
    fn page(&mut self, at: usize) -> Result<(), PredictError> {
        const LARGE: u32 = 1;
        const UNMEASURED: u32 = 2;
        const SHARED: u32 = 4;
        let input = self.input;
        let (gpa, offset) = (self.gpa(at)?, input.size(at + 12, "a page")?);
        let (flags, kind) = (input.u32(at + 16, "a page")?, input.u16(at + 20, "a page")?);
        if flags > (LARGE | UNMEASURED | SHARED) {
            return Err(
                input.wrong(format_args!("the page at {gpa:#x} has flags {flags:#x}, of which three are known"))
            );
        }
        if flags & SHARED != 0 {
            return Ok(());
        }
        let pages = if flags & LARGE == 0 { 1 } else { PAGES_OF_2_MIB };
        self.count(pages)?;
        let bare = match kind {
            0 if flags & UNMEASURED != 0 => PageType::Unmeasured,
            0 if offset == 0 => {
                let zeros = sha384(&[&[0; PAGE]]);
                (0..pages).for_each(|page| {
                    self.digest.add_hashed(PageType::Normal, gpa.wrapping_add(page * PAGE_U64), &zeros);
                });
                return Ok(());
            }
            0 => {
                let length = if flags & LARGE == 0 { PAGE } else { 512 * PAGE };
                self.digest.add_content(PageType::Normal, gpa, input.slice(offset, length, "a page")?);
                return Ok(());
            }
            1 => PageType::Secrets,
            2 | 3 => PageType::Cpuid,
            other => {
                return Err(input.wrong(format_args!("the page at {gpa:#x} is of kind {other}, which is not known")));
            }
        };
        self.digest.add_bare(bare, gpa, pages);
        Ok(())
    }

    fn gpa(&self, at: usize) -> Result<u64, PredictError> {
        let gpa = self.input.u64(at, "an address")?;
        if gpa.is_multiple_of(PAGE_U64) {
            Ok(gpa)
        } else {
            Err(self.input.wrong(format_args!("the address {gpa:#x} is not that of a page")))
        }
    }

    fn count(&mut self, pages: u64) -> Result<(), PredictError> {
        self.pages = self.pages.saturating_add(pages);
        if self.pages > MAX_PAGES {
            return Err(self.input.wrong(format_args!("it loads more than {MAX_PAGES} pages")));
        }
        Ok(())
    }
}

/// CRC-32 as in IEEE 802.3, reflected.
fn crc32(parts: &[&[u8]]) -> u32 {
    let bytes = parts.iter().flat_map(|part| part.iter());
    !bytes.fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::crc32;

    /// The check value that every catalogue of CRCs gives.
    #[test]
    fn the_checksum_is_that_of_ethernet() {
        assert_eq!(crc32(&[b"1234", b"56789"]), 0xCBF4_3926);
    }
}
