//! The whole path over real sockets and processes: client, gateway, enclave-app, forged guest. Nothing is mocked but the
//! silicon.

use std::time::Duration;

use teegate_client::oip::{self, TensorData};
use teegate_client::seal::{Sealed, seal};
use teegate_client::{
    AnswerError, Client, Error, Executed, Freshness, Instance, ProblemKind, Request, Settings, Trust,
};
use teegate_intake::endorsements::load_paths;
use teegate_protocol::binding::Nonce;
use teegate_protocol::evidence::Envelope;
use teegate_protocol::manifest::ManifestBytes;
use teegate_protocol::problem::Problem;
use teegate_tests::harness::{
    DEADLINE, Enclave, Gateway, Guest, MODEL, Scratch, binary, eventually, model_folder, onnxruntime, root,
};
use teegate_tests::http::Answer;
use teegate_tests::wire::{Relay, Wire};
use teegate_verifier::{Policy, Stage, UnixTime, Verifier};

const LIMIT: usize = 1 << 20;
const RELAYED: [(&str, &str); 1] = [("content-type", "message/ohttp-req")];

/// A guest and an enclave that nothing is wrong with, in a folder of their own.
struct Stage1 {
    scratch: Scratch,
    guest: Guest,
    enclave: Enclave,
}

impl Stage1 {
    async fn set() -> Self {
        let scratch = Scratch::new();
        let guest = Guest::start(&scratch, "guest", &[]).await;
        let enclave = Enclave::start(&scratch, "enclave", &guest).await;
        Self { scratch, guest, enclave }
    }

    async fn gateway(&self, instance: &str, more: &str) -> Gateway {
        Gateway::start(&self.scratch, "gateway", &self.guest, &self.guest.policy(), &[instance], more).await
    }

    fn trust(&self) -> Trust {
        Trust {
            policy: Policy::parse(&self.guest.policy()).unwrap(),
            endorsements: load_paths(&[self.guest.endorsements()]).unwrap(),
            max_manifest_life: Duration::from_secs(7200),
        }
    }

    async fn connect(&self, gateway: &Gateway) -> Result<Client, Error> {
        self.connect_with(gateway, Settings::default()).await
    }

    async fn connect_with(&self, gateway: &Gateway, settings: Settings) -> Result<Client, Error> {
        let Trust { policy, endorsements, .. } = self.trust();
        let gateway = teegate_client::Gateway::parse(&format!("http://{}", gateway.address)).unwrap();
        Client::connect(gateway, MODEL, policy, endorsements, settings).await
    }

    /// The manifest that the enclave shows, and its digest in hex. Not verified: for tests that seal by hand.
    async fn manifest(&self) -> ManifestBytes {
        let answer = self.enclave.ask("GET", "/.well-known/teegate", &[], b"").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        ManifestBytes::parse(Envelope::parse(&answer.body).unwrap().manifest).unwrap()
    }

    /// The sample request, sealed by hand to the enclave's present key.
    async fn sealed_sample(&self) -> (Sealed, String) {
        let manifest = self.manifest().await;
        let key = manifest.manifest().key_configs().unwrap().pop().unwrap();
        (seal(&key, &infer_request(sample()), LIMIT).unwrap(), manifest.digest().to_string())
    }
}

fn infer_request(body: Vec<u8>) -> Request {
    let mut request = Request::new("POST", "enclave", &format!("/v2/models/{MODEL}/infer"));
    request.fields.push("content-type", "application/json").unwrap();
    request.content = body;
    request
}

fn sample() -> Vec<u8> {
    std::fs::read(model_folder().join("sample.json")).unwrap()
}

/// Posts a sealed request to the gateway, which may hold it for `hold` seconds.
async fn relay(gateway: &Gateway, sealed: &[u8], manifest: &str, hold: u32) -> Answer {
    let hold = hold.to_string();
    let headers = [RELAYED[0], ("teegate-manifest", manifest), ("teegate-hold", &hold)];
    gateway.ask("POST", "/v1/relay", &headers, sealed).await
}

