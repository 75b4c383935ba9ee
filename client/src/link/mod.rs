//! The way to a gateway: one bounded HTTP/1.1 exchange on a connection of its own.
//!
//! Nothing here is trusted and nothing here protects the request: what travels is either public (the list of instances) or
//! already sealed. What this file proves is smaller: every exchange ends within its deadline, no answer is larger than its
//! limit, and an exchange that failed says whether any byte of it may have left this machine. A connection serves one
//! exchange, so that this last answer is never confused by an earlier one.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long a TCP connection and a TLS handshake may take together.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// The largest header block read from a gateway.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// The largest certificate file read.
const MAX_CA_BYTES: usize = 256 * 1024;

/// Where a gateway listens, and by whose certificate it is recognised.
///
/// `http://` is enough for confidentiality: the request is sealed to the enclave before it gets here. `https://` also hides
/// from the network *which* gateway and model are asked for: it is recognised by this machine's own CA certificates, or by those
/// that are pinned.
#[derive(Clone)]
pub struct Gateway {
    host: String,
    port: u16,
    tls: Option<Tls>,
}

#[derive(Clone)]
struct Tls {
    /// By pinned CA certificates; `None` for those of this machine.
    pinned: Option<TlsConnector>,
    name: ServerName<'static>,
}

/// By the CA certificates of this machine, which are read at the first connection that needs them.
static SYSTEM: OnceLock<Result<TlsConnector, String>> = OnceLock::new();

fn system() -> Result<TlsConnector, String> {
    let read = || {
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err("this machine has no CA certificates by which an https gateway could be recognised; install \
                 `ca-certificates`, name a file of them in `SSL_CERT_FILE`, or pin the gateway's CA"
                .to_owned());
        }
        connector(roots)
    };
    SYSTEM.get_or_init(read).clone()
}

fn connector(roots: rustls::RootCertStore) -> Result<TlsConnector, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

