//! The listeners: HTTP/1.1 and HTTP/2 for clients, plain or over TLS, and the operator's own. A place for a connection is held
//! only as long as something is asked on it and what was answered is taken, each inside its time (`activity.rs`), and only
//! as long as nobody has better use for it (`connections.rs`).

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use teegate_protocol::limits;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::activity::Patience;
use crate::admission::Certificate;
use crate::answer::AnswerStream;
use crate::budget::{Charge, NoMemory, STREAM_BYTES, WINDOW_BYTES};
use crate::caller::Caller;
use crate::connections::{Connections, Seat};
use crate::gateway::Gateway;
use crate::metrics::Listener;
use crate::peer::Peer;
use crate::problem::{RouteError, say};
use crate::respond::{nothing, respond};
use crate::source::{Proxies, Source, source_of};
use crate::stall::Unstalled;
use crate::taken::{Open, Taken};
use crate::wellformed::{Corrected, check_host};

/// What one listener's connections may take.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// Connections at a time.
    pub connections: u64,
    /// Requests at a time on one HTTP/2 connection.
    pub streams: u64,
    /// The header of a proxy, the TLS handshake, the first request after it, and each request head over HTTP/1.1.
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
/// What HTTP/2 keeps of one answer before the socket has taken it.
const SEND_BUFFER_BYTES: usize = 16 << 10;

/// How clients reach their listener.
#[derive(Clone, Default)]
pub struct Front {
    /// TLS, unless the listener speaks plain HTTP.
    pub tls: Option<TlsAcceptor>,
    /// Who may connect for others.
    pub proxies: Arc<Proxies>,
}

/// Serves clients until `shutdown` turns true; then waits until every request in flight is answered.
pub async fn serve_clients(
    listener: TcpListener,
    front: Front,
    gateway: Arc<Gateway>,
    limits: ServerLimits,
    shutdown: watch::Receiver<bool>,
) {
    let connections = places(limits, &gateway, Listener::Clients);
    accept(listener, connections, shutdown, move |tcp, peer, seat, shutdown| {
        serve_client(tcp, peer, seat, front.clone(), Arc::clone(&gateway), limits, shutdown)
    })
    .await;
}

async fn serve_client(
    mut tcp: TcpStream,
    peer: SocketAddr,
    seat: Arc<Seat>,
    Front { tls, proxies }: Front,
    gateway: Arc<Gateway>,
    limits: ServerLimits,
    shutdown: watch::Receiver<bool>,
) {
    let source = match timeout(limits.header_read, source_of(&mut tcp, peer, &proxies)).await {
        Ok(Ok(source)) => source,
        Ok(Err(error)) => return tracing::debug!("a connection of a proxy was ended: {error}"),
        Err(_) => return,
    };
    if !seat.comes_from(source) {
        return;
    }
    // Two ends, one account: before the handshake nobody knows who it will be.
    let peer = |certificate| peer_at(&seat, source, &gateway, certificate);
    match tls {
        None => {
            let peer = peer(Certificate::None);
            serve_connection(tcp, Arc::clone(&peer), answers(&gateway, &peer), limits, shutdown).await;
        }
        Some(tls) => {
            if let Ok(Ok(stream)) = timeout(limits.header_read, tls.accept(tcp)).await {
                let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                let peer = peer(shown.map_or(Certificate::None, |leaf| Certificate::of(leaf)));
                serve_connection(stream, Arc::clone(&peer), answers(&gateway, &peer), limits, shutdown).await;
            }
        }
    }
}

/// What answers the requests of one client's connection.
fn answers(
    gateway: &Arc<Gateway>,
    peer: &Arc<Peer>,
) -> impl Fn(Request<Incoming>) -> Pin<Box<dyn Future<Output = Response<AnswerStream>> + Send>> + Clone + use<> {
    let (gateway, peer) = (Arc::clone(gateway), Arc::clone(peer));
    move |request| {
        let (gateway, peer) = (Arc::clone(&gateway), Arc::clone(&peer));
        Box::pin(async move { gateway.serve(request, &peer).await })
    }
}

/// Serves the operator's tools until `shutdown` turns true.
pub async fn serve_operator(
    listener: TcpListener,
    gateway: Arc<Gateway>,
    limits: ServerLimits,
    shutdown: watch::Receiver<bool>,
) {
    let connections = places(limits, &gateway, Listener::Operator);
    accept(listener, connections, shutdown, move |tcp, peer, seat, shutdown| {
        let gateway = Arc::clone(&gateway);
        let peer = peer_at(&seat, Source::of(peer.ip()), &gateway, Certificate::None);
        let asked = Arc::clone(&peer);
        let answer = move |request: Request<Incoming>| {
            let answer = gateway.serve_operator(request.method(), request.uri().path(), &asked);
            async move { answer }
        };
        // The place is held as long as the connection lasts.
        async move {
            serve_connection(tcp, peer, answer, limits, shutdown).await;
            drop(seat);
        }
    })
    .await;
}

