//! What the operator's tools may count: OpenMetrics, which Prometheus reads. `prometheus-client` counts and writes; which metrics
//! there are is said in one table ([`METRICS`]).
//!
//! Labels are words of this program (outcomes, check ids, tenants), addresses of instances, and names out of authenticated
//! statements and of the policy. No byte of a request, of an answer or of a client's header can become one, and their number is
//! bounded.

mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::{MetricType, gauge};
use prometheus_client::registry::{Metric, Registry};

pub(crate) use self::table::*;
pub use self::table::{Kind, METRICS, Row};
use crate::config::Address;

/// The media type of what is written.
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Labels with their names.
type Labels = Vec<(&'static str, String)>;
type Counters = Family<Labels, Counter>;
type Open = gauge::Gauge<u64, AtomicU64>;

/// Upper bounds of the histograms' buckets, in seconds.
const BUCKETS: [f64; 12] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 120.0];

/// All counters of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    relays: Counters,
    challenges: Counters,
    checks: Counters,
    failed_checks: Counters,
    upstream: Counters,
    sealed_in: Counter,
    sealed_out: Counter,
    conflicts: Counter,
    open: Family<Labels, Open>,
    accepted: Counters,
    displaced: Counters,
    refused: Counters,
    held: Histogram,
    answered: Histogram,
    kept_refused: Counters,
    denied: Counters,
    outliers: Counters,
    asked_vendors: Counters,
    /// Under which words each address was counted: those of `upstream`, and those of `checks`.
    counted: Mutex<BTreeMap<Address, BTreeSet<(bool, &'static str)>>>,
    source_addresses: Family<Labels, Open>,
    source_current: Family<Labels, Open>,
    source_doubts: Counters,
    telemetry_exported: Counters,
    telemetry_dropped: Counters,
}

/// One of the two listeners.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Listener {
    /// The clients'.
    Clients,
    /// The operator's.
    Operator,
}

impl Listener {
    fn labels(self) -> Labels {
        let name = match self {
            Self::Clients => "clients",
            Self::Operator => "operator",
        };
        labels(&OPEN, [name])
    }
}

/// What is read when it is asked for: a row of the table, and one value for each set of labels.
#[derive(Clone, Debug)]
pub struct Gauge {
    row: &'static Row,
    values: Vec<(Labels, u64)>,
}

impl Gauge {
    /// One value without labels.
    pub fn single(row: &'static Row, value: u64) -> Self {
        Self { row, values: vec![(Vec::new(), value)] }
    }

    /// Values by labels, which stand in the order of the row.
    pub fn family<const N: usize>(row: &'static Row, values: impl IntoIterator<Item = ([String; N], u64)>) -> Self {
        let values = values.into_iter().map(|(values, value)| (labels(row, values), value)).collect();
        Self { row, values }
    }
}

