//! The waits for an instance, bounded in number: whoever waits costs a connection, and anybody can wait.

use std::sync::Arc;

use crate::caller::Caller;
use crate::shares::{One, Scarce, Shares};

/// So many clients may wait at a time, in shares.
#[derive(Debug)]
pub struct Polls(Arc<Shares>);

/// One who waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    _one: One,
}

/// As many wait as may.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooMany;

impl Polls {
    /// So many.
    pub fn new(most: u64) -> Self {
        Self(Arc::new(Shares::new(most)))
    }

    /// Leave to wait, until the result is dropped.
    pub(crate) fn enter(&self, caller: &Caller) -> Result<Waiting, TooMany> {
        let _one = self.0.one(caller).map_err(|Scarce| TooMany)?;
        Ok(Waiting { _one })
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> u64 {
        self.0.taken()
    }
}
