//! What can be wrong with what somebody handed in, said so that they can put it right: which input, what failed, what was
//! expected, what to do. Nothing here is a verdict; evidence that can be told apart at all goes to the verifier to be judged.

use std::fmt;
use std::io;
use std::path::Path;

/// An input that could not be turned into evidence or endorsements.
#[derive(Debug)]
pub struct IntakeError {
    subject: String,
    defect: Defect,
}

impl IntakeError {
    pub(crate) fn new(subject: impl Into<String>, defect: Defect) -> Self {
        Self { subject: subject.into(), defect }
    }

    pub(crate) fn unreadable(path: &Path, cause: io::Error) -> Self {
        Self::new(path.display().to_string(), Defect::Unreadable { cause })
    }

    /// The same defect, said of the input by the name under which the user knows it.
    #[must_use]
    pub fn named(self, subject: impl Into<String>) -> Self {
        Self { subject: subject.into(), ..self }
    }

    /// The file, folder or other name of the input.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// What is wrong with it.
    #[must_use]
    pub fn defect(&self) -> &Defect {
        &self.defect
    }
}

/// What is wrong with an input.
#[derive(Debug)]
#[non_exhaustive]
pub enum Defect {
    /// The operating system would not give it.
    Unreadable {
        /// Its reason.
        cause: io::Error,
    },
    /// More bytes, files or levels than are ever read.
    TooLarge {
        /// What there is too much of: `bytes`, `files`, `levels of folders`.
        unit: &'static str,
        /// How much there is; for a stream, how much had been read when it was given up.
        actual: u64,
        /// How much is allowed.
        limit: u64,
    },
    /// Nothing that is known begins like this.
    Unrecognised {
        /// What it looks like, as far as that can be said.
        found: String,
        /// What is read in this place.
        expected: &'static str,
        /// What to do about it.
        remedy: &'static str,
    },
    /// It announces itself as one thing and is not well formed as that thing.
    Broken {
        /// The kind that it announces itself as.
        kind: &'static str,
        /// Where it departs from that kind.
        defect: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// It is evidence of another platform than the one insisted on.
    OtherTee {
        /// The platform asked for.
        expected: &'static str,
        /// The platform that the input names.
        actual: &'static str,
    },
}

impl fmt::Display for IntakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.subject, self.defect)
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { cause } => write!(f, "cannot be read: {cause}"),
            Self::TooLarge { unit, actual, limit } => {
                write!(
                    f,
                    "too large: {actual} {unit}, at most {limit} are read; name the files that are needed one by one"
                )
            }
            Self::Unrecognised { found, expected, remedy } => {
                write!(f, "not recognised: found {found}, expected {expected}; {remedy}")
            }
            Self::Broken { kind, defect, remedy } => write!(f, "not a well-formed {kind}: {defect}; {remedy}"),
            Self::OtherTee { expected, actual } => {
                write!(
                    f,
                    "is {actual} evidence, {expected} was insisted on; give `--tee {actual}` or leave `--tee` out"
                )
            }
        }
    }
}

impl std::error::Error for IntakeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.defect {
            Defect::Unreadable { cause } => Some(cause),
            Defect::TooLarge { .. } | Defect::Unrecognised { .. } | Defect::Broken { .. } | Defect::OtherTee { .. } => {
                None
            }
        }
    }
}
