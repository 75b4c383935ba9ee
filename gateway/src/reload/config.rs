//! What the configuration says of reloading: how often the files are looked at, and what a newer policy may be.

use std::time::Duration;

use serde::Deserialize;
use teegate_protocol::limits::{Limit, OutOfBounds};

/// Between two looks at the files.
pub const SECONDS: Limit = Limit { name: "reload.seconds", default: 5, least: 1, most: 3_600 };

/// How policy and endorsements are read again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReloadSettings {
    /// Between two looks at the files.
    pub every: Duration,
    /// Why a newer policy may claim less about its evidence (`bound_to`) than the one in force; without a reason it is refused.
    pub weaker: Option<String>,
}

/// `[reload]` as written.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ReloadTable {
    seconds: Option<u64>,
    weaker: Option<Reason>,
}

impl ReloadTable {
    pub(crate) fn resolve(self) -> Result<ReloadSettings, OutOfBounds> {
        Ok(ReloadSettings {
            every: Duration::from_secs(SECONDS.resolve(self.seconds)?),
            weaker: self.weaker.map(|Reason(why)| why),
        })
    }
}

/// A reason, which the log repeats.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Reason(String);

impl TryFrom<String> for Reason {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.trim().is_empty() {
            Err("says nothing: expected the reason, which the log repeats")
        } else {
            Ok(Self(text))
        }
    }
}
