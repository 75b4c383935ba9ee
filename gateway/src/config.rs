//! The configuration: one TOML file, one table of defaults and bounds, unknown keys refused.
//!
//! Nothing in it can weaken confidentiality: the gateway only ever holds ciphertext, and what it may release, and to whom,
//! is said by the policy, not here. Relative paths start from the folder of the configuration file.

mod address;
mod bounds;
mod effective;
mod error;
mod file;

use std::path::{Path, PathBuf};
use std::time::Duration;

use teegate_protocol::limits::Limit;

pub use self::address::Address;
pub use self::bounds::bounds;
use self::bounds::*;
pub use self::error::ConfigError;
use self::error::MAX_INSTANCES;
use self::file::File;
pub use self::file::TlsFiles;
use crate::admission::config as admission;
use crate::balance::outliers::OutlierLimits;
use crate::breaker::BreakerLimits;
use crate::budget;
use crate::collateral::config::CollateralSettings;
use crate::discovery::config as discovery;
use crate::hold::HoldLimits;
use crate::pace::{self, Pace};
use crate::refused::config::RefusedLimits;
use crate::reload::config::ReloadSettings;
use crate::source::{Network, Proxies};
use crate::telemetry::config::TelemetrySettings;

/// The configuration, checked and complete.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect: `address:port`.
    pub listen: String,
    /// Where the operator's tools connect: `address:port`.
    pub operator_listen: String,
    /// TLS on the clients' listener; without it the listener speaks plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Who may ask.
    pub admission: admission::Settings,
    /// Why a listener that others reach may speak plain HTTP; without a reason it may not.
    pub plain_http: Option<String>,
    /// The appraisal policy.
    pub policy: PathBuf,
    /// Why a policy may admit evidence that it claims nothing about (`bound_to`); without a reason such a policy is refused.
    pub unbound_policy: Option<String>,
    /// Files and folders of endorsements, beside what evidence carries itself.
    pub endorsements: Vec<PathBuf>,
    /// The addresses of the instances, `host:port`. None where sources say them.
    pub instances: Vec<Address>,
    /// The sources of addresses beside the list.
    pub discovery: discovery::Settings,
    /// Ed25519 seed of the key that signs release receipts, 64 hexadecimal digits; without it a new key is made at every start.
    pub receipt_key: Option<PathBuf>,
    /// The public key that will sign release receipts next, 64 hexadecimal digits.
    pub next_receipt_key: Option<String>,
    /// The policy that clients are asked to hold instances against.
    pub client_policy: Option<PathBuf>,
    /// Between two channel checks of one address.
    pub reattest: Duration,
    /// How long a channel check counts.
    pub channel_age: Duration,
    /// Before an address that did not answer, or was rejected, is tried again.
    pub retry: Duration,
    /// Between two questions whether an instance takes requests.
    pub health: Duration,
    /// The longest manifest life that is accepted.
    pub max_manifest_life: Duration,
    /// How long a request is held when it does not say.
    pub hold: Duration,
    /// The longest hold that a request may ask for.
    pub max_hold: Duration,
    /// How much may be held.
    pub hold_limits: HoldLimits,
    /// The memory that clients may make the gateway keep.
    pub budget_bytes: u64,
    /// The largest sealed request, and the largest sealed answer.
    pub max_sealed_bytes: u64,
    /// Clients' connections at a time.
    pub max_connections: u64,
    /// Connections of the operator's tools at a time.
    pub max_operator_connections: u64,
    /// Requests at a time on one HTTP/2 connection of a client.
    pub max_streams: u64,
    /// Clients that wait for an instance at a time.
    pub max_long_polls: u64,
    /// Who may connect for others, and says for whom by the PROXY protocol, version 2.
    pub proxies: Proxies,
    /// TCP, TLS and HTTP/2 set-up towards an instance.
    pub connect_timeout: Duration,
    /// One answer with evidence.
    pub attest_timeout: Duration,
    /// A client's request head, and its TLS handshake.
    pub header_read_timeout: Duration,
    /// How a client has to send its request, and to take its answer.
    pub pace: Pace,
    /// From the last byte released to the end of the answer.
    pub answer_timeout: Duration,
    /// For requests in flight after SIGTERM.
    pub drain_timeout: Duration,
    /// The circuit breaker of an instance.
    pub breaker: BreakerLimits,
    /// How policy and endorsements are read again.
    pub reload: ReloadSettings,
    /// What has to outlive this process; without it that is forgotten.
    pub state_dir: Option<PathBuf>,
    /// Where refused evidence is kept; without it none is.
    pub refused_dir: Option<PathBuf>,
    /// How much of it.
    pub refused: RefusedLimits,
    /// When an instance is left out of offers.
    pub outliers: OutlierLimits,
    /// Asking the vendors.
    pub collateral: CollateralSettings,
    /// Spans and metrics over OTLP, if anybody receives them.
    pub telemetry: Option<TelemetrySettings>,
    /// As it was written, to tell what a reload does not take.
    written: toml::Table,
}