fn problem(answer: &Answer) -> Problem {
    assert_eq!(answer.header("content-type"), "application/problem+json", "{answer:?}");
    Problem::parse(&answer.body).unwrap_or_else(|e| panic!("{e}: {}", answer.text()))
}

fn now() -> UnixTime {
    UnixTime::from_seconds(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs())
}

/// The two probabilities of an answer are those of the model run directly, up to a processor's last digits.
fn assert_is_expected_answer(content: &[u8]) {
    let expected = std::fs::read(model_folder().join("expected.json")).unwrap();
    let values = |bytes: &[u8]| match oip::answer(bytes).unwrap().outputs.remove(0).data {
        TensorData::Fp32(values) => values,
        other => panic!("{other:?}"),
    };
    let (actual, expected) = (values(content), values(&expected));
    assert_eq!(actual.len(), expected.len());
    for (a, b) in actual.iter().zip(&expected) {
        assert!((a - b).abs() < 1e-5, "{actual:?} {expected:?}");
    }
}

#[tokio::test]
async fn a_verified_client_gets_its_inference() {
    let stage = Stage1::set().await;
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    let client = stage.connect(&gateway).await.unwrap();
    let reply = client.infer_json(sample()).await.unwrap();
    assert_eq!(reply.response.status, 200);
    assert_is_expected_answer(&reply.response.content);
    let receipt = reply.receipt.expect("an execution receipt");
    assert_eq!(&receipt.manifest, reply.instance.digest());
    assert_eq!(receipt.model, reply.instance.manifest().models[0].sha256);
    assert_eq!(reply.instance.attested().bound_to().map(|b| b.name()), Some("workload"));
}

#[tokio::test]
async fn a_tdx_guest_serves_as_well() {
    let scratch = Scratch::new();
    let guest = Guest::start(&scratch, "guest", &["--tee", "tdx"]).await;
    let enclave = Enclave::start(&scratch, "enclave", &guest).await;
    let stage = Stage1 { scratch, guest, enclave };
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    let client = stage.connect(&gateway).await.unwrap();
    assert_is_expected_answer(&client.infer_json(sample()).await.unwrap().response.content);
}

#[tokio::test]
async fn the_gateways_release_receipt_is_checked_where_its_key_is_pinned() {
    let stage = Stage1::set().await;
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    let key = gateway.program.ready["receipt_key"].as_str().unwrap().parse().unwrap();
    let pinned = Settings { gateway_receipt_key: Some(key), ..Settings::default() };
    let client = stage.connect_with(&gateway, pinned).await.unwrap();
    let reply = client.infer_json(sample()).await.unwrap();
    assert!(matches!(reply.release, teegate_client::ReleaseCheck::Verified(_)), "{:?}", reply.release);

    let other = Settings { gateway_receipt_key: Some("11".repeat(32).parse().unwrap()), ..Settings::default() };
    let client = stage.connect_with(&gateway, other).await.unwrap();
    let error = client.infer_json(sample()).await.unwrap_err();
    assert!(matches!(error, Error::Answer(AnswerError::Release { .. })), "{error}");
}

#[tokio::test]
async fn a_request_is_held_and_released_when_its_instance_becomes_attested() {
    let stage = Stage1::set().await;
    let wire = Wire::closed(&stage.enclave.address).await;
    let gateway = stage.gateway(&wire.address, "").await;
    let (sealed, manifest) = stage.sealed_sample().await;
    let held = relay(&gateway, sealed.bytes(), &manifest, 30);
    let opened = async {
        eventually("the request is held", || async {
            (gateway.metric("teegate_gateway_held_requests").await == 1).then_some(())
        })
        .await;
        assert_eq!(wire.sent(), 0, "not a byte goes to an instance that was not attested");
        wire.open();
    };
    let (answer, ()) = tokio::join!(held, opened);
    assert_eq!((answer.status, answer.header("content-type")), (200, "message/ohttp-res"), "{}", answer.text());
    assert_is_expected_answer(&sealed.open(&answer.body, LIMIT).unwrap().response.content);
}

