//! What goes over the wire: those messages and fields of OTLP 1.x (`opentelemetry/proto/{common,resource,trace,metrics}/v1`) that
//! the gateway sends, and the one that it reads. Numbers of fields are those of the standard's `.proto` files; a test decodes
//! them with the types that OpenTelemetry generates from these.

use prost::{Message, Oneof};

use super::attribute::{Attribute, Value as Written};
use super::span::{Ended, Kind};

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`: since the start of the process.
const CUMULATIVE: i32 = 2;
/// `STATUS_CODE_ERROR`.
const ERROR: i32 = 2;
/// `SpanFlags`: it is known whether the parent is remote, and it is.
const KNOWS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// `ExportTraceServiceRequest`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Traces {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(string, tag = "3")]
    trace_state: String,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
    #[prost(fixed32, tag = "16")]
    flags: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "3")]
    code: i32,
}

/// `ExportMetricsServiceRequest`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AllMetrics {
    #[prost(message, repeated, tag = "1")]
    resource_metrics: Vec<ResourceMetrics>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceMetrics {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_metrics: Vec<ScopeMetrics>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeMetrics {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    metrics: Vec<Metric>,
}

/// One metric with all of its points.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Metric {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) description: String,
    #[prost(string, tag = "3")]
    pub(super) unit: String,
    #[prost(oneof = "Data", tags = "5, 7, 9")]
    pub(super) data: Option<Data>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Data {
    #[prost(message, tag = "5")]
    Gauge(Gauge),
    #[prost(message, tag = "7")]
    Sum(Sum),
    #[prost(message, tag = "9")]
    Histogram(Histogram),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Gauge {
    #[prost(message, repeated, tag = "1")]
    pub(super) points: Vec<Point>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Sum {
    #[prost(message, repeated, tag = "1")]
    points: Vec<Point>,
    #[prost(int32, tag = "2")]
    temporality: i32,
    #[prost(bool, tag = "3")]
    is_monotonic: bool,
}

impl Sum {
    /// What only grows from the start of the process.
    pub(super) fn counted(points: Vec<Point>) -> Self {
        Self { points, temporality: CUMULATIVE, is_monotonic: true }
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Histogram {
    #[prost(message, repeated, tag = "1")]
    points: Vec<HistogramPoint>,
    #[prost(int32, tag = "2")]
    temporality: i32,
}

impl Histogram {
    /// Observations from the start of the process on.
    pub(super) fn counted(points: Vec<HistogramPoint>) -> Self {
        Self { points, temporality: CUMULATIVE }
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Point {
    #[prost(fixed64, tag = "2")]
    pub(super) start_time_unix_nano: u64,
    #[prost(fixed64, tag = "3")]
    pub(super) time_unix_nano: u64,
    #[prost(oneof = "Number", tags = "4, 6")]
    pub(super) value: Option<Number>,
    #[prost(message, repeated, tag = "7")]
    pub(super) attributes: Vec<KeyValue>,
}

#[derive(Clone, Copy, PartialEq, Oneof)]
pub(super) enum Number {
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(sfixed64, tag = "6")]
    Int(i64),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct HistogramPoint {
    #[prost(fixed64, tag = "2")]
    pub(super) start_time_unix_nano: u64,
    #[prost(fixed64, tag = "3")]
    pub(super) time_unix_nano: u64,
    #[prost(fixed64, tag = "4")]
    pub(super) count: u64,
    #[prost(double, optional, tag = "5")]
    pub(super) sum: Option<f64>,
    /// One more than bounds: the last is of what lies above all of them.
    #[prost(fixed64, repeated, tag = "6")]
    pub(super) bucket_counts: Vec<u64>,
    #[prost(double, repeated, tag = "7")]
    pub(super) explicit_bounds: Vec<f64>,
    #[prost(message, repeated, tag = "9")]
    pub(super) attributes: Vec<KeyValue>,
}

/// Who sends.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "Any", tags = "1, 3, 5")]
    value: Option<Any>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Any {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(int64, tag = "3")]
    Number(i64),
    #[prost(message, tag = "5")]
    Array(Array),
}

#[derive(Clone, PartialEq, Message)]
struct Array {
    #[prost(message, repeated, tag = "1")]
    values: Vec<AnyValue>,
}

/// `ExportTraceServiceResponse` and `ExportMetricsServiceResponse`, which are written alike.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Answer {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    /// Spans, or points.
    #[prost(int64, tag = "1")]
    rejected: i64,
}

impl Answer {
    /// How many of `sent` the receiver did not take, by its own words. An answer that is not understood says nothing.
    pub(super) fn rejected(answer: &[u8], sent: u64) -> u64 {
        let partial = Self::decode(answer).ok().and_then(|answer| answer.partial_success);
        partial.map_or(0, |partial| u64::try_from(partial.rejected).unwrap_or(0).min(sent))
    }
}

impl KeyValue {
    pub(super) fn text(key: &str, text: &str) -> Self {
        Self { key: key.to_owned(), value: any(Any::Text(text.to_owned())) }
    }

    fn of(attribute: &Attribute) -> Self {
        let (key, value) = attribute.written();
        let value = match value {
            Written::Text(text) => Any::Text(text),
            Written::Number(number) => Any::Number(number),
            Written::Texts(texts) => {
                let values = texts.into_iter().map(|text| AnyValue { value: Some(Any::Text(text.to_owned())) });
                Any::Array(Array { values: values.collect() })
            }
        };
        Self { key: key.to_owned(), value: any(value) }
    }
}

fn any(value: Any) -> Option<AnyValue> {
    Some(AnyValue { value: Some(value) })
}

impl Resource {
    /// This process: `instance` tells it from every other one, and from itself after a restart.
    pub(super) fn new(service: &str, instance: &str) -> Self {
        let attributes = vec![
            KeyValue::text("service.name", service),
            KeyValue::text("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::text("service.instance.id", instance),
        ];
        Self { attributes }
    }
}

fn scope() -> Option<Scope> {
    Some(Scope { name: env!("CARGO_PKG_NAME").to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() })
}

/// These spans as one message.
pub(super) fn traces(resource: &Resource, spans: &[Ended]) -> Vec<u8> {
    let spans = spans.iter().map(span).collect();
    let scope_spans = vec![ScopeSpans { scope: scope(), spans }];
    Traces { resource_spans: vec![ResourceSpans { resource: Some(resource.clone()), scope_spans }] }.encode_to_vec()
}

/// These metrics as one message.
pub(super) fn metrics(resource: &Resource, metrics: Vec<Metric>) -> Vec<u8> {
    let scope_metrics = vec![ScopeMetrics { scope: scope(), metrics }];
    let resource_metrics = vec![ResourceMetrics { resource: Some(resource.clone()), scope_metrics }];
    AllMetrics { resource_metrics }.encode_to_vec()
}

fn span(ended: &Ended) -> Span {
    let remote = if ended.is_remote { IS_REMOTE } else { 0 };
    Span {
        trace_id: ended.trace.0.to_vec(),
        span_id: ended.span.0.to_vec(),
        trace_state: ended.state.clone().unwrap_or_default(),
        parent_span_id: ended.parent.map(|parent| parent.0.to_vec()).unwrap_or_default(),
        name: ended.name.written(),
        kind: match ended.kind {
            Kind::Internal => 1,
            Kind::Server => 2,
            Kind::Client => 3,
        },
        start_time_unix_nano: ended.start,
        end_time_unix_nano: ended.end,
        attributes: ended.attributes.iter().map(KeyValue::of).collect(),
        status: ended.is_failed.then_some(Status { code: ERROR }),
        flags: u32::from(ended.flags) | KNOWS_REMOTE | remote,
    }
}
