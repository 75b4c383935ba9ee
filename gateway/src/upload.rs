//! A sealed request on its way in: read piece by piece, never beyond its limit, at a pace, and paid for while it is here.
//!
//! What came is copied into pieces of our own: what the library below hands over is a slice of a larger buffer, and one byte of
//! it would keep all of that.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Body;

use crate::activity::{Activity, Phase};
use crate::budget::{Charge, NoMemory};
use crate::hold::{Full, Place};
use crate::pace::{Meter, Pace, TooSlow};
use crate::peer::Peer;
use crate::telemetry::{Attribute, Span};
use crate::turns::Readiness;

/// The largest piece that is handed on at once: the permit is shown again for the next.
pub const PIECE_BYTES: usize = 16 << 10;

/// A request of at most so many bytes takes a place at an instance when all of it is here. A longer one may take it while it
/// arrives, if it has shown that it keeps its pace.
pub const WHOLE_BYTES: u64 = 1 << 20;

/// A request body. It has no `Debug`: not even ciphertext belongs in a log.
pub struct Upload<B> {
    body: B,
    most: u64,
    is_complete: bool,
    /// What has come, and of that what was handed on before the present piece, and with it.
    received: u64,
    gone: u64,
    handed_on: u64,
    kept: VecDeque<Bytes>,
    filling: BytesMut,
    charge: Charge,
    /// Whether all that was announced is paid for already.
    is_reserved: bool,
    demanded: Pace,
    meter: Meter,
    activity: Arc<Activity>,
    waits: Option<Phase>,
    /// Until all of it is here.
    span: Span,
}

/// The body did not arrive as it should.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UploadError {
    /// It is longer than is accepted.
    TooLarge {
        /// What is accepted.
        most: u64,
    },
    /// It is not what HTTP allows: its chunks, their sizes, their extensions, its trailers.
    Malformed,
    /// The client broke off.
    Ended,
    /// There is no room to hold it.
    Full,
    /// There is no memory for more of it.
    NoMemory,
    /// The client sent too little for too long.
    TooSlow,
}

impl fmt::Display for UploadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { most } => write!(f, "the sealed request is longer than {most} bytes"),
            Self::Malformed => f.write_str("the framing of the body is malformed"),
            Self::Ended => f.write_str("the body ended early"),
            Self::Full => f.write_str("the hold is full"),
            Self::NoMemory => NoMemory.fmt(f),
            Self::TooSlow => f.write_str("the rest of the request did not arrive in time"),
        }
    }
}

impl From<NoMemory> for UploadError {
    fn from(NoMemory: NoMemory) -> Self {
        Self::NoMemory
    }
}

impl UploadError {
    /// Whose fault it is, from what the library below says: it calls the data invalid where the client wrote it wrong.
    fn of(error: &(dyn Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref::<io::Error>() {
                return match error.kind() {
                    io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => Self::Malformed,
                    _ => Self::Ended,
                };
            }
            next = error.source();
        }
        Self::Ended
    }
}

