//! What lets this client in at a gateway by mutual TLS: a certificate, with its chain, and its key, in two PEM files.
//!
//! Both files are read again for each connection, since certificates of workloads end within hours and are replaced in place. What
//! cannot be used then, such as a certificate whose key is not written yet, leaves the pair of before.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use crate::credential::CredentialError;

/// The largest file of either kind.
const MOST_BYTES: u64 = 256 << 10;

/// A certificate and its key. `Debug` names the files and shows nothing of the key. Clones share what was read last.
#[derive(Clone)]
pub struct ClientCertificate(Arc<Files>);

struct Files {
    certificate: PathBuf,
    key: PathBuf,
    last: Mutex<Arc<CertifiedKey>>,
}

impl ClientCertificate {
    /// The chain in `certificate`, leaf first, and the key in `key`, both PEM.
    ///
    /// # Errors
    /// One of them cannot be read or used now, or they do not belong together; the error names the file.
    pub fn files(certificate: &Path, key: &Path) -> Result<Self, CredentialError> {
        let last = Mutex::new(Arc::new(read(certificate, key)?));
        Ok(Self(Arc::new(Files { certificate: certificate.to_owned(), key: key.to_owned(), last })))
    }

    /// Shows it in each handshake that asks for one.
    pub(crate) fn resolver(&self) -> Arc<dyn ResolvesClientCert> {
        Arc::<Files>::clone(&self.0)
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientCertificate({})", self.0.certificate.display())
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Files")
    }
}

impl ResolvesClientCert for Files {
    fn resolve(&self, _authorities: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match read(&self.certificate, &self.key) {
            Ok(pair) => *last = Arc::new(pair),
            Err(why) => tracing::warn!("the client certificate of before is shown: {why}"),
        }
        Some(Arc::clone(&last))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn read(certificate: &Path, key: &Path) -> Result<CertifiedKey, CredentialError> {
    let of_certificate = |why: &dyn fmt::Display| wrong("certificate", certificate, why);
    let of_key = |why: &dyn fmt::Display| wrong("key", key, why);
    let text = bounded(certificate).map_err(|error| of_certificate(&error))?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| of_certificate(&format_args!("it is not PEM: {error}")))?;
    if chain.is_empty() {
        return Err(of_certificate(
            &"it holds no certificate: expected PEM with a `CERTIFICATE` block, the client's own first",
        ));
    }
    let text = bounded(key).map_err(|error| of_key(&error))?;
    let private = PrivateKeyDer::from_pem_slice(&text)
        .map_err(|_| of_key(&"it holds no private key: expected PEM with a `PRIVATE KEY` block"))?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    CertifiedKey::from_der(chain, private, &provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            of_key(&format_args!("it is not the key of the certificate in `{}`", certificate.display()))
        }
        error => {
            of_key(&format_args!("it cannot be used with the certificate in `{}`: {error}", certificate.display()))
        }
    })
}

fn wrong(what: &str, path: &Path, why: &dyn fmt::Display) -> CredentialError {
    CredentialError::new(format!("client {what} `{}`: {why}", path.display()))
}

