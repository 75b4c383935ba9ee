//! The listener: TLS 1.3 with our own key, and the five paths that exist outside the seal.
//!
//! There are no tickets, no resumption and no early data, so that every connection has its own handshake under the key
//! that the manifest names, and its own exporter. `POST /attest` binds evidence to the exporter of the connection *it
//! arrived on*; a hop that terminates TLS in between has another one, and cannot work. Nothing about a request is
//! trusted out here: headers choose nothing, sizes are checked before memory is used, and every wait has an end.
//! Attestation has its own way past what uploads can fill: its body is 43 characters, and of its orders each connection
//! has one at a time.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use teegate_protocol::binding::{Exporter, Nonce};
use teegate_protocol::headers::{
    ATTEST_PATH, CMW_JSON, ENVELOPE_PATH, HEALTH_PATH, OHTTP_KEYS, OHTTP_KEYS_PATH, OHTTP_PATH, OHTTP_REQUEST,
    OHTTP_RESPONSE,
};
use teegate_protocol::limits::HEADER_BLOCK_BYTES;
use teegate_protocol::problem::{Problem, ProblemKind};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::Limits;
use crate::connection::{Activity, Connections, STALL, Unread, Unstalled, drive};
use crate::epoch::{EpochError, Epochs};
use crate::host;
use crate::identity::Identity;
use crate::limiter::Limiter;
use crate::memory::{ANSWER_BYTES, Memory, Share};
use crate::open::{ENCAPSULATION_BYTES, Opener, Outcome, Sealed};
use crate::reply::{answer, content, full, not_available, plain, problem, rate_limited, refusal};
use crate::turns::Caller;
use crate::upload::{self, PACE, Refused};

/// The longest TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest header block in time; over HTTP/1.1 also the longest silence between two requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest time for the body of a channel challenge, and then for its evidence.
const CHALLENGE_TIMEOUT: Duration = Duration::from_secs(30);
/// An HTTP/2 peer that is silent is asked after this time, and has the same time to answer.
const PING: Duration = Duration::from_secs(20);
/// Requests at once on one HTTP/2 connection.
const STREAMS: u32 = 128;
/// What an HTTP/2 peer may send ahead on a connection.
const WINDOW_BYTES: u32 = 1 << 20;
/// When all connections are busy, the next attempt to find a silent one comes after this time.
const ROOM: Duration = Duration::from_millis(500);
/// The longest wait for open requests when the process ends.
const DRAIN: Duration = Duration::from_secs(30);
/// A nonce is 43 characters.
const ATTEST_BODY_BYTES: usize = 64;

/// What the listener serves.
pub struct Service {
    epochs: Arc<Epochs>,
    opener: Opener,
    fresh: Limiter,
    memory: Memory,
    connections: usize,
    ohttp_body_bytes: usize,
}

