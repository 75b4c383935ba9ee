//! What this needs of the API server: one answer, or lines of a watch, over HTTP/1.1 and TLS 1.3 under the cluster's own CA.
//!
//! Address, CA and token are those that Kubernetes gives each pod. The token ends, and is replaced before that: it is read anew for
//! each request, and so is the CA. Nothing of an answer is kept that has no bound.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HOST, USER_AGENT};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Where each pod finds its token, the CA of the API server and its namespace.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const HOST_VARIABLE: &str = "KUBERNETES_SERVICE_HOST";
const PORT_VARIABLE: &str = "KUBERNETES_SERVICE_PORT";

const MOST_FILE_BYTES: u64 = 256 << 10;
const MOST_HEADER_BYTES: usize = 64 << 10;
/// One page of a list.
const MOST_ANSWER_BYTES: usize = 16 << 20;
/// One event: etcd takes objects of 1.5 MiB.
const MOST_LINE_BYTES: usize = 4 << 20;

/// Where the API server is, and who asks it.
#[derive(Clone, Debug)]
pub struct Cluster {
    host: String,
    port: u16,
    account: PathBuf,
}

/// This process is in no cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NoCluster(String);

impl fmt::Display for NoCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`[[discovery.kubernetes]]` needs a pod with a service account: {}", self.0)
    }
}

impl std::error::Error for NoCluster {}

/// Why there is no answer, or no more of it.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Trouble {
    /// 410: what was asked for is forgotten.
    Gone,
    /// 401: the token is not, or not any more, known.
    Unauthorized,
    /// Anything else that asking again may mend.
    Failed(String),
    /// What came is not understood: what was known of it must not be built upon.
    Garbled(String),
}

impl Cluster {
    /// The cluster whose pod this process is in.
    pub fn of_this_pod() -> Result<Self, NoCluster> {
        let variable = |name: &str| std::env::var(name).map_err(|_| NoCluster(format!("`{name}` is not set")));
        let (host, port) = (variable(HOST_VARIABLE)?, variable(PORT_VARIABLE)?);
        Self::at(host, &port, Path::new(ACCOUNT))
    }

    /// The API server at `host` and `port`, asked as the service account whose files lie in `account`.
    pub fn at(host: String, port: &str, account: &Path) -> Result<Self, NoCluster> {
        let port = port.parse().map_err(|_| NoCluster(format!("`{PORT_VARIABLE}` is no port")))?;
        ServerName::try_from(host.as_str()).map_err(|_| NoCluster(format!("`{HOST_VARIABLE}` is no host")))?;
        let cluster = Self { host, port, account: account.to_owned() };
        for name in ["token", "ca.crt"] {
            let path = cluster.account.join(name);
            std::fs::metadata(&path)
                .map_err(|error| NoCluster(format!("cannot read `{}`: {error}", path.display())))?;
        }
        Ok(cluster)
    }

    /// The namespace of the pod.
    pub fn namespace(&self) -> Result<String, NoCluster> {
        let path = self.account.join("namespace");
        let text = std::fs::read_to_string(&path)
            .map_err(|error| NoCluster(format!("cannot read `{}`: {error}", path.display())))?;
        Ok(text.trim().to_owned())
    }

    /// One whole answer, within `time`.
    pub(super) async fn read(&self, path: &str, time: Duration) -> Result<Bytes, Trouble> {
        let reading = async {
            let (answer, _connection) = self.get(path).await?;
            let body = Limited::new(answer.into_body(), MOST_ANSWER_BYTES).collect().await;
            let body =
                body.map_err(|error| Trouble::Failed(format!("the API server broke off its answer: {error}")))?;
            Ok(body.to_bytes())
        };
        timeout(time, reading).await.unwrap_or_else(|_| Err(late(time)))
    }

    /// The lines of an answer that goes on; its head within `time`.
    pub(super) async fn watch(&self, path: &str, time: Duration) -> Result<Lines, Trouble> {
        let (answer, connection) = timeout(time, self.get(path)).await.unwrap_or_else(|_| Err(late(time)))?;
        Ok(Lines { body: answer.into_body(), buffer: Vec::new(), searched: 0, _connection: connection })
    }

