//! What is measured, by `ci/bench.sh` in microseconds and by the test `speed` in instructions: evidence with the endorsements
//! that it needs, and beside it the bare signatures, of the same keys over the same messages, that judging it cannot do without.

#[cfg(feature = "forged")]
pub mod forged;
pub mod recorded;
pub mod set;
pub mod signatures;

/// What a measurement ends with.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;
