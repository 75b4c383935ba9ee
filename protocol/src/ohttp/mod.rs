//! Oblivious HTTP, RFC 9458: framing and key schedule over HPKE (RFC 9180), sans-I/O.
//!
//! ```text
//! client                                           enclave
//! request::seal(config, plaintext)  -- request ->  EncapsulatedRequest::parse(bytes)    key id and `enc` are readable, nothing is opened
//!                                                    .replay_key()                      reserve it before opening
//!                                                  open_in_place(&mut bytes, &key_pair) plaintext, and the context of the answer
//! ClientContext::open(bytes)       <- response --  ServerContext::seal(answer)
//! ```
//!
//! The order on the right is the point of having our own framing: a server reserves a place for a request before it opens it, and once a request
//! has opened there is a context in which every answer, an error too, can be sealed.
//!
//! [`suite`] says which algorithms there are, `hpke` is RFC 9180, and `exchange` seals and opens with them; `aws_lc` beside this folder is the
//! only file that names the cryptographic library. Chunked messages differ from these in their labels and in having more than one
//! AEAD operation per direction.

pub mod config;
mod exchange;
mod hpke;
pub mod request;
pub mod response;
pub mod suite;

pub use config::{KeyConfig, KeyPair};
pub use request::{EncapsulatedRequest, open_in_place, seal};
pub use response::{ClientContext, ServerContext};

#[cfg(test)]
mod rfc9458;
