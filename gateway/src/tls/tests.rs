//! Two certificates, one after the other, over real TLS.

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use teegate_forge::pem;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use super::*;

/// A certificate of its own, valid until `year`, in both files.
pub(crate) struct Pair {
    pub(crate) key: rcgen::CertifiedKey<rcgen::KeyPair>,
}

impl Pair {
    pub(crate) fn until(year: i32) -> Self {
        let mut params = rcgen::CertificateParams::new(vec!["gateway".into()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 2);
        let signing_key = rcgen::KeyPair::generate().unwrap();
        let cert = params.self_signed(&signing_key).unwrap();
        Self { key: rcgen::CertifiedKey { cert, signing_key } }
    }

    pub(crate) fn write(&self, files: &TlsFiles) {
        self.write_certificate(files);
        self.write_key(files);
    }

    fn write_certificate(&self, files: &TlsFiles) {
        std::fs::write(&files.certificate, pem::certificate(self.key.cert.der())).unwrap();
    }

    fn write_key(&self, files: &TlsFiles) {
        let key = pem::certificate(&self.key.signing_key.serialize_der()).replace("CERTIFICATE", "PRIVATE KEY");
        std::fs::write(&files.key, key).unwrap();
    }

    fn connector(&self) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.key.cert.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        TlsConnector::from(Arc::new(config))
    }
}

pub(crate) fn files(folder: &Path) -> TlsFiles {
    TlsFiles { certificate: folder.join("chain.pem"), key: folder.join("key.pem") }
}

/// Looks until something is decided: twice, where something has changed.
fn decided(certificates: &Certificates) -> Look {
    match certificates.look() {
        Look::Changing => certificates.look(),
        look => look,
    }
}

#[test]
fn tls_files_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    let error_of = || Certificates::load(&files).map(|_| ()).unwrap_err().to_string();
    assert!(error_of().contains("chain.pem"), "{}", error_of());
    std::fs::write(&files.certificate, "no PEM").unwrap();
    assert!(error_of().contains("expected PEM with a `CERTIFICATE` block"), "{}", error_of());
    let pair = Pair::until(2030);
    pair.write_certificate(&files);
    assert!(error_of().contains("key.pem"), "{}", error_of());
    Pair::until(2030).write_key(&files);
    assert!(error_of().contains("keys may not be consistent"), "{}", error_of());
    pair.write_key(&files);
    assert_eq!(Certificates::load(&files).unwrap().not_after().to_string(), "2030-01-02T00:00:00Z");
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_and_a_pair_that_does_not_match_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    let (old, new) = (Pair::until(2030), Pair::until(2031));
    old.write(&files);
    let certificates = Certificates::load(&files).unwrap();
    let acceptor = certificates.acceptor().unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut tls) = acceptor.accept(tcp).await else { return };
                // Kept open as long as the client keeps it.
                let _ = tokio::io::AsyncReadExt::read(&mut tls, &mut [0; 1]).await;
                let _ = tokio::io::AsyncWriteExt::write_all(&mut tls, b"!").await;
            });
        }
    });
    let connected = |pair: &Pair| {
        let connector = pair.connector();
        async move {
            let tcp = TcpStream::connect(address).await.unwrap();
            connector.connect(ServerName::try_from("gateway").unwrap(), tcp).await
        }
    };
    let mut early = connected(&old).await.unwrap();
    assert!(connected(&new).await.is_err(), "not yet");
    assert!(matches!(certificates.look(), Look::Same));

    // Half of it: refused once, and the old one goes on.
    new.write_certificate(&files);
    assert!(matches!(certificates.look(), Look::Changing), "somebody may be writing");
    let Look::Refused(error) = certificates.look() else { panic!("the key is another") };
    assert!(error.to_string().contains("keys may not be consistent"), "{error}");
    for _ in 0..3 {
        assert!(matches!(certificates.look(), Look::Same), "said once");
    }
    assert!(certificates.refused().is_some());
    assert_eq!(certificates.not_after().to_string(), "2030-01-02T00:00:00Z");
    assert!(connected(&old).await.is_ok());

    new.write_key(&files);
    assert!(matches!(decided(&certificates), Look::Taken(_)));
    assert_eq!((certificates.refused(), certificates.not_after().to_string()), (None, "2031-01-02T00:00:00Z".into()));
    assert!(connected(&new).await.is_ok());
    assert!(connected(&old).await.is_err(), "its time is over");
    tokio::io::AsyncWriteExt::write_all(&mut early, b"?").await.unwrap();
    let mut answer = [0; 1];
    tokio::io::AsyncReadExt::read_exact(&mut early, &mut answer).await.unwrap();
    assert_eq!(&answer, b"!", "a connection that was there goes on");

    // Gone: refused once. Back: the same bytes are taken again.
    std::fs::remove_file(&files.key).unwrap();
    let Look::Refused(error) = decided(&certificates) else { panic!("the key is not there") };
    assert!(error.to_string().contains("key.pem"), "{error}");
    assert!(matches!(certificates.look(), Look::Same));
    assert!(connected(&new).await.is_ok());
    new.write_key(&files);
    assert!(matches!(decided(&certificates), Look::Taken(_)));
}
