//! What hardware will measure, computed from the files that it is made of: nothing here asks a machine.
//!
//! A prediction is refused where an input leaves the answer to somebody else: firmware without the metadata of the platform, a
//! kernel that the firmware does not measure, half of a firmware image. Other tools print a plausible digest there, and a policy
//! that holds it accepts nobody, or the wrong one.

mod aci;
mod authenticode;
mod cpu;
mod digest;
mod igvm;
mod initdata;
mod input;
mod launch;
mod ovmf;
mod pcr;
mod pe;
mod prediction;
mod sev_snp;
mod tdvf;
mod tdx;
mod uki;
mod vmsa;

pub use aci::aci_policy;
pub use authenticode::authenticode;
pub use cpu::{CpuSignature, cpu_names};
pub use digest::DigestAlgorithm;
pub use igvm::igvm;
pub use initdata::{InitdataFor, initdata};
pub use input::PredictError;
pub use pcr::{UkiBoot, pcrs, rtmr2};
pub use prediction::{Predicted, Prediction};
pub use sev_snp::{SnpGuest, SnpKernel, sev_snp};
pub use tdx::{PageOrder, mrtd, rtmrs};
pub use vmsa::SnpVmm;
