//! What can be remarked of a field. With the field it is the name of a remark, by which it is acknowledged and found again in the
//! results of a scan: the words may change with a release, the kind does not.

use serde::{Serialize, Serializer};

/// What is remarked of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RemarkKind {
    /// It asks nothing.
    Unasked,
    /// A reference value is needed there.
    Needed,
    /// A value that is nobody's stands there.
    Nobody,
    /// It expects a register that nothing was extended into.
    Unextended,
    /// No recorded platform satisfies it.
    Unseen,
    /// Roots of its own replace the vendor's.
    ForeignRoots,
    /// Evidence that was recorded once passes again.
    Replayable,
    /// A bit is free that somebody can use.
    OpenBits,
    /// A switch lets something dangerous in.
    Allowed,
    /// It takes more than is known to be good.
    Wide,
    /// It takes so little that what is as good is refused.
    Narrow,
    /// A floor below what this release knows.
    Old,
    /// An exception or a grace, which outlasts its reason.
    Lasting,
    /// It refuses nothing, or lets in nothing.
    Moot,
    /// It contradicts another rule.
    Contradiction,
}

impl RemarkKind {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Unasked,
        Self::Needed,
        Self::Nobody,
        Self::Unextended,
        Self::Unseen,
        Self::ForeignRoots,
        Self::Replayable,
        Self::OpenBits,
        Self::Allowed,
        Self::Wide,
        Self::Narrow,
        Self::Old,
        Self::Lasting,
        Self::Moot,
        Self::Contradiction,
    ];

    /// Its name in reports and acknowledgements.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unasked => "unasked",
            Self::Needed => "needed",
            Self::Nobody => "nobody",
            Self::Unextended => "unextended",
            Self::Unseen => "unseen",
            Self::ForeignRoots => "foreign-roots",
            Self::Replayable => "replayable",
            Self::OpenBits => "open-bits",
            Self::Allowed => "allowed",
            Self::Wide => "wide",
            Self::Narrow => "narrow",
            Self::Old => "old",
            Self::Lasting => "lasting",
            Self::Moot => "moot",
            Self::Contradiction => "contradiction",
        }
    }

    /// What it says of a field, in words that go behind its name.
    pub const fn says(self) -> &'static str {
        match self {
            Self::Unasked => "asks nothing",
            Self::Needed => "still needs a reference value",
            Self::Nobody => "holds a value that is nobody's",
            Self::Unextended => "expects a register that nothing was extended into",
            Self::Unseen => "asks what no recorded platform shows",
            Self::ForeignRoots => "replaces the vendor's roots",
            Self::Replayable => "takes evidence that was recorded once again and again",
            Self::OpenBits => "leaves a bit free that somebody can use",
            Self::Allowed => "lets something dangerous in",
            Self::Wide => "takes more than is known to be good",
            Self::Narrow => "refuses what is as good",
            Self::Old => "stands below what this release knows",
            Self::Lasting => "excepts what may outlast its reason",
            Self::Moot => "refuses nothing, or lets in nothing",
            Self::Contradiction => "contradicts another rule",
        }
    }
}

impl Serialize for RemarkKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
