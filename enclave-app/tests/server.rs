//! The program from outside: a process, a real TLS connection, and what the wire shows.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what a test expects and does not find should end it, in its helper functions too"
)]

#[path = "support/enclave.rs"]
mod enclave;
#[path = "support/library.rs"]
mod library;
#[path = "support/models.rs"]
mod models;

use std::sync::atomic::Ordering;

use enclave::{
    Connection, Enclave, Folder, Guest, begin_upload, client_config, config, demonstration, encapsulate, program,
    unseal, until,
};
use sha2::{Digest, Sha256};
use teegate_protocol::bhttp::{Request, Response};
use teegate_protocol::binding::{self, Nonce};
use teegate_protocol::evidence::{Envelope, EvidenceKind};
use teegate_protocol::headers::{
    ATTEST_PATH, HEALTH_PATH, OHTTP_KEYS, OHTTP_KEYS_PATH, OHTTP_PATH, OHTTP_REQUEST, SEALED_MANIFEST,
    SEALED_MODEL_SHA256, SEALED_RECEIPT, SEALED_RECEIPT_SALT, SEALED_REQUEST_ID,
};
use teegate_protocol::manifest::{BatchedModel, ManifestBytes};
use teegate_protocol::problem::{Executed, Problem, ProblemKind};
use teegate_protocol::receipt::{Execution, Salt, Signed};

/// The demonstration model in a running enclave; `None`, said aloud, without the library.
async fn demonstration_enclave(extra: &str) -> Option<(Enclave, Guest)> {
    let library = library::library()?;
    let guest = Guest::start().await;
    Some((Enclave::start(&library, &guest, &demonstration(), extra), guest))
}

fn infer(body: &[u8]) -> Request {
    let mut request = Request::new("POST", "enclave.invalid", "/v2/models/m/infer");
    request.fields.push("content-type", "application/json").unwrap();
    request.content = body.to_vec();
    request
}

fn sample() -> Vec<u8> {
    std::fs::read(demonstration().with_file_name("sample.json")).unwrap()
}

/// The sample with an `id`.
fn labelled(id: &str) -> Vec<u8> {
    String::from_utf8(sample()).unwrap().replacen('{', &format!("{{\"id\":\"{id}\","), 1).into_bytes()
}

fn get(path: &str) -> Request {
    Request::new("GET", "enclave.invalid", path)
}

fn problem(response: &Response) -> Problem {
    assert_eq!(response.fields.get("content-type"), Some("application/problem+json"), "{response:?}");
    let problem = Problem::parse(&response.content).unwrap();
    assert_eq!(problem.status(), response.status);
    problem
}

