//! What a gateway publishes for its clients, and clients that pin it.

use teegate_protocol::published::PolicyDigest;
use teegate_tests::harness::{MODEL, Program, binary};

use crate::Stage1;

/// Exit status, standard output and standard error.
async fn teegate(arguments: &[&str]) -> (i32, String, String) {
    let output = tokio::process::Command::new(binary("teegate")).args(arguments).output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn a_policy_that_a_gateway_publishes_counts_under_its_digest() {
    let stage = Stage1::set().await;
    let text = stage.guest.policy();
    let published = stage.scratch.write("published.toml", &text);
    let gateway = stage.gateway(&stage.enclave.address, &format!("client_policy = {published:?}\n")).await;
    let url = format!("http://{}", gateway.address);
    let policy = format!("{url}/v1/policy");
    let digest = PolicyDigest::of(text.as_bytes()).to_string();
    let answer = gateway.ask("GET", "/v1/policy", &[], b"").await;
    assert_eq!(
        (answer.status, answer.header("etag"), answer.text().as_ref()),
        (200, format!("\"{digest}\"").as_str(), text.as_str())
    );
    let tag = format!("\"{digest}\"");
    assert_eq!(gateway.ask("GET", "/v1/policy", &[("if-none-match", &tag)], b"").await.status, 304);

    let pinned = ["--policy", &policy, "--policy-sha256", &digest];
    let input = stage.scratch.path().join("sample.json");
    std::fs::write(&input, crate::sample()).unwrap();
    let input = input.display().to_string();
    for verb in [
        &["probe", &url][..],
        &["models", "--gateway", &url],
        &["infer", "--gateway", &url, "--model", MODEL, "--input", &input],
    ] {
        let (status, _, err) = teegate(&[verb, &pinned].concat()).await;
        assert_eq!(status, 0, "{verb:?}: {err}");
        let (status, out, err) = teegate(&[verb, &["--policy", &policy]].concat()).await;
        assert_eq!((status, out.as_str()), (1, ""), "{verb:?}");
        assert!(
            err.contains(&format!("`curl -fsS {policy} | sha256sum`")) && err.contains("nothing was sent"),
            "{err}"
        );
        let (status, out, err) =
            teegate(&[verb, &["--policy", &policy, "--policy-sha256", &"00".repeat(32)]].concat()).await;
        assert_eq!((status, out.as_str()), (1, ""), "{verb:?}");
        assert!(err.contains(&format!("its SHA-256 is {digest}, and {} is pinned", "00".repeat(32))), "{err}");
    }
    let door = Program::start(
        &stage.scratch,
        "pinned-door",
        "teegate",
        &[&["proxy", "--gateway", &url], &pinned[..]].concat(),
    )
    .await;
    assert!(door.address("listening").starts_with("127.0.0.1:"));
    // A file is held against the digest as well.
    let file = ["models", "--gateway", &url, "--policy", &published, "--policy-sha256"];
    assert_eq!(teegate(&[&file[..], &[&digest]].concat()).await.0, 0);
    let (status, _, err) = teegate(&[&file[..], &["11".repeat(32).as_str()]].concat()).await;
    assert!(status == 1 && err.contains("is pinned (`--policy-sha256`)"), "{err}");
}

#[tokio::test]
async fn a_gateway_moves_on_to_a_key_that_its_clients_learned_in_time() {
    let stage = Stage1::set().await;
    let [one, two] = ["11", "22"].map(|byte| stage.scratch.write(&format!("seed-{byte}"), &byte.repeat(32)));
    let printed =
        tokio::process::Command::new(binary("teegate-gateway")).args(["--public-key", &two]).output().await.unwrap();
    let next = String::from_utf8(printed.stdout).unwrap().trim().to_owned();
    assert_eq!(next.len(), 64);
    let before =
        stage.gateway(&stage.enclave.address, &format!("receipt_key = {one:?}\nnext_receipt_key = {next:?}\n")).await;
    let current = before.program.address("receipt_key");
    let url = format!("http://{}", before.address);

    let (status, out, err) = teegate(&["receipt-keys", "--gateway", &url]).await;
    assert!((status, out.as_str()) == (0, &format!("current  {current}\nnext     {next}\n")), "{out}{err}");
    assert!(err.contains("nothing vouches for these keys"), "{err}");
    let (status, _, err) = teegate(&["receipt-keys", "--gateway", &url, "--gateway-receipt-key", &current]).await;
    assert!(status == 0 && !err.contains("nothing vouches"), "{err}");
    // That the next key is announced does not let it vouch.
    let (status, out, err) = teegate(&["receipt-keys", "--gateway", &url, "--gateway-receipt-key", &next]).await;
    assert!((status, out.as_str()) == (1, "") && err.contains("is not pinned"), "{err}");

    let after = stage.gateway(&stage.enclave.address, &format!("receipt_key = {two:?}\n")).await;
    assert_eq!(after.program.address("receipt_key"), next);
    let policy = stage.scratch.write("client.toml", &stage.guest.policy());
    let input = stage.scratch.path().join("sample.json");
    std::fs::write(&input, crate::sample()).unwrap();
    let (input, after) = (input.display().to_string(), format!("http://{}", after.address));
    let asked = ["infer", "--model", MODEL, "--input", &input, "--policy", &policy, "--gateway-receipt-key", &current];
    for (gateway, more, expected) in [
        (&url, &[][..], 0),
        (&after, &["--gateway-receipt-key", &next], 0),
        (&url, &["--gateway-receipt-key", &next], 0),
        (&after, &[], 5),
    ] {
        let (status, _, err) = teegate(&[&asked[..], &["--gateway", gateway], more].concat()).await;
        assert_eq!(status, expected, "{gateway} {more:?}: {err}");
        assert!(expected == 0 || err.contains("the gateway's release receipt"), "{err}");
    }
}
