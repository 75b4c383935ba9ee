//! The metrics: what arrives is what `/metrics` answers, line by line, and all of the table.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, NumberDataPoint};

use super::oracle::{Oracle, attributes};
use super::*;
use crate::metrics::{Kind, METRICS};
use crate::operator::tests::follows_keys;
use crate::tls::Certificates;
use crate::tls::tests::{Pair, files};
use crate::trust::Distrust;

/// The lines of the text format that a point stands for, with their labels in alphabetical order.
fn line(name: &str, labels: &BTreeMap<String, String>, value: &str) -> String {
    let labels: Vec<_> = labels.iter().map(|(label, value)| format!("{label}={value:?}")).collect();
    format!("{name}{{{}}} {value}", labels.join(","))
}

fn of_number(name: &str, point: &NumberDataPoint) -> String {
    let value = match point.value.unwrap() {
        Value::AsInt(number) => number.to_string(),
        Value::AsDouble(number) => format!("{number:?}"),
    };
    line(name, &attributes(&point.attributes), &value)
}

fn of_histogram(name: &str, point: &HistogramDataPoint) -> Vec<String> {
    let none = BTreeMap::new();
    assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
    let bounds = point.explicit_bounds.iter().map(|bound| format!("{bound:?}")).chain(["+Inf".to_owned()]);
    let mut so_far = 0;
    let mut lines = vec![
        line(&format!("{name}_count"), &none, &point.count.to_string()),
        line(&format!("{name}_sum"), &none, &format!("{:?}", point.sum.unwrap())),
    ];
    for (bound, count) in bounds.zip(&point.bucket_counts) {
        so_far += count;
        lines.push(line(&format!("{name}_bucket"), &[("le".to_owned(), bound)].into(), &so_far.to_string()));
    }
    assert_eq!(so_far, point.count);
    lines
}

/// A line of the text format, written likewise.
fn ordered(text: &str) -> String {
    let (series, value) = text.rsplit_once(' ').unwrap();
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let mut labels: Vec<&str> = labels.trim_end_matches('}').split("\",").filter(|pair| !pair.is_empty()).collect();
    labels.sort_unstable();
    let labels: Vec<String> = labels.iter().map(|pair| format!("{}\"", pair.trim_end_matches('"'))).collect();
    format!("{name}{{{}}} {value}", labels.join(","))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_of_the_table_arrives_with_the_value_of_the_text() {
    let oracle = Oracle::start().await;
    let Stage { mut gateway, enclave, address, exporting, _shutdown } = Stage::honest(&oracle, 79, "").await;
    exporting.end().await;
    drop((address, _shutdown));
    let folder = tempfile::tempdir().unwrap();
    let pair = files(folder.path());
    Pair::until(2030).write(&pair);
    let metrics = Arc::clone(&gateway.metrics);
    let refused = Distrust {
        checks: vec!["snp.policy.debug"],
        explanation: String::new(),
        failed: [].into(),
        tls_spki: teegate_protocol::manifest::SpkiDigest([9; 32]),
    };
    gateway.fleet.reject(&elsewhere(), &refused, 1);
    metrics.failed_check("snp.policy.debug");
    metrics.relayed("a \"quoted\" \\ name", "answered");
    metrics.challenged("answered");
    metrics.upstream(&enclave.address, "answered");
    metrics.kept_refused("kept");
    metrics.discovered("list", 1, true);
    metrics.left_out("latency");
    metrics.denied("no-credential");
    metrics.asked_vendors("complete");
    metrics.held(Duration::from_millis(3));
    metrics.held(Duration::from_secs(700));
    metrics.answered_after(Duration::from_millis(40));
    let certificates = Certificates::load(&pair).unwrap();
    gateway = with_certificates(gateway, certificates);
    follows_keys(&mut gateway);

    let oracle = Oracle::start().await;
    let settings = TelemetrySettings { metrics: PATIENCE, ..settings(oracle.address, "") };
    let (_tracer, queue) = Tracer::new(&settings, oracle.address, Arc::clone(&metrics));
    let written = Arc::new(Mutex::new(String::new()));
    let copy = Arc::clone(&written);
    let exporting = export(Receiver::load(&settings).unwrap(), queue, metrics, move || {
        let text = gateway.metrics_text();
        copy.lock().unwrap().clone_from(&text);
        text
    });
    exporting.end().await;
    let request = oracle.until("metrics", |got| got.metrics.first().cloned()).await;
    let decoded = &request.resource_metrics[0].scope_metrics[0].metrics;
    let mut lines = BTreeSet::new();
    for metric in decoded {
        let row = METRICS.iter().find(|row| row.name == metric.name).unwrap();
        assert_eq!(metric.description, row.help);
        let unit = match metric.name.trim_end_matches("_total") {
            name if name.ends_with("_seconds") => "s",
            name if name.ends_with("_bytes") => "By",
            _ => "",
        };
        assert_eq!(metric.unit, unit, "{}", metric.name);
        match (metric.data.as_ref().unwrap(), row.kind) {
            (Data::Gauge(gauge), Kind::Gauge) => {
                lines.extend(gauge.data_points.iter().map(|point| of_number(row.name, point)));
            }
            (Data::Sum(sum), Kind::Counter) => {
                assert!(sum.is_monotonic && sum.aggregation_temporality == 2);
                assert!(sum.data_points.iter().all(|point| point.start_time_unix_nano <= point.time_unix_nano
                    && point.start_time_unix_nano > 1_700_000_000_000_000_000));
                lines.extend(sum.data_points.iter().map(|point| of_number(row.name, point)));
            }
            (Data::Histogram(histogram), Kind::Histogram) => {
                assert_eq!(histogram.aggregation_temporality, 2);
                lines.extend(histogram.data_points.iter().flat_map(|point| of_histogram(row.name, point)));
            }
            (other, kind) => panic!("{}: {kind:?} is {other:?}", metric.name),
        }
    }
    let text = written.lock().unwrap().clone();
    let expected: BTreeSet<String> = text.lines().filter(|line| !line.starts_with('#')).map(ordered).collect();
    assert!(expected.len() > 80);
    assert_eq!(lines, expected);
    let arrived: Vec<&str> = decoded.iter().map(|metric| metric.name.as_str()).collect();
    let all: Vec<&str> = METRICS.iter().map(|row| row.name).collect();
    assert_eq!(arrived, all, "all of the table, in its order");
}

fn with_certificates(gateway: Arc<Gateway>, certificates: Arc<Certificates>) -> Arc<Gateway> {
    let mut gateway = gateway;
    // The tasks of the stage end one after the other.
    loop {
        match Arc::try_unwrap(gateway) {
            Ok(alone) => return Arc::new(Gateway { certificates: Some(certificates), ..alone }),
            Err(shared) => {
                gateway = shared;
                std::thread::yield_now();
            }
        }
    }
}
