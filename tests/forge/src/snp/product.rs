//! What differs between AMD's products: CPUID, the layout of a TCB version, the names.

/// A product, by the silicon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// Family 19h, model 01h.
    Milan,
    /// Family 19h, model 11h.
    Genoa,
    /// Family 19h, model A0h (Zen 4c); certified as Genoa.
    Siena,
    /// Family 1Ah, model 02h.
    Turin,
}

/// The parts of a TCB version; `fmc` exists on Turin alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tcb {
    /// Firmware of the boot ROM (Turin).
    pub fmc: u8,
    /// PSP boot loader.
    pub bootloader: u8,
    /// PSP operating system.
    pub tee: u8,
    /// SNP firmware.
    pub snp: u8,
    /// Microcode.
    pub microcode: u8,
}

impl Tcb {
    /// The eight bytes in memory order, as this product lays them out.
    pub fn to_bytes(self, product: Product) -> [u8; 8] {
        match product {
            Product::Turin => [self.fmc, self.bootloader, self.tee, self.snp, 0, 0, 0, self.microcode],
            _ => [self.bootloader, self.tee, 0, 0, 0, 0, self.snp, self.microcode],
        }
    }
}

impl Product {
    /// The name in AMD's URLs and CA certificates.
    pub fn kds_name(self) -> &'static str {
        match self {
            Self::Milan => "Milan",
            Self::Genoa | Self::Siena => "Genoa",
            Self::Turin => "Turin",
        }
    }

    /// productName of a VCEK; a VLEK carries the bare name.
    pub fn vcek_product_name(self) -> &'static str {
        match self {
            Self::Milan => "Milan-B0",
            _ => self.kds_name(),
        }
    }

    /// CPUID family, model and stepping as a report shows them.
    pub fn cpuid(self) -> [u8; 3] {
        match self {
            Self::Milan => [0x19, 0x01, 1],
            Self::Genoa => [0x19, 0x11, 1],
            Self::Siena => [0x19, 0xA0, 2],
            Self::Turin => [0x1A, 0x02, 1],
        }
    }

    /// A TCB that is current for the product.
    pub fn tcb(self) -> Tcb {
        match self {
            Self::Milan => Tcb { fmc: 0, bootloader: 4, tee: 0, snp: 0x18, microcode: 0xDC },
            Self::Genoa => Tcb { fmc: 0, bootloader: 10, tee: 0, snp: 0x1B, microcode: 0x54 },
            Self::Siena => Tcb { fmc: 0, bootloader: 10, tee: 0, snp: 0x1B, microcode: 0x1B },
            Self::Turin => Tcb { fmc: 1, bootloader: 1, tee: 1, snp: 4, microcode: 0x51 },
        }
    }

    pub(crate) fn firmware(self) -> [u8; 3] {
        match self {
            Self::Milan => [1, 55, 39],
            Self::Genoa | Self::Siena => [1, 55, 49],
            Self::Turin => [1, 55, 65],
        }
    }

    pub(crate) fn mitigations(self) -> u64 {
        match self {
            Self::Milan => 0x01,
            Self::Genoa | Self::Siena => 0x0B,
            Self::Turin => 0x3F,
        }
    }

    pub(crate) fn platform_info(self, version: u32) -> u64 {
        match (self, version) {
            (_, ..3) => 0x01,
            (Self::Turin, _) => 0x65,
            _ => 0x25,
        }
    }

    /// The high half of the serial numbers of the product's CA certificates.
    pub(crate) fn serial_base(self) -> u64 {
        match self {
            Self::Milan => 0x1_0000,
            Self::Genoa | Self::Siena => 0x2_0000,
            Self::Turin => 0x3_0000,
        }
    }

    /// How many bytes of CHIP_ID name the chip; the rest is zero.
    pub(crate) fn hwid_length(self) -> usize {
        if self == Self::Turin { 8 } else { 64 }
    }
}
