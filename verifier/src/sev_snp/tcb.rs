//! Products, and the layout that each gives to the eight bytes of a TCB version.

use serde::Deserialize;
use std::fmt;

use crate::words::Value;

/// A product with a root of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Product {
    /// Family 19h, models 00h to 0Fh.
    Milan,
    /// Family 19h, models 10h to 1Fh and A0h to AFh (Bergamo, Siena).
    Genoa,
    /// Family 1Ah, models 00h to 11h.
    Turin,
}

impl Product {
    /// The product of a combined family and model, as CPUID Fn0000_0001 gives them.
    pub(crate) fn from_cpuid(family: u8, model: u8) -> Option<Self> {
        match (family, model) {
            (0x19, 0x00..=0x0F) => Some(Self::Milan),
            (0x19, 0x10..=0x1F | 0xA0..=0xAF) => Some(Self::Genoa),
            (0x1A, 0x00..=0x11) => Some(Self::Turin),
            _ => None,
        }
    }

    /// The product whose name AMD's key service and certificates spell so; a stepping behind `-` is not part of it.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name.split('-').next()? {
            "Milan" => Some(Self::Milan),
            "Genoa" => Some(Self::Genoa),
            "Turin" => Some(Self::Turin),
            _ => None,
        }
    }

    /// Its name in policies and reports.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Milan => "milan",
            Self::Genoa => "genoa",
            Self::Turin => "turin",
        }
    }

    /// Its name in AMD's certificates.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Milan => "Milan",
            Self::Genoa => "Genoa",
            Self::Turin => "Turin",
        }
    }
}

/// The security patch levels of a platform's components.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TcbVersion {
    /// Turin alone has one.
    pub(crate) fmc: Option<u8>,
    pub(crate) bootloader: u8,
    pub(crate) tee: u8,
    pub(crate) snp: u8,
    pub(crate) microcode: u8,
}

impl TcbVersion {
    /// Reads the eight bytes in the layout of `product`; `None` where a reserved byte is not zero.
    pub(crate) fn read(bytes: &[u8; 8], product: Product) -> Option<Self> {
        match (product, *bytes) {
            (Product::Milan | Product::Genoa, [bootloader, tee, 0, 0, 0, 0, snp, microcode]) => {
                Some(Self { fmc: None, bootloader, tee, snp, microcode })
            }
            (Product::Turin, [fmc, bootloader, tee, snp, 0, 0, 0, microcode]) => {
                Some(Self { fmc: Some(fmc), bootloader, tee, snp, microcode })
            }
            _ => None,
        }
    }

    /// Whether every component is at least that of `other`. A minimum without FMC asks nothing of it.
    pub(crate) fn at_least(&self, other: &Self) -> bool {
        let fmc = match (self.fmc, other.fmc) {
            (_, None) => true,
            (own, Some(least)) => own.is_some_and(|own| own >= least),
        };
        fmc && self.bootloader >= other.bootloader
            && self.tee >= other.tee
            && self.snp >= other.snp
            && self.microcode >= other.microcode
    }
}

impl From<TcbVersion> for Value {
    fn from(TcbVersion { fmc, bootloader, tee, snp, microcode }: TcbVersion) -> Self {
        let (has_fmc, fmc) = (u8::from(fmc.is_some()), fmc.unwrap_or_default());
        let packed = u64::from_be_bytes([0, 0, has_fmc, fmc, bootloader, tee, snp, microcode]);
        Self::Packed(packed, |packed, f| {
            let [_, _, has_fmc, fmc, bootloader, tee, snp, microcode] = packed.to_be_bytes();
            let fmc = (has_fmc != 0).then_some(fmc);
            write!(f, "{}", TcbVersion { fmc, bootloader, tee, snp, microcode })
        })
    }
}

impl fmt::Display for TcbVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(fmc) = self.fmc {
            write!(f, "fmc {fmc} ")?;
        }
        write!(f, "bootloader {} tee {} snp {} microcode {}", self.bootloader, self.tee, self.snp, self.microcode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_product_reads_its_own_layout_and_no_other() {
        let milan = [4, 1, 0, 0, 0, 0, 24, 219];
        let turin = [1, 2, 3, 4, 0, 0, 0, 81];
        let read = TcbVersion { fmc: None, bootloader: 4, tee: 1, snp: 24, microcode: 219 };
        assert_eq!(TcbVersion::read(&milan, Product::Milan), Some(read));
        assert_eq!(TcbVersion::read(&milan, Product::Genoa), Some(read));
        assert_eq!(TcbVersion::read(&milan, Product::Turin), None);
        assert_eq!(
            TcbVersion::read(&turin, Product::Turin),
            Some(TcbVersion { fmc: Some(1), bootloader: 2, tee: 3, snp: 4, microcode: 81 })
        );
        assert_eq!(TcbVersion::read(&turin, Product::Milan), None);
    }

    #[test]
    fn a_version_is_written_later_as_it_would_be_now() {
        let milan = TcbVersion { fmc: None, bootloader: 4, tee: 1, snp: 24, microcode: 219 };
        for version in [milan, TcbVersion { fmc: Some(0), ..milan }, TcbVersion { fmc: Some(255), ..milan }] {
            assert_eq!(Value::from(version).to_string(), version.to_string());
        }
    }

    #[test]
    fn one_lower_component_is_enough() {
        let floor = TcbVersion { fmc: Some(1), bootloader: 1, tee: 1, snp: 4, microcode: 81 };
        assert!(floor.at_least(&floor));
        for lower in [
            TcbVersion { fmc: Some(0), ..floor },
            TcbVersion { fmc: None, ..floor },
            TcbVersion { bootloader: 0, ..floor },
            TcbVersion { tee: 0, ..floor },
            TcbVersion { snp: 3, ..floor },
            TcbVersion { microcode: 80, ..floor },
        ] {
            assert!(!lower.at_least(&floor), "{lower}");
            assert!(floor.at_least(&lower));
        }
    }

    #[test]
    fn families_and_models_name_products() {
        for (family, model, product) in [
            (0x19, 0x0F, Some(Product::Milan)),
            (0x19, 0x10, Some(Product::Genoa)),
            (0x19, 0x1F, Some(Product::Genoa)),
            (0x19, 0x20, None),
            (0x19, 0x9F, None),
            (0x19, 0xA0, Some(Product::Genoa)),
            (0x19, 0xAF, Some(Product::Genoa)),
            (0x19, 0xB0, None),
            (0x1A, 0x11, Some(Product::Turin)),
            (0x1A, 0x12, None),
            (0x17, 0x01, None),
        ] {
            assert_eq!(Product::from_cpuid(family, model), product, "{family:x}/{model:x}");
        }
    }
}
