//! A sealed request on its way in: read piece by piece, never beyond its limit, kept only while it is held.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Body;
use tokio::time::timeout;

use crate::hold::{Full, Place};

/// The largest piece that is handed on at once: the permit is shown again for the next.
pub const PIECE_BYTES: usize = 16 << 10;

/// A request body. It has no `Debug`: not even ciphertext belongs in a log.
pub struct Upload<B> {
    body: B,
    kept: VecDeque<Bytes>,
    received: u64,
    most: u64,
    is_complete: bool,
}

/// The body did not arrive as it should.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UploadError {
    /// It is longer than is accepted.
    TooLarge {
        /// What is accepted.
        most: u64,
    },
    /// The client broke off.
    Broken,
    /// There is no room to keep it.
    Full,
    /// The client sent nothing for too long.
    Idle,
}

impl fmt::Display for UploadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { most } => write!(f, "the sealed request is longer than {most} bytes"),
            Self::Broken => f.write_str("the client broke off"),
            Self::Full => f.write_str("the hold is full"),
            Self::Idle => f.write_str("the rest of the request did not arrive in time"),
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Upload<B> {
    /// A body of at most `most` bytes. What announces more is refused before a byte of it is read.
    pub fn new(body: B, most: u64) -> Result<Self, UploadError> {
        if body.size_hint().lower() > most {
            return Err(UploadError::TooLarge { most });
        }
        let is_complete = body.is_end_stream();
        Ok(Self { body, kept: VecDeque::new(), received: 0, most, is_complete })
    }

    /// How long it will be in all, if that was announced.
    pub fn announced(&self) -> Option<u64> {
        if self.is_complete {
            Some(self.received)
        } else {
            self.body.size_hint().exact().map(|rest| rest.saturating_add(self.received))
        }
    }

    /// The next piece, of at most [`PIECE_BYTES`]; `None` at the end. Dropping the future loses nothing.
    pub async fn next_piece(&mut self) -> Result<Option<Bytes>, UploadError> {
        loop {
            if let Some(mut first) = self.kept.pop_front() {
                let piece = first.split_to(first.len().min(PIECE_BYTES));
                if !first.is_empty() {
                    self.kept.push_front(first);
                }
                return Ok(Some(piece));
            }
            if self.is_complete {
                return Ok(None);
            }
            self.receive().await?;
        }
    }

    /// Waits until a full piece, or all of it, is there. True when there is nothing at all.
    pub async fn begin(&mut self) -> Result<bool, UploadError> {
        while !self.is_complete && self.kept.iter().map(Bytes::len).sum::<usize>() < PIECE_BYTES {
            self.receive().await?;
        }
        Ok(self.kept.is_empty())
    }

    /// How much of it has come.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Takes back a piece that was handed on and not used; it is the next again.
    pub fn give_back(&mut self, piece: Bytes) {
        self.kept.push_front(piece);
    }

    /// Reads on into `place` while the request is held, which waits at most `idle` for more; resolves only if that fails.
    pub async fn keep(&mut self, place: &mut Place, idle: Duration) -> UploadError {
        while !self.is_complete {
            match timeout(idle, self.receive()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return error,
                Err(_) => return UploadError::Idle,
            }
            if let Err(Full) = place.grow_to(self.received) {
                return UploadError::Full;
            }
        }
        std::future::pending().await
    }

    async fn receive(&mut self) -> Result<(), UploadError> {
        let Some(frame) = self.body.frame().await else {
            self.is_complete = true;
            return Ok(());
        };
        let frame = frame.map_err(|_| UploadError::Broken)?;
        // Trailers say nothing that a sealed request needs.
        let Ok(data) = frame.into_data() else { return Ok(()) };
        self.received = self.received.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
        if self.received > self.most {
            return Err(UploadError::TooLarge { most: self.most });
        }
        if !data.is_empty() {
            self.kept.push_back(data);
        }
        if self.body.is_end_stream() {
            self.is_complete = true;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http_body_util::Full as Whole;

    use super::*;
    use crate::hold::{Hold, HoldLimits, Tenant};

    #[tokio::test]
    async fn pieces_are_bounded_and_none_is_lost() {
        let bytes: Vec<u8> = (0..40_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let mut upload = Upload::new(Whole::new(Bytes::from(bytes.clone())), 40_000).unwrap();
        assert_eq!(upload.announced(), Some(40_000));
        assert_eq!(upload.begin().await, Ok(false));
        let mut seen = Vec::new();
        while let Some(piece) = upload.next_piece().await.unwrap() {
            assert!(piece.len() <= PIECE_BYTES);
            seen.extend_from_slice(&piece);
        }
        assert_eq!(seen, bytes);
        assert_eq!(upload.begin().await, Ok(true), "all of it was handed on");
    }

    #[test]
    fn what_announces_too_much_is_not_read() {
        let refused = Upload::new(Whole::new(Bytes::from_static(&[0; 101])), 100).map(|_| ());
        assert_eq!(refused, Err(UploadError::TooLarge { most: 100 }));
        assert!(Upload::new(Whole::new(Bytes::from_static(&[0; 100])), 100).is_ok());
    }

    #[tokio::test]
    async fn keeping_is_charged_to_the_hold() {
        let limits = HoldLimits { tenant_requests: 1, tenant_bytes: 50, total_bytes: 50 };
        let hold = Arc::new(Hold::new(limits));
        let mut place = hold.enter(Tenant::DEFAULT, 0).unwrap();
        let mut upload = Upload::new(Whole::new(Bytes::from_static(&[0; 51])), 100).unwrap();
        assert_eq!(upload.keep(&mut place, Duration::from_secs(1)).await, UploadError::Full);
    }
}
