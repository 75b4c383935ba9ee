//! Every metric of the gateway, in one table: `docs/OPERATIONS.md` has the same rows, and a test holds the two together.

use prometheus_client::registry::Unit;

/// What kind of metric.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Only grows, from the start of the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Observations by their size.
    Histogram,
}

/// One metric.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// Its whole name, with the unit: `_seconds`, `_bytes`; a counter ends in `_total`.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// The names of its labels, in their order.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

impl Row {
    /// Name and unit apart, as OpenMetrics has them.
    pub(crate) fn parts(&self) -> (&'static str, Option<Unit>) {
        let name = self.name.strip_suffix("_total").unwrap_or(self.name);
        for (suffix, unit) in [("_seconds", Unit::Seconds), ("_bytes", Unit::Bytes)] {
            if let Some(base) = name.strip_suffix(suffix) {
                return (base, Some(unit));
            }
        }
        (name, None)
    }
}

macro_rules! table {
    ($($constant:ident, $kind:ident, $name:literal, [$($label:literal),*], $help:literal;)*) => {
        $(pub(crate) const $constant: Row = Row {
            name: concat!("teegate_gateway_", $name),
            kind: Kind::$kind,
            labels: &[$($label),*],
            help: $help,
        };)*

        /// Every metric.
        pub const METRICS: &[Row] = &[$($constant),*];
    };
}