/// A file of a bounded length, which is forgotten when it is dropped.
fn bounded(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut bytes = Zeroizing::new(Vec::new());
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(MOST_BYTES.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MOST_BYTES) {
        return Err(format!("it has more than {MOST_BYTES} bytes, which is more than is read"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey as Made, KeyPair, generate_simple_self_signed};
    use rustls::server::WebPkiClientVerifier;
    use rustls::{RootCertStore, ServerConfig};
    use teegate_forge::pem;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::link::{Gateway, Upload};

    struct Pair(tempfile::TempDir);

    impl Pair {
        fn of(made: &Made<KeyPair>) -> Self {
            let pair = Self(tempfile::tempdir().unwrap());
            pair.write(made);
            pair
        }

        fn write(&self, made: &Made<KeyPair>) {
            std::fs::write(self.certificate(), pem::certificate(made.cert.der())).unwrap();
            std::fs::write(self.key(), key_pem(made)).unwrap();
        }

        fn certificate(&self) -> PathBuf {
            self.0.path().join("client.pem")
        }

        fn key(&self) -> PathBuf {
            self.0.path().join("client.key")
        }

        fn read(&self) -> Result<ClientCertificate, String> {
            ClientCertificate::files(&self.certificate(), &self.key()).map_err(|error| error.to_string())
        }
    }

    fn key_pem(made: &Made<KeyPair>) -> String {
        pem::certificate(&made.signing_key.serialize_der()).replace("CERTIFICATE", "PRIVATE KEY")
    }

    fn made(name: &str) -> Made<KeyPair> {
        generate_simple_self_signed(vec![name.to_owned()]).unwrap()
    }

    #[test]
    fn what_is_wrong_names_its_file() {
        let (own, other) = (made("client"), made("other"));
        let pair = Pair::of(&own);
        assert!(pair.read().is_ok());
        assert!(!format!("{:?}", pair.read().unwrap()).contains("PRIVATE"));
        std::fs::write(pair.key(), key_pem(&other)).unwrap();
        let error = pair.read().unwrap_err();
        assert!(error.contains("client.key`: it is not the key of the certificate in `"), "{error}");
        std::fs::write(pair.key(), "secret").unwrap();
        let error = pair.read().unwrap_err();
        assert!(error.contains("client.key`: it holds no private key") && !error.contains("secret"), "{error}");
        std::fs::remove_file(pair.key()).unwrap();
        assert!(pair.read().unwrap_err().contains("client.key`: No such file"));
        std::fs::write(pair.certificate(), "").unwrap();
        assert!(pair.read().unwrap_err().contains("client.pem`: it holds no certificate"));
        std::fs::write(pair.certificate(), vec![b'x'; (256 << 10) + 1]).unwrap();
        assert!(pair.read().unwrap_err().contains("client.pem`: it has more than 262144 bytes"));
    }

    #[test]
    fn it_is_for_a_gateway_with_tls_alone() {
        let certificate = Pair::of(&made("client")).read().unwrap();
        let plain = Gateway::parse("http://127.0.0.1").unwrap().with_client_certificate(certificate);
        assert!(plain.unwrap_err().to_string().contains("without TLS"));
    }

    /// A gateway that asks for a certificate of `trusted`, and says whose it was shown.
    async fn gateway(server: &Made<KeyPair>, trusted: &[&Made<KeyPair>]) -> (Gateway, tokio::task::JoinHandle<()>) {
        let mut roots = RootCertStore::empty();
        trusted.iter().for_each(|made| roots.add(made.cert.der().clone()).unwrap());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
        let key = PrivateKeyDer::try_from(server.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![server.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { break };
                    head.push(byte);
                }
                let shown = stream.get_ref().1.peer_certificates().map_or(0, |chain| chain[0].len());
                let body = shown.to_string();
                let answer =
                    format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        let gateway = Gateway::parse(&url).unwrap();
        (gateway.with_pinned_ca(pem::certificate(server.cert.der()).as_bytes()).unwrap(), serving)
    }

    async fn ask(gateway: &Gateway) -> Result<String, String> {
        let request = http::Request::get("/").body(Upload::nothing()).unwrap();
        let answer = gateway.exchange(request, std::time::Duration::from_secs(60), 64).await;
        answer.map(|answer| String::from_utf8(answer.body().to_vec()).unwrap()).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn it_is_shown_to_whoever_asks_and_read_again_for_each_connection() {
        let (server, first, second) = (made("localhost"), made("first"), made("the second client"));
        let (gateway, _serving) = gateway(&server, &[&first, &second]).await;
        // The gateway ends the handshake; whether its alert is read before the end of the connection is not for this side to say.
        let refused = ask(&gateway).await.unwrap_err();
        assert!(refused.contains("the connection to the gateway"), "nobody without one: {refused}");
        let pair = Pair::of(&first);
        let gateway = gateway.with_client_certificate(pair.read().unwrap()).unwrap();
        assert!(gateway.has_credential());
        assert_eq!(ask(&gateway).await, Ok(first.cert.der().len().to_string()));
        // Half of a renewal leaves what was, and the whole is taken.
        std::fs::write(pair.certificate(), pem::certificate(second.cert.der())).unwrap();
        assert_eq!(ask(&gateway).await, Ok(first.cert.der().len().to_string()));
        pair.write(&second);
        assert_eq!(ask(&gateway).await, Ok(second.cert.der().len().to_string()));
        assert_ne!(first.cert.der().len(), second.cert.der().len());
        // One that the gateway does not know.
        pair.write(&made("a stranger"));
        let refused = ask(&gateway).await.unwrap_err();
        assert!(refused.contains("the connection to the gateway"), "{refused}");
    }
}
