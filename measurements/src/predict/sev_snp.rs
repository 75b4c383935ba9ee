//! The launch digest of an SEV-SNP guest (`MEASUREMENT`), from firmware, kernel, and what the VMM puts into the registers.
//!
//! Order: the firmware, page by page, so that it ends at 4 GiB; the sections that its metadata name, in their order; the save
//! area of each processor. Metadata: EDK2, `OvmfPkg/ResetVector/X64/OvmfSevMetadata.asm`. Table of hashes: QEMU,
//! `target/i386/sev.c`.

use teegate_verifier::Tee;

use super::cpu::CpuSignature;
use super::digest::{DigestAlgorithm, sha384};
use super::input::PredictError;
use super::launch::{KVM_VMSA_GPA, LaunchDigest, PAGE, PAGE_U64, PageType};
use super::ovmf::Firmware;
use super::prediction::{Predicted, Prediction};
use super::vmsa::{RESET, SnpVmm, save_area};

/// What is launched.
#[derive(Clone, Copy)]
pub struct SnpGuest<'a> {
    /// OVMF, whole.
    pub firmware: &'a [u8],
    /// A kernel that the VMM hands to the firmware (`-kernel`); none where the guest boots from a disk.
    pub kernel: Option<SnpKernel<'a>>,
    /// Virtual processors, from 1.
    pub vcpus: u32,
    /// Which processor the guest sees. QEMU measures it; EC2 and GCE do not.
    pub cpu: Option<CpuSignature>,
    /// `SEV_FEATURES`; bit 0 (SNP active) is always set.
    pub guest_features: u64,
    /// Who starts the guest.
    pub vmm: SnpVmm,
}

/// What is measured of a kernel.
#[derive(Clone, Copy)]
pub struct SnpKernel<'a> {
    /// The kernel's file.
    pub kernel: &'a [u8],
    /// The initial memory disk; empty where there is none.
    pub initrd: &'a [u8],
    /// The command line.
    pub command_line: &'a str,
}

/// Nobody sells a guest with more.
pub const MAX_VCPUS: u32 = 4096;
/// Recorded firmware has 6 or 7.
const MAX_SECTIONS: usize = 64;
/// Of all sections together: 256 MiB. Recorded firmware has some hundred.
const MAX_SECTION_PAGES: u64 = 1 << 16;
/// A kernel or a memory disk may have so many bytes.
pub const MAX_FILE_BYTES: usize = 2 << 30;

/// Predicts `measurement`.
///
/// # Errors
/// Where the firmware has no metadata of SEV-SNP, where it does not measure the kernel that it is handed, and where a number is
/// out of range.
pub fn sev_snp(guest: &SnpGuest<'_>) -> Result<Prediction, PredictError> {
    let firmware = Firmware::parse(guest.firmware)?;
    let sections = sections(&firmware)?;
    if !firmware.input.len().is_multiple_of(PAGE) {
        return Err(firmware.input.wrong(format_args!("{} bytes are not whole pages of {PAGE}", firmware.input.len())));
    }
    let cpu = judged(guest)?;
    let mut digest = LaunchDigest::new();
    let length = u64::try_from(firmware.input.len()).unwrap_or(u64::MAX);
    digest.add_content(PageType::Normal, FOUR_GIB.saturating_sub(length), firmware.input.bytes());
    let hashes = guest.kernel.map(|kernel| hashes_page(&firmware, &sections, kernel)).transpose()?;
    for section in sections.iter().filter(|section| guest.vmm != SnpVmm::Ec2 || section.kind != SectionKind::Cpuid) {
        section.add(&mut digest, guest.vmm, hashes.as_ref());
    }
    // EC2 adds the page of CPUID behind all others.
    for section in sections.iter().filter(|section| guest.vmm == SnpVmm::Ec2 && section.kind == SectionKind::Cpuid) {
        section.add(&mut digest, guest.vmm, hashes.as_ref());
    }
    let first = save_area(RESET, guest.guest_features, cpu, guest.vmm);
    digest.add_content(PageType::Vmsa, KVM_VMSA_GPA, &first);
    if guest.vcpus > 1 {
        let start = firmware.sev_es_reset().ok_or_else(|| {
            firmware
                .input
                .wrong("it does not say where processors other than the first begin: only one can be predicted")
        })?;
        let other = sha384(&[&save_area(start, guest.guest_features, cpu, guest.vmm)]);
        (1..guest.vcpus).for_each(|_| digest.add_hashed(PageType::Vmsa, KVM_VMSA_GPA, &other));
    }
    Ok(prediction(guest, &digest, cpu))
}

