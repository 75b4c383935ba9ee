//! One connection to a gateway: TCP, perhaps through a proxy, and TLS where the address says so.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use teegate_collateral::outward;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tower_service::Service;

use crate::client_certificate::ClientCertificate;

/// How long a TCP connection and a TLS handshake may take together.
pub(super) const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// To whom, and how he is recognised.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: Option<Tls>,
}

#[derive(Clone)]
pub(super) struct Tls {
    /// Pinned CA certificates; `None` for those of this machine.
    pub(super) pinned: Option<rustls::RootCertStore>,
    /// What is shown to a gateway that asks for a certificate.
    pub(super) certificate: Option<ClientCertificate>,
    /// Made of these two; `None` where there is neither.
    own: Option<TlsConnector>,
    pub(super) name: ServerName<'static>,
}

impl Tls {
    /// By the CA certificates of this machine, with nothing to show.
    pub(super) fn new(name: ServerName<'static>) -> Self {
        Self { pinned: None, certificate: None, own: None, name }
    }

    /// Takes what was set into use.
    pub(super) fn settle(&mut self) -> Result<(), String> {
        self.own = match (&self.pinned, &self.certificate) {
            (None, None) => None,
            (pinned, certificate) => {
                let roots = pinned.clone().map_or_else(system_roots, Ok)?;
                Some(connector(roots, certificate.as_ref())?)
            }
        };
        Ok(())
    }
}

/// By the CA certificates of this machine, which are read at the first connection that needs them.
static SYSTEM: OnceLock<Result<TlsConnector, String>> = OnceLock::new();

fn system() -> Result<TlsConnector, String> {
    SYSTEM.get_or_init(|| connector(system_roots()?, None)).clone()
}

fn system_roots() -> Result<rustls::RootCertStore, String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err("this machine has no CA certificates by which an https gateway could be recognised; install \
             `ca-certificates`, name a file of them in `SSL_CERT_FILE`, or pin the gateway's CA"
            .to_owned());
    }
    Ok(roots)
}

/// Whoever has a certificate of one of these `roots`, who is shown `certificate` if he asks for one.
fn connector(roots: rustls::RootCertStore, certificate: Option<&ClientCertificate>) -> Result<TlsConnector, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let config = match certificate {
        None => config.with_no_client_auth(),
        Some(certificate) => {
            let mut config = config.with_client_cert_resolver(certificate.resolver());
            // A session that goes on would go on under the certificate of before.
            config.resumption = rustls::client::Resumption::disabled();
            config
        }
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

impl Way {
    async fn open(self) -> Result<Stream, String> {
        let tcp = outward::connect(&self.host, self.port, self.tls.is_some()).await?;
        let Some(Tls { own, name, .. }) = self.tls else { return Ok(Stream(TokioIo::new(Box::new(tcp)))) };
        let connector = own.map_or_else(system, Ok)?;
        let tls = connector.connect(name, tcp).await.map_err(|error| format!("TLS: {error}"))?;
        Ok(Stream(TokioIo::new(Box::new(tls))))
    }
}

impl Service<Uri> for Way {
    type Response = Stream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// The address is that of the only gateway there is.
    fn call(&mut self, _: Uri) -> Self::Future {
        let way = self.clone();
        Box::pin(async move {
            match tokio::time::timeout(CONNECT_WITHIN, way.open()).await {
                Ok(opened) => opened.map_err(io::Error::other),
                Err(_) => Err(io::Error::other(format!("no connection within {} s", CONNECT_WITHIN.as_secs()))),
            }
        })
    }
}

/// A connection, whatever it is made of.
pub(super) struct Stream(TokioIo<Box<dyn Bytewise>>);

trait Bytewise: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Bytewise for T {}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Stream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, into)
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, pieces)
    }
}
