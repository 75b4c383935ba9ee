//! Client certificates: who they name, and whoever would like them to name somebody.

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use teegate_forge::pem;
use teegate_verifier::UnixTime;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::config::TlsFiles;
use crate::tls::Certificates;
use crate::trust::testing::set_wall;

const OF_A: &str = "spiffe://example.org/ns/a/client";
const OF_B: &str = "spiffe://example.org/ns/b/client";

/// A CA of clients.
struct Ca {
    der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { der, issuer: Issuer::new(params, key) }
    }

    fn issues(&self, params: &CertificateParams) -> Shown {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Some((certificate.der().to_vec(), key.serialize_der()))
    }
}

/// What a client shows: a certificate and its key.
type Shown = Option<(Vec<u8>, Vec<u8>)>;

/// What is asked of a client's certificate.
fn naming(uris: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names = uris.iter().map(|uri| SanType::URI(Ia5String::try_from(*uri).unwrap())).collect();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params
}

/// A gateway that takes client certificates of a CA, beside tokens.
struct Door {
    listening: Listening,
    stage: Stage,
    roots: rustls::RootCertStore,
    folder: Folder,
    config: String,
}

impl Door {
    async fn open(ca: &Ca) -> Self {
        let folder = Folder::new();
        folder.write("ca.pem", &pem::certificate(&ca.der));
        let own = rcgen::generate_simple_self_signed(vec!["gateway".into()]).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(own.cert.der().clone()).unwrap();
        folder.write("chain.pem", &pem::certificate(own.cert.der()));
        let key = pem::certificate(&own.signing_key.serialize_der()).replace("CERTIFICATE", "PRIVATE KEY");
        folder.write("key.pem", &key);
        let config = "[tls]\ncertificate = 'chain.pem'\nkey = 'key.pem'\n[admission]\ntokens = 'tokens'\n\
                      [admission.spiffe]\nclient_ca = 'ca.pem'\ntrust_domain = 'example.org'\n\
                      [[tenant]]\nname = 'b'\nmodels = ['b']\nspiffe = ['spiffe://example.org/ns/b/*']\n\
                      [[tenant]]\nname = 'a'\nmodels = ['a']\nspiffe = ['spiffe://example.org/ns/a/client']\n";
        let gatekeeper = folder.gatekeeper(config);
        let files = TlsFiles { certificate: folder.path().join("chain.pem"), key: folder.path().join("key.pem") };
        let acceptor = Certificates::load(&files).unwrap().acceptor_asking(gatekeeper.client_certificates()).unwrap();
        let stage = Stage::new(gatekeeper).await;
        let listening = stage.listen(Some(acceptor)).await;
        Self { listening, stage, roots, folder, config: config.into() }
    }

    async fn connect(&self, shown: &Shown) -> TlsStream<TcpStream> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(self.roots.clone());
        let config = match shown {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.clone()));
                config.with_client_auth_cert(vec![CertificateDer::from(certificate.clone())], key).unwrap()
            }
        };
        let tcp = TcpStream::connect(self.listening.address).await.unwrap();
        TlsConnector::from(Arc::new(config)).connect("gateway".try_into().unwrap(), tcp).await.unwrap()
    }

    /// The answer to a listing with `fields`; nothing where the handshake was refused, which a client of TLS 1.3 learns when it
    /// reads.
    async fn list(&self, shown: &Shown, fields: &str) -> Option<Said> {
        let mut stream = self.connect(shown).await;
        heard(&mut stream, &list(fields)).await
    }
}

