//! What hardware will measure, computed from the files that it is made of: nothing here asks a machine.
//!
//! A prediction is refused where an input leaves the answer to somebody else: firmware without the metadata of the platform, a
//! kernel that the firmware does not measure, half of a firmware image. Other tools print a plausible digest there, and a policy
//! that holds it accepts nobody, or the wrong one.

mod aci;
mod acpi;
mod against;
mod authenticode;
mod cc;
mod cpio;
mod cpu;
mod digest;
mod direct;
mod hob;
mod igvm;
mod initdata;
mod input;
mod launch;
mod ovmf;
mod pcr;
mod pe;
mod prediction;
mod rtmr;
mod sev_snp;
mod tdvf;
mod tdx;
mod uki;
mod variables;
mod vmsa;

pub use aci::{MAX_BYTES as MAX_ACI_POLICY_BYTES, aci_policy};
pub use acpi::{AcpiBlobs, AcpiOrigin, MAX_TABLES_BYTES as MAX_ACPI_BYTES};
pub use against::{Compared, ComparedEvent, Outcome};
pub use authenticode::authenticode;
pub use cpu::{CpuSignature, cpu_names};
pub use digest::DigestAlgorithm;
pub use direct::TdKernel;
pub use igvm::{MAX_BYTES as MAX_IGVM_BYTES, igvm};
pub use initdata::{InitdataFor, MAX_BYTES as MAX_INITDATA_BYTES, initdata};
pub use input::PredictError;
pub use ovmf::MAX_FIRMWARE_BYTES;
pub use pcr::{UkiBoot, pcrs, rtmr2};
pub use pe::MAX_IMAGE_BYTES;
pub use prediction::{Predicted, Prediction};
pub use rtmr::{Choice, TdBoot, TdEvent, TdGuest};
pub use sev_snp::{MAX_FILE_BYTES, MAX_VCPUS, SnpGuest, SnpKernel, is_bzimage, sev_snp};
pub use tdx::{PageOrder, mrtd, rtmrs};
pub use vmsa::SnpVmm;
