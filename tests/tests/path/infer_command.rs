//! `teegate infer` as a person or a script runs it.

use teegate_tests::harness::{MODEL, binary};

use crate::{Stage1, assert_is_expected_answer, sample};

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
    assert!(status == 3 && err.contains("snp.chain.rollback"), "{status} {err}");

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

#[tokio::test]
async fn an_answer_is_written_out_even_if_its_report_cannot_be() {
    let stage = Stage1::set().await;
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    let (url, policy) = (format!("http://{}", gateway.address), stage.guest.policy());
    let (status, out, err) = infer_command(&stage, &url, &policy, &sample(), &["--report", "/dev/full"]).await;
    assert_eq!(status, 1, "{err}");
    assert!(out.contains("probabilities  FP32 [1, 2]\n  0.9999"), "{out}");
    assert!(err.contains("the report cannot be written") && err.contains("the answer above is whole"), "{err}");
}
