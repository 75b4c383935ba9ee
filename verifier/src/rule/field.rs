//! What is known of a field of a profile, whatever a policy writes there. Each platform has one table of these; the loader, the
//! common judging loop and the tools of who writes policies are loops over it.

use serde::Serialize;
use std::fmt;

use super::bits::BitNames;

/// One field of a profile.
#[derive(Debug)]
#[non_exhaustive]
pub struct Field {
    /// Its name in a policy.
    pub name: &'static str,
    /// What it is about.
    pub topic: Topic,
    /// Begins a sentence about it.
    pub subject: &'static str,
    /// What is left open where it asks nothing.
    pub open: &'static str,
    /// How it is written.
    pub written: Written,
    /// Whether older policies may leave it out, and then ask nothing.
    pub optional: bool,
    /// How bad it is to ask nothing, and what to write instead. `None` where that depends on other fields, or is well.
    pub weak: Option<(Severity, &'static str)>,
    /// Values of one repeated byte that are no digest or id of somebody.
    pub blanks: &'static [(u8, Blank)],
    /// What has no value but is there or not, each with the rank of the rules that refuse it.
    pub states: &'static [(u8, &'static str)],
    /// Where the records of recorded platforms show it.
    pub recorded: Recorded,
}

/// What a sentence is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Topic {
    /// What an accepting verdict speaks for.
    Claim,
    /// Which hardware, and in which state.
    Hardware,
    /// Who vouches for it.
    Vouching,
    /// Which code runs.
    Code,
    /// For whom, and when, the evidence was made.
    Freshness,
}

/// How bad a rule is that is weak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Somebody can read what is sent, or nothing at all is accepted.
    Error,
    /// An attack that is known stays open, or a rule does not do what it looks like.
    Warning,
    /// Worth knowing; it may be what you want.
    Note,
}

impl Severity {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// What a field says whose bytes are all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Blank {
    /// Nobody is named, so that it may be anybody.
    Nobody,
    /// There is none, and there can be none: to accept only that is to pin it.
    NoneThere,
    /// Nothing was extended there. That is one state, which the firmware decides.
    Unextended,
}

/// How a field is written in TOML. Where it says so, the word `unchecked` may stand there instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Written {
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list of these names, with one at least; or `unchecked`, and then not all of them.
    Names {
        /// Every name that there is.
        of: &'static [&'static str],
        /// Whether `unchecked` may stand there.
        waivable: bool,
    },
    /// A list of texts, or `unchecked`: such as this one, in this form (a regular expression, ECMA 262).
    Texts {
        /// A text that nobody uses.
        example: &'static str,
        /// Their form.
        pattern: &'static str,
    },
    /// A list of ids of one of these lengths in bytes, in hexadecimal, not all zero where that names nobody; or `unchecked`.
    Ids {
        /// In bytes.
        lengths: &'static [usize],
        /// Whether an id of zeros is refused.
        not_zero: bool,
    },
    /// A table of these names, each with a reason.
    Reasons(&'static [&'static str]),
    /// An expectation of so many bytes.
    Bytes(usize),
    /// An expectation of so many bytes, where `none` is written for zeros.
    BytesOrNone(usize),
    /// An expectation of a number of 32 bits, which may be a floor.
    Number,
    /// An expectation of a number up to this one, which may be no floor, for this reason.
    Level(u32, &'static str),
    /// A number of 32 bits that must be reached, or `unchecked`.
    Count,
    /// A version of so many parts that must be reached, or `unchecked`.
    Version(usize),
    /// Names of bits, or `unchecked`. The mask holds the bits of the same word that other fields rule.
    Bits(BitNames, u64),
    /// Bits that must be 1, or `unchecked`.
    Mask,
    /// Bits that must be 1, and those that may be; or `unchecked`.
    Masks,
    /// An age in days, or `unchecked`.
    Age,
    /// An instant, or `unchecked`.
    Date,
    /// Days of grace, or `none`.
    Grace,
    /// A floor for each product, with the components that each has; or `unchecked`.
    Floors(&'static [(&'static str, &'static [&'static str])]),
    /// Baseline, grace and exceptions of bulletins, or `unchecked`.
    Bulletins {
        /// The newest baseline.
        baseline: u32,
        /// Those that it judges.
        judged: &'static [&'static str],
    },
    /// Exceptions by advisory, each with statuses out of these.
    Exceptions(&'static [&'static str]),
    /// `caller`, 64 bytes, or `unchecked`.
    ReportData,
}

impl Written {
    /// Whether a template may leave it to reference values.
    pub const fn takes_reference_values(&self) -> bool {
        matches!(self, Self::Bytes(_) | Self::BytesOrNone(_) | Self::Number | Self::Level(..))
    }
}

/// What reference values look like there; empty for what takes none.
impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(length) | Self::BytesOrNone(length) => write!(f, "{length} bytes in hexadecimal"),
            Self::Number => write!(f, "a number up to {}", u32::MAX),
            Self::Level(most, _) => write!(f, "a number up to {most}"),
            _ => Ok(()),
        }
    }
}

/// Where a record shows a field, by the names of the record's members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recorded {
    /// Nowhere.
    Nowhere,
    /// A name.
    Name(&'static str),
    /// A list of names, each of which must pass.
    Names(&'static str),
    /// Numbers, each of which must pass.
    Numbers(&'static [&'static str]),
    /// Instants, each of which must pass.
    Dates(&'static str),
    /// A version.
    Version(&'static str),
    /// The second and third byte of a number, from the right: minor and major.
    AbiVersion(&'static str),
    /// Bits that have names, without those of the mask.
    Bits(&'static str, u64),
    /// Bits that have none.
    Mask(&'static str),
    /// The field's first state, where this is as said.
    State(&'static str, bool),
    /// The field's first state, where one of these bits is 1.
    StateOfBits(&'static str, u64),
    /// The field's first state, where the two numbers differ.
    StateOfTwo(&'static str, &'static str),
    /// A table of components, and the product whose they are.
    Tcb(&'static str, &'static str),
}

impl Field {
    /// A field that is written so.
    pub(crate) const fn new(
        name: &'static str,
        topic: Topic,
        subject: &'static str,
        open: &'static str,
        written: Written,
    ) -> Self {
        Self {
            name,
            topic,
            subject,
            open,
            written,
            optional: false,
            weak: None,
            blanks: &[],
            states: &[],
            recorded: Recorded::Nowhere,
        }
    }

    /// It came after policies were in use that have none.
    pub(crate) const fn optional(self) -> Self {
        Self { optional: true, ..self }
    }

    /// So bad it is to ask nothing; what to write instead.
    pub(crate) const fn weak(self, severity: Severity, instead: &'static str) -> Self {
        Self { weak: Some((severity, instead)), ..self }
    }

    /// A value of this byte alone says so.
    pub(crate) const fn blanks(self, blanks: &'static [(u8, Blank)]) -> Self {
        Self { blanks, ..self }
    }

    /// What may be there or not.
    pub(crate) const fn states(self, states: &'static [(u8, &'static str)]) -> Self {
        Self { states, ..self }
    }

    /// Records show it there.
    pub(crate) const fn recorded(self, recorded: Recorded) -> Self {
        Self { recorded, ..self }
    }

    /// What a value of these bytes says, where all of them are the same and that says something.
    pub fn blank(&self, bytes: &[u8]) -> Option<Blank> {
        let of = |(byte, _): &&(u8, Blank)| bytes.iter().all(|one| one == byte);
        self.blanks.iter().find(of).map(|(_, says)| *says)
    }
}
