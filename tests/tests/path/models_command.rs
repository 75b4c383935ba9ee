//! `teegate models`: what is served, by whom it was verified, and what a model takes.

use std::time::{Duration, Instant};

use serde_json::Value;
use teegate_tests::harness::{MODEL, binary};

use crate::Stage1;

/// Exit status, standard output and standard error.
pub(crate) async fn models(stage: &Stage1, gateway: &str, policy: &str, more: &[&str]) -> (i32, String, String) {
    models_on(stage, "/nowhere", gateway, policy, more).await
}

/// The same on a machine whose CA certificates stand in this file.
async fn models_on(
    stage: &Stage1,
    certificates: &str,
    gateway: &str,
    policy: &str,
    more: &[&str],
) -> (i32, String, String) {
    let policy = stage.scratch.write("client-policy.toml", policy);
    let mut command = tokio::process::Command::new(binary("teegate"));
    command.env("SSL_CERT_FILE", certificates).env("SSL_CERT_DIR", "/nowhere");
    command.args(["models", "--gateway", gateway, "--policy", &policy, "--wait", "5"]).args(more);
    let output = command.output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn models_are_listed_from_verified_manifests_and_say_what_they_take() {
    let stage = Stage1::set().await;
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    let (url, policy) = (format!("http://{}", gateway.address), stage.guest.policy());
    let (status, out, err) = models(&stage, &url, &policy, &[]).await;
    assert_eq!(status, 0, "{err}");
    assert!(out.starts_with("verified   instance ") && out.contains("(bound to the workload)\n"), "{out}");
    assert!(out.contains(&format!("\n{MODEL}  version 1  sha256:")), "{out}");
    let (status, out, err) = models(&stage, &url, &policy, &["--format", "json"]).await;
    assert_eq!(status, 0, "{err}");
    let listed: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&listed["models"][0]["name"], listed["verified"].as_array().unwrap().len()), (&MODEL.into(), 1));

    // Both ways learn, and refuse what is older than what they have seen.
    for name in [&[][..], &[MODEL]] {
        let memory = stage.scratch.path().join(format!("memory-{}.json", name.len())).display().to_string();
        let more = [name, &["--memory", &memory]].concat();
        let (status, _, err) = models(&stage, &url, &policy, &more).await;
        assert_eq!(status, 0, "{err}");
        let seen = std::fs::read_to_string(&memory).unwrap();
        assert!(seen.contains("chip "), "the platform's TCB: {seen}");
    }

    let (status, out, err) = models(&stage, &url, &policy, &[MODEL]).await;
    assert_eq!(status, 0, "{err}");
    assert!(out.contains(&format!("\n\n{MODEL}  version 1\n  takes  features  FP32  [any, 30]\n")), "{out}");
    let (status, out, err) = models(&stage, &url, &policy, &[MODEL, "--format", "json"]).await;
    assert_eq!(status, 0, "{err}");
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["inputs"][0]["name"], "features");

    // A name that nobody serves is told at once, with those that are served.
    let asked = Instant::now();
    let (status, out, err) = models(&stage, &url, &policy, &["brest-cancer"]).await;
    assert_eq!((status, out.as_str()), (1, ""), "{err}");
    assert!(err.contains("unknown-model (404)") && err.contains(&format!("they serve `{MODEL}`")), "{err}");
    assert!(asked.elapsed() < Duration::from_secs(4), "it was waited for");

    // What this client would not seal to, it does not list.
    let other_code = policy.replace("measurement = \"4d", "measurement = \"00");
    let (status, out, err) = models(&stage, &url, &other_code, &[]).await;
    assert_eq!((status, out.as_str()), (4, ""), "{err}");
    assert!(err.contains("snp.guest.measurement"), "{err}");
}

const CERTIFICATE: &str = "CERTIFICATE";

/// A gateway that speaks TLS is recognised by the machine's own CA certificates, or by pinned ones alone.
#[tokio::test]
async fn an_https_gateway_is_recognised_by_the_machines_certificates_or_by_pinned_ones() {
    let stage = Stage1::set().await;
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = params.self_signed(&ca_key).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &rcgen::Issuer::new(params, &ca_key)).unwrap();
    let write = |name: &str, label: &str, der: &[u8]| {
        let body = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
        stage.scratch.write(name, &format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n"))
    };
    let (ca, certificate) = (write("ca.pem", CERTIFICATE, ca.der()), write("chain.pem", CERTIFICATE, leaf.der()));
    let key = write("key.pem", "PRIVATE KEY", &key.serialize_der());
    let tls = format!("[tls]\ncertificate = {certificate:?}\nkey = {key:?}\n");
    let gateway = stage.gateway(&stage.enclave.address, &tls).await;
    let url = format!("https://localhost:{}", gateway.address.rsplit(':').next().unwrap());
    let policy = stage.guest.policy();

    let (status, out, err) = models_on(&stage, &ca, &url, &policy, &[]).await;
    assert!(status == 0 && out.contains(MODEL), "{err}");
    let (status, out, err) = models_on(&stage, "/nowhere", &url, &policy, &["--gateway-ca", &ca]).await;
    assert!(status == 0 && out.contains(MODEL), "{err}");
    // Another machine knows nobody, or somebody else; and what is pinned counts alone.
    let (status, _, err) = models_on(&stage, "/nowhere", &url, &policy, &[]).await;
    assert!(
        status == 1 && err.contains("this machine has no CA certificates") && err.contains("nothing was sent"),
        "{err}"
    );
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap().cert;
    let other = write("other.pem", CERTIFICATE, other.der());
    for more in [&[][..], &["--gateway-ca", &other]] {
        let machine = if more.is_empty() { &other } else { &ca };
        let (status, _, err) = models_on(&stage, machine, &url, &policy, more).await;
        assert!(
            status == 1 && err.contains("invalid peer certificate") && err.contains("nothing was sent"),
            "{more:?}: {err}"
        );
    }
}
