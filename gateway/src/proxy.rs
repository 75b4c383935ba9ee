//! Forwards one sealed request to an enclave that is trusted now, and its answer back.
//!
//! [`forward`] takes a [`Trusted<Backend>`], and no other code can open a stream to an enclave. The inner hop is built from
//! nothing: method, path, content type, length. Nothing of the client's head goes in; status, content type and body come back.
//! The permit is shown before every piece that is written. After the first byte nothing is tried again.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aws_lc_rs::digest::{Context as Digest, SHA256};
use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Request, StatusCode};
use hyper::body::{Body, Frame, SizeHint};
use teegate_protocol::headers::{OHTTP_PATH, OHTTP_REQUEST};
use teegate_protocol::receipt::CiphertextDigest;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::release::{Permit, Withdrawn};
use crate::trust::{Backend, NotOpened, Opened, Trusted};
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

/// Sends the request and waits for the head of the answer.
pub async fn forward<B: Body<Data = Bytes> + Unpin>(
    trusted: &Trusted<Backend>,
    mut permit: Permit,
    upload: &mut Upload<B>,
    clock: &Clock,
    limits: ForwardLimits,
    metrics: &Arc<Metrics>,
) -> Result<Answer, NotForwarded> {
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
    let now = clock.now();
    let opened = tokio::select! {
        biased;
        () = permit.withdrawn() => return Err(NotForwarded::Withdrawn { bytes_left: false }),
        opened = timeout(limits.answer, trusted.open(&now, inner_head(upload.announced()))) => opened,
    };
    let Opened { mut answer, stream, place } = match opened {
        Err(_) => return Err(NotForwarded::Deadline { bytes_left: false }),
        Ok(Err(error)) => return Err(NotForwarded::NotOpened(error)),
        Ok(Ok(opened)) => opened,
    };
    let start = clock.now().mono;
    let stream = Unfinished { stream, is_finished: false };
    let mut outgoing =
        Outgoing { stream, permit, digest: Digest::new(&SHA256), bytes: 0, metrics: Arc::clone(metrics) };
    let early = tokio::select! {
        biased;
        // An answer before the end of the request is a refusal: the rest need not be sent.
        head = &mut answer => Some(head),
        sent = timeout(limits.upload, outgoing.send(upload, limits.body_idle)) => match sent {
            Ok(sent) => {
                sent?;
                None
            }
            Err(_) => return Err(NotForwarded::Idle { bytes_left: outgoing.bytes > 0 }),
        },
    };
    // From here on nothing more is written, so the permit goes back.
    let Outgoing { stream: rest, permit, digest, bytes: released_bytes, .. } = outgoing;
    drop(permit);
    let released = if rest.is_finished { digest.finish().as_ref().try_into().ok().map(CiphertextDigest) } else { None };
    let deadline = Instant::now() + limits.answer;
    let head = match early {
        Some(head) => head,
        None => match tokio::time::timeout_at(deadline, answer).await {
            Ok(head) => head,
            Err(_) => return Err(NotForwarded::Deadline { bytes_left: true }),
        },
    };
    let head = head.map_err(|error| lost(error, released_bytes))?;
    let took = clock.now().mono.saturating_duration_since(start);
    metrics.answered_after(took);
    let (parts, stream) = head.into_parts();
    let announced = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    Ok(Answer {
        status: parts.status,
        content_type: parts.headers.get(CONTENT_TYPE).cloned(),
        body: AnswerBody {
            stream,
            announced,
            left: limits.max_answer_bytes,
            deadline: Box::pin(sleep_until(deadline)),
            metrics: Arc::clone(metrics),
            _rest: rest,
            _place: place,
        },
        released,
        released_bytes,
        took,
    })
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
    permit: Permit,
    digest: Digest,
    bytes: u64,
    metrics: Arc<Metrics>,
}

/// The sending half of a stream. Unless it was finished, dropping it takes back what the connection has not written yet.
struct Unfinished {
    stream: SendStream<Bytes>,
    is_finished: bool,
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
                () = self.permit.withdrawn() => return Err(NotForwarded::Withdrawn { bytes_left }),
                piece = timeout(idle, upload.next_piece()) => piece,
            };
            match piece {
                Err(_) => return Err(NotForwarded::Idle { bytes_left }),
                Ok(Err(error)) => return Err(NotForwarded::Upload { error, bytes_left }),
                Ok(Ok(Some(piece))) => self.send_piece(piece, idle).await?,
                Ok(Ok(None)) => {
                    self.write(Bytes::new(), true)?;
                    self.stream.is_finished = true;
                    return Ok(());
                }
            }
        }
    }

    /// Writes as much as the instance and the socket have room for, until the piece is gone.
    async fn send_piece(&mut self, mut piece: Bytes, idle: Duration) -> Result<(), NotForwarded> {
        while !piece.is_empty() {
            self.stream.stream.reserve_capacity(piece.len());
            let bytes_left = self.bytes > 0;
            let (permit, stream) = (&mut self.permit, &mut self.stream.stream);
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
            let part = piece.split_to(capacity.min(piece.len()));
            self.write(part, false)?;
        }
        Ok(())
    }

    /// The one place where a byte of a request is written: under the permit.
    fn write(&mut self, part: Bytes, is_end: bool) -> Result<(), NotForwarded> {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        self.digest.update(&part);
        let stream = &mut self.stream.stream;
        let written = self.permit.exercise(|| stream.send_data(part, is_end));
        let written = written.map_err(|Withdrawn| NotForwarded::Withdrawn { bytes_left: self.bytes > 0 })?;
        written.map_err(|error| lost(error, self.bytes))?;
        self.bytes = self.bytes.saturating_add(length);
        self.metrics.released_bytes(length);
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_finished {
            // Unlike a stream that is merely dropped, one that is reset forgets what is queued.
            self.stream.send_reset(Reason::CANCEL);
        }
    }
}

fn lost(error: h2::Error, bytes: u64) -> NotForwarded {
    if bytes > 0 { NotForwarded::Lost(error) } else { NotForwarded::NotOpened(NotOpened::Lost(error)) }
}

/// The enclave's body, passed on as it comes, bounded in time and length.
pub struct AnswerBody {
    stream: RecvStream,
    announced: Option<u64>,
    left: u64,
    deadline: Pin<Box<Sleep>>,
    metrics: Arc<Metrics>,
    /// If the answer came before the end of the request, resetting the stream would cut the answer off, too.
    _rest: Unfinished,
    _place: OwnedSemaphorePermit,
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
        if this.deadline.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(BrokenAnswer::Deadline)));
        }
        let Some(data) = ready!(this.stream.poll_data(context)) else { return Poll::Ready(None) };
        let data = data.map_err(BrokenAnswer::Lost)?;
        this.stream.flow_control().release_capacity(data.len()).map_err(BrokenAnswer::Lost)?;
        let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
        this.left = this.left.checked_sub(length).ok_or(BrokenAnswer::TooLong)?;
        this.announced = this.announced.map(|announced| announced.saturating_sub(length));
        this.metrics.answered_bytes(length);
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.announced.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
