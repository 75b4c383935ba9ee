//! A kernel that QEMU hands to the firmware (`-kernel`, `-initrd`, `-append`), as the firmware then starts it.
//!
//! QEMU, `x86_load_linux`; Linux, `Documentation/arch/x86/boot.rst` (the header of a kernel); EDK2, `OvmfPkg/Library/*QemuLoadImageLib`
//! (what it starts the kernel with); Linux, `drivers/firmware/efi/libstub` (what the kernel then measures of it).

use super::authenticode;
use super::digest::DigestAlgorithm;
use super::hob::low_memory;
use super::input::{Input, PredictError};
use super::pe::Image;

/// Kernel, initrd and command line of a direct boot.
#[derive(Clone, Copy, Debug)]
pub struct TdKernel<'a> {
    /// The kernel: a `bzImage` with an EFI stub.
    pub kernel: &'a [u8],
    /// Its initial memory disk; empty for none.
    pub initrd: &'a [u8],
    /// Its command line.
    pub command_line: &'a str,
}

/// Of what is below 4 GiB, QEMU keeps so much for ACPI.
const ACPI_BYTES: u32 = 0x2_8000;
/// Up to here reaches what QEMU edits.
const HEADER_END: usize = 0x240;
/// `XLF_CAN_BE_LOADED_ABOVE_4G`.
const ABOVE_4G: u16 = 2;

impl TdKernel<'_> {
    /// The hash of the kernel as its file has it: later QEMU hands it over so to every confidential guest, earlier QEMU to those of SEV.
    pub(super) fn as_file(&self) -> Result<Vec<u8>, PredictError> {
        let image = Image::parse("the kernel", self.kernel)?;
        if image.has(".linux") {
            return Err(image.input.wrong(
                "it has a section `.linux`, so it is a unified kernel image, whose stub measures its sections and starts the kernel inside \
                 with its own command line and initrd; name it with `--uki`",
            ));
        }
        authenticode::hash(&image, DigestAlgorithm::Sha384)
    }

    /// The hash of the kernel with the fields of its header filled in that a loader without UEFI needs: where command line and initrd lie.
    pub(super) fn by_qemu(&self, memory: u64) -> Result<Vec<u8>, PredictError> {
        let input = self.header()?;
        if self.command_line.contains("vga=") {
            return Err(
                input.wrong("its command line has `vga=`, which QEMU writes into the header: that is not predicted")
            );
        }
        let flags = input.u16(0x210, "its flags")?;
        let mut edited = self.kernel.to_vec();
        let mut set = |at: usize, bytes: &[u8]| {
            if let Some(place) = edited.get_mut(at..at + bytes.len()) {
                place.copy_from_slice(bytes);
            }
        };
        // The loader's number, and that it has a heap; then where that ends, and where the command line begins.
        set(0x210, &[0xB0, flags.to_be_bytes()[0] | 0x80]);
        set(0x224, &0xFE00_u16.to_le_bytes());
        set(0x228, &0x2_0000_u32.to_le_bytes());
        if !self.initrd.is_empty() {
            let (version, more) = (input.u16(0x206, "its version")?, input.u16(0x236, "its flags")?);
            let own =
                if version >= 0x20C && more & ABOVE_4G != 0 { u32::MAX } else { input.u32(0x22C, "its limit")? };
            let low = u32::try_from(low_memory(memory)).unwrap_or(u32::MAX);
            let most = own.min(low.saturating_sub(ACPI_BYTES).saturating_sub(1));
            let length = u32::try_from(self.initrd.len()).ok().filter(|length| *length < most);
            let length = length.ok_or_else(|| {
                input.wrong(format_args!(
                    "an initrd of {} bytes does not fit into {memory} bytes of memory",
                    self.initrd.len()
                ))
            })?;
            set(0x218, &((most - length) & !0xFFF).to_le_bytes());
            set(0x21C, &length.to_le_bytes());
        }
        authenticode::hash(&Image::parse("the kernel", &edited)?, DigestAlgorithm::Sha384)
    }

    /// What QEMU needs to find in a kernel: `HdrS`, a version from 2.2 on, loaded high.
    fn header(&self) -> Result<Input<'_>, PredictError> {
        let input = Input::new("the kernel", self.kernel, 1 << 30)?;
        let (magic, version) = (input.array::<4>(0x202, "its header")?, input.u16(0x206, "its version")?);
        let setup = usize::from(input.array::<1>(0x1F1, "the length of its setup")?[0]);
        if magic != *b"HdrS" || version < 0x203 || input.u16(0x210, "its flags")? & 0x100 == 0 {
            return Err(input.wrong("it is no kernel that QEMU loads so (`HdrS` at 0x202, version from 2.3 on, loaded high): expected a bzImage; of VMMs that leave headers alone say so with `--build kernel-as-file`"));
        }
        // What QEMU edits lies in what it copies.
        if (setup + 1) * 512 < HEADER_END || input.len() < (setup + 1) * 512 {
            return Err(input.wrong(format_args!(
                "its setup of {setup} sectors does not hold its header, or not all of it is there"
            )));
        }
        Ok(input)
    }

    /// What the firmware hands to the kernel, and the kernel measures: UTF-16 with a zero behind; none where there is nothing to hand over.
    pub(super) fn load_options(&self) -> Result<Option<Vec<u8>>, PredictError> {
        let line = self.command_line;
        if !line.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
            return Err(PredictError::new(
                "the command line has other characters than ASCII: what of them the kernel is handed is not known",
            ));
        }
        let options = format!("{line}{}", if self.initrd.is_empty() { "" } else { " initrd=initrd" });
        let wide = options.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
        Ok((!options.is_empty()).then_some(wide))
    }
}
