//! The channel check against instances over real TLS, on forged hardware: the honest one, and everyone who would pass for it.

use std::net::SocketAddr;
use std::sync::Mutex;

use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::sign::any_ecdsa_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use teegate_forge::snp::SnpBuilder;
use teegate_protocol::binding::Exporter;
use teegate_protocol::evidence::{Endorsements as Carried, EndorsementsKind, TeeEvidence};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::testing::{START, Who, clock, policy};
use super::*;

const MEASUREMENT: [u8; 48] = [0x5e; 48];
const LIVES: Lifetimes =
    Lifetimes { channel_age: Duration::from_secs(300), max_manifest_life: Duration::from_secs(7_200) };

/// The platform under every test: nothing is wrong with it.
fn platform() -> SnpBuilder {
    teegate_forge::snp().measurement(MEASUREMENT)
}

fn appraisal() -> Arc<Appraisal> {
    let set = platform().build();
    let mut endorsements = Endorsements::new();
    endorsements.add_crl(set.crl.unwrap());
    Arc::new(Appraisal { version: 1, policy: policy(&set.ark_pem, MEASUREMENT), endorsements })
}

/// What an enclave knows of a challenge: the nonce, where it came with one, and the exporter of its own end.
struct Challenge {
    nonce: Option<Nonce>,
    exporter: Exporter,
}

/// The answer that the protocol asks for.
fn honest(who: &Who, platform: &SnpBuilder, challenge: &Challenge) -> Vec<u8> {
    let manifest = who.manifest(0, None);
    let report_data = match &challenge.nonce {
        Some(nonce) => binding::channel(manifest.digest(), nonce, &challenge.exporter),
        None => binding::epoch(manifest.digest()),
    };
    envelope(&manifest, &platform.clone().report_data(report_data))
}

fn envelope(manifest: &ManifestBytes, platform: &SnpBuilder) -> Vec<u8> {
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
struct Enclave {
    address: Address,
    who: Who,
}

/// A TLS key of its own, and a certificate that it signed itself.
fn tls_key() -> (KeyPair, rcgen::Certificate) {
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
    async fn start(answer: impl Fn(&Who, &Challenge) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let (key, certificate) = tls_key();
        Self::start_with(&key, &certificate, &rustls::version::TLS13, b"h2", answer).await
    }

    async fn start_with(
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
        let mut who = Who::new(1);
        let parsed = rustls::server::ParsedCertificate::try_from(certificate.der()).unwrap();
        let spki = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, parsed.subject_public_key_info().as_ref());
        who.tls_spki = SpkiDigest(spki.as_ref().try_into().unwrap());
        let (answer, own) = (Arc::new(answer), who.clone());
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, answer, who) = (acceptor.clone(), Arc::clone(&answer), own.clone());
                tokio::spawn(async move {
                    let Ok(tls) = acceptor.accept(tcp).await else { return };
                    let exporter = tls.get_ref().1.export_keying_material([0; 32], Exporter::LABEL, None).unwrap();
                    let Ok(mut server) = h2::server::handshake(tls).await else { return };
                    while let Some(Ok((request, respond))) = server.accept().await {
                        let (answer, who) = (Arc::clone(&answer), who.clone());
                        tokio::spawn(reply(request, respond, exporter, move |challenge| answer(&who, challenge)));
                    }
                });
            }
        });
        Self { address, who }
    }

    async fn candidate(&self) -> Result<Candidate, NoAnswer> {
        let settings = LinkSettings::new(Duration::from_secs(20), Duration::from_secs(60)).unwrap();
        Candidate::connect(&self.address, &settings).await
    }

    async fn prove(&self) -> Result<Trusted<Backend>, Doubt> {
        self.candidate().await.unwrap().prove(&appraisal(), LIVES, &clock()).await
    }
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

#[track_caller]
fn assert_rejected(proven: Result<Trusted<Backend>, Doubt>, check: &str) {
    match proven {
        Err(Doubt::Distrust(distrust)) => assert_eq!(distrust.checks, [check], "{}", distrust.explanation),
        Err(Doubt::NoAnswer(error)) => panic!("no answer: {error}"),
        Ok(_) => panic!("accepted"),
    }
}

#[tokio::test]
async fn the_honest_instance_is_trusted_and_its_epoch_evidence_with_it() {
    let enclave = Enclave::start(|who, challenge| honest(who, &platform(), challenge)).await;
    let candidate = enclave.candidate().await.unwrap();
    let clock = clock();
    let trusted = candidate.prove(&appraisal(), LIVES, &clock).await.unwrap();
    let backend = trusted.at(&clock.now()).unwrap();
    assert_eq!(backend.manifest().digest(), enclave.who.manifest(0, None).digest());
    assert!(trusted.seconds_left(&clock.now()) <= 300);
    let offer = candidate.epoch_evidence(&appraisal(), LIVES, &clock).await.unwrap();
    assert_eq!(offer.once().manifest().digest(), backend.manifest().digest());
    Envelope::parse(offer.once().envelope().as_bytes()).unwrap();
}