#[tokio::test]
async fn a_held_request_ends_at_its_deadline_and_was_never_sent() {
    let stage = Stage1::set().await;
    let wire = Wire::closed(&stage.enclave.address).await;
    let gateway = stage.gateway(&wire.address, "").await;
    let (sealed, manifest) = stage.sealed_sample().await;
    let answer = relay(&gateway, sealed.bytes(), &manifest, 1).await;
    let problem = problem(&answer);
    assert_eq!((problem.kind, problem.executed), (ProblemKind::NoAttestedInstance, Executed::No));
    assert_eq!(wire.sent(), 0);
    assert_eq!(gateway.metric("teegate_gateway_released_bytes_total").await, 0);
    // The same ciphertext is still good: it was not used up anywhere.
    wire.open();
    let answer = relay(&gateway, sealed.bytes(), &manifest, 30).await;
    assert!(sealed.open(&answer.body, LIMIT).is_ok(), "{}", answer.text());
}

#[tokio::test]
async fn a_failed_reattestation_stops_releases_at_once() {
    let Stage1 { scratch, guest, enclave } = Stage1::set().await;
    let listening = guest.program.address("listening");
    let mut stage = Stage1 { scratch, guest, enclave };
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    gateway.attested().await;
    let (sealed, manifest) = stage.sealed_sample().await;
    assert_eq!(relay(&gateway, sealed.bytes(), &manifest, 0).await.status, 200, "the passing twin");
    let released = gateway.metric("teegate_gateway_released_bytes_total").await;

    // From now on the enclave's evidence is signed under a root that the gateway's policy does not pin.
    stage.guest.program.kill().await;
    let _other = Guest::start_at(&stage.scratch, "other-guest", &listening, &[]).await;
    eventually("the gateway rejects the instance", || async {
        let answer = gateway.ask("GET", &format!("/v1/instances?model={MODEL}"), &[], b"").await;
        (answer.status == 503 && problem(&answer).kind == ProblemKind::EvidenceRejected).then_some(())
    })
    .await;
    let (sealed, manifest) = stage.sealed_sample().await;
    let refused = problem(&relay(&gateway, sealed.bytes(), &manifest, 0).await);
    assert_eq!((refused.kind, refused.executed), (ProblemKind::EvidenceRejected, Executed::No), "{refused}");
    assert!(refused.checks.iter().any(|check| check.starts_with("snp.chain.")), "{refused}");
    assert_eq!(gateway.metric("teegate_gateway_released_bytes_total").await, released);
}

#[tokio::test]
async fn somebody_who_relays_genuine_evidence_gets_nothing() {
    let stage = Stage1::set().await;
    let relay_attacker = Relay::in_front_of(&stage.enclave.address).await;
    let gateway = stage.gateway(&relay_attacker.address, "").await;
    let (sealed, manifest) = stage.sealed_sample().await;
    let answer = relay(&gateway, sealed.bytes(), &manifest, 3).await;
    let refused = problem(&answer);
    assert_eq!((refused.kind, refused.executed), (ProblemKind::EvidenceRejected, Executed::No), "{refused}");
    assert!(refused.checks.iter().any(|check| check == "channel.tls-spki"), "{refused}");
    let seen = relay_attacker.seen();
    assert!(seen.iter().any(|path| path.starts_with("/attest")), "the attack was tried: {seen:?}");
    assert!(!seen.iter().any(|path| path == "/ohttp"), "{seen:?}");
    assert_eq!(gateway.metric("teegate_gateway_released_bytes_total").await, 0);
}

