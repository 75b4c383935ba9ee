//! The end of a connection: by the peer, by silence, by a peer that does not read, to make room, or with the process.
//!
//! Places for connections are few, and whoever holds one without using it takes it from somebody else. When all are
//! taken, the longest silence makes room.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, watch};
use tokio::time::Sleep;

/// A connection on which nothing was asked for so long is ended. A gateway attests its instances far more often.
const IDLE: Duration = Duration::from_secs(900);

/// And one on which nothing was asked at all after so long: who connects has something to ask.
const FIRST: Duration = Duration::from_secs(30);

/// An answer that lies unread for so long ends its connection. A gateway gives up its own client long before.
const UNREAD: Duration = Duration::from_secs(300);

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
        () = activity.dismissed() => return Ok(()),
        () = activity.is_unread_for_too_long() => return Ok(()),
    }
    connection.as_mut().graceful_shutdown();
    tokio::time::timeout(FAREWELL, connection).await.unwrap_or(Ok(()))
}

/// Resolves when the process is to end: nothing is ever sent, the sender goes away.
async fn is_over(mut ended: watch::Receiver<()>) {
    let _ = ended.changed().await;
}

/// When something was last asked on a connection, and how much is being answered.
pub(crate) struct Activity {
    state: Mutex<State>,
    patience: Patience,
    dismissal: Notify,
}

#[derive(Clone, Copy)]
struct Patience {
    first: Duration,
    idle: Duration,
    unread: Duration,
}

struct State {
    open: usize,
    since: Instant,
    /// Whether anything was ever asked.
    asked: bool,
    /// When it first had evidence about itself.
    attested: Option<Instant>,
    /// The answers that are not read, oldest first, and since when.
    unread: BTreeMap<u64, Instant>,
    answers: u64,
}

/// How dispensable a silent connection is; the last to go comes first. Strangers go before those who have evidence about
/// themselves, or nobody who attests now and then could keep a connection while there are enough strangers; and of those
/// the youngest goes first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Dispensable {
    /// It has had evidence, for the first time then.
    Attested(Instant),
    /// It has asked for something, and is silent since then.
    Asked(Reverse<Instant>),
    /// It never asked for anything.
    Silent(Reverse<Instant>),
}

/// One request that is being answered.
pub(crate) struct Busy(Arc<Activity>);

impl Activity {
    pub(crate) fn new() -> Arc<Self> {
        Self::with(Patience { first: FIRST, idle: IDLE, unread: UNREAD })
    }

    fn with(patience: Patience) -> Arc<Self> {
        let state =
            State { open: 0, since: Instant::now(), asked: false, attested: None, unread: BTreeMap::new(), answers: 0 };
        Arc::new(Self { state: Mutex::new(state), patience, dismissal: Notify::new() })
    }

