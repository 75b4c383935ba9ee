//! TLS of the clients' listener: TLS 1.3 under a certificate of the operator's. It says nothing about a TEE; what clients seal
//! does not rest on it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use tokio_rustls::TlsAcceptor;

use crate::config::TlsFiles;

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

/// TLS for the clients' listener, which asks nobody for a certificate.
pub fn tls_acceptor(files: &TlsFiles) -> Result<TlsAcceptor, TlsError> {
    tls_acceptor_asking(files, None)
}

/// TLS for the clients' listener, which asks clients for the certificates that `clients` judges, where there is such a judge.
pub fn tls_acceptor_asking(
    files: &TlsFiles,
    clients: Option<Arc<dyn ClientCertVerifier>>,
) -> Result<TlsAcceptor, TlsError> {
    let error = |path: &Path, reason: &dyn fmt::Display| TlsError { path: path.to_owned(), reason: reason.to_string() };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(|cause| error(&files.certificate, &cause))?;
    if chain.is_empty() {
        return Err(error(&files.certificate, &"expected PEM with a `CERTIFICATE` block"));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|cause| error(&files.key, &cause))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|cause| error(&files.certificate, &cause))?;
    let asks = clients.is_some();
    let config = match clients {
        Some(clients) => config.with_client_cert_verifier(clients),
        None => config.with_no_client_auth(),
    };
    let mut config = config.with_single_cert(chain, key).map_err(|cause| error(&files.certificate, &cause))?;
    if asks {
        // A session that is taken up again would bring a certificate that is not judged again.
        config.send_tls13_tickets = 0;
    }
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use teegate_forge::pem;

    use super::*;

    #[test]
    fn tls_files_that_cannot_be_used_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let files = TlsFiles { certificate: folder.path().join("chain.pem"), key: folder.path().join("key.pem") };
        let error_of = || tls_acceptor(&files).map(|_| ()).unwrap_err().to_string();
        assert!(error_of().contains("chain.pem"), "{}", error_of());
        std::fs::write(&files.certificate, "no PEM").unwrap();
        assert!(error_of().contains("expected PEM with a `CERTIFICATE` block"), "{}", error_of());
        let key = rcgen::generate_simple_self_signed(vec!["gateway".into()]).unwrap();
        std::fs::write(&files.certificate, pem::certificate(key.cert.der())).unwrap();
        assert!(error_of().contains("key.pem"), "{}", error_of());
    }
}