#[tokio::test]
async fn a_second_connection_gets_no_byte_before_its_own_channel_check() {
    let stage = Stage1::set().await;
    let relay_attacker = Relay::in_front_of(&stage.enclave.address).await;
    let wire = Wire::to(&stage.enclave.address).await;
    let gateway = stage.gateway(&wire.address, "").await;
    gateway.attested().await;
    let (sealed, manifest) = stage.sealed_sample().await;
    assert_eq!(relay(&gateway, sealed.bytes(), &manifest, 0).await.status, 200, "the passing twin");
    let released = gateway.metric("teegate_gateway_released_bytes_total").await;
    let before = wire.connections();

    // The address stays the same and the instance was attested a moment ago; only the connection is another.
    wire.redirect(&relay_attacker.address);
    wire.cut();
    let (sealed, manifest) = stage.sealed_sample().await;
    let refused = problem(&relay(&gateway, sealed.bytes(), &manifest, 3).await);
    assert_eq!(refused.executed, Executed::No, "{refused}");
    assert!(wire.connections() > before, "a second connection was opened");
    assert!(!relay_attacker.seen().iter().any(|path| path == "/ohttp"), "{:?}", relay_attacker.seen());
    assert_eq!(gateway.metric("teegate_gateway_released_bytes_total").await, released);

    // Back at the genuine instance, a further connection proves itself and the same ciphertext goes through.
    wire.redirect(&stage.enclave.address);
    wire.cut();
    let answer = relay(&gateway, sealed.bytes(), &manifest, 30).await;
    assert!(sealed.open(&answer.body, LIMIT).is_ok(), "{}", answer.text());
}

#[tokio::test]
async fn evidence_for_an_old_nonce_is_refused() {
    let stage = Stage1::set().await;
    let (asked, other) = (Nonce::generate().unwrap(), Nonce::generate().unwrap());
    let answer = stage.enclave.ask("GET", &format!("/.well-known/teegate?nonce={asked}"), &[], b"").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let trust = stage.trust();
    let verify = |freshness| Instance::verify(&answer.body, freshness, &trust, &mut Verifier::new(), now());
    assert!(verify(Freshness::Challenge(&asked)).is_ok(), "the passing twin");
    for freshness in [Freshness::Challenge(&other), Freshness::Epoch] {
        let refused = verify(freshness).unwrap_err();
        assert_eq!((refused.stage, refused.checks.as_slice()), (Stage::Appraise, &["snp.guest.report-data"][..]));
    }
}

#[tokio::test]
async fn a_replayed_ciphertext_runs_once() {
    let stage = Stage1::set().await;
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    gateway.attested().await;
    let (sealed, manifest) = stage.sealed_sample().await;
    let first = relay(&gateway, sealed.bytes(), &manifest, 0).await;
    let again = relay(&gateway, sealed.bytes(), &manifest, 0).await;
    assert_eq!((first.status, again.status), (200, 200), "both answers are sealed");
    let answer = sealed.open(&again.body, LIMIT).unwrap().response;
    let replay = Problem::parse(&answer.content).unwrap();
    assert_eq!((answer.status, replay.kind, replay.executed), (409, ProblemKind::Replay, Executed::Unknown));

    let (twin, manifest) = stage.sealed_sample().await;
    let first = relay(&gateway, twin.bytes(), &manifest, 0).await;
    assert_is_expected_answer(&twin.open(&first.body, LIMIT).unwrap().response.content);
}

#[tokio::test]
async fn killing_the_enclave_during_a_request_gives_one_clear_error() {
    let mut stage = Stage1::set().await;
    let wire = Wire::to(&stage.enclave.address).await;
    let gateway = stage.gateway(&wire.address, "").await;
    let client = stage.connect(&gateway).await.unwrap();
    client.infer_json(sample()).await.expect("the passing twin");

    // The request reaches the enclave and its answer does not come back; then the enclave dies.
    let released = gateway.metric("teegate_gateway_released_bytes_total").await;
    wire.hold_answers();
    let killed = async {
        eventually("the request has left the gateway", || async {
            (gateway.metric("teegate_gateway_released_bytes_total").await > released).then_some(())
        })
        .await;
        stage.enclave.program.kill().await;
    };
    let asked = tokio::time::timeout(DEADLINE, client.infer_json(sample()));
    let (answer, ()) = tokio::join!(asked, killed);
    let error = answer.expect("an answer in time").unwrap_err();
    let Error::Remote(remote) = &error else { panic!("{error}") };
    assert_eq!(remote.problem.as_ref().map(|p| p.kind), Some(ProblemKind::UpstreamLost), "{error}");
    assert_eq!(error.executed(), Executed::Unknown);
    assert!(error.to_string().contains("unknown"), "{error}");
}

