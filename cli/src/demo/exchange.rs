//! One question to a listener on loopback, in the plainest HTTP there is.

use std::io::{Error, ErrorKind};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The largest answer that is read; a list of instances is a few kilobytes.
const MAX_BYTES: u64 = 4 * 1024 * 1024;
/// How long an answer may take; the longest wait that is asked for is one second.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The status.
    pub(super) status: u16,
    /// The media type; empty if there is none.
    pub(super) content_type: String,
    /// The body.
    pub(super) body: Vec<u8>,
}

/// Asks for `target`.
pub(super) async fn get(address: &str, target: &str) -> std::io::Result<Answer> {
    exchange(address, &format!("GET {target}"), &[], &[]).await
}

/// Posts `body` to `target`.
pub(super) async fn post(address: &str, target: &str, fields: &[(&str, &str)], body: &[u8]) -> std::io::Result<Answer> {
    exchange(address, &format!("POST {target}"), fields, body).await
}

/// HTTP/1.0, so that the answer is one piece that ends with the connection.
async fn exchange(address: &str, line: &str, fields: &[(&str, &str)], body: &[u8]) -> std::io::Result<Answer> {
    let mut request = format!("{line} HTTP/1.0\r\nhost: {address}\r\n");
    for (name, value) in fields {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        request.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    request.push_str("\r\n");
    let exchanged = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(&[request.as_bytes(), body].concat()).await?;
        let mut answer = Vec::new();
        stream.take(MAX_BYTES).read_to_end(&mut answer).await?;
        Ok::<_, Error>(answer)
    };
    let answer = tokio::time::timeout(ANSWER_WITHIN, exchanged).await;
    let answer = answer.map_err(|_| Error::new(ErrorKind::TimedOut, format!("no answer from {address}")))??;
    read(&answer).ok_or_else(|| Error::new(ErrorKind::InvalidData, format!("{address} did not answer in HTTP")))
}

fn read(answer: &[u8]) -> Option<Answer> {
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = std::str::from_utf8(answer.get(..end)?).ok()?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let content_type = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-type"))
        .map(|(_, value)| value.trim().to_owned())
        .unwrap_or_default();
    Some(Answer { status, content_type, body: answer.get(end.checked_add(4)?..)?.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_status_a_type_and_a_body() {
        let read = read(b"HTTP/1.1 503 Busy\r\nContent-Type: application/problem+json\r\n\r\n{}").unwrap();
        assert_eq!((read.status, read.content_type.as_str()), (503, "application/problem+json"));
        assert_eq!(read.body, b"{}");
        assert_eq!(super::read(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap().content_type, "");
        for broken in [&b""[..], b"HTTP/1.1 200 OK\r\n", b"\r\n\r\n", b"nonsense\r\n\r\n"] {
            assert_eq!(super::read(broken), None);
        }
    }
}
