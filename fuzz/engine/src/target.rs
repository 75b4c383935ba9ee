//! What is run: a function of bytes that panics where something is wrong.

use crate::mutate::Mutator;

/// How many executions a long run owes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// A reader or a parser: ten million.
    Reader,
    /// A walk through many of them, or through signatures: one million.
    Walk,
}

impl Effort {
    /// The number.
    pub const fn executions(self) -> u64 {
        match self {
            Self::Reader => 10_000_000,
            Self::Walk => 1_000_000,
        }
    }
}

/// One target.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, and that of its folder in the corpus.
    pub name: &'static str,
    /// What it runs, in a few words.
    pub about: &'static str,
    /// How long it should run.
    pub effort: Effort,
    /// Runs one input. It panics where an invariant does not hold.
    pub run: fn(&[u8]),
    /// Changes an input a little.
    pub mutate: fn(&mut Mutator<'_>, &mut Vec<u8>),
    /// Words that its format knows.
    pub words: &'static [&'static str],
    /// Inputs are not made longer than this.
    pub max_bytes: usize,
}