impl<B: Body<Data = Bytes> + Unpin> Upload<B>
where
    B::Error: Error + 'static,
{
    /// A body of at most `most` bytes, at this pace. What announces more is refused before a byte of it is read.
    pub fn new(body: B, most: u64, demanded: Pace, peer: &Peer) -> Result<Self, UploadError> {
        if body.size_hint().lower() > most {
            return Err(UploadError::TooLarge { most });
        }
        let mut upload = Self {
            is_complete: false,
            most,
            received: 0,
            gone: 0,
            handed_on: 0,
            kept: VecDeque::new(),
            filling: BytesMut::new(),
            charge: peer.charge(0)?,
            is_reserved: false,
            demanded,
            meter: Meter::new(demanded),
            activity: Arc::clone(peer.activity()),
            waits: None,
            span: Span::default(),
            body,
        };
        if upload.body.is_end_stream() {
            upload.complete();
        }
        Ok(upload)
    }

    /// The same, of which this span tells: it ends when all of it is here, or with it.
    #[must_use]
    pub fn traced(mut self, span: Span) -> Self {
        self.span = span;
        if self.is_complete {
            self.end_span();
        }
        self
    }

    fn end_span(&mut self) {
        let received = self.received;
        let mut span = std::mem::take(&mut self.span);
        span.note(|| Attribute::Size(received));
    }

    /// How long it will be in all, if that was announced.
    pub fn announced(&self) -> Option<u64> {
        if self.is_complete {
            Some(self.received)
        } else {
            self.body.size_hint().exact().map(|rest| rest.saturating_add(self.received))
        }
    }

    /// How much of it has come.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Whether it has come to its end and has no byte.
    pub fn is_empty(&self) -> bool {
        self.is_complete && self.received == 0
    }

    /// Whether it has come to its end and every piece was handed on.
    pub fn is_over(&self) -> bool {
        self.is_complete && self.kept.is_empty() && self.filling.is_empty()
    }

    /// Whether a place at an instance may be taken for it.
    pub fn readiness(&self) -> Option<Readiness> {
        if self.is_complete {
            return Some(Readiness::Whole);
        }
        let is_arriving = match self.announced() {
            Some(length) => length > WHOLE_BYTES && self.is_reserved,
            None => self.received > WHOLE_BYTES,
        };
        is_arriving.then_some(Readiness::Arriving)
    }

    /// Reads on until a place may be taken for it. Dropping the future loses nothing, here and below.
    pub async fn gather(&mut self) -> Result<(), UploadError> {
        while self.readiness().is_none() {
            self.receive().await?;
        }
        Ok(())
    }

    /// Reads on to its end.
    pub async fn gather_all(&mut self) -> Result<(), UploadError> {
        while !self.is_complete {
            self.receive().await?;
        }
        Ok(())
    }

    /// Reads on while something else is waited for; resolves only if that fails.
    pub async fn fill(&mut self) -> UploadError {
        match self.gather_all().await {
            Ok(()) => std::future::pending().await,
            Err(error) => error,
        }
    }

    /// Reads on into `place` while the request is held; resolves only if that fails.
    pub async fn keep(&mut self, place: &mut Place) -> UploadError {
        while !self.is_complete {
            if let Err(error) = self.receive().await {
                return error;
            }
            if let Err(Full) = place.grow_to(self.received) {
                return UploadError::Full;
            }
        }
        std::future::pending().await
    }

    /// The next piece, of at most [`PIECE_BYTES`]; `None` at the end.
    pub async fn next_piece(&mut self) -> Result<Option<Bytes>, UploadError> {
        // The piece before has been used.
        self.gone = self.handed_on;
        self.recharge()?;
        loop {
            let piece = match self.kept.pop_front() {
                Some(piece) => piece,
                None if !self.filling.is_empty() => self.filling.split().freeze(),
                None if self.is_complete => return Ok(None),
                None => {
                    self.receive().await?;
                    continue;
                }
            };
            self.handed_on = self.handed_on.saturating_add(length_of(&piece));
            return Ok(Some(piece));
        }
    }

    /// Takes back a piece that was handed on and not used; it is the next again.
    pub fn give_back(&mut self, piece: Bytes) {
        self.handed_on = self.handed_on.saturating_sub(length_of(&piece));
        self.kept.push_front(piece);
    }

    async fn receive(&mut self) -> Result<(), UploadError> {
        let frame = self.meter.wait(self.body.frame()).await.map_err(|TooSlow| UploadError::TooSlow)?;
        let Some(frame) = frame else {
            self.complete();
            return Ok(());
        };
        let frame = frame.map_err(|error| UploadError::of(&error))?;
        // Trailers say nothing that a sealed request needs.
        let Ok(data) = frame.into_data() else { return Ok(()) };
        let length = length_of(&data);
        let received = self.received.saturating_add(length);
        if received > self.most {
            return Err(UploadError::TooLarge { most: self.most });
        }
        self.received = received;
        self.recharge()?;
        self.copy(&data);
        self.meter.moved(length);
        self.activity.moved(length);
        if self.body.is_end_stream() {
            self.complete();
        }
        Ok(())
    }

    /// Pays for what is here; for a long body that has shown its pace, for all that was announced.
    fn recharge(&mut self) -> Result<(), UploadError> {
        let here = self.received.saturating_sub(self.gone);
        let needed = match self.announced() {
            Some(length)
                if length > WHOLE_BYTES && !self.is_complete && self.received >= self.demanded.window_bytes =>
            {
                self.is_reserved = true;
                length
            }
            _ => here,
        };
        self.charge.shrink_to(needed);
        Ok(self.charge.grow_to(needed)?)
    }

    fn copy(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let room = PIECE_BYTES.saturating_sub(self.filling.len());
            let (now, later) = data.split_at_checked(room).unwrap_or((data, &[]));
            self.filling.extend_from_slice(now);
            data = later;
            if self.filling.len() >= PIECE_BYTES {
                self.kept.push_back(self.filling.split().freeze());
            }
        }
    }

    fn complete(&mut self) {
        self.is_complete = true;
        self.end_span();
        self.waits = Some(self.activity.waits());
    }
}

