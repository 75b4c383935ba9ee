//! The metrics as OTLP has them, read from the very text that `/metrics` answers: so the two cannot say different things.
//!
//! The text is the gateway's own (`metrics.rs`), and its names are looked up in the one table of metrics. A counter becomes a
//! cumulative, monotonic sum, a histogram one with explicit bounds; names stay as they are.

use std::collections::BTreeMap;

use super::message::{Data, Gauge, Histogram, HistogramPoint, KeyValue, Metric, Number, Point, Sum};
use crate::metrics::{Kind, METRICS, Row};

/// Since when it was counted, and when it was read: nanoseconds since 1970.
#[derive(Clone, Copy)]
pub(super) struct Times {
    pub(super) start: u64,
    pub(super) now: u64,
}

/// Labels with their values, in the order of the text.
type Labels = Vec<(String, String)>;

/// Every metric of `text` that has a value, in the order of the table, and how many points that is.
pub(super) fn read(text: &str, times: Times) -> (Vec<Metric>, u64) {
    let samples: Vec<Sample> = text.lines().filter_map(Sample::parse).collect();
    let mut points = 0_u64;
    let metrics = METRICS.iter().filter_map(|row| {
        let (data, count) = data_of(row, &samples, times)?;
        points = points.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        let unit = match row.parts().1 {
            Some(prometheus_client::registry::Unit::Seconds) => "s",
            Some(_) => "By",
            None => "",
        };
        Some(Metric {
            name: row.name.to_owned(),
            description: row.help.to_owned(),
            unit: unit.to_owned(),
            data: Some(data),
        })
    });
    let metrics = metrics.collect();
    (metrics, points)
}

fn data_of(row: &Row, samples: &[Sample], times: Times) -> Option<(Data, usize)> {
    if row.kind == Kind::Histogram {
        let points = histograms(row.name, samples, times);
        let count = points.len();
        return (count > 0).then(|| (Data::Histogram(Histogram::counted(points)), count));
    }
    let own = samples.iter().filter(|sample| sample.name == row.name);
    let is_counter = row.kind == Kind::Counter;
    let point = |sample: &Sample| Point {
        start_time_unix_nano: if is_counter { times.start } else { 0 },
        time_unix_nano: times.now,
        value: number(&sample.value),
        attributes: attributes(&sample.labels),
    };
    let points: Vec<Point> = own.map(point).collect();
    let count = points.len();
    let data = if is_counter { Data::Sum(Sum::counted(points)) } else { Data::Gauge(Gauge { points }) };
    (count > 0).then_some((data, count))
}

fn number(text: &str) -> Option<Number> {
    text.parse().map(Number::Int).ok().or_else(|| text.parse().map(Number::Double).ok())
}

fn attributes(labels: &Labels) -> Vec<KeyValue> {
    labels.iter().map(|(name, value)| KeyValue::text(name, value)).collect()
}

/// The histograms of one name, by their labels. In the text each bucket counts those below it too.
fn histograms(name: &str, samples: &[Sample], times: Times) -> Vec<HistogramPoint> {
    let mut found: BTreeMap<Labels, HistogramPoint> = BTreeMap::new();
    for sample in samples {
        let Some(part) = sample.name.strip_prefix(name) else { continue };
        let (bound, labels): (Labels, Labels) = sample.labels.iter().cloned().partition(|(name, _)| name == "le");
        let point = || HistogramPoint {
            start_time_unix_nano: times.start,
            time_unix_nano: times.now,
            attributes: attributes(&labels),
            ..HistogramPoint::default()
        };
        match part {
            "_count" => found.entry(labels.clone()).or_insert_with(point).count = sample.value.parse().unwrap_or(0),
            "_sum" => found.entry(labels.clone()).or_insert_with(point).sum = sample.value.parse().ok(),
            "_bucket" => {
                let point = found.entry(labels.clone()).or_insert_with(point);
                let below: u64 = point.bucket_counts.iter().fold(0, |sum, count| sum.saturating_add(*count));
                let so_far: u64 = sample.value.parse().unwrap_or(0);
                point.bucket_counts.push(so_far.saturating_sub(below));
                let bound: Option<f64> = bound.first().and_then(|(_, bound)| bound.parse().ok());
                point.explicit_bounds.extend(bound.filter(|bound| bound.is_finite()));
            }
            _ => {}
        }
    }
    found.into_values().collect()
}

/// One line of the text.
struct Sample {
    name: String,
    labels: Labels,
    value: String,
}

impl Sample {
    /// `name{label="value",…} value`; nothing for a remark.
    fn parse(line: &str) -> Option<Self> {
        if line.starts_with('#') {
            return None;
        }
        let end = line.find(['{', ' '])?;
        let (name, rest) = line.split_at_checked(end)?;
        let mut labels = Labels::new();
        let mut rest = rest;
        if let Some(inside) = rest.strip_prefix('{') {
            rest = inside;
            while !rest.starts_with('}') {
                let (label, quoted) = rest.split_once("=\"")?;
                let (value, after) = unquoted(quoted)?;
                labels.push((label.to_owned(), value));
                rest = after.strip_prefix(',').unwrap_or(after);
            }
            rest = rest.strip_prefix('}')?;
        }
        let value = rest.strip_prefix(' ')?.to_owned();
        Some(Self { name: name.to_owned(), labels, value })
    }
}

/// The value of a label up to its quotation mark, and what comes after that.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.chars();
    loop {
        match characters.next()? {
            '"' => return Some((value, characters.as_str())),
            '\\' => value.push(match characters.next()? {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let read = |line: &str| Sample::parse(line).map(|Sample { name, labels, value }| (name, labels, value));
        let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(read("a 1"), Some(("a".into(), vec![], "1".into())));
        assert_eq!(read("a{b=\"c\"} 1.5"), Some(("a".into(), vec![label("b", "c")], "1.5".into())));
        assert_eq!(
            read("a{b=\"x\\\"},{\\\\ \\n\",c=\"\"} 2"),
            Some(("a".into(), vec![label("b", "x\"},{\\ \n"), label("c", "")], "2".into()))
        );
        for none in ["# TYPE a gauge", "", "a", "a{b=\"c} 1", "a{b 1"] {
            assert!(read(none).is_none(), "{none}");
        }
    }
}