#[tokio::test]
async fn a_canary_in_the_request_appears_nowhere() {
    const CANARY: &str = "canary-7f3a91c2e5";
    let stage = Stage1::set().await;
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    let client = stage.connect(&gateway).await.unwrap();

    // In the id, in a number, and in a request that fails: errors like to repeat what they were given.
    let body = String::from_utf8(sample()).unwrap();
    let with_canary = body.replacen('{', &format!("{{\"id\": \"{CANARY}\", "), 1).replace("24.63", "24.631739517395");
    let reply = client.infer_json(with_canary.clone().into_bytes()).await.unwrap();
    assert_eq!(reply.response.status, 200);
    let failing = with_canary.replace("features", CANARY);
    let error = client.infer_json(failing.into_bytes()).await.unwrap_err();
    let words = format!("{error} {error:?}");
    assert!(matches!(error, Error::Answer(AnswerError::Declined { .. }) | Error::Remote(_)), "{words}");
    let nonce = Nonce::generate().unwrap();
    assert_eq!(stage.enclave.ask("GET", &format!("/.well-known/teegate?nonce={nonce}"), &[], b"").await.status, 200);

    let mut said = stage.scratch.said();
    said.extend(gateway.metrics().await.into_bytes());
    for label in ["guest", "enclave", "gateway"] {
        let log = std::fs::read(stage.scratch.path().join(format!("{label}.log"))).unwrap();
        assert!(!log.is_empty(), "{label} said nothing, so this test would show nothing");
    }
    let canaries = [
        CANARY.to_owned(),
        "1739517395".to_owned(),
        hex::encode(CANARY),
        base64_of(CANARY),
        nonce.to_string(),
        hex::encode(nonce.as_bytes()),
    ];
    for canary in &canaries {
        let found = said.windows(canary.len()).position(|window| window == canary.as_bytes());
        let around = found
            .map(|at| String::from_utf8_lossy(&said[at.saturating_sub(200)..said.len().min(at + 100)]).into_owned());
        assert_eq!(around, None, "{canary} was said");
    }
}

/// The middle of the base64 of `text`, which any base64 of something that contains it at that alignment has too.
fn base64_of(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD_NO_PAD.encode(text)[..16].to_owned()
}

#[tokio::test]
async fn a_stock_ohttp_client_talks_to_the_enclave() {
    let stage = Stage1::set().await;
    let keys = stage.enclave.ask("GET", "/.well-known/ohttp-gateway", &[], b"").await;
    assert_eq!((keys.status, keys.header("content-type")), (200, "application/ohttp-keys"));

    let mut message = bhttp::Message::request(
        b"POST".to_vec(),
        b"https".to_vec(),
        b"enclave".to_vec(),
        format!("/v2/models/{MODEL}/infer").into_bytes(),
    );
    message.put_header("content-type", "application/json");
    message.write_content(sample());
    let mut request = Vec::new();
    message.write_bhttp(bhttp::Mode::KnownLength, &mut request).unwrap();
    let client = ohttp::ClientRequest::from_encoded_config_list(&keys.body).unwrap();
    let (sealed, context) = client.encapsulate(&request).unwrap();

    let answer = stage.enclave.ask("POST", "/ohttp", &RELAYED, &sealed).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "message/ohttp-res"), "{}", answer.text());
    let opened = context.decapsulate(&answer.body).unwrap();
    let answer = bhttp::Message::read_bhttp(&mut std::io::Cursor::new(opened)).unwrap();
    assert_eq!(answer.control().status().map(|status| status.code()), Some(200));
    assert_is_expected_answer(answer.content());
}

