//! What the VMM of a TD tells the firmware of its memory (TD HOB), as QEMU composes it, and the firmware measures it.
//!
//! *Platform Initialization Specification* 1.7, volume 3, section 5 (HOB); QEMU, `hw/i386/tdvf-hob.c` and `target/i386/kvm/tdx.c`. Equal to
//! the digests that four recorded logs have of it (2, 2, 8 and 10 GiB).

use super::input::PredictError;
use super::tdvf::{Kind, Section};

/// Memory below 4 GiB ends here in a machine that has more than fits below [`MOST_BELOW`]: `q35` of QEMU, and its defaults.
const LOW_END: u64 = 0x8000_0000;
/// So much fits below 4 GiB as long as that is all.
const MOST_BELOW: u64 = 0xB000_0000;
const FOUR_GIB: u64 = 1 << 32;
/// The memory of a machine: at most 64 TiB.
const MOST: u64 = 1 << 46;
const MIB: u64 = 1 << 20;

/// `EFI_RESOURCE_SYSTEM_MEMORY`: there from the beginning.
const THERE: u32 = 0;
/// `EFI_RESOURCE_MEMORY_UNACCEPTED`: the guest has to accept it first.
const UNACCEPTED: u32 = 7;
/// Present, initialized, tested.
const ATTRIBUTES: u32 = 7;
const HANDOFF: u16 = 56;
const RESOURCE: u16 = 48;
const END: u64 = 8;

struct Range {
    start: u64,
    end: u64,
    resource: u32,
}

/// The bytes that the firmware measures: the list without the mark at its end.
pub(super) fn td_hob(sections: &[Section<'_>], memory: u64) -> Result<Vec<u8>, PredictError> {
    let wrong = |what: String| PredictError::new(format!("memory of {memory} bytes: {what}"));
    if memory == 0 || !memory.is_multiple_of(MIB) || memory > MOST {
        return Err(wrong("expected whole MiB, at least one and at most 64 TiB".to_owned()));
    }
    let place = sections.iter().find(|section| section.kind == Kind::TdHob);
    let place =
        place.ok_or_else(|| PredictError::about("firmware", "its metadata of TDX name no place for the TD HOB"))?;
    let mut ranges = below_and_above(memory);
    for section in sections.iter().filter(|section| matches!(section.kind, Kind::TdHob | Kind::Temporary)) {
        let (start, end) = (section.gpa, section.gpa.saturating_add(section.pages.saturating_mul(4096)));
        accept(&mut ranges, start, end).ok_or_else(|| {
            wrong(format!("the firmware's own memory, {start:#x} to {end:#x}, does not lie in it once"))
        })?;
    }
    ranges.sort_by_key(|range| range.start);
    let mut resources = Vec::new();
    for range in &ranges {
        header(&mut resources, 3, RESOURCE);
        resources.extend([0; 16]);
        resources.extend(range.resource.to_le_bytes());
        resources.extend(ATTRIBUTES.to_le_bytes());
        resources.extend(range.start.to_le_bytes());
        resources.extend((range.end - range.start).to_le_bytes());
    }
    let length = u64::try_from(resources.len()).unwrap_or(u64::MAX);
    let mut list = Vec::new();
    header(&mut list, 1, HANDOFF);
    // Version 9, boot with full configuration; four addresses that QEMU leaves zero.
    list.extend(9_u32.to_le_bytes());
    list.extend([0; 4 + 4 * 8]);
    list.extend(place.gpa.saturating_add(u64::from(HANDOFF)).saturating_add(length).saturating_add(END).to_le_bytes());
    list.extend(resources);
    Ok(list)
}

/// Kind u16, length u16, four zero bytes.
fn header(list: &mut Vec<u8>, kind: u16, length: u16) {
    list.extend(kind.to_le_bytes());
    list.extend(length.to_le_bytes());
    list.extend([0; 4]);
}

/// How much of it lies below 4 GiB.
pub(super) const fn low_memory(memory: u64) -> u64 {
    if memory < MOST_BELOW { memory } else { LOW_END }
}

fn below_and_above(memory: u64) -> Vec<Range> {
    let low = low_memory(memory);
    let mut ranges = vec![Range { start: 0, end: low, resource: UNACCEPTED }];
    if memory > low {
        ranges.push(Range { start: FOUR_GIB, end: FOUR_GIB + (memory - low), resource: UNACCEPTED });
    }
    ranges
}

/// Takes a range out of the one in which it lies whole. None where there is no such one.
fn accept(ranges: &mut Vec<Range>, start: u64, end: u64) -> Option<()> {
    let within = |range: &&mut Range| range.resource == UNACCEPTED && range.start <= start && end <= range.end;
    let whole = ranges.iter_mut().find(within).filter(|_| start < end)?;
    let (before, behind) = (whole.start, whole.end);
    (whole.start, whole.end, whole.resource) = (start, end, THERE);
    let rest = [(before, start), (end, behind)].into_iter().filter(|(start, end)| start < end);
    ranges.extend(rest.map(|(start, end)| Range { start, end, resource: UNACCEPTED }));
    Some(())
}
