//! What HTTP refuses and the library below lets pass, or refuses in other words.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::header::HOST;
use http::uri::Authority;
use http::{Request, Version};
use teegate_protocol::limits;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::activity::Activity;
use crate::problem::RouteError;

/// RFC 9112 section 3.2: a request of HTTP/1.1 without `Host`, and any with two, or with one that is none, is answered 400.
pub(crate) fn check_host<B>(request: &Request<B>) -> Result<(), RouteError> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let is_right = match (hosts.next(), hosts.next()) {
        (None, _) => request.version() != Version::HTTP_11,
        (Some(host), None) => is_host(host.as_bytes()),
        (Some(_), Some(_)) => false,
    };
    if is_right {
        Ok(())
    } else {
        Err(RouteError::Malformed("expected one header field `host` (RFC 9112 section 3.2)"))
    }
}

/// `uri-host [ ":" port ]`, RFC 9110 section 7.2; empty where the target has no authority.
fn is_host(host: &[u8]) -> bool {
    host.is_empty() || (!host.contains(&b'@') && Authority::try_from(host).is_ok())
}

const HEAD_TOO_LARGE: &[u8] = b"HTTP/1.1 431 Request Header Fields Too Large\r\n";
const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\n";

/// A stream of HTTP/1.1 on which a small head is never called too large. The library does that where it is a number in the head
/// that is too large for it (`content-length: 18446744073709551615`), and leaves nobody else a say in the answer.
pub(crate) struct Corrected<T> {
    inner: T,
    activity: Arc<Activity>,
    /// Bytes that were read since something was written: the head, if that is what comes next.
    head: usize,
    correction: Option<&'static [u8]>,
}

impl<T> Corrected<T> {
    pub(crate) fn new(inner: T, activity: Arc<Activity>) -> Self {
        Self { inner, activity, head: 0, correction: None }
    }

    /// While a request is being answered what is written is its answer, whatever it looks like.
    fn is_wrong(&self, bytes: &[u8]) -> bool {
        self.head < limits::HEADER_BLOCK_BYTES && bytes.starts_with(HEAD_TOO_LARGE) && self.activity.is_idle()
    }
}

impl<T: AsyncWrite + Unpin> Corrected<T> {
    /// Writes the right line in place of the wrong one, if there is one to correct.
    fn poll_correct(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Option<io::Result<usize>>> {
        if self.correction.is_none() && self.is_wrong(bytes) {
            self.correction = Some(BAD_REQUEST);
        }
        let Some(mut rest) = self.correction else { return Poll::Ready(None) };
        while !rest.is_empty() {
            let count = match ready!(Pin::new(&mut self.inner).poll_write(context, rest)) {
                Ok(0) => return Poll::Ready(Some(Err(io::ErrorKind::WriteZero.into()))),
                Ok(count) => count,
                Err(error) => return Poll::Ready(Some(Err(error))),
            };
            rest = rest.get(count..).unwrap_or_default();
            self.correction = Some(rest);
        }
        self.correction = None;
        Poll::Ready(Some(Ok(HEAD_TOO_LARGE.len())))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Corrected<T> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut this.inner).poll_read(context, buffer));
        this.head = this.head.saturating_add(buffer.filled().len().saturating_sub(before));
        Poll::Ready(read)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Corrected<T> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Some(corrected) = ready!(this.poll_correct(context, bytes)) {
            return Poll::Ready(corrected);
        }
        let written = ready!(Pin::new(&mut this.inner).poll_write(context, bytes));
        this.head = 0;
        Poll::Ready(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let first = slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| slice);
        if let Some(corrected) = ready!(this.poll_correct(context, first)) {
            return Poll::Ready(corrected);
        }
        let written = ready!(Pin::new(&mut this.inner).poll_write_vectored(context, slices));
        this.head = 0;
        Poll::Ready(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::activity::Patience;

    #[test]
    fn one_host_is_expected_where_http_1_1_is_spoken() {
        let is_right = |version, hosts: &[&str]| {
            let mut request = Request::get("/").version(version).body(()).unwrap();
            for host in hosts {
                request.headers_mut().append(HOST, host.parse().unwrap());
            }
            check_host(&request).is_ok()
        };
        for (version, hosts, expected) in [
            (Version::HTTP_11, &["gateway"][..], true),
            (Version::HTTP_11, &["[::1]:8080"], true),
            (Version::HTTP_11, &[""], true),
            (Version::HTTP_11, &[], false),
            (Version::HTTP_11, &["a", "b"], false),
            (Version::HTTP_11, &["a", "a"], false),
            (Version::HTTP_11, &["a, b"], false),
            (Version::HTTP_11, &["user@a"], false),
            (Version::HTTP_11, &["a/b"], false),
            (Version::HTTP_10, &[], true),
            (Version::HTTP_10, &["a", "b"], false),
            (Version::HTTP_2, &[], true),
            (Version::HTTP_2, &["a", "b"], false),
        ] {
            assert_eq!(is_right(version, hosts), expected, "{version:?} {hosts:?}");
        }
    }

    /// What arrives of `written`, after a head of so many bytes, in pieces of `step` bytes, during a request or before it.
    async fn arrives(written: &[u8], head: usize, step: usize, is_answer: bool) -> Vec<u8> {
        let time = Duration::from_secs(900);
        let activity = Activity::new(Patience { first: time, idle: time, answer: time });
        let _busy = is_answer.then(|| activity.begin());
        let (near, mut far) = tokio::io::duplex(64 << 10);
        let mut stream = Corrected::new(near, activity);
        far.write_all(&vec![b'x'; head]).await.unwrap();
        stream.read_exact(&mut vec![0; head]).await.unwrap();
        let (near, mut narrow) = tokio::io::duplex(step);
        stream.inner = near;
        let reading = tokio::spawn(async move {
            let mut all = Vec::new();
            narrow.read_to_end(&mut all).await.unwrap();
            all
        });
        stream.write_all(written).await.unwrap();
        drop(stream);
        reading.await.unwrap()
    }

    #[tokio::test]
    async fn only_a_small_head_is_not_called_too_large() {
        let rest = b"content-length: 0\r\n\r\n";
        let (wrong, right) = ([HEAD_TOO_LARGE, rest].concat(), [BAD_REQUEST, rest].concat());
        for step in [1, 7, 1_000] {
            assert_eq!(arrives(&wrong, 100, step, false).await, right);
            assert_eq!(arrives(&wrong, limits::HEADER_BLOCK_BYTES, step, false).await, wrong, "a large one is");
            assert_eq!(arrives(&wrong, 100, step, true).await, wrong, "nor is an answer touched");
            assert_eq!(arrives(&right, 100, step, false).await, right);
        }
    }
}
