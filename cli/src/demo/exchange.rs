//! One question to a listener on loopback, in the plainest HTTP there is.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The largest answer that is read; a list of instances is a few kilobytes.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// The body of the answer to `GET target`. HTTP/1.0, so that the answer is one piece that ends with the connection.
pub(super) async fn get(address: &str, target: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("GET {target} HTTP/1.0\r\nhost: {address}\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_BYTES).read_to_end(&mut answer).await?;
    let body_at = answer.windows(4).position(|w| w == b"\r\n\r\n").map_or(answer.len(), |at| at.saturating_add(4));
    Ok(answer.split_off(body_at))
}
