//! A small fuzzing engine for the stable toolchain: no nightly, no clang, no C++ compiler.
//!
//! ```text
//! corpus -> pick one -> mutate (bytes, or the nodes of its format) -> run the target -> new coverage? -> into the corpus
//! ```
//!
//! Where the crates under test were compiled with LLVM's coverage counters (`ci/fuzz.sh`), what reaches new code is kept and
//! mutated further, and what was compared with what guides the mutations. Without them (`cargo test`) it is a replay of the corpus
//! and a number of mutations of it that depends on nothing but the seed.
//!
//! A target fails by panicking, by taking more memory than its input can justify, by being slow, or by never coming back.
//! This crate is compiled without the counters: it would count itself.

pub mod coverage;
mod engine;
mod finding;
mod heap;
pub mod look;
pub mod mutate;
mod random;
mod target;

pub use engine::{Figures, Run, Settings};
pub use finding::{Finding, Outcome, execute, minimise};
pub use random::Random;
pub use target::{Effort, Target};