    async fn get(&self, path: &str) -> Result<(Response<Incoming>, Connection), Trouble> {
        let token = self.file("token").await?;
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", String::from_utf8_lossy(&token).trim()))
            .map_err(|_| Trouble::Failed("the token of the service account is no token".to_owned()))?;
        bearer.set_sensitive(true);
        let (mut requests, connection) = self.connect().await?;
        let authority = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let request = Request::get(path)
            .header(HOST, format!("{authority}:{}", self.port))
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!("teegate-gateway/", env!("CARGO_PKG_VERSION")))
            .header(AUTHORIZATION, bearer)
            .body(Empty::<Bytes>::new())
            .map_err(|error| Trouble::Failed(format!("the API server cannot be asked: {error}")))?;
        let answer = requests.send_request(request).await;
        let answer = answer.map_err(|error| Trouble::Failed(format!("no answer of the API server: {error}")))?;
        match answer.status() {
            StatusCode::OK => Ok((answer, connection)),
            StatusCode::GONE => Err(Trouble::Gone),
            StatusCode::UNAUTHORIZED => Err(Trouble::Unauthorized),
            StatusCode::FORBIDDEN => Err(Trouble::Failed(
                "the service account may not list and watch endpointslices of discovery.k8s.io (403): see the Role in \
                 gateway/README.md"
                    .to_owned(),
            )),
            status => Err(Trouble::Failed(format!("the API server answered {status}"))),
        }
    }

    async fn connect(&self) -> Result<(SendRequest<Empty<Bytes>>, Connection), Trouble> {
        let unreachable = |error: std::io::Error| Trouble::Failed(format!("the API server is unreachable: {error}"));
        let tls = self.tls().await?;
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(unreachable)?;
        let name = ServerName::try_from(self.host.clone())
            .map_err(|_| Trouble::Failed(format!("`{HOST_VARIABLE}` is no host")))?;
        let stream = TlsConnector::from(tls).connect(name, tcp).await.map_err(unreachable)?;
        let (requests, connection) = http1::Builder::new()
            .max_buf_size(MOST_HEADER_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Trouble::Failed(format!("the API server does not speak HTTP/1.1: {error}")))?;
        let driving = tokio::spawn(async move {
            // What goes wrong with it is seen by whoever waits for the answer.
            let _ = connection.await;
        });
        Ok((requests, Connection(driving.abort_handle())))
    }

    /// Recognises the API server by the CA that the cluster has given, and by nothing else.
    async fn tls(&self) -> Result<Arc<ClientConfig>, Trouble> {
        let wrong = |why: &dyn fmt::Display| Trouble::Failed(format!("`ca.crt` of the service account: {why}"));
        let text = self.file("ca.crt").await?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&text) {
            let certificate = certificate.map_err(|error| wrong(&error))?;
            roots.add(certificate).map_err(|error| wrong(&error))?;
        }
        if roots.is_empty() {
            return Err(wrong(&"expected PEM with a `CERTIFICATE` block"));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| wrong(&error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    async fn file(&self, name: &str) -> Result<Vec<u8>, Trouble> {
        use tokio::io::AsyncReadExt as _;
        let unreadable =
            |error: std::io::Error| Trouble::Failed(format!("cannot read `{name}` of the service account: {error}"));
        let file = tokio::fs::File::open(self.account.join(name)).await.map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.take(MOST_FILE_BYTES).read_to_end(&mut bytes).await.map_err(unreadable)?;
        Ok(bytes)
    }
}

fn late(time: Duration) -> Trouble {
    Trouble::Failed(format!("no answer of the API server within {} ms", time.as_millis()))
}

/// A connection that ends when nobody needs it any more.
#[derive(Debug)]
struct Connection(AbortHandle);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An answer of which each line is an event.
pub(super) struct Lines {
    body: Incoming,
    buffer: Vec<u8>,
    /// So much of the buffer has no end of a line.
    searched: usize,
    _connection: Connection,
}

impl Lines {
    /// The next line; `None` at an end between two. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, Trouble> {
        loop {
            let fresh = self.buffer.get(self.searched..).unwrap_or_default();
            if let Some(end) = fresh.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.buffer.drain(..=self.searched.saturating_add(end)).collect();
                line.pop();
                self.searched = 0;
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                return Ok(Some(line));
            }
            self.searched = self.buffer.len();
            if self.searched > MOST_LINE_BYTES {
                return Err(Trouble::Garbled(format!("an event of the watch has more than {MOST_LINE_BYTES} bytes")));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.buffer.extend_from_slice(&frame.into_data().unwrap_or_default()),
                Some(Err(error)) => return Err(Trouble::Failed(format!("the watch was cut off: {error}"))),
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(Trouble::Failed("the watch was cut off within an event".to_owned())),
            }
        }
    }
}
