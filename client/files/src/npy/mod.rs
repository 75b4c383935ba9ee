//! NumPy arrays, `.npy`.

mod header;
mod read;
mod write;

pub use read::{Array, read};
pub use write::write;

#[cfg(test)]
mod tests;
