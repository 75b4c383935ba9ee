//! The link to an instance: one HTTP/2 connection over TLS 1.3, named by what both ends of it see alike.
//!
//! Any certificate chain and any name is accepted, because neither says anything about a TEE; the handshake signature is
//! verified as usual, so the peer does hold the key of the certificate that it showed. Who that is, is settled afterwards:
//! evidence must cover the key ([`Link::tls_spki_sha256`]) and this very connection ([`Link::exporter`], RFC 9266). There
//! are no tickets, no resumption and no early data, so no two connections share a secret.
//!
//! This module is private to `trust`: outside, a connection that has not passed its channel check can only be challenged.

use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Ping, SendStream};
use http::{Method, Request, StatusCode};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, PeerIncompatible, SignatureScheme};
use teegate_protocol::binding::Exporter;
use teegate_protocol::limits;
use teegate_protocol::manifest::SpkiDigest;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use super::outlet::{Outlet, Valve};
use crate::caller::Caller;
use crate::config::Address;
use crate::discovery::special;
use crate::source::Network;
use crate::turns::{Place, Readiness, Turns};

/// What h2 may keep of one request before the socket has taken it; beside it, one frame and its TLS record are on their way.
/// Taking a permit back reaches none of that: it is why a link has an [`Outlet`].
const SEND_BUFFER_BYTES: usize = 16 << 10;
/// What an instance may send of one answer before it was read; the account of the client has room for it before the request is
/// sent. The window of the connection is no limit beside it: otherwise a few slow clients could fill that, and keep out the
/// answers to challenges.
pub(crate) const ANSWER_WINDOW_BYTES: u32 = 48 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 30;
const HEADER_LIST_BYTES: u32 = 16 << 10;
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// How links are made.
#[derive(Clone, Debug)]
pub struct LinkSettings {
    tls: Arc<ClientConfig>,
    connect_timeout: Duration,
    answer_timeout: Duration,
    /// Shared with every copy of these settings.
    admitted: Arc<RwLock<Vec<Network>>>,
}

impl LinkSettings {
    /// `connect_timeout` covers TCP, TLS and HTTP/2; an answer with evidence may take `answer_timeout`.
    pub fn new(connect_timeout: Duration, answer_timeout: Duration) -> Result<Self, rustls::Error> {
        Ok(Self { tls: Arc::new(client_config()?), connect_timeout, answer_timeout, admitted: Arc::default() })
    }

    /// From now on a name may lead to special addresses that `admitted` covers, also for every copy of these settings.
    pub fn admit(&self, admitted: Vec<Network>) {
        *self.admitted.write().unwrap_or_else(PoisonError::into_inner) = admitted;
    }

    async fn reach(&self, address: &Address) -> std::io::Result<TcpStream> {
        // Where an address stands it was written, or has passed the gate of its source.
        if address.as_str().parse::<SocketAddr>().is_ok() {
            return TcpStream::connect(address.as_str()).await;
        }
        let found = lookup_host(address.as_str()).await?;
        let reachable = {
            let admitted = self.admitted.read().unwrap_or_else(PoisonError::into_inner);
            special::reachable(address.as_str(), found, &admitted).map_err(std::io::Error::other)?
        };
        TcpStream::connect(reachable.as_slice()).await
    }
}

/// The instance, or the way to it, did not answer. That is no verdict.
#[derive(Debug)]
pub enum NoAnswer {
    /// No TCP connection, or it broke.
    Unreachable(std::io::Error),
    /// It did not speak HTTP/2 over TLS 1.3.
    NotHttp2,
    /// The connection has no exporter, so nothing could be bound to it.
    NoExporter(rustls::Error),
    /// The peer's certificate shows no key.
    NoPeerKey,
    /// HTTP/2 failed.
    Http2(h2::Error),
    /// Nothing came in time.
    TimedOut(Duration),
    /// An answer without evidence.
    Status(StatusCode),
    /// An answer that is longer than any envelope may be.
    TooLong(usize),
}

impl NoAnswer {
    /// The kind of it in a word: two silences of one kind are one to the operator.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unreachable(error) => match error.kind() {
                std::io::ErrorKind::ConnectionRefused => "connection-refused",
                std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::UnexpectedEof => "connection-lost",
                std::io::ErrorKind::InvalidData => "tls",
                _ => "unreachable",
            },
            Self::NotHttp2 => "not-http2",
            Self::NoExporter(_) | Self::NoPeerKey => "tls",
            Self::Http2(_) => "http2",
            Self::TimedOut(_) => "timed-out",
            Self::Status(_) => "status",
            Self::TooLong(_) => "too-long",
        }
    }
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error) => write!(f, "unreachable: {error}"),
            Self::NotHttp2 => {
                f.write_str("does not speak HTTP/2 over TLS 1.3 (ALPN `h2`): is something else listening there?")
            }
            Self::NoExporter(error) => write!(f, "the TLS connection has no exporter (RFC 9266): {error}"),
            Self::NoPeerKey => f.write_str("the peer showed no certificate with a readable public key"),
            Self::Http2(error) => write!(f, "HTTP/2 failed: {error}"),
            Self::TimedOut(after) => write!(f, "no answer within {} s", after.as_secs()),
            Self::Status(status) => write!(f, "answered {status} instead of 200 with evidence"),
            Self::TooLong(most) => write!(f, "the answer is longer than the {most} bytes that an envelope may have"),
        }
    }
}

