//! An answer on its way to the client, and what its request holds until the last byte of it has left.
//!
//! HTTP/2 keeps what the client's window has no room for, long after the body was read to its end. So every piece carries the
//! request with it: the request is open, and paid for, until the last piece was written to the socket, or given up.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use crate::activity::Busy;
use crate::answer::{AnswerStream, BrokenAnswer};
use crate::budget::Charge;

/// A request whose answer has not left completely.
#[derive(Debug)]
pub(crate) struct Open {
    busy: Busy,
    _charge: Option<Charge>,
    _refusal: Option<Arc<()>>,
}

impl Open {
    /// A request with its memory; where it is refused for want of that, with its leave to say so, if it has that.
    pub(crate) fn new(busy: Busy, charge: Option<Charge>, refusal: Option<Arc<()>>) -> Self {
        Self { busy, _charge: charge, _refusal: refusal }
    }
}

/// Its answer.
pub(crate) struct Taken {
    body: AnswerStream,
    open: Arc<Open>,
}

impl Taken {
    /// The head of the answer is there: from now on it is the client's turn.
    pub(crate) fn new(body: AnswerStream, mut open: Open) -> Self {
        open.busy.answered();
        Self { body, open: Arc::new(open) }
    }
}

impl Body for Taken {
    type Data = Bytes;
    type Error = BrokenAnswer;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenAnswer>>> {
        let this = self.get_mut();
        let open = &this.open;
        Pin::new(&mut this.body)
            .poll_frame(context)
            .map_ok(|frame| frame.map_data(|bytes| Bytes::from_owner(Piece { bytes, open: Arc::clone(open) })))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A piece of an answer. It is dropped when it has left.
struct Piece {
    bytes: Bytes,
    open: Arc<Open>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.open.busy.moved(u64::try_from(self.bytes.len()).unwrap_or(u64::MAX));
    }
}
