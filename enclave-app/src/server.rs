//! The listener: TLS 1.3 with our own key, and the five paths that exist outside the seal.
//!
//! There are no tickets, no resumption and no early data, so that every connection has its own handshake under the key
//! that the manifest names, and its own exporter. `POST /attest` binds evidence to the exporter of the connection *it
//! arrived on*; a hop that terminates TLS in between has another one, and cannot work. Nothing about a request is
//! trusted out here: headers choose nothing, sizes are checked before memory is used, and every wait has an end.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use teegate_protocol::binding::{Exporter, Nonce};
use teegate_protocol::headers::{
    ATTEST_PATH, CMW_JSON, ENVELOPE_PATH, HEALTH_PATH, OHTTP_KEYS, OHTTP_KEYS_PATH, OHTTP_PATH, OHTTP_REQUEST,
    OHTTP_RESPONSE, PROBLEM_JSON,
};
use teegate_protocol::limits::HEADER_BLOCK_BYTES;
use teegate_protocol::problem::{Problem, ProblemKind};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::attester::AttesterError;
use crate::config::Limits;
use crate::connection::{Activity, STALL, Unstalled, drive};
use crate::epoch::{EpochError, Epochs};
use crate::identity::Identity;
use crate::limiter::Limiter;
use crate::open::{ENCAPSULATION_BYTES, Opener, Outcome};

/// The longest TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest header block in time; over HTTP/1.1 also the longest silence between two requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest silence inside a body.
const BODY_PAUSE: Duration = Duration::from_secs(15);
/// The longest body in time.
const BODY_TIMEOUT: Duration = Duration::from_secs(180);
/// What is read of a body that was refused, so that the refusal arrives.
const DISCARD_BYTES: usize = 1 << 20;
/// And for how long.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);
/// An HTTP/2 peer that is silent is asked after this time, and has the same time to answer.
const PING: Duration = Duration::from_secs(20);
/// Requests at once on one HTTP/2 connection.
const STREAMS: u32 = 128;
/// What an HTTP/2 peer may send ahead on a connection.
const WINDOW_BYTES: u32 = 1 << 20;
/// The longest wait for open requests when the process ends.
const DRAIN: Duration = Duration::from_secs(30);
/// A nonce is 43 characters.
const ATTEST_BODY_BYTES: usize = 64;

/// What the listener serves.
pub struct Service {
    epochs: Arc<Epochs>,
    opener: Opener,
    fresh: Limiter,
    /// One permit for each byte of a request that may be in memory.
    bytes: Arc<Semaphore>,
    connections: usize,
    ohttp_body_bytes: usize,
}