impl Gateway {
    /// Reads `http://HOST[:PORT]` or `https://HOST[:PORT]`.
    pub fn parse(url: &str) -> Result<Self, AddressError> {
        let wrong = |reason: String| AddressError { url: url.to_owned(), reason };
        let uri: Uri = url.parse().map_err(|e| wrong(format!("{e}")))?;
        let (tls, default_port) = match uri.scheme_str() {
            Some("http") => (false, 80),
            Some("https") => (true, 443),
            _ => return Err(wrong("it must begin with http:// or https://".to_owned())),
        };
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(wrong("a gateway's address has no path and no query".to_owned()));
        }
        let authority = uri.authority().ok_or_else(|| wrong("the host is missing".to_owned()))?;
        if authority.as_str().contains('@') {
            return Err(wrong("a gateway's address carries no user name".to_owned()));
        }
        let host = authority.host().to_owned();
        let port = authority.port_u16().unwrap_or(default_port);
        let tls = if tls {
            let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            let name = ServerName::try_from(bare).map_err(|e| wrong(format!("{e}")))?;
            Some(Tls { pinned: None, name })
        } else {
            None
        };
        Ok(Self { host, port, tls })
    }

    /// Recognises an `https://` gateway by the CA certificates in `pem`, and by no others.
    pub fn with_pinned_ca(mut self, pem: &[u8]) -> Result<Self, AddressError> {
        let url = self.to_string();
        let wrong = |reason: String| AddressError { url: url.clone(), reason };
        let Some(tls) = self.tls.as_mut() else {
            return Err(wrong("a CA certificate was given for a gateway that is reached without TLS".to_owned()));
        };
        if pem.len() > MAX_CA_BYTES {
            return Err(wrong(format!("the CA file has more than {MAX_CA_BYTES} bytes")));
        }
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|e| wrong(format!("the CA file is not PEM: {e}")))?;
            roots.add(certificate).map_err(|e| wrong(format!("the CA file holds an unusable certificate: {e}")))?;
        }
        if roots.is_empty() {
            return Err(wrong("the CA file holds no certificate".to_owned()));
        }
        tls.pinned = Some(connector(roots).map_err(wrong)?);
        Ok(self)
    }

    /// Sends `request` and reads the whole answer, within `deadline` and at most `limit` body bytes.
    pub(crate) async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        deadline: Duration,
        limit: usize,
    ) -> Result<Response<Bytes>, LinkError> {
        let connected = tokio::time::timeout(CONNECT_WITHIN, self.open()).await;
        let stream = match connected {
            Ok(Ok(stream)) => stream,
            Ok(Err(reason)) => return Err(LinkError::Unreachable { gateway: self.to_string(), reason }),
            Err(_) => {
                let reason = format!("no connection within {} s", CONNECT_WITHIN.as_secs());
                return Err(LinkError::Unreachable { gateway: self.to_string(), reason });
            }
        };
        match tokio::time::timeout(deadline, self.speak(stream, request, limit)).await {
            Ok(answer) => answer,
            Err(_) => Err(LinkError::TimedOut { gateway: self.to_string(), after: deadline }),
        }
    }

    async fn open(&self) -> Result<Box<dyn Stream>, String> {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        let tcp = TcpStream::connect((bare, self.port)).await.map_err(|e| e.to_string())?;
        // A request is written at once and then waited for: delaying small segments only adds latency.
        tcp.set_nodelay(true).map_err(|e| e.to_string())?;
        match &self.tls {
            None => Ok(Box::new(tcp)),
            Some(Tls { pinned, name }) => {
                let connector = pinned.clone().map_or_else(system, Ok)?;
                let tls = connector.connect(name.clone(), tcp).await.map_err(|e| format!("TLS: {e}"))?;
                Ok(Box::new(tls))
            }
        }
    }

    async fn speak(
        &self,
        stream: Box<dyn Stream>,
        mut request: Request<Full<Bytes>>,
        limit: usize,
    ) -> Result<Response<Bytes>, LinkError> {
        let lost = |reason: String| LinkError::Lost { gateway: self.to_string(), reason };
        let host = HeaderValue::from_str(&format!("{}:{}", self.host, self.port)).map_err(|e| lost(e.to_string()))?;
        request.headers_mut().insert(HOST, host);
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_HEADER_BYTES)
            .handshake::<_, Full<Bytes>>(TokioIo::new(stream))
            .await
            .map_err(|e| lost(e.to_string()))?;
        // The connection must be driven while the answer is awaited; both end together, so that none is left behind.
        let answer = async {
            let response = sender.send_request(request).await.map_err(|e| lost(e.to_string()))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, limit).collect().await.map_err(|e| {
                if e.downcast_ref::<LengthLimitError>().is_some() {
                    LinkError::TooLarge { gateway: self.to_string(), limit }
                } else {
                    lost(e.to_string())
                }
            })?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        tokio::pin!(connection, answer);
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            ended = &mut connection => match ended {
                Ok(()) => answer.await,
                Err(e) => Err(lost(e.to_string())),
            },
        }
    }
}

impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gateway({self})")
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A gateway's address that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressError {
    url: String,
    reason: String,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gateway address `{}` cannot be used: {}", self.url, self.reason)
    }
}

impl std::error::Error for AddressError {}

/// An exchange with the gateway that brought no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkError {
    /// No connection: nothing was sent.
    Unreachable {
        /// The gateway.
        gateway: String,
        /// What the connection said.
        reason: String,
    },
    /// The connection ended before the whole answer was here; the request may have arrived.
    Lost {
        /// The gateway.
        gateway: String,
        /// What the connection said.
        reason: String,
    },
    /// No answer within the deadline; the request may have arrived.
    TimedOut {
        /// The gateway.
        gateway: String,
        /// The deadline.
        after: Duration,
    },
    /// The answer is larger than the client reads; the request arrived.
    TooLarge {
        /// The gateway.
        gateway: String,
        /// The limit in bytes.
        limit: usize,
    },
}

