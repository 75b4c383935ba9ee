//! Spans: what the rest of the gateway holds while something happens, and what is left of it when that is over.
//!
//! Where nothing is recorded (no `[telemetry]`, or a request that was not sampled) a [`Span`] is one empty pointer: nothing is
//! allocated, no clock is read, and what would be noted is not even made. Where it is, dropping a span ends it and puts it into
//! the queue, or counts it as dropped where that is full. Nothing here waits.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use http::{Method, Request, Version};
use tokio::sync::mpsc;

use super::attribute::Attribute;
use super::config::TelemetrySettings;
use super::context::{self, OWN_FLAGS, Parent, SpanId, TraceId};
use super::sampler::Sampler;
use crate::metrics::Metrics;

/// Most attributes that one span has, to make room for them once.
const USUAL_ATTRIBUTES: usize = 14;

macro_rules! tasks {
    ($($variant:ident, $name:literal, $kind:ident, $help:literal;)*) => {
        /// What a span that is no client's request speaks of.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Task {
            $(#[doc = $help] $variant,)*
        }

        /// The name of every span but those of clients' requests, and what it speaks of.
        pub const SPANS: &[(&str, &str)] = &[$(($name, $help)),*];

        impl Task {
            fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            fn kind(self) -> Kind {
                match self { $(Self::$variant => Kind::$kind,)* }
            }
        }
    };
}

tasks! {
    Upload, "upload", Internal, "from the head of a sealed request to its last byte";
    Hold, "hold", Internal, "a request waits for its instance to be attested";
    Relay, "relay", Client, "from the choice of an instance to the head of its answer, one for each try";
    Answer, "answer", Internal, "from there to the end of the answer, or of the client's patience";
    Attest, "attest", Internal, "one round of attestation of an address: a trace of its own";
    Link, "link", Client, "in it: TCP, TLS and HTTP/2";
    Evidence, "evidence", Client, "in it: a question for evidence, channel or epoch";
    Judge, "judge", Internal, "in it: the verdict, with what the vendors are asked for it";
    Reload, "reload", Internal, "policy, endorsements and instances are read again: a trace of its own";
    Collateral, "collateral", Client, "a set of documents is asked of the vendors: a trace of its own";
}

/// OTLP's `SpanKind`, as far as it is needed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Internal,
    Server,
    Client,
}

/// The name of a span.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Name {
    /// A client's request: method and route.
    Request(&'static str, Option<&'static str>),
    /// Anything else.
    Task(Task),
}

impl Name {
    pub(super) fn written(self) -> String {
        match self {
            Self::Request(method, Some(route)) => format!("{method} {route}"),
            Self::Request("_OTHER", None) => "HTTP".to_owned(),
            Self::Request(method, None) => method.to_owned(),
            Self::Task(task) => task.name().to_owned(),
        }
    }

    fn kind(self) -> Kind {
        match self {
            Self::Request(..) => Kind::Server,
            Self::Task(task) => task.kind(),
        }
    }
}

/// A span that has ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Ended {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    pub(super) flags: u8,
    pub(super) parent: Option<SpanId>,
    /// The parent is a client's.
    pub(super) is_remote: bool,
    pub(super) state: Option<String>,
    pub(super) name: Name,
    pub(super) kind: Kind,
    /// Nanoseconds since 1970.
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) attributes: Vec<Attribute>,
    pub(super) is_failed: bool,
}

/// Where spans wait to be sent.
pub struct Queue(pub(super) mpsc::Receiver<Ended>);

/// Begins spans, or does not.
#[derive(Clone, Default)]
pub struct Tracer(Option<Arc<Recorder>>);

struct Recorder {
    sampler: Sampler,
    server: SocketAddr,
    queue: mpsc::Sender<Ended>,
    metrics: Arc<Metrics>,
}

impl Recorder {
    fn send(&self, ended: Ended) {
        if self.queue.try_send(ended).is_err() {
            self.metrics.telemetry_dropped("spans", "queue", 1);
        }
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tracer({})", if self.0.is_some() { "on" } else { "off" })
    }
}

