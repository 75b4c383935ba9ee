//! What the operator's tools may count: the Prometheus text format, version 0.0.4.
//!
//! Labels are `&'static str` (outcomes, check ids, names of configured tenants) or configured addresses, so no byte of a request, of an answer
//! or of a client's header can become one, and their number is bounded.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::config::Address;

/// All counters of the process.
#[derive(Debug, Default)]
pub struct Metrics {
    relays: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    checks: Mutex<BTreeMap<(Address, &'static str), u64>>,
    failed_checks: Mutex<BTreeMap<&'static str, u64>>,
    upstream: Mutex<BTreeMap<(Address, &'static str), u64>>,
    denied: Mutex<BTreeMap<&'static str, u64>>,
    sealed_in: AtomicU64,
    sealed_out: AtomicU64,
    conflicts: AtomicU64,
    clients: Places,
    operator: Places,
    held: Histogram,
    answered: Histogram,
}

/// One of the two listeners.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Listener {
    /// The clients'.
    Clients,
    /// The operator's.
    Operator,
}

/// What became of the connections of one listener.
#[derive(Debug, Default)]
struct Places {
    open: AtomicU64,
    accepted: AtomicU64,
    displaced: AtomicU64,
    refused: AtomicU64,
}

/// A gauge that is read when it is asked for.
#[derive(Clone, Debug)]
pub struct Gauge {
    /// The metric's name.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// One value for each set of labels; the labels are in the text format already, or empty.
    pub values: Vec<(String, u64)>,
}

impl Gauge {
    /// One value without labels.
    pub fn single(name: &'static str, help: &'static str, value: u64) -> Self {
        Self { name, help, values: vec![(String::new(), value)] }
    }
}

impl Metrics {
    /// A relay request ended: `answered`, or the name of its problem.
    pub fn relayed(&self, tenant: &'static str, outcome: &'static str) {
        add(&self.relays, (tenant, outcome), 1);
    }

    /// A request was not let in, for this reason.
    pub fn denied(&self, why: &'static str) {
        add(&self.denied, why, 1);
    }

    /// A channel check ended: `accepted`, `rejected` or `no-answer`.
    pub fn checked(&self, address: &Address, verdict: &'static str) {
        add(&self.checks, (address.clone(), verdict), 1);
    }

    /// A check refused evidence.
    pub fn failed_check(&self, check: &'static str) {
        add(&self.failed_checks, check, 1);
    }

    /// An instance answered a released request: `answered`, `lost` or `deadline`.
    pub fn upstream(&self, address: &Address, outcome: &'static str) {
        add(&self.upstream, (address.clone(), outcome), 1);
    }

    /// Sealed bytes were released to an instance.
    pub fn released_bytes(&self, count: u64) {
        self.sealed_in.fetch_add(count, Ordering::Relaxed);
    }

    /// Sealed bytes of an answer were passed on.
    pub fn answered_bytes(&self, count: u64) {
        self.sealed_out.fetch_add(count, Ordering::Relaxed);
    }

