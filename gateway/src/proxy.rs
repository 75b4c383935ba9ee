//! Forwards one sealed request to an enclave that is trusted now, and its answer back.
//!
//! [`forward`] takes a [`Trusted<Backend>`], and no other code can open a stream to an enclave. The inner hop is built from
//! nothing: method, path, content type, length. Nothing of the client's head goes in; status, content type and body come back.
//! The permit is shown for the head and for every piece that is queued, and goes back only when all of that has left this
//! process: if it is withdrawn before, the connection is shut. After the first byte nothing is tried again.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aws_lc_rs::digest::{Context as Digest, SHA256};
use bytes::{Buf as _, Bytes};
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};
use teegate_protocol::headers::{OHTTP_PATH, OHTTP_REQUEST};
use teegate_protocol::receipt::CiphertextDigest;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, timeout, timeout_at};

use crate::breaker::Trial;
use crate::clock::Clock;
use crate::config::Address;
use crate::metrics::Metrics;
use crate::release::{Permit, Withdrawn};
use crate::trust::{Backend, NotOpened, Opened, Outlet, Trusted};
use crate::upload::{Upload, UploadError};

/// How long a forwarded request may take.
#[derive(Clone, Copy, Debug)]
pub struct ForwardLimits {
    /// Between two pieces of the client's body, and for the instance to take one.
    pub body_idle: Duration,
    /// From the release of a request to its last byte.
    pub upload: Duration,
    /// From the last byte released to the end of the answer.
    pub answer: Duration,
    /// The longest answer.
    pub max_answer_bytes: u64,
}

/// The head of an answer, and the body to come.
pub struct Answer {
    /// The enclave's status.
    pub status: StatusCode,
    /// The enclave's content type.
    pub content_type: Option<HeaderValue>,
    /// The enclave's body.
    pub body: AnswerBody,
    /// What was released of the request, if that was all of it.
    pub released: Option<CiphertextDigest>,
    /// How many bytes were released.
    pub released_bytes: u64,
    /// From the first byte released to the head of the answer.
    pub took: Duration,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum NotForwarded {
    /// Not one byte was sent, and it may be tried again with the same instance.
    NotOpened(NotOpened),
    /// Too many requests wait for answers on the connection, for too long. That says nothing about the instance.
    NoRoom,
    /// The predicate fell.
    Withdrawn {
        /// Whether a part of the request had been sent.
        bytes_left: bool,
    },
    /// The connection to the instance was lost after bytes had left.
    Lost(h2::Error),
    /// The instance did not take the request, or did not answer it, in time.
    Deadline {
        /// Whether a part of the request had been sent.
        bytes_left: bool,
    },
    /// The client did not deliver its request.
    Upload {
        /// Why.
        error: UploadError,
        /// Whether a part of the request had been sent.
        bytes_left: bool,
    },
    /// The client delivered nothing for too long.
    Idle {
        /// Whether a part of the request had been sent.
        bytes_left: bool,
    },
    /// The client's request is empty.
    Empty,
}

/// One try of one instance, to be told how it went. Dropped untold, it was a client's doing, or nobody's.
pub struct Attempt {
    /// Which instance.
    pub address: Address,
    /// Its circuit breaker's leave.
    pub trial: Option<Trial>,
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
}

impl Attempt {
    fn answered(self) {
        self.metrics.upstream(&self.address, "answered");
        if let Some(trial) = self.trial {
            trial.answered();
        }
    }

