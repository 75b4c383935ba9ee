//! Forged vendors for tests: an AMD and an Intel with their own roots, and devices that sign under them.
//!
//! ```no_run
//! use teegate_forge as forge;
//!
//! let accepted = forge::snp().build();                    // report, VCEK, ASK, ARK, CRL: nothing is wrong with it
//! let debug = forge::snp().debug().build();               // one defect, everything else as before
//! let revoked = forge::tdx().revoke(forge::tdx::Revoked::Pck).build();
//! # let _ = (accepted, debug, revoked);
//! ```
//!
//! It is written against the vendors' documents with an encoder of its own and shares no line with the verifier: a wrong offset cannot agree with
//! itself. A forged root is trusted only where a policy pins it. This proves the plumbing and never the silicon.
//!
//! The layouts follow AMD 56860 (SEV-SNP Firmware ABI), AMD 57230 (VCEK and KDS), Intel's TDX DCAP quote format, the SGX PCK certificate profile and
//! the PCS API v4, as recorded evidence shows them.

pub mod aci;
pub mod azure;
pub mod certificate;
pub mod coco;
pub mod crl;
pub mod der;
mod edits;
mod json;
pub mod keys;
pub mod paravisor;
pub mod pem;
pub mod services;
pub mod sev_guest;
pub mod sigstore;
pub mod snp;
pub mod tdx;
pub mod time;

/// An Azure confidential VM on the forged SEV-SNP platform that nothing is wrong with, with all that a pod of Confidential Containers has.
pub fn azure_snp() -> azure::AzureBuilder {
    azure::AzureBuilder::on_snp(snp())
}

/// The same on the forged TDX platform.
pub fn azure_tdx() -> azure::AzureBuilder {
    azure::AzureBuilder::on_tdx(tdx())
}

/// An SEV-SNP platform that nothing is wrong with: Genoa, report version 5, VCEK.
pub fn snp() -> snp::SnpBuilder {
    snp::SnpBuilder::new()
}

/// A context of a container group that nothing is wrong with.
pub fn aci() -> aci::AciBuilder {
    aci::AciBuilder::new()
}

/// A file signed through a Sigstore instance of its own, that nothing is wrong with.
pub fn sigstore() -> sigstore::SigstoreBuilder {
    sigstore::SigstoreBuilder::new()
}

/// A TDX platform that nothing is wrong with: quote version 4, PCK of the Platform CA, everything UpToDate.
pub fn tdx() -> tdx::TdxBuilder {
    tdx::TdxBuilder::new()
}
