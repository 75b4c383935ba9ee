//! Binary HTTP, RFC 9292: the one HTTP message inside a seal.
//!
//! Written in the known-length form; read in the known-length and the indeterminate-length form, with informational responses, truncation of
//! empty sections at the end, and zero padding. Bounded as [`crate::limits`] says, and strict: a byte of padding that is not zero, a field whose
//! name or value RFC 9113 section 8.2.1 calls malformed or a section that ends early refuses the message. What fields *mean* is the reader's: the
//! connection-specific ones of section 8.2.2 and trailers pass, and mean nothing to enclave-app and client.

mod decode;
mod error;
mod fields;
mod message;

pub use decode::ContentPlace;
pub use error::BhttpError;
pub use fields::{Field, Fields};
pub use message::{Informational, Request, Response};

#[cfg(test)]
mod tests;