impl std::error::Error for NoAnswer {}

/// One connection. Only this file and its parent can write to it.
pub(super) struct Link {
    id: u64,
    exporter: Exporter,
    tls_spki_sha256: SpkiDigest,
    requests: SendRequest<Bytes>,
    outlet: Arc<Outlet>,
    turns: Turns,
    is_closed: watch::Receiver<bool>,
    answer_timeout: Duration,
}

impl Link {
    /// Connects to `address`. What comes back has proven only that it holds its TLS key.
    pub(super) async fn connect(address: &Address, settings: &LinkSettings) -> Result<Self, NoAnswer> {
        timeout(settings.connect_timeout, Self::set_up(address, settings))
            .await
            .map_err(|_| NoAnswer::TimedOut(settings.connect_timeout))?
    }

    async fn set_up(address: &Address, settings: &LinkSettings) -> Result<Self, NoAnswer> {
        let tcp = settings.reach(address).await.map_err(NoAnswer::Unreachable)?;
        tcp.set_nodelay(true).map_err(NoAnswer::Unreachable)?;
        // The name is not sent (no SNI) and not checked.
        let name = ServerName::try_from("enclave.invalid").map_err(|_| NoAnswer::NotHttp2)?;
        let tls =
            TlsConnector::from(Arc::clone(&settings.tls)).connect(name, tcp).await.map_err(NoAnswer::Unreachable)?;
        let (_, connection) = tls.get_ref();
        if connection.alpn_protocol() != Some(b"h2") {
            return Err(NoAnswer::NotHttp2);
        }
        let exporter =
            connection.export_keying_material([0; 32], Exporter::LABEL, None).map_err(NoAnswer::NoExporter)?;
        let tls_spki_sha256 = peer_spki_sha256(connection).ok_or(NoAnswer::NoPeerKey)?;
        Self::speak(tls, Exporter::from_bytes(exporter), tls_spki_sha256, settings.answer_timeout).await
    }

