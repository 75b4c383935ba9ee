//! A request's body: read within a limit of its own and a budget that all share, at a pace, and without its `Content-Encoding`.
//!
//! The budget counts the bytes of requests from their first byte to their answer, as they come: who announces much and sends little
//! takes little. Answers have a budget of their own, as large, from their first byte until the program has them. Sealing copies a
//! request a few times and opening an answer too, so the process needs some five times either.

use std::sync::Arc;

use http::StatusCode;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, RETRY_AFTER};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::encoding::Encoding;
use super::pace::{Meter, Pace, TooSlow};
use super::said::Said;

/// How much of requests is held.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// The largest body, after its `Content-Encoding` is taken off.
    pub one_bytes: usize,
    /// All that are under way at the same time; and as much again for their answers.
    pub all_bytes: usize,
    /// How fast a body has to come; one that is slower has failed.
    pub pace: Pace,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self { one_bytes: 64 << 20, all_bytes: 256 << 20, pace: Pace::default() }
    }
}

/// What is counted together.
const UNIT_BYTES: usize = 1024;

/// Room for the bodies that are under way.
pub(super) struct Room {
    limits: BodyLimits,
    left: Arc<Semaphore>,
}

/// A body, and the room that it takes until this is dropped.
pub(super) struct Held {
    pub(super) bytes: Vec<u8>,
    pub(super) room: Taken,
}

/// Room that was taken.
pub(super) struct Taken {
    limit: usize,
    left: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Taken {
    /// Takes as much as `bytes` need in all.
    fn grow_to(&mut self, bytes: usize) -> Result<(), Said> {
        if bytes > self.limit {
            let words = format!("the body has more than {} bytes; nothing of it was sent", self.limit);
            return Err(Said::new(StatusCode::PAYLOAD_TOO_LARGE, words));
        }
        let wanted = bytes.div_ceil(UNIT_BYTES);
        let held = self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = u32::try_from(wanted.saturating_sub(held)).unwrap_or(u32::MAX);
        if more == 0 {
            return Ok(());
        }
        match Arc::clone(&self.left).try_acquire_many_owned(more) {
            Ok(taken) => match &mut self.permit {
                Some(permit) => permit.merge(taken),
                none => *none = Some(taken),
            },
            Err(_) => {
                let words =
                    "other requests take all the room that this door has for bodies; nothing of this one was sent";
                return Err(
                    Said::new(StatusCode::SERVICE_UNAVAILABLE, words).with(RETRY_AFTER, HeaderValue::from_static("1"))
                );
            }
        }
        Ok(())
    }
}

impl Room {
    pub(super) fn new(limits: BodyLimits) -> Self {
        let units = limits.all_bytes.div_ceil(UNIT_BYTES).min(Semaphore::MAX_PERMITS);
        Self { limits, left: Arc::new(Semaphore::new(units)) }
    }

    /// Reads the whole of a body.
    pub(super) async fn read(&self, headers: &HeaderMap, body: Incoming) -> Result<Held, Said> {
        let encoding = Encoding::of(headers)?;
        let mut held = self.receive(headers, body).await?;
        if encoding == Encoding::Identity {
            return Ok(held);
        }
        // Expanding 64 MiB takes long enough for others to notice.
        let mut room = self.nothing();
        let compressed = std::mem::take(&mut held.bytes);
        let expanded = tokio::task::spawn_blocking(move || {
            let bytes = encoding.take_off(compressed, |bytes| room.grow_to(bytes))?;
            Ok(Held { bytes, room })
        });
        expanded.await.map_err(|_| Said::new(StatusCode::INTERNAL_SERVER_ERROR, "the body could not be expanded"))?
    }

    async fn receive(&self, headers: &HeaderMap, mut body: Incoming) -> Result<Held, Said> {
        let mut room = self.nothing();
        let said =
            headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|value| value.parse().ok());
        // Before a byte is read: whoever waits for `100 Continue` is told in time. It is given back at once: announcing costs nothing,
        // so it is worth nothing.
        self.nothing().grow_to(said.unwrap_or_default())?;
        let mut bytes = Vec::new();
        let mut meter = Meter::start(self.limits.pace);
        loop {
            let frame = meter.wait(body.frame()).await.map_err(|TooSlow| {
                let words = format!(
                    "the body came too slowly: {} are expected, until its end; nothing of it was sent",
                    self.limits.pace
                );
                Said::new(StatusCode::REQUEST_TIMEOUT, words)
            })?;
            match frame {
                None => return Ok(Held { bytes, room }),
                Some(Ok(frame)) => {
                    // Trailers are passed over.
                    let Ok(data) = frame.into_data() else { continue };
                    meter.came(data.len());
                    room.grow_to(bytes.len().saturating_add(data.len()))?;
                    bytes.extend_from_slice(&data);
                }
                Some(Err(_)) => {
                    return Err(Said::new(
                        StatusCode::BAD_REQUEST,
                        "the body ended before its end; nothing of it was sent",
                    ));
                }
            }
        }
    }

    fn nothing(&self) -> Taken {
        Taken { limit: self.limits.one_bytes, left: Arc::clone(&self.left), permit: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_taken_as_it_is_needed_and_given_back() {
        let room = Room::new(BodyLimits { one_bytes: 3 << 10, all_bytes: 4 << 10, ..BodyLimits::default() });
        let mut one = room.nothing();
        one.grow_to(1).unwrap();
        one.grow_to(1024).unwrap();
        assert_eq!(room.left.available_permits(), 3);
        one.grow_to(3 << 10).unwrap();
        assert_eq!(room.left.available_permits(), 1);
        assert_eq!(one.grow_to((3 << 10) + 1).unwrap_err().status(), 413);
        let mut other = room.nothing();
        other.grow_to(1024).unwrap();
        assert_eq!(other.grow_to(1025).unwrap_err().status(), 503);
        drop(one);
        other.grow_to(1025).unwrap();
        drop(other);
        assert_eq!(room.left.available_permits(), 4);
    }
}
