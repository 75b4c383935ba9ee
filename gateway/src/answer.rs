//! The answer of an enclave on its way to the client.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, timeout_at};

use crate::attempt::Attempt;
use crate::metrics::Metrics;
use crate::sending::Unfinished;

/// The body of every answer.
pub type AnswerStream = UnsyncBoxBody<Bytes, BrokenAnswer>;

/// The body of an answer whose head is there.
pub(crate) struct Coming {
    pub(crate) stream: RecvStream,
    pub(crate) announced: Option<u64>,
    /// The longest that is passed on.
    pub(crate) most: u64,
    pub(crate) deadline: Instant,
    pub(crate) attempt: Attempt,
    /// If the answer came before the end of the request, resetting the stream would cut the answer off, too.
    pub(crate) rest: Unfinished,
    pub(crate) place: OwnedSemaphorePermit,
}

impl Coming {
    /// Reads it from now on, however slowly the client takes it.
    pub(crate) fn pass_on(self) -> AnswerBody {
        let Self { stream, announced, most, deadline, attempt, rest, place } = self;
        let metrics = Arc::clone(&attempt.metrics);
        let (to_client, pieces) = mpsc::channel(PIECES_KEPT);
        let is_over = stream.is_end_stream();
        let pump =
            Pump { stream, left: most, deadline, is_client_waited_for: false, attempt, _rest: rest, _place: place };
        tokio::spawn(pump.run(to_client));
        AnswerBody { pieces, announced, is_over, metrics }
    }
}

/// Reads the enclave's body, bounded in time and length, and gives its place at the instance back at the end of that: a client
/// that does not read cannot keep it.
struct Pump {
    stream: RecvStream,
    left: u64,
    deadline: Instant,
    is_client_waited_for: bool,
    attempt: Attempt,
    _rest: Unfinished,
    _place: OwnedSemaphorePermit,
}

/// A piece of the answer; `None` at its end.
type Passed = Result<Option<Bytes>, BrokenAnswer>;

/// So many pieces of an answer may wait for the client, and one word on how it ended.
const PIECES_KEPT: usize = 4;

impl Pump {
    async fn run(mut self, to_client: mpsc::Sender<Passed>) {
        // The last word never waits for the client.
        let Ok(last_word) = to_client.clone().reserve_owned().await else { return };
        let passed = tokio::select! {
            biased;
            () = to_client.closed() => return,
            passed = timeout_at(self.deadline, self.pass(&to_client)) => passed.unwrap_or(Err(BrokenAnswer::Deadline)),
        };
        match &passed {
            Ok(()) => self.attempt.answered(),
            // It is the client that was too slow.
            Err(BrokenAnswer::Deadline) if self.is_client_waited_for => {}
            Err(broken) => self.attempt.failed(broken.outcome()),
        }
        last_word.send(passed.map(|()| None));
    }

    async fn pass(&mut self, to_client: &mpsc::Sender<Passed>) -> Result<(), BrokenAnswer> {
        while let Some(data) = self.stream.data().await {
            let data = data.map_err(BrokenAnswer::Lost)?;
            let length = data.len();
            self.left =
                self.left.checked_sub(u64::try_from(length).unwrap_or(u64::MAX)).ok_or(BrokenAnswer::TooLong)?;
            self.is_client_waited_for = true;
            if to_client.send(Ok(Some(data))).await.is_err() {
                // The client is gone, which ends all of this.
                return std::future::pending().await;
            }
            self.is_client_waited_for = false;
            self.stream.flow_control().release_capacity(length).map_err(BrokenAnswer::Lost)?;
        }
        Ok(())
    }
}

/// The enclave's body, passed on as it comes.
pub struct AnswerBody {
    pieces: mpsc::Receiver<Passed>,
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
}

impl BrokenAnswer {
    /// As metrics show it.
    fn outcome(&self) -> &'static str {
        match self {
            Self::Lost(_) => "answer-lost",
            Self::TooLong => "answer-too-long",
            Self::Deadline => "answer-deadline",
        }
    }
}

impl fmt::Display for BrokenAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(error) => write!(f, "the instance was lost during its answer: {error}"),
            Self::TooLong => f.write_str("the answer of the instance is longer than is accepted"),
            Self::Deadline => f.write_str("the answer of the instance did not end in time"),
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
