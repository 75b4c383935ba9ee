//! What the configuration says of asking the vendors: whether, whom, how often, and how much of it strangers may cause.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use teegate_collateral::Source;
use teegate_protocol::limits::{Limit, OutOfBounds};

/// The longest time between two questions for what has an order in time.
pub const REFRESH: Limit =
    Limit { name: "collateral.refresh_seconds", default: 6 * 3_600, least: 60, most: 7 * 86_400 };
/// Sets of documents that one address may cause to be asked for in an hour.
pub const ADDRESS: Limit = Limit { name: "collateral.sets_an_hour", default: 12, least: 1, most: 1_000 };
/// Sets that all addresses together may cause that are not attested.
pub const STRANGERS: Limit = Limit { name: "collateral.strangers_an_hour", default: 120, least: 1, most: 100_000 };
/// Files of the cache.
pub const FILES: Limit = Limit { name: "collateral.cache_files", default: 4_096, least: 16, most: 1 << 20 };
/// And their bytes.
pub const BYTES: Limit = Limit { name: "collateral.cache_bytes", default: 64 << 20, least: 4 << 20, most: 16 << 30 };

/// Asking the vendors.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CollateralSettings {
    /// Whether they are asked at all.
    pub is_online: bool,
    /// Whom to ask, in order.
    pub sources: Vec<Source>,
    /// Where answers are kept; in `state_dir`, or for this process alone, where it is not said.
    pub cache: Option<PathBuf>,
    /// The longest time between two questions.
    pub refresh: Duration,
    /// Sets that one address may cause in an hour.
    pub sets_an_hour: u64,
    /// Sets that all addresses together may cause that are not attested.
    pub strangers_an_hour: u64,
    /// Files of the cache.
    pub cache_files: u64,
    /// And their bytes.
    pub cache_bytes: u64,
}

/// `[collateral]` as written.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CollateralTable {
    online: bool,
    sources: Vec<Written>,
    cache: Option<PathBuf>,
    refresh_seconds: Option<u64>,
    sets_an_hour: Option<u64>,
    strangers_an_hour: Option<u64>,
    cache_files: Option<u64>,
    cache_bytes: Option<u64>,
}

impl CollateralTable {
    pub(crate) fn resolve(self, folder: &Path) -> Result<CollateralSettings, OutOfBounds> {
        let sources: Vec<_> = self.sources.into_iter().map(|Written(source)| source).collect();
        Ok(CollateralSettings {
            is_online: self.online,
            sources: if sources.is_empty() { Source::vendors() } else { sources },
            cache: self.cache.map(|path| folder.join(path)),
            refresh: Duration::from_secs(REFRESH.resolve(self.refresh_seconds)?),
            sets_an_hour: ADDRESS.resolve(self.sets_an_hour)?,
            strangers_an_hour: STRANGERS.resolve(self.strangers_an_hour)?,
            cache_files: FILES.resolve(self.cache_files)?,
            cache_bytes: BYTES.resolve(self.cache_bytes)?,
        })
    }
}

/// `kds`, `pcs`, `thim`, `kds=URL`, …: as `teegate fetch --source` takes them.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Written(Source);

impl TryFrom<String> for Written {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Source::parse(&text).map(Self).map_err(|error| error.to_string())
    }
}