impl Tracer {
    /// One that records by these settings, for a gateway that listens at `server`; and the queue that it fills.
    pub fn new(settings: &TelemetrySettings, server: SocketAddr, metrics: Arc<Metrics>) -> (Self, Queue) {
        let (queue, waiting) = mpsc::channel(settings.queue);
        let sampler = Sampler { per_million: settings.sample_per_million, trusts_parent: settings.trust_parent };
        (Self(Some(Arc::new(Recorder { sampler, server, queue, metrics }))), Queue(waiting))
    }

    /// Whether anything is recorded at all.
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The span of a client's request, in the trace that its head names, if it is to be recorded.
    pub(crate) fn request<B>(&self, request: &Request<B>, route: Option<&'static str>, scheme: &'static str) -> Span {
        let Some(recorder) = &self.0 else { return Span::default() };
        let parent = Parent::of(request.headers());
        if !recorder.sampler.takes(parent) {
            return Span::default();
        }
        let method = method(request.method());
        let (trace, flags) = match parent {
            Some(parent) => (Some(parent.trace), parent.flags()),
            None => (TraceId::random(), OWN_FLAGS),
        };
        let Some(trace) = trace else { return Span::default() };
        let lineage = Lineage(Some(Within {
            recorder: Arc::clone(recorder),
            trace,
            flags,
            span: parent.map(|parent| parent.span),
        }));
        let mut span = lineage.begin(Name::Request(method, route));
        if let Some(active) = span.0.as_deref_mut() {
            active.ended.is_remote = parent.is_some();
            // Text of a stranger's is taken over where strangers decide nothing else either: nowhere.
            active.ended.state =
                parent.filter(|_| recorder.sampler.trusts_parent).and_then(|_| context::state_of(request.headers()));
            let attributes = &mut active.ended.attributes;
            attributes.push(Attribute::Method(method));
            attributes.push(Attribute::Scheme(scheme));
            if let Some(route) = route {
                attributes.push(Attribute::Route(route));
                attributes.push(Attribute::Path(route));
            }
            if let Some(version) = version(request.version()) {
                attributes.push(Attribute::Version(version));
            }
            attributes.push(Attribute::ServerAddress(recorder.server.ip()));
            attributes.push(Attribute::ServerPort(recorder.server.port()));
        }
        span
    }

    /// The span of something that the gateway does by itself: a trace of its own, always recorded.
    pub fn begin(&self, task: Task) -> Span {
        let Some(recorder) = &self.0 else { return Span::default() };
        let Some(trace) = TraceId::random() else { return Span::default() };
        let within = Within { recorder: Arc::clone(recorder), trace, flags: OWN_FLAGS, span: None };
        Lineage(Some(within)).begin(Name::Task(task))
    }
}

/// The methods of RFC 9110 and RFC 5789; another's name is a client's text.
fn method(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("_OTHER")
}

fn version(version: Version) -> Option<&'static str> {
    match version {
        Version::HTTP_10 => Some("1.0"),
        Version::HTTP_11 => Some("1.1"),
        Version::HTTP_2 => Some("2"),
        _ => None,
    }
}

/// Whose children spans are: the span that is recorded here, if one is.
#[derive(Clone, Default)]
pub(crate) struct Lineage(Option<Within>);

#[derive(Clone)]
struct Within {
    recorder: Arc<Recorder>,
    trace: TraceId,
    flags: u8,
    span: Option<SpanId>,
}

impl fmt::Debug for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lineage({})", if self.0.is_some() { "recorded" } else { "none" })
    }
}

impl Lineage {
    /// A child.
    pub(crate) fn child(&self, task: Task) -> Span {
        self.begin(Name::Task(task))
    }

    fn begin(&self, name: Name) -> Span {
        let Some(Within { recorder, trace, flags, span: parent }) = &self.0 else { return Span::default() };
        let Some(span) = SpanId::random() else { return Span::default() };
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let ended = Ended {
            trace: *trace,
            span,
            flags: *flags,
            parent: *parent,
            is_remote: false,
            state: None,
            name,
            kind: name.kind(),
            start: nanoseconds(since_epoch),
            end: 0,
            attributes: Vec::with_capacity(if name.kind() == Kind::Server { USUAL_ATTRIBUTES } else { 4 }),
            is_failed: false,
        };
        Span(Some(Box::new(Active { recorder: Arc::clone(recorder), began: Instant::now(), ended })))
    }
}

