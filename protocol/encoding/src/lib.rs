//! One bounded reader for each format of strangers' bytes. No I/O, and no opinion on what the bytes say.
//!
//! Every reader takes hostile bytes: it never panics, allocates no more than a small multiple of what it was given, and says
//! where something is wrong without repeating it.

pub mod base64;
pub mod cbor;
pub mod cose;
pub mod der;
pub mod document;
pub mod hex;
pub mod json;
pub mod pem;
pub mod protobuf;