#[tokio::test]
async fn one_spiffe_id_is_one_tenant_and_all_that_is_shown_has_to_be_of_it() {
    let ca = Ca::new("clients");
    let door = Door::open(&ca).await;
    let (of_a, of_b) = (ca.issues(&naming(&[OF_A])), ca.issues(&naming(&[OF_B])));
    for (what, shown, fields, status, sees) in [
        ("a certificate of a", &of_a, String::new(), 200, Some(0)),
        ("a certificate below a prefix of b", &of_b, String::new(), 200, Some(1)),
        ("nothing", &None, String::new(), 401, None),
        ("a token alone", &None, bearer(TOKEN_OF_B), 200, Some(1)),
        ("both of one tenant", &of_a, bearer(TOKEN_OF_A), 200, Some(0)),
        ("a certificate of a and a token of b", &of_a, bearer(TOKEN_OF_B), 401, None),
        ("a certificate of b and a token of a", &of_b, bearer(TOKEN_OF_A), 401, None),
        ("a certificate and a wrong token", &of_a, bearer("token-of-nobody-at-all"), 401, None),
    ] {
        let answer = door.list(shown, &fields).await.unwrap();
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        for (index, manifest) in door.stage.manifests.iter().enumerate() {
            assert_eq!(answer.body.contains(manifest), sees == Some(index), "{what}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_certificate_that_does_not_say_who_it_is_says_nobody() {
    let ca = Ca::new("clients");
    let door = Door::open(&ca).await;
    let with_dns = |mut params: CertificateParams| {
        params.subject_alt_names.push(SanType::DnsName(Ia5String::try_from("client.example.org").unwrap()));
        params
    };
    let common_name = |name: &str| {
        let mut params = naming(&[]);
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let signing = |usage| {
        let mut params = naming(&[OF_A]);
        params.key_usages.push(usage);
        params
    };
    for (what, params, status) in [
        ("the passing twin", naming(&[OF_A]), 200),
        ("a DNS name beside it", with_dns(naming(&[OF_A])), 200),
        ("two ids", naming(&[OF_A, OF_B]), 401),
        ("the same id twice", naming(&[OF_A, OF_A]), 401),
        ("an id and another URI", naming(&[OF_A, "https://example.org/a"]), 401),
        ("no URI", with_dns(naming(&[])), 401),
        ("a common name alone", common_name(OF_A), 401),
        ("another trust domain", naming(&["spiffe://evil.example/ns/a/client"]), 401),
        ("a trust domain that begins alike", naming(&["spiffe://example.org.evil/ns/a/client"]), 401),
        ("a trust domain in capitals", naming(&["spiffe://EXAMPLE.org/ns/a/client"]), 401),
        ("a scheme in capitals", naming(&["SPIFFE://example.org/ns/a/client"]), 401),
        ("another scheme", naming(&["https://example.org/ns/a/client"]), 401),
        ("something percent-encoded", naming(&["spiffe://example.org/ns/%61/client"]), 401),
        ("a path that climbs", naming(&["spiffe://example.org/ns/b/../a/client"]), 401),
        ("a port", naming(&["spiffe://example.org:443/ns/a/client"]), 401),
        ("a query", naming(&["spiffe://example.org/ns/a/client?x"]), 401),
        ("a key that signs certificates", signing(KeyUsagePurpose::KeyCertSign), 401),
        ("a key that signs revocation lists", signing(KeyUsagePurpose::CrlSign), 401),
        ("an id of nobody", naming(&["spiffe://example.org/ns/a/other"]), 403),
        ("an id that goes on", naming(&["spiffe://example.org/ns/a/client/x"]), 403),
        ("an id in another case", naming(&["spiffe://example.org/ns/A/client"]), 403),
    ] {
        let shown = ca.issues(&params);
        let answer = door.list(&shown, "").await.unwrap();
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        // One that is shown and does not count is not made up for by a token.
        let beside = door.list(&shown, &bearer(TOKEN_OF_A)).await.unwrap();
        assert_eq!(beside.status, status, "{what}, with a token: {beside:?}");
    }
}

#[tokio::test]
async fn a_chain_that_does_not_hold_is_no_connection() {
    let (ca, stranger) = (Ca::new("clients"), Ca::new("clients"));
    let door = Door::open(&ca).await;
    let key = KeyPair::generate().unwrap();
    let own = naming(&[OF_A]).self_signed(&key).unwrap();
    let self_signed = Some((own.der().to_vec(), key.serialize_der()));
    let mut expired = naming(&[OF_A]);
    (expired.not_before, expired.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
    let mut server = naming(&[OF_A]);
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let mut authority = naming(&[OF_A]);
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    for (what, shown) in [
        ("self-signed", self_signed),
        ("a CA of the same name", stranger.issues(&naming(&[OF_A]))),
        ("expired", ca.issues(&expired)),
        ("for servers", ca.issues(&server)),
        ("a CA", ca.issues(&authority)),
    ] {
        let answer = door.list(&shown, &bearer(TOKEN_OF_A)).await;
        assert!(answer.is_none(), "{what}: {answer:?}");
    }
    assert_eq!(door.list(&ca.issues(&naming(&[OF_A])), "").await.unwrap().status, 200, "the passing twin");
    // A reload takes other roots: who was let in is a stranger, and the other way round.
    door.folder.write("ca.pem", &pem::certificate(&stranger.der));
    let gatekeeper = &door.stage.gateway.gatekeeper;
    gatekeeper.take(gatekeeper.prepare(&door.folder.settings(&door.config)).unwrap());
    assert!(door.list(&ca.issues(&naming(&[OF_A])), "").await.is_none());
    assert_eq!(door.list(&stranger.issues(&naming(&[OF_A])), "").await.unwrap().status, 200);
    door.folder.write("ca.pem", "no PEM");
    let refused = gatekeeper.prepare(&door.folder.settings(&door.config)).unwrap_err().to_string();
    assert!(refused.contains("expected PEM with a `CERTIFICATE` block"), "{refused}");
}

#[tokio::test]
async fn to_ask_for_certificates_takes_a_restart() {
    let ca = Ca::new("clients");
    let door = Door::open(&ca).await;
    let without = Folder::new().gatekeeper(&two_tenants(""));
    assert!(without.client_certificates().is_none());
    let refused = without.prepare(&door.folder.settings(&door.config)).unwrap_err().to_string();
    assert!(refused.contains("takes a restart"), "{refused}");
}

#[tokio::test]
async fn a_certificate_that_expires_takes_its_connection_with_it() {
    let ca = Ca::new("clients");
    let door = Door::open(&ca).await;
    let mut params = naming(&[OF_A]);
    params.not_after = rcgen::date_time_ymd(2200, 1, 1);
    let mut stream = door.connect(&ca.issues(&params)).await;
    set_wall(UnixTime::parse("2199-12-31T23:00:00Z").unwrap().seconds());
    let before = say(&mut stream, &list("")).await;
    assert!(![401, 403].contains(&before.status), "{before:?}");
    set_wall(UnixTime::parse("2200-01-01T00:00:05Z").unwrap().seconds());
    let after = say(&mut stream, &list(&bearer(TOKEN_OF_A))).await;
    assert!(after.status == 401 && after.body.contains("the client certificate has expired"), "{after:?}");
}
