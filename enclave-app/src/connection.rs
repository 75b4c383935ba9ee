//! The end of a connection: by the peer, by silence, by a peer that does not read, or with the process.
//!
//! Places for connections are few, and whoever holds one without using it takes it from somebody else.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::Sleep;

/// A connection on which nothing was asked for so long is ended. A gateway attests its instances far more often.
const IDLE: Duration = Duration::from_secs(900);

/// A peer that takes nothing of what it is sent for so long is gone.
pub(crate) const STALL: Duration = Duration::from_secs(30);

/// What is left of a connection that was told to end.
const FAREWELL: Duration = Duration::from_secs(30);

/// Serves a connection until it ends, has been idle too long, or the process ends.
pub(crate) async fn drive<C: GracefulConnection>(
    connection: C,
    activity: Arc<Activity>,
    ended: watch::Receiver<()>,
) -> Result<(), C::Error> {
    tokio::pin!(connection);
    tokio::select! {
        result = connection.as_mut() => return result,
        () = is_over(ended) => {}
        () = activity.idle() => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::time::timeout(FAREWELL, connection).await.unwrap_or(Ok(()))
}

/// Resolves when the process is to end: nothing is ever sent, the sender goes away.
async fn is_over(mut ended: watch::Receiver<()>) {
    let _ = ended.changed().await;
}

/// When something was last asked on a connection, and how much is being answered.
pub(crate) struct Activity(Mutex<State>);

struct State {
    open: usize,
    since: Instant,
}

/// One request that is being answered.
pub(crate) struct Busy(Arc<Activity>);

impl Activity {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { open: 0, since: Instant::now() })))
    }

    /// A request begins, and ends when the result is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> Busy {
        self.change(|open| open.saturating_add(1));
        Busy(Arc::clone(self))
    }

    /// Resolves when nothing was asked for [`IDLE`].
    async fn idle(&self) {
        loop {
            let left = {
                let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                if state.open > 0 { IDLE } else { IDLE.saturating_sub(state.since.elapsed()) }
            };
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }

    fn change(&self, open: impl FnOnce(usize) -> usize) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = State { open: open(state.open), since: Instant::now() };
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.change(|open| open.saturating_sub(1));
    }
}

/// A stream whose writer gives up when the peer takes nothing for too long.
pub(crate) struct Unstalled<T> {
    inner: T,
    patience: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<T> Unstalled<T> {
    pub(crate) fn new(inner: T, patience: Duration) -> Self {
        Self { inner, patience, stalled: None }
    }

    fn judge<R>(&mut self, context: &mut Context<'_>, poll: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if poll.is_ready() {
            self.stalled = None;
            return poll;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read")))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Unstalled<T> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Unstalled<T> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.inner).poll_write(context, bytes);
        this.judge(context, poll)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.inner).poll_flush(context);
        this.judge(context, poll)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.inner).poll_shutdown(context);
        this.judge(context, poll)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_peer_that_does_not_read_is_given_up_and_one_that_does_is_not() {
        let (near, mut far) = tokio::io::duplex(16);
        let mut stream = Unstalled::new(near, Duration::from_millis(50));
        assert_eq!(stream.write_all(&[7; 64]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(far.read(&mut [0; 64]).await.unwrap(), 16);

        let (near, mut far) = tokio::io::duplex(16);
        let mut stream = Unstalled::new(near, Duration::from_secs(600));
        let reader = tokio::spawn(async move {
            let mut read = [0; 64];
            far.read_exact(&mut read).await.map(|_| read)
        });
        stream.write_all(&[7; 64]).await.unwrap();
        assert_eq!(reader.await.unwrap().unwrap(), [7; 64]);
    }
}
