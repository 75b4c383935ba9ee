//! Instances over real TLS, on forged hardware, which answer challenges as a test tells them to. Compiled for tests alone.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::sign::any_ecdsa_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use teegate_forge::snp::SnpBuilder;
use teegate_protocol::binding;
use teegate_protocol::binding::Exporter;
use teegate_protocol::evidence::{Endorsements as Carried, EndorsementsKind, Envelope, EvidenceKind, TeeEvidence};
use teegate_protocol::headers::OHTTP_PATH;
use teegate_protocol::manifest::SpkiDigest;
use teegate_verifier::Endorsements;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::testing::{Who, clock, policy};
use super::*;

/// Each enclave of a process is another instance.
static NUMBER: AtomicU8 = AtomicU8::new(1);

const MEASUREMENT: [u8; 48] = [0x5e; 48];
pub(crate) const LIVES: Lifetimes =
    Lifetimes { channel_age: Duration::from_secs(300), max_manifest_life: Duration::from_secs(7_200) };

/// The platform under every test: nothing is wrong with it.
pub(crate) fn platform() -> SnpBuilder {
    teegate_forge::snp().measurement(MEASUREMENT)
}

pub(crate) fn appraisal() -> Arc<Appraisal> {
    appraisal_with(revocations(&platform()))
}

/// The same with other endorsements of the operator's.
pub(crate) fn appraisal_with(endorsements: Endorsements) -> Arc<Appraisal> {
    let policy = policy(&platform().build().ark_pem, MEASUREMENT);
    Arc::new(Appraisal { version: 1, policy, endorsements, seen: Seen::default(), vouched: Vouched::default() })
}

/// The revocation list over this platform, as an operator supplies it.
pub(crate) fn revocations(platform: &SnpBuilder) -> Endorsements {
    let mut endorsements = Endorsements::new();
    endorsements.add_crl(platform.build().crl.unwrap());
    endorsements
}

/// What an enclave knows of a challenge: the nonce, where it came with one, and the exporter of its own end.
pub(crate) struct Challenge {
    pub(crate) nonce: Option<Nonce>,
    pub(crate) exporter: Exporter,
}

/// The answer that the protocol asks for.
pub(crate) fn honest(who: &Who, platform: &SnpBuilder, challenge: &Challenge) -> Vec<u8> {
    let manifest = who.manifest(0, None);
    let report_data = match &challenge.nonce {
        Some(nonce) => binding::channel(manifest.digest(), nonce, &challenge.exporter),
        None => binding::epoch(manifest.digest()),
    };
    envelope(&manifest, &platform.clone().report_data(report_data))
}

pub(crate) fn envelope(manifest: &ManifestBytes, platform: &SnpBuilder) -> Vec<u8> {
    let set = platform.build();
    let envelope = Envelope {
        manifest: manifest.as_bytes().to_vec(),
        evidence: TeeEvidence { kind: EvidenceKind::SnpReport, bytes: set.report.clone() },
        endorsements: Some(Carried {
            kind: EndorsementsKind::PemCertificateChain,
            bytes: set.chain_pem().into_bytes(),
        }),
        event_log: None,
        nonce: None,
    };
    envelope.to_json().unwrap()
}

/// A TLS server that answers challenges as it is told to.
pub(crate) struct Enclave {
    pub(crate) address: Address,
    pub(crate) who: Who,
    pub(crate) mood: Arc<Mood>,
}

/// How it answers for the time being, and what it has seen.
#[derive(Default)]
pub(crate) struct Mood {
    /// It takes no requests.
    pub(crate) is_full: AtomicBool,
    /// It has no evidence to give.
    pub(crate) is_busy: AtomicBool,
    /// Connections so far.
    pub(crate) connections: AtomicUsize,
    /// Sealed requests so far. They are answered, with nothing.
    pub(crate) requests: AtomicUsize,
}

/// A TLS key of its own, and a certificate that it signed itself.
pub(crate) fn tls_key() -> (KeyPair, rcgen::Certificate) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["enclave".into()]).unwrap().self_signed(&key).unwrap();
    (key, certificate)
}

#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesServerCert for Shows {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

impl Enclave {
    pub(crate) async fn start(answer: impl Fn(&Who, &Challenge) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let (key, certificate) = tls_key();
        Self::start_with(&key, &certificate, &rustls::version::TLS13, b"h2", answer).await
    }

    /// An honest one that shares nothing with one of another number.
    pub(crate) async fn numbered(number: u8) -> Self {
        let (key, certificate) = tls_key();
        let answer = |who: &Who, challenge: &Challenge| honest(who, &platform(), challenge);
        Self::start_as(Who::new(number), &key, &certificate, &rustls::version::TLS13, b"h2", answer).await
    }