fn nanoseconds(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Something that happens, until this is dropped.
#[derive(Default)]
pub struct Span(Option<Box<Active>>);

struct Active {
    recorder: Arc<Recorder>,
    began: Instant,
    ended: Ended,
}

impl Drop for Active {
    fn drop(&mut self) {
        let took = nanoseconds(self.began.elapsed());
        let ended = Ended {
            end: self.ended.start.saturating_add(took),
            attributes: std::mem::take(&mut self.ended.attributes),
            state: self.ended.state.take(),
            ..self.ended
        };
        let is_settled = ended.attributes.iter().any(|attribute| matches!(attribute, Attribute::Status(_)));
        self.recorder.send(match ended.kind {
            // The client went before it was answered.
            Kind::Server if !is_settled => {
                let mut ended = ended;
                ended.attributes.push(Attribute::Error("abandoned"));
                ended
            }
            _ => ended,
        });
    }
}

impl Span {
    /// Notes something, which is made only where it is kept.
    pub(crate) fn note(&mut self, attribute: impl FnOnce() -> Attribute) {
        if let Some(active) = &mut self.0 {
            active.ended.attributes.push(attribute());
        }
    }

    /// It did not go well, for this reason.
    pub fn failed(&mut self, error: &'static str) {
        if let Some(active) = &mut self.0 {
            active.ended.is_failed = true;
            active.ended.attributes.push(Attribute::Error(error));
        }
    }

    /// How it ended.
    pub fn ended(&mut self, outcome: &'static str) {
        self.note(|| Attribute::Outcome(outcome));
    }

    /// A client was answered so. A mistake of the client's is no failure of the server's.
    pub(crate) fn answered(&mut self, status: u16, problem: Option<&'static str>) {
        self.note(|| Attribute::Status(status));
        if let Some(problem) = problem {
            self.note(|| Attribute::Problem(problem));
            if status >= 500 { self.failed(problem) } else { self.note(|| Attribute::Error(problem)) }
        } else if status >= 500 {
            self.failed("enclave");
        }
    }

    /// Whose children its children are.
    pub(crate) fn lineage(&self) -> Lineage {
        let within = |active: &Active| Within {
            recorder: Arc::clone(&active.recorder),
            trace: active.ended.trace,
            flags: active.ended.flags,
            span: Some(active.ended.span),
        };
        Lineage(self.0.as_deref().map(within))
    }

    /// A child.
    pub(crate) fn child(&self, task: Task) -> Self {
        if self.0.is_some() { self.lineage().child(task) } else { Self::default() }
    }

    /// Its trace, for the log.
    pub(crate) fn trace(&self) -> Option<String> {
        self.0.as_deref().map(|active| active.ended.trace.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_that_is_not_recorded_is_nothing_and_makes_nothing() {
        assert_eq!(size_of::<Span>(), size_of::<usize>());
        let request = Request::post("/v1/relay").body(()).unwrap();
        let mut span = Tracer::default().request(&request, None, "http");
        assert!(span.0.is_none() && Tracer::default().begin(Task::Reload).0.is_none());
        span.note(|| panic!("nobody keeps it"));
        span.answered(500, Some("internal"));
        assert!(span.child(Task::Hold).0.is_none() && span.lineage().0.is_none() && span.trace().is_none());
    }

    #[test]
    fn a_method_is_a_word_of_http_or_other() {
        assert_eq!(method(&Method::POST), "POST");
        assert_eq!(method(&Method::from_bytes(b"HUNTER2").unwrap()), "_OTHER");
        assert_eq!(Name::Request("_OTHER", None).written(), "HTTP");
        assert_eq!(Name::Request("GET", Some("/v1/instances")).written(), "GET /v1/instances");
    }
}
