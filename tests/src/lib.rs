//! What the tests that cross crates share: the real programs as processes, and the network between them.

pub mod harness;
pub mod http;
pub mod isolation;
pub mod names;
pub mod size;
pub mod wire;

/// The repository's README, so that the Rust in it is compiled as a test.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