impl LinkError {
    /// Whether any byte of the request may have left this machine.
    pub fn sent(&self) -> bool {
        !matches!(self, Self::Unreachable { .. })
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { gateway, reason } => {
                write!(f, "no connection to the gateway at {gateway}: {reason}; nothing was sent; is it running?")
            }
            Self::Lost { gateway, reason } => {
                write!(f, "the connection to the gateway at {gateway} ended before the answer: {reason}")
            }
            Self::TimedOut { gateway, after } => {
                write!(f, "the gateway at {gateway} gave no answer within {} s", after.as_secs())
            }
            Self::TooLarge { gateway, limit } => {
                write!(
                    f,
                    "the gateway at {gateway} answered with more than {limit} bytes, which is more than this client reads"
                )
            }
        }
    }
}

impl std::error::Error for LinkError {}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    fn get() -> Request<Full<Bytes>> {
        Request::get("/v1/instances").body(Full::default()).unwrap()
    }

    /// Answers one connection with `answer` after the request head, then closes it.
    async fn server(answer: &'static [u8]) -> Gateway {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(answer).await.unwrap();
        });
        Gateway::parse(&format!("http://127.0.0.1:{port}")).unwrap()
    }

    #[test]
    fn addresses_are_read_or_refused_with_a_reason() {
        assert_eq!(Gateway::parse("http://gateway.example").unwrap().to_string(), "http://gateway.example:80");
        assert_eq!(Gateway::parse("https://[::1]:8443/").unwrap().to_string(), "https://[::1]:8443");
        for (url, reason) in [
            ("gateway.example:8080", "http:// or https://"),
            ("ftp://gateway.example", "http:// or https://"),
            ("http://gateway.example/v1", "no path"),
            ("http://user@gateway.example", "no user name"),
        ] {
            let error = Gateway::parse(url).unwrap_err().to_string();
            assert!(error.contains(reason), "{url}: {error}");
        }
    }

    #[test]
    fn a_ca_is_needed_for_https_and_refused_for_http() {
        let plain = Gateway::parse("http://gateway.example").unwrap().with_pinned_ca(b"").unwrap_err();
        assert!(plain.to_string().contains("without TLS"), "{plain}");
        let empty = Gateway::parse("https://gateway.example").unwrap().with_pinned_ca(b"").unwrap_err();
        assert!(empty.to_string().contains("no certificate"), "{empty}");
    }

    #[tokio::test]
    async fn an_answer_within_its_limit_is_read_and_a_longer_one_refused() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfour";
        let read = server(answer).await.exchange(get(), Duration::from_secs(5), 4).await.unwrap();
        assert_eq!(read.body().as_ref(), b"four");
        let refused = server(answer).await.exchange(get(), Duration::from_secs(5), 3).await.unwrap_err();
        assert!(matches!(refused, LinkError::TooLarge { limit: 3, .. }), "{refused}");
    }

    #[tokio::test]
    async fn a_connection_cut_short_is_lost_and_may_have_been_read() {
        let gateway = server(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nfour").await;
        let error = gateway.exchange(get(), Duration::from_secs(5), 64).await.unwrap_err();
        assert!(matches!(error, LinkError::Lost { .. }), "{error}");
        assert!(error.sent());
    }

    #[tokio::test]
    async fn a_silent_gateway_times_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway = Gateway::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let error = gateway.exchange(get(), Duration::from_millis(20), 64).await.unwrap_err();
        assert!(matches!(error, LinkError::TimedOut { .. }), "{error}");
        assert!(error.sent());
    }

    #[tokio::test]
    async fn nothing_was_sent_where_nobody_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway = Gateway::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        drop(listener);
        let error = gateway.exchange(get(), Duration::from_secs(5), 64).await.unwrap_err();
        assert!(matches!(error, LinkError::Unreachable { .. }), "{error}");
        assert!(!error.sent());
    }

    #[tokio::test]
    async fn https_to_who_speaks_no_tls_sends_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway = Gateway::parse(&format!("https://{}", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            }
        });
        let error = gateway.exchange(get(), Duration::from_secs(5), 64).await.unwrap_err();
        // A machine without CA certificates does not get as far as TLS.
        assert!(matches!(error, LinkError::Unreachable { .. }), "{error}");
        assert!(error.to_string().contains("TLS") || error.to_string().contains("no CA certificates"), "{error}");
        assert!(!error.sent());
    }
}
