//! Commands that show a gateway who they ask for, and a gateway that asks.

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