    pub(crate) async fn start_with(
        key: &KeyPair,
        certificate: &rcgen::Certificate,
        version: &'static rustls::SupportedProtocolVersion,
        alpn: &[u8],
        answer: impl Fn(&Who, &Challenge) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        Self::start_as(Who::new(NUMBER.fetch_add(1, Ordering::Relaxed)), key, certificate, version, alpn, answer).await
    }

    async fn start_as(
        mut who: Who,
        key: &KeyPair,
        certificate: &rcgen::Certificate,
        version: &'static rustls::SupportedProtocolVersion,
        alpn: &[u8],
        answer: impl Fn(&Who, &Challenge) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        let signer = any_ecdsa_type(&PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()))).unwrap();
        let shown = CertifiedKey::new(vec![certificate.der().clone()], signer);
        let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Shows(Arc::new(shown))));
        config.alpn_protocols = vec![alpn.to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = Address::parse(&listener.local_addr().unwrap().to_string()).unwrap();
        let parsed = rustls::server::ParsedCertificate::try_from(certificate.der()).unwrap();
        who.tls_spki = SpkiDigest::of(parsed.subject_public_key_info().as_ref());
        let (answer, own) = (Arc::new(answer), who.clone());
        let mood = Arc::new(Mood::default());
        let felt = Arc::clone(&mood);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, answer, who) = (acceptor.clone(), Arc::clone(&answer), own.clone());
                let mood = Arc::clone(&felt);
                mood.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let Ok(tls) = acceptor.accept(tcp).await else { return };
                    let exporter = tls.get_ref().1.export_keying_material([0; 32], Exporter::LABEL, None).unwrap();
                    let Ok(mut server) = h2::server::handshake(tls).await else { return };
                    while let Some(Ok((request, respond))) = server.accept().await {
                        let (answer, who, mood) = (Arc::clone(&answer), who.clone(), Arc::clone(&mood));
                        tokio::spawn(async move {
                            match mood.status_of(request.uri().path()) {
                                Some(status) => says(status, respond),
                                None => {
                                    reply(request, respond, exporter, move |challenge| answer(&who, challenge)).await
                                }
                            }
                        });
                    }
                });
            }
        });
        Self { address, who, mood }
    }

    pub(crate) async fn candidate(&self) -> Result<Candidate, NoAnswer> {
        let settings = LinkSettings::new(Duration::from_secs(20), Duration::from_secs(60)).unwrap();
        Candidate::connect(&self.address, &settings).await
    }

    pub(crate) async fn prove(&self) -> Result<Trusted<Backend>, Doubt> {
        self.candidate().await.unwrap().prove(&appraisal(), LIVES, &clock()).await
    }
}

impl Mood {
    /// What is answered without evidence.
    fn status_of(&self, path: &str) -> Option<u16> {
        let says = |is_refusing: &AtomicBool| if is_refusing.load(Ordering::SeqCst) { 503 } else { 200 };
        match path {
            OHTTP_PATH => {
                self.requests.fetch_add(1, Ordering::SeqCst);
                Some(200)
            }
            HEALTH_PATH => Some(says(&self.is_full)),
            ATTEST_PATH => Some(says(&self.is_busy)).filter(|status| *status != 200),
            _ => None,
        }
    }
}

fn says(status: u16, mut respond: h2::server::SendResponse<Bytes>) {
    let head = http::Response::builder().status(status).body(()).unwrap();
    // Whoever asked may have gone meanwhile.
    let _gone = respond.send_response(head, true);
}

async fn reply(
    request: http::Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    exporter: [u8; 32],
    answer: impl FnOnce(&Challenge) -> Vec<u8> + Send + 'static,
) {
    let nonce = match (request.method(), request.uri().path()) {
        (&Method::POST, ATTEST_PATH) => {
            let mut text = Vec::new();
            let mut body = request.into_body();
            while let Some(piece) = body.data().await {
                text.extend_from_slice(&piece.unwrap());
            }
            Some(std::str::from_utf8(&text).unwrap().parse().unwrap())
        }
        (&Method::GET, ENVELOPE_PATH) => None,
        other => panic!("{other:?}"),
    };
    let challenge = Challenge { nonce, exporter: Exporter::from_bytes(exporter) };
    let body = tokio::task::spawn_blocking(move || answer(&challenge)).await.unwrap();
    let mut stream = respond.send_response(http::Response::new(()), false).unwrap();
    stream.send_data(Bytes::from(body), true).unwrap();
}
