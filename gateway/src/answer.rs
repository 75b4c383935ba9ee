//! The answer of an enclave on its way to the client.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::time::{Instant, timeout_at};

use crate::attempt::Attempt;
use crate::budget::Charge;
use crate::metrics::Metrics;
use crate::pace::{Meter, Pace, TooSlow};
use crate::sending::Unfinished;
use crate::trust::ANSWER_WINDOW_BYTES;
use crate::turns::Place;

/// The body of every answer.
pub type AnswerStream = UnsyncBoxBody<Bytes, BrokenAnswer>;

/// The body of an answer whose head is there.
pub(crate) struct Coming {
    pub(crate) stream: RecvStream,
    pub(crate) announced: Option<u64>,
    /// The longest that is passed on.
    pub(crate) most: u64,
    pub(crate) deadline: Instant,
    pub(crate) pace: Pace,
    /// The client's room for it: as much as the instance may send before it was read.
    pub(crate) room: Charge,
    pub(crate) attempt: Attempt,
    /// If the answer came before the end of the request, resetting the stream would cut the answer off, too.
    pub(crate) rest: Unfinished,
    pub(crate) place: Place,
}

impl Coming {
    /// Reads it from now on, however slowly the client takes it. What is there already is read first, so that it can leave with
    /// the head of the answer.
    pub(crate) async fn pass_on(self) -> AnswerBody {
        let Self { stream, announced, most, deadline, pace, room, attempt, rest, place } = self;
        let metrics = Arc::clone(&attempt.metrics);
        let (to_client, pieces) = mpsc::unbounded_channel();
        let is_over = stream.is_end_stream();
        let pump = Pump {
            stream,
            left: most,
            deadline,
            ahead: Ahead::new(room),
            meter: Meter::new(pace),
            is_client_waited_for: false,
            attempt,
            _rest: rest,
            _place: place,
        };
        let mut reading = Box::pin(pump.run(to_client));
        let is_read = poll_fn(|context| Poll::Ready(reading.as_mut().poll(context).is_ready())).await;
        if !is_read {
            tokio::spawn(reading);
        }
        AnswerBody { pieces, announced, is_over, metrics }
    }
}

/// What the gateway has read of an answer and the client has not taken. There is room for one window of the instance's; more is
/// made in steps of it, as long as the client has memory, so that the instance is free as soon as it has answered.
struct Ahead {
    room: Semaphore,
    charge: Mutex<Charge>,
}

impl Ahead {
    fn new(charge: Charge) -> Arc<Self> {
        let room = Semaphore::new(usize::try_from(charge.bytes()).unwrap_or(0));
        Arc::new(Self { room, charge: Mutex::new(charge) })
    }

    /// Room for `length` bytes, if there is some or some can be made.
    fn try_take(&self, length: u32) -> bool {
        let take = || self.room.try_acquire_many(length).map(SemaphorePermit::forget).is_ok();
        take() || (self.grow() && take())
    }

    fn grow(&self) -> bool {
        let mut charge = self.charge.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, step) = (charge.bytes(), u64::from(ANSWER_WINDOW_BYTES));
        let after = before.saturating_add(step);
        if charge.grow_to(after).is_err() {
            return false;
        }
        self.room.add_permits(usize::try_from(step).unwrap_or(0));
        true
    }

    /// Waits until the client has taken so much that there is room.
    async fn take(&self, length: u32) {
        if let Ok(room) = self.room.acquire_many(length).await {
            room.forget();
        }
    }
}

/// A piece of an answer in a buffer of its own: what it came in holds pieces of others. Its room is free when it has left.
struct Piece {
    bytes: Vec<u8>,
    room: u32,
    ahead: Arc<Ahead>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.ahead.room.add_permits(usize::try_from(self.room).unwrap_or(0));
    }
}

/// Reads the enclave's body, bounded in time and length, and gives its place at the instance back at the end of that: a client
/// that does not read cannot keep it. Where there is no memory to read ahead of it, it has to keep its pace.
struct Pump {
    stream: RecvStream,
    left: u64,
    deadline: Instant,
    ahead: Arc<Ahead>,
    meter: Meter,
    is_client_waited_for: bool,
    attempt: Attempt,
    _rest: Unfinished,
    _place: Place,
}