const FOUR_GIB: u64 = 1 << 32;

/// The numbers of the guest, once they are in range, and the signature of its processor.
fn judged(guest: &SnpGuest<'_>) -> Result<u32, PredictError> {
    if !(1..=MAX_VCPUS).contains(&guest.vcpus) {
        let vcpus = guest.vcpus;
        return Err(PredictError::new(format!(
            "{vcpus} virtual processors: expected 1 to {MAX_VCPUS}; each is measured"
        )));
    }
    if guest.guest_features & 1 == 0 {
        return Err(PredictError::new(format!(
            "guest features {:#x} without bit 0: no SEV-SNP guest runs like that (SNP active), so no report would show the digest",
            guest.guest_features
        )));
    }
    match (guest.vmm, guest.cpu) {
        (SnpVmm::Qemu, Some(CpuSignature(signature))) => Ok(signature),
        (SnpVmm::Qemu, None) => Err(PredictError::new(
            "QEMU puts the processor's signature into the registers that are measured: name the processor, or its family, model \
             and stepping",
        )),
        (SnpVmm::Ec2 | SnpVmm::Gce, None) => Ok(0),
        (SnpVmm::Ec2 | SnpVmm::Gce, Some(_)) => Err(PredictError::new(
            "EC2 and GCE do not measure which processor the guest sees: leave it out, so that nobody reads it as checked",
        )),
    }
}

fn prediction(guest: &SnpGuest<'_>, digest: &LaunchDigest, cpu: u32) -> Prediction {
    let vmm = match guest.vmm {
        SnpVmm::Qemu => format!("QEMU, processor {cpu:#x}"),
        SnpVmm::Ec2 => "EC2".to_owned(),
        SnpVmm::Gce => "GCE".to_owned(),
    };
    let sha256 = |bytes: &[u8]| teegate_encoding::hex::encode(DigestAlgorithm::Sha256.of(&[bytes]));
    let kernel = guest.kernel.map_or_else(
        || "no kernel".to_owned(),
        |kernel| {
            let (image, initrd) = (sha256(kernel.kernel), sha256(kernel.initrd));
            format!("kernel {image}, initrd {initrd}, its command line")
        },
    );
    let of = format!(
        "firmware {}, {kernel}, {} virtual processors, guest features {:#x}, {vmm}",
        sha256(guest.firmware),
        guest.vcpus,
        guest.guest_features
    );
    let mut notes = Vec::new();
    if guest.kernel.is_none() {
        notes.push(
            "without a kernel the measurement is of the firmware alone: what it boots is not in it, so pin that elsewhere (a vTPM's \
             PCRs) or nothing says which code runs"
                .to_owned(),
        );
    }
    if guest.vmm != SnpVmm::Qemu {
        notes.push(
            "EC2 and GCE can change the registers that they set up; compare with one report of the instance type before pinning"
                .to_owned(),
        );
    }
    let values = vec![Predicted { field: "measurement", value: digest.value().to_vec(), of }];
    Prediction { kind: "sev-snp", tee: Some(Tee::SevSnp), values, notes }
}

