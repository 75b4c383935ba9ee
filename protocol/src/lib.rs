//! What is on the wire between a client, a gateway and an enclave: as types, parsers and encoders, with no I/O, no clock and no async.
//!
//! The argument that the types carry, in the order in which a client follows it:
//!
//! 1. [`evidence`]: an envelope brings the manifest and the TEE evidence, each unverified.
//! 2. [`binding`]: the 64 bytes that the evidence must report tie it to the *exact bytes* of the manifest.
//! 3. [`manifest`]: the manifest names the keys, the models and the window in which they may be used.
//! 4. [`ohttp`]: a request is sealed to a key that stands in that manifest, and to nothing else.
//! 5. [`bhttp`] and [`padding`]: what is sealed is one HTTP message, its length hidden.
//! 6. [`receipt`]: the answer says, signed by a key of the same manifest, what was executed.
//!
//! [`coco`] reads the evidence of Confidential Containers, [`certificate_table`] the certificates of an SEV-SNP host: an enclave
//! receives both, and a verifier finds them in files. [`azure_vtpm`] reads and writes the evidence of an Azure vTPM.
//! [`members`] reads the JSON of others, the Open Inference Protocol's, and [`oip`] has its words for the types of elements.
//! [`problem`] says what went wrong and what is known to have happened; [`headers`] holds the names, [`limits`] the numbers.
//!
//! Everything that is parsed here is hostile until proven otherwise: parsers are bounded, refuse what they do not know and never panic.
//! The only thing taken from the system is randomness, where a key, a nonce or a salt is made.

mod aws_lc;
mod fixed;
mod json;
mod words;

pub mod azure_vtpm;
pub mod bhttp;
pub mod binding;
pub mod certificate_table;
pub mod coco;
pub mod evidence;
pub mod headers;
pub mod limits;
pub mod manifest;
pub mod members;
pub mod ohttp;
pub mod oip;
pub mod padding;
pub mod problem;
pub mod published;
pub mod receipt;

pub use fixed::NotFixedBytes;
pub use json::JsonError;

/// The system gave no random bytes, so no key, nonce or salt could be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRandomness;

impl std::fmt::Display for NoRandomness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the system gave no random bytes: getrandom(2) failed")
    }
}

impl std::error::Error for NoRandomness {}
