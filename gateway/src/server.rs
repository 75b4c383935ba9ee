//! The listeners: HTTP/1.1 and HTTP/2 for clients, plain or over TLS, and the operator's own. Everything that a peer can make the
//! gateway wait for or keep has a bound.

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
use crate::route::{AnswerStream, Gateway};

/// What one listener's connections may take.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// Connections at a time.
    pub connections: u64,
    /// Requests at a time on one HTTP/2 connection.
    pub streams: u64,
    /// A request head, and the TLS handshake.
    pub header_read: Duration,
}

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
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
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
