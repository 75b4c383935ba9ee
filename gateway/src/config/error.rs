//! Why a configuration cannot be used, in words for whoever wrote it.

use std::fmt;
use std::path::PathBuf;

use teegate_protocol::limits::{Limit, OutOfBounds};

use super::address::Address;
use crate::admission::config::AdmissionError;
use crate::budget;
use crate::discovery::config::DiscoveryError;
use crate::telemetry::config::TelemetryError;

/// At most so many addresses of instances.
pub(super) const MAX_INSTANCES: usize = 1_024;

/// The configuration cannot be used.
#[derive(Debug)]
pub enum ConfigError {
    /// A file that it needs cannot be read.
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It is not TOML, or not of the expected shape; the message names line and key.
    Shape(toml::de::Error),
    /// A number is outside its range.
    OutOfBounds(OutOfBounds),
    /// An address of an instance is not `host:port`.
    Address(String),
    /// The same address stands twice.
    AddressTwice(Address),
    /// There are too many addresses, or none.
    InstanceCount(usize),
    /// The sources of addresses cannot be used.
    Discovery(DiscoveryError),
    /// A proxy is no address and no prefix.
    Proxy(String),
    /// The memory for clients does not go round.
    Budget {
        /// What is configured.
        given: u64,
        /// What the other limits need.
        needed: u64,
        /// Connections, of clients and of the operator.
        connections: u64,
        /// The longest request.
        sealed_body: u64,
    },
    /// What is said of admission.
    Admission(AdmissionError),
    /// What is said of telemetry.
    Telemetry(TelemetryError),
    /// Two numbers contradict each other.
    Contradiction(&'static str),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, error } => write!(f, "cannot read `{}`: {error}", path.display()),
            Self::Shape(error) => write!(f, "the configuration is not understood: {error}"),
            Self::OutOfBounds(OutOfBounds { limit: Limit { name, least, most, .. }, value }) => {
                write!(f, "`{name} = {value}` is out of bounds: expected {least} to {most}")
            }
            Self::Address(text) => {
                write!(f, "instance `{text}` is not an address: expected `host:port`, for example `10.0.0.7:8443`")
            }
            Self::Proxy(text) => {
                write!(
                    f,
                    "proxy `{text}` is not understood: expected an address or a prefix, `10.0.0.7` or `10.0.0.0/24`"
                )
            }
            Self::Budget { given, needed, connections, sealed_body } => write!(
                f,
                "`budget.bytes = {given}` is too little: {connections} connections (`limits.connections` and \
                 `limits.operator_connections`) of {} bytes each, and twice `limits.sealed_body_bytes = {sealed_body}`, need \
                 {needed}",
                budget::FLOOR_BYTES
            ),
            Self::AddressTwice(address) => write!(f, "instance `{address}` is listed twice: remove one"),
            Self::InstanceCount(0) => write!(
                f,
                "0 instances are listed: expected 1 to {MAX_INSTANCES} in `instances`, or where to look in `[discovery]`"
            ),
            Self::InstanceCount(count) => write!(f, "{count} instances are listed: expected 1 to {MAX_INSTANCES}"),
            Self::Discovery(error) => error.fmt(f),
            Self::Admission(error) => error.fmt(f),
            Self::Telemetry(error) => error.fmt(f),
            Self::Contradiction(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for ConfigError {}
