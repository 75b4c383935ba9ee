//! The parent's end of the pair of sockets: messages of 64 bytes, waited for until a moment and no longer.

use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use super::super::Loss;
use super::super::message::{MESSAGE_BYTES, Message};

/// The parent's end.
pub(super) struct Pair(UnixStream);

impl Pair {
    /// A pair: our end, which never blocks, and theirs.
    pub(super) fn new() -> std::io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        Ok((Self(ours), theirs.into()))
    }

    /// Says something. There is always room: a question is asked when the last one is answered.
    pub(super) fn send(&mut self, message: &Message) -> Result<(), Loss> {
        let bytes = message.encode();
        self.0.write(&bytes).map_err(|error| lost(&error)).and_then(sent_whole)
    }

    /// The same, with descriptors.
    pub(super) fn send_with(&self, message: &Message, files: &[BorrowedFd<'_>; 3]) -> Result<(), Loss> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(files)) {
            return Err(Loss::System("no room for three descriptors".to_owned()));
        }
        let bytes = message.encode();
        rustix::net::sendmsg(&self.0, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)
            .map_err(|error| lost(&error.into()))
            .and_then(sent_whole)
    }

    /// The next message, if it is all here by then.
    pub(super) fn receive(&mut self, deadline: Instant) -> Result<Message, Loss> {
        let mut bytes = [0; MESSAGE_BYTES];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            wait_for(self.0.as_fd(), deadline)?;
            match self.0.read(rest) {
                Ok(0) => return Err(ended()),
                Ok(read) => filled += read,
                Err(error)
                    if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted) => {}
                Err(error) => return Err(lost(&error)),
            }
        }
        Message::decode(&bytes).ok_or(Loss::Breach("a message of a kind that there is not"))
    }

    /// Whether nothing has come that nobody asked for, its end included. What has come is lost.
    pub(super) fn is_silent(&mut self) -> bool {
        matches!(self.0.read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    }
}

impl AsFd for Pair {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Waits until something can be read here, or its other end is closed.
pub(super) fn wait_for(file: BorrowedFd<'_>, deadline: Instant) -> Result<(), Loss> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 });
        match poll(&mut [PollFd::new(&file, PollFlags::IN)], Some(&timeout)) {
            Ok(0) if left > Duration::ZERO => {}
            Ok(0) => return Err(Loss::Deadline),
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Loss::System(error.to_string())),
        }
    }
}

fn sent_whole(bytes: usize) -> Result<(), Loss> {
    if bytes == MESSAGE_BYTES { Ok(()) } else { Err(Loss::Breach("questions that are not read")) }
}

fn ended() -> Loss {
    Loss::Ended("and how is not known".to_owned())
}

fn lost(error: &std::io::Error) -> Loss {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionReset => ended(),
        std::io::ErrorKind::WouldBlock => Loss::Breach("questions that are not read"),
        _ => Loss::System(error.to_string()),
    }
}
