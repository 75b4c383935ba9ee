//! Connections of programs: HTTP/1.1 with keep-alive, bounded in number and in time, until it is time to leave.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use teegate_protocol::limits;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::door::Proxy;
use super::listen::{Listener, Stream};
use super::stall::Impatient;

/// Connections at a time; who comes then waits for a place.
const CONNECTIONS: usize = 256;
/// A connection on which no whole head of a request came for so long is ended, whether it is idle or slow.
const HEAD_WITHIN: Duration = Duration::from_secs(60);
/// A program that takes nothing of its answer for so long is gone.
const STALL: Duration = Duration::from_secs(30);
/// What is under way when it is time to leave has so long to end.
const DRAIN: Duration = Duration::from_secs(30);
/// Fields of a request's head.
const MAX_FIELDS: usize = 100;

/// Serves at `listener` until `stop`, then waits until what is under way is answered, 30 s at most.
pub async fn serve(proxy: Arc<Proxy>, listener: Listener, stop: impl Future<Output = ()>) {
    let (leave, leaving) = watch::channel(false);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    let accepting = async {
        loop {
            // The semaphore is never closed.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match listener.accept().await {
                Ok(stream) => {
                    let (proxy, leaving) = (Arc::clone(&proxy), leaving.clone());
                    connections.spawn(async move {
                        let _place = place;
                        serve_connection(stream, &proxy, leaving).await;
                    });
                    while connections.try_join_next().is_some() {}
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    // Out of file descriptors, most likely: accepting again at once would only burn the processor.
                    tracing::error!("cannot accept connections: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        () = proxy.keep() => {}
        () = stop => {}
    }
    drop(listener);
    let _ = leave.send(true);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    // Who is not through by then is dropped with the set.
    let _ = tokio::time::timeout(DRAIN, all_ended).await;
}

async fn serve_connection(stream: Box<dyn Stream>, proxy: &Arc<Proxy>, mut leaving: watch::Receiver<bool>) {
    let service = service_fn(|request| async move { Ok::<_, Infallible>(proxy.answer(request).await) });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(limits::HEADER_BLOCK_BYTES.saturating_mul(2))
        .max_headers(MAX_FIELDS)
        .keep_alive(true);
    let stream = TokioIo::new(Impatient::new(stream, STALL));
    let mut connection = std::pin::pin!(builder.serve_connection(stream, service));
    let told_to_leave = async { leaving.wait_for(|leaving| *leaving).await.is_ok() };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = told_to_leave => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a connection ended: {error}");
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, InvalidInput};
    // `InvalidInput`: options of a connection that is gone already cannot be set.
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted | InvalidInput)
}
