//! Why nothing was proven.

use std::fmt;
use std::sync::Arc;

use teegate_protocol::manifest::SpkiDigest;

use super::link::NoAnswer;
use super::summary::Failed;

/// Evidence was read and refused.
#[derive(Clone, Debug)]
pub struct Distrust {
    /// The checks that failed; at least one.
    pub checks: Vec<&'static str>,
    /// What was expected and what was found, for the operator.
    pub explanation: String,
    /// Both sides of each, for as many as are told.
    pub failed: Arc<[Failed]>,
    /// The key of the peer that showed it.
    pub tls_spki: SpkiDigest,
}

/// Why nothing was proven.
#[derive(Debug)]
pub enum Doubt {
    /// No verdict: the instance did not answer.
    NoAnswer(NoAnswer),
    /// The verdict is no.
    Distrust(Distrust),
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer(error) => error.fmt(f),
            Self::Distrust(distrust) => {
                write!(f, "rejected by {}: {}", distrust.checks.join(", "), distrust.explanation)
            }
        }
    }
}
