//! What a mutation draws from.

use crate::coverage::Comparison;
use crate::random::Random;

/// What a mutation draws from.
pub struct Mutator<'a> {
    /// Numbers.
    pub random: &'a mut Random,
    /// Another input of the corpus.
    pub other: &'a [u8],
    /// Words that the format knows.
    pub words: &'static [&'static str],
    /// Numbers that the target compared lately.
    pub compared: &'a [Comparison],
    /// No input becomes longer.
    pub max_bytes: usize,
}

impl Mutator<'_> {
    /// One of the words; empty where there are none.
    pub fn word(&mut self) -> &'static str {
        self.random.pick(self.words).copied().unwrap_or_default()
    }

    /// How many changes in a row: mostly one.
    pub fn changes(&mut self) -> usize {
        1 + [0, 0, 0, 1, 2, 4][self.random.below(6)]
    }
}

/// Replaces a stretch of `bytes`.
pub(crate) fn replace(bytes: &mut Vec<u8>, at: std::ops::Range<usize>, with: &[u8]) {
    bytes.splice(at, with.iter().copied());
}
