//! The save area of a virtual processor as a VMM leaves it at launch: SEV-SNP measures one for each.
//!
//! AMD 24593 (APM volume 2) rev. 3.42, appendix B, table B-4. QEMU, EC2 and GCE differ in what they put there.

use super::launch::PAGE;

/// Who starts the guest. Each leaves other values in the registers that are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnpVmm {
    /// QEMU on KVM; also what Kata starts.
    Qemu,
    /// Amazon EC2.
    Ec2,
    /// Google Compute Engine.
    Gce,
}

/// Where the first processor begins: 16 bytes below 4 GiB.
pub(super) const RESET: u32 = 0xFFFF_FFF0;

/// The save area of a processor that begins at `start`.
pub(super) fn save_area(start: u32, features: u64, cpu: u32, vmm: SnpVmm) -> [u8; PAGE] {
    let of_vmm = Registers::of(vmm, cpu, start == RESET);
    let mut area = SaveArea([0; PAGE]);
    for (offset, selector, attributes, base) in [
        (0x00, 0, 0x93, 0),
        (0x10, 0xF000, of_vmm.cs, u64::from(start & 0xFFFF_0000)),
        (0x20, 0, of_vmm.ss, 0),
        (0x30, 0, 0x93, 0),
        (0x40, 0, 0x93, 0),
        (0x50, 0, 0x93, 0),
        (0x60, 0, 0, 0),
        (0x70, 0, 0x82, 0),
        (0x80, 0, 0, 0),
        (0x90, 0, of_vmm.tr, 0),
    ] {
        area.segment(offset, selector, attributes, base);
    }
    for (offset, value) in [
        (0xD0, 0x1000),       // EFER: KVM turns SVME on.
        (0x148, 0x40),        // CR4: and MCE.
        (0x158, 0x10),        // CR0
        (0x160, 0x400),       // DR7
        (0x168, 0xFFFF_0FF0), // DR6
        (0x170, 0x2),         // RFLAGS
        (0x178, u64::from(start & 0xFFFF)),
        (0x268, of_vmm.g_pat),
        (0x310, of_vmm.rdx),
        (0x3B0, features), // SEV_FEATURES
        (0x3E8, 1),        // XCR0
    ] {
        area.put(offset, &value.to_le_bytes());
    }
    area.put(0x408, &of_vmm.mxcsr.to_le_bytes());
    area.put(0x410, &of_vmm.fcw.to_le_bytes());
    area.0
}

/// In what VMMs differ.
struct Registers {
    cs: u16,
    ss: u16,
    tr: u16,
    g_pat: u64,
    rdx: u64,
    mxcsr: u32,
    fcw: u16,
}

impl Registers {
    fn of(vmm: SnpVmm, cpu: u32, is_first: bool) -> Self {
        match vmm {
            SnpVmm::Qemu => Self {
                cs: 0x9B,
                ss: 0x93,
                tr: 0x8B,
                g_pat: 0x0007_0406_0007_0406,
                rdx: u64::from(cpu),
                mxcsr: 0x1F80,
                fcw: 0x37F,
            },
            SnpVmm::Ec2 => Self {
                cs: if is_first { 0x9A } else { 0x9B },
                ss: 0x92,
                tr: 0x83,
                g_pat: 0x0007_0406_0007_0406,
                rdx: 0x600,
                mxcsr: 0,
                fcw: 0,
            },
            SnpVmm::Gce => Self { cs: 0x9B, ss: 0x93, tr: 0x8B, g_pat: 0x0007_0106, rdx: 0x600, mxcsr: 0, fcw: 0 },
        }
    }
}

struct SaveArea([u8; PAGE]);

impl SaveArea {
    fn put(&mut self, offset: usize, bytes: &[u8]) {
        if let Some(place) = self.0.get_mut(offset..).and_then(|rest| rest.get_mut(..bytes.len())) {
            place.copy_from_slice(bytes);
        }
    }

    /// Selector u16, attributes u16, limit u32, base u64. The limit of GDTR, LDTR, IDTR and TR is 64 KiB as well.
    fn segment(&mut self, offset: usize, selector: u16, attributes: u16, base: u64) {
        self.put(offset, &selector.to_le_bytes());
        self.put(offset + 2, &attributes.to_le_bytes());
        self.put(offset + 4, &0xFFFF_u32.to_le_bytes());
        self.put(offset + 8, &base.to_le_bytes());
    }
}