/// Whether this is a kernel as Linux builds it for x86 (`bzImage`), by what a loader looks for in it (Linux,
/// `Documentation/arch/x86/boot.rst`). QEMU measures for SEV-SNP whatever it is handed.
#[must_use]
pub fn is_bzimage(kernel: &[u8]) -> bool {
    kernel.get(0x202..0x206) == Some(b"HdrS")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SectionKind {
    SecMemory,
    Secrets,
    Cpuid,
    SvsmCallingArea,
    KernelHashes,
}

/// Memory that the VMM prepares before the guest runs.
struct Section {
    gpa: u64,
    pages: u64,
    kind: SectionKind,
}

impl Section {
    fn add(&self, digest: &mut LaunchDigest, vmm: SnpVmm, hashes: Option<&[u8; PAGE]>) {
        match (self.kind, hashes) {
            (SectionKind::SecMemory, _) if vmm == SnpVmm::Gce => {
                digest.add_bare(PageType::Unmeasured, self.gpa, self.pages)
            }
            (SectionKind::Secrets, _) => digest.add_bare(PageType::Secrets, self.gpa, 1),
            (SectionKind::Cpuid, _) => digest.add_bare(PageType::Cpuid, self.gpa, 1),
            (SectionKind::KernelHashes, Some(page)) => digest.add_content(PageType::Normal, self.gpa, page),
            (SectionKind::SecMemory | SectionKind::SvsmCallingArea | SectionKind::KernelHashes, _) => {
                digest.add_bare(PageType::Zero, self.gpa, self.pages);
            }
        }
    }
}

/// `ASEV`, length u32, version u32 (1), number u32; for each section address u32, length u32, kind u32.
fn sections(firmware: &Firmware<'_>) -> Result<Vec<Section>, PredictError> {
    let input = firmware.input;
    let start = firmware.sev_metadata()?.ok_or_else(|| {
        input.wrong(
            "it has no metadata of SEV: an SEV-SNP guest cannot start from it, and a digest of its bytes would be plausible and \
             wrong; take the build for SEV-SNP (`OvmfPkg/AmdSev` or `OvmfPkgX64`), whole",
        )
    })?;
    let signature = input.array::<4>(start, "the metadata of SEV")?;
    let version = input.u32(start + 8, "the version of the metadata of SEV")?;
    if signature != *b"ASEV" || version != 1 {
        return Err(
            input.wrong(format_args!("where its metadata of SEV should be is no `ASEV` of version 1 (at {start:#x})"))
        );
    }
    let length = input.size(start + 4, "the length of the metadata of SEV")?;
    let number = input.size(start + 12, "the number of sections")?;
    if number > MAX_SECTIONS || length != 16 + 12 * number {
        return Err(input
            .wrong(format_args!("its metadata of SEV has {length} bytes for {number} sections: 16 and 12 for each")));
    }
    let mut pages = 0_u64;
    let mut sections = Vec::with_capacity(number);
    for index in 0..number {
        let at = start + 16 + 12 * index;
        let gpa = u64::from(input.u32(at, "a section")?);
        let size = u64::from(input.u32(at + 4, "a section")?);
        let kind = match input.u32(at + 8, "a section")? {
            1 => SectionKind::SecMemory,
            2 => SectionKind::Secrets,
            3 => SectionKind::Cpuid,
            4 => SectionKind::SvsmCallingArea,
            0x10 => SectionKind::KernelHashes,
            other => {
                return Err(input.wrong(format_args!("section {index} is of kind {other:#x}, which nobody documents")));
            }
        };
        if !gpa.is_multiple_of(PAGE_U64) || !size.is_multiple_of(PAGE_U64) || size == 0 {
            return Err(input.wrong(format_args!("section {index} ({gpa:#x}, {size:#x} bytes) is not whole pages")));
        }
        let one_page = !matches!(kind, SectionKind::SecMemory | SectionKind::SvsmCallingArea);
        if one_page && size != PAGE_U64 {
            return Err(
                input.wrong(format_args!("section {index} ({kind:?}) has {size:#x} bytes, where a page is expected"))
            );
        }
        pages += size / PAGE_U64;
        sections.push(Section { gpa, pages: size / PAGE_U64, kind });
    }
    if sections.is_empty() || pages > MAX_SECTION_PAGES {
        return Err(
            input.wrong(format_args!("its metadata of SEV name {pages} pages: expected 1 to {MAX_SECTION_PAGES}"))
        );
    }
    Ok(sections)
}

const TABLE: [u8; 16] =
    [0x06, 0xd6, 0x38, 0x94, 0x22, 0x4f, 0xc9, 0x4c, 0xb4, 0x79, 0xa7, 0x93, 0xd4, 0x11, 0xfd, 0x21];
const COMMAND_LINE: [u8; 16] =
    [0xd8, 0x2d, 0xd0, 0x97, 0x20, 0xbd, 0x94, 0x4c, 0xaa, 0x78, 0xe7, 0x71, 0x4d, 0x36, 0xab, 0x2a];
const INITRD: [u8; 16] =
    [0x31, 0xf7, 0xba, 0x44, 0x2f, 0x3a, 0xd7, 0x4b, 0x9a, 0xf1, 0x41, 0xe2, 0x91, 0x69, 0x78, 0x1d];
const KERNEL: [u8; 16] =
    [0x37, 0x94, 0xe7, 0x4d, 0xd2, 0xab, 0x7f, 0x42, 0xb8, 0x35, 0xd5, 0xb1, 0x72, 0xd2, 0x04, 0x5b];
/// A GUID, a length u16 and a SHA-256.
const HASH_ENTRY: u16 = 50;
/// The head, three entries, and zeros up to a multiple of 16.
const HASH_TABLE: u16 = 18 + 3 * HASH_ENTRY;
const HASH_TABLE_PADDED: usize = 176;

/// The page that holds the hashes of kernel, initrd and command line where the firmware looks for them.
fn hashes_page(
    firmware: &Firmware<'_>,
    sections: &[Section],
    SnpKernel { kernel, initrd, command_line }: SnpKernel<'_>,
) -> Result<[u8; PAGE], PredictError> {
    let input = firmware.input;
    let section = sections.iter().find(|section| section.kind == SectionKind::KernelHashes);
    let (Some(section), Some(table)) = (section, firmware.sev_hash_table()) else {
        return Err(input.wrong(
            "it has no table for the hashes of a kernel: it would start whatever kernel the host hands it, and the digest would say \
             nothing of yours; take firmware with `SNP_KERNEL_HASHES` (`OvmfPkg/AmdSev`), or boot from a measured image",
        ));
    };
    let table = u64::from(table);
    let offset = table.checked_sub(section.gpa).and_then(|offset| usize::try_from(offset).ok());
    let Some(offset) = offset.filter(|offset| *offset <= PAGE - HASH_TABLE_PADDED) else {
        let page = section.gpa;
        return Err(input
            .wrong(format_args!("it looks for the hashes of a kernel at {table:#x}, outside the page at {page:#x}")));
    };
    for (what, bytes) in [("the kernel", kernel), ("the initrd", initrd)] {
        if bytes.len() > MAX_FILE_BYTES {
            return Err(PredictError::new(format!(
                "{what} has {} bytes: at most {MAX_FILE_BYTES} are read",
                bytes.len()
            )));
        }
    }
    if command_line.contains('\0') {
        return Err(PredictError::new("the command line holds a zero, where the kernel stops reading"));
    }
    filled(offset, kernel, initrd, command_line)
}

fn filled(offset: usize, kernel: &[u8], initrd: &[u8], command_line: &str) -> Result<[u8; PAGE], PredictError> {
    let sha256 = |parts: &[&[u8]]| DigestAlgorithm::Sha256.of(parts);
    let mut table = TABLE.to_vec();
    table.extend(HASH_TABLE.to_le_bytes());
    for (guid, hash) in [
        (COMMAND_LINE, sha256(&[command_line.as_bytes(), &[0]])),
        (INITRD, sha256(&[initrd])),
        (KERNEL, sha256(&[kernel])),
    ] {
        table.extend(guid);
        table.extend(HASH_ENTRY.to_le_bytes());
        table.extend(hash);
    }
    let mut page = [0; PAGE];
    let place = page.get_mut(offset..).and_then(|rest| rest.get_mut(..table.len()));
    let place = place.ok_or_else(|| PredictError::new("the table of hashes does not fit into its page"))?;
    place.copy_from_slice(&table);
    Ok(page)
}
