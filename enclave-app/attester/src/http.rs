//! One plain HTTP exchange on this machine: a connection, a request, a bounded answer. Redirects are answers like any other.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;

/// So much of what a refusal says is repeated.
const SHOWN: usize = 80;

/// Why there is no answer.
pub(crate) enum Failed {
    /// Nothing listens there.
    NotListening(std::io::Error),
    /// The exchange ended early, or the answer is too long.
    Other(String),
}

/// Asks whoever listens at `address`; gives the status and a body of at most `limit` bytes. The caller bounds the time.
pub(crate) async fn exchange(
    address: SocketAddr,
    request: http::request::Builder,
    body: Bytes,
    limit: usize,
) -> Result<(http::StatusCode, Bytes), Failed> {
    let other = |error: &dyn std::fmt::Display| Failed::Other(error.to_string());
    let request =
        request.header(http::header::HOST, address.to_string()).header(http::header::ACCEPT, "application/json");
    let request = request.body(Full::new(body)).map_err(|error| other(&error))?;
    let stream = tokio::net::TcpStream::connect(address).await.map_err(Failed::NotListening)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| other(&error))?;
    // The connection is driven here, so that it ends with this call whichever way the call ends.
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| other(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), limit).collect().await.map_err(|error| other(&error))?;
        Ok((status, body.to_bytes()))
    };
    tokio::pin!(connection);
    tokio::pin!(exchange);
    tokio::select! {
        result = &mut exchange => result,
        // The server may close at once; what it had sent is still to be read.
        _ = &mut connection => exchange.await,
    }
}

/// A refusal in words: the status, and the beginning of what was said.
pub(crate) fn refusal(status: http::StatusCode, body: &[u8]) -> String {
    let words: String = String::from_utf8_lossy(body).chars().filter(|c| !c.is_control()).take(SHOWN).collect();
    format!("status {status}: {words}")
}
