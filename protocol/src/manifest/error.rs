//! Why a manifest was refused.

use crate::json::JsonError;
use crate::limits;
use crate::ohttp::config::ConfigError;
use crate::words::Shown;
use std::fmt;

/// The version that this crate reads and writes.
pub const VERSION: u64 = 1;

/// Why a manifest was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ManifestError {
    /// Not strict JSON of the members of version 1.
    Json(JsonError),
    /// Another version than the one this crate reads.
    Version {
        /// The version that stands there.
        found: u64,
    },
    /// `not_before < use_until <= not_after` does not hold.
    Window {
        /// Unix seconds.
        not_before: u64,
        /// Unix seconds.
        use_until: u64,
        /// Unix seconds.
        not_after: u64,
    },
    /// `models` is empty.
    NoModel,
    /// A name and version stand twice in `models`.
    ModelTwice {
        /// The name.
        name: String,
        /// The version.
        version: String,
    },
    /// `limits.batching` contradicts other members.
    Batching {
        /// How.
        reason: &'static str,
    },
    /// `ohttp_keys` is not a list of key configurations with at least one that this crate supports.
    Keys(ConfigError),
    /// The manifest lives longer than the policy accepts.
    LifeTooLong {
        /// `not_after - not_before`, in seconds.
        life: u64,
        /// What is accepted, in seconds.
        max_life: u64,
    },
    /// The manifest is from the future, by more than the skew.
    NotYetValid {
        /// Unix seconds.
        now: u64,
        /// Unix seconds.
        not_before: u64,
    },
    /// The keys are gone.
    Expired {
        /// Unix seconds.
        now: u64,
        /// Unix seconds.
        not_after: u64,
    },
    /// The manifest could not be written as JSON.
    Encoding,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "manifest: {error}"),
            Self::Version { found } => write!(f, "manifest: version {found}, this build reads version {VERSION}"),
            Self::Window { not_before, use_until, not_after } => write!(
                f,
                "manifest: not_before {not_before} < use_until {use_until} <= not_after {not_after} does not hold"
            ),
            Self::NoModel => f.write_str("manifest: `models` is empty, expected at least one"),
            Self::Batching { reason } => write!(f, "manifest: `limits.batching`: {reason}"),
            Self::ModelTwice { name, version } => {
                write!(f, "manifest: model `{}` version `{}` stands twice", Shown(name), Shown(version))
            }
            Self::Keys(error) => write!(f, "manifest: `ohttp_keys`: {error}"),
            Self::LifeTooLong { life, max_life } => {
                write!(f, "manifest: lives {life} s, at most {max_life} s are accepted")
            }
            Self::NotYetValid { now, not_before } => write!(
                f,
                "manifest: not valid before {not_before} (less {} s of skew), it is {now}",
                limits::SKEW.as_secs()
            ),
            Self::Expired { now, not_after } => {
                write!(f, "manifest: ended at {not_after}, it is {now}: fetch it again")
            }
            Self::Encoding => f.write_str("manifest: could not be written as JSON"),
        }
    }
}

impl std::error::Error for ManifestError {}

impl From<JsonError> for ManifestError {
    fn from(error: JsonError) -> Self {
        Self::Json(error)
    }
}
