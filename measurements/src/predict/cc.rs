//! Whether what boots knows of a TD's registers: the protocol by which the firmware of a TD lets a stub and a kernel extend RTMRs.
//!
//! UEFI 2.10, section 38.2, `EFI_CC_MEASUREMENT_PROTOCOL`. Who extends by it asks for it by its GUID, and so holds the GUID: code without it
//! extends no RTMR.

/// 96751a3d-72f4-41a6-a794-ed5d0e67ae6b, as memory has it, in two halves: compilers write it there by two moves of eight bytes each.
const GUID: [[u8; 8]; 2] =
    [[0x3d, 0x1a, 0x75, 0x96, 0xf4, 0x72, 0xa6, 0x41], [0xa7, 0x94, 0xed, 0x5d, 0x0e, 0x67, 0xae, 0x6b]];

/// Whether this code holds the GUID, in one piece or in two. Of a `bzImage` the part that asks, its EFI stub, is not compressed.
pub(super) fn is_known<'a>(code: impl IntoIterator<Item = &'a [u8]>) -> bool {
    let mut found = [false; 2];
    for part in code {
        for window in part.windows(8) {
            for (found, half) in found.iter_mut().zip(&GUID) {
                *found |= window == half;
            }
        }
    }
    found == [true; 2]
}
