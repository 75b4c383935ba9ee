//! One question to whoever answers at an address, and the TLS key that he has proven to hold.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, PeerIncompatible, SignatureScheme};
use teegate_collateral::outward;
use teegate_protocol::manifest::SpkiDigest;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use crate::error::Error;
use crate::link::{Gateway, LinkError};

/// What came back.
pub(super) struct Told {
    pub(super) answer: Response<Bytes>,
    /// The TLS key of the peer, where there is TLS.
    pub(super) spki: Option<SpkiDigest>,
}

/// Asks for `path`, within `deadline` and reading at most `limit` body bytes.
pub(super) async fn ask(address: &Gateway, path: &str, deadline: Duration, limit: usize) -> Result<Told, Error> {
    let asked = tokio::time::timeout(deadline, exchange(address, path, limit)).await;
    let timed_out = || LinkError::TimedOut { gateway: address.to_string(), after: deadline };
    asked.map_err(|_| timed_out()).flatten().map_err(Error::Unlisted)
}

async fn exchange(address: &Gateway, path: &str, limit: usize) -> Result<Told, LinkError> {
    let unreachable = |reason| LinkError::Unreachable { gateway: address.to_string(), reason };
    let (host, port, is_tls) = address.place();
    let tcp = outward::connect(host, port, is_tls).await.map_err(unreachable)?;
    if !is_tls {
        let answer = speak(address, tcp, path, limit).await?;
        return Ok(Told { answer, spki: None });
    }
    let connector = anybody().map_err(|error| unreachable(error.to_string()))?;
    let name = address.name().ok_or_else(|| unreachable("no name for TLS".to_owned()))?;
    let tls = connector.connect(name, tcp).await.map_err(|error| unreachable(format!("TLS: {error}")))?;
    let leaf = tls.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let key = leaf.and_then(|leaf| {
        Some(SpkiDigest::of(ParsedCertificate::try_from(leaf).ok()?.subject_public_key_info().as_ref()))
    });
    let spki = key.ok_or_else(|| unreachable("TLS: the peer showed no certificate with a readable key".to_owned()))?;
    let answer = speak(address, tls, path, limit).await?;
    Ok(Told { answer, spki: Some(spki) })
}

async fn speak(
    address: &Gateway,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    path: &str,
    limit: usize,
) -> Result<Response<Bytes>, LinkError> {
    let lost = |reason: String| LinkError::Lost { gateway: address.to_string(), reason };
    let (host, port, _) = address.place();
    let request = Request::get(path).header(HOST, format!("{host}:{port}")).body(Empty::<Bytes>::new());
    let request = request.map_err(|error| lost(error.to_string()))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| lost(error.to_string()))?;
    // Ends with the exchange.
    let driver = tokio::spawn(connection);
    let answer = async {
        let (head, body) = sender.send_request(request).await.map_err(|error| lost(error.to_string()))?.into_parts();
        let body = Limited::new(body, limit).collect().await.map_err(|error| match error.is::<LengthLimitError>() {
            true => LinkError::TooLarge { gateway: address.to_string(), limit },
            false => lost(error.to_string()),
        })?;
        Ok(Response::from_parts(head, body.to_bytes()))
    };
    let answer = answer.await;
    driver.abort();
    answer
}

/// TLS 1.3 with whoever holds the key of the certificate that he shows.
fn anybody() -> Result<TlsConnector, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Arc::new(Anybody(provider.signature_verification_algorithms));
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Accepts any certificate: none says anything about a TEE. That the peer holds its key is checked as usual.
#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
