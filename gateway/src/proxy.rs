//! Forwards one sealed request to an enclave that is trusted now, and its answer back.
//!
//! [`forward`] takes a [`Trusted<Backend>`], and no other code can open a stream to an enclave. The inner hop is built from
//! nothing: method, path, content type, length. Nothing of the client's head goes in; status, content type and body come back.
//! The permit is shown for the head and for every piece that is queued, and goes back only when all of that has left this
//! process: if it is withdrawn before, the connection is shut. After the first byte nothing is tried again.

use std::error::Error;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context as Digest, SHA256};
use bytes::{Buf as _, Bytes};
use h2::{Reason, RecvStream};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Body;
use teegate_protocol::headers::{OHTTP_PATH, OHTTP_REQUEST};
use teegate_protocol::receipt::CiphertextDigest;
use tokio::time::{Instant, timeout, timeout_at};

use crate::answer::{AnswerBody, Coming};
use crate::attempt::Attempt;
use crate::budget::{Charge, NoMemory};
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::pace::Pace;
use crate::peer::Peer;
use crate::release::{Permit, Withdrawn};
use crate::sending::Unfinished;
use crate::trust::{ANSWER_WINDOW_BYTES, Backend, NotOpened, Opened, Outlet, Room, Ticket, Trusted};
use crate::turns::{Place, Readiness};
use crate::upload::{Upload, UploadError};

/// How long a forwarded request may take.
#[derive(Clone, Copy, Debug)]
pub struct ForwardLimits {
    /// How the client has to send its request, and to take its answer. In one window the instance takes a piece.
    pub pace: Pace,
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
    /// The request had not reached the instance in its time: the one was slow to take it, or the other to send it.
    Late {
        /// Whether a part of the request had been sent.
        bytes_left: bool,
    },
    /// There is no memory for the answer. Nothing was sent.
    NoMemory(NoMemory),
}

impl NotForwarded {
    /// In a word, for whoever traces it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::NotOpened(NotOpened::Lapsed) => "lapsed",
            Self::NotOpened(NotOpened::Lost(_)) | Self::Lost(_) => "lost",
            Self::NoRoom => "no-room",
            Self::Withdrawn { .. } => "withdrawn",
            Self::Deadline { .. } => "deadline",
            Self::Upload { .. } => "upload",
            Self::Late { .. } => "late",
            Self::NoMemory(_) => "no-memory",
        }
    }
}

/// Sends the request and waits for the head of the answer.
pub async fn forward<B: Body<Data = Bytes> + Unpin>(
    trusted: &Trusted<Backend>,
    permit: Permit,
    attempt: Attempt,
    upload: &mut Upload<B>,
    peer: &Peer,
    clock: &Clock,
    limits: ForwardLimits,
) -> Result<Answer, NotForwarded>
where
    B::Error: Error + 'static,
{
    let error = match exchange(trusted, permit, upload, peer, clock, limits, &attempt.metrics).await {
        Ok(exchanged) => return Ok(exchanged.answer(attempt, limits).await),
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
                | NotForwarded::Late { .. }
                | NotForwarded::NoMemory(_) => {}
            }
            Err(error)
        }
    }
}

/// A place at the instance, when its turn has come. A request that is still arriving goes on to arrive meanwhile, and counts as
/// one that is all here as soon as it is.
async fn place_for<B: Body<Data = Bytes> + Unpin>(
    upload: &mut Upload<B>,
    trusted: &Trusted<Backend>,
    peer: &Peer,
) -> Result<Room, NotForwarded>
where
    B::Error: Error + 'static,
{
    if upload.readiness() != Some(Readiness::Whole) {
        tokio::select! {
            biased;
            room = trusted.room(peer.caller(), Readiness::Arriving) => return room.map_err(NotForwarded::NotOpened),
            all = upload.gather_all() => all.map_err(|error| NotForwarded::Upload { error, bytes_left: false })?,
        }
    }
    trusted.room(peer.caller(), Readiness::Whole).await.map_err(NotForwarded::NotOpened)
}

