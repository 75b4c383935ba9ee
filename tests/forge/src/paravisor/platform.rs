//! The forged hardware below a paravisor.

use crate::snp::SnpBuilder;
use crate::tdx::{TdxBuilder, TdxSet};

/// The forged platform below.
#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "there is one in a process")]
pub enum Platform {
    /// SEV-SNP.
    Snp(SnpBuilder),
    /// TDX, with the set that its quotes are made under.
    Tdx(TdxBuilder, TdxSet),
}

impl Platform {
    /// The quote over these 64 bytes, on TDX.
    pub fn td_quote(&self, report_data: [u8; 64]) -> Option<Vec<u8>> {
        match self {
            Self::Snp(_) => None,
            Self::Tdx(builder, set) => Some(builder.clone().report_data(report_data).quote_under(set)),
        }
    }
}