#[test]
fn our_client_talks_to_a_stock_ohttp_server() {
    use ohttp::hpke::{Aead, Kdf, Kem};
    let suites = vec![ohttp::SymmetricSuite::new(Kdf::HkdfSha256, Aead::ChaCha20Poly1305)];
    let server = ohttp::Server::new(ohttp::KeyConfig::new(7, Kem::X25519Sha256, suites).unwrap()).unwrap();
    let list = ohttp::KeyConfig::encode_list(&[server.config()]).unwrap();
    let key = teegate_protocol::ohttp::KeyConfig::parse_list(&list).unwrap().pop().unwrap();

    let sealed = seal(&key, &infer_request(b"private".to_vec()), LIMIT).unwrap();
    let (request, context) = server.decapsulate(sealed.bytes()).unwrap();
    let request = bhttp::Message::read_bhttp(&mut std::io::Cursor::new(request)).unwrap();
    assert_eq!(request.control().method(), Some(&b"POST"[..]));
    assert_eq!(request.content(), b"private");

    let mut message = bhttp::Message::response(bhttp::StatusCode::OK);
    message.write_content(b"answer");
    let mut response = Vec::new();
    message.write_bhttp(bhttp::Mode::KnownLength, &mut response).unwrap();
    let answer = context.encapsulate(&response).unwrap();
    assert_eq!(sealed.open(&answer, LIMIT).unwrap().response.content, b"answer");
}

/// Runs `teegate infer` on the sample and returns exit status, standard output and standard error.
async fn infer_command(
    stage: &Stage1,
    gateway: &str,
    policy: &str,
    input: &[u8],
    more: &[&str],
) -> (i32, String, String) {
    let policy = stage.scratch.write("client-policy.toml", policy);
    let input = stage.scratch.write("input.json", std::str::from_utf8(input).unwrap());
    let output = tokio::process::Command::new(binary("teegate"))
        .args(["infer", "--gateway", gateway, "--model", MODEL, "--input", &input, "--policy", &policy, "--wait", "5"])
        .arg("--endorsements")
        .arg(stage.guest.endorsements())
        .args(more)
        .output()
        .await
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn the_infer_command_answers_in_words_and_in_json() {
    let stage = Stage1::set().await;
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    let (url, policy) = (format!("http://{}", gateway.address), stage.guest.policy());
    let (status, out, err) = infer_command(&stage, &url, &policy, &sample(), &[]).await;
    assert_eq!(status, 0, "{err}");
    assert!(out.contains("bound to the workload") && out.contains("execution receipt verified"), "{out}");
    assert!(out.contains("probabilities  FP32 [1, 2]\n  0.9999"), "{out}");
    assert!(err.contains("pins roots of its own"), "{err}");

    let memory = stage.scratch.path().join("memory.json").display().to_string();
    for _first_and_again in 0..2 {
        let (status, _, err) = infer_command(&stage, &url, &policy, &sample(), &["--memory", &memory]).await;
        assert_eq!(status, 0, "{err}");
    }
    let future = std::fs::read_to_string(&memory).unwrap().replacen(": 1", ": 9", 2).replacen(
        "\"schema\": 9",
        "\"schema\": 1",
        1,
    );
    std::fs::write(&memory, future).unwrap();
    let (status, _, err) = infer_command(&stage, &url, &policy, &sample(), &["--memory", &memory]).await;
    assert!(status == 3 && err.contains("client.rollback"), "{status} {err}");

    let report = stage.scratch.path().join("report.json").display().to_string();
    let (status, out, err) =
        infer_command(&stage, &url, &policy, &sample(), &["--format", "json", "--report", &report]).await;
    assert_eq!(status, 0, "{err}");
    assert_is_expected_answer(out.as_bytes());
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    assert_eq!((&report["schema"], &report["verdict"]), (&"teegate/report/1".into(), &"accepted".into()));
}

#[tokio::test]
async fn the_infer_command_says_by_its_exit_status_what_went_wrong() {
    let stage = Stage1::set().await;
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    let (url, policy) = (format!("http://{}", gateway.address), stage.guest.policy());

    let not_a_request = infer_command(&stage, &url, &policy, b"{}", &[]).await;
    assert_eq!(not_a_request.0, 1, "{}", not_a_request.2);
    let nobody = infer_command(&stage, "http://127.0.0.1:1", &policy, &sample(), &[]).await;
    assert_eq!(nobody.0, 1, "{}", nobody.2);
    assert!(nobody.2.contains("nothing was sent"), "{}", nobody.2);

    // The gateway offers the instance; this client expects other hardware, or other code.
    let (vendors, _forged_roots) = policy.split_once("[trust_anchors]").unwrap();
    let unauthentic = infer_command(&stage, &url, vendors, &sample(), &[]).await;
    assert_eq!(unauthentic.0, 3, "{}", unauthentic.2);
    assert!(unauthentic.2.contains("snp.chain.ark-pinned"), "{}", unauthentic.2);
    let other_code = policy.replace("measurement = \"4d", "measurement = \"00");
    let unacceptable = infer_command(&stage, &url, &other_code, &sample(), &[]).await;
    assert_eq!(unacceptable.0, 4, "{}", unacceptable.2);
    assert!(unacceptable.2.contains("snp.guest.measurement"), "{}", unacceptable.2);

    let unknown_tensor = String::from_utf8(sample()).unwrap().replace("features", "nonsense");
    let declined = infer_command(&stage, &url, &policy, unknown_tensor.as_bytes(), &[]).await;
    assert_eq!(declined.0, 5, "{}", declined.2);
    assert!(declined.1.is_empty() && declined.2.contains("the enclave"), "{}", declined.2);
}

/// `teegate demo` as `ci/demo.sh` starts it, with its temporary files in the scratch folder.
fn demo_command(scratch: &Scratch) -> tokio::process::Command {
    let metadata = std::process::Command::new(env!("CARGO"))
        .current_dir(root())
        .args(["metadata", "--locked", "--format-version", "1"])
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).expect("cargo metadata");
    let source = |name: &str| {
        let packages = metadata["packages"].as_array().unwrap();
        let package = packages.iter().find(|package| package["name"] == name).unwrap_or_else(|| panic!("no {name}"));
        std::path::Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned()
    };
    let mut command = tokio::process::Command::new(binary("teegate"));
    command.arg("demo").arg("--sev-crate").arg(source("sev")).arg("--dcap-qvl-crate").arg(source("dcap-qvl"));
    command.arg("--onnxruntime").arg(onnxruntime()).arg("--model").arg(model_folder());
    command.env("TMPDIR", scratch.path()).kill_on_drop(true);
    command
}

