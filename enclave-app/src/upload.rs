//! Reads the body of a request: inside its bounds of size, memory and time.
//!
//! Memory is taken for the bytes that have arrived and never for bytes that were announced, and whoever has begun must
//! go on: a body that brings too little in a window of time is given up. So memory is held by those who send.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::time::{Instant, timeout_at};

use crate::memory::{Charge, Share};

/// What is read of a body that was refused, so that the refusal arrives.
const DISCARD_BYTES: usize = 1 << 20;
/// And for how long.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);

/// How fast a body must arrive.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    /// In this time...
    pub(crate) window: Duration,
    /// ...so many bytes, or the end.
    pub(crate) window_bytes: usize,
    /// The longest body in time.
    pub(crate) whole: Duration,
}

/// 4 KiB in a second is slower than any network that carries a tensor.
pub(crate) const PACE: Pace =
    Pace { window: Duration::from_secs(15), window_bytes: 64 << 10, whole: Duration::from_secs(180) };

/// A body, and the memory that was taken for it.
pub struct Upload {
    /// The body.
    pub bytes: Bytes,
    /// Its memory, given back when dropped.
    pub charge: Charge,
}

/// Why a body was not read to its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is longer than the limit.
    TooLarge,
    /// There is no memory for more of it.
    NoMemory,
    /// It did not arrive in time.
    TooSlow,
    /// It ended early, or its framing is malformed.
    Ended,
}

/// Reads a body of at most `limit` bytes.
pub(crate) async fn read<B>(mut body: B, limit: usize, share: &Share, pace: Pace) -> Result<Upload, Refused>
where
    B: Body<Data = Bytes> + Unpin,
{
    let read = collect(&mut body, limit, share, pace).await;
    if read.is_err() {
        discard(body).await;
    }
    read
}

async fn collect<B>(body: &mut B, limit: usize, share: &Share, pace: Pace) -> Result<Upload, Refused>
where
    B: Body<Data = Bytes> + Unpin,
{
    if usize::try_from(body.size_hint().lower()).map_or(true, |announced| announced > limit) {
        return Err(Refused::TooLarge);
    }
    let mut charge = share.charge(0).ok_or(Refused::NoMemory)?;
    let mut bytes = BytesMut::new();
    let end = Instant::now() + pace.whole;
    let (mut window_end, mut due) = (Instant::now() + pace.window, pace.window_bytes);
    loop {
        let data = match timeout_at(window_end.min(end), body.frame()).await {
            Ok(None) => return Ok(Upload { bytes: bytes.freeze(), charge }),
            Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
            Ok(Some(Err(_))) => return Err(Refused::Ended),
            Err(_) => return Err(Refused::TooSlow),
        };
        if bytes.len() + data.len() > limit {
            return Err(Refused::TooLarge);
        }
        charge.merge(share.charge(data.len()).ok_or(Refused::NoMemory)?);
        bytes.extend_from_slice(&data);
        if bytes.len() >= due {
            (window_end, due) = (Instant::now() + pace.window, bytes.len() + pace.window_bytes);
        }
    }
}

/// Reads on for a moment without keeping anything. Over HTTP/1.1 a client that is still writing when the connection
/// closes would never see why.
async fn discard<B: Body<Data = Bytes> + Unpin>(mut body: B) {
    let read = async {
        let mut left = DISCARD_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return };
            left = rest;
        }
    };
    let _ = tokio::time::timeout(DISCARD_TIMEOUT, read).await;
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use hyper::body::{Frame, SizeHint};
    use tokio::sync::mpsc;

    use super::*;
    use crate::memory::Memory;

    /// A body that announces a length, and brings what is sent to it.
    struct Announced(u64, mpsc::UnboundedReceiver<Bytes>);

    impl Body for Announced {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.1.poll_recv(context).map(|data| data.map(|data| Ok(Frame::data(data))))
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.0)
        }
    }

    fn body(announced: u64) -> (mpsc::UnboundedSender<Bytes>, Announced) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (sender, Announced(announced, receiver))
    }

    const SLOW: Pace = Pace { window: Duration::from_secs(600), window_bytes: 10, whole: Duration::from_secs(600) };

    #[tokio::test]
    async fn what_was_only_announced_takes_no_memory() {
        let memory = Memory::new(100, 100);
        let (idle, idle_body) = body(100);
        let share = memory.share();
        let waiting = tokio::spawn(async move { read(idle_body, 100, &share, SLOW).await.map(|upload| upload.bytes) });
        idle.send(Bytes::from_static(&[1; 20])).unwrap();
        while !idle.is_closed() && memory.share().charge(81).is_some() {
            tokio::task::yield_now().await;
        }
        // The 20 that came are taken, and the 80 that were announced beside them are there for another.
        let (other, other_body) = body(80);
        other.send(Bytes::from_static(&[2; 80])).unwrap();
        drop(other);
        assert_eq!(read(other_body, 100, &memory.share(), SLOW).await.map(|upload| upload.bytes.len()), Ok(80));
        idle.send(Bytes::from_static(&[1; 80])).unwrap();
        drop(idle);
        assert_eq!(waiting.await.unwrap().map(|bytes| bytes.len()), Ok(100));
    }

    #[tokio::test]
    async fn a_body_that_drips_is_given_up_and_a_steady_one_is_not() {
        let memory = Memory::new(100, 100);
        let pace = Pace { window: Duration::from_millis(200), ..SLOW };
        for (step, expected) in [(1_usize, Err(Refused::TooSlow)), (10, Ok(80))] {
            let (sender, body) = body(80);
            tokio::spawn(async move {
                let mut sent = 0;
                while sent < 80 && sender.send(Bytes::from(vec![0; step])).is_ok() {
                    sent += step;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            });
            assert_eq!(read(body, 100, &memory.share(), pace).await.map(|upload| upload.bytes.len()), expected);
        }
        let whole = Pace { whole: Duration::from_millis(50), ..SLOW };
        let (_sender, open) = body(80);
        assert_eq!(read(open, 100, &memory.share(), whole).await.map(|_| ()), Err(Refused::TooSlow));
    }

    #[tokio::test]
    async fn size_and_memory_have_their_own_reasons() {
        let memory = Memory::new(100, 100);
        let (_sender, long) = body(101);
        assert_eq!(read(long, 100, &memory.share(), SLOW).await.map(|_| ()), Err(Refused::TooLarge));
        let (sender, lying) = body(1);
        sender.send(Bytes::from_static(&[0; 101])).unwrap();
        drop(sender);
        assert_eq!(read(lying, 100, &memory.share(), SLOW).await.map(|_| ()), Err(Refused::TooLarge));
        let share = memory.share();
        let held = share.charge(60).unwrap();
        let (sender, crowded) = body(50);
        sender.send(Bytes::from_static(&[0; 50])).unwrap();
        drop(sender);
        assert_eq!(read(crowded, 100, &memory.share(), SLOW).await.map(|_| ()), Err(Refused::NoMemory));
        drop(held);
    }
}
