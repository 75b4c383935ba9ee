//! A receiver of OTLP that reads with another's types, and behaves as a test tells it to.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::PATIENCE;

/// A credential of `team-a`.
pub(super) const TOKEN: &str = "canary-token-of-team-a";

/// How it answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mood {
    Takes,
    /// With this status, and to be asked again after so many seconds.
    Says(u16, Option<&'static str>),
    /// It takes the message and never answers.
    Silent,
    /// 200, and a body without an end.
    Endless,
    /// It refuses so many.
    Partly(i64),
}

/// What came.
#[derive(Default)]
pub(super) struct Got {
    pub(super) spans: Vec<Span>,
    pub(super) traces: Vec<ExportTraceServiceRequest>,
    pub(super) metrics: Vec<ExportMetricsServiceRequest>,
    pub(super) heads: Vec<(String, HeaderMap)>,
    /// Every byte of every message, decoded or not.
    pub(super) bytes: Vec<u8>,
}

pub(super) struct Oracle {
    pub(super) address: SocketAddr,
    state: Arc<State>,
}

struct State {
    got: watch::Sender<Got>,
    mood: Mutex<Mood>,
}

type Body = Either<Full<Bytes>, Endless>;

struct Endless;

impl hyper::body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[0x0a; 4_096])))))
    }
}

impl Oracle {
    pub(super) async fn start() -> Self {
        Self::start_at(TcpListener::bind(("127.0.0.1", 0)).await.unwrap(), None)
    }

    pub(super) fn start_at(listener: TcpListener, tls: Option<TlsAcceptor>) -> Self {
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State { got: watch::channel(Got::default()).0, mood: Mutex::new(Mood::Takes) });
        let own = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (state, tls) = (Arc::clone(&own), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(tcp, state).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(tcp).await {
                                serve(stream, state).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, state }
    }

    pub(super) fn feels(&self, mood: Mood) {
        *self.state.mood.lock().unwrap() = mood;
    }

    /// Waits until what came satisfies `condition`, and looks at it.
    pub(super) async fn until<T>(&self, what: &str, look: impl Fn(&Got) -> Option<T>) -> T {
        let mut changes = self.state.got.subscribe();
        let looking = async {
            loop {
                if let Some(seen) = look(&changes.borrow_and_update()) {
                    return seen;
                }
                changes.changed().await.unwrap();
            }
        };
        let seen = tokio::time::timeout(PATIENCE, looking).await;
        seen.unwrap_or_else(|_| panic!("{what}: {:#?}", self.state.got.borrow().spans))
    }

    /// The spans of a trace, once the one of this name is among them.
    pub(super) async fn trace_with(&self, name: &str, of: impl Fn(&Span) -> bool) -> Vec<Span> {
        self.until(name, |got| {
            let last = got.spans.iter().find(|span| span.name == name && of(span))?;
            Some(got.spans.iter().filter(|span| span.trace_id == last.trace_id).cloned().collect())
        })
        .await
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, state: Arc<State>) {
    let service = service_fn(move |request| answer(request, Arc::clone(&state)));
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, state: Arc<State>) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return Ok(Response::new(Either::Left(Full::default()))) };
    let body = body.to_bytes();
    assert_eq!(head.method, "POST");
    assert_eq!(head.headers["content-type"], "application/x-protobuf");
    let mood = *state.mood.lock().unwrap();
    state.got.send_modify(|got| {
        let path = head.uri.path().to_owned();
        got.bytes.extend_from_slice(format!("{} {:?}", head.uri, head.headers).as_bytes());
        got.bytes.extend_from_slice(&body);
        if matches!(mood, Mood::Takes | Mood::Partly(_) | Mood::Endless) {
            match path.as_str() {
                "/v1/traces" => {
                    let traces = ExportTraceServiceRequest::decode(&*body).unwrap();
                    let scopes = traces.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
                    got.spans.extend(scopes.flat_map(|scope| scope.spans.iter().cloned()));
                    got.traces.push(traces);
                }
                "/v1/metrics" => got.metrics.push(ExportMetricsServiceRequest::decode(&*body).unwrap()),
                other => panic!("{other}"),
            }
        }
        got.heads.push((path, head.headers.clone()));
    });
    let whole = |body: Vec<u8>| Response::new(Either::Left(Full::new(Bytes::from(body))));
    Ok(match mood {
        Mood::Takes => whole(Vec::new()),
        Mood::Says(status, after) => {
            let mut answer = whole(b"not this time".to_vec());
            *answer.status_mut() = http::StatusCode::from_u16(status).unwrap();
            if let Some(after) = after {
                answer.headers_mut().insert("retry-after", http::HeaderValue::from_static(after));
            }
            answer
        }
        Mood::Silent => std::future::pending().await,
        Mood::Endless => Response::new(Either::Right(Endless)),
        Mood::Partly(rejected_spans) => {
            let partial = ExportTracePartialSuccess { rejected_spans, error_message: "canary of the receiver".into() };
            whole(ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec())
        }
    })
}

/// An attribute as text.
fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::ArrayValue(array)) => {
            array.values.iter().map(|value| text(Some(value))).collect::<Vec<_>>().join(",")
        }
        other => panic!("{other:?}"),
    }
}

/// Attributes by their names, of which none stands twice.
pub(super) fn attributes(of: &[KeyValue]) -> BTreeMap<String, String> {
    let map: BTreeMap<_, _> = of.iter().map(|pair| (pair.key.clone(), text(pair.value.as_ref()))).collect();
    assert_eq!(map.len(), of.len(), "{of:?}");
    map
}