fn labels<const N: usize, T: Into<String>>(row: &Row, values: [T; N]) -> Labels {
    debug_assert_eq!(row.labels.len(), N, "{}", row.name);
    row.labels.iter().copied().zip(values.map(Into::into)).collect()
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let (open, accepted, displaced, refused) =
            (Family::<Labels, Open>::default(), Counters::default(), Counters::default(), Counters::default());
        for listener in [Listener::Clients, Listener::Operator] {
            let labels = listener.labels();
            let _ = open.get_or_create(&labels);
            for family in [&accepted, &displaced, &refused] {
                let _ = family.get_or_create(&labels);
            }
        }
        register(&mut registry, &OPEN, &open);
        let histogram = || Histogram::new(BUCKETS);
        Self {
            relays: registered(&mut registry, &RELAYS, Counters::default()),
            challenges: registered(&mut registry, &CHALLENGED, Counters::default()),
            checks: registered(&mut registry, &CHECKS, Counters::default()),
            failed_checks: registered(&mut registry, &REFUSALS, Counters::default()),
            upstream: registered(&mut registry, &UPSTREAM, Counters::default()),
            sealed_in: registered(&mut registry, &RELEASED, Counter::default()),
            sealed_out: registered(&mut registry, &ANSWERED, Counter::default()),
            conflicts: registered(&mut registry, &CONFLICTS, Counter::default()),
            denied: registered(&mut registry, &DENIED, Counters::default()),
            kept_refused: registered(&mut registry, &KEPT_REFUSED, Counters::default()),
            asked_vendors: registered(&mut registry, &ASKED_VENDORS, Counters::default()),
            outliers: registered(&mut registry, &OUTLIERS, Counters::default()),
            counted: Mutex::default(),
            source_addresses: registered(&mut registry, &SOURCE_ADDRESSES, Family::default()),
            source_current: registered(&mut registry, &SOURCE_CURRENT, Family::default()),
            source_doubts: registered(&mut registry, &SOURCE_DOUBTS, Counters::default()),
            accepted: registered(&mut registry, &SEATED, accepted),
            displaced: registered(&mut registry, &DISPLACED, displaced),
            refused: registered(&mut registry, &NO_ROOM, refused),
            telemetry_exported: registered(&mut registry, &TELEMETRY_EXPORTED, Counters::default()),
            telemetry_dropped: registered(&mut registry, &TELEMETRY_DROPPED, Counters::default()),
            held: registered(&mut registry, &HOLD_TIME, histogram()),
            answered: registered(&mut registry, &ANSWER_TIME, histogram()),
            open,
            registry,
        }
    }
}

fn registered<M: Metric + Clone>(registry: &mut Registry, row: &Row, metric: M) -> M {
    register(registry, row, &metric);
    metric
}

fn register<M: Metric + Clone>(registry: &mut Registry, row: &Row, metric: &M) {
    match row.parts() {
        (name, None) => registry.register(name, row.help, metric.clone()),
        (name, Some(unit)) => registry.register_with_unit(name, row.help, unit, metric.clone()),
    }
}

impl Metrics {
    /// A relay request ended: `answered`, or the name of its problem.
    pub fn relayed(&self, tenant: &'static str, outcome: &'static str) {
        self.relays.get_or_create(&labels(&RELAYS, [tenant, outcome])).inc();
    }

    /// A challenge of a client ended: `answered`, or the name of its problem.
    pub fn challenged(&self, outcome: &'static str) {
        self.challenges.get_or_create(&labels(&CHALLENGED, [outcome])).inc();
    }

    /// A request was not let in, for this reason.
    pub fn denied(&self, why: &'static str) {
        self.denied.get_or_create(&labels(&DENIED, [why])).inc();
    }

    /// A channel check ended: `accepted`, `rejected` or `no-answer`.
    pub fn checked(&self, address: &Address, verdict: &'static str) {
        self.count_address(address, false, verdict);
    }

    /// A check refused evidence.
    pub fn failed_check(&self, check: &'static str) {
        self.failed_checks.get_or_create(&labels(&REFUSALS, [check])).inc();
    }

    /// An instance answered a released request: `answered`, `lost` or `deadline`.
    pub fn upstream(&self, address: &Address, outcome: &'static str) {
        self.count_address(address, true, outcome);
    }

