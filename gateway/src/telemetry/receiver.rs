//! The one connection to a receiver of OTLP, over HTTP/1.1, plain or under TLS 1.3: a message goes out, a few bytes come back.
//!
//! Whoever receives is not trusted with anything but what it is sent: its answer is read to a bound and in a time, a redirection is not
//! followed, nothing of it is repeated.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::config::TelemetrySettings;
use super::headers::Headers;

/// The head of an answer, and its body. Both are a few bytes where nothing is wrong.
const MOST_HEAD_BYTES: usize = 16 << 10;
const MOST_BODY_BYTES: usize = 16 << 10;
/// The most CA certificates that are read of a file.
const MOST_CA_BYTES: u64 = 1 << 20;
/// Longer than this a receiver does not make anybody wait.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// A receiver, and how it is recognised and addressed.
#[derive(Clone)]
pub struct Receiver {
    pub(super) settings: TelemetrySettings,
    headers: Headers,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receiver({})", self.settings.endpoint)
    }
}

impl Receiver {
    /// Reads the files that `settings` name. Nobody is connected to.
    ///
    /// # Errors
    /// A file cannot be read or is not understood, in a sentence.
    pub fn load(settings: &TelemetrySettings) -> Result<Self, String> {
        let headers = settings.headers.as_deref().map(Headers::load).transpose()?.unwrap_or_default();
        let tls = if settings.endpoint.is_https {
            let name = ServerName::try_from(settings.endpoint.host.clone()).map_err(|_| {
                "`telemetry.otlp_endpoint` is not understood: a certificate cannot name its host".to_owned()
            })?;
            Some((connector(settings.ca.as_deref())?, name))
        } else {
            None
        };
        Ok(Self { settings: settings.clone(), headers, tls })
    }
}

/// Recognises a receiver by these CA certificates, or by those of the machine.
fn connector(ca: Option<&Path>) -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    match ca {
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err("this machine has no CA certificates, by which `telemetry.otlp_endpoint` would be recognised; install \
                            `ca-certificates`, or name a file of them in `telemetry.ca`"
                    .to_owned());
            }
        }
        Some(path) => {
            let wrong =
                |why: &dyn fmt::Display| format!("the CA certificates of `telemetry.ca`, `{}`: {why}", path.display());
            let pem = read(path).map_err(|error| wrong(&error))?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate = certificate.map_err(|error| wrong(&error))?;
                roots.add(certificate).map_err(|error| wrong(&error))?;
            }
            if roots.is_empty() {
                return Err(wrong(&"expected PEM with a `CERTIFICATE` block"));
            }
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MOST_CA_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Why a message is not known to have arrived.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Trouble {
    /// There is no answer: nobody is there, or not in time.
    Unreachable(String),
    /// The receiver wants it later, after so long if it says.
    Later(StatusCode, Option<Duration>),
    /// It does not want it at all.
    Refused(StatusCode),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => f.write_str(why),
            Self::Later(status, _) => write!(f, "it answers {}, not now", status.as_u16()),
            Self::Refused(status) => write!(f, "it answers {}", status.as_u16()),
        }
    }
}

/// Sends messages of one kind, one after the other.
pub(super) struct Sender {
    receiver: Arc<Receiver>,
    path: String,
    connection: Option<Connection>,
}

/// A connection that ends when nobody needs it any more.
struct Connection {
    requests: SendRequest<Full<Bytes>>,
    driving: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driving.abort();
    }
}

impl Sender {
    pub(super) fn new(receiver: Arc<Receiver>, path: &str) -> Self {
        let path = receiver.settings.endpoint.path(path);
        Self { receiver, path, connection: None }
    }

    /// Sends one message, within the time that is configured; gives what the receiver answers.
    pub(super) async fn send(&mut self, message: Bytes) -> Result<Bytes, Trouble> {
        let time = self.receiver.settings.timeout;
        let sent = timeout(time, self.send_once_or_again(message)).await;
        if !matches!(sent, Ok(Ok(_))) {
            self.connection = None;
        }
        sent.unwrap_or_else(|_| Err(Trouble::Unreachable(format!("no answer within {} s", time.as_secs()))))
    }

    /// A connection that was kept may have ended meanwhile, which says nothing about the receiver.
    async fn send_once_or_again(&mut self, message: Bytes) -> Result<Bytes, Trouble> {
        if let Some(kept) = self.connection.take().filter(|kept| !kept.requests.is_closed()) {
            match self.exchange(kept, message.clone()).await {
                Err(Trouble::Unreachable(_)) => (),
                answered => return answered,
            }
        }
        let fresh = self.connect().await?;
        self.exchange(fresh, message).await
    }

    async fn exchange(&mut self, mut connection: Connection, message: Bytes) -> Result<Bytes, Trouble> {
        let lost = |error: hyper::Error| Trouble::Unreachable(format!("the connection was lost: {error}"));
        connection.requests.ready().await.map_err(lost)?;
        let mut request = Request::post(self.path.as_str());
        if let Some(headers) = request.headers_mut() {
            headers.extend(self.receiver.headers.expose().clone());
        }
        let request = request
            .header(HOST, self.receiver.settings.endpoint.authority())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"))
            .header(ACCEPT, HeaderValue::from_static("application/x-protobuf"))
            .header(USER_AGENT, HeaderValue::from_static(concat!("teegate-gateway/", env!("CARGO_PKG_VERSION"))))
            .body(Full::new(message))
            .map_err(|error| Trouble::Unreachable(format!("it cannot be asked: {error}")))?;
        let answer = connection.requests.send_request(request).await.map_err(lost)?;
        let (head, body) = answer.into_parts();
        match head.status {
            StatusCode::OK => {}
            // As OTLP says (1.7.0, "Failures", retryable response codes).
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => return Err(Trouble::Later(head.status, retry_after(&head.headers))),
            status => return Err(Trouble::Refused(status)),
        }
        // It was taken, whatever else is said and however long that is: where it is too long, the connection is not kept.
        match Limited::new(body, MOST_BODY_BYTES).collect().await {
            Ok(body) => {
                self.connection = Some(connection);
                Ok(body.to_bytes())
            }
            Err(_) => Ok(Bytes::new()),
        }
    }

    async fn connect(&self) -> Result<Connection, Trouble> {
        let unreachable = |error: std::io::Error| Trouble::Unreachable(error.to_string());
        let endpoint = &self.receiver.settings.endpoint;
        let tcp = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await.map_err(unreachable)?;
        let _ = tcp.set_nodelay(true);
        match &self.receiver.tls {
            None => handshake(tcp).await,
            Some((connector, name)) => {
                handshake(connector.connect(name.clone(), tcp).await.map_err(unreachable)?).await
            }
        }
    }
}

async fn handshake(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Connection, Trouble> {
    let (requests, connection) = http1::Builder::new()
        .max_buf_size(MOST_HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| Trouble::Unreachable(format!("it does not speak HTTP/1.1: {error}")))?;
    let driving = tokio::spawn(async move {
        // What goes wrong with it is seen by whoever waits for the answer.
        let _ = connection.await;
    });
    Ok(Connection { requests, driving: driving.abort_handle() })
}

/// Seconds; a date is not taken, and the gateway's own pause counts then.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_to_wait_are_taken_to_a_bound() {
        for (said, taken) in
            [("7", Some(7)), ("999999", Some(300)), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("-1", None)]
        {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(said))]);
            assert_eq!(retry_after(&headers), taken.map(Duration::from_secs), "{said}");
        }
    }
}
