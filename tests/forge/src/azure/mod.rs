//! A forged Azure confidential VM: a paravisor with its report and claims, on a forged platform, and the quote of its vTPM.
//!
//! The layouts are those of recorded machines; TPMS_ATTEST is that of the TPM 2.0 library, part 2.

mod builder;
mod claims;
mod coco;
pub mod event_log;
mod hcl;
mod quote;

pub use builder::{AzureBuilder, AzureSet, PlatformSet};
pub use claims::{Claims, Jwk};
pub use hcl::{Hcl, td_report};
pub use quote::{Attest, Quote, default_pcrs, initdata_pcr, pcr_digest};
