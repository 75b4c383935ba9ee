//! The listeners: HTTP/1.1 and HTTP/2 for clients, plain or over TLS, and the operator's own. A place for a connection is held
//! only as long as something is asked on it and what was answered is taken, each inside its time ([`crate::connection`]).

use std::fmt;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use teegate_protocol::limits;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::config::TlsFiles;
use crate::connection::{Activity, Patience, Unstalled};
use crate::route::{AnswerStream, Gateway};

/// What one listener's connections may take.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// Connections at a time.
    pub connections: u64,
    /// Requests at a time on one HTTP/2 connection.
    pub streams: u64,
    /// The TLS handshake, the first request after it, and each request head over HTTP/1.1.
    pub header_read: Duration,
    /// The client's taking the whole of an answer.
    pub answer: Duration,
}

/// A connection on which nothing was asked for so long is ended, whatever pings it answers.
const IDLE: Duration = Duration::from_secs(300);
/// A client that takes nothing of what is written to it for so long is gone.
const STALL: Duration = Duration::from_secs(30);
/// What is left of a connection that was told to end, unless the whole gateway ends.
const FAREWELL: Duration = Duration::from_secs(5);

/// The TLS files cannot be used.
#[derive(Debug)]
pub struct TlsError {
    path: PathBuf,
    reason: String,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot use `{}` for TLS: {}", self.path.display(), self.reason)
    }
}

impl std::error::Error for TlsError {}

/// TLS for the clients' listener.
pub fn tls_acceptor(files: &TlsFiles) -> Result<TlsAcceptor, TlsError> {
    let error = |path: &Path, reason: &dyn fmt::Display| TlsError { path: path.to_owned(), reason: reason.to_string() };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(|cause| error(&files.certificate, &cause))?;
    if chain.is_empty() {
        return Err(error(&files.certificate, &"expected PEM with a `CERTIFICATE` block"));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|cause| error(&files.key, &cause))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|cause| error(&files.certificate, &cause))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|cause| error(&files.certificate, &cause))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves clients until `shutdown` turns true; then waits until every request in flight is answered.
pub async fn serve_clients(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    gateway: Arc<Gateway>,
    limits: ServerLimits,
    shutdown: watch::Receiver<bool>,
) {
    let metrics = Arc::clone(&gateway.metrics);
    accept(listener, limits, shutdown, move |tcp, shutdown, alive| {
        metrics.connected();
        let (tls, gateway) = (tls.clone(), Arc::clone(&gateway));
        async move {
            let answer = service_fn(move |request: http::Request<Incoming>| {
                let gateway = Arc::clone(&gateway);
                async move { Ok::<_, std::convert::Infallible>(gateway.serve(request).await) }
            });
            match tls {
                None => serve_connection(tcp, answer, limits, shutdown).await,
                Some(tls) => {
                    if let Ok(Ok(stream)) = timeout(limits.header_read, tls.accept(tcp)).await {
                        serve_connection(stream, answer, limits, shutdown).await;
                    }
                }
            }
            drop(alive);
        }
    })
    .await;
}

/// Serves the operator's tools until `shutdown` turns true.
pub async fn serve_operator(
    listener: TcpListener,
    gateway: Arc<Gateway>,
    limits: ServerLimits,
    shutdown: watch::Receiver<bool>,
) {
    accept(listener, limits, shutdown, move |tcp, shutdown, alive| {
        let gateway = Arc::clone(&gateway);
        async move {
            let answer = service_fn(move |request: http::Request<Incoming>| {
                let answer = gateway.serve_operator(request.method(), request.uri().path());
                async move { Ok::<_, std::convert::Infallible>(answer) }
            });
            serve_connection(tcp, answer, limits, shutdown).await;
            drop(alive);
        }
    })
    .await;
}