    fn failed(self, outcome: &'static str) {
        self.metrics.upstream(&self.address, outcome);
        if let Some(trial) = self.trial {
            trial.failed(Instant::now());
        }
    }
}

/// Sends the request and waits for the head of the answer.
pub async fn forward<B: Body<Data = Bytes> + Unpin>(
    trusted: &Trusted<Backend>,
    permit: Permit,
    attempt: Attempt,
    upload: &mut Upload<B>,
    clock: &Clock,
    limits: ForwardLimits,
) -> Result<Answer, NotForwarded> {
    let error = match exchange(trusted, permit, upload, clock, limits, &attempt.metrics).await {
        Ok(exchanged) => return Ok(exchanged.answer(attempt, limits)),
        Err(error) => error,
    };
    let is_shut = trusted.once().outlet().is_shut();
    match error {
        // The connection was not lost: it was taken away.
        NotForwarded::NotOpened(NotOpened::Lost(_)) if is_shut => Err(NotForwarded::Withdrawn { bytes_left: false }),
        NotForwarded::Lost(_) if is_shut => Err(NotForwarded::Withdrawn { bytes_left: true }),
        error => {
            match &error {
                NotForwarded::NotOpened(NotOpened::Lost(_)) | NotForwarded::Lost(_) => attempt.failed("lost"),
                NotForwarded::Deadline { .. } => attempt.failed("deadline"),
                NotForwarded::NotOpened(NotOpened::Lapsed)
                | NotForwarded::NoRoom
                | NotForwarded::Withdrawn { .. }
                | NotForwarded::Upload { .. }
                | NotForwarded::Idle { .. }
                | NotForwarded::Empty => {}
            }
            Err(error)
        }
    }
}

/// A request that went out, and the head of its answer.
struct Exchanged {
    head: Response<RecvStream>,
    /// If the answer came before the end of the request, resetting the stream would cut the answer off, too.
    rest: Unfinished,
    place: OwnedSemaphorePermit,
    released: Option<CiphertextDigest>,
    released_bytes: u64,
    took: Duration,
    deadline: Instant,
}

async fn exchange<B: Body<Data = Bytes> + Unpin>(
    trusted: &Trusted<Backend>,
    mut permit: Permit,
    upload: &mut Upload<B>,
    clock: &Clock,
    limits: ForwardLimits,
    metrics: &Arc<Metrics>,
) -> Result<Exchanged, NotForwarded> {
    // No stream is opened for a client that is still about to send: most requests are complete before they take one.
    let begun = tokio::select! {
        biased;
        () = permit.withdrawn() => return Err(NotForwarded::Withdrawn { bytes_left: false }),
        begun = timeout(limits.body_idle, upload.begin()) => begun,
    };
    match begun {
        Err(_) => return Err(NotForwarded::Idle { bytes_left: false }),
        Ok(Err(error)) => return Err(NotForwarded::Upload { error, bytes_left: false }),
        Ok(Ok(true)) => return Err(NotForwarded::Empty),
        Ok(Ok(false)) => {}
    }
    let room = tokio::select! {
        biased;
        () = permit.withdrawn() => return Err(NotForwarded::Withdrawn { bytes_left: false }),
        room = timeout(limits.answer, trusted.room()) => room,
    };
    let room = room.map_err(|_| NotForwarded::NoRoom)?.map_err(NotForwarded::NotOpened)?;
    if permit.link_id() != trusted.once().link_id() {
        return Err(NotForwarded::Withdrawn { bytes_left: false });
    }
    let head = inner_head(upload.announced());
    let opened = permit.exercise(|| trusted.open(&clock.now(), room, head));
    let opened = opened.map_err(|Withdrawn| NotForwarded::Withdrawn { bytes_left: false })?;
    let Opened { mut answer, stream, place } = opened.map_err(NotForwarded::NotOpened)?;
    let start = clock.now().mono;
    let mut outgoing = Outgoing {
        stream: Unfinished { stream, is_finished: false },
        escort: Escort { permit, outlet: Arc::clone(trusted.once().outlet()) },
        digest: Digest::new(&SHA256),
        piece: Bytes::new(),
        bytes: 0,
        metrics: Arc::clone(metrics),
    };
    let early = tokio::select! {
        biased;
        // An answer before the end of the request is a refusal: the rest need not be sent.
        head = &mut answer => Ok(Some(head)),
        sent = timeout(limits.upload, outgoing.send(upload, limits.body_idle)) => match sent {
            Ok(sent) => sent.map(|()| None),
            Err(_) => Err(NotForwarded::Idle { bytes_left: outgoing.bytes > 0 }),
        },
    };
    // Where nothing was sent it may be tried again: with all of it.
    if outgoing.bytes == 0 && !outgoing.piece.is_empty() {
        upload.give_back(std::mem::take(&mut outgoing.piece));
    }
    let early = early?;
    // From here on nothing more is queued. What is queued and has not left stays under the permit.
    let Outgoing { stream: rest, escort, digest, bytes: released_bytes, .. } = outgoing;
    drop(escort);
    let released = if rest.is_finished { digest.finish().as_ref().try_into().ok().map(CiphertextDigest) } else { None };
    let deadline = Instant::now() + limits.answer;
    let head = match early {
        Some(head) => head,
        None => match timeout_at(deadline, answer).await {
            Ok(head) => head,
            Err(_) => return Err(NotForwarded::Deadline { bytes_left: true }),
        },
    };
    let head = head.map_err(|error| lost(error, released_bytes))?;
    let took = clock.now().mono.saturating_duration_since(start);
    metrics.answered_after(took);
    Ok(Exchanged { head, rest, place, released, released_bytes, took, deadline })
}

impl Exchanged {
    /// The answer, whose body is read from now on, however slowly the client takes it.
    fn answer(self, attempt: Attempt, limits: ForwardLimits) -> Answer {
        let Self { head, rest, place, released, released_bytes, took, deadline } = self;
        let (parts, stream) = head.into_parts();
        let announced = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let metrics = Arc::clone(&attempt.metrics);
        let (to_client, pieces) = mpsc::channel(PIECES_KEPT);
        let is_over = stream.is_end_stream();
        let left = limits.max_answer_bytes;
        let pump = Pump { stream, left, deadline, is_client_waited_for: false, attempt, _rest: rest, _place: place };
        tokio::spawn(pump.run(to_client));
        Answer {
            status: parts.status,
            content_type: parts.headers.get(CONTENT_TYPE).cloned(),
            body: AnswerBody { pieces, announced, is_over, metrics },
            released,
            released_bytes,
            took,
        }
    }
}

/// The head of the inner hop. Nothing in it comes from the client but the length.
fn inner_head(length: Option<u64>) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = http::Method::POST;
    *request.version_mut() = http::Version::HTTP_2;
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(http::uri::Scheme::HTTPS);
    uri.authority = Some(http::uri::Authority::from_static("enclave.invalid"));
    uri.path_and_query = Some(http::uri::PathAndQuery::from_static(OHTTP_PATH));
    *request.uri_mut() = http::Uri::from_parts(uri).unwrap_or_default();
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(OHTTP_REQUEST));
    if let Some(length) = length {
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    request
}

