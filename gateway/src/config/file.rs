//! The configuration as it is written, before anything in it is judged.

use std::path::PathBuf;

use serde::Deserialize;

use crate::admission::config::TenantTable;
use crate::balance::outliers;
use crate::collateral::config::CollateralTable;
use crate::discovery::config as discovery;
use crate::refused::config::RefusedTable;
use crate::reload::config::ReloadTable;
use crate::telemetry::config::TelemetryTable;

/// Certificate chain and private key of the clients' listener, both PEM.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The certificate chain, leaf first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// The file as written: what is absent takes its default from `bounds.rs`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) listen: String,
    pub(super) operator_listen: String,
    pub(super) tls: Option<TlsFiles>,
    pub(super) admission: Option<toml::Value>,
    #[serde(default)]
    pub(super) tenant: Vec<TenantTable>,
    pub(super) plain_http: Option<String>,
    pub(super) policy: PathBuf,
    pub(super) unbound_policy: Option<String>,
    #[serde(default)]
    pub(super) endorsements: Vec<PathBuf>,
    #[serde(default)]
    pub(super) instances: Vec<String>,
    #[serde(default)]
    pub(super) discovery: discovery::Table,
    #[serde(default)]
    pub(super) proxies: Vec<String>,
    pub(super) receipt_key: Option<PathBuf>,
    pub(super) next_receipt_key: Option<String>,
    pub(super) client_policy: Option<PathBuf>,
    pub(super) reattest_seconds: Option<u64>,
    pub(super) channel_age_seconds: Option<u64>,
    pub(super) retry_seconds: Option<u64>,
    pub(super) health_seconds: Option<u64>,
    pub(super) max_manifest_life_seconds: Option<u64>,
    #[serde(default)]
    pub(super) hold: HoldTable,
    #[serde(default)]
    pub(super) budget: BudgetTable,
    #[serde(default)]
    pub(super) limits: LimitsTable,
    #[serde(default)]
    pub(super) timeouts: TimeoutsTable,
    #[serde(default)]
    pub(super) breaker: BreakerTable,
    #[serde(default)]
    pub(super) reload: ReloadTable,
    pub(super) state_dir: Option<PathBuf>,
    pub(super) refused_dir: Option<PathBuf>,
    #[serde(default)]
    pub(super) refused: RefusedTable,
    #[serde(default)]
    pub(super) outliers: outliers::Table,
    #[serde(default)]
    pub(super) collateral: CollateralTable,
    #[serde(default)]
    pub(super) telemetry: TelemetryTable,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct HoldTable {
    pub(super) seconds: Option<u64>,
    pub(super) max_seconds: Option<u64>,
    pub(super) tenant_requests: Option<u64>,
    pub(super) tenant_bytes: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct BudgetTable {
    pub(super) bytes: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LimitsTable {
    pub(super) sealed_body_bytes: Option<u64>,
    pub(super) connections: Option<u64>,
    pub(super) operator_connections: Option<u64>,
    pub(super) streams_per_connection: Option<u64>,
    pub(super) long_polls: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TimeoutsTable {
    pub(super) connect_seconds: Option<u64>,
    pub(super) attest_seconds: Option<u64>,
    pub(super) header_read_seconds: Option<u64>,
    pub(super) body_idle_seconds: Option<u64>,
    pub(super) upload_seconds: Option<u64>,
    pub(super) answer_seconds: Option<u64>,
    pub(super) drain_seconds: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct BreakerTable {
    pub(super) failures: Option<u64>,
    pub(super) open_seconds: Option<u64>,
}
