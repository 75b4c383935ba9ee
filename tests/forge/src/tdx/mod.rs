//! A forged Intel and a forged TDX platform.

mod build;
mod builder;
mod collateral;
mod endorsements;
pub mod event_log;
mod pki;
mod qe_report;
mod quote;
mod sgx_extension;
mod td_report;

pub use build::TdxSet;
pub use builder::{PLATFORM_COMPONENTS, PLATFORM_PCESVN, PLATFORM_TEE_TCB_SVN, Revoked, TdxBuilder, TdxKeys};
pub use collateral::{IsvLevel, ModuleIdentity, ModuleSigner, QeIdentity, SignedJson, TcbInfo, TcbLevel};
pub use pki::PckCa;
pub use qe_report::QeReport;
pub use quote::{INTEL_QE_VENDOR_ID, QuoteParts};
pub use sgx_extension::{OID as SGX_EXTENSION, SgxExtension, member as sgx_member};
pub use td_report::{TdReport, extended};
