//! `teegate probe`: what stands at an address, judged by its evidence, with nothing sent.

use serde_json::Value;
use teegate_tests::harness::{Gateway, Guest, MODEL, Scratch, binary, eventually};

use crate::Stage1;

/// Exit status, standard output and standard error.
async fn teegate(arguments: &[&str]) -> (i32, String, String) {
    let output = tokio::process::Command::new(binary("teegate")).args(arguments).output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn a_gateway_and_an_enclave_are_told_apart_and_judged() {
    let stage = Stage1::set().await;
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    let policy = stage.scratch.write("client.toml", &stage.guest.policy());
    let other =
        stage.scratch.write("other.toml", &stage.guest.policy().replace("measurement = \"4d", "measurement = \"00"));
    let crl = stage.guest.endorsements().display().to_string();
    let (by_gateway, directly) = (format!("http://{}", gateway.address), format!("https://{}", stage.enclave.address));

    // A gateway hands on what is needed; whoever asks the enclave has it, or asks the vendor.
    let (status, out, err) = teegate(&["probe", &by_gateway, "--policy", &policy, "--wait", "5"]).await;
    assert_eq!(status, 0, "{out}{err}");
    assert!(
        out.starts_with(
            "what stands there: a gateway that offers this instance, which answered a challenge of this probe"
        ),
        "{out}"
    );
    assert!(out.contains(&format!("models, as it says: {MODEL} 1\n")) && out.contains("ACCEPTED"), "{out}");
    let (status, out, err) = teegate(&["probe", &by_gateway, "--policy", &policy, "--epoch"]).await;
    assert!(status == 0 && out.contains("the instance was not asked anything"), "{out}{err}");
    let (status, out, err) = teegate(&["probe", &directly, "--policy", &policy, "--endorsements", &crl]).await;
    assert_eq!(status, 0, "{out}{err}");
    assert!(out.starts_with("what stands there: an enclave-app, asked with a challenge"), "{out}");
    let (status, out, _) = teegate(&["probe", &directly, "--policy", &policy]).await;
    assert!(status == 3 && out.contains("\n  ✗ snp.chain.revocation\n"), "{out}");

    // The enclave has fresh evidence four times at once, and this is the fourth.
    for (address, more) in [(&by_gateway, &["--epoch"][..]), (&directly, &[])] {
        let asked = ["probe", address, "--policy", &other, "--endorsements", &crl, "--format", "json"];
        let (status, out, err) = teegate(&[&asked[..], more].concat()).await;
        assert_eq!(status, 4, "{err}");
        let report: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((&report["verdict"], &report["stage"]), (&"rejected".into(), &"unacceptable".into()), "{report}");
    }

    // The instance has no fresh evidence left for a while; that is said, with what to do.
    let declined = eventually("the challenges are used up", async || {
        let (status, out, err) = teegate(&["probe", &by_gateway, "--policy", &policy]).await;
        assert!((status, out.is_empty()) == (0, false) || (status, out.is_empty()) == (1, true), "{out}{err}");
        (status == 1).then_some(err)
    })
    .await;
    for told in ["could not be challenged through the gateway", "rate-limited (429)", "try again in ", "`--epoch`"] {
        assert!(declined.contains(told), "{told}: {declined}");
    }

    // Nobody, and somebody who shows no evidence.
    let (status, _, err) = teegate(&["probe", "http://127.0.0.1:1", "--policy", &policy]).await;
    assert!(status == 1 && err.contains("no connection") && err.contains("nothing was sent"), "{err}");
    let device = format!("http://{}", stage.guest.program.address("listening"));
    let (status, out, err) = teegate(&["probe", &device, "--policy", &policy]).await;
    assert!((status, out.as_str()) == (1, "") && err.contains("status 404"), "{err}");
}

/// A client completes what the gateway did not hand on, where it was told to ask the vendor; and where it was not, it is told.
#[tokio::test]
async fn a_client_asks_the_vendor_for_what_is_missing() {
    let scratch = Scratch::new();
    let guest = Guest::start(&scratch, "guest", &["--services", "127.0.0.1:0"]).await;
    let enclave = teegate_tests::harness::Enclave::start(&scratch, "enclave", &guest).await;
    // A gateway that asks for no list, and has none to hand on.
    let lax = guest.policy().replace("revocation = \"required\"", "revocation = \"unchecked\"");
    assert_ne!(lax, guest.policy());
    for file in std::fs::read_dir(guest.endorsements()).unwrap().map(Result::unwrap) {
        if file.file_name().to_string_lossy().contains("crl") {
            std::fs::remove_file(file.path()).unwrap();
        }
    }
    let gateway = Gateway::start(&scratch, "gateway", &guest, &lax, &[&enclave.address], "").await;
    let url = format!("http://{}", gateway.address);
    let policy = scratch.write("client.toml", &guest.policy());
    let kds = format!("kds=http://{}", guest.program.address("services"));
    let asked = ["models", "--gateway", &url, "--policy", &policy, "--wait", "5"];

    let (status, _, err) = teegate(&asked).await;
    assert_eq!(status, 3, "{err}");
    assert!(
        err.contains("snp.chain.revocation") && err.contains("`--online` has this command ask the vendor"),
        "{err}"
    );
    assert!(err.contains("nothing was sealed"), "{err}");
    let (status, out, err) = teegate(&[&asked[..], &["--online", "--source", &kds]].concat()).await;
    assert!(status == 0 && out.contains(MODEL), "{err}");
    let (status, _, err) = teegate(&[&asked[..], &["--online", "--source", "kds=http://127.0.0.1:1"]].concat()).await;
    assert!(status == 3 && err.contains("note: not to be had: "), "{err}");
    let (status, _, err) = teegate(&[&asked[..], &["--source", &kds]].concat()).await;
    assert!(status == 1 && err.contains("--online"), "{err}");
}
