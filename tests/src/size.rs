//! How much of the exhaustive tests is run. CI takes a sample of each, spread evenly; `ci/full.sh` takes all of it.

/// Whether everything is asked for: `TEEGATE_TESTS=full`.
pub fn full() -> bool {
    std::env::var_os("TEEGATE_TESTS").is_some_and(|size| size == "full")
}

/// The step through a range: 1 where everything is asked for, else `sampled`.
pub fn step(sampled: usize) -> usize {
    if full() { 1 } else { sampled }
}