    /// Speaks HTTP/2 over `io`, whose two names the caller has taken from it.
    pub(super) async fn speak(
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        exporter: Exporter,
        tls_spki_sha256: SpkiDigest,
        answer_timeout: Duration,
    ) -> Result<Self, NoAnswer> {
        static LINKS: AtomicU64 = AtomicU64::new(0);
        let outlet = Arc::new(Outlet::new());
        let io = Valve { inner: io, outlet: Arc::clone(&outlet) };
        let (requests, mut driver) = h2::client::Builder::new()
            .enable_push(false)
            .max_send_buffer_size(SEND_BUFFER_BYTES)
            .initial_window_size(ANSWER_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_header_list_size(HEADER_LIST_BYTES)
            .handshake::<_, Bytes>(io)
            .await
            .map_err(NoAnswer::Http2)?;
        let (closed, is_closed) = watch::channel(false);
        let mut pings = driver.ping_pong();
        let own = Arc::clone(&outlet);
        tokio::spawn(async move {
            let silent = async {
                let Some(pings) = pings.as_mut() else { return std::future::pending().await };
                loop {
                    sleep(PING_INTERVAL).await;
                    match timeout(PING_TIMEOUT, pings.ping(Ping::opaque())).await {
                        Ok(Ok(_)) => {}
                        Ok(Err(_)) | Err(_) => return,
                    }
                }
            };
            tokio::select! {
                () = own.drive(driver) => {}
                () = silent => {}
            }
            own.ended();
            closed.send_replace(true);
        });
        Ok(Self {
            id: LINKS.fetch_add(1, Ordering::Relaxed),
            exporter,
            tls_spki_sha256,
            requests,
            outlet,
            turns: Turns::new(),
            is_closed,
            answer_timeout,
        })
    }

    /// Tells this connection from every other of this process.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// The exporter of this connection, RFC 9266.
    pub(super) fn exporter(&self) -> &Exporter {
        &self.exporter
    }

    /// SHA-256 of the SubjectPublicKeyInfo that the peer proved to hold.
    pub(super) fn tls_spki_sha256(&self) -> SpkiDigest {
        self.tls_spki_sha256
    }

    /// Whether the connection has ended.
    pub(super) fn is_closed(&self) -> bool {
        *self.is_closed.borrow()
    }

    /// Resolves when the connection has ended.
    pub(super) async fn closed(&self) {
        // An error means that the driver is gone, which is the same.
        let _ = self.is_closed.clone().wait_for(|closed| *closed).await;
    }

    /// Asks for something small and reads the whole answer, bounded in time and size.
    pub(super) async fn ask(&self, method: Method, path_and_query: &str, question: Bytes) -> Result<Vec<u8>, NoAnswer> {
        timeout(self.answer_timeout, self.ask_for(method, path_and_query, question))
            .await
            .map_err(|_| NoAnswer::TimedOut(self.answer_timeout))?
    }

    async fn ask_for(&self, method: Method, path_and_query: &str, question: Bytes) -> Result<Vec<u8>, NoAnswer> {
        let request = Request::builder()
            .method(method)
            .uri(format!("https://enclave.invalid{path_and_query}"))
            .header(http::header::CONTENT_LENGTH, question.len())
            .body(())
            .map_err(|_| NoAnswer::NotHttp2)?;
        let (answer, mut stream) = self.open(request, question.is_empty()).await.map_err(NoAnswer::Http2)?;
        if !question.is_empty() {
            stream.send_data(question, true).map_err(NoAnswer::Http2)?;
        }
        let answer = answer.await.map_err(NoAnswer::Http2)?;
        if answer.status() != StatusCode::OK {
            return Err(NoAnswer::Status(answer.status()));
        }
        let mut body = answer.into_body();
        let mut bytes = Vec::new();
        while let Some(piece) = body.data().await {
            let piece = piece.map_err(NoAnswer::Http2)?;
            if bytes.len().saturating_add(piece.len()) > limits::ENVELOPE_BYTES {
                return Err(NoAnswer::TooLong(limits::ENVELOPE_BYTES));
            }
            bytes.extend_from_slice(&piece);
            body.flow_control().release_capacity(piece.len()).map_err(NoAnswer::Http2)?;
        }
        Ok(bytes)
    }

    /// Requests that have a place here.
    pub(super) fn in_flight(&self) -> usize {
        self.turns.taken()
    }

    /// Where everything that is queued here leaves.
    pub(super) fn outlet(&self) -> &Arc<Outlet> {
        &self.outlet
    }

    /// Waits for a place for one more request of `caller`; nothing is written.
    pub(super) async fn room(&self, caller: &Caller, readiness: Readiness) -> Result<Room, h2::Error> {
        let place = self.turns.take(caller, readiness).await;
        let mut requests = self.requests.clone();
        poll_fn(|context| requests.poll_ready(context)).await?;
        Ok(Room { link: self.id, requests, place })
    }

    async fn open(
        &self,
        request: Request<()>,
        is_whole: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        let mut requests = self.requests.clone();
        poll_fn(|context| requests.poll_ready(context)).await?;
        requests.send_request(request, is_whole)
    }
}

/// A place for one request on a link, on which nothing was written yet.
pub struct Room {
    pub(super) link: u64,
    requests: SendRequest<Bytes>,
    place: Place,
}

impl Room {
    /// Queues the head of a request, without waiting. The parent module lends this only to what is trusted at that moment.
    pub(super) fn open(mut self, request: Request<()>) -> Result<Opened, h2::Error> {
        let (answer, stream) = self.requests.send_request(request, false)?;
        Ok(Opened { answer, stream, place: self.place })
    }
}

/// A stream for one request.
pub struct Opened {
    /// The answer to come.
    pub answer: ResponseFuture,
    /// Where the request goes.
    pub stream: SendStream<Bytes>,
    /// To be given back when the answer has been read.
    pub(crate) place: Place,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The exporter is a secret of the connection.
        f.debug_struct("Link")
            .field("id", &self.id)
            .field("tls_spki_sha256", &self.tls_spki_sha256)
            .finish_non_exhaustive()
    }
}

/// The peer's key as the manifest names it: SHA-256 of the whole SubjectPublicKeyInfo.
fn peer_spki_sha256(connection: &ClientConnection) -> Option<SpkiDigest> {
    let certificate = connection.peer_certificates()?.first()?;
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    Some(SpkiDigest::of(parsed.subject_public_key_info().as_ref()))
}

fn client_config() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Arc::new(AnyChain::of(&provider));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.enable_sni = false;
    Ok(config)
}

/// Accepts any chain and any name, and no handshake signature that does not verify.
#[derive(Debug)]
struct AnyChain(WebPkiSupportedAlgorithms);

impl AnyChain {
    fn of(provider: &CryptoProvider) -> Self {
        Self(provider.signature_verification_algorithms)
    }
}

impl ServerCertVerifier for AnyChain {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
