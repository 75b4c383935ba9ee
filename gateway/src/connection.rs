//! The end of a client's connection: by the client, by silence, or because it does not take what it asked for.
//!
//! Places for connections are few, and whoever holds one without using it takes it from somebody else.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::answer::{AnswerStream, BrokenAnswer};

/// How long a connection may do without what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Its first request.
    pub(crate) first: Duration,
    /// Any request, after that.
    pub(crate) idle: Duration,
    /// The client's taking the whole of an answer, once its head is there.
    pub(crate) answer: Duration,
}

/// What was asked on a connection, and what of it is still being answered.
pub(crate) struct Activity {
    patience: Patience,
    state: Mutex<State>,
}

struct State {
    open: usize,
    /// When the answers that are being taken have to be gone, the earliest first.
    due: Vec<Instant>,
    idle_until: Instant,
}

impl Activity {
    pub(crate) fn new(patience: Patience) -> Arc<Self> {
        let state = State { open: 0, due: Vec::new(), idle_until: Instant::now() + patience.first };
        Arc::new(Self { patience, state: Mutex::new(state) })
    }

    /// A request begins, and ends when the result is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> Busy {
        self.change(|state| state.open = state.open.saturating_add(1));
        Busy { activity: Arc::clone(self), due: None }
    }

    /// Resolves when the connection has been silent, or an answer has not been taken, for too long.
    pub(crate) async fn over(&self) {
        loop {
            let now = Instant::now();
            let next = {
                let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                // While something is open silence does not count; whoever begins meanwhile is due later than this look.
                let silent = if state.open > 0 { now + self.patience.answer } else { state.idle_until };
                state.due.first().map_or(silent, |due| silent.min(*due))
            };
            if next <= now {
                return;
            }
            sleep_until(next.min(now + self.patience.answer)).await;
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        state.idle_until = Instant::now() + self.patience.idle;
    }
}

/// One request that is being answered.
pub(crate) struct Busy {
    activity: Arc<Activity>,
    due: Option<Instant>,
}

impl Busy {
    /// The head of the answer is there: from now on it is the client's turn.
    pub(crate) fn answered(mut self, body: AnswerStream) -> Taken {
        let due = Instant::now() + self.activity.patience.answer;
        self.due = Some(due);
        self.activity.change(|state| state.due.push(due));
        Taken { body, _busy: self }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.activity.change(|state| {
            state.open = state.open.saturating_sub(1);
            if let Some(index) = state.due.iter().position(|due| Some(*due) == self.due) {
                state.due.remove(index);
            }
        });
    }
}

/// An answer on its way to the client.
pub(crate) struct Taken {
    body: AnswerStream,
    _busy: Busy,
}

impl Body for Taken {
    type Data = Bytes;
    type Error = BrokenAnswer;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenAnswer>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
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
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
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

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.inner).poll_write_vectored(context, slices);
        this.judge(context, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
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
    use http_body_util::{BodyExt as _, Full};
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    const PATIENCE: Patience =
        Patience { first: Duration::from_secs(10), idle: Duration::from_secs(300), answer: Duration::from_secs(60) };

    fn body() -> AnswerStream {
        Full::new(Bytes::from_static(b"ok")).map_err(|never| match never {}).boxed_unsync()
    }

    async fn over_after(activity: &Activity) -> u64 {
        let start = Instant::now();
        activity.over().await;
        start.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_ends_by_silence_and_by_an_answer_that_is_not_taken() {
        assert_eq!(over_after(&Activity::new(PATIENCE)).await, 10, "without a first request");
        let activity = Activity::new(PATIENCE);
        drop(activity.begin().answered(body()));
        assert_eq!(over_after(&activity).await, 300, "without another");
        let activity = Activity::new(PATIENCE);
        let taken = activity.begin().answered(body());
        assert_eq!(over_after(&activity).await, 60, "with an answer that nobody takes");
        drop(taken);
        let activity = Activity::new(PATIENCE);
        let busy = activity.begin();
        let held = tokio::time::timeout(Duration::from_secs(1_000), activity.over()).await;
        assert!(held.is_err(), "a request that is held is not silence");
        drop(busy);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_is_given_up() {
        let (near, _far) = tokio::io::duplex(16);
        let mut stream = Unstalled::new(near, Duration::from_secs(30));
        assert_eq!(stream.write_all(&[7; 64]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
