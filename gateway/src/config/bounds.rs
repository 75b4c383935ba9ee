//! Every number of the configuration, with its default and its bounds.

use teegate_protocol::limits::{self, Limit};

use crate::balance::outliers;
use crate::collateral::config as collateral;
use crate::discovery::config as discovery;
use crate::refused::config as refused;
use crate::reload::config as reload;
use crate::telemetry::config as telemetry;

/// A number of the configuration, named by its key: dotted where it stands in a table.
const fn bound(name: &'static str, default: u64, least: u64, most: u64) -> Limit {
    Limit { name, default, least, most }
}

/// A number that the protocol bounds.
const fn shared(name: &'static str, limit: Limit) -> Limit {
    Limit { name, ..limit }
}

pub(super) const REATTEST: Limit = shared("reattest_seconds", limits::REATTEST_SECONDS);
pub(super) const CHANNEL_AGE: Limit = shared("channel_age_seconds", limits::CHANNEL_AGE_SECONDS);
pub(super) const RETRY: Limit = bound("retry_seconds", 5, 1, 300);
pub(super) const MANIFEST_LIFE: Limit = shared("max_manifest_life_seconds", limits::MANIFEST_LIFE_SECONDS);
pub(super) const HOLD: Limit = shared("hold.seconds", limits::HOLD_SECONDS);
pub(super) const MAX_HOLD: Limit = bound("hold.max_seconds", limits::HOLD_SECONDS.most, 0, limits::HOLD_SECONDS.most);
pub(super) const TENANT_REQUESTS: Limit = shared("hold.tenant_requests", limits::HELD_REQUESTS_PER_TENANT);
pub(super) const TENANT_BYTES: Limit = shared("hold.tenant_bytes", limits::HELD_BYTES_PER_TENANT);
pub(super) const BUDGET: Limit = shared("budget.bytes", limits::HELD_BYTES);
pub(super) const HEALTH: Limit = bound("health_seconds", 5, 1, 300);
pub(super) const SEALED_BODY: Limit = shared("limits.sealed_body_bytes", limits::SEALED_BODY_BYTES);
pub(super) const CONNECTIONS: Limit = bound("limits.connections", 1_024, 1, 65_536);
pub(super) const OPERATOR_CONNECTIONS: Limit = bound("limits.operator_connections", 64, 1, 1_024);
pub(super) const STREAMS: Limit = bound("limits.streams_per_connection", 128, 1, 65_536);
pub(super) const LONG_POLLS: Limit = bound("limits.long_polls", 256, 4, 65_536);
pub(super) const CONNECT: Limit = bound("timeouts.connect_seconds", 5, 1, 60);
pub(super) const ATTEST: Limit = bound("timeouts.attest_seconds", 30, 1, 120);
pub(super) const HEADER_READ: Limit = bound("timeouts.header_read_seconds", 10, 1, 120);
pub(super) const BODY_IDLE: Limit = bound("timeouts.body_idle_seconds", 15, 1, 300);
pub(super) const UPLOAD: Limit = bound("timeouts.upload_seconds", 120, 1, 3_600);
pub(super) const ANSWER: Limit = bound("timeouts.answer_seconds", 120, 1, 3_600);
pub(super) const DRAIN: Limit = bound("timeouts.drain_seconds", 30, 0, 600);
pub(super) const BREAKER_FAILURES: Limit = bound("breaker.failures", 5, 1, 1_000);
pub(super) const BREAKER_OPEN: Limit = bound("breaker.open_seconds", 10, 1, 600);

/// Every number of the configuration, for documentation and tests, those of tables that are read elsewhere included.
pub fn bounds() -> impl Iterator<Item = &'static Limit> {
    BOUNDS.iter().chain(discovery::BOUNDS).chain(outliers::BOUNDS).chain(telemetry::BOUNDS)
}

const BOUNDS: &[Limit] = &[
    REATTEST,
    CHANNEL_AGE,
    RETRY,
    MANIFEST_LIFE,
    HOLD,
    MAX_HOLD,
    TENANT_REQUESTS,
    TENANT_BYTES,
    BUDGET,
    HEALTH,
    SEALED_BODY,
    CONNECTIONS,
    OPERATOR_CONNECTIONS,
    STREAMS,
    LONG_POLLS,
    CONNECT,
    ATTEST,
    HEADER_READ,
    BODY_IDLE,
    UPLOAD,
    ANSWER,
    DRAIN,
    BREAKER_FAILURES,
    BREAKER_OPEN,
    reload::SECONDS,
    refused::FILES,
    refused::BYTES,
    collateral::REFRESH,
    collateral::ADDRESS,
    collateral::STRANGERS,
    collateral::FILES,
    collateral::BYTES,
];