    /// Forgets what was counted of addresses that `is_there` does not know: they come and go, and their number must stay bounded.
    pub fn keep_addresses(&self, is_there: impl Fn(&Address) -> bool) {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner).retain(|address, words| {
            let stays = is_there(address);
            for (is_upstream, word) in words.iter().filter(|_| !stays) {
                let (family, row) = self.of_addresses(*is_upstream);
                family.remove(&labels(row, [address.as_str(), word]));
            }
            stays
        });
    }

    /// Counts something of an address, and remembers under which word.
    fn count_address(&self, address: &Address, is_upstream: bool, word: &'static str) {
        let (family, row) = self.of_addresses(is_upstream);
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        match counted.get_mut(address) {
            Some(words) => {
                words.insert((is_upstream, word));
            }
            None => {
                counted.insert(address.clone(), BTreeSet::from([(is_upstream, word)]));
            }
        }
        family.get_or_create(&labels(row, [address.as_str(), word])).inc();
    }

    fn of_addresses(&self, is_upstream: bool) -> (&Counters, &'static Row) {
        if is_upstream { (&self.upstream, &UPSTREAM) } else { (&self.checks, &CHECKS) }
    }

    /// An instance is left out of what clients are offered: `failures` or `latency`.
    pub fn left_out(&self, reason: &'static str) {
        self.outliers.get_or_create(&labels(&OUTLIERS, [reason])).inc();
    }

    /// A source of addresses knows so many, and that is or is not its newest answer.
    pub fn discovered(&self, source: &str, addresses: u64, is_current: bool) {
        self.source_addresses.get_or_create(&labels(&SOURCE_ADDRESSES, [source])).set(addresses);
        self.source_current.get_or_create(&labels(&SOURCE_CURRENT, [source])).set(is_current.into());
        // A counter that is there from the beginning can be seen to grow.
        let _ = self.source_doubts.get_or_create(&labels(&SOURCE_DOUBTS, [source]));
    }

    /// A source of addresses is followed no more.
    pub fn undiscovered(&self, source: &str) {
        self.source_addresses.remove(&labels(&SOURCE_ADDRESSES, [source]));
        self.source_current.remove(&labels(&SOURCE_CURRENT, [source]));
        self.source_doubts.remove(&labels(&SOURCE_DOUBTS, [source]));
    }

    /// A source of addresses that was sure is not any more.
    pub fn doubted(&self, source: &str) {
        self.source_doubts.get_or_create(&labels(&SOURCE_DOUBTS, [source])).inc();
    }

    /// Sealed bytes were released to an instance.
    pub fn released_bytes(&self, count: u64) {
        self.sealed_in.inc_by(count);
    }

    /// Sealed bytes of an answer were passed on.
    pub fn answered_bytes(&self, count: u64) {
        self.sealed_out.inc_by(count);
    }

    /// Two parties claimed one identity.
    pub fn conflicted(&self) {
        self.conflicts.inc();
    }

    /// Refused evidence was `kept` as a bundle, or keeping it `failed`.
    pub fn kept_refused(&self, outcome: &'static str) {
        self.kept_refused.get_or_create(&labels(&KEPT_REFUSED, [outcome])).inc();
    }

    /// A set of documents was asked of the vendors: it is `complete`, `incomplete`, or the question was `refused`.
    pub fn asked_vendors(&self, outcome: &'static str) {
        self.asked_vendors.get_or_create(&labels(&ASKED_VENDORS, [outcome])).inc();
    }

    /// A connection has a place.
    pub fn seated(&self, listener: Listener) {
        self.accepted.get_or_create(&listener.labels()).inc();
        self.open.get_or_create(&listener.labels()).inc();
    }

    /// It has ended.
    pub fn left(&self, listener: Listener) {
        self.open.get_or_create(&listener.labels()).dec();
    }

    /// A connection had to make room for another.
    pub fn displaced(&self, listener: Listener) {
        self.displaced.get_or_create(&listener.labels()).inc();
    }

    /// No room could be made for a connection.
    pub fn refused(&self, listener: Listener) {
        self.refused.get_or_create(&listener.labels()).inc();
    }

    /// Telemetry is exported from now on: what counts it is there, and can be seen to grow.
    pub(crate) fn telemetry_begins(&self) {
        for signal in ["spans", "metrics"] {
            self.telemetry_exported(signal, 0);
            for reason in ["queue", "refused", "unreachable"] {
                self.telemetry_dropped(signal, reason, 0);
            }
        }
    }

    /// So many `spans`, or points of `metrics`, have arrived.
    pub(crate) fn telemetry_exported(&self, signal: &'static str, count: u64) {
        self.telemetry_exported.get_or_create(&labels(&TELEMETRY_EXPORTED, [signal])).inc_by(count);
    }

    /// So many are lost: `queue`, `refused` or `unreachable`.
    pub(crate) fn telemetry_dropped(&self, signal: &'static str, reason: &'static str, count: u64) {
        self.telemetry_dropped.get_or_create(&labels(&TELEMETRY_DROPPED, [signal, reason])).inc_by(count);
    }

    /// How long a request was held.
    pub fn held(&self, time: Duration) {
        self.held.observe(time.as_secs_f64());
    }

    /// How long an instance took from the first byte released to the head of its answer.
    pub fn answered_after(&self, time: Duration) {
        self.answered.observe(time.as_secs_f64());
    }

    /// OpenMetrics, with `gauges` first.
    pub fn render(&self, gauges: &[Gauge]) -> String {
        use prometheus_client::encoding::text::{encode, encode_registry};
        let mut read = Registry::default();
        read.register_collector(Box::new(Read(gauges.to_vec())));
        let mut text = String::with_capacity(8_192);
        // Writing into a string does not fail.
        let _ = encode_registry(&mut text, &read);
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// What was read for one answer, in the order of the table.
#[derive(Debug)]
struct Read(Vec<Gauge>);

impl Collector for Read {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for Gauge { row, values } in &self.0 {
            let (name, unit) = row.parts();
            let is_counter = row.kind == Kind::Counter;
            let kind = if is_counter { MetricType::Counter } else { MetricType::Gauge };
            let mut metric = encoder.encode_descriptor(name, row.help, unit.as_ref(), kind)?;
            for (labels, value) in values {
                match is_counter {
                    true => ConstCounter::new(*value).encode(metric.encode_family(labels)?)?,
                    false => ConstGauge::new(*value).encode(metric.encode_family(labels)?)?,
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_gauges_are_written_in_the_text_format() {
        let metrics = Metrics::default();
        metrics.relayed("default", "answered");
        metrics.relayed("default", "answered");
        metrics.checked(&Address::parse("[::1]:1").unwrap(), "rejected");
        metrics.answered_after(Duration::from_millis(5));
        metrics.seated(Listener::Clients);
        let hostile = ["a\"b\\c\nd".to_owned(), "4f".to_owned()];
        let text = metrics.render(&[
            Gauge::single(&READY, 1),
            Gauge::single(&KEPT, 7),
            Gauge::family(&POLICY_INFO, [(hostile, 1)]),
        ]);
        for expected in [
            "# TYPE teegate_gateway_ready gauge\nteegate_gateway_ready 1\n",
            "# UNIT teegate_gateway_kept_bytes bytes\nteegate_gateway_kept_bytes 7\n",
            "teegate_gateway_policy_info{name=\"a\\\"b\\\\c\\nd\",sha256=\"4f\"} 1\n",
            "# TYPE teegate_gateway_relay counter\n",
            "teegate_gateway_relay_total{tenant=\"default\",outcome=\"answered\"} 2\n",
            "teegate_gateway_channel_check_total{address=\"[::1]:1\",verdict=\"rejected\"} 1\n",
            "teegate_gateway_connections{listener=\"clients\"} 1\n",
            "teegate_gateway_connections{listener=\"operator\"} 0\n",
            "teegate_gateway_released_bytes_total 0\n",
            "teegate_gateway_answer_seconds_bucket{le=\"0.001\"} 0\n",
            "teegate_gateway_answer_seconds_bucket{le=\"0.005\"} 1\n",
            "teegate_gateway_answer_seconds_bucket{le=\"+Inf\"} 1\n",
            "teegate_gateway_answer_seconds_sum 0.005\n",
        ] {
            assert!(text.contains(expected), "{expected} is not in:\n{text}");
        }
        assert!(text.ends_with("\n# EOF\n"), "{text}");
    }
}
