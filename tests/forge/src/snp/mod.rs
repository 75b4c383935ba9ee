//! A forged AMD and a forged SEV-SNP device.

mod build;
mod builder;
mod endorsements;
mod pki;
mod product;
mod report;

pub use build::SnpSet;
pub use builder::SnpBuilder;
pub use pki::{LeafKind, oid};
pub use product::{Product, Tcb};
pub use report::{REPORT_LENGTH, Report, SIGNED_LENGTH};