/// The TLS configuration for the key that the manifest names.
///
/// # Errors
/// When rustls refuses the key, which would be a defect.
pub fn tls(identity: &Identity) -> Result<TlsAcceptor, rustls::Error> {
    let (certificate, key) = identity.tls();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

impl Service {
    /// Serves these epochs and this opener inside these limits.
    pub fn new(epochs: Arc<Epochs>, opener: Opener, limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            epochs,
            opener,
            fresh: Limiter::new(Instant::now()),
            bytes: Arc::new(Semaphore::new(limits.in_flight_bytes)),
            connections: limits.connections,
            ohttp_body_bytes: limits.sealed_body_bytes + ENCAPSULATION_BYTES,
        })
    }

    /// Serves connections until `end`, then lets open requests finish.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, acceptor: TlsAcceptor, end: impl Future<Output = ()>) {
        let places = Arc::new(Semaphore::new(self.connections));
        let (ending, ended) = watch::channel(());
        tokio::pin!(end);
        loop {
            // A place first: what is beyond the limit waits in the kernel's queue.
            let accepted = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (listener.accept().await, place)
            };
            let (stream, place) = tokio::select! {
                biased;
                () = &mut end => break,
                (accepted, place) = accepted => match (accepted, place) {
                    (Ok((stream, _)), Ok(place)) => (stream, place),
                    (accepted, _) => {
                        tracing::warn!(error = ?accepted.err(), "a connection could not be accepted");
                        // Out of descriptors, as a rule: the next attempt would fail as fast.
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
            };
            tokio::spawn(Arc::clone(&self).connection(stream, acceptor.clone(), ended.clone(), place));
        }
        drop(listener);
        tracing::info!("ending; open requests may finish");
        drop(ending);
        let all = u32::try_from(self.connections).unwrap_or(u32::MAX);
        if tokio::time::timeout(DRAIN, places.acquire_many(all)).await.is_err() {
            tracing::warn!("connections were still open at the end");
        }
    }

    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        acceptor: TlsAcceptor,
        ended: watch::Receiver<()>,
        _place: OwnedSemaphorePermit,
    ) {
        let _ = stream.set_nodelay(true);
        let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await;
        let Ok(Ok(stream)) = handshake else {
            tracing::debug!("a TLS handshake failed");
            return;
        };
        let Some(exporter) = exporter(&stream) else {
            tracing::warn!("a connection has no exporter");
            return;
        };
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let activity = Activity::new();
        let asked = Arc::clone(&activity);
        let service = hyper::service::service_fn(move |request| {
            let (this, exporter, busy) = (Arc::clone(&self), exporter.clone(), asked.begin());
            async move {
                let response = this.respond(request, &exporter).await;
                drop(busy);
                Ok::<_, Infallible>(response)
            }
        });
        let io = TokioIo::new(Unstalled::new(stream, STALL));
        let result = if is_http2 {
            let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .max_concurrent_streams(STREAMS)
                .max_header_list_size(u32::try_from(HEADER_BLOCK_BYTES).unwrap_or(u32::MAX))
                .initial_stream_window_size(WINDOW_BYTES)
                .initial_connection_window_size(WINDOW_BYTES)
                .keep_alive_interval(PING)
                .keep_alive_timeout(PING);
            drive(builder.serve_connection(io, service), activity, ended).await
        } else {
            let mut builder = hyper::server::conn::http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_header_size(HEADER_BLOCK_BYTES);
            drive(builder.serve_connection(io, service), activity, ended).await
        };
        if let Err(error) = result {
            tracing::debug!(%error, "a connection ended early");
        }
    }

    async fn respond(&self, request: Request<Incoming>, exporter: &Exporter) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        let expected = match path {
            ENVELOPE_PATH | OHTTP_KEYS_PATH | HEALTH_PATH => Method::GET,
            OHTTP_PATH | ATTEST_PATH => Method::POST,
            _ => return plain(StatusCode::NOT_FOUND, "no such path\n"),
        };
        if *request.method() != expected {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "another method is expected on this path\n");
            if let Ok(allow) = HeaderValue::from_str(expected.as_str()) {
                response.headers_mut().insert(header::ALLOW, allow);
            }
            return response;
        }
        match path {
            ENVELOPE_PATH => self.envelope(request.uri().query()).await,
            OHTTP_KEYS_PATH => match self.epochs.current() {
                Some(epoch) => content(OHTTP_KEYS, epoch.key_configs()),
                None => not_available(&EpochError::None),
            },
            HEALTH_PATH => match self.epochs.current() {
                Some(_) => plain(StatusCode::OK, "ok\n"),
                None => plain(StatusCode::SERVICE_UNAVAILABLE, "no current key\n"),
            },
            ATTEST_PATH => self.attest(request, exporter).await,
            _ => self.ohttp(request).await,
        }
    }

    async fn envelope(&self, query: Option<&str>) -> Response<Full<Bytes>> {
        let Some(query) = query else {
            return self
                .epochs
                .current()
                .map_or_else(|| not_available(&EpochError::None), |epoch| content(CMW_JSON, epoch.envelope()));
        };
        let Some(nonce) = query.strip_prefix("nonce=").and_then(|nonce| nonce.parse::<Nonce>().ok()) else {
            return plain(
                StatusCode::BAD_REQUEST,
                "query: expected nothing, or `nonce=` and 32 bytes in base64url without padding (43 characters)\n",
            );
        };
        if let Err(seconds) = self.fresh.take(Instant::now()) {
            return problem(&Problem::new(ProblemKind::RateLimited).with_retry_after(seconds));
        }
        answer(self.epochs.fresh(&nonce).await)
    }

    async fn attest(&self, request: Request<Incoming>, exporter: &Exporter) -> Response<Full<Bytes>> {
        let body = match self.read(request, ATTEST_BODY_BYTES).await {
            Ok(body) => body,
            Err(refused) => return *refused,
        };
        let Some(nonce) = std::str::from_utf8(&body.bytes).ok().and_then(|text| text.parse::<Nonce>().ok()) else {
            return plain(
                StatusCode::BAD_REQUEST,
                "body: expected a nonce, 32 bytes in base64url without padding (43 characters)\n",
            );
        };
        answer(self.epochs.channel(&nonce, exporter).await)
    }

    async fn ohttp(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if request.headers().get(header::CONTENT_TYPE).is_none_or(|value| value.as_bytes() != OHTTP_REQUEST.as_bytes())
        {
            return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content type: expected message/ohttp-req\n");
        }
        let body = match self.read(request, self.ohttp_body_bytes).await {
            Ok(body) => body,
            Err(refused) => return *refused,
        };
        let outcome = self.opener.answer(body.bytes).await;
        match outcome {
            Outcome::Sealed(bytes) => content(OHTTP_RESPONSE, bytes.into()),
            Outcome::UnknownKey(error) => problem(&Problem::new(ProblemKind::OhttpKey).with_detail(error)),
            Outcome::Refused => plain(StatusCode::BAD_REQUEST, ""),
            Outcome::NotSealed => plain(StatusCode::INTERNAL_SERVER_ERROR, ""),
        }
    }

    /// Reads a body of at most `limit` bytes, inside the memory that all bodies share.
    async fn read(&self, request: Request<Incoming>, limit: usize) -> Result<Held, Box<Response<Full<Bytes>>>> {
        let mut body = request.into_body();
        let read = self.collect(&mut body, limit).await;
        if read.is_err() {
            discard(body).await;
        }
        read.map_err(Box::new)
    }

    async fn collect(&self, body: &mut Incoming, limit: usize) -> Result<Held, Response<Full<Bytes>>> {
        let too_large =
            || problem(&Problem::new(ProblemKind::TooLarge).with_detail(format!("at most {limit} bytes are accepted")));
        let busy = || {
            problem(&Problem::new(ProblemKind::Busy).with_retry_after(1).with_detail("no memory for one more request"))
        };
        // The announced length is reserved before the first byte is read, so that requests do not starve each other
        // half-way.
        let announced =
            usize::try_from(body.size_hint().lower()).ok().filter(|bytes| *bytes <= limit).ok_or_else(too_large)?;
        let mut permit = self.reserve(announced).ok_or_else(busy)?;
        let mut bytes = BytesMut::new();
        let end = Instant::now() + BODY_TIMEOUT;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let data = match tokio::time::timeout(left.min(BODY_PAUSE), body.frame()).await {
                Ok(None) => return Ok(Held { bytes: bytes.freeze(), _permit: permit }),
                Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
                Ok(Some(Err(_))) => return Err(plain(StatusCode::BAD_REQUEST, "the body ended early\n")),
                Err(_) => return Err(plain(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time\n")),
            };
            let length = bytes.len() + data.len();
            if length > limit {
                return Err(too_large());
            }
            if let Some(more) = length.checked_sub(permit.num_permits()).filter(|more| *more > 0) {
                permit.merge(self.reserve(more).ok_or_else(busy)?);
            }
            bytes.extend_from_slice(&data);
        }
    }

    fn reserve(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.bytes).try_acquire_many_owned(u32::try_from(bytes).ok()?).ok()
    }
}