fn places(limits: ServerLimits, gateway: &Gateway, listener: Listener) -> Arc<Connections> {
    let patience = Patience { first: limits.header_read, idle: IDLE, answer: limits.answer };
    let most = usize::try_from(limits.connections).unwrap_or(usize::MAX);
    Connections::new(most, patience, Arc::clone(&gateway.metrics), listener)
}

fn peer_at(seat: &Seat, source: Source, gateway: &Gateway, certificate: Certificate) -> Arc<Peer> {
    let caller = Caller::new(gateway.gatekeeper.before_admission(), source);
    let peer = Peer::new(caller, &gateway.budget, Arc::clone(seat.activity()));
    Arc::new(peer.with_certificate(certificate))
}

/// Accepts connections; each has a place until it has ended, or is told to make room.
async fn accept<F: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    connections: Arc<Connections>,
    mut shutdown: watch::Receiver<bool>,
    serve: impl Fn(TcpStream, SocketAddr, Arc<Seat>, watch::Receiver<bool>) -> F + Clone + Send + Sync + 'static,
) {
    let (alive, mut all_ended) = mpsc::channel::<()>(1);
    loop {
        let accepted = tokio::select! {
            () = turned_true(&mut shutdown) => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((tcp, peer)) => {
                // Without it every small answer would wait for the client's acknowledgement.
                let _ = tcp.set_nodelay(true);
                let (connections, serve, alive) = (Arc::clone(&connections), serve.clone(), alive.clone());
                let (shutdown, mut shutting_down) = (shutdown.clone(), shutdown.clone());
                tokio::spawn(async move {
                    let _alive = alive;
                    let seat = tokio::select! {
                        () = turned_true(&mut shutting_down) => return,
                        seat = connections.seat(Source::of(peer.ip())) => seat,
                    };
                    let Some(seat) = seat.map(Arc::new) else { return };
                    let activity = Arc::clone(seat.activity());
                    tokio::select! {
                        () = activity.dismissed() => tracing::debug!("a client's connection made room for another"),
                        () = serve(tcp, peer, seat, shutdown) => {}
                    }
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

async fn serve_connection<A, F>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Arc<Peer>,
    answer: A,
    limits: ServerLimits,
    mut shutdown: watch::Receiver<bool>,
) where
    A: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<AnswerStream>> + Send + 'static,
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
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    let activity = Arc::clone(peer.activity());
    let service = service_fn(move |request| {
        let (answer, peer) = (answer.clone(), Arc::clone(&peer));
        async move { Ok::<_, Infallible>(serve_request(request, answer, &peer).await) }
    });
    let stream = Corrected::new(Unstalled::new(stream, STALL), Arc::clone(&activity));
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
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

/// One request, from its head to the last byte of its answer: paid for as long as that takes.
async fn serve_request<A, F>(request: Request<Incoming>, answer: A, peer: &Peer) -> Response<Taken>
where
    A: Fn(Request<Incoming>) -> F,
    F: Future<Output = Response<AnswerStream>>,
{
    let busy = peer.activity().begin();
    let (answer, charge, refusal) = match room_for(&request, peer) {
        Ok(charge) => match check_host(&request) {
            Ok(()) => (answer(request).await, Some(charge), None),
            Err(error) => (respond(&say(&error)), Some(charge), None),
        },
        Err(error) => {
            drop(request);
            let (said, refusal) = (respond(&say(&RouteError::NoMemory(error))), peer.refusal());
            let said = if refusal.is_some() { said } else { said.map(|_| nothing()) };
            (said, None, refusal)
        }
    };
    answer.map(|body| Taken::new(body, Open::new(busy, charge, refusal)))
}

fn room_for(request: &Request<Incoming>, peer: &Peer) -> Result<Charge, NoMemory> {
    if request.version() == Version::HTTP_2 {
        peer.speaks_http_2()?;
    }
    peer.charge(STREAM_BYTES)
}

async fn turned_true(shutdown: &mut watch::Receiver<bool>) {
    // An error means that nobody is left who could ask for anything else.
    let _ = shutdown.wait_for(|shutdown| *shutdown).await;
}

#[cfg(test)]
mod tests;