/// A request that went out, and the head of its answer.
struct Exchanged {
    head: Response<RecvStream>,
    /// If the answer came before the end of the request, resetting the stream would cut the answer off, too.
    rest: Unfinished,
    place: Place,
    /// The client's room for the answer.
    room: Charge,
    released: Option<CiphertextDigest>,
    released_bytes: u64,
    took: Duration,
    /// From the last byte released, if all was released before there was an answer.
    worked: Option<Duration>,
    deadline: Instant,
}

async fn exchange<B: Body<Data = Bytes> + Unpin>(
    trusted: &Trusted<Backend>,
    mut permit: Permit,
    upload: &mut Upload<B>,
    peer: &Peer,
    clock: &Clock,
    limits: ForwardLimits,
    metrics: &Arc<Metrics>,
) -> Result<Exchanged, NotForwarded>
where
    B::Error: Error + 'static,
{
    let answer_room = peer.charge(ANSWER_WINDOW_BYTES.into()).map_err(NotForwarded::NoMemory)?;
    let room = tokio::select! {
        biased;
        // What is there at once is taken: whatever is written, the permit is asked first.
        room = timeout(limits.answer, place_for(upload, trusted, peer)) => room,
        () = permit.withdrawn() => return Err(NotForwarded::Withdrawn { bytes_left: false }),
    };
    let room = room.map_err(|_| NotForwarded::NoRoom)??;
    let _works = peer.activity().works();
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
        escort: Escort { permit, outlet: Arc::clone(trusted.once().outlet()), queued: None },
        digest: Digest::new(&SHA256),
        piece: Bytes::new(),
        bytes: 0,
        metrics: Arc::clone(metrics),
    };
    let early = tokio::select! {
        biased;
        // An answer before the end of the request is a refusal: the rest need not be sent.
        head = &mut answer => Ok(Some(head)),
        sent = timeout(limits.pace.whole, outgoing.send(upload, limits.pace.window)) => match sent {
            Ok(sent) => sent.map(|()| None),
            Err(_) => Err(NotForwarded::Late { bytes_left: outgoing.bytes > 0 }),
        },
    };
    // Where nothing was sent it may be tried again: with all of it.
    if outgoing.bytes == 0 && !outgoing.piece.is_empty() {
        upload.give_back(std::mem::take(&mut outgoing.piece));
    }
    let early = early?;
    // From here on nothing more is queued. What is queued and has not left stays under the permit.
    let Outgoing { stream: rest, mut escort, digest, bytes: released_bytes, .. } = outgoing;
    let released = if rest.is_finished { digest.finish().as_ref().try_into().ok().map(CiphertextDigest) } else { None };
    let sent = Instant::now();
    let deadline = sent + limits.answer;
    let is_sent_first = early.is_none();
    let head = match early {
        Some(head) => head,
        None => {
            let mut answer = pin!(timeout_at(deadline, answer));
            let answered = tokio::select! {
                biased;
                answered = answer.as_mut() => Some(answered),
                () = escort.is_withdrawn() => None,
            };
            drop(escort);
            let answered = match answered {
                Some(answered) => answered,
                None => answer.await,
            };
            answered.map_err(|_| NotForwarded::Deadline { bytes_left: true })?
        }
    };
    let head = head.map_err(|error| lost(error, released_bytes))?;
    let worked = is_sent_first.then(|| sent.elapsed());
    let took = clock.now().mono.saturating_duration_since(start);
    metrics.answered_after(took);
    Ok(Exchanged { head, rest, place, room: answer_room, released, released_bytes, took, worked, deadline })
}

