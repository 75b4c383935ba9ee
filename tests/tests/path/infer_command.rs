//! `teegate infer` as a person or a script runs it.

use std::process::Stdio;

use teegate_tests::harness::{Enclave, Guest, MODEL, Scratch, binary};
use tokio::io::AsyncWriteExt;

use crate::{Stage1, assert_is_expected_answer, sample};

/// Runs `teegate infer` on a file and returns exit status, standard output and standard error.
pub(crate) async fn infer_command(
    stage: &Stage1,
    gateway: &str,
    policy: &str,
    input: &[u8],
    more: &[&str],
) -> (i32, String, String) {
    let path = stage.scratch.path().join("input.json");
    std::fs::write(&path, input).unwrap();
    infer_from(stage, gateway, policy, &path.display().to_string(), &[], more).await
}

/// The same with what `--input` names, and something on standard input.
pub(crate) async fn infer_from(
    stage: &Stage1,
    gateway: &str,
    policy: &str,
    input: &str,
    standard_input: &[u8],
    more: &[&str],
) -> (i32, String, String) {
    let endorsements = stage.guest.endorsements().display().to_string();
    let more = [&["--endorsements", &endorsements], more].concat();
    infer_bare(stage, gateway, policy, input, standard_input, &more).await
}

/// The same by somebody who has no endorsements.
async fn infer_bare(
    stage: &Stage1,
    gateway: &str,
    policy: &str,
    input: &str,
    standard_input: &[u8],
    more: &[&str],
) -> (i32, String, String) {
    let policy = stage.scratch.write("client-policy.toml", policy);
    let mut child = tokio::process::Command::new(binary("teegate"))
        .args(["infer", "--gateway", gateway, "--model", MODEL, "--input", input, "--policy", &policy, "--wait", "5"])
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Who does not read it may be gone before it is written.
    let _ = child.stdin.take().unwrap().write_all(standard_input).await;
    let output = child.wait_with_output().await.unwrap();
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
    assert!(status == 3 && err.contains("snp.chain.rollback"), "{status} {err}");

    let report = stage.scratch.path().join("report.json").display().to_string();
    let (status, out, err) =
        infer_command(&stage, &url, &policy, &sample(), &["--format", "json", "--report", &report]).await;
    assert_eq!(status, 0, "{err}");
    assert_is_expected_answer(out.as_bytes());
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    assert_eq!((&report["schema"], &report["verdict"]), (&"teegate/report/1".into(), &"accepted".into()));
}

/// A list of AMD's, all of Intel's collateral: what the gateway judged by completes whoever has nothing, and is called what it is.
#[tokio::test]
async fn a_client_without_endorsements_is_completed_by_the_gateway() {
    for tee in ["snp", "tdx"] {
        let scratch = Scratch::new();
        let guest = Guest::start(&scratch, "guest", &["--tee", tee]).await;
        let enclave = Enclave::start(&scratch, "enclave", &guest).await;
        let stage = Stage1 { scratch, guest, enclave };
        let gateway = stage.gateway(&stage.enclave.address, "").await;
        let (url, policy) = (format!("http://{}", gateway.address), stage.guest.policy());
        let report = stage.scratch.path().join("report.json").display().to_string();
        let more = ["--format", "json", "--report", &report];
        let (status, out, err) = infer_bare(&stage, &url, &policy, "-", &sample(), &more).await;
        assert_eq!(status, 0, "{tee}: {err}");
        assert_is_expected_answer(out.as_bytes());
        let report: serde_json::Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
        let brought = report["endorsements"].as_array().unwrap().iter();
        let mut relayed: Vec<_> = brought
            .filter(|one| one["from"] == "the gateway")
            .map(|one| (one["kind"].as_str().unwrap(), one["source"].as_str().unwrap()))
            .collect();
        relayed.sort_unstable();
        relayed.dedup();
        let expected: &[_] = match tee {
            "snp" => &[("certificate", "relayed"), ("crl", "relayed")],
            _ => &[("certificate", "relayed"), ("crl", "relayed"), ("qe-identity", "relayed"), ("tcb-info", "relayed")],
        };
        assert_eq!(relayed, expected, "{tee}");
    }
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
    assert_eq!((declined.0, declined.1.as_str()), (5, ""), "{}", declined.2);
    // Said once, as a sentence.
    let said = "error: the enclave declined (status 400): input `nonsense`: the model has no such input, expected `features`\n\
                `teegate models` with the model's name shows what it takes\n";
    assert!(declined.2.ends_with(said) && !declined.2.contains("words"), "{}", declined.2);
}

