//! The way out of a link: it tells when what was queued has left this process, and it can be shut.
//!
//! HTTP/2 and TLS keep bytes that the socket has not taken: taking a permit back does not take those back. So whoever has
//! queued something learns here when it is gone, and a link whose proof falls before that is shut. Every write passes through
//! one lock, which [`Outlet::shut`] takes too: when it returns, not one more byte goes to the socket.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, watch};

/// The state of the way out.
#[derive(Debug)]
pub struct Outlet {
    state: Mutex<State>,
    queued: AtomicU64,
    left: watch::Sender<u64>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct State {
    is_shut: bool,
    /// Something was written and not flushed since.
    is_dirty: bool,
}

/// Tells what one caller has queued from what comes later.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Ticket(u64);

impl Outlet {
    pub(super) fn new() -> Self {
        Self { state: Mutex::default(), queued: AtomicU64::new(0), left: watch::Sender::new(0), wake: Notify::new() }
    }

    /// To be called after something was queued: stands for all of it.
    pub fn queued(&self) -> Ticket {
        let ticket = self.queued.fetch_add(1, Ordering::SeqCst).wrapping_add(1);
        self.wake.notify_one();
        Ticket(ticket)
    }

    /// Whether all that `ticket` stands for has left, or never will because the connection has ended.
    pub fn has_left(&self, ticket: Ticket) -> bool {
        *self.left.borrow() >= ticket.0
    }

    /// Resolves when [`has_left`](Self::has_left) is true.
    pub async fn left(&self, ticket: Ticket) {
        // The sender lives as long as `self`.
        let _ = self.left.subscribe().wait_for(|left| *left >= ticket.0).await;
    }

    /// Ends the connection. When this returns, nothing more is written to it.
    pub fn shut(&self) {
        self.lock().is_shut = true;
        self.wake.notify_one();
    }

    /// Whether it was shut, because what the connection rests on does not hold any more.
    pub fn is_shut(&self) -> bool {
        self.lock().is_shut
    }

    /// Drives a connection over a [`Valve`] of this outlet until it ends or is shut.
    pub(super) async fn drive(&self, connection: impl Future + Unpin) {
        let mut connection = connection;
        let mut driving = std::pin::pin!(std::future::poll_fn(|context| {
            // What is queued from here on may miss this turn. The rest is offered to the socket in it: the connection writes
            // whatever flow control admits, then flushes, and requests queue only what flow control has granted before.
            let queued = self.queued.load(Ordering::SeqCst);
            let polled = Pin::new(&mut connection).poll(context);
            if !self.lock().is_dirty {
                self.left.send_if_modified(|left| {
                    let is_more = *left < queued;
                    *left = queued.max(*left);
                    is_more
                });
            }
            polled
        }));
        loop {
            tokio::select! {
                biased;
                _ = driving.as_mut() => return,
                () = self.wake.notified() => {
                    if self.is_shut() {
                        return;
                    }
                }
            }
        }
    }

    /// The connection is gone, with all that it kept.
    pub(super) fn ended(&self) {
        self.left.send_replace(u64::MAX);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.lock();
        if state.is_shut {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "what the connection rests on does not hold"));
        }
        Ok(state)
    }
}

/// A stream under an outlet. Reading passes through it too, because TLS may write when it reads.
pub(super) struct Valve<T> {
    pub(super) inner: T,
    pub(super) outlet: Arc<Outlet>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Valve<T> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let _state = this.outlet.open()?;
        Pin::new(&mut this.inner).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Valve<T> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let mut state = this.outlet.open()?;
        state.is_dirty = true;
        Pin::new(&mut this.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let mut state = this.outlet.open()?;
        state.is_dirty = true;
        Pin::new(&mut this.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let mut state = this.outlet.open()?;
        let flushed = Pin::new(&mut this.inner).poll_flush(context);
        state.is_dirty = !matches!(flushed, Poll::Ready(Ok(())));
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let _state = this.outlet.open()?;
        Pin::new(&mut this.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    /// A socket that sees whether something is written to it after `shut` has returned.
    struct Socket {
        is_shut: Arc<AtomicBool>,
        written: u64,
    }

    impl AsyncRead for Socket {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Socket {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            // Long enough for `shut` to return in between, if it can.
            std::thread::yield_now();
            assert!(!self.is_shut.load(Ordering::SeqCst), "a byte went to a socket that was shut");
            self.written += 1;
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            assert!(!self.is_shut.load(Ordering::SeqCst), "a socket that was shut was flushed");
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn when_shut_returns_no_thread_writes_another_byte() {
        for _ in 0..100 {
            let (outlet, is_shut) = (Arc::new(Outlet::new()), Arc::new(AtomicBool::new(false)));
            let inner = Socket { is_shut: Arc::clone(&is_shut), written: 0 };
            let mut valve = Valve { inner, outlet: Arc::clone(&outlet) };
            let (began, begun) = std::sync::mpsc::channel();
            let writing = std::thread::spawn(move || {
                let mut context = Context::from_waker(std::task::Waker::noop());
                let error = loop {
                    match Pin::new(&mut valve).poll_write(&mut context, b"byte") {
                        Poll::Ready(Err(error)) => break error,
                        _ => drop(began.send(())),
                    }
                    let _flushed = Pin::new(&mut valve).poll_flush(&mut context);
                };
                assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
                valve.inner.written
            });
            begun.recv().unwrap();
            outlet.shut();
            is_shut.store(true, Ordering::SeqCst);
            assert!(writing.join().unwrap() > 0 && outlet.is_shut());
        }
    }
}
