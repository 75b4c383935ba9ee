//! The few commands of a TPM 2.0 that an Azure attester needs, over anything that is read and written.
//!
//! Trusted Platform Module Library, Part 3 (commands), revision 1.59: a command is a tag, its length and its code, then
//! handles, an authorisation and parameters; the answer has the same shape with a response code. Authorisation is always
//! the empty password, which Azure's vTPM has for its owner and its attestation key. Nothing here is secret and nothing
//! that comes back is believed: whoever verifies the evidence judges it.
//!
//! A TPM that is somebody else's program can answer anything: lengths are checked before they are used, an answer has at
//! most 4,096 bytes and ends exactly, and there are so many repetitions and no more. How long silence lasts is the
//! channel's business: [`Device`] has a deadline, which Linux's driver does not keep inside of a call.

mod attest;
mod commands;
mod device;
mod error;
mod exchange;
mod wire;

pub use attest::Attested;
pub use commands::{NvPublic, PCRS, Pcrs, Quote, RsaPublic};
pub use device::Device;
pub use error::TpmError;
pub use exchange::Tpm;

#[cfg(test)]
pub(crate) mod tests;
