//! The launch digest of SEV-SNP as pages are added to it.
//!
//! AMD 56860 rev. 1.58, section 8.17.2, table *PAGE_INFO*: each page is 112 bytes that begin with the digest so far.

use super::digest::sha384;

pub(super) const PAGE: usize = 4096;
pub(super) const PAGE_U64: u64 = 4096;

/// Where KVM enters the save area of each processor: all ones, cut to a page and to 52 bits.
pub(super) const KVM_VMSA_GPA: u64 = 0xFFFF_FFFF_F000;

/// What a page is. AMD 56860, table *PAGE_TYPE*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PageType {
    /// Its content is measured.
    Normal = 1,
    /// A save area; its content is measured.
    Vmsa = 2,
    /// All zero, which the type alone says.
    Zero = 3,
    /// Nothing but its place is measured.
    Unmeasured = 4,
    /// Filled by the firmware of the processor.
    Secrets = 5,
    /// Filled by the host, checked by the firmware of the processor.
    Cpuid = 6,
}

/// The digest so far.
pub(super) struct LaunchDigest([u8; 48]);

impl LaunchDigest {
    pub(super) fn new() -> Self {
        Self([0; 48])
    }

    pub(super) fn value(&self) -> [u8; 48] {
        self.0
    }

    /// A page whose content is measured, by the SHA-384 of it.
    pub(super) fn add_hashed(&mut self, kind: PageType, gpa: u64, content: &[u8; 48]) {
        // Length 0x70, the type, no IMI page, no permissions for VMPL 1 to 3.
        let info = [0x70, 0, kind as u8, 0, 0, 0, 0, 0];
        self.0 = sha384(&[&self.0, content, &info, &gpa.to_le_bytes()]);
    }

    /// Pages without measured content, from `gpa` on.
    pub(super) fn add_bare(&mut self, kind: PageType, gpa: u64, pages: u64) {
        for page in 0..pages {
            self.add_hashed(kind, gpa.wrapping_add(page.wrapping_mul(PAGE_U64)), &[0; 48]);
        }
    }

    /// Content from `gpa` on, page by page; a last page that is shorter is filled with zeros.
    pub(super) fn add_content(&mut self, kind: PageType, gpa: u64, content: &[u8]) {
        const ZEROS: [u8; PAGE] = [0; PAGE];
        for (page, bytes) in (0_u64..).zip(content.chunks(PAGE)) {
            let filling = ZEROS.get(bytes.len()..).unwrap_or_default();
            self.add_hashed(kind, gpa.wrapping_add(page.wrapping_mul(PAGE_U64)), &sha384(&[bytes, filling]));
        }
    }
}
