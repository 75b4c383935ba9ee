//! The body of a request, which tells whoever watches how much of it has left.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use crate::observer::Observer;

/// It leaves in pieces of this size, so that there is something to tell.
const PIECE: usize = 64 * 1024;

/// A body at hand.
pub(crate) struct Upload {
    rest: Bytes,
    length: usize,
    watched: Option<Arc<dyn Observer>>,
}

impl Upload {
    pub(crate) fn nothing() -> Self {
        Self::of(Bytes::new(), None)
    }

    pub(crate) fn of(bytes: Bytes, watched: Option<Arc<dyn Observer>>) -> Self {
        Self { length: bytes.len(), rest: bytes, watched }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let piece = if self.watched.is_some() { PIECE.min(self.rest.len()) } else { self.rest.len() };
        let piece = self.rest.split_to(piece);
        if let Some(observer) = &self.watched {
            observer.uploaded(self.length.saturating_sub(self.rest.len()), self.length);
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(u64::try_from(self.rest.len()).unwrap_or(u64::MAX))
    }
}