/// The keys and tables that a reload takes; everything else takes a restart.
pub const RELOADED: [&str; 10] = [
    "policy",
    "unbound_policy",
    "endorsements",
    "instances",
    "discovery",
    "reload",
    "admission",
    "tenant",
    "client_policy",
    "next_receipt_key",
];

impl Config {
    /// Reads and checks the file at `path`.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable { path: path.to_owned(), error })?;
        Self::parse(&text, path.parent().unwrap_or(Path::new("")))
    }

    /// Checks `text`; relative paths start from `folder`.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, ConfigError> {
        let file: File = toml::from_str(text).map_err(ConfigError::Shape)?;
        let written = toml::from_str(text).map_err(ConfigError::Shape)?;
        let mut instances = Vec::with_capacity(file.instances.len().min(MAX_INSTANCES));
        let discovery = file.discovery.check(file.instances.len()).map_err(ConfigError::Discovery)?;
        let is_nowhere = file.instances.is_empty() && !discovery.has_sources();
        if is_nowhere || file.instances.len() > MAX_INSTANCES {
            return Err(ConfigError::InstanceCount(file.instances.len()));
        }
        for text in file.instances {
            let address = Address::parse(&text).ok_or(ConfigError::Address(text))?;
            if instances.contains(&address) {
                return Err(ConfigError::AddressTwice(address));
            }
            instances.push(address);
        }
        if file.unbound_policy.as_ref().is_some_and(|reason| reason.trim().is_empty()) {
            return Err(ConfigError::Contradiction(
                "`unbound_policy` says nothing: expected the reason, which the log repeats",
            ));
        }
        if file.plain_http.as_ref().is_some_and(|reason| reason.trim().is_empty()) {
            return Err(ConfigError::Contradiction(
                "`plain_http` says nothing: expected the reason, which the log repeats",
            ));
        }
        let admission =
            admission::settle(file.admission, file.tenant, file.tls.is_some(), file.plain_http.is_some(), folder)
                .map_err(ConfigError::Admission)?;
        let network = |text: String| Network::parse(&text).ok_or(ConfigError::Proxy(text));
        let proxies = file.proxies.into_iter().map(network).collect::<Result<_, _>>()?;
        let seconds = |bound: Limit, given| take(bound, given).map(Duration::from_secs);
        let config = Self {
            listen: file.listen,
            operator_listen: file.operator_listen,
            tls: file.tls.map(|tls| TlsFiles { certificate: folder.join(tls.certificate), key: folder.join(tls.key) }),
            admission,
            plain_http: file.plain_http,
            policy: folder.join(file.policy),
            unbound_policy: file.unbound_policy,
            endorsements: file.endorsements.iter().map(|path| folder.join(path)).collect(),
            instances,
            discovery,
            receipt_key: file.receipt_key.map(|path| folder.join(path)),
            next_receipt_key: file.next_receipt_key,
            client_policy: file.client_policy.map(|path| folder.join(path)),
            reattest: seconds(REATTEST, file.reattest_seconds)?,
            channel_age: seconds(CHANNEL_AGE, file.channel_age_seconds)?,
            retry: seconds(RETRY, file.retry_seconds)?,
            max_manifest_life: seconds(MANIFEST_LIFE, file.max_manifest_life_seconds)?,
            hold: seconds(HOLD, file.hold.seconds)?,
            max_hold: seconds(MAX_HOLD, file.hold.max_seconds)?,
            hold_limits: HoldLimits {
                tenant_requests: take(TENANT_REQUESTS, file.hold.tenant_requests)?,
                tenant_bytes: take(TENANT_BYTES, file.hold.tenant_bytes)?,
            },
            budget_bytes: take(BUDGET, file.budget.bytes)?,
            max_sealed_bytes: take(SEALED_BODY, file.limits.sealed_body_bytes)?,
            max_connections: take(CONNECTIONS, file.limits.connections)?,
            max_operator_connections: take(OPERATOR_CONNECTIONS, file.limits.operator_connections)?,
            max_streams: take(STREAMS, file.limits.streams_per_connection)?,
            max_long_polls: take(LONG_POLLS, file.limits.long_polls)?,
            proxies: Proxies::new(proxies),
            health: seconds(HEALTH, file.health_seconds)?,
            connect_timeout: seconds(CONNECT, file.timeouts.connect_seconds)?,
            attest_timeout: seconds(ATTEST, file.timeouts.attest_seconds)?,
            header_read_timeout: seconds(HEADER_READ, file.timeouts.header_read_seconds)?,
            pace: Pace {
                window: seconds(BODY_IDLE, file.timeouts.body_idle_seconds)?,
                window_bytes: pace::WINDOW_BYTES,
                whole: seconds(UPLOAD, file.timeouts.upload_seconds)?,
            },
            answer_timeout: seconds(ANSWER, file.timeouts.answer_seconds)?,
            drain_timeout: seconds(DRAIN, file.timeouts.drain_seconds)?,
            breaker: BreakerLimits {
                failures: take(BREAKER_FAILURES, file.breaker.failures)?,
                open: seconds(BREAKER_OPEN, file.breaker.open_seconds)?,
            },
            reload: file.reload.resolve().map_err(ConfigError::OutOfBounds)?,
            state_dir: file.state_dir.map(|path| folder.join(path)),
            refused_dir: file.refused_dir.map(|path| folder.join(path)),
            refused: file.refused.resolve().map_err(ConfigError::OutOfBounds)?,
            outliers: file.outliers.check().map_err(ConfigError::OutOfBounds)?,
            collateral: file.collateral.resolve(folder).map_err(ConfigError::OutOfBounds)?,
            telemetry: file.telemetry.settle(folder).map_err(ConfigError::Telemetry)?,
            written,
        };
        if config.reattest > config.channel_age {
            return Err(ConfigError::Contradiction(
                "`reattest_seconds` is more than `channel_age_seconds`: every channel check would lapse before the next one",
            ));
        }
        if config.hold > config.max_hold {
            return Err(ConfigError::Contradiction(
                "`hold.seconds` is more than `hold.max_seconds`: the default must be allowed",
            ));
        }
        config.check_budget()?;
        Ok(config)
    }

    /// Connections of both listeners.
    pub fn all_connections(&self) -> u64 {
        self.max_connections.saturating_add(self.max_operator_connections)
    }

    /// The limits of this configuration, with the instances and the sources of `newer`: what a reload makes of them.
    pub fn with_places_of(&self, newer: &Self) -> Self {
        Self { instances: newer.instances.clone(), discovery: newer.discovery.clone(), ..self.clone() }
    }

    /// The budget has room for the floor of every connection, and beside them for the longest request: of which one connection
    /// may take half.
    fn check_budget(&self) -> Result<(), ConfigError> {
        let connections = self.all_connections();
        let floors = connections.saturating_mul(budget::FLOOR_BYTES);
        let needed = floors.saturating_add(self.max_sealed_bytes.saturating_mul(2));
        if self.budget_bytes >= needed {
            return Ok(());
        }
        Err(ConfigError::Budget { given: self.budget_bytes, needed, connections, sealed_body: self.max_sealed_bytes })
    }

    /// The keys that `newer` writes otherwise and that only a restart takes, in the order of their names.
    pub fn needs_restart(&self, newer: &Self) -> Vec<String> {
        let mut named = Vec::new();
        for key in changed(&self.written, &newer.written).filter(|key| !RELOADED.contains(&key.as_str())) {
            match (self.written.get(key), newer.written.get(key)) {
                (Some(toml::Value::Table(old)), Some(toml::Value::Table(new))) => {
                    named.extend(changed(old, new).map(|inner| format!("{key}.{inner}")));
                }
                _ => named.push(key.clone()),
            }
        }
        named.sort_unstable();
        named
    }
}

/// The keys of two tables that are not the same in both.
fn changed<'t>(old: &'t toml::Table, new: &'t toml::Table) -> impl Iterator<Item = &'t String> {
    let all = old.keys().chain(new.keys().filter(|key| !old.contains_key(*key)));
    all.filter(|key| old.get(*key) != new.get(*key))
}

fn take(bound: Limit, given: Option<u64>) -> Result<u64, ConfigError> {
    bound.resolve(given).map_err(ConfigError::OutOfBounds)
}

#[cfg(test)]
mod tests;