fn oip_error(response: &Response) -> String {
    let json: serde_json::Value = serde_json::from_slice(&response.content).unwrap();
    json["error"].as_str().unwrap_or_else(|| panic!("{json}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manifest_names_what_the_listener_shows() {
    let Some((enclave, _guest)) = demonstration_enclave("").await else { return };
    let mut connection = Connection::open(&enclave.address, "h2").await;
    let (envelope, manifest) = connection.envelope().await;
    assert_eq!(envelope.evidence.kind, EvidenceKind::TdxQuote);
    assert_eq!(envelope.evidence.bytes[568..632], binding::epoch(manifest.digest()));
    assert_eq!(envelope.nonce, None);
    let said = manifest.manifest();
    // The key of the certificate is the one that the manifest names: its SubjectPublicKeyInfo stands in it, whole.
    let spki = connection
        .certificate
        .windows(91)
        .filter(|window| window.starts_with(&[0x30, 0x59, 0x30, 0x13]))
        .map(Sha256::digest)
        .next()
        .unwrap();
    assert_eq!(said.tls_spki_sha256.as_bytes()[..], spki[..]);
    assert_eq!((said.epoch, said.prev, said.models.len()), (0, None, 1));
    assert_eq!(said.models[0].sha256.as_bytes()[..], Sha256::digest(std::fs::read(demonstration()).unwrap())[..]);
    assert_eq!((said.use_until - said.not_before, said.not_after - said.use_until), (3600, 600));
    let keys = connection.get(OHTTP_KEYS_PATH).await;
    assert_eq!((keys.status, keys.headers["content-type"].to_str().unwrap()), (200, OHTTP_KEYS));
    assert_eq!(keys.body, said.ohttp_keys);
    assert_eq!(said.key_configs().unwrap()[0].key_id(), 0);
    assert_eq!(connection.get(HEALTH_PATH).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_inference_comes_back_sealed_with_a_receipt() {
    let Some((enclave, _guest)) = demonstration_enclave("").await else { return };
    for alpn in ["h2", "http/1.1"] {
        let mut connection = Connection::open(&enclave.address, alpn).await;
        let (_, manifest) = connection.envelope().await;
        let mut request = infer(&sample());
        request.fields.push(SEALED_REQUEST_ID, "request-1").unwrap();
        request.fields.push(SEALED_MANIFEST, manifest.digest().to_string()).unwrap();
        request.fields.push(SEALED_MODEL_SHA256, manifest.manifest().models[0].sha256.to_string()).unwrap();
        let response = connection.sealed(&manifest, &request).await;
        assert_eq!(response.status, 200, "{response:?}");
        let answer: serde_json::Value = serde_json::from_slice(&response.content).unwrap();
        let expected: serde_json::Value =
            serde_json::from_slice(&std::fs::read(demonstration().with_file_name("expected.json")).unwrap()).unwrap();
        for column in 0..2 {
            let value = |json: &serde_json::Value| json["outputs"][0]["data"][column].as_f64().unwrap();
            assert!((value(&answer) - value(&expected)).abs() < 1e-6, "{answer}");
        }
        let signed = Signed::parse_header(response.fields.get(SEALED_RECEIPT).unwrap()).unwrap();
        let salt = Salt::parse_header(response.fields.get(SEALED_RECEIPT_SALT).unwrap()).unwrap();
        let receipt = Execution::verify(&signed, &manifest.manifest().receipt_key).unwrap();
        assert_eq!(receipt.manifest, *manifest.digest());
        assert_eq!(receipt.request_id.as_deref(), Some("request-1"));
        assert_eq!(receipt.model, manifest.manifest().models[0].sha256);
        assert_eq!(receipt.request, salt.digest(&request.encode_padded().unwrap()));
        assert_eq!(receipt.output, salt.digest(&response.content));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_open_inference_protocol_lives_inside_the_seal_only() {
    let Some((enclave, _guest)) = demonstration_enclave("").await else { return };
    let mut connection = Connection::open(&enclave.address, "h2").await;
    let (_, manifest) = connection.envelope().await;
    for (path, member, value) in [
        ("/v2", "name", serde_json::json!("enclave-app")),
        ("/v2/health/live", "live", serde_json::json!(true)),
        ("/v2/health/ready", "ready", serde_json::json!(true)),
        ("/v2/models/m", "inputs", serde_json::json!([{"name": "features", "datatype": "FP32", "shape": [-1, 30]}])),
        ("/v2/models/m/versions/1", "versions", serde_json::json!(["1"])),
        ("/v2/models/m/ready", "ready", serde_json::json!(true)),
    ] {
        assert_eq!(connection.get(path).await.status, 404, "{path}");
        let response = connection.sealed(&manifest, &get(path)).await;
        let json: serde_json::Value = serde_json::from_slice(&response.content).unwrap();
        assert_eq!((response.status, &json[member]), (200, &value), "{path}");
    }
    let mut binary = infer(&[]);
    let json = r#"{"inputs":[{"name":"features","shape":[1,30],"datatype":"FP32","parameters":{"binary_data_size":120}}],"parameters":{"binary_data_output":true}}"#;
    binary.content = [json.as_bytes(), &[0; 120]].concat();
    binary.fields.push("inference-header-content-length", json.len().to_string()).unwrap();
    let response = connection.sealed(&manifest, &binary).await;
    let length: usize = response.fields.get("inference-header-content-length").unwrap().parse().unwrap();
    assert_eq!((response.status, response.content.len() - length), (200, 8));

    for (request, status, reason) in [
        (get("/v2/models/other"), 404, "no such model"),
        (get("/v2/models/m/versions/2"), 404, "model `m` has version `1` here"),
        (get("/v3"), 404, "path is none of the Open Inference Protocol"),
        (get("/v2/models/m/infer"), 405, "method is not POST"),
        (infer(b"{"), 400, "inference request: EOF"),
        (
            infer(br#"{"inputs":[{"name":"features","shape":[1,29],"datatype":"FP32","data":[]}]}"#),
            400,
            "input `features`: shape is [1, 29], expected [-1, 30]",
        ),
        (
            infer(br#"{"inputs":[{"name":"features","shape":[4611686018427387904,30],"datatype":"FP32","data":[]}]}"#),
            400,
            "more than 2147483648 elements",
        ),
    ] {
        let response = connection.sealed(&manifest, &request).await;
        assert_eq!(response.status, status, "{reason}");
        assert!(oip_error(&response).contains(reason), "{reason}: {response:?}");
        assert_eq!(response.fields.get(SEALED_RECEIPT), None);
    }
}

/// KServe's own client names the model in the body, and adds what it likes.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_kserves_client_is_answered() {
    let Some((enclave, _guest)) = demonstration_enclave("").await else { return };
    let mut connection = Connection::open(&enclave.address, "h2").await;
    let (_, manifest) = connection.envelope().await;
    let body = |model: &str| {
        let members = format!(r#"{{"id":"r1","model_name":"{model}","parameters":{{"priority":1,"who":"x"}},"#);
        String::from_utf8(sample()).unwrap().replacen('{', &members, 1).into_bytes()
    };
    let response = connection.sealed(&manifest, &infer(&body("m"))).await;
    let answer: serde_json::Value = serde_json::from_slice(&response.content).unwrap();
    assert_eq!((response.status, &answer["id"], &answer["model_name"]), (200, &"r1".into(), &"m".into()), "{answer}");
    let response = connection.sealed(&manifest, &infer(&body("n"))).await;
    assert_eq!(response.status, 400);
    assert_eq!(oip_error(&response), "`model_name` is `n`, but the path names the model `m`");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_body_is_told_from_a_broken_one() {
    let Some((enclave, _guest)) = demonstration_enclave("").await else { return };
    let mut connection = Connection::open(&enclave.address, "h2").await;
    let (_, manifest) = connection.envelope().await;
    for (encodings, status) in [
        (&["gzip"][..], 415),
        (&["deflate, gzip"], 415),
        (&["identity", "gzip"], 415),
        (&["identity"], 200),
        (&["Identity"], 200),
        (&[], 200),
    ] {
        let mut request = infer(&sample());
        for encoding in encodings {
            request.fields.push("content-encoding", encoding).unwrap();
        }
        let response = connection.sealed(&manifest, &request).await;
        assert_eq!(response.status, status, "{encodings:?}");
        if status == 415 {
            assert!(oip_error(&response).starts_with("header `content-encoding`: bodies are not decompressed here"));
            assert_eq!(response.fields.get("accept-encoding"), Some("identity"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_models_nan_is_no_failure_and_what_the_answer_advises_works() {
    let Some(library) = library::library() else { return };
    let (folder, guest) = (Folder::new(), Guest::start().await);
    let model = folder.write("log.onnx", models::log());
    let enclave = Enclave::start(&library, &guest, &model, "");
    let mut connection = Connection::open(&enclave.address, "h2").await;
    let (_, manifest) = connection.envelope().await;
    let request = |more: &str| {
        infer(format!(r#"{{{more}"inputs":[{{"name":"x","shape":[2],"datatype":"FP32","data":[-1,0]}}]}}"#).as_bytes())
    };
    let response = connection.sealed(&manifest, &request("")).await;
    assert_eq!(response.status, 406);
    let advised = r#""parameters": {"binary_data_output": true}"#;
    assert!(oip_error(&response).contains(advised), "{}", oip_error(&response));
    let response = connection.sealed(&manifest, &request(&format!("{advised},"))).await;
    let length: usize = response.fields.get("inference-header-content-length").unwrap().parse().unwrap();
    let (nan, infinity) = response.content[length..].split_at(4);
    assert!(response.status == 200 && f32::from_le_bytes(nan.try_into().unwrap()).is_nan());
    assert_eq!(infinity, f32::NEG_INFINITY.to_le_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_inside_the_seal_must_hold() {
    let Some((enclave, _guest)) = demonstration_enclave("").await else { return };
    let mut connection = Connection::open(&enclave.address, "h2").await;
    let (_, manifest) = connection.envelope().await;
    let other = "ab".repeat(32);
    let long = "x".repeat(129);
    for (fields, reason) in [
        (vec![(SEALED_MANIFEST, other.as_str())], "but the key that opened the request stands in manifest"),
        (vec![(SEALED_MANIFEST, "AB")], "field `teegate-manifest`: expected 64 digits"),
        (
            vec![(SEALED_MANIFEST, other.as_str()), (SEALED_MANIFEST, other.as_str())],
            "field `teegate-manifest`: expected one value",
        ),
        (vec![(SEALED_MODEL_SHA256, other.as_str())], "but model `m` has"),
        (vec![(SEALED_REQUEST_ID, long.as_str())], "request id is not 1 to 128"),
        (vec![("inference-header-content-length", "-1")], "field `inference-header-content-length`"),
        (vec![("inference-header-content-length", "+12")], "field `inference-header-content-length`"),
    ] {
        let mut request = infer(&sample());
        for (name, value) in fields {
            request.fields.push(name, value).unwrap();
        }
        let problem = problem(&connection.sealed(&manifest, &request).await);
        assert_eq!((problem.kind, problem.executed), (ProblemKind::BadRequest, Executed::No));
        assert!(problem.detail.as_deref().unwrap().contains(reason), "{problem}");
    }
    let mut request = get("/v2");
    request.fields.push(SEALED_MODEL_SHA256, other.as_str()).unwrap();
    assert!(problem(&connection.sealed(&manifest, &request).await).detail.unwrap().contains("the path names no model"));

    // What opens and is no binary HTTP, or has padding that is not zero, is refused inside the seal.
    let key = &manifest.manifest().key_configs().unwrap()[0];
    for (plaintext, reason) in [
        (b"nonsense".to_vec(), "binary HTTP message"),
        ([get("/v2").encode().unwrap(), vec![0, 0, 1]].concat(), "followed by bytes that are not zero"),
    ] {
        let (ciphertext, context) = teegate_protocol::ohttp::seal(key, &plaintext).unwrap();
        let problem = problem(&unseal(context, &connection.ohttp(&ciphertext).await));
        assert_eq!(problem.kind, ProblemKind::BadRequest);
        assert!(problem.detail.as_deref().unwrap().contains(reason), "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ciphertext_runs_once() {
    let Some((enclave, _guest)) = demonstration_enclave("").await else { return };
    let mut connection = Connection::open(&enclave.address, "h2").await;
    let (_, manifest) = connection.envelope().await;
    let plaintext = infer(&sample()).encode_padded().unwrap();
    let key = &manifest.manifest().key_configs().unwrap()[0];
    let (ciphertext, context) = teegate_protocol::ohttp::seal(key, &plaintext).unwrap();

    // A damaged copy that arrives first is told nothing, and spends nothing.
    let mut damaged = ciphertext.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let answer = connection.ohttp(&damaged).await;
    assert_eq!((answer.status, answer.body.len()), (400, 0), "{answer:?}");

    let first = connection.ohttp(&ciphertext).await;
    let second = connection.ohttp(&ciphertext).await;
    assert_eq!(unseal(context, &first).status, 200);
    assert_eq!((second.status, second.headers["content-type"].to_str().unwrap()), (200, "message/ohttp-res"));

    let answer = connection.ohttp(&damaged).await;
    assert_eq!((answer.status, answer.body.len()), (400, 0), "{answer:?}");

    // A key id that is not there is said openly: the client has to fetch the keys again.
    let mut unknown = ciphertext.clone();
    unknown[0] = 99;
    let answer = connection.ohttp(&unknown).await;
    let said = Problem::parse(&answer.body).unwrap();
    assert_eq!((answer.status, said.kind, said.executed), (400, ProblemKind::OhttpKey, Executed::No));
    for short in [&[][..], &ciphertext[..7], &ciphertext[..50]] {
        assert_eq!(connection.ohttp(short).await.status, 400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_client_needs_nothing_of_ours() {
    let Some((enclave, _guest)) = demonstration_enclave("").await else { return };
    let mut connection = Connection::open(&enclave.address, "http/1.1").await;
    let keys = connection.get(OHTTP_KEYS_PATH).await.body;
    for mode in [bhttp::Mode::KnownLength, bhttp::Mode::IndeterminateLength] {
        let mut message = bhttp::Message::request(
            b"POST".to_vec(),
            b"https".to_vec(),
            b"any".to_vec(),
            b"/v2/models/m/infer".to_vec(),
        );
        message.put_header("content-type", "application/json");
        message.write_content(sample());
        let mut plaintext = Vec::new();
        message.write_bhttp(mode, &mut plaintext).unwrap();
        let request = ohttp::ClientRequest::from_encoded_config_list(&keys).unwrap();
        let (ciphertext, response) = request.encapsulate(&plaintext).unwrap();
        let answer = connection.ohttp(&ciphertext).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let opened = response.decapsulate(&answer.body).unwrap();
        let opened = bhttp::Message::read_bhttp(&mut std::io::Cursor::new(opened)).unwrap();
        assert_eq!(opened.control().status().unwrap().code(), 200);
        let json: serde_json::Value = serde_json::from_slice(opened.content()).unwrap();
        assert!(json["outputs"][0]["data"][0].as_f64().unwrap() > 0.99, "{json}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_answered_sealed_with_its_outcome_unknown() {
    let Some((enclave, _guest)) = demonstration_enclave("").await else { return };
    let mut connection = Connection::open(&enclave.address, "h2").await;
    let (_, manifest) = connection.envelope().await;
    let (ciphertext, context) = encapsulate(&manifest, &infer(&sample()));
    // The first answer is lost on the way; the context is still there for the second.
    assert_eq!(connection.ohttp(&ciphertext).await.status, 200);
    let problem = problem(&unseal(context, &connection.ohttp(&ciphertext).await));
    assert_eq!((problem.kind, problem.executed), (ProblemKind::Replay, Executed::Unknown));
}

/// What runs nothing is answered as often as it comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_runs_nothing_may_come_twice() {
    let Some((enclave, _guest)) = demonstration_enclave("").await else { return };
    let mut connection = Connection::open(&enclave.address, "h2").await;
    let (_, manifest) = connection.envelope().await;
    for (request, status) in [
        (get("/v2"), 200),
        (get("/v2/health/live"), 200),
        (get("/v2/health/ready"), 200),
        (get("/v2/models/m"), 200),
        (get("/v2/models/m/ready"), 200),
        (get("/v2/models/m/infer"), 405),
        (get("/nowhere"), 404),
    ] {
        let (ciphertext, context) = encapsulate(&manifest, &request);
        let first = connection.ohttp(&ciphertext).await;
        let second = connection.ohttp(&ciphertext).await;
        assert_ne!(first.body, second.body, "sealed anew, so that nobody learns that it is the same");
        assert_eq!(unseal(context, &second).status, status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fresh_evidence_answers_the_nonce_and_is_rate_limited() {
    let Some((enclave, _guest)) = demonstration_enclave("").await else { return };
    let mut connection = Connection::open(&enclave.address, "h2").await;
    let (_, manifest) = connection.envelope().await;
    for bad in
        ["?nonce=", "?nonce=AAAA", "?nonce", "?", "?nonce=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA&x=1", "?other=1"]
    {
        assert_eq!(connection.get(&format!("/.well-known/teegate{bad}")).await.status, 400, "{bad}");
    }
    let nonce = Nonce::generate().unwrap();
    let path = format!("/.well-known/teegate?nonce={nonce}");
    let answer = connection.get(&path).await;
    let envelope = Envelope::parse(&answer.body).unwrap();
    assert_eq!(envelope.evidence.bytes[568..632], binding::fresh(manifest.digest(), &nonce));
    assert_eq!(envelope.nonce, Some(nonce));
    let mut refused = None;
    for _ in 0..8 {
        let answer = connection.get(&path).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status, 200);
    }
    let refused = refused.expect("eight at once are more than a burst of four");
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(Problem::parse(&refused.body).unwrap().kind, ProblemKind::RateLimited);
    // The cached evidence is not limited.
    connection.envelope().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn channel_evidence_is_bound_to_the_connection_it_was_asked_on() {
    let Some((enclave, _guest)) = demonstration_enclave("").await else { return };
    let mut first = Connection::open(&enclave.address, "h2").await;
    let mut second = Connection::open(&enclave.address, "h2").await;
    let (_, manifest) = first.envelope().await;
    let nonce = Nonce::generate().unwrap();
    let mut asked = Vec::new();
    for connection in [&mut first, &mut second] {
        let answer = connection.call("POST", ATTEST_PATH, None, nonce.to_string()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let report_data = Envelope::parse(&answer.body).unwrap().evidence.bytes[568..632].to_vec();
        assert_eq!(report_data, binding::channel(manifest.digest(), &nonce, &connection.exporter));
        asked.push(report_data);
    }
    assert_ne!(asked[0], asked[1]);
    for (body, status) in
        [(String::new(), 400), ("A".repeat(44), 400), ("A".repeat(65), 413), (format!("{nonce}\n"), 400)]
    {
        assert_eq!(first.call("POST", ATTEST_PATH, None, body.clone()).await.status, status, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_only_announce_keep_nobody_from_attestation_or_inference() {
    let Some((enclave, _guest)) =
        demonstration_enclave("[limits]\nsealed_body_bytes = 65536\nin_flight_bytes = 196608").await
    else {
        return;
    };
    let mut _uploads = Vec::new();
    for _ in 0..4 {
        _uploads.push(begin_upload(&enclave.address, 67_584).await);
    }
    let mut connection = Connection::open(&enclave.address, "h2").await;
    let nonce = Nonce::generate().unwrap().to_string();
    assert_eq!(connection.call("POST", ATTEST_PATH, None, nonce).await.status, 200);
    let (_, manifest) = connection.envelope().await;
    assert_eq!(connection.sealed(&manifest, &infer(&sample())).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn channel_challenges_are_rate_limited_on_each_connection() {
    let Some((enclave, guest)) = demonstration_enclave("").await else { return };
    let mut eager = Connection::open(&enclave.address, "h2").await;
    let mut other = Connection::open(&enclave.address, "h2").await;
    let nonce = Nonce::generate().unwrap().to_string();
    let mut refused = None;
    for _ in 0..8 {
        let answer = eager.call("POST", ATTEST_PATH, None, nonce.clone()).await;
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("eight at once are more than a burst of four");
    assert_eq!((refused.status, &refused.headers["retry-after"]), (429, &http::HeaderValue::from(1)));
    assert_eq!(Problem::parse(&refused.body).unwrap().kind, ProblemKind::RateLimited);
    assert_eq!(other.call("POST", ATTEST_PATH, None, nonce.clone()).await.status, 200);

    // And one at a time: while the platform thinks, the connection may not ask again.
    let mut connection = Connection::open(&enclave.address, "h2").await;
    let mut same = connection.again();
    guest.silent.store(true, Ordering::SeqCst);
    let asked = guest.asked.load(Ordering::SeqCst);
    let first = tokio::spawn({
        let nonce = nonce.clone();
        async move { connection.call("POST", ATTEST_PATH, None, nonce).await.status }
    });
    until("the first question", || async { (guest.asked.load(Ordering::SeqCst) > asked).then_some(()) }).await;
    assert_eq!(same.call("POST", ATTEST_PATH, None, nonce).await.status, 429);
    guest.silent.store(false, Ordering::SeqCst);
    assert_eq!(first.await.unwrap(), 200);
}

/// Where evidence is slow, as from a vTPM, whoever reaches the port could take it all.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_do_not_take_the_evidence_of_a_connection_that_is_known() {
    let Some((enclave, guest)) = demonstration_enclave("").await else { return };
    let mut gateway = Connection::open(&enclave.address, "h2").await;
    let nonce = || Nonce::generate().unwrap().to_string();
    assert_eq!(gateway.call("POST", ATTEST_PATH, None, nonce()).await.status, 200);

    // Half a second each: sixty of two hundred could be answered before they give up.
    guest.slow_ms.store(500, Ordering::SeqCst);
    let refused = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let mut strangers = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let (address, refused) = (enclave.address.clone(), std::sync::Arc::clone(&refused));
        strangers.spawn(async move {
            loop {
                let mut stranger = Connection::open(&address, "h2").await;
                let answer = stranger.call("POST", ATTEST_PATH, None, Nonce::generate().unwrap().to_string()).await;
                if answer.status != 200 {
                    let problem = Problem::parse(&answer.body).unwrap();
                    assert_eq!((answer.status, problem.kind), (503, ProblemKind::Busy));
                    assert!((1..=30).contains(&problem.retry_after.unwrap()), "{problem}");
                    refused.fetch_add(1, Ordering::SeqCst);
                }
                // So that this machine has time for something else.
                tokio::time::sleep(std::time::Duration::from_secs(2)).await;
            }
        });
    }
    until("a full queue", || async { (refused.load(Ordering::SeqCst) > 50).then_some(()) }).await;

    let before = guest.asked.load(Ordering::SeqCst);
    let answer = gateway.call("POST", ATTEST_PATH, None, nonce()).await;
    let turns = guest.asked.load(Ordering::SeqCst) - before;
    assert_eq!(answer.status, 200, "{answer:?}");
    // The one that was under way, its own, and a stranger between; more only while its question was on the way.
    assert!(turns <= 8, "{turns} turns");
    // The connection was not given up for a stranger's either, and serves.
    let (_, manifest) = gateway.envelope().await;
    assert_eq!(gateway.sealed(&manifest, &infer(&sample())).await.status, 200);
    strangers.abort_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_lie_unread_take_memory_until_they_are_given_up() {
    let Some((enclave, _guest)) =
        demonstration_enclave("[limits]\nsealed_body_bytes = 65536\nin_flight_bytes = 196608").await
    else {
        return;
    };
    // Answered with some KiB.
    let request = || infer(&labelled(&"x".repeat(1000)));
    let (_, manifest) = Connection::open(&enclave.address, "h2").await.envelope().await;
    let unread = Connection::open_without_window(&enclave.address).await;
    let mut heads = Vec::new();
    let refused = loop {
        assert!(heads.len() < 120, "as many answers of 2 KiB are beyond 192 KiB");
        let head = unread.head(&encapsulate(&manifest, &request()).0).await;
        if head.status() != 200 {
            break head.status();
        }
        heads.push(head);
    };
    // It was refused before anything ran.
    assert_eq!((refused.as_u16(), heads.len() >= 30), (503, true), "{}", heads.len());
    let address = enclave.address.as_str();
    let answer = Connection::open(address, "h2").await.ohttp(&encapsulate(&manifest, &request()).0).await;
    let said = Problem::parse(&answer.body).unwrap();
    assert_eq!((answer.status, said.kind, said.executed), (503, ProblemKind::Busy, Executed::No));
    drop((heads, unread));
    until("the end of the answers", || async {
        let (ciphertext, _) = encapsulate(&manifest, &request());
        (Connection::open(address, "h2").await.ohttp(&ciphertext).await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_without_a_request_make_room() {
    let Some((enclave, _guest)) = demonstration_enclave("[limits]\nconnections = 3").await else { return };
    let mut asked = Connection::open(&enclave.address, "h2").await;
    asked.envelope().await;
    let mut idle = Vec::new();
    for _ in 0..6 {
        idle.push(Connection::open(&enclave.address, "h2").await);
    }
    // The places are taken by newer ones that never asked; those go first.
    asked.envelope().await;
    Connection::open(&enclave.address, "h2").await.envelope().await;
    asked.envelope().await;
}

/// A gateway attests its connection now and then, and is silent between; strangers ask for something and come again.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_was_attested_makes_room_for_no_stranger() {
    let Some((enclave, _guest)) = demonstration_enclave("[limits]\nconnections = 3").await else { return };
    let mut gateway = Connection::open(&enclave.address, "h2").await;
    let nonce = Nonce::generate().unwrap().to_string();
    assert_eq!(gateway.call("POST", ATTEST_PATH, None, nonce.clone()).await.status, 200);
    let mut strangers = Vec::new();
    for _ in 0..6 {
        let mut stranger = Connection::open(&enclave.address, "h2").await;
        stranger.envelope().await;
        strangers.push(stranger);
    }
    assert_eq!(gateway.call("POST", ATTEST_PATH, None, nonce).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn outside_the_seal_there_is_nothing_else() {
    let Some((enclave, _guest)) =
        demonstration_enclave("[limits]\nsealed_body_bytes = 65536\nin_flight_bytes = 196608").await
    else {
        return;
    };
    for alpn in ["h2", "http/1.1"] {
        let mut connection = Connection::open(&enclave.address, alpn).await;
        for path in ["/", "/metrics", "/v2", "/v2/models/m/infer", "/ohttp/", "/.well-known/teegate/"] {
            assert_eq!(connection.get(path).await.status, 404, "{path}");
        }
        for (method, path, allow) in [
            ("GET", OHTTP_PATH, "POST"),
            ("GET", ATTEST_PATH, "POST"),
            ("POST", HEALTH_PATH, "GET"),
            ("PUT", OHTTP_KEYS_PATH, "GET"),
        ] {
            let answer = connection.call(method, path, None, "").await;
            assert_eq!((answer.status, answer.headers["allow"].to_str().unwrap()), (405, allow), "{path}");
        }
        for media_type in [None, Some("message/ohttp-chunked-req"), Some("application/json")] {
            assert_eq!(connection.call("POST", OHTTP_PATH, media_type, "").await.status, 415, "{media_type:?}");
        }
    }
    let mut connection = Connection::open(&enclave.address, "http/1.1").await;
    let answer = connection.call("POST", OHTTP_PATH, Some(OHTTP_REQUEST), vec![0; 65536 + 2049]).await;
    assert_eq!((answer.status, Problem::parse(&answer.body).unwrap().kind), (413, ProblemKind::TooLarge));
    // A message of exactly the limit passes, and one more step of padding does not.
    let mut connection = Connection::open(&enclave.address, "h2").await;
    let (_, manifest) = connection.envelope().await;
    let mut request = infer(&vec![b' '; 60_000]);
    assert!(oip_error(&connection.sealed(&manifest, &request).await).contains("inference request"));
    request.content = vec![b' '; 66_000];
    let (ciphertext, _) = encapsulate(&manifest, &request);
    assert_eq!(connection.ohttp(&ciphertext).await.status, 413);
    // Between the two lies what encapsulation may add: such a message opens, and is then too large.
    let key = &manifest.manifest().key_configs().unwrap()[0];
    let (ciphertext, context) = teegate_protocol::ohttp::seal(key, &vec![0; 65_537]).unwrap();
    assert_eq!(problem(&unseal(context, &connection.ohttp(&ciphertext).await)).kind, ProblemKind::TooLarge);
    // A header block beyond 16 KiB ends the request.
    let long = format!("/{}", "x".repeat(17 << 10));
    let mut connection = Connection::open(&enclave.address, "http/1.1").await;
    assert!(matches!(connection.get(&long).await.status, 414 | 431));
}

/// Sends these bytes on a connection of their own and returns the status of the answer.
async fn raw(enclave: &Enclave, request: &[u8]) -> u16 {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let mut stream = enclave::tls(&enclave.address, &client_config("http/1.1")).await;
    // Whoever refuses may close before everything is written.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    while answer.len() < 12 && matches!(stream.read_buf(&mut answer).await, Ok(1..)) {}
    let status =
        answer.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..5)).unwrap_or_else(|| panic!("{answer:?}"));
    std::str::from_utf8(status).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_framing_is_the_peers_mistake() {
    let Some((enclave, _guest)) = demonstration_enclave("").await else { return };
    let begun = std::time::Instant::now();
    let extension = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(1 << 20));
    let trailers = format!("1\r\na\r\n0\r\n{}\r\n", "x: y\r\n".repeat(50_000));
    for (path, media_type) in [(OHTTP_PATH, OHTTP_REQUEST), (ATTEST_PATH, "text/plain")] {
        for (name, body) in [
            ("negative", "-1\r\na\r\n0\r\n\r\n"),
            ("no number", "zz\r\na\r\n0\r\n\r\n"),
            ("beyond 64 bits", "fffffffffffffffff\r\na\r\n0\r\n\r\n"),
            ("no size", "\r\na\r\n0\r\n\r\n"),
            ("longer than it says", "1\r\nabcdef\r\n0\r\n\r\n"),
            ("extension", &extension),
            ("trailers", &trailers),
        ] {
            let head = format!(
                "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {media_type}\r\ntransfer-encoding: chunked\r\n\r\n"
            );
            assert_eq!(raw(&enclave, format!("{head}{body}").as_bytes()).await, 400, "{path}: {name}");
        }
    }
    assert!(begun.elapsed().as_secs() < 20, "nobody waited for more: {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_names_one_host() {
    let Some((enclave, _guest)) = demonstration_enclave("").await else { return };
    for (version, hosts, status) in [
        ("1.1", "host: x\r\n", 200),
        ("1.1", "host: x:8443\r\n", 200),
        ("1.1", "host: [::1]:8443\r\n", 200),
        ("1.1", "host:\r\n", 200),
        ("1.1", "", 400),
        ("1.1", "host: x\r\nhost: x\r\n", 400),
        ("1.1", "host: x\r\nhost: y\r\n", 400),
        ("1.1", "host: a b\r\n", 400),
        ("1.1", "host: a, b\r\n", 400),
        ("1.1", "host: user@x\r\n", 400),
        ("1.1", "host: x/y\r\n", 400),
        ("1.0", "", 200),
        ("1.0", "host: x\r\nhost: y\r\n", 400),
    ] {
        let request = format!("GET {HEALTH_PATH} HTTP/{version}\r\n{hosts}\r\n");
        assert_eq!(raw(&enclave, request.as_bytes()).await, status, "HTTP/{version} {hosts:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_session_is_ever_resumed() {
    let Some((enclave, _guest)) = demonstration_enclave("").await else { return };
    let config = client_config("h2");
    for _ in 0..3 {
        let mut connection = Connection::open_with(&enclave.address, "h2", &config).await;
        // A ticket would have come with the first answer at the latest.
        connection.envelope().await;
        assert_ne!(connection.handshake, rustls::HandshakeKind::Resumed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_follows_the_other_and_the_old_key_dies() {
    // The grace is over well before the epoch after next would take the key.
    let Some((enclave, _guest)) = demonstration_enclave("[epochs]\nseconds = 6\ngrace_seconds = 3").await else {
        return;
    };
    let mut connection = Connection::open(&enclave.address, "h2").await;
    let (_, old) = connection.envelope().await;
    let request = get("/v2/health/live");
    let address = enclave.address.as_str();
    let new: ManifestBytes = until("the next epoch", || async {
        let (envelope, manifest) = Connection::open(address, "h2").await.envelope().await;
        assert_eq!(envelope.evidence.bytes[568..632], binding::epoch(manifest.digest()));
        (manifest.digest() != old.digest()).then_some(manifest)
    })
    .await;
    assert_eq!((new.manifest().epoch, new.manifest().prev), (old.manifest().epoch + 1, Some(*old.digest())));
    assert_eq!(new.manifest().instance_id, old.manifest().instance_id);
    assert_eq!(
        new.manifest().key_configs().unwrap()[0].key_id(),
        old.manifest().key_configs().unwrap()[0].key_id() + 2
    );
    // During the grace both open; afterwards the old one is unknown.
    assert_eq!(connection.sealed(&old, &request).await.status, 200);
    assert_eq!(connection.sealed(&new, &request).await.status, 200);
    let not_after = std::time::UNIX_EPOCH + std::time::Duration::from_secs(old.manifest().not_after);
    until("the end of the old key", || async {
        let (ciphertext, _) = encapsulate(&old, &get("/v2/health/live"));
        let mut connection = Connection::open(address, "h2").await;
        let sent = std::time::SystemTime::now();
        let answer = connection.ohttp(&ciphertext).await;
        assert!(
            answer.status == 400 || sent <= not_after + std::time::Duration::from_secs(2),
            "it outlives its manifest"
        );
        (answer.status == 400).then(|| assert_eq!(Problem::parse(&answer.body).unwrap().kind, ProblemKind::OhttpKey))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowded_key_gives_way_early_and_a_full_one_is_busy() {
    let Some((enclave, guest)) = demonstration_enclave("[limits]\nreplay_capacity = 64").await else { return };
    let mut connection = Connection::open(&enclave.address, "h2").await;
    let (_, manifest) = connection.envelope().await;
    assert_eq!(guest.asked.load(Ordering::SeqCst), 1);
    guest.silent.store(true, Ordering::SeqCst);
    // What runs nothing takes no place, however often it comes.
    for n in 0..80 {
        assert_eq!(connection.sealed(&manifest, &get("/v2/health/live")).await.status, 200, "{n}");
    }
    for n in 0..64 {
        assert_eq!(connection.get(HEALTH_PATH).await.status, 200, "{n}");
        assert_eq!(connection.sealed(&manifest, &infer(&sample())).await.status, 200, "{n}");
    }
    // Not opened, so not sealed either.
    let (ciphertext, _) = encapsulate(&manifest, &infer(&sample()));
    for answer in [connection.ohttp(&ciphertext).await, connection.get(HEALTH_PATH).await] {
        let problem = Problem::parse(&answer.body).unwrap();
        assert_eq!((answer.status, problem.kind, problem.executed), (503, ProblemKind::Busy, Executed::No));
        assert_eq!((problem.retry_after, &answer.headers["retry-after"]), (Some(5), &http::HeaderValue::from(5)));
    }
    guest.silent.store(false, Ordering::SeqCst);
    let address = enclave.address.as_str();
    let following = |number: u64| async move {
        until("the early epoch", || async {
            let (_, manifest) = Connection::open(address, "h2").await.envelope().await;
            (manifest.manifest().epoch == number).then_some(manifest)
        })
        .await
    };
    let next = following(1).await;
    assert_eq!(next.manifest().prev, Some(*manifest.digest()));
    assert_eq!(connection.get(HEALTH_PATH).await.status, 200);
    for n in 0..48 {
        assert_eq!(connection.sealed(&next, &infer(&sample())).await.status, 200, "{n}");
    }
    // A third key, while the first two still have their time: theirs open, as far as they have room.
    let third = following(2).await;
    assert_eq!(third.manifest().prev, Some(*next.digest()));
    for open in [&next, &third] {
        assert_eq!(connection.sealed(open, &infer(&sample())).await.status, 200);
    }
    let answer = connection.ohttp(&encapsulate(&manifest, &infer(&sample())).0).await;
    assert_eq!((answer.status, Problem::parse(&answer.body).unwrap().kind), (503, ProblemKind::Busy));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_end_is_answered_at_the_deadline_and_a_full_queue_at_once() {
    let Some(library) = library::library() else { return };
    let (folder, guest) = (Folder::new(), Guest::start().await);
    let model = folder.write("endless.onnx", models::endless());
    let enclave = Enclave::start(&library, &guest, &model, "[limits]\nrun_deadline_ms = 2000\nqueue = 1");
    let mut connection = Connection::open(&enclave.address, "h2").await;
    let (_, manifest) = connection.envelope().await;
    let request = || infer(br#"{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}]}"#);
    // Connected before, so that the requests arrive together.
    let mut connections = Vec::new();
    for _ in 0..4 {
        connections.push(Connection::open(&enclave.address, "h2").await);
    }
    let mut runs = tokio::task::JoinSet::new();
    for mut connection in connections {
        let (manifest, request) = (manifest.clone(), request());
        runs.spawn(async move { connection.sealed(&manifest, &request).await });
    }
    let (mut ended, mut busy) = (0, 0);
    while let Some(response) = runs.join_next().await {
        let response = response.unwrap();
        if response.status == 504 {
            assert!(oip_error(&response).contains("not through at its deadline"));
            ended += 1;
        } else {
            let problem = problem(&response);
            assert_eq!((problem.kind, problem.executed), (ProblemKind::Busy, Executed::No));
            // Nothing has run yet that would say how long that takes, or one run has, of two seconds and its grace.
            let seconds = problem.retry_after.unwrap();
            assert!((1..=3).contains(&seconds), "{seconds}");
            busy += 1;
        }
    }
    // One runs and one waits; when they arrive a moment apart, one more finds the place in the queue.
    assert!(ended >= 1 && busy >= 1 && ended + busy == 4, "{ended} {busy}");
    assert_eq!(connection.sealed(&manifest, &request()).await.status, 504);
}

#[tokio::test(flavor = "multi_thread")]
async fn sealed_requests_of_many_callers_share_runs_where_the_manifest_says_so() {
    let Some(library) = library::library() else { return };
    let (folder, guest) = (Folder::new(), Guest::start().await);
    let model = folder.write("look_up.onnx", models::look_up());
    let batching = "[models.batching]\nmax_rows = 64\nmax_delay_microseconds = 50000\nacross_callers = true";
    let enclave = Enclave::start(&library, &guest, &model, batching);
    let mut connection = Connection::open(&enclave.address, "h2").await;
    let (_, manifest) = connection.envelope().await;
    let said = manifest.manifest();
    let batched = BatchedModel { name: "m".into(), version: "1".into(), max_rows: 64 };
    assert_eq!((said.limits.cross_tenant_batching, &said.limits.batching), (true, &vec![batched]));
    assert!(said.shares_runs(&said.models[0]));

    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..12_usize {
        let mut connection = Connection::open(&enclave.address, "h2").await;
        let manifest = manifest.clone();
        callers.spawn(async move {
            for round in 0..6 {
                let mut indices: Vec<usize> = (0..=caller % 5).map(|row| (caller + round + row) % 4).collect();
                let is_poison = (caller, round) == (7, 3);
                indices.extend(is_poison.then_some(9));
                let body = serde_json::json!({
                    "id": format!("{caller}-{round}"),
                    "inputs": [{"name": "i", "shape": [indices.len()], "datatype": "INT64", "data": indices}],
                });
                let response = connection.sealed(&manifest, &infer(body.to_string().as_bytes())).await;
                if is_poison {
                    // Its own words, about its own three indices.
                    assert_eq!(response.status, 500, "{response:?}");
                    assert!(oip_error(&response).contains("out of data bounds"), "{response:?}");
                    continue;
                }
                assert_eq!(response.status, 200, "{response:?}");
                let answer: serde_json::Value = serde_json::from_slice(&response.content).unwrap();
                let expected: Vec<f64> = indices.iter().map(|index| [0.0, 10.0, 20.0, 30.0][*index]).collect();
                assert_eq!(answer["outputs"][0]["data"], serde_json::json!(expected), "{caller} {round}");
                assert_eq!(answer["outputs"][0]["shape"], serde_json::json!([indices.len()]));
                assert_eq!(answer["id"], format!("{caller}-{round}"));
                let salt = Salt::parse_header(response.fields.get(SEALED_RECEIPT_SALT).unwrap()).unwrap();
                let signed = Signed::parse_header(response.fields.get(SEALED_RECEIPT).unwrap()).unwrap();
                let receipt = Execution::verify(&signed, &manifest.manifest().receipt_key).unwrap();
                assert_eq!(receipt.output, salt.digest(&response.content));
            }
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }
    drop(connection);
    // Numbers are all that the log has of it.
    let (code, log) = enclave.terminate();
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("out of data bounds"), "{log}");
    let counts = log.split("counts=").nth(1).unwrap_or_else(|| panic!("{log}"));
    for (number, is_none) in
        [("shared_runs: 0,", false), ("lost_past_deadline: 0,", true), ("lost_otherwise: 0,", true)]
    {
        assert_eq!(counts.contains(number), is_none, "{number} {counts}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_does_not_end_does_not_spoil_the_end_of_the_program() {
    let Some(library) = library::library() else { return };
    let (folder, guest) = (Folder::new(), Guest::start().await);
    let model = folder.write("boxes.onnx", models::boxes());
    let enclave = Enclave::start(&library, &guest, &model, "[limits]\nrun_deadline_ms = 500\nrun_grace_ms = 60000");
    let mut connection = Connection::open(&enclave.address, "h2").await;
    let (_, manifest) = connection.envelope().await;
    let request = |boxes: u32| {
        let input = |name, shape: &str, data: String| {
            format!(r#"{{"name":"{name}","shape":{shape},"datatype":"INT64","data":{data}}}"#)
        };
        let inputs = [
            input("boxes_shape", "[3]", format!("[1,{boxes},4]")),
            input("scores_shape", "[3]", format!("[1,1,{boxes}]")),
            input("most", "[1]", format!("[{boxes}]")),
        ];
        infer(format!(r#"{{"inputs":[{}]}}"#, inputs.join(",")).as_bytes())
    };
    assert_eq!(connection.sealed(&manifest, &request(10)).await.status, 200);
    // Minutes, if nobody were to end it.
    assert_eq!(connection.sealed(&manifest, &request(400_000)).await.status, 504);
    // The only place is taken: the worker is still at it, as far as its grace goes.
    assert_eq!(connection.sealed(&manifest, &request(10)).await.status, 504);
    drop(connection);
    let workers = enclave.workers();
    assert_eq!(workers.len(), 2, "one and a spare one");
    let begun = std::time::Instant::now();
    let (code, output) = enclave.terminate();
    assert_eq!(code, Some(0), "{output}");
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    until("its workers end with it", || async {
        let stat = |worker: &u32| std::fs::read_to_string(format!("/proc/{worker}/stat")).unwrap_or_default();
        let gone = |worker: &u32| stat(worker).is_empty() || stat(worker).contains(") Z ");
        workers.iter().all(gone).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_renewed_and_no_request_notices() {
    let Some((enclave, _guest)) = demonstration_enclave("[limits]\nrenew_worker_after = 3").await else { return };
    let mut connection = Connection::open(&enclave.address, "h2").await;
    let (_, manifest) = connection.envelope().await;
    let mut seen = std::collections::BTreeSet::from_iter(enclave.workers());
    for n in 0..20 {
        assert_eq!(connection.sealed(&manifest, &infer(&sample())).await.status, 200, "{n}");
        seen.extend(enclave.workers());
    }
    // Twenty runs, three each; those that come and go between two looks are not seen.
    assert!(seen.len() > 3, "{seen:?}");
    let (code, output) = enclave.terminate();
    assert_eq!(code, Some(0));
    assert!(!output.contains("a worker was lost"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_request_is_written_anywhere_and_the_end_is_orderly() {
    let Some((enclave, _guest)) = demonstration_enclave("").await else { return };
    let mut connection = Connection::open(&enclave.address, "h2").await;
    let (_, manifest) = connection.envelope().await;
    let canary = "canary-7f3a";
    let mut request = infer(format!("{{\"id\":\"{canary}\",\"inputs\":[{{\"name\":\"{canary}\"").as_bytes());
    request.fields.push(SEALED_REQUEST_ID, canary).unwrap();
    assert_eq!(connection.sealed(&manifest, &request).await.status, 400);
    let mut request = infer(&labelled(canary));
    request.fields.push("x-canary", canary).unwrap();
    assert_eq!(connection.sealed(&manifest, &request).await.status, 200);
    let nonce = Nonce::generate().unwrap().to_string();
    assert_eq!(connection.get(&format!("/.well-known/teegate?nonce={nonce}")).await.status, 200);
    assert_eq!(connection.call("POST", ATTEST_PATH, None, nonce.clone()).await.status, 200);
    assert_eq!(connection.get(&format!("/{canary}")).await.status, 404);
    drop(connection);
    let (code, output) = enclave.terminate();
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("model loaded") && output.contains("ending"), "{output}");
    for secret in [canary, nonce.as_str(), "24.63"] {
        assert!(!output.contains(secret), "{output}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manifest_shows_the_digest_of_the_effective_configuration() {
    let Some((enclave, guest)) = demonstration_enclave("").await else { return };
    let (_, manifest) = Connection::open(&enclave.address, "h2").await.envelope().await;
    let folder = Folder::new();
    let path = folder.write(
        "config.toml",
        config(&library::library().unwrap(), &guest.url, &demonstration(), "[limits]\nqueue = 64"),
    );
    let output = program(&path).arg("--print-config").output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let (text, digest) = lines.trim_end().split_once('\n').unwrap();
    assert_eq!(teegate_encoding::hex::encode(Sha256::digest(text)), digest);
    assert_eq!(manifest.manifest().config_sha256.to_string(), digest);
}