    /// Two parties claimed one identity.
    pub fn conflicted(&self) {
        self.conflicts.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection has a place.
    pub fn seated(&self, listener: Listener) {
        self.places(listener).accepted.fetch_add(1, Ordering::Relaxed);
        self.places(listener).open.fetch_add(1, Ordering::Relaxed);
    }

    /// It has ended.
    pub fn left(&self, listener: Listener) {
        self.places(listener).open.fetch_sub(1, Ordering::Relaxed);
    }

    /// A connection had to make room for another.
    pub fn displaced(&self, listener: Listener) {
        self.places(listener).displaced.fetch_add(1, Ordering::Relaxed);
    }

    /// No room could be made for a connection.
    pub fn refused(&self, listener: Listener) {
        self.places(listener).refused.fetch_add(1, Ordering::Relaxed);
    }

    fn places(&self, listener: Listener) -> &Places {
        match listener {
            Listener::Clients => &self.clients,
            Listener::Operator => &self.operator,
        }
    }

    /// How long a request was held.
    pub fn held(&self, time: Duration) {
        self.held.observe(time);
    }

    /// How long an instance took from the first byte released to the head of its answer.
    pub fn answered_after(&self, time: Duration) {
        self.answered.observe(time);
    }

    /// The text format, with `gauges` first.
    pub fn render(&self, gauges: &[Gauge]) -> String {
        let mut text = String::with_capacity(4_096);
        for gauge in gauges {
            head(&mut text, gauge.name, "gauge", gauge.help);
            for (labels, value) in &gauge.values {
                line(&mut text, gauge.name, labels, *value);
            }
        }
        counters(
            &mut text,
            "teegate_gateway_relay_total",
            "relay requests by outcome",
            &self.relays,
            |(tenant, outcome)| labels(&[("tenant", tenant), ("outcome", outcome)]),
        );
        counters(
            &mut text,
            "teegate_gateway_channel_check_total",
            "channel checks by verdict",
            &self.checks,
            |(address, verdict)| labels(&[("address", address.as_str()), ("verdict", verdict)]),
        );
        counters(
            &mut text,
            "teegate_gateway_failed_check_total",
            "refusals of evidence by check",
            &self.failed_checks,
            |check| labels(&[("check", check)]),
        );
        counters(
            &mut text,
            "teegate_gateway_upstream_total",
            "released requests by what came back",
            &self.upstream,
            |(address, outcome)| labels(&[("address", address.as_str()), ("outcome", outcome)]),
        );
        counters(
            &mut text,
            "teegate_gateway_denied_total",
            "requests that were not let in, by what was wrong with their credential",
            &self.denied,
            |why| labels(&[("why", why)]),
        );
        let (clients, operator) = (&self.clients, &self.operator);
        for (name, kind, help, of_clients, of_operator) in [
            ("connections", "gauge", "connections that are open", &clients.open, &operator.open),
            ("connection_total", "counter", "connections that had a place", &clients.accepted, &operator.accepted),
            ("displaced_total", "counter", "connections that made room", &clients.displaced, &operator.displaced),
            ("refused_total", "counter", "connections without room", &clients.refused, &operator.refused),
        ] {
            let name = format!("teegate_gateway_{name}");
            head(&mut text, &name, kind, help);
            for (listener, value) in [("clients", of_clients), ("operator", of_operator)] {
                line(&mut text, &name, &labels(&[("listener", listener)]), value.load(Ordering::Relaxed));
            }
        }
        for (name, help, value) in [
            ("teegate_gateway_released_bytes_total", "sealed bytes sent to instances", &self.sealed_in),
            ("teegate_gateway_answered_bytes_total", "sealed bytes passed back to clients", &self.sealed_out),
            ("teegate_gateway_identity_conflict_total", "conflicts of identity seen", &self.conflicts),
        ] {
            head(&mut text, name, "counter", help);
            line(&mut text, name, "", value.load(Ordering::Relaxed));
        }
        self.held.render(&mut text, "teegate_gateway_hold_seconds", "how long requests were held");
        self.answered.render(&mut text, "teegate_gateway_answer_seconds", "first byte released to head of the answer");
        text
    }
}

/// One or more labels in the text format.
pub fn labels(pairs: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        let separator = if text.is_empty() { "" } else { "," };
        // The values are configured or compiled in; escaping them keeps the format whole all the same.
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = write!(text, "{separator}{name}=\"{value}\"");
    }
    text
}

/// Upper bounds of the histograms' buckets, in milliseconds.
const BUCKETS_MS: [u64; 12] = [1, 5, 10, 25, 50, 100, 250, 500, 1_000, 5_000, 30_000, 120_000];

#[derive(Debug, Default)]
struct Histogram {
    buckets: [AtomicU64; BUCKETS_MS.len()],
    count: AtomicU64,
    sum_us: AtomicU64,
}

impl Histogram {
    fn observe(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        for (bucket, most) in self.buckets.iter().zip(BUCKETS_MS) {
            if micros <= most * 1_000 {
                bucket.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(micros, Ordering::Relaxed);
    }

    fn render(&self, text: &mut String, name: &str, help: &str) {
        head(text, name, "histogram", help);
        for (bucket, most) in self.buckets.iter().zip(BUCKETS_MS) {
            let le = format!("le=\"{}.{:03}\"", most / 1_000, most % 1_000);
            line(text, &format!("{name}_bucket"), &le, bucket.load(Ordering::Relaxed));
        }
        let count = self.count.load(Ordering::Relaxed);
        line(text, &format!("{name}_bucket"), "le=\"+Inf\"", count);
        let sum = self.sum_us.load(Ordering::Relaxed);
        let _ = writeln!(text, "{name}_sum {}.{:06}", sum / 1_000_000, sum % 1_000_000);
        line(text, &format!("{name}_count"), "", count);
    }
}

fn add<K: Ord>(family: &Mutex<BTreeMap<K, u64>>, key: K, more: u64) {
    let mut family = family.lock().unwrap_or_else(PoisonError::into_inner);
    let count = family.entry(key).or_default();
    *count = count.saturating_add(more);
}

fn counters<K: Ord>(
    text: &mut String,
    name: &str,
    help: &str,
    family: &Mutex<BTreeMap<K, u64>>,
    labels: impl Fn(&K) -> String,
) {
    head(text, name, "counter", help);
    for (key, value) in family.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        line(text, name, &labels(key), *value);
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(text: &mut String, name: &str, labels: &str, value: u64) {
    let _ =
        if labels.is_empty() { writeln!(text, "{name} {value}") } else { writeln!(text, "{name}{{{labels}}} {value}") };
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
        let text = metrics.render(&[Gauge::single("teegate_gateway_ready", "1 when ready", 1)]);
        for expected in [
            "# TYPE teegate_gateway_ready gauge\nteegate_gateway_ready 1\n",
            "teegate_gateway_relay_total{tenant=\"default\",outcome=\"answered\"} 2\n",
            "teegate_gateway_channel_check_total{address=\"[::1]:1\",verdict=\"rejected\"} 1\n",
            "teegate_gateway_answer_seconds_bucket{le=\"0.001\"} 0\n",
            "teegate_gateway_answer_seconds_bucket{le=\"0.005\"} 1\n",
            "teegate_gateway_answer_seconds_bucket{le=\"+Inf\"} 1\n",
            "teegate_gateway_answer_seconds_sum 0.005000\n",
        ] {
            assert!(text.contains(expected), "{expected} is not in:\n{text}");
        }
    }
}