    /// A request begins, and ends when the result is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> Busy {
        self.change(|open| open.saturating_add(1));
        Busy(Arc::clone(self))
    }

    /// An answer that the peer has to read: it is read, or given up, when the result is dropped. If that lasts too long
    /// the connection ends.
    pub(crate) fn answer(self: &Arc<Self>) -> Unread {
        let busy = self.begin();
        let mut state = self.state();
        let number = state.answers;
        state.answers = number.wrapping_add(1);
        state.unread.insert(number, Instant::now());
        Unread { busy, number }
    }

    /// Resolves when an answer was not read for too long. One timer serves all answers of a connection.
    async fn is_unread_for_too_long(&self) {
        loop {
            let oldest = self.state().unread.first_key_value().map_or(Duration::ZERO, |(_, since)| since.elapsed());
            let left = self.patience.unread.saturating_sub(oldest);
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }

    /// Ends the connection now.
    pub(crate) fn dismiss(&self) {
        self.dismissal.notify_one();
    }

    /// Resolves when the connection is to end at once.
    pub(crate) async fn dismissed(&self) {
        self.dismissal.notified().await;
    }

    /// It has been given evidence about itself.
    pub(crate) fn attest(&self) {
        self.state().attested.get_or_insert_with(Instant::now);
    }

    /// How dispensable the connection is. `None` while something is being answered.
    fn dispensable(&self) -> Option<Dispensable> {
        let state = self.state();
        let silent = Reverse(state.since);
        (state.open == 0).then(|| match state.attested {
            Some(first) => Dispensable::Attested(first),
            None if state.asked => Dispensable::Asked(silent),
            None => Dispensable::Silent(silent),
        })
    }

    /// Resolves when nothing was asked for too long.
    async fn idle(&self) {
        loop {
            let left = {
                let state = self.state();
                let patience = if state.asked { self.patience.idle } else { self.patience.first };
                if state.open > 0 { patience } else { patience.saturating_sub(state.since.elapsed()) }
            };
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }

    fn change(&self, open: impl FnOnce(usize) -> usize) {
        let mut state = self.state();
        state.open = open(state.open);
        (state.since, state.asked) = (Instant::now(), true);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer that is not yet read.
pub(crate) struct Unread {
    busy: Busy,
    number: u64,
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.busy.0.state().unread.remove(&self.number);
    }
}

/// The connections that are there, to find the one that makes room.
#[derive(Default)]
pub(crate) struct Connections(Vec<Weak<Activity>>);

impl Connections {
    pub(crate) fn add(&mut self, activity: &Arc<Activity>) {
        self.0.retain(|known| known.strong_count() > 0);
        self.0.push(Arc::downgrade(activity));
    }

    /// Dismisses the most dispensable connection, if any is.
    pub(crate) fn make_room(&mut self) {
        let open = self.0.iter().enumerate().filter_map(|(place, known)| Some((place, known.upgrade()?)));
        let dispensable = open.filter_map(|(place, activity)| Some((activity.dispensable()?, place, activity)));
        if let Some((_, place, activity)) = dispensable.max_by(|(one, ..), (other, ..)| one.cmp(other)) {
            activity.dismiss();
            // One that is ending already makes no more room.
            self.0.swap_remove(place);
        }
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

    // Otherwise an answer leaves in two pieces, each a record of its own.
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const NEVER: Duration = Duration::from_secs(600);
    const SOON: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn who_never_asks_has_less_time_and_an_unread_answer_ends_the_connection() {
        let patience = Patience { first: SOON, idle: NEVER, unread: NEVER };
        Activity::with(patience).idle().await;
        let asked = Activity::with(patience);
        drop(asked.begin());
        assert!(tokio::time::timeout(SOON * 3, asked.idle()).await.is_err());

        let activity = Activity::with(Patience { unread: SOON, ..patience });
        drop(activity.answer());
        assert!(tokio::time::timeout(SOON * 3, activity.is_unread_for_too_long()).await.is_err());
        let unread = activity.answer();
        drop(activity.answer());
        tokio::time::timeout(NEVER, activity.is_unread_for_too_long()).await.unwrap();
        drop(unread);
        assert!(tokio::time::timeout(SOON * 3, activity.is_unread_for_too_long()).await.is_err());
    }

    #[tokio::test]
    async fn the_longest_silence_makes_room_and_work_never_does() {
        let [busy, silent, recent, never, attested, later] = [(); 6].map(|()| Activity::new());
        let mut connections = Connections::default();
        for activity in [&busy, &silent, &recent, &never, &attested, &later] {
            connections.add(activity);
        }
        let working = busy.begin();
        for asks in [&attested, &later, &silent, &recent] {
            drop(asks.begin());
        }
        attested.attest();
        later.attest();
        attested.attest();
        for expected in [&never, &silent, &recent, &later, &attested] {
            connections.make_room();
            tokio::time::timeout(NEVER, expected.dismissed()).await.unwrap();
        }
        connections.make_room();
        drop(working);
        assert!(tokio::time::timeout(SOON, busy.dismissed()).await.is_err());
        connections.make_room();
        busy.dismissed().await;
    }

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
