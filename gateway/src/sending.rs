//! The sending half of a stream to an instance, which takes back what it can.

use bytes::Bytes;
use h2::{Reason, SendStream};

/// The sending half of a stream. Unless it was finished, dropping it takes back what HTTP/2 has not begun to write.
pub(crate) struct Unfinished {
    pub(crate) stream: SendStream<Bytes>,
    pub(crate) is_finished: bool,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_finished {
            // Unlike a stream that is merely dropped, one that is reset forgets what is queued.
            self.stream.send_reset(Reason::CANCEL);
        }
    }
}
