//! The guest API of Confidential Containers: `GET /aa/evidence` on the loopback interface of the pod (guest-components,
//! `api-server-rest`). It speaks to processes of its own guest only, and so does this file: another address would be another
//! machine's evidence.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use teegate_intake::evidence;
use teegate_verifier::ReportData;

use super::Taken;
use crate::output::short;

/// Evidence with its certificates stays below 64 KiB, an event log below 1 MiB.
const MAX_ANSWER_BYTES: usize = 1 << 20;
/// A quote takes milliseconds; a TPM takes seconds.
const DEADLINE: Duration = Duration::from_secs(60);

/// Where the API listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address(SocketAddr);

impl Default for Address {
    fn default() -> Self {
        Self(SocketAddr::from((Ipv4Addr::LOCALHOST, 8_006)))
    }
}

impl Address {
    /// Whether anything listens there.
    pub(super) fn answers(self) -> bool {
        TcpStream::connect_timeout(&self.0, Duration::from_secs(1)).is_ok()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let address = url.strip_prefix("http://").map(|rest| rest.strip_suffix('/').unwrap_or(rest));
        match address.and_then(|address| address.parse::<SocketAddr>().ok()) {
            Some(address) if address.ip().is_loopback() => Ok(Self(address)),
            _ => {
                Err("expected `http://IP:PORT` with a loopback address: the API answers its own guest alone".to_owned())
            }
        }
    }
}

/// Takes evidence from the API at `address`.
pub(super) fn take(address: &Address, report_data: &ReportData) -> Result<Taken, String> {
    let failed = |what: String| format!("the CoCo guest API at {address}: {what}");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed(format!("cannot be asked: {error}")))?;
    let answer = runtime.block_on(async { tokio::time::timeout(DEADLINE, ask(address.0, report_data)).await });
    let answer = answer
        .map_err(|_elapsed| failed(format!("did not answer within {} s", DEADLINE.as_secs())))?
        .map_err(failed)?;
    let evidence =
        evidence::recognise(&answer, None).map_err(|error| error.named("answer of the CoCo guest API").to_string())?;
    Ok(Taken { evidence, auxblob: Vec::new() })
}

async fn ask(address: SocketAddr, report_data: &ReportData) -> Result<Bytes, String> {
    let unreachable = |error: &dyn fmt::Display| {
        format!("cannot be asked: {error}; is its attestation feature enabled in the guest's image?")
    };
    let stream = tokio::net::TcpStream::connect(address).await.map_err(|error| unreachable(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| unreachable(&error))?;
    // URL-safe and without padding, as `encoding=base64` means it. A server too old to know `encoding` would bind the text itself,
    // and the report data of its evidence then says so.
    let path = format!("/aa/evidence?runtime_data={}&encoding=base64", URL_SAFE_NO_PAD.encode(report_data.0));
    let request = http::Request::get(path)
        .header(http::header::HOST, address.to_string())
        .header(http::header::ACCEPT, "application/json")
        .body(Empty::<Bytes>::new())
        .map_err(|error| unreachable(&error))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| unreachable(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| format!("its answer breaks off or is too long: {error}"))?.to_bytes();
        if status == http::StatusCode::OK {
            return Ok(body);
        }
        Err(format!("refused with status {status}: {}", short(String::from_utf8_lossy(&body).trim())))
    };
    tokio::pin!(connection);
    tokio::pin!(exchange);
    tokio::select! {
        result = &mut exchange => result,
        // The server may close at once; what it had sent is still to be read.
        _ = &mut connection => exchange.await,
    }
}