fn length_of(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use http_body_util::Full as Whole;
    use hyper::body::{Frame, SizeHint};
    use tokio::sync::mpsc;

    use super::*;
    use crate::activity::Usage;
    use crate::budget::{Budget, CONNECTION_BYTES, FLOOR_BYTES};
    use crate::hold::{Hold, HoldLimits};
    use crate::testing::{PACE, peer, peer_of};

    const POOL: u64 = 8 << 20;

    fn upload<B: Body<Data = Bytes, Error = Infallible> + Unpin>(body: B) -> Upload<B> {
        Upload::new(body, 4 << 20, PACE, &peer()).map_err(|error| error.to_string()).unwrap()
    }

    /// A body whose pieces a test hands over, with the length that it announces.
    struct Sent(mpsc::UnboundedReceiver<Bytes>, Option<u64>);

    impl Sent {
        fn new(announced: Option<u64>) -> (mpsc::UnboundedSender<Bytes>, Self) {
            let (sender, receiver) = mpsc::unbounded_channel();
            (sender, Self(receiver, announced))
        }
    }

    impl Body for Sent {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let next = self.0.poll_recv(context);
            if let (Poll::Ready(Some(data)), Some(left)) = (&next, &mut self.1) {
                *left -= data.len() as u64;
            }
            next.map(|data| data.map(|data| Ok(Frame::data(data))))
        }

        fn size_hint(&self) -> SizeHint {
            self.1.map_or_else(SizeHint::default, SizeHint::with_exact)
        }
    }

    async fn rest_of<B: Body<Data = Bytes, Error = Infallible> + Unpin>(upload: &mut Upload<B>) -> Vec<Bytes> {
        let mut pieces = Vec::new();
        while let Some(piece) = upload.next_piece().await.unwrap() {
            pieces.push(piece);
        }
        pieces
    }

    #[tokio::test]
    async fn pieces_are_bounded_and_none_is_lost() {
        let bytes: Vec<u8> = (0..40_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let mut upload = upload(Whole::new(Bytes::from(bytes.clone())));
        assert_eq!((upload.announced(), upload.readiness()), (Some(40_000), None));
        upload.gather().await.unwrap();
        assert_eq!(upload.readiness(), Some(Readiness::Whole));
        let first = upload.next_piece().await.unwrap().unwrap();
        upload.give_back(first);
        let pieces = rest_of(&mut upload).await;
        assert!(pieces.iter().all(|piece| piece.len() <= PIECE_BYTES));
        assert_eq!(pieces.concat(), bytes);
    }

    #[tokio::test]
    async fn its_end_is_known_with_the_last_piece_if_it_has_come() {
        let mut upload = upload(Whole::new(Bytes::from(vec![7; PIECE_BYTES + 1])));
        upload.gather().await.unwrap();
        assert!(!upload.is_over());
        let first = upload.next_piece().await.unwrap().unwrap();
        assert_eq!((first.len(), upload.is_over()), (PIECE_BYTES, false));
        let last = upload.next_piece().await.unwrap().unwrap();
        assert_eq!((last.len(), upload.is_over()), (1, true));
        upload.give_back(last);
        assert!(!upload.is_over());

        let (sender, slow) = Sent::new(None);
        let mut upload = Upload::new(slow, 4 << 20, PACE, &peer()).map_err(|error| error.to_string()).unwrap();
        sender.send(Bytes::from_static(b"all, but nobody says so")).unwrap();
        upload.next_piece().await.unwrap().unwrap();
        assert!(!upload.is_over());
        drop(sender);
        assert_eq!((upload.next_piece().await, upload.is_over()), (Ok(None), true));
    }

    #[tokio::test]
    async fn what_announces_too_much_is_not_read() {
        let peer = peer();
        let of = |length| Upload::new(Whole::new(Bytes::from(vec![0; length])), 100, PACE, &peer).map(|_| ());
        assert_eq!(of(101), Err(UploadError::TooLarge { most: 100 }));
        assert_eq!(of(100), Ok(()));
        let (sender, unannounced) = Sent::new(None);
        sender.send(Bytes::from_static(&[0; 101])).unwrap();
        let mut upload = Upload::new(unannounced, 100, PACE, &peer).map_err(|_| ()).unwrap();
        assert_eq!(upload.gather().await, Err(UploadError::TooLarge { most: 100 }));
        assert!(upload_of_nothing().is_empty());
    }

    fn upload_of_nothing() -> Upload<Whole<Bytes>> {
        upload(Whole::new(Bytes::new()))
    }

    #[tokio::test]
    async fn keeping_is_charged_to_the_hold() {
        let hold = Arc::new(Hold::new(HoldLimits { tenant_requests: 1, tenant_bytes: 50 }));
        let mut place = hold.enter(peer().caller(), 0).unwrap();
        assert_eq!(upload(Whole::new(Bytes::from_static(&[0; 51]))).keep(&mut place).await, UploadError::Full);
    }

    #[tokio::test]
    async fn what_is_here_is_paid_for_and_what_is_gone_is_not() {
        let budget = Arc::new(Budget::new(POOL + FLOOR_BYTES, 1));
        let peer = peer_of(&budget, 1);
        let kept = || budget.kept() - CONNECTION_BYTES;
        let mut upload =
            Upload::new(Whole::new(Bytes::from(vec![0; 40_000])), 1 << 20, PACE, &peer).map_err(|_| ()).unwrap();
        assert_eq!(kept(), 0, "what was announced is not here");
        upload.gather().await.unwrap();
        assert_eq!(kept(), 40_000);
        let piece = upload.next_piece().await.unwrap().unwrap();
        assert_eq!(kept(), 40_000, "the piece that is being sent is still here");
        drop(piece);
        let _second = upload.next_piece().await.unwrap();
        assert_eq!(kept(), 40_000 - 16_384);
        rest_of(&mut upload).await;
        assert_eq!(kept(), 0);
        drop((upload, peer));
        assert_eq!(budget.kept(), 0);
    }

    #[tokio::test]
    async fn a_long_body_that_keeps_its_pace_is_paid_for_as_a_whole() {
        let budget = Arc::new(Budget::new(POOL + FLOOR_BYTES, 1));
        let peer = peer_of(&budget, 1);
        let kept = || budget.kept() - CONNECTION_BYTES;
        let (sender, body) = Sent::new(Some(2 << 20));
        let mut upload = Upload::new(body, 4 << 20, PACE, &peer).map_err(|_| ()).unwrap();
        let window = usize::try_from(PACE.window_bytes).unwrap();
        sender.send(Bytes::from(vec![0; window - 1])).unwrap();
        tokio::select! {
            biased;
            ready = upload.gather() => panic!("{ready:?}"),
            () = tokio::task::yield_now() => {}
        }
        assert_eq!(kept(), PACE.window_bytes - 1);
        sender.send(Bytes::from(vec![0; 1])).unwrap();
        upload.gather().await.unwrap();
        assert_eq!((upload.readiness(), kept()), (Some(Readiness::Arriving), 2 << 20));
        sender.send(Bytes::from(vec![0; (2 << 20) - window])).unwrap();
        drop(sender);
        upload.gather_all().await.unwrap();
        assert_eq!((upload.readiness(), kept()), (Some(Readiness::Whole), 2 << 20));
        assert_eq!(rest_of(&mut upload).await.concat().len(), 2 << 20);
        assert_eq!(kept(), 0);

        // Without a length it is paid for as it comes, and may begin when it is long.
        let (sender, body) = Sent::new(None);
        let mut upload = Upload::new(body, 4 << 20, PACE, &peer).map_err(|_| ()).unwrap();
        sender.send(Bytes::from(vec![0; (1 << 20) + 1])).unwrap();
        upload.gather().await.unwrap();
        assert_eq!((upload.readiness(), kept()), (Some(Readiness::Arriving), (1 << 20) + 1));
        // One for which there is no memory is refused when it says how long it is, and not in its middle.
        let (sender, body) = Sent::new(Some(4 << 20));
        sender.send(Bytes::from(vec![0; window])).unwrap();
        let mut second = Upload::new(body, 4 << 20, PACE, &peer).map_err(|_| ()).unwrap();
        assert_eq!(second.gather().await, Err(UploadError::NoMemory));
    }

    #[tokio::test]
    async fn one_byte_keeps_one_byte() {
        let large = Bytes::from(vec![0; 1 << 20]);
        let (sender, body) = Sent::new(None);
        let mut upload = upload(body);
        sender.send(large.slice(7..8)).unwrap();
        drop(sender);
        upload.gather().await.unwrap();
        assert!(large.is_unique(), "the buffer that it came in is free");
    }

    #[tokio::test]
    async fn pieces_are_full_whatever_they_came_in() {
        let (sender, body) = Sent::new(None);
        let mut upload = upload(body);
        for _ in 0..40_000 {
            sender.send(Bytes::from_static(b"x")).unwrap();
        }
        drop(sender);
        upload.gather().await.unwrap();
        let lengths: Vec<_> = rest_of(&mut upload).await.iter().map(Bytes::len).collect();
        assert_eq!(lengths, [PIECE_BYTES, PIECE_BYTES, 40_000 - 2 * PIECE_BYTES]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_drip_is_given_up_and_a_request_that_is_here_waits() {
        let (peer, (sender, body)) = (peer(), Sent::new(None));
        let mut upload = Upload::new(body, 4 << 20, PACE, &peer).map_err(|_| ()).unwrap();
        tokio::spawn(async move {
            while sender.send(Bytes::from_static(b"x")).is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let start = tokio::time::Instant::now();
        assert_eq!(upload.gather().await, Err(UploadError::TooSlow));
        assert_eq!(start.elapsed(), PACE.window);
        assert!(matches!(peer.activity().usage(), Usage::Silent { .. }), "a drip is no use");
        let mut upload = Upload::new(Whole::new(Bytes::from_static(b"x")), 1, PACE, &peer).map_err(|_| ()).unwrap();
        upload.gather().await.unwrap();
        assert!(matches!(peer.activity().usage(), Usage::Moving { .. }));
    }
}