/// A body, and its share of the memory for bodies, given back together.
struct Held {
    bytes: Bytes,
    _permit: OwnedSemaphorePermit,
}

/// Reads on for a moment without keeping anything. Over HTTP/1.1 a client that is still writing when the connection
/// closes would never see why.
async fn discard(mut body: Incoming) {
    let read = async {
        let mut left = DISCARD_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return };
            left = rest;
        }
    };
    let _ = tokio::time::timeout(DISCARD_TIMEOUT, read).await;
}

/// RFC 9266: the exporter of this very connection.
fn exporter(stream: &TlsStream<TcpStream>) -> Option<Exporter> {
    let (_, connection) = stream.get_ref();
    connection.export_keying_material([0; 32], Exporter::LABEL, None).ok().map(Exporter::from_bytes)
}

fn answer(envelope: Result<Bytes, EpochError>) -> Response<Full<Bytes>> {
    envelope.map_or_else(|error| not_available(&error), |envelope| content(CMW_JSON, envelope))
}

/// There is no evidence now; what the source said stays in the log.
fn not_available(error: &EpochError) -> Response<Full<Bytes>> {
    let detail = match error {
        EpochError::Evidence(AttesterError::Busy) => "too many orders for evidence are waiting",
        _ => {
            tracing::warn!(%error, "no evidence to give");
            "there is no evidence at the moment"
        }
    };
    problem(&Problem::new(ProblemKind::Busy).with_retry_after(1).with_detail(detail))
}

fn problem(problem: &Problem) -> Response<Full<Bytes>> {
    let mut response = content(PROBLEM_JSON, problem.to_json().into());
    *response.status_mut() = StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(seconds) = problem.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = content("text/plain; charset=utf-8", Bytes::from_static(text.as_bytes()));
    *response.status_mut() = status;
    response
}

fn content(media_type: &'static str, bytes: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(bytes));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
