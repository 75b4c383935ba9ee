//! `[telemetry]`: who receives, how much, how often. Without `otlp_endpoint` there is none of it.
//!
//! The environment variables of OpenTelemetry's own programs are not read: the configuration is one file, which `--print-config`
//! shows whole.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use teegate_protocol::limits::{Limit, OutOfBounds};

pub use super::endpoint::{Endpoint, NoEndpoint};

const fn bound(name: &'static str, default: u64, least: u64, most: u64) -> Limit {
    Limit { name, default, least, most }
}

const SAMPLE: Limit = bound("telemetry.sample_per_million", 1_000_000, 0, 1_000_000);
const METRICS: Limit = bound("telemetry.metrics_seconds", 60, 1, 3_600);
const SPANS: Limit = bound("telemetry.spans_seconds", 5, 1, 60);
const QUEUE: Limit = bound("telemetry.queue_spans", 2_048, 16, 65_536);
const TIMEOUT: Limit = bound("telemetry.timeout_seconds", 10, 1, 60);

/// The numbers of this table.
pub const BOUNDS: &[Limit] = &[SAMPLE, METRICS, SPANS, QUEUE, TIMEOUT];

/// What the receiver calls this gateway when the configuration does not say.
const SERVICE: &str = "teegate-gateway";
/// The longest such name.
const MOST_NAME: usize = 255;

/// The table, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TelemetrySettings {
    /// Who receives.
    pub endpoint: Endpoint,
    /// A file of header fields for it.
    pub headers: Option<PathBuf>,
    /// The CA certificates by which it is recognised, PEM; those of the machine where it is not said.
    pub ca: Option<PathBuf>,
    /// `service.name`.
    pub service_name: String,
    /// Whether a client decides which of its requests are sampled.
    pub trust_parent: bool,
    /// Of a million requests so many are sampled, where the client does not decide.
    pub sample_per_million: u64,
    /// Between two exports of the metrics.
    pub metrics: Duration,
    /// The longest that a span which has ended waits for others.
    pub spans: Duration,
    /// Spans that wait.
    pub queue: usize,
    /// One export, and all that is left at the end of the process.
    pub timeout: Duration,
}

/// The table cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TelemetryError {
    /// A number.
    OutOfBounds(OutOfBounds),
    /// The receiver.
    Endpoint(NoEndpoint),
    /// This key says something of a receiver, and none is named.
    NoReceiver(&'static str),
    /// The credential would go over an open network.
    HeadersInClear,
    /// CA certificates for a receiver that has none.
    CaWithoutTls,
    /// The name of the service.
    Name,
}

impl fmt::Display for TelemetryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfBounds(OutOfBounds { limit: Limit { name, least, most, .. }, value }) => {
                write!(f, "`{name} = {value}` is out of bounds: expected {least} to {most}")
            }
            Self::Endpoint(error) => error.fmt(f),
            Self::NoReceiver(key) => {
                write!(f, "`telemetry.{key}` is set and `telemetry.otlp_endpoint` is not: nothing would be sent anywhere")
            }
            Self::HeadersInClear => f.write_str(
                "`telemetry.headers` would go over plain HTTP to another machine: expected `https://` in \
                 `telemetry.otlp_endpoint`, or a receiver on loopback",
            ),
            Self::CaWithoutTls => {
                f.write_str("`telemetry.ca` is set and `telemetry.otlp_endpoint` is not `https://`: nobody would be recognised by it")
            }
            Self::Name => {
                write!(f, "`telemetry.service_name` is no name: expected 1 to {MOST_NAME} bytes without control characters")
            }
        }
    }
}

/// `[telemetry]` as written.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TelemetryTable {
    otlp_endpoint: Option<String>,
    headers: Option<PathBuf>,
    ca: Option<PathBuf>,
    service_name: Option<String>,
    trust_parent: Option<bool>,
    sample_per_million: Option<u64>,
    metrics_seconds: Option<u64>,
    spans_seconds: Option<u64>,
    queue_spans: Option<u64>,
    timeout_seconds: Option<u64>,
}

