//! The targets: every reader of a stranger's bytes, and the whole of `verify`. See README.md for how to run one.
//!
//! A target is a function of bytes that panics where an invariant does not hold. It runs the product as it is shipped, through
//! what it exports; nothing of the product is compiled otherwise for it.

mod case;
mod corpus;
mod forged;
mod hold;
mod policy;
pub mod seeds;
mod signed_again;
pub mod targets;

pub use corpus::{artifacts_folder, corpus_folder, read_corpus, read_folder};