table! {
    BUILD_INFO, Gauge, "build_info", ["version"], "always 1; the version of the gateway";
    READY, Gauge, "ready", [], "1 when a request could be released";
    POLICY_INFO, Gauge, "policy_info", ["name", "sha256"], "always 1; the policy in force, and SHA-256 of its file";
    POLICY_VERSION, Gauge, "policy_version", [], "policies taken into force by this process";
    POLICY_SINCE, Gauge, "policy_since_timestamp_seconds", [], "since when these bytes are the policy";
    RELOADS, Counter, "reload_total", ["outcome"], "reloads that were `taken` or `refused`";
    RELOAD_OK, Gauge, "config_last_reload_successful", [], "0 when the last reload was refused";
    RELOAD_AT, Gauge, "config_last_reload_success_timestamp_seconds", [], "the last reload that was taken, or the start";
    ADDRESSES, Gauge, "addresses", ["state"], "addresses of instances by state";
    INSTANCE_STATE, Gauge, "instance_state", ["address", "state"], "1 for the state of an address, 0 for the others";
    FAILED_CHECK, Gauge, "instance_failed_check", ["address", "check"], "1 for each check that refuses a rejected address now";
    ATTESTED, Gauge, "attested_seconds", ["address"], "until the proof of an address lapses, if it is not renewed; 0 without one";
    FULL, Gauge, "full", ["address"], "1 when the instance at an address says that it takes no more";
    IN_FLIGHT, Gauge, "in_flight", ["address"], "requests that an instance has and has not answered";
    BREAKER_OPEN, Gauge, "breaker_open", ["address"], "1 while the circuit breaker of an attested instance lets nothing through";
    FIRST_END, Gauge, "first_end_seconds", ["kind", "name"], "until the first statement ends that a proof in force rests on";
    NOT_AFTER, Gauge, "endorsement_not_after_timestamp_seconds", ["kind", "name"], "the end of each such statement";
    TLS_NOT_AFTER, Gauge, "tls_not_after_timestamp_seconds", [], "the end of the certificate that clients are shown; absent without TLS";
    TLS_OK, Gauge, "tls_last_reload_successful", [], "0 when the newest certificate or key on disk cannot be used; absent without TLS";
    JWKS_OK, Gauge, "jwks_current", [], "1 when the last question for the keys of tokens was answered with keys; absent without `jwks_url`";
    JWKS_LEFT, Gauge, "jwks_left_seconds", [], "until no token is taken any more, if nothing confirms their keys; 0 when none is";
    JWKS_ASKED, Counter, "jwks_total", ["outcome"], "questions for the keys of tokens that were `taken` or `failed`";
    FORECAST_END, Gauge, "forecast_end_timestamp_seconds", ["address", "check"], "when the evidence of an address will be refused by what is in hand, and by which check";
    CHECKS, Counter, "channel_check_total", ["address", "verdict"], "channel checks: `accepted`, `rejected`, `no-answer`";
    REFUSALS, Counter, "failed_check_total", ["check"], "refusals of evidence by check";
    CONFLICTS, Counter, "identity_conflict_total", [], "conflicts of identity seen";
    KEPT_REFUSED, Counter, "refused_kept_total", ["outcome"], "bundles of refused evidence: `kept`, or `failed` where they could not be written";
    INSTANCES, Gauge, "instances", ["measurement"], "attested instances by the measurement of their code";
    SOURCE_ADDRESSES, Gauge, "discovery_addresses", ["source"], "addresses that a source knows";
    SOURCE_CURRENT, Gauge, "discovery_current", ["source"], "1 when a source's last question was answered";
    SOURCE_DOUBTS, Counter, "discovery_doubt_total", ["source"], "times that a source stopped being sure";
    ASKED_VENDORS, Counter, "collateral_total", ["outcome"], "sets of documents that were to be asked of the vendors: `complete`, `incomplete` or `refused`";
    OUTLIERS, Counter, "outlier_total", ["reason"], "times that an instance was left out of offers: `failures` or `latency`";
    DENIED, Counter, "denied_total", ["why"], "requests that were not let in, by what was wrong with their credential";
    TENANT_REQUESTS, Gauge, "tenant_requests", ["tenant"], "requests that are relayed for a tenant now";
    TENANT_BYTES, Gauge, "tenant_bytes", ["tenant"], "of a tenant's requests and answers that are kept now";
    RELAYS, Counter, "relay_total", ["tenant", "outcome"], "relay requests: `answered`, or the name of their problem";
    CHALLENGED, Counter, "challenge_total", ["outcome"], "challenges of clients: `answered`, or the name of their problem";
    UPSTREAM, Counter, "upstream_total", ["address", "outcome"], "released requests by what came back";
    RELEASED, Counter, "released_bytes_total", [], "sealed bytes sent to instances";
    ANSWERED, Counter, "answered_bytes_total", [], "sealed bytes passed back to clients";
    HOLD_TIME, Histogram, "hold_seconds", [], "how long requests were held";
    ANSWER_TIME, Histogram, "answer_seconds", [], "first byte released to head of the answer";
    HELD_REQUESTS, Gauge, "held_requests", [], "requests that wait for release";
    HELD_BYTES, Gauge, "held_bytes", [], "sealed bytes that wait for release";
    KEPT, Gauge, "kept_bytes", [], "bytes that clients make the gateway keep";
    KEPT_LIMIT, Gauge, "kept_bytes_limit", [], "bytes that they may";
    POLLS, Gauge, "polls", [], "clients that wait for an instance";
    OPEN, Gauge, "connections", ["listener"], "connections that are open";
    SEATED, Counter, "connection_total", ["listener"], "connections that had a place";
    DISPLACED, Counter, "displaced_total", ["listener"], "connections that made room";
    NO_ROOM, Counter, "refused_total", ["listener"], "connections without room";
    TELEMETRY_EXPORTED, Counter, "telemetry_exported_total", ["signal"], "`spans` and points of `metrics` that the OTLP receiver has taken";
    TELEMETRY_DROPPED, Counter, "telemetry_dropped_total", ["signal", "reason"], "and those that are lost: the `queue` was full, the receiver `refused` them or was `unreachable`";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_their_units_and_stand_once() {
        let mut names: Vec<_> = METRICS.iter().map(|row| row.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), METRICS.len());
        for row in METRICS {
            assert_eq!(row.name.ends_with("_total"), row.kind == Kind::Counter, "{}", row.name);
        }
        assert_eq!(RELEASED.parts(), ("teegate_gateway_released", Some(Unit::Bytes)));
        assert_eq!(ATTESTED.parts(), ("teegate_gateway_attested", Some(Unit::Seconds)));
        assert_eq!(RELAYS.parts(), ("teegate_gateway_relay", None));
    }
}