impl TelemetryTable {
    /// What is said of telemetry, if there is to be any; relative paths start from `folder`. Numbers are checked all the same: they
    /// stand in what `--print-config` shows.
    pub(crate) fn settle(self, folder: &Path) -> Result<Option<TelemetrySettings>, TelemetryError> {
        let take = |bound: Limit, given| bound.resolve(given).map_err(TelemetryError::OutOfBounds);
        let seconds = |bound, given| take(bound, given).map(Duration::from_secs);
        let sample_per_million = take(SAMPLE, self.sample_per_million)?;
        let metrics = seconds(METRICS, self.metrics_seconds)?;
        let spans = seconds(SPANS, self.spans_seconds)?;
        let queue = usize::try_from(take(QUEUE, self.queue_spans)?).unwrap_or(usize::MAX);
        let timeout = seconds(TIMEOUT, self.timeout_seconds)?;
        let Some(endpoint) = self.otlp_endpoint else {
            let said = [
                ("headers", self.headers.is_some()),
                ("ca", self.ca.is_some()),
                ("service_name", self.service_name.is_some()),
                ("trust_parent", self.trust_parent == Some(true)),
            ];
            let said = said.iter().find(|(_, is_said)| *is_said);
            return said.map_or(Ok(None), |(key, _)| Err(TelemetryError::NoReceiver(key)));
        };
        let endpoint = Endpoint::parse(&endpoint).map_err(TelemetryError::Endpoint)?;
        if self.headers.is_some() && !endpoint.is_https && !endpoint.is_loopback() {
            return Err(TelemetryError::HeadersInClear);
        }
        if self.ca.is_some() && !endpoint.is_https {
            return Err(TelemetryError::CaWithoutTls);
        }
        let service_name = self.service_name.unwrap_or_else(|| SERVICE.to_owned());
        let is_plain = !service_name.chars().any(char::is_control);
        if service_name.trim().is_empty() || service_name.len() > MOST_NAME || !is_plain {
            return Err(TelemetryError::Name);
        }
        Ok(Some(TelemetrySettings {
            endpoint,
            headers: self.headers.map(|path| folder.join(path)),
            ca: self.ca.map(|path| folder.join(path)),
            service_name,
            trust_parent: self.trust_parent.unwrap_or(false),
            sample_per_million,
            metrics,
            spans,
            queue,
            timeout,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(text: &str) -> Result<Option<TelemetrySettings>, TelemetryError> {
        toml::from_str::<TelemetryTable>(text).unwrap().settle(Path::new("/etc/teegate"))
    }

    #[test]
    fn it_is_off_unless_a_receiver_is_named() {
        assert_eq!(settled(""), Ok(None));
        assert_eq!(settled("queue_spans = 16\ntrust_parent = false"), Ok(None));
        let settings = settled("otlp_endpoint = 'http://127.0.0.1:4318'\nheaders = 'h'").unwrap().unwrap();
        assert_eq!(settings.headers.as_deref(), Some(Path::new("/etc/teegate/h")));
        assert_eq!((settings.sample_per_million, settings.trust_parent), (1_000_000, false));
        assert_eq!((settings.service_name.as_str(), settings.queue), ("teegate-gateway", 2_048));
        assert!(settled("otlp_endpoint = 'https://elsewhere'\nheaders = 'h'\nca = 'c'").unwrap().is_some());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, why) in [
            ("headers = 'h'", "`telemetry.headers` is set and `telemetry.otlp_endpoint` is not"),
            ("ca = 'c'", "`telemetry.ca` is set"),
            ("service_name = 'n'", "`telemetry.service_name` is set"),
            ("trust_parent = true", "`telemetry.trust_parent` is set"),
            ("queue_spans = 15", "`telemetry.queue_spans = 15` is out of bounds: expected 16 to 65536"),
            ("otlp_endpoint = 'collector:4317'", "`telemetry.otlp_endpoint` is not understood"),
            ("otlp_endpoint = 'http://elsewhere'\nheaders = 'h'", "plain HTTP to another machine"),
            ("otlp_endpoint = 'http://127.0.0.1:1'\nca = 'c'", "is not `https://`"),
            ("otlp_endpoint = 'http://127.0.0.1:1'\nservice_name = ' '", "is no name"),
            ("otlp_endpoint = 'http://127.0.0.1:1'\nservice_name = \"a\\nb\"", "is no name"),
        ] {
            let error = settled(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        let misspelt = toml::from_str::<TelemetryTable>("otlp_endpoints = ''").err().unwrap();
        assert!(misspelt.message().contains("unknown field `otlp_endpoints`"), "{misspelt}");
    }
}