#[tokio::test]
async fn a_request_comes_from_standard_input_and_a_wrong_one_is_named() {
    let stage = Stage1::set().await;
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    let (url, policy) = (format!("http://{}", gateway.address), stage.guest.policy());
    let (status, out, err) = infer_from(&stage, &url, &policy, "-", &sample(), &["--format", "json"]).await;
    assert_eq!(status, 0, "{err}");
    assert_is_expected_answer(out.as_bytes());
    let nowhere = "http://127.0.0.1:1";
    for (wrong, reason) in [
        (&b"[1.5,2.5]\n"[..], "error: standard input: this is a JSON array; a request"),
        (br#"{"instances":[[1.5]]}"#, "error: standard input: `inputs` is missing, and `instances` is protocol v1"),
        (b"1.5,2.5\n3\n", "error: standard input: row 2 has 1 cells, and row 1 has 2"),
    ] {
        let (status, _, err) = infer_from(&stage, nowhere, &policy, "-", wrong, &[]).await;
        assert!(status == 1 && err.contains(reason), "{err}");
    }
}

/// `y = log(x)`, `x` and `y` of any length: a NaN for a negative number, an infinity for zero. ONNX, 62 bytes.
pub(crate) const LOG: &str = "08093a340a0b0a017812017922034c6f671201675a100a0178120b0a09080112050a0312016e62100a0179120b0a09080112050a0312016e42040a001012";

#[tokio::test]
async fn a_nan_is_no_dead_end() {
    let (scratch, folder) = (Scratch::new(), Scratch::new());
    std::fs::write(folder.path().join("model.onnx"), hex::decode(LOG).unwrap()).unwrap();
    let guest = Guest::start(&scratch, "guest", &[]).await;
    let enclave = Enclave::serving(&scratch, "enclave", &guest, MODEL, folder.path()).await;
    let stage = Stage1 { scratch, guest, enclave };
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    let (url, policy) = (format!("http://{}", gateway.address), stage.guest.policy());
    let request = |more: &str| {
        format!(r#"{{{more}"inputs":[{{"name":"x","shape":[3],"datatype":"FP32","data":[-1,0,1]}}]}}"#).into_bytes()
    };

    let (status, out, err) = infer_command(&stage, &url, &policy, &request(""), &[]).await;
    assert_eq!((status, out.as_str()), (5, ""), "{err}");
    let advised = r#""parameters": {"binary_data_output": true}"#;
    assert!(
        err.contains("the enclave declined (status 406): output `y` holds a NaN") && err.contains(advised),
        "{err}"
    );
    let request = request(&format!("{advised},"));
    let (status, out, err) = infer_command(&stage, &url, &policy, &request, &[]).await;
    assert_eq!(status, 0, "{err}");
    assert!(out.ends_with("y  FP32 [3]\n  NaN -inf 0\n"), "{out}");

    // JSON cannot hold them, which is told before anything is sent, and a folder can.
    let (status, _, err) = infer_command(&stage, &url, &policy, &request, &["--format", "json"]).await;
    assert!(status == 1 && err.contains("add `--save DIR` for them"), "{err}");
    let saved = folder.path().join("saved");
    let more = ["--format", "json", "--save", saved.to_str().unwrap()];
    let (status, out, err) = infer_command(&stage, &url, &policy, &request, &more).await;
    assert_eq!(status, 0, "{err}");
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["outputs"][0]["parameters"]["binary_data_size"], 12);
    let npy = std::fs::read(saved.join("y.npy")).unwrap();
    let values: Vec<f32> =
        npy[npy.len() - 12..].chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
    assert!(
        npy.starts_with(b"\x93NUMPY") && values[0].is_nan() && values[1..] == [f32::NEG_INFINITY, 0.0],
        "{values:?}"
    );

    // And in: raw bytes behind the JSON.
    let json = r#"{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","parameters":{"binary_data_size":4}}]}"#;
    let infinity = [json.as_bytes(), &f32::INFINITY.to_le_bytes()].concat();
    let (status, _, err) = infer_command(&stage, &url, &policy, &infinity, &[]).await;
    assert!(
        status == 5 && err.contains("output `y` holds a NaN or an infinity"),
        "it arrived, and went through: {err}"
    );
}

#[tokio::test]
async fn an_answer_is_written_out_even_if_its_report_cannot_be() {
    let stage = Stage1::set().await;
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    let (url, policy) = (format!("http://{}", gateway.address), stage.guest.policy());
    let (status, out, err) = infer_command(&stage, &url, &policy, &sample(), &["--report", "/dev/full"]).await;
    assert_eq!(status, 1, "{err}");
    assert!(out.contains("probabilities  FP32 [1, 2]\n  0.9999"), "{out}");
    assert!(
        err.contains("the report cannot be written") && err.contains("the answer was written as was asked"),
        "{err}"
    );
}