/// Accepts connections, as many as there is room for; each holds `alive` until it has ended.
async fn accept<F: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    limits: ServerLimits,
    mut shutdown: watch::Receiver<bool>,
    mut serve: impl FnMut(TcpStream, watch::Receiver<bool>, mpsc::Sender<()>) -> F,
) {
    let room = Arc::new(Semaphore::new(usize::try_from(limits.connections).unwrap_or(Semaphore::MAX_PERMITS)));
    let (alive, mut all_ended) = mpsc::channel::<()>(1);
    loop {
        let next = async {
            let place = Arc::clone(&room).acquire_owned().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            () = turned_true(&mut shutdown) => break,
            next = next => next,
        };
        match accepted {
            Ok((tcp, _)) => {
                // Without it every small answer would wait for the client's acknowledgement.
                let _ = tcp.set_nodelay(true);
                let connection = serve(tcp, shutdown.clone(), alive.clone());
                tokio::spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                // Out of file descriptors, most likely: accepting again at once would only burn the processor.
                tracing::error!("cannot accept connections: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    drop(alive);
    let _ = all_ended.recv().await;
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

async fn serve_connection<S, F>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    service: S,
    limits: ServerLimits,
    mut shutdown: watch::Receiver<bool>,
) where
    S: hyper::service::Service<
            http::Request<Incoming>,
            Response = Response<AnswerStream>,
            Error = std::convert::Infallible,
            Future = F,
        > + Send
        + 'static,
    F: Future<Output = Result<Response<AnswerStream>, std::convert::Infallible>> + Send + 'static,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read)
        .max_buf_size(limits::HEADER_BLOCK_BYTES)
        .keep_alive(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(limits::HEADER_BLOCK_BYTES).unwrap_or(u32::MAX))
        .max_concurrent_streams(u32::try_from(limits.streams).unwrap_or(u32::MAX))
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    let activity = Activity::new(Patience { first: limits.header_read, idle: IDLE, answer: limits.answer });
    let asked = Arc::clone(&activity);
    let service = service_fn(move |request| {
        let (busy, answer) = (asked.begin(), service.call(request));
        async move { answer.await.map(|answer| answer.map(|body| busy.answered(body))) }
    });
    let stream = TokioIo::new(Unstalled::new(stream, STALL));
    let mut connection = std::pin::pin!(builder.serve_connection(stream, service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = activity.over() => {
            connection.as_mut().graceful_shutdown();
            timeout(FAREWELL, connection).await.unwrap_or(Ok(()))
        }
        () = turned_true(&mut shutdown) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a client's connection ended: {error}");
    }
}

async fn turned_true(shutdown: &mut watch::Receiver<bool>) {
    // An error means that nobody is left who could ask for anything else.
    let _ = shutdown.wait_for(|shutdown| *shutdown).await;
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use rustls::ClientConfig;
    use teegate_forge::pem;
    use teegate_protocol::receipt::ReceiptKey;
    use teegate_verifier::Endorsements;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_rustls::TlsConnector;

    use super::*;
    use crate::breaker::BreakerLimits;
    use crate::fleet::Fleet;
    use crate::hold::{Hold, HoldLimits};
    use crate::metrics::Metrics;
    use crate::proxy::ForwardLimits;
    use crate::route::RouteLimits;
    use crate::trust::testing::{any_policy, clock};

    const LIMITS: ServerLimits = ServerLimits {
        connections: 4,
        streams: 4,
        header_read: Duration::from_millis(300),
        answer: Duration::from_secs(1),
    };

    /// A gateway without instances, on a port of its own.
    async fn start(
        tls: Option<TlsAcceptor>,
    ) -> (std::net::SocketAddr, watch::Sender<bool>, tokio::task::JoinHandle<()>) {
        let metrics = Arc::new(Metrics::default());
        let breaker = BreakerLimits { failures: 1, open: Duration::ZERO };
        let fleet = Fleet::new(&[], any_policy(), Endorsements::new(), clock(), breaker, Arc::clone(&metrics));
        let time = Duration::from_secs(1);
        let gateway = Gateway {
            fleet: Arc::new(fleet),
            hold: Arc::new(Hold::new(HoldLimits { tenant_requests: 1, tenant_bytes: 1, total_bytes: 1 })),
            metrics,
            receipt_key: ReceiptKey::generate().unwrap(),
            limits: RouteLimits {
                max_sealed_bytes: 1,
                hold: time,
                max_hold: time,
                forward: ForwardLimits { body_idle: time, upload: time, answer: time, max_answer_bytes: 1 },
            },
            is_draining: AtomicBool::new(false),
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, is_shutdown) = watch::channel(false);
        let serving = tokio::spawn(serve_clients(listener, tls, Arc::new(gateway), LIMITS, is_shutdown));
        (address, shutdown, serving)
    }

    /// What comes back until the server closes.
    async fn http1(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> String {
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn http_1_and_http_2_are_spoken_on_one_port() {
        let (address, shutdown, serving) = start(None).await;
        let request = "GET /healthz HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n";
        let answer = http1(TcpStream::connect(address).await.unwrap(), request).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok\n"), "{answer}");
        let tcp = TcpStream::connect(address).await.unwrap();
        let (mut requests, connection) = h2::client::handshake(tcp).await.unwrap();
        let driving = tokio::spawn(connection);
        let request = http::Request::get("http://gateway/readyz").body(()).unwrap();
        let answer = requests.send_request(request, true).unwrap().0.await.unwrap();
        assert_eq!(answer.status().as_u16(), 503, "nobody is attested");
        // At the end connections are told to go, and the server ends when the last has gone.
        shutdown.send_replace(true);
        drop((requests, answer));
        serving.await.unwrap();
        driving.await.unwrap().unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn silent_connections_do_not_keep_others_out() {
        let (address, _shutdown, _serving) = start(None).await;
        let mut silent = Vec::new();
        for _ in 0..LIMITS.connections {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let request = "GET /healthz HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n";
        let answer = http1(TcpStream::connect(address).await.unwrap(), request);
        let answer = timeout(Duration::from_secs(60), answer).await.expect("a place becomes free");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        drop(silent);
    }

    #[tokio::test]
    async fn a_client_without_a_window_does_not_keep_its_place() {
        let (address, _shutdown, _serving) = start(None).await;
        let tcp = TcpStream::connect(address).await.unwrap();
        let (mut requests, connection) =
            h2::client::Builder::new().initial_window_size(0).handshake::<_, bytes::Bytes>(tcp).await.unwrap();
        let driving = tokio::spawn(connection);
        let request = http::Request::get("http://gateway/healthz").body(()).unwrap();
        let answer = requests.send_request(request, true).unwrap().0.await.unwrap();
        assert_eq!(answer.status().as_u16(), 200);
        // It answers pings and never takes the body.
        let ended = timeout(Duration::from_secs(60), driving).await;
        assert!(ended.is_ok(), "the gateway ends the connection");
    }

    #[tokio::test]
    async fn a_head_must_be_small_and_come_soon() {
        let (address, _shutdown, _serving) = start(None).await;
        let large =
            format!("GET /healthz HTTP/1.1\r\nhost: gateway\r\nx: {}\r\n\r\n", "x".repeat(limits::HEADER_BLOCK_BYTES));
        let answer = http1(TcpStream::connect(address).await.unwrap(), &large).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
        let slow = http1(TcpStream::connect(address).await.unwrap(), "GET /healthz HTTP/1.1\r\nhost:").await;
        assert!(slow.is_empty() || slow.starts_with("HTTP/1.1 408 "), "the connection is closed: {slow}");
    }

    #[tokio::test]
    async fn clients_may_use_tls() {
        let key = rcgen::generate_simple_self_signed(vec!["gateway".into()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let files = TlsFiles { certificate: folder.path().join("chain.pem"), key: folder.path().join("key.pem") };
        std::fs::write(&files.certificate, pem::certificate(key.cert.der())).unwrap();
        let key_pem = pem::certificate(&key.signing_key.serialize_der()).replace("CERTIFICATE", "PRIVATE KEY");
        std::fs::write(&files.key, key_pem).unwrap();
        let (address, _shutdown, _serving) = start(Some(tls_acceptor(&files).unwrap())).await;
        let mut roots = rustls::RootCertStore::empty();
        roots.add(key.cert.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tcp = TcpStream::connect(address).await.unwrap();
        let tls = TlsConnector::from(Arc::new(config)).connect("gateway".try_into().unwrap(), tcp).await.unwrap();
        let answer = http1(tls, "GET /healthz HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }

    #[test]
    fn tls_files_that_cannot_be_used_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let files = TlsFiles { certificate: folder.path().join("chain.pem"), key: folder.path().join("key.pem") };
        let error_of = || tls_acceptor(&files).map(|_| ()).unwrap_err().to_string();
        assert!(error_of().contains("chain.pem"), "{}", error_of());
        std::fs::write(&files.certificate, "no PEM").unwrap();
        assert!(error_of().contains("expected PEM with a `CERTIFICATE` block"), "{}", error_of());
        let key = rcgen::generate_simple_self_signed(vec!["gateway".into()]).unwrap();
        std::fs::write(&files.certificate, pem::certificate(key.cert.der())).unwrap();
        assert!(error_of().contains("key.pem"), "{}", error_of());
    }
}