fn is_empty(scratch: &Scratch) -> bool {
    std::fs::read_dir(scratch.path()).unwrap().next().is_none()
}

#[tokio::test]
async fn the_demo_walks_the_whole_path_and_leaves_nothing_behind() {
    let scratch = Scratch::new();
    let output = demo_command(&scratch).output().await.unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}\n{out}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(out.matches("ACCEPTED: ").count(), 3, "{out}");
    for part in [
        "FORGED hardware",
        "execution receipt verified",
        "REFUSED by the client: snp.policy.debug",
        "REFUSED by the client: snp.guest.report-data",
        "REFUSED by the gateway: snp.guest.measurement",
        "plumbing, not silicon",
    ] {
        assert!(out.contains(part), "`{part}` is not in\n{out}");
    }
    assert!(is_empty(&scratch));
}

#[tokio::test]
async fn the_demo_stops_what_it_started_when_it_is_stopped() {
    use tokio::io::{AsyncBufReadExt, BufReader};
    let scratch = Scratch::new();
    let mut demo = demo_command(&scratch)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    let mut children = Vec::new();
    while children.len() < 3 {
        let line = tokio::time::timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap().expect("the demo goes on");
        let id = line.split_once("(process ").and_then(|(_, rest)| rest.split_once(')'));
        children.extend(id.map(|(id, _)| id.to_owned()));
    }
    let pid = demo.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    // Its output is read on: a full pipe would hold it up.
    while let Ok(Some(_)) = lines.next_line().await {}
    assert_eq!(demo.wait().await.unwrap().code(), Some(1));
    for id in children {
        eventually("a child is gone", || async { (!std::path::Path::new("/proc").join(&id).exists()).then_some(()) })
            .await;
    }
    assert!(is_empty(&scratch));
}
