//! What the configuration says of refused evidence: how much of it is kept.

use serde::Deserialize;
use teegate_protocol::limits::{Limit, OutOfBounds};

/// Bundles at a time.
pub const FILES: Limit = Limit { name: "refused.files", default: 256, least: 1, most: 100_000 };
/// And their bytes.
pub const BYTES: Limit = Limit { name: "refused.bytes", default: 64 << 20, least: 4 << 20, most: 16 << 30 };

/// How much refused evidence is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RefusedLimits {
    /// Bundles at a time.
    pub files: u64,
    /// And their bytes.
    pub bytes: u64,
}

/// `[refused]` as written.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RefusedTable {
    files: Option<u64>,
    bytes: Option<u64>,
}

impl RefusedTable {
    pub(crate) fn resolve(self) -> Result<RefusedLimits, OutOfBounds> {
        Ok(RefusedLimits { files: FILES.resolve(self.files)?, bytes: BYTES.resolve(self.bytes)? })
    }
}
