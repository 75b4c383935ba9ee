//! UEFI variables in a firmware image, as far as Secure Boot is made of them.
//!
//! *Platform Initialization Specification* 1.7, volume 3, section 3.2 (firmware volume); EDK2, `MdeModulePkg/Include/Guid/VariableFormat.h`
//! (the store, with the headers of authenticated variables).

use super::input::{Input, PredictError};

/// The GUID under which the specification has `SecureBoot`, `PK` and `KEK`, as it lies in memory.
pub(super) const GLOBAL: [u8; 16] =
    [0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c];
/// That of `db` and `dbx`.
pub(super) const SECURITY: [u8; 16] =
    [0xcb, 0xb2, 0x19, 0xd7, 0x3a, 0x3d, 0x96, 0x45, 0xa3, 0xbc, 0xda, 0xd0, 0x0e, 0x67, 0x65, 0x6f];
/// `gEfiAuthenticatedVariableGuid`, which begins a store.
const STORE: [u8; 16] =
    [0x78, 0x2c, 0xf3, 0xaa, 0x7b, 0x94, 0x9a, 0x43, 0xa1, 0x80, 0x2e, 0x14, 0x4e, 0xc3, 0x77, 0x92];
/// `VAR_ADDED`: written, and neither replaced nor deleted.
const ADDED: u8 = 0x3F;
/// `VAR_ADDED` with a replacement under way that never came to its end: still the value.
const STILL: u8 = 0x3E;
const HEAD: usize = 60;

/// Of each variable, by GUID and name: the value that the store has for it.
pub(super) struct Variables<'a>(Vec<([u8; 16], &'a [u8], &'a [u8])>);

impl<'a> Variables<'a> {
    /// Reads the store in a volume of variables. An erased volume, or one without a store, holds none.
    ///
    /// Volume: 16 zero bytes, GUID, length u64, `_FVH`, attributes u32, length of this header u16 at 48. Store: GUID, length u32 of it all,
    /// format u8 (0x5A), state u8 (0xFE), six bytes. Variable: 0x55AA, state u8, reserved u8, attributes u32, counter u64, time of 16 bytes,
    /// key u32, length of the name u32, of the data u32, GUID; name in UTF-16 with a zero; data; filled up to four bytes.
    pub(super) fn read(volume: &'a [u8]) -> Result<Self, PredictError> {
        let input = Input::new("the variables in the firmware", volume, 1 << 24)?;
        if input.array::<4>(40, "the header of the volume")? != *b"_FVH" {
            return Err(input.wrong("where they should be is no firmware volume (no `_FVH` at 0x28)"));
        }
        let start = usize::from(input.u16(48, "the length of the volume's header")?);
        if input.array::<16>(start, "the store")? != STORE {
            return Err(input.wrong(format_args!("no store of authenticated variables begins at {start:#x}")));
        }
        let length = input.size(start + 16, "the length of the store")?;
        let store = input.slice(start, length, "the store")?;
        let end = start + store.len();
        let mut found = Vec::new();
        let mut at = start + 28;
        while at.saturating_add(HEAD) <= end && input.u16(at, "a variable")? == 0x55AA {
            let [state, _] = input.array(at + 2, "the state of a variable")?;
            let (name, data) = (input.size(at + 36, "a name's length")?, input.size(at + 40, "a value's length")?);
            let guid = input.array::<16>(at + 44, "the GUID of a variable")?;
            let name_bytes = input.slice(at + HEAD, name, "the name of a variable")?;
            let value = input.slice((at + HEAD).saturating_add(name), data, "the value of a variable")?;
            if matches!(state, ADDED | STILL) {
                found.push((guid, name_bytes, value));
            }
            at = (at + HEAD).saturating_add(name).saturating_add(data).saturating_add(3) & !3;
        }
        Ok(Self(found))
    }

    /// The value of a variable with a name in ASCII; none where it is not there.
    pub(super) fn get(&self, guid: [u8; 16], name: &str) -> Option<&'a [u8]> {
        let name: Vec<u8> = name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
        self.0.iter().find(|(own, other, _)| *own == guid && *other == name).map(|(.., value)| *value)
    }
}

/// What firmware measures of a variable that configures it (`UEFI_VARIABLE_DATA`): GUID, length of the name in characters u64, length of the
/// value u64, name without a zero, value.
pub(super) fn measured(guid: [u8; 16], name: &str, value: &[u8]) -> Vec<u8> {
    let wide: Vec<u16> = name.encode_utf16().collect();
    let lengths = [wide.len(), value.len()].map(|length| u64::try_from(length).unwrap_or(u64::MAX).to_le_bytes());
    [&guid[..], &lengths.concat(), &wide.into_iter().flat_map(u16::to_le_bytes).collect::<Vec<_>>(), value].concat()
}