/// What one connection is, and what it may use.
struct Peer {
    exporter: Exporter,
    activity: Arc<Activity>,
    share: Share,
    /// How it stands with those who ask for evidence...
    caller: Arc<Caller>,
    /// ...how often it may ask...
    challenges: Limiter,
    /// ...and that it asks for one at a time.
    challenge: Semaphore,
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
        let ohttp_body_bytes = limits.sealed_body_bytes + ENCAPSULATION_BYTES;
        Arc::new(Self {
            epochs,
            opener,
            fresh: Limiter::new(Instant::now()),
            memory: Memory::new(limits.in_flight_bytes, limits.least_in_flight_bytes()),
            connections: limits.connections,
            ohttp_body_bytes,
        })
    }

    /// Serves connections until `end`, then lets open requests finish.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, acceptor: TlsAcceptor, end: impl Future<Output = ()>) {
        let places = Arc::new(Semaphore::new(self.connections));
        let (ending, ended) = watch::channel(());
        let mut connections = Connections::default();
        tokio::pin!(end);
        loop {
            let accepted = async {
                let accepted = listener.accept().await;
                // What is beyond the limit waits here and in the kernel's queue, until a silent connection made room.
                let place = loop {
                    let free = Arc::clone(&places).try_acquire_owned();
                    let Err(_) = free else { break free };
                    connections.make_room();
                    let wait = tokio::time::timeout(ROOM, Arc::clone(&places).acquire_owned());
                    if let Ok(place) = wait.await {
                        break place.map_err(|_| tokio::sync::TryAcquireError::Closed);
                    }
                };
                (accepted, place)
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
            let activity = Activity::new();
            connections.add(&activity);
            tokio::spawn(Arc::clone(&self).connection(stream, acceptor.clone(), activity, ended.clone(), place));
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
        activity: Arc<Activity>,
        ended: watch::Receiver<()>,
        _place: OwnedSemaphorePermit,
    ) {
        let _ = stream.set_nodelay(true);
        let handshake = tokio::select! {
            handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)) => handshake,
            () = activity.dismissed() => return,
        };
        let Ok(Ok(stream)) = handshake else {
            tracing::debug!("a TLS handshake failed");
            return;
        };
        let Some(exporter) = exporter(&stream) else {
            tracing::warn!("a connection has no exporter");
            return;
        };
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let peer = Arc::new(Peer {
            exporter,
            activity: Arc::clone(&activity),
            share: self.memory.share(),
            caller: Arc::default(),
            challenges: Limiter::new(Instant::now()),
            challenge: Semaphore::new(1),
        });
        let service = hyper::service::service_fn(move |request| {
            let (this, peer, busy) = (Arc::clone(&self), Arc::clone(&peer), peer.activity.begin());
            async move {
                let response = this.respond(request, &peer).await;
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

    async fn respond(&self, request: Request<Incoming>, peer: &Peer) -> Response<Full<Bytes>> {
        if !host::is_named(request.version(), request.headers()) {
            return plain(StatusCode::BAD_REQUEST, "host: expected one, as RFC 9112 section 3.2 asks for\n");
        }
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
            HEALTH_PATH => self.health(),
            ATTEST_PATH => self.attest(request, peer).await,
            _ => self.ohttp(request, peer).await,
        }
    }

    fn health(&self) -> Response<Full<Bytes>> {
        match self.epochs.current() {
            None => plain(StatusCode::SERVICE_UNAVAILABLE, "no current key\n"),
            Some(_) if !self.opener.is_ready() => {
                plain(StatusCode::SERVICE_UNAVAILABLE, "a model has no worker left\n")
            }
            Some(epoch) if epoch.replay().is_full() => full(),
            Some(_) => plain(StatusCode::OK, "ok\n"),
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
            return rate_limited(seconds);
        }
        answer(self.epochs.fresh(&nonce).await)
    }

    async fn attest(&self, request: Request<Incoming>, peer: &Peer) -> Response<Full<Bytes>> {
        let Ok(_one) = peer.challenge.try_acquire() else { return rate_limited(1) };
        let body = Limited::new(request.into_body(), ATTEST_BODY_BYTES).collect();
        let body = match tokio::time::timeout(CHALLENGE_TIMEOUT, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => return refusal(&Refused::TooLarge, ATTEST_BODY_BYTES),
            Ok(Err(_)) => return refusal(&Refused::Ended, ATTEST_BODY_BYTES),
            Err(_) => return refusal(&Refused::TooSlow, ATTEST_BODY_BYTES),
        };
        let Some(nonce) = std::str::from_utf8(&body).ok().and_then(|text| text.parse::<Nonce>().ok()) else {
            return plain(
                StatusCode::BAD_REQUEST,
                "body: expected a nonce, 32 bytes in base64url without padding (43 characters)\n",
            );
        };
        if let Err(seconds) = peer.challenges.take(Instant::now()) {
            return rate_limited(seconds);
        }
        let envelope = self.epochs.channel(&nonce, &peer.exporter, &peer.caller).await;
        if envelope.is_ok() {
            peer.activity.attest();
        }
        answer(envelope)
    }

    async fn ohttp(&self, request: Request<Incoming>, peer: &Peer) -> Response<Full<Bytes>> {
        if request.headers().get(header::CONTENT_TYPE).is_none_or(|value| value.as_bytes() != OHTTP_REQUEST.as_bytes())
        {
            return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content type: expected message/ohttp-req\n");
        }
        let mut spare = peer.share.purse();
        if spare.reserve(ANSWER_BYTES).is_err() {
            return refusal(&Refused::NoMemory, self.ohttp_body_bytes);
        }
        let upload = match upload::read(request.into_body(), self.ohttp_body_bytes, &peer.share, PACE).await {
            Ok(upload) => upload,
            Err(refused) => return refusal(&refused, self.ohttp_body_bytes),
        };
        match self.opener.answer(upload, spare).await {
            Outcome::Sealed(sealed) => {
                content(OHTTP_RESPONSE, Bytes::from_owner(Held { sealed, _unread: peer.activity.answer() }))
            }
            Outcome::UnknownKey(error) => problem(&Problem::new(ProblemKind::OhttpKey).with_detail(error)),
            Outcome::Busy => full(),
            Outcome::Refused => plain(StatusCode::BAD_REQUEST, ""),
            Outcome::NotSealed => plain(StatusCode::INTERNAL_SERVER_ERROR, ""),
        }
    }
}

/// A sealed answer on its way, and its memory: given back when the last byte is sent, or nobody wants it any more.
struct Held {
    sealed: Sealed,
    _unread: Unread,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.sealed.bytes
    }
}

/// RFC 9266: the exporter of this very connection.
fn exporter(stream: &TlsStream<TcpStream>) -> Option<Exporter> {
    let (_, connection) = stream.get_ref();
    connection.export_keying_material([0; 32], Exporter::LABEL, None).ok().map(Exporter::from_bytes)
}
