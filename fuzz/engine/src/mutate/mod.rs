//! How inputs are changed: bytes as bytes, and the parts of a format as parts, so that what is changed is still read as far as
//! its change.

mod bytes;
mod json;
mod mutator;
mod nodes;
mod text;

pub use bytes::{bytes, few_bytes};
pub use json::json;
pub use mutator::Mutator;
pub use nodes::{cbor, der, protobuf};
pub use text::{encoded, text};