impl Exchanged {
    /// The answer, whose body is read from now on, however slowly the client takes it.
    async fn answer(self, attempt: Attempt, limits: ForwardLimits) -> Answer {
        let Self { head, rest, place, room, released, released_bytes, took, worked, deadline } = self;
        let (parts, stream) = head.into_parts();
        attempt.headed(parts.status, worked);
        let announced = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let ForwardLimits { pace, max_answer_bytes: most, .. } = limits;
        let coming = Coming { stream, announced, most, deadline, pace, room, attempt, rest, place };
        Answer {
            status: parts.status,
            content_type: parts.headers.get(CONTENT_TYPE).cloned(),
            body: coming.pass_on().await,
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

/// How long a change of policy waits for what a request has queued already.
const LAST_BYTES: Duration = Duration::from_millis(200);

/// A permit under which something was queued. Dropping it keeps the permit until all of that has left this process; if it is
/// withdrawn before, the connection is shut, and only then does the permit end.
struct Escort {
    permit: Permit,
    outlet: Arc<Outlet>,
    /// Stands for all of it, once nothing more is queued.
    queued: Option<Ticket>,
}

impl Escort {
    /// When nothing more is queued: resolves when the permit is withdrawn and what was queued has left, or never will.
    async fn is_withdrawn(&mut self) {
        let ticket = *self.queued.get_or_insert_with(|| self.outlet.queued());
        self.permit.withdrawn().await;
        leave_or_shut(&self.outlet, ticket).await;
    }
}

/// A connection that flows needs no more than this, and others have their answers on it.
async fn leave_or_shut(outlet: &Outlet, ticket: Ticket) {
    if timeout(LAST_BYTES, outlet.left(ticket)).await.is_err() {
        outlet.shut();
    }
}

impl Drop for Escort {
    fn drop(&mut self) {
        let ticket = self.queued.unwrap_or_else(|| self.outlet.queued());
        if self.outlet.has_left(ticket) {
            return;
        }
        let (mut permit, outlet) = (self.permit.clone(), Arc::clone(&self.outlet));
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return outlet.shut() };
        runtime.spawn(async move {
            tokio::select! {
                biased;
                () = outlet.left(ticket) => return,
                () = permit.withdrawn() => {}
            }
            leave_or_shut(&outlet, ticket).await;
        });
    }
}

impl Outgoing {
    async fn send<B: Body<Data = Bytes> + Unpin>(
        &mut self,
        upload: &mut Upload<B>,
        idle: Duration,
    ) -> Result<(), NotForwarded>
    where
        B::Error: Error + 'static,
    {
        loop {
            let bytes_left = self.bytes > 0;
            let piece = tokio::select! {
                biased;
                piece = upload.next_piece() => piece,
                () = self.escort.permit.withdrawn() => return Err(NotForwarded::Withdrawn { bytes_left }),
            };
            match piece {
                Err(error) => return Err(NotForwarded::Upload { error, bytes_left }),
                Ok(Some(piece)) => {
                    self.piece = piece;
                    self.send_piece(upload, idle).await?;
                }
                Ok(None) => self.write(Bytes::new(), true)?,
            }
            if self.stream.is_finished {
                return Ok(());
            }
        }
    }

    /// Writes as much as the instance and the socket have room for, until the piece is gone. What comes meanwhile is read: where
    /// it would lie otherwise, a byte costs many.
    async fn send_piece<B: Body<Data = Bytes> + Unpin>(
        &mut self,
        upload: &mut Upload<B>,
        idle: Duration,
    ) -> Result<(), NotForwarded>
    where
        B::Error: Error + 'static,
    {
        while !self.piece.is_empty() {
            self.stream.stream.reserve_capacity(self.piece.len());
            let bytes_left = self.bytes > 0;
            let (permit, stream) = (&mut self.escort.permit, &mut self.stream.stream);
            let capacity = tokio::select! {
                biased;
                capacity = timeout(idle, poll_fn(|context| stream.poll_capacity(context))) => capacity,
                () = permit.withdrawn() => return Err(NotForwarded::Withdrawn { bytes_left }),
                error = upload.fill() => return Err(NotForwarded::Upload { error, bytes_left }),
            };
            let capacity = match capacity {
                Err(_) => return Err(NotForwarded::Deadline { bytes_left }),
                Ok(None) => return Err(lost(Reason::STREAM_CLOSED.into(), self.bytes)),
                Ok(Some(Err(error))) => return Err(lost(error, self.bytes)),
                Ok(Some(Ok(capacity))) => capacity,
            };
            let length = capacity.min(self.piece.len());
            // The end goes with the last piece where it is known by then: in a frame of its own it is a record more.
            let is_end = length == self.piece.len() && upload.is_over();
            self.write(self.piece.slice(..length), is_end)?;
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
        self.stream.is_finished = is_end;
        Ok(())
    }
}

fn lost(error: h2::Error, bytes: u64) -> NotForwarded {
    if bytes > 0 { NotForwarded::Lost(error) } else { NotForwarded::NotOpened(NotOpened::Lost(error)) }
}
