//! TLS of the clients' listener: TLS 1.3 under a certificate of the operator's. It says nothing about a TEE; what clients seal
//! does not rest on it.
//!
//! Certificates are renewed while a gateway runs, so the two files are looked at every few seconds and taken when they have changed and
//! belong together. A pair that does not is refused once, in the log, and the certificate that was shown is shown on.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use teegate_encoding::der::{self, CivilTime, Der, DerError};
use teegate_verifier::UnixTime;
use tokio_rustls::TlsAcceptor;

use crate::config::TlsFiles;

/// Between two looks at the files. What has changed is taken at the second one, so that nobody is caught between two writes.
const LOOKS: Duration = Duration::from_secs(5);

/// The TLS files cannot be used.
#[derive(Debug)]
pub struct TlsError {
    path: PathBuf,
    reason: String,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot use `{}` for TLS: {}", self.path.display(), self.reason)
    }
}

impl std::error::Error for TlsError {}

/// The certificate of the clients' listener, as it is shown now.
#[derive(Debug)]
pub struct Certificates {
    files: TlsFiles,
    provider: Arc<CryptoProvider>,
    shown: RwLock<Shown>,
    looked: Mutex<Looked>,
}

#[derive(Clone, Debug)]
struct Shown {
    key: Arc<CertifiedKey>,
    not_after: UnixTime,
    /// Why a newer pair was not taken.
    refused: Option<String>,
}

/// What was seen of the files: at the last look, and when they were judged last. None where one of them is not there.
#[derive(Debug)]
struct Looked {
    last: Option<Stamps>,
    judged: Option<Stamps>,
}

/// A file is another one when any of this is: device, node, length, time of change.
type Stamp = (u64, u64, u64, i64, i64);
type Stamps = [Stamp; 2];

/// What a look at the files has shown.
#[derive(Debug)]
pub enum Look {
    /// Nothing new.
    Same,
    /// They are changing: the next look decides.
    Changing,
    /// Another certificate is shown, until then.
    Taken(UnixTime),
    /// They cannot be used.
    Refused(TlsError),
}

impl Certificates {
    /// Reads both files.
    pub fn load(files: &TlsFiles) -> Result<Arc<Self>, TlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let stamps = stamps(files);
        let shown = read(files, &provider)?;
        Ok(Arc::new(Self {
            files: files.clone(),
            provider,
            shown: RwLock::new(shown),
            looked: Mutex::new(Looked { last: stamps, judged: stamps }),
        }))
    }

    /// TLS for the clients' listener, which shows each client the newest certificate and asks nobody for one.
    pub fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, TlsError> {
        self.acceptor_asking(None)
    }

    /// The same, which asks clients for the certificates that `clients` judges, where there is such a judge.
    pub fn acceptor_asking(
        self: &Arc<Self>,
        clients: Option<Arc<dyn ClientCertVerifier>>,
    ) -> Result<TlsAcceptor, TlsError> {
        let config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|cause| error(&self.files.certificate, &cause))?;
        let asks = clients.is_some();
        let config = match clients {
            Some(clients) => config.with_client_cert_verifier(clients),
            None => config.with_no_client_auth(),
        };
        let mut config = config.with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        if asks {
            // A session that is taken up again would bring a certificate that is not judged again.
            config.send_tls13_tickets = 0;
        }
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Until when the certificate that is shown is valid.
    pub fn not_after(&self) -> UnixTime {
        self.shown.read().unwrap_or_else(PoisonError::into_inner).not_after
    }

    /// Why the files are not what is shown, if they are not.
    pub fn refused(&self) -> Option<String> {
        self.shown.read().unwrap_or_else(PoisonError::into_inner).refused.clone()
    }

    /// Looks at the files, and takes them when they have changed, have stopped changing and belong together.
    pub fn look(&self) -> Look {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let now = stamps(&self.files);
        let last = std::mem::replace(&mut looked.last, now);
        if now == looked.judged {
            return Look::Same;
        }
        if now != last {
            return Look::Changing;
        }
        let taken = read(&self.files, &self.provider);
        if stamps(&self.files) != now {
            return Look::Changing;
        }
        looked.judged = now;
        let mut shown = self.shown.write().unwrap_or_else(PoisonError::into_inner);
        match taken {
            Ok(newer) => {
                *shown = newer;
                Look::Taken(shown.not_after)
            }
            Err(error) => {
                shown.refused = Some(error.to_string());
                Look::Refused(error)
            }
        }
    }

    /// Looks again and again; never resolves.
    pub async fn keep_looking(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOKS).await;
            let own = Arc::clone(&self);
            match tokio::task::spawn_blocking(move || own.look()).await {
                Ok(Look::Taken(not_after)) => {
                    tracing::info!(target: "audit", event = "tls_taken", until = %not_after, "clients are shown another certificate");
                }
                Ok(Look::Refused(error)) => {
                    let why = error.to_string();
                    tracing::error!(target: "audit", event = "tls_refused", why, "the certificate stays as it was");
                }
                Ok(Look::Same | Look::Changing) | Err(_) => {}
            }
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.shown.read().unwrap_or_else(PoisonError::into_inner).key))
    }
}

fn error(path: &Path, reason: &dyn fmt::Display) -> TlsError {
    TlsError { path: path.to_owned(), reason: reason.to_string() }
}

fn stamps(files: &TlsFiles) -> Option<Stamps> {
    let of = |path: &Path| std::fs::metadata(path).ok().map(|data| stamp(&data));
    Some([of(&files.certificate)?, of(&files.key)?])
}

fn stamp(data: &Metadata) -> Stamp {
    (data.dev(), data.ino(), data.len(), data.mtime(), data.mtime_nsec())
}

fn read(files: &TlsFiles, provider: &CryptoProvider) -> Result<Shown, TlsError> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(|cause| error(&files.certificate, &cause))?;
    let Some(leaf) = chain.first() else {
        return Err(error(&files.certificate, &"expected PEM with a `CERTIFICATE` block"));
    };
    let not_after = not_after(leaf).map_err(|cause| error(&files.certificate, &cause.0))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|cause| error(&files.key, &cause))?;
    let key = CertifiedKey::from_der(chain, key, provider).map_err(|cause| error(&files.certificate, &cause))?;
    Ok(Shown { key: Arc::new(key), not_after, refused: None })
}

/// `notAfter` of a certificate, RFC 5280 section 4.1: behind version, serial number, algorithm, issuer and `notBefore`.
fn not_after(certificate: &[u8]) -> Result<UnixTime, DerError> {
    let mut signed = Der::new(certificate).nested(der::SEQUENCE)?.nested(der::SEQUENCE)?;
    if signed.peek() == Some(der::context(0)) {
        signed.any()?;
    }
    for _serial_algorithm_issuer in 0..3 {
        signed.any()?;
    }
    let mut validity = signed.nested(der::SEQUENCE)?;
    validity.civil_time()?;
    let CivilTime { year, month, day, time: [hour, minute, second] } = validity.civil_time()?;
    let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z");
    UnixTime::parse(&text).map_err(|_| DerError("a time that there is not"))
}

#[cfg(test)]
pub(crate) mod tests;