/// A piece of the answer; `None` at its end.
type Passed = Result<Option<Bytes>, BrokenAnswer>;

impl Pump {
    async fn run(mut self, to_client: mpsc::UnboundedSender<Passed>) {
        let passed = tokio::select! {
            biased;
            () = to_client.closed() => return,
            passed = timeout_at(self.deadline, self.pass(&to_client)) => passed.unwrap_or(Err(BrokenAnswer::Deadline)),
        };
        match &passed {
            Ok(()) => self.attempt.answered(),
            // It is the client that was too slow.
            Err(BrokenAnswer::NotTaken) => {}
            Err(BrokenAnswer::Deadline) if self.is_client_waited_for => {}
            Err(broken) => self.attempt.failed(broken.outcome()),
        }
        // A client that is gone does not hear it.
        let _ = to_client.send(passed.map(|()| None));
    }

    async fn pass(&mut self, to_client: &mpsc::UnboundedSender<Passed>) -> Result<(), BrokenAnswer> {
        while let Some(data) = self.stream.data().await {
            let data = data.map_err(BrokenAnswer::Lost)?;
            let length = data.len();
            self.left =
                self.left.checked_sub(u64::try_from(length).unwrap_or(u64::MAX)).ok_or(BrokenAnswer::TooLong)?;
            // A frame is smaller than the window for which there is room at least.
            let room = u32::try_from(length).unwrap_or(u32::MAX).min(ANSWER_WINDOW_BYTES);
            if !self.ahead.try_take(room) {
                self.is_client_waited_for = true;
                self.meter.wait(self.ahead.take(room)).await.map_err(|TooSlow| BrokenAnswer::NotTaken)?;
                self.is_client_waited_for = false;
            }
            self.meter.moved(room.into());
            let piece = Bytes::from_owner(Piece { bytes: data.to_vec(), room, ahead: Arc::clone(&self.ahead) });
            if to_client.send(Ok(Some(piece))).is_err() {
                // The client is gone, which ends all of this.
                return std::future::pending().await;
            }
            self.stream.flow_control().release_capacity(length).map_err(BrokenAnswer::Lost)?;
        }
        Ok(())
    }
}

/// The enclave's body, passed on as it comes.
pub struct AnswerBody {
    pieces: mpsc::UnboundedReceiver<Passed>,
    announced: Option<u64>,
    is_over: bool,
    metrics: Arc<Metrics>,
}

/// The answer broke off; the client sees an incomplete body.
#[derive(Debug)]
pub enum BrokenAnswer {
    /// The connection to the instance was lost.
    Lost(h2::Error),
    /// It is longer than is accepted.
    TooLong,
    /// It did not end in time.
    Deadline,
    /// The client took too little of it for too long.
    NotTaken,
}

impl BrokenAnswer {
    /// As metrics show it.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::Lost(_) => "answer-lost",
            Self::TooLong => "answer-too-long",
            Self::Deadline => "answer-deadline",
            Self::NotTaken => "answer-not-taken",
        }
    }
}

impl fmt::Display for BrokenAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(error) => write!(f, "the instance was lost during its answer: {error}"),
            Self::TooLong => f.write_str("the answer of the instance is longer than is accepted"),
            Self::Deadline => f.write_str("the answer of the instance did not end in time"),
            Self::NotTaken => f.write_str("the client did not take the answer in time"),
        }
    }
}

impl std::error::Error for BrokenAnswer {}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BrokenAnswer;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenAnswer>>> {
        let this = self.get_mut();
        if this.is_over {
            return Poll::Ready(None);
        }
        match ready!(this.pieces.poll_recv(context)) {
            Some(Ok(Some(data))) => {
                let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
                this.announced = this.announced.map(|announced| announced.saturating_sub(length));
                this.metrics.answered_bytes(length);
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Some(Ok(None)) => {
                this.is_over = true;
                Poll::Ready(None)
            }
            Some(Err(broken)) => {
                this.is_over = true;
                Poll::Ready(Some(Err(broken)))
            }
            // The pump ended without a word, which it does only with the process.
            None => {
                this.is_over = true;
                Poll::Ready(Some(Err(BrokenAnswer::Deadline)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }

    fn size_hint(&self) -> SizeHint {
        self.announced.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
