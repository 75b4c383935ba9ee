//! The listeners: HTTP/1.1 and HTTP/2 for clients, plain or over TLS, and the operator's own. A place for a connection is held
//! only as long as something is asked on it and what was answered is taken, each inside its time ([`crate::connection`]).

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use teegate_protocol::limits;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::answer::AnswerStream;
use crate::connection::{Activity, Patience, Unstalled};
use crate::gateway::Gateway;

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
mod tests;
