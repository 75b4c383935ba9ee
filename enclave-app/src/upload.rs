//! Reads the body of a request: inside its bounds of size, memory and time.
//!
//! Memory is taken for the bytes that have arrived and never for bytes that were announced, and whoever has begun must
//! go on: a body that brings too little in a window of time is given up. So memory is held by those who send.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::time::{Instant, timeout_at};

use crate::memory::{Purse, Share};

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

/// A body, and the purse from which its memory was paid.
pub struct Upload {
    /// The body. Its capacity is what was paid for.
    pub bytes: Vec<u8>,
    /// What it was paid from.
    pub purse: Purse,
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
    let announced = body.size_hint().exact().and_then(|announced| usize::try_from(announced).ok());
    let (mut bytes, mut purse) = (Vec::new(), share.purse());
    let end = Instant::now() + pace.whole;
    let (mut window_end, mut due) = (Instant::now() + pace.window, pace.window_bytes);
    loop {
        let data = match timeout_at(window_end.min(end), body.frame()).await {
            Ok(None) => return Ok(Upload { bytes, purse }),
            Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
            Ok(Some(Err(_))) => return Err(Refused::Ended),
            Err(_) => return Err(Refused::TooSlow),
        };
        if bytes.len() + data.len() > limit {
            return Err(Refused::TooLarge);
        }
        make_room(&mut bytes, data.len(), announced.unwrap_or(limit), &mut purse)?;
        bytes.extend_from_slice(&data);
        if bytes.len() >= due {
            (window_end, due) = (Instant::now() + pace.window, bytes.len() + pace.window_bytes);
        }
    }
}

/// Room for so many bytes more, paid for before it is taken. What has arrived allows as much again, up to the length of
/// the whole.
fn make_room(bytes: &mut Vec<u8>, more: usize, whole: usize, purse: &mut Purse) -> Result<(), Refused> {
    let (capacity, needed) = (bytes.capacity(), bytes.len() + more);
    if needed > capacity {
        let larger = (2 * capacity).min(whole).max(needed);
        purse.spend(larger - capacity).map_err(|_| Refused::NoMemory)?;
        bytes.reserve_exact(larger - bytes.len());
    }
    Ok(())
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

    /// A body that may announce a length, and brings what is sent to it.
    struct Announced(Option<u64>, mpsc::UnboundedReceiver<Bytes>);

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
            self.0.map_or_else(SizeHint::default, SizeHint::with_exact)
        }
    }

    fn body(announced: impl Into<Option<u64>>) -> (mpsc::UnboundedSender<Bytes>, Announced) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (sender, Announced(announced.into(), receiver))
    }

    const SLOW: Pace = Pace { window: Duration::from_secs(600), window_bytes: 10, whole: Duration::from_secs(600) };

    #[tokio::test]
    async fn what_was_only_announced_takes_no_memory() {
        let memory = Memory::new(100, 100);
        let (idle, idle_body) = body(100);
        let share = memory.share();
        let waiting = tokio::spawn(async move { read(idle_body, 100, &share, SLOW).await.map(|upload| upload.bytes) });
        idle.send(Bytes::from_static(&[1; 20])).unwrap();
        while !idle.is_closed() && memory.share().purse().spend(81).is_ok() {
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
    async fn what_is_allocated_is_paid_for_and_no_more_than_twice_what_came() {
        let memory = Memory::new(1 << 20, 1 << 20);
        for announced in [None, Some(40_000)] {
            let (sender, body) = body(announced);
            for _ in 0..40 {
                sender.send(Bytes::from_static(&[1; 1000])).unwrap();
            }
            drop(sender);
            let upload = read(body, 1 << 20, &memory.share(), SLOW).await;
            let upload = upload.unwrap_or_else(|refused| panic!("{refused:?}"));
            assert_eq!(upload.bytes.len(), 40_000);
            let capacity = upload.bytes.capacity();
            assert!(if announced.is_some() { capacity == 40_000 } else { (40_001..80_000).contains(&capacity) });
            // All the rest is there for another, and not one byte more.
            let other = memory.share();
            other.purse().spend((1 << 20) - capacity).unwrap();
            assert!(other.purse().spend((1 << 20) - capacity + 1).is_err());
        }
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
        let mut held = share.purse();
        held.spend(60).unwrap();
        let (sender, crowded) = body(50);
        sender.send(Bytes::from_static(&[0; 50])).unwrap();
        drop(sender);
        assert_eq!(read(crowded, 100, &memory.share(), SLOW).await.map(|_| ()), Err(Refused::NoMemory));
        drop(held);
    }
}
