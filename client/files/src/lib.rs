//! Files of data scientists, as the tensors that a model takes: CSV, NumPy's `.npy` and `.npz`, raw elements; and tensors as
//! NumPy files.
//!
//! A file is read in two steps. [`Source::read`] reads what it holds without any model, so that what is wrong with it is told
//! before anybody is asked. [`fit`] makes inputs of it when it is known what the model takes
//! ([`Metadata`](teegate_client::oip::Metadata)), and says file, contents and input where they disagree.
//!
//! A file may come from anybody. What is read is bounded, nothing is allocated on the word of a header, nothing is executed
//! (pickled objects are refused), and no message repeats a value.

mod error;
mod fit;
mod format;
mod names;
pub mod npy;
pub mod npz;
mod number;
mod shape;
mod source;
mod table;

pub use error::FileError;
pub use fit::fit;
pub use format::Format;
pub use names::file_names;
pub use source::{Reading, Source};
pub use table::{Header, Table};

#[cfg(test)]
mod tests;