#[tokio::test]
async fn a_relay_with_a_tls_key_of_its_own_gets_nothing() {
    // It shows what the genuine instance answered, down to the right nonce: but its own key is on this connection.
    let genuine = Who::new(7);
    let relay = Enclave::start(move |_, challenge| honest(&genuine, &platform(), challenge)).await;
    assert_rejected(relay.prove().await, "channel.tls-spki");
}

#[tokio::test]
async fn a_manifest_that_the_evidence_does_not_bind_is_refused() {
    // The relay writes its own key into the manifest; the evidence still speaks of the genuine one.
    let genuine = Who::new(7);
    let relay = Enclave::start(move |who, challenge| {
        let nonce = challenge.nonce.as_ref().unwrap();
        let report_data = binding::channel(genuine.manifest(0, None).digest(), nonce, &challenge.exporter);
        envelope(&who.manifest(0, None), &platform().report_data(report_data))
    });
    assert_rejected(relay.await.prove().await, "snp.guest.report-data");
}

#[tokio::test]
async fn an_answer_to_an_older_nonce_is_refused() {
    let first: Mutex<Option<Vec<u8>>> = Mutex::new(None);
    let enclave = Enclave::start(move |who, challenge| {
        first.lock().unwrap().get_or_insert_with(|| honest(who, &platform(), challenge)).clone()
    });
    let candidate = enclave.await.candidate().await.unwrap();
    candidate.prove(&appraisal(), LIVES, &clock()).await.unwrap();
    assert_rejected(candidate.prove(&appraisal(), LIVES, &clock()).await, "snp.guest.report-data");
}

#[tokio::test]
async fn evidence_of_another_connection_is_refused() {
    let enclave = Enclave::start(|who, challenge| {
        let elsewhere = Challenge { nonce: challenge.nonce.clone(), exporter: Exporter::from_bytes([9; 32]) };
        honest(who, &platform(), &elsewhere)
    });
    assert_rejected(enclave.await.prove().await, "snp.guest.report-data");
}

#[tokio::test]
async fn epoch_evidence_does_not_answer_a_challenge() {
    let enclave = Enclave::start(|who, challenge| {
        honest(who, &platform(), &Challenge { nonce: None, exporter: challenge.exporter.clone() })
    });
    assert_rejected(enclave.await.prove().await, "snp.guest.report-data");
}

#[tokio::test]
async fn what_the_policy_does_not_want_is_refused_by_its_check() {
    let debug = Enclave::start(|who, challenge| honest(who, &platform().debug(), challenge)).await;
    assert_rejected(debug.prove().await, "snp.policy.debug");
    let other = Enclave::start(|who, challenge| honest(who, &platform().measurement([0; 48]), challenge)).await;
    assert_rejected(other.prove().await, "snp.guest.measurement");
}

#[tokio::test]
async fn a_manifest_outside_its_window_is_refused() {
    let enclave = Enclave::start(|who, challenge| honest(who, &platform(), challenge)).await;
    let candidate = enclave.candidate().await.unwrap();
    let short = Lifetimes { max_manifest_life: Duration::from_secs(4_199), ..LIVES };
    assert_rejected(candidate.prove(&appraisal(), short, &clock()).await, "manifest.window");
    let clock = clock();
    super::testing::set_wall(START + 4_200);
    assert_rejected(candidate.prove(&appraisal(), LIVES, &clock).await, "manifest.window");
}

#[tokio::test]
async fn garbage_instead_of_an_envelope_is_refused() {
    let enclave = Enclave::start(|_, _| b"[]".to_vec()).await;
    assert_rejected(enclave.prove().await, "envelope.form");
}

#[tokio::test]
async fn a_handshake_that_another_key_signed_is_no_link() {
    // It shows the certificate of the genuine instance and does not hold its key.
    let ((own_key, _), (_, genuine)) = (tls_key(), tls_key());
    let thief = Enclave::start_with(&own_key, &genuine, &rustls::version::TLS13, b"h2", |_, _| Vec::new()).await;
    match thief.candidate().await {
        Err(NoAnswer::Unreachable(error)) => assert!(error.to_string().contains("BadSignature"), "{error}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_peer_without_http_2_is_no_link() {
    let (key, certificate) = tls_key();
    let old = Enclave::start_with(&key, &certificate, &rustls::version::TLS13, b"http/1.1", |_, _| Vec::new()).await;
    assert!(matches!(old.candidate().await, Err(NoAnswer::Unreachable(_))), "no protocol in common");
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let enclave = Enclave::start(|_, _| vec![b' '; teegate_protocol::limits::ENVELOPE_BYTES + 1]).await;
    assert!(matches!(enclave.prove().await, Err(Doubt::NoAnswer(NoAnswer::TooLong(_)))));
}
