//! Commands that show a gateway who they ask for, by a token or by a certificate, and a gateway that asks.

use teegate_forge::pem;
use teegate_tests::harness::{MODEL, binary};

use crate::infer_command::infer_command;
use crate::models_command::models;
use crate::{Stage1, sample};

/// `printf %s token-of-the-clinic | sha256sum`, and of `token-of-the-others`.
const OF_CLINIC: &str = "178e87a403d281eab3ae7c9ac8cf5fc17ac7a4d5546ea4edcab891fcacbcc072";
const OF_OTHERS: &str = "bc3dca56b1e4efc6ae6526019ad99edeae2bc9f8382028a1f259b094cc0b455b";

#[tokio::test]
async fn a_command_shows_its_token_and_is_its_tenant() {
    let stage = Stage1::set().await;
    let tokens = stage.scratch.write("tokens", &format!("{OF_CLINIC} clinic\n{OF_OTHERS} others\n"));
    let admission = format!(
        "[admission]\ntokens = {tokens:?}\n[[tenant]]\nname = \"clinic\"\nmodels = [{MODEL:?}]\n\
         [[tenant]]\nname = \"others\"\nmodels = [\"another\"]\n"
    );
    let gateway = stage.gateway(&stage.enclave.address, &admission).await;
    let (url, policy) = (format!("http://{}", gateway.address), stage.guest.policy());
    let [clinic, others] =
        ["clinic", "others"].map(|name| stage.scratch.write(name, &format!("token-of-the-{name}\n")));
    let [clinic, others] = [&clinic, &others].map(|path| ["--gateway-token-file", path.as_str()]);

    let (status, out, err) = infer_command(&stage, &url, &policy, &sample(), &clinic).await;
    assert_eq!(status, 0, "{err}");
    assert!(out.contains("execution receipt verified"), "{out}");
    let (status, out, err) = models(&stage, &url, &policy, &clinic).await;
    assert!(status == 0 && out.contains(MODEL), "{out}{err}");
    let file = stage.scratch.write("probe-policy.toml", &policy);
    let mut probe = tokio::process::Command::new(binary("teegate"));
    let probed = probe.args(["probe", &url, "--policy", &file, "--wait", "5"]).args(clinic).output().await.unwrap();
    assert!(probed.status.success(), "{}", String::from_utf8_lossy(&probed.stderr));

    // Without one, with a wrong one, and in the name of somebody else: nothing is sealed, nothing is shown.
    let stranger = stage.scratch.write("stranger", "token-of-a-stranger\n");
    for (more, said) in [
        (&[][..], "asks for a credential"),
        (&["--gateway-token-file", &stranger][..], "not one that this gateway admits"),
        (&others[..], "unknown-model"),
    ] {
        let (status, out, err) = infer_command(&stage, &url, &policy, &sample(), more).await;
        assert_eq!((status, out.as_str()), (1, ""), "{err}");
        assert!(err.contains(said) && err.contains("nothing was sealed"), "{err}");
        assert!(!err.contains("token-of-"), "{err}");
    }
    let metrics = gateway.metrics().await;
    assert!(metrics.contains("teegate_gateway_relay_total{tenant=\"clinic\",outcome=\"answered\"}"), "{metrics}");
    assert!(!metrics.contains("tenant=\"others\",outcome"), "{metrics}");
    assert!(metrics.contains("teegate_gateway_denied_total{why=\"nothing\"} 1"), "{metrics}");
}

#[tokio::test]
async fn a_command_shows_its_certificate_and_is_its_tenant() {
    let stage = Stage1::set().await;
    let (ca, gateway_key) = (authority(), rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap());
    let write = |name: &str, text: &str| stage.scratch.write(name, text);
    let client_ca = write("clients.pem", &pem::certificate(&ca.0));
    let chain = write("gateway.pem", &pem::certificate(gateway_key.cert.der()));
    let key = write("gateway.key", &key_pem(&gateway_key.signing_key));
    let admission = format!(
        "[tls]\ncertificate = {chain:?}\nkey = {key:?}\n[admission.spiffe]\nclient_ca = {client_ca:?}\n\
         trust_domain = \"example.org\"\n[[tenant]]\nname = \"clinic\"\nmodels = [{MODEL:?}]\n\
         spiffe = [\"spiffe://example.org/clinic/*\"]\n"
    );
    let gateway = stage.gateway(&stage.enclave.address, &admission).await;
    let port = gateway.address.rsplit_once(':').unwrap().1;
    let (url, policy) = (format!("https://localhost:{port}"), stage.guest.policy());
    let shown = |name: &str, id: &str| {
        let (certificate, key) = issued(&ca, id);
        [write(&format!("{name}.pem"), &certificate), write(&format!("{name}.key"), &key)]
    };
    let clinic = shown("clinic", "spiffe://example.org/clinic/ward");
    let other = shown("other", "spiffe://example.org/other/ward");
    let options = |[certificate, key]: &[String; 2]| {
        ["--gateway-ca", chain.as_str(), "--client-certificate", certificate.as_str(), "--client-key", key.as_str()]
            .map(str::to_owned)
    };
    let ask = async |given: &[String]| {
        let given: Vec<&str> = given.iter().map(String::as_str).collect();
        infer_command(&stage, &url, &policy, &sample(), &given).await
    };
    let (status, out, err) = ask(&options(&clinic)).await;
    assert_eq!(status, 0, "{err}");
    assert!(out.contains("execution receipt verified"), "{out}");
    // Another identity, none at all, and a key of another certificate.
    let (status, _, err) = ask(&options(&other)).await;
    assert!(status == 1 && err.contains("of no tenant") && err.contains("nothing was sealed"), "{err}");
    let (status, _, err) = ask(&["--gateway-ca".to_owned(), chain.clone()]).await;
    assert!(status == 1 && err.contains("asks for a credential"), "{err}");
    let mixed = [clinic[0].clone(), other[1].clone()];
    let (status, _, err) = ask(&options(&mixed)).await;
    assert!(status == 1 && err.contains("other.key`: it is not the key of the certificate in `"), "{err}");
}

/// A CA of clients.
fn authority() -> (Vec<u8>, rcgen::Issuer<'static, rcgen::KeyPair>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "clients");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    let der = params.self_signed(&key).unwrap().der().to_vec();
    (der, rcgen::Issuer::new(params, key))
}

/// A certificate with this SPIFFE ID, and its key, both PEM.
fn issued((_, issuer): &(Vec<u8>, rcgen::Issuer<'static, rcgen::KeyPair>), id: &str) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names = vec![rcgen::SanType::URI(rcgen::string::Ia5String::try_from(id).unwrap())];
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    (pem::certificate(params.signed_by(&key, issuer).unwrap().der()), key_pem(&key))
}

fn key_pem(key: &rcgen::KeyPair) -> String {
    pem::certificate(&key.serialize_der()).replace("CERTIFICATE", "PRIVATE KEY")
}