/// A request on its way out.
struct Outgoing {
    stream: Unfinished,
    escort: Escort,
    digest: Digest,
    /// What of the current piece was not queued yet.
    piece: Bytes,
    bytes: u64,
    metrics: Arc<Metrics>,
}

/// The sending half of a stream. Unless it was finished, dropping it takes back what HTTP/2 has not begun to write.
struct Unfinished {
    stream: SendStream<Bytes>,
    is_finished: bool,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_finished {
            // Unlike a stream that is merely dropped, one that is reset forgets what is queued.
            self.stream.send_reset(Reason::CANCEL);
        }
    }
}

/// How long a change of policy waits for what a request has queued already.
const LAST_BYTES: Duration = Duration::from_millis(200);

/// A permit under which something was queued. Dropping it keeps the permit until all of that has left this process; if it is
/// withdrawn before, the connection is shut, and only then does the permit end.
struct Escort {
    permit: Permit,
    outlet: Arc<Outlet>,
}

impl Drop for Escort {
    fn drop(&mut self) {
        let (mut permit, outlet) = (self.permit.clone(), Arc::clone(&self.outlet));
        let ticket = outlet.queued();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return outlet.shut() };
        runtime.spawn(async move {
            tokio::select! {
                biased;
                () = outlet.left(ticket) => return,
                () = permit.withdrawn() => {}
            }
            // A connection that flows needs no more than this, and others have their answers on it.
            if timeout(LAST_BYTES, outlet.left(ticket)).await.is_err() {
                outlet.shut();
            }
        });
    }
}

impl Outgoing {
    async fn send<B: Body<Data = Bytes> + Unpin>(
        &mut self,
        upload: &mut Upload<B>,
        idle: Duration,
    ) -> Result<(), NotForwarded> {
        loop {
            let bytes_left = self.bytes > 0;
            let piece = tokio::select! {
                biased;
                () = self.escort.permit.withdrawn() => return Err(NotForwarded::Withdrawn { bytes_left }),
                piece = timeout(idle, upload.next_piece()) => piece,
            };
            match piece {
                Err(_) => return Err(NotForwarded::Idle { bytes_left }),
                Ok(Err(error)) => return Err(NotForwarded::Upload { error, bytes_left }),
                Ok(Ok(Some(piece))) => {
                    self.piece = piece;
                    self.send_piece(idle).await?;
                }
                Ok(Ok(None)) => {
                    self.write(Bytes::new(), true)?;
                    self.stream.is_finished = true;
                    return Ok(());
                }
            }
        }
    }

    /// Writes as much as the instance and the socket have room for, until the piece is gone.
    async fn send_piece(&mut self, idle: Duration) -> Result<(), NotForwarded> {
        while !self.piece.is_empty() {
            self.stream.stream.reserve_capacity(self.piece.len());
            let bytes_left = self.bytes > 0;
            let (permit, stream) = (&mut self.escort.permit, &mut self.stream.stream);
            let capacity = tokio::select! {
                biased;
                () = permit.withdrawn() => return Err(NotForwarded::Withdrawn { bytes_left }),
                capacity = timeout(idle, poll_fn(|context| stream.poll_capacity(context))) => capacity,
            };
            let capacity = match capacity {
                Err(_) => return Err(NotForwarded::Deadline { bytes_left }),
                Ok(None) => return Err(lost(Reason::STREAM_CLOSED.into(), self.bytes)),
                Ok(Some(Err(error))) => return Err(lost(error, self.bytes)),
                Ok(Some(Ok(capacity))) => capacity,
            };
            let length = capacity.min(self.piece.len());
            self.write(self.piece.slice(..length), false)?;
            self.piece.advance(length);
        }
        Ok(())
    }

    /// The one place where a byte of a request is queued: under the permit.
    fn write(&mut self, part: Bytes, is_end: bool) -> Result<(), NotForwarded> {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        let (bytes_left, stream) = (self.bytes > 0, &mut self.stream.stream);
        let queued = self.escort.permit.exercise(|| stream.send_data(part.clone(), is_end));
        let queued = queued.map_err(|Withdrawn| NotForwarded::Withdrawn { bytes_left })?;
        queued.map_err(|error| lost(error, self.bytes))?;
        self.digest.update(&part);
        self.bytes = self.bytes.saturating_add(length);
        self.metrics.released_bytes(length);
        Ok(())
    }
}

fn lost(error: h2::Error, bytes: u64) -> NotForwarded {
    if bytes > 0 { NotForwarded::Lost(error) } else { NotForwarded::NotOpened(NotOpened::Lost(error)) }
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
